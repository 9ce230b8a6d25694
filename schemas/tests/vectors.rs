//! Holds `vectors/*.json` against the code: they are generated from it, committed, and read by other languages.
//!
//! A difference means that the format changed. If that is meant, `UPDATE_VECTORS=1 cargo test` writes them anew.

use std::path::PathBuf;

use serde_json::{Map, Value};

#[path = "vectors/entries.rs"]
mod entries;
#[path = "vectors/groups.rs"]
mod groups;
#[path = "vectors/notes.rs"]
mod notes;
#[path = "vectors/payloads.rs"]
mod payloads;
#[path = "vectors/refused.rs"]
mod refused;
#[path = "vectors/schema.rs"]
mod schema;
#[path = "vectors/tree.rs"]
mod tree;

/// Lower case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same document with the keys of every object ascending, whichever map `serde_json` was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(pairs) => {
            let mut keys: Vec<&String> = pairs.keys().collect();
            keys.sort();
            Value::Object(
                keys.into_iter().map(|key| (key.clone(), sorted(&pairs[key]))).collect::<Map<_, _>>(),
            )
        }
        other => other.clone(),
    }
}

/// Compares `document` with the committed file, or writes the file when `UPDATE_VECTORS` is set.
fn check(name: &str, document: &Value) {
    let text = format!("{:#}\n", sorted(document));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.json"));
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed == text {
        return;
    }
    let at = committed.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
    let line = |of: &str| of.lines().nth(at).unwrap_or("<end of file>").trim().to_string();
    panic!(
        "vectors/{name}.json is not what the code makes, first at line {}:\n  committed: {}\n  code:      {}\n\
         if the format was meant to change, run the tests with UPDATE_VECTORS=1 and commit the difference",
        at + 1,
        line(&committed),
        line(&text),
    );
}

#[test]
fn schema_tables() {
    check("schema", &schema::document());
}

#[test]
fn entries_and_leaves() {
    check("entries", &entries::document());
}

#[test]
fn payload_commitments() {
    check("payloads", &payloads::document());
}

#[test]
fn trees_proofs_and_tiles() {
    check("tree", &tree::document());
}

#[test]
fn keys_notes_and_manifests() {
    check("notes", &notes::document());
}

#[test]
fn write_ahead_groups() {
    check("groups", &groups::document());
}

/// Every malformed thing is listed with its reason, and the code refuses it.
#[test]
fn malformed_things_are_refused() {
    check("refused", &refused::document());
}
