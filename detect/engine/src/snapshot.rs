//! Bytes of a snapshot: one line that names format and BLAKE3 of the rest, one line of JSON that says what it was folded under, then the state
//! in Postcard's wire format.
//!
//! ```text
//! tachograph-engine-snapshot 2 <64 hex digits>\n{"model_version":1,"settings_digest":"...","rules_digest":"..."}\n<state>
//! ```
//!
//! Format 1 had the state as JSON: about three times the bytes and twice the time.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::MODEL_VERSION;
use crate::error::Error;

const MAGIC: &str = "tachograph-engine-snapshot 2 ";
const MAGIC_1: &str = "tachograph-engine-snapshot 1 ";

/// Read before the state, whose shape depends on the model version.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    model_version: u32,
    settings_digest: String,
    /// Of the rules in Sigma; none without any.
    rules_digest: Option<String>,
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
    let head = Head { model_version: MODEL_VERSION, settings_digest, rules_digest };
    // The first line has one length, so that what it says of the rest can be filled in.
    let mut bytes = format!("{MAGIC}{:64}\n", "").into_bytes();
    let first = bytes.len();
    serde_json::to_writer(&mut bytes, &head).expect("three plain fields have a JSON form");
    bytes.push(b'\n');
    let mut bytes = postcard::to_extend(state, bytes).expect("state is plain data of known lengths");
    let (line, rest) = bytes.split_at_mut(first);
    if let Some(digest) = line.get_mut(MAGIC.len()..first - 1) {
        digest.copy_from_slice(blake3::hash(rest).to_hex().as_bytes());
    }
    bytes
}

/// The state, if the bytes are whole, of this model version, and folded under the same.
pub(crate) fn decode<S: DeserializeOwned>(bytes: &[u8], under: Under<'_>) -> Result<S, Error> {
    let of = |magic: &str| bytes.strip_prefix(magic.as_bytes());
    let rest = of(MAGIC).or_else(|| of(MAGIC_1)).ok_or_else(|| damaged("not an engine snapshot"))?;
    let (digest, rest) = rest.split_at_checked(64).ok_or_else(|| damaged("cut short"))?;
    let body = rest.strip_prefix(b"\n").ok_or_else(|| damaged("malformed first line"))?;
    if blake3::hash(body).to_hex().as_bytes() != digest {
        return Err(damaged("its hash does not match"));
    }
    let (head, state) = match body.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&body[..end], &body[end + 1..]),
        // Of format 1, whose model versions are past.
        None => (body, &[][..]),
    };
    let head: Head = serde_json::from_slice(head).map_err(|error| damaged(&error.to_string()))?;
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
    match postcard::take_from_bytes(state) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => Err(damaged(&format!("{} bytes follow the state", rest.len()))),
        Err(error) => Err(damaged(&error.to_string())),
    }
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
        // As format 1 had it.
        let mut bytes = format!("{MAGIC_1}{}\n", blake3::hash(body).to_hex()).into_bytes();
        bytes.extend_from_slice(body);
        let found = decode::<Vec<i64>>(&bytes, Under { settings: "digest", rules: None });
        assert_eq!(found, Err(Error::ModelVersion { expected: MODEL_VERSION, found: 999 }));
    }
}
