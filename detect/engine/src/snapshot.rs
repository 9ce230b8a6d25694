//! Bytes of a snapshot: one line that names format and BLAKE3 of the rest, then the state as JSON.
//!
//! ```text
//! tachograph-engine-snapshot 1 <64 hex digits>\n{"model_version":1,"settings_digest":"...","state":{...}}
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::MODEL_VERSION;
use crate::error::Error;

const MAGIC: &str = "tachograph-engine-snapshot 1 ";

/// Read before the state, whose shape depends on the model version.
#[derive(Debug, Deserialize)]
struct Head {
    model_version: u32,
    settings_digest: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Body<S> {
    model_version: u32,
    settings_digest: String,
    state: S,
}

/// Bytes of a state folded under the settings of that digest.
pub(crate) fn encode<S: Serialize>(settings_digest: String, state: &S) -> Vec<u8> {
    let body = Body { model_version: MODEL_VERSION, settings_digest, state };
    let body =
        serde_json::to_vec(&body).expect("state is plain data with string keys and always has a JSON form");
    let mut bytes = format!("{MAGIC}{}\n", blake3::hash(&body).to_hex()).into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

/// The state, if the bytes are whole and of this model version and these settings.
pub(crate) fn decode<S: DeserializeOwned>(bytes: &[u8], settings_digest: &str) -> Result<S, Error> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or_else(|| damaged("not an engine snapshot"))?;
    let (digest, rest) = rest.split_at_checked(64).ok_or_else(|| damaged("cut short"))?;
    let body = rest.strip_prefix(b"\n").ok_or_else(|| damaged("malformed first line"))?;
    if blake3::hash(body).to_hex().as_bytes() != digest {
        return Err(damaged("its hash does not match"));
    }
    let head: Head = serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
    if head.model_version != MODEL_VERSION {
        return Err(Error::ModelVersion { expected: MODEL_VERSION, found: head.model_version });
    }
    if head.settings_digest != settings_digest {
        return Err(Error::SettingsChanged {
            expected: settings_digest.to_owned(),
            found: head.settings_digest,
        });
    }
    let body: Body<S> = serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
    Ok(body.state)
}

fn damaged(what: &str) -> Error {
    Error::Damaged { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let bytes = encode("digest".to_owned(), &vec![1_i64, i64::MIN]);
        assert_eq!(decode::<Vec<i64>>(&bytes, "digest"), Ok(vec![1, i64::MIN]));
        assert!(matches!(decode::<Vec<i64>>(&bytes, "other"), Err(Error::SettingsChanged { .. })));
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            assert!(
                matches!(decode::<Vec<i64>>(&flipped, "digest"), Err(Error::Damaged { .. })),
                "byte {position}"
            );
            assert!(matches!(decode::<Vec<i64>>(&bytes[..position], "digest"), Err(Error::Damaged { .. })));
        }
    }

    #[test]
    fn another_model_version_is_named() {
        let body = br#"{"model_version":999,"settings_digest":"digest","state":{"shape":"unknown"}}"#;
        let mut bytes = format!("{MAGIC}{}\n", blake3::hash(body).to_hex()).into_bytes();
        bytes.extend_from_slice(body);
        let found = decode::<Vec<i64>>(&bytes, "digest");
        assert_eq!(found, Err(Error::ModelVersion { expected: MODEL_VERSION, found: 999 }));
    }
}
