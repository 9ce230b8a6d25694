//! `tacho ingest` on files that do not fall into parts by themselves.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{event, run, tacho};

/// Loads `content` into a new store.
fn load(home: &Path, name: &str, content: &[u8]) -> Output {
    let file = home.join(name);
    std::fs::write(&file, content).unwrap();
    let data = home.join(format!("{name}.data"));
    let keys = home.join(format!("{name}.keys"));
    run(&[
        "ingest",
        file.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--keys",
        keys.to_str().unwrap(),
    ])
}

/// An event with a result of `bytes` bytes.
fn long(id: &str, bytes: usize) -> String {
    event(id).replace("\"result\":\"ok\"", &format!("\"result\":\"{}\"", "word ".repeat(bytes / 5)))
}

fn expect(output: &Output, code: i32, said: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(code) && text.contains(said),
        "{said}: {:?} {text} {told}",
        output.status
    );
}

#[test]
fn a_long_line_after_many_short_ones_is_a_part_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    let mut count = 0;
    while lines.len() < (4 << 20) - 2048 {
        lines += &long(&format!("s-{count}"), 1000);
        lines.push('\n');
        count += 1;
    }
    lines += &long("long", 14 << 20);
    lines += "\nnot json\n";
    let output = load(home.path(), "long.ndjson", lines.as_bytes());
    expect(&output, 1, &format!("accepted {}, duplicates 0, refused 1", count + 1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("long.ndjson:{}:", count + 2)), "{told}");
}

#[test]
fn arrays_and_values_on_many_lines_are_cut_between_values() {
    let home = tempfile::tempdir().unwrap();
    let events: Vec<String> = (0..6000).map(|id| long(&format!("e-{id}"), 1000)).collect();
    let array = format!("[{}]", events.join(","));
    expect(&load(home.path(), "array.json", array.as_bytes()), 0, "accepted 6000, duplicates 0, refused 0");
    let lines = format!("[\n{}\n]\n", events.join(",\n"));
    expect(&load(home.path(), "lines.json", lines.as_bytes()), 0, "accepted 6000, duplicates 0, refused 0");
    let pretty: String = events
        .iter()
        .map(|event| {
            let value: serde_json::Value = serde_json::from_str(event).unwrap();
            serde_json::to_string_pretty(&value).unwrap() + "\n"
        })
        .collect();
    expect(&load(home.path(), "pretty.json", pretty.as_bytes()), 0, "accepted 6000, duplicates 0, refused 0");
    // What breaks off is said, and what came before is there.
    let broken = format!("[\n{},\noops", events.join(",\n"));
    let output = load(home.path(), "broken.json", broken.as_bytes());
    expect(&output, 1, "accepted 6000, duplicates 0, refused 1");
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken.json:6002:"), "{output:?}");
}

#[test]
fn an_endless_line_is_refused_before_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(tacho())
        .args(["ingest", "-", "--data"])
        .arg(home.path().join("data"))
        .arg("--keys")
        .arg(home.path().join("keys"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let piece = vec![b'x'; 1 << 20];
    // Far more than one value may have: the program does not wait for the end.
    let taken = (0..200).take_while(|_| input.write_all(&piece).is_ok()).count();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(taken < 40, "{taken} MiB were read");
    assert!(String::from_utf8_lossy(&output.stderr).contains("over 16777216 bytes"), "{output:?}");
}
