//! The profile `record_integrity` of OCSF 1.9 (`ocsf-schema`, `profiles/record_integrity.json`, `objects/attestation.json`).
//!
//! `fingerprint` is over the whole event without itself, serialised canonically (RFC 8785: members in order of their names, no spaces; every number here is an
//! integer, and one beyond 2^53 stands in full). `chain_uid` is the origin of the log and `uid` the entry there. The chain itself, and the signature, are
//! the log's: checkpoints and inclusion proofs, which `tacho-verify` checks; this says where to look, and that the message was not altered by accident.

use super::super::writer::Json;
use super::{object, sha256};

/// `text`, a JSON object, with the attestation.
pub(super) fn attested(text: &str, log: &str, log_index: u64, authority: &str) -> String {
    let partial = with(text, &attestation(log, log_index, authority, None));
    // What was just written is JSON; if it ever were not, its own bytes are what the fingerprint is of.
    let canonical = serde_json::from_str(&partial).map_or(partial, |value| canonical(&value));
    with(text, &attestation(log, log_index, authority, Some(&sha256(canonical.as_bytes()))))
}

fn attestation(log: &str, log_index: u64, authority: &str, fingerprint: Option<&str>) -> String {
    object(|json: &mut Json| {
        json.text("authority_uid", authority);
        json.text("chain_uid", log);
        json.text("uid", &format!("{log}#{log_index}"));
        if let Some(fingerprint) = fingerprint {
            json.object("fingerprint", |json| {
                json.int("algorithm_id", 3);
                json.text("algorithm", "SHA-256");
                json.text("value", fingerprint);
            });
        }
    })
}

/// The object `text` with one member more at its end.
fn with(text: &str, attestation: &str) -> String {
    let open = text.strip_suffix('}').unwrap_or(text);
    format!("{open},\"attestation\":{attestation}}}")
}

fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            let members = names.into_iter().filter_map(|name| members.get(name).map(|value| (name, value)));
            let members: Vec<String> = members
                .map(|(name, value)| format!("{}:{}", Value::String(name.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
