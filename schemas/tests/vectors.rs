//! Holds `vectors/*.json` against the code: they are generated from it, committed, and read by other languages.
//!
//! A difference means that the format changed. If that is meant, `UPDATE_VECTORS=1 cargo test` writes them anew.

use std::path::PathBuf;

use serde_json::Value;

#[path = "vectors/schema.rs"]
mod schema;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.json"))
}

/// Compares `document` with the committed file, or writes the file when `UPDATE_VECTORS` is set.
fn check(name: &str, document: &Value) {
    let text = format!("{document:#}\n");
    let path = path(name);
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
