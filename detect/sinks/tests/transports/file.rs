use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::support::{message, messages, open, reason, told, try_open, with_body};

#[tokio::test]
async fn lines_go_on_behind_what_is_there_and_follow_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    // As a crash left it.
    std::fs::write(&path, "one\ntor").unwrap();
    let mut sink = open("file", &format!("path = {path:?}"));
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "TT");
    let batch = [message(2), with_body(3, "a\nb"), message(4)];
    let fates = sink.deliver(&batch).await;
    assert!(told(&fates) == "TRT" && reason(&fates[..2]).contains("line feed"), "{fates:?}");
    let line = |number: u64| String::from_utf8(message(number).body.to_vec()).unwrap();
    let expected = format!("one\ntor\n{}\n{}\n{}\n{}\n", line(0), line(1), line(2), line(4));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    std::fs::rename(&path, dir.path().join("alerts.jsonl.1")).unwrap();
    assert_eq!(told(&sink.deliver(&messages(5..6)).await), "T");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", line(5)));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(told(&sink.deliver(&messages(6..7)).await), "T");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", line(6)));
    // Truncated under us, as `copytruncate` does.
    std::fs::write(&path, "").unwrap();
    assert_eq!(told(&sink.deliver(&messages(7..8)).await), "T");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", line(7)));
    assert_eq!(sink.target(), path.display().to_string());
    assert!(sink.deliver(&[]).await.is_empty());
}

#[tokio::test]
async fn a_disk_that_takes_nothing_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/alerts.jsonl");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let mut sink = open("file", &format!("path = {path:?}"));
    std::fs::remove_dir(dir.path().join("sub")).unwrap();
    let batch = [with_body(0, "a\nb"), message(1), message(2)];
    let fates = sink.deliver(&batch).await;
    assert!(told(&fates) == "Ra" && reason(&fates).contains("alerts.jsonl: No such file"), "{fates:?}");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    assert_eq!(told(&sink.deliver(&batch).await), "RTT");
}

#[tokio::test]
async fn a_cancelled_call_writes_no_line_in_two() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    let mut sink = open("file", &format!("path = {path:?}"));
    let large: Vec<_> = (0..4).map(|number| with_body(number, &"x".repeat(900_000))).collect();
    for _ in 0..5 {
        tokio::time::timeout(Duration::from_micros(50), sink.deliver(&large)).await.ok();
    }
    assert_eq!(told(&sink.deliver(&large).await), "TTTT");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() >= 4 && text.lines().all(|line| line.len() == 900_000));
}

#[test]
fn what_is_no_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    for (path, says) in [
        ("alerts.jsonl".to_string(), "give the whole path"),
        (dir.path().display().to_string(), "is no regular file"),
        (dir.path().join("none/alerts.jsonl").display().to_string(), "make it"),
        ("/dev/null".to_string(), "is no regular file"),
    ] {
        let error = try_open("file", &format!("path = {path:?}")).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// Runs as a program of its own, whose output is a pipe.
#[tokio::test]
async fn child_of_the_test_of_standard_output() {
    if std::env::var_os("TACHO_TEST_STDOUT").is_none() {
        return;
    }
    let mut sink = open("stdout", "");
    assert_eq!(told(&sink.deliver(&messages(0..3)).await), "TTT");
    // Until whoever reads has gone.
    for _ in 0..500 {
        let fates = sink.deliver(&messages(3..4)).await;
        if told(&fates) == "a" {
            assert!(reason(&fates).contains("Broken pipe"), "{fates:?}");
            std::process::exit(7);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn standard_output_is_lines_and_a_broken_pipe_is_away() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "transports::file::child_of_the_test_of_standard_output", "--nocapture"])
        .env("TACHO_TEST_STDOUT", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = Vec::new();
    while found.len() < 3 {
        let line = lines.next().unwrap().unwrap();
        found.extend(line.starts_with('{').then_some(line));
    }
    drop(lines);
    for (line, message) in found.iter().zip(messages(0..3)) {
        assert_eq!(line.as_bytes(), message.body);
    }
    assert_eq!(child.wait().unwrap().code(), Some(7));
}
