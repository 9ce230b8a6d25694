//! The program itself: exit codes and what it prints.

use std::fs;
use std::process::{Command, Output};

use crate::writer::Store;

fn tacho_verify(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tacho-verify")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> (Option<i32>, String) {
    let printed = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[test]
fn exit_codes_are_verdicts() {
    let store = Store::small();
    let directory = store.data.path().to_str().unwrap();
    let key = store.root_key().to_string();
    let expect = |arguments: &[&str], code: i32, words: &str| {
        let (found, printed) = text(&tacho_verify(arguments));
        assert!(found == Some(code) && printed.contains(words), "{arguments:?}: {found:?}\n{printed}");
    };
    expect(&[directory, "--key", &key], 0, "CLEAN");
    expect(&[directory, "--key", &key], 0, "Does not prove");
    expect(&[directory, "--trust-store-key"], 0, "was not checked");
    expect(&[directory], 2, "CONSISTENT, IDENTITY NOT ESTABLISHED");
    expect(&[directory, "--key", "nonsense"], 2, "--key");
    expect(&["/nowhere/at/all", "--trust-store-key"], 2, "error: cannot read");
    expect(&[store.data.path().join("log/default").to_str().unwrap(), "--key", &key], 2, "no root log");
    let segment = crate::flip::files(&store.logs[1].directory.join("segments"))[0].clone();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    expect(&[directory, "--key", &key], 1, "FINDING: log acme-1f/default/events/w1");
    expect(&[directory], 1, "TAMPERED");
    expect(
        &[directory, "--key", &key, "--quiet", "--jobs", "1"],
        1,
        segment.file_name().unwrap().to_str().unwrap(),
    );
}

#[test]
fn quiet_prints_nothing_where_nothing_is_wrong_and_json_is_one_object() {
    let store = Store::small();
    let directory = store.data.path().to_str().unwrap();
    let output = tacho_verify(&[directory, "--trust-store-key", "--quiet"]);
    assert_eq!(text(&output), (Some(0), String::new()));
    let output = tacho_verify(&[directory, "--json"]);
    assert!(output.stderr.is_empty());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "identity not established");
    assert_eq!(report["logs"].as_array().unwrap().len(), 3);
    assert_eq!(report["root_key"], store.root_key().to_string());
}

#[test]
fn what_was_seen_is_remembered() {
    let store = Store::small();
    let memory = tempfile::tempdir().unwrap();
    let file = memory.path().join("seen.json");
    let arguments =
        [store.data.path().to_str().unwrap(), "--trust-store-key", "--remember", file.to_str().unwrap()];
    assert_eq!(tacho_verify(&arguments).status.code(), Some(0));
    assert!(fs::read_to_string(&file).unwrap().contains("acme-1f/_root/root/w1"));
    fs::write(&file, "{").unwrap();
    let (code, printed) = text(&tacho_verify(&arguments));
    assert!(code == Some(2) && printed.contains("remembered"), "{printed}");
}
