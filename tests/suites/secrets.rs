//! Secrets of every common shape, wherever an event can carry one, reach no file.

use std::path::Path;

use serde_json::json;

use super::main_job::files_below;
use super::tamper::rows;
use crate::support::{Service, verify};

/// A word that is no secret and stands beside each: where a search does not find it, the search is wrong.
const CANARY: &str = "visible-canary";
const MIXED: &str = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz";
const UPPER: &str = "Q3ER5TY7UIOP2ASDF6GHJKL4ZXCVBNM";
const HEX: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// (shape, text before the secret, the secret, text behind it), put together here so that this file holds none.
fn shapes() -> Vec<(&'static str, &'static str, String, &'static str)> {
    let body = |alphabet: &str, length: usize| alphabet.chars().cycle().take(length).collect::<String>();
    let token = |head: &str, alphabet: &str, length: usize| format!("{head}{}", body(alphabet, length));
    let kind = "PRIVATE KEY";
    vec![
        ("AWS access key", "", token("AKIA", UPPER, 16), ""),
        ("Google API key", "", token("AIza", MIXED, 35), ""),
        ("GitHub token", "", token("ghp_", MIXED, 36), ""),
        ("GitLab token", "", token("glpat-", MIXED, 20), ""),
        ("Slack token", "", token("xoxb-", MIXED, 24), ""),
        ("Stripe key", "", token("sk_live_", MIXED, 24), ""),
        ("Anthropic key", "", token("sk-ant-", MIXED, 40), ""),
        ("OpenAI key", "", token("sk-proj-", MIXED, 40), ""),
        ("npm token", "", token("npm_", MIXED, 36), ""),
        ("PyPI token", "", token("pypi-", MIXED, 60), ""),
        ("Hugging Face token", "", token("hf_", MIXED, 34), ""),
        ("Vault token", "", token("hvs.", MIXED, 24), ""),
        ("DigitalOcean token", "", token("dop_v1_", HEX, 64), ""),
        ("JWT", "", token("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.", MIXED, 30), ""),
        ("our own token", "", token("tacho_", MIXED, 40), ""),
        (
            "private key",
            "",
            format!("-----BEGIN RSA {kind}-----\n{}\n-----END RSA {kind}-----", body(MIXED, 64)),
            "",
        ),
        ("password in an address", "postgres://app:", token("", MIXED, 14), "@db.internal:5432/x"),
        ("bearer", "authorization: Bearer ", token("", MIXED, 28), ""),
        ("password by name", "password=", token("", MIXED, 15), ""),
        ("signature in an address", "https://x.example/a?X-Amz-Signature=", token("", HEX, 64), ""),
    ]
}

/// One event for each place in which a secret can come.
fn events(at: usize, text: &str) -> Vec<String> {
    let bare = |place: &str| {
        json!({"event_id": format!("{place}-{at}"), "time": "2026-11-21T10:00:00Z", "kind": "call", "user_id": "u-1",
            "server": "github", "capability": "get_issue", "decision": "allow", "status": "ok"})
    };
    let with = |place: &str, key: &str, value: serde_json::Value| {
        let mut event = bare(place);
        event[key] = value;
        event.to_string()
    };
    let once = json!({ "note": text }).to_string();
    let twice = json!({ "inner": once }).to_string();
    vec![
        with("argument", "arguments", json!({ "a": [{ "note": text }] })),
        with("result", "result", json!(text)),
        with("unknown", "x_unknown", json!({ "deep": [text] })),
        with("nested", "arguments", json!({ "body": once })),
        with("nested-twice", "result", json!(twice)),
        with("message", "error_message", json!(text)),
        with("target", "target", json!(text)),
    ]
}

/// The bytes of a file, and of a Parquet file what its pages decompress to as well.
fn contents(file: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    if file.extension().is_some_and(|extension| extension == "parquet") {
        for batch in rows(bytes.clone()).unwrap() {
            for column in batch.columns() {
                for row in 0..batch.num_rows() {
                    bytes.extend(format!("{:?}\n", column.slice(row, 1)).bytes());
                }
            }
        }
    }
    bytes
}

/// Searches every file under `home` for every secret, as it is and as JSON escapes it; how many files hold the canary.
fn search(home: &Path, shapes: &[(&str, &str, String, &str)], when: &str) -> usize {
    let mut seen = 0;
    let mut found = Vec::new();
    for file in files_below(home) {
        let bytes = contents(&file);
        let text = String::from_utf8_lossy(&bytes);
        seen += usize::from(text.contains(CANARY));
        for (shape, _, secret, _) in shapes {
            // Of a key of several lines, each line is the secret.
            for part in secret.split('\n').filter(|part| !part.starts_with("-----")) {
                if text.contains(part) {
                    found.push(format!("{shape} in {}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{when}: {found:#?}");
    seen
}

#[test]
fn no_shape_of_secret_reaches_a_file_from_any_place() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let shapes = shapes();
    let mut sent = 0;
    for (at, (shape, before, secret, after)) in shapes.iter().enumerate() {
        let events = events(at, &format!("{CANARY} {before}{secret}{after} end"));
        let answer = service.post_events(events.join("\n").as_bytes());
        assert_eq!(answer.status, 200, "{shape}: {}", answer.text());
        assert_eq!(answer.json()["accepted"], events.len() as u64, "{shape}: {}", answer.text());
        sent += events.len();
        // Refused with its text quoted, and asked for: the access log holds every question.
        let text = format!("{before}{secret}{after}");
        let refused = service.post_events(json!({ (text.clone()): 1 }).to_string().as_bytes());
        assert_eq!(refused.status, 400, "{shape}: {}", refused.text());
        assert!(!refused.text().contains(secret.as_str()), "{shape}: {}", refused.text());
        service.sql(&format!("SELECT count(*) FROM events WHERE target = '{text}'"));
    }
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE cardinality(redactions) > 0");
    assert_eq!(rows[0]["n"], sent, "an event without a note of what was redacted");
    let unsealed = search(home.path(), &shapes, "while the service runs");
    assert!(unsealed > 0, "the search does not see the write-ahead files");
    assert_eq!(service.stop(), Some(0));
    let sealed = search(home.path(), &shapes, "once it is stopped");
    assert!(sealed > 1, "the search does not see the sealed files");
    assert_eq!(verify(home.path()).0, 0);
    println!(
        "{} shapes in {sent} events, none in any of {} files",
        shapes.len(),
        files_below(home.path()).len()
    );
}
