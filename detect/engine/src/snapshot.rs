//! Bytes of a snapshot: one line that names format and BLAKE3 of the rest, then the state as JSON.
//!
//! ```text
//! tachograph-engine-snapshot 1 <64 hex digits>\n{"model_version":1,"settings_digest":"...","rules_digest":"...","state":{...}}
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
    /// Of the rules in Sigma; none without any.
    rules_digest: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Body<S> {
    model_version: u32,
    settings_digest: String,
    rules_digest: Option<String>,
    state: S,
}

/// What a state was folded under: digests of the settings, and of the rules in Sigma where there are some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Under<'a> {
    pub settings: &'a str,
    pub rules: Option<&'a str>,
}

/// Bytes of a state.
pub(crate) fn encode<S: Serialize>(under: Under<'_>, state: &S) -> Vec<u8> {
    let (settings_digest, rules_digest) = (under.settings.to_owned(), under.rules.map(str::to_owned));
    let body = Body { model_version: MODEL_VERSION, settings_digest, rules_digest, state };
    let body =
        serde_json::to_vec(&body).expect("state is plain data with string keys and always has a JSON form");
    let mut bytes = format!("{MAGIC}{}\n", blake3::hash(&body).to_hex()).into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

/// The state, if the bytes are whole, of this model version, and folded under the same.
pub(crate) fn decode<S: DeserializeOwned>(bytes: &[u8], under: Under<'_>) -> Result<S, Error> {
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
    if head.settings_digest != under.settings {
        return Err(Error::SettingsChanged {
            expected: under.settings.to_owned(),
            found: head.settings_digest,
        });
    }
    if head.rules_digest.as_deref() != under.rules {
        let named = |digest: Option<&str>| digest.unwrap_or("none").to_owned();
        return Err(Error::RulesChanged {
            expected: named(under.rules),
            found: named(head.rules_digest.as_deref()),
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
        let under = |settings, rules| Under { settings, rules };
        let same = under("digest", Some("rules"));
        let bytes = encode(same, &vec![1_i64, i64::MIN]);
        let decode = |bytes: &[u8], under| decode::<Vec<i64>>(bytes, under);
        assert_eq!(decode(&bytes, same), Ok(vec![1, i64::MIN]));
        let of_other_settings = decode(&bytes, under("other", Some("rules")));
        assert!(matches!(of_other_settings, Err(Error::SettingsChanged { .. })));
        for rules in [None, Some("others")] {
            let of_other_rules = decode(&bytes, under("digest", rules));
            assert!(matches!(of_other_rules, Err(Error::RulesChanged { .. })), "{of_other_rules:?}");
        }
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            assert!(matches!(decode(&flipped, same), Err(Error::Damaged { .. })), "byte {position}");
            assert!(matches!(decode(&bytes[..position], same), Err(Error::Damaged { .. })));
        }
    }

    #[test]
    fn another_model_version_is_named() {
        let body = br#"{"model_version":999,"settings_digest":"digest","state":{"shape":"unknown"}}"#;
        let mut bytes = format!("{MAGIC}{}\n", blake3::hash(body).to_hex()).into_bytes();
        bytes.extend_from_slice(body);
        let found = decode::<Vec<i64>>(&bytes, Under { settings: "digest", rules: None });
        assert_eq!(found, Err(Error::ModelVersion { expected: MODEL_VERSION, found: 999 }));
    }
}
