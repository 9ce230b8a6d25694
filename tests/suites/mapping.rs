//! Mappings as the user has them: listed, tried out as the document shows, and in force in a service.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Service, run};

const DOCUMENT: &str = include_str!("../../docs/mappings.md");

/// The first block of the document in this language.
fn block(language: &str) -> &'static str {
    let after = DOCUMENT.split_once(&format!("```{language}\n")).unwrap().1;
    after.split_once("```").unwrap().0
}

fn write(home: &Path, name: &str, text: &str) -> PathBuf {
    let path = home.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs `tacho mapping`; its exit code and what it said.
fn mapping(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["mapping"], arguments].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The text with what is made anew in each run left out.
fn steady(text: &str) -> String {
    let line = |line: &str| match line.trim_start().split_once(' ') {
        Some((name @ ("event_id" | "session_id"), rest)) => {
            let (_, from) = rest.split_once(" from ").unwrap();
            format!("{name} (made) from {from}")
        }
        _ => line.trim_end().to_string(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_document_s_example_does_what_the_document_says() {
    let home = tempfile::tempdir().unwrap();
    let file = write(home.path(), "my-gateway.toml", block("toml"));
    let sample = write(home.path(), "sample.ndjson", block("json"));
    let (code, said) = mapping(&["test", file.to_str().unwrap(), sample.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let first = said.split("event 2:").next().unwrap();
    // Events of long ago are tagged, and the document does not say when it is read.
    let first: String =
        first.lines().filter(|line| !line.contains(" tags ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(steady(&first), steady(block("text")), "{said}");
    assert!(said.contains("event 2: my-gateway/1") && said.contains("delete_ticket"), "{said}");
    let second = said.split("event 2:").nth(1).unwrap();
    assert!(!second.contains("user_id") && second.contains("who = \"-\""), "{second}");

    let (code, said) = mapping(&["test", file.to_str().unwrap(), sample.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let event: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(
        event["columns"]["latency_us"],
        json!({"value": "12500", "from": "{ from = \"/took\", as = \"duration\" }"})
    );
}

#[test]
fn verdicts_are_exit_codes_and_secrets_are_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let file = write(home.path(), "mine.toml", block("toml"));
    let secret = block("json").lines().next().unwrap().replace("\"build\":7", "\"password\":\"hunter2xyz\"");
    let sample = write(home.path(), "secret.json", &secret);
    let (code, said) = mapping(&["test", file.to_str().unwrap(), sample.to_str().unwrap()]);
    assert!(code == Some(0) && !said.contains("hunter2xyz"), "{said}");
    assert!(!said.contains("removed as secret: nothing"), "{said}");

    let other = write(home.path(), "other.json", "{\"no\":1}\n{\"time\":1779114181,\"kind\":\"call\"}\n");
    let (code, said) = mapping(&["test", file.to_str().unwrap(), other.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("line 1: refused, unmapped"), "{said}");
    assert!(said.contains("canonical/1, which is not the one under test"), "{said}");

    let bad = write(home.path(), "bad.toml", &block("toml").replace("status =", "state ="));
    let (code, said) = mapping(&["test", bad.to_str().unwrap(), sample.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("bad.toml, line 17: there is no column state"), "{said}");
    assert_eq!(mapping(&["test", "/nowhere.toml", sample.to_str().unwrap()]).0, Some(2));
    let (code, said) = mapping(&["test", "kuadrant/1", sample.to_str().unwrap()]);
    assert!(code == Some(1), "{said}");
}

#[test]
fn a_directory_of_the_user_s_is_in_force_and_a_bad_file_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("mappings");
    std::fs::create_dir(&directory).unwrap();
    write(&directory, "mine.toml", block("toml"));
    write(&directory, "notes.txt", "not read");
    let environment = [("TACHO_INGEST_MAPPINGS", directory.to_str().unwrap())];
    let service = Service::start(home.path(), &environment);
    let answer = service.post_events(block("json").as_bytes());
    assert_eq!(answer.json()["accepted"], 2, "{}", answer.text());
    let kong = r#"{"ai":{"mcp":{"rpc":[{"method":"tools/call","tool_name":"a_tool"},{"method":"tools/call","tool_name":"b_tool"}]}}}"#;
    assert_eq!(service.post_events(kong.as_bytes()).json()["accepted"], 2);
    let rows = service
        .sql("SELECT capability, decision, status FROM events WHERE control IS NULL ORDER BY capability");
    let row = |capability: &str, decision: &str, status: &str| json!({"capability": capability, "decision": decision, "status": status});
    let wanted = json!([
        row("a_tool", "none", "unknown"),
        row("b_tool", "none", "unknown"),
        row("create_ticket", "allow", "ok"),
        row("delete_ticket", "deny", "denied"),
    ]);
    assert_eq!(serde_json::Value::from(rows), wanted);
    assert_eq!(service.stop(), Some(0));

    let configuration = write(home.path(), "tacho.toml", &format!("[ingest]\nmappings = {directory:?}\n"));
    let check = || run(&["config", "check", "--config", configuration.to_str().unwrap()]);
    assert_eq!(check().status.code(), Some(0));
    let listed = run(&["mapping", "list", "--config", configuration.to_str().unwrap()]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("canonical/1") && listed.contains("otel/1"), "{listed}");
    assert!(listed.lines().nth(2).unwrap().starts_with("my-gateway/1"), "yours are asked first: {listed}");
    write(&directory, "worse.toml", "[[mapping]]\nname = 7\n");
    let checked = check();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        checked.status.code() == Some(2) && said.contains("worse.toml, line 2: name must be a text"),
        "{said}"
    );
}
