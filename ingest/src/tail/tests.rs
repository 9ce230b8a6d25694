//! A tail over real files and a real store: whatever happens to the files, each line is recorded once and in order.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use schemas::Stream;
use schemas::limits::{CURSORS_APPEND_MAX, TAIL_FILES_MAX};
use store::{Cursor, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::pull::rig::{column, ingest, open};

struct Rig {
    dir: tempfile::TempDir,
    store: Store,
    pattern: &'static str,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Result<(), Error>>>,
}

/// A canonical event without an id of its own: nothing but the cursor keeps it from being recorded twice.
fn line(text: &str) -> String {
    format!(r#"{{"time":"2026-11-21T10:00:00Z","kind":"call","capability":"{text}"}}"#)
}

impl Rig {
    fn new(pattern: &'static str) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        let store = open(dir.path());
        let mut rig = Rig { dir, store, pattern, stop: watch::Sender::new(false), task: None };
        rig.start();
        rig
    }

    fn start(&mut self) {
        let ingest = ingest(&self.store);
        self.stop = watch::Sender::new(false);
        let tail = Tail { line_bytes_max: 2000, ..Tail::new("agents", "default", self.path(self.pattern)) };
        self.task = Some(tokio::spawn(tail.run(ingest, self.stop.subscribe())));
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    /// The service ends and starts again.
    async fn restart(&mut self) {
        self.stop().await;
        self.store.close().await.unwrap();
        self.store = open(self.dir.path());
        self.start();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn lines(&self, name: &str, of: &[&str]) {
        self.write(name, &of.iter().map(|text| line(text) + "\n").collect::<String>());
    }

    fn rename(&self, from: &str, to: &str) {
        assert!(
            std::process::Command::new("mv")
                .args([self.path(from), self.path(to)])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Column `column` of the events whose `kind` is `kind`, in log order.
    fn column(&self, kind: &str, name: &str) -> Vec<String> {
        let sealed = self.store.snapshot("default", Stream::Events).map_or(0, |snapshot| snapshot.sealed);
        assert_eq!(sealed, 0, "these tests look at what is not sealed");
        column(&self.store, kind, name)
    }

    async fn until(&self, count: usize) -> Vec<String> {
        for _ in 0..200 {
            let found = self.column("call", "capability");
            if found.len() >= count {
                // Nothing more comes of it.
                tokio::time::sleep(Duration::from_millis(600)).await;
                return self.column("call", "capability");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{count} lines are not there: {:?}", self.column("call", "capability"))
    }

    fn notices(&self) -> Vec<String> {
        self.column("integrity", "method")
    }
}

/// The store does not stop for these tests: what is sealed at a restart is out of sight, so they look before it.
#[tokio::test(flavor = "multi_thread")]
async fn lines_are_recorded_as_they_come() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1", "2"]);
    rig.write("a.jsonl", &line("3"));
    assert_eq!(rig.until(2).await, ["1", "2"], "a line without its end is none yet");
    rig.write("a.jsonl", "\n\n  \n");
    rig.lines("a.jsonl", &["4"]);
    assert_eq!(rig.until(4).await, ["1", "2", "3", "4"]);
    // A collector that begins again goes on behind what is recorded.
    rig.stop().await;
    rig.lines("a.jsonl", &["5"]);
    rig.start();
    assert_eq!(rig.until(5).await, ["1", "2", "3", "4", "5"]);
    assert!(rig.notices().is_empty());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_store_loses_and_repeats_nothing() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1", "2", "3"]);
    rig.until(3).await;
    rig.restart().await;
    rig.lines("a.jsonl", &["4"]);
    for _ in 0..100 {
        if rig.store.snapshot("default", Stream::Events).unwrap().durable >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(rig.store.snapshot("default", Stream::Events).unwrap().durable, 5, "four lines and entry 0");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_file_is_read_to_its_end_whoever_looks_when() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1"]);
    rig.until(1).await;
    rig.rename("a.jsonl", "a.jsonl.1");
    // The writer has not noticed yet.
    rig.lines("a.jsonl.1", &["2"]);
    rig.lines("a.jsonl", &["3"]);
    rig.until(3).await;
    rig.lines("a.jsonl.1", &["4"]);
    let mut found = rig.until(4).await;
    found.sort();
    assert_eq!(found, ["1", "2", "3", "4"]);
    // Twice while nobody looks.
    rig.stop().await;
    rig.lines("a.jsonl", &["5"]);
    rig.rename("a.jsonl.1", "a.jsonl.2");
    rig.rename("a.jsonl", "a.jsonl.1");
    rig.lines("a.jsonl", &["6"]);
    rig.rename("a.jsonl.2", "a.jsonl.3");
    rig.rename("a.jsonl.1", "a.jsonl.2");
    rig.rename("a.jsonl", "a.jsonl.1");
    rig.lines("a.jsonl", &["7"]);
    rig.start();
    let mut found = rig.until(7).await;
    found.sort();
    assert_eq!(found, ["1", "2", "3", "4", "5", "6", "7"]);
    assert!(rig.notices().is_empty(), "{:?}", rig.notices());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_copied_and_truncated_is_read_once() {
    let mut rig = Rig::new("a.jsonl*");
    rig.lines("a.jsonl", &["1", "2"]);
    rig.until(2).await;
    for (round, stops) in [(0, false), (1, true)] {
        let name = |at: usize| format!("{round}-{at}");
        if stops {
            rig.stop().await;
        }
        rig.lines("a.jsonl", &[&name(0)]);
        fs::copy(rig.path("a.jsonl"), rig.path(&format!("a.jsonl.{round}"))).unwrap();
        if !stops {
            rig.until(3).await;
        }
        fs::write(rig.path("a.jsonl"), "").unwrap();
        rig.lines("a.jsonl", &[&name(1)]);
        if stops {
            rig.start();
        }
        let mut found = rig.until(4 + 2 * round).await;
        found.sort();
        let expected: Vec<String> = (0..=round)
            .flat_map(|round| [format!("{round}-0"), format!("{round}-1")])
            .chain(["1".into(), "2".into()])
            .collect();
        let mut expected = expected;
        expected.sort();
        assert_eq!(found, expected, "round {round}");
    }
    assert!(rig.notices().is_empty(), "{:?}", rig.notices());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_is_told_and_the_file_begins_anew() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1", "2"]);
    rig.until(2).await;
    fs::write(rig.path("a.jsonl"), line("3") + "\n").unwrap();
    assert_eq!(rig.until(3).await, ["1", "2", "3"]);
    assert_eq!(rig.notices(), ["truncated"]);
    // The same bytes again, while nobody looks: as long as before, and another generation all the same.
    rig.stop().await;
    fs::write(rig.path("a.jsonl"), line("4") + "\n").unwrap();
    rig.start();
    assert_eq!(rig.until(4).await, ["1", "2", "3", "4"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_told_without_its_content() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1"]);
    rig.write("a.jsonl", "{\"capability\": \"s3cr3t-value\"\n[1, 2]\n");
    rig.write("a.jsonl", &format!("{}\n", line(&"x".repeat(3000))));
    rig.lines("a.jsonl", &["2"]);
    assert_eq!(rig.until(2).await, ["1", "2"]);
    assert_eq!(rig.notices(), ["refused"]);
    let snapshot = rig.store.snapshot("default", Stream::Events).unwrap();
    let told: Vec<String> = snapshot
        .unsealed
        .iter()
        .flat_map(|batch| {
            let attributes = batch.payloads.column_by_name("attributes").unwrap().as_map().clone();
            (0..attributes.len())
                .filter(|row| attributes.is_valid(*row))
                .map(|row| {
                    let pairs = attributes.value(row);
                    let (keys, values) =
                        (pairs.column(0).as_string::<i32>(), pairs.column(1).as_string::<i32>());
                    keys.iter()
                        .zip(values.iter())
                        .map(|(key, value)| format!("{key:?} {value:?}\n"))
                        .collect()
                })
                .collect::<Vec<String>>()
        })
        .collect();
    let told = told.join("");
    // One broken line, two values of one that is no object, one line that is too long.
    assert!(told.contains("\"refused\") Some(\"4\")"), "{told}");
    for code in ["bad_json", "not_object", "too_large"] {
        assert!(told.contains(code), "{code}: {told}");
    }
    assert!(!told.contains("s3cr3t"), "{told}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_done_is_let_go_and_its_inode_may_come_again() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1"]);
    rig.write("a.jsonl", &line("2"));
    rig.until(1).await;
    rig.rename("a.jsonl", "b");
    let log = rig.store.log("default", Stream::Events).await.unwrap();
    assert_eq!(rig.until(2).await, ["1", "2"], "what is left of a file that grows no more is a line");
    fs::remove_file(rig.path("b")).unwrap();
    tokio::time::sleep(Duration::from_millis(TAIL_POLL_MS * 4)).await;
    rig.lines("a.jsonl", &["3"]);
    assert_eq!(rig.until(3).await, ["1", "2", "3"]);
    // Gone for two looks: with the next lines it is forgotten.
    tokio::time::sleep(Duration::from_millis(TAIL_POLL_MS * 4)).await;
    rig.lines("a.jsonl", &["4"]);
    assert_eq!(rig.until(4).await, ["1", "2", "3", "4"]);
    assert_eq!(log.cursors(COLLECTOR, "agents").unwrap().len(), 1, "of the file that is there");
    assert!(rig.notices().is_empty(), "{:?}", rig.notices());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_reader_of_the_same_name_is_refused() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["1"]);
    rig.until(1).await;
    let ingest = ingest(&rig.store);
    let stop = watch::Sender::new(false);
    let second =
        tokio::spawn(Tail::new("agents", "default", rig.path("a.jsonl")).run(ingest, stop.subscribe()));
    tokio::time::sleep(Duration::from_millis(600)).await;
    rig.lines("a.jsonl", &["2"]);
    assert_eq!(rig.until(2).await, ["1", "2"], "whoever comes first");
    rig.lines("a.jsonl", &["3"]);
    assert_eq!(rig.until(3).await, ["1", "2", "3"]);
    stop.send_replace(true);
    rig.stop.send_replace(true);
    let (first, second) = (rig.task.take().unwrap().await.unwrap(), second.await.unwrap());
    let moved =
        |result: &Result<(), Error>| matches!(result, Err(Error::Store(store::Error::CursorMoved { .. })));
    assert!(moved(&first) != moved(&second), "one of them is told: {first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_are_followed_at_once_are_all_read() {
    let mut rig = Rig::new("a.jsonl");
    rig.lines("a.jsonl", &["first"]);
    rig.until(1).await;
    rig.stop().await;
    // Rotated away while nobody looked, each within what one look sees as new.
    let count = TAIL_FILES_MAX + 20;
    for at in 0..count {
        rig.lines(&format!("a.jsonl.{at}"), &[&format!("{at:04}")]);
    }
    rig.start();
    let mut found = Vec::new();
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        found = rig.column("call", "capability");
        if found.len() > count {
            break;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count + 1, "each is read once the ones before it are done");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.column("call", "capability").len(), count + 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_one_file_holds_up_no_other() {
    let mut rig = Rig::new("*.jsonl");
    std::os::unix::fs::symlink("loop.jsonl", rig.path("loop.jsonl")).unwrap();
    std::os::unix::fs::symlink("nothing", rig.path("gone.jsonl")).unwrap();
    std::os::unix::fs::symlink("other", rig.path("other")).unwrap();
    fs::create_dir(rig.path("directory.jsonl")).unwrap();
    rig.lines("a.jsonl", &["1", "2"]);
    assert_eq!(rig.until(2).await, ["1", "2"]);
    rig.lines("a.jsonl", &["3"]);
    assert_eq!(rig.until(3).await, ["1", "2", "3"]);
    assert_eq!(rig.notices(), ["unreadable"], "told once, and only of what is meant");
    // Names need not be text.
    let name = std::ffi::OsStr::from_bytes(b"agent-\xff.jsonl");
    fs::write(rig.dir.path().join("logs").join(name), line("4") + "\n").unwrap();
    assert_eq!(rig.until(4).await, ["1", "2", "3", "4"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_begin_alike_are_told_apart_when_one_goes_on() {
    let mut rig = Rig::new("*.jsonl");
    let common: Vec<String> = (0..30).map(|at| at.to_string()).collect();
    let common: Vec<&str> = common.iter().map(String::as_str).collect();
    rig.lines("a.jsonl", &common);
    rig.until(30).await;
    rig.lines("b.jsonl", &common);
    assert_eq!(rig.until(30).await.len(), 30, "no longer than the other: it may be a copy");
    rig.lines("b.jsonl", &["of b"]);
    let found = rig.until(61).await;
    assert_eq!((found.len(), found.last().unwrap().as_str()), (61, "of b"));
    // Longer than what was read of the other as well, and otherwise behind that.
    rig.stop().await;
    rig.lines("c.jsonl", &common);
    rig.lines("c.jsonl", &["of c", "and more of c"]);
    rig.lines("b.jsonl", &["more of b", "still more of b", "and the end"]);
    rig.start();
    let found = rig.until(61 + 32 + 3).await;
    assert_eq!(found.len(), 61 + 32 + 3, "{found:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_pattern_that_were_rotated_while_nobody_looked_are_found() {
    let mut rig = Rig::new("*.jsonl");
    // Neither a file that has nothing to do with it nor one of its own may say that all is known until next year.
    let touch = |rig: &Rig, name: &str| {
        let touched =
            std::process::Command::new("touch").args(["-d", "+300 days"]).arg(rig.path(name)).status();
        assert!(touched.unwrap().success());
    };
    rig.write("notes.txt", "x");
    touch(&rig, "notes.txt");
    rig.lines("a.jsonl", &["1"]);
    rig.until(1).await;
    rig.lines("a.jsonl", &["2"]);
    touch(&rig, "a.jsonl");
    rig.until(2).await;
    rig.lines("a.jsonl", &["3"]);
    rig.until(3).await;
    rig.stop().await;
    rig.rename("a.jsonl", "a.jsonl.1");
    rig.lines("a.jsonl", &["4"]);
    rig.rename("a.jsonl.1", "a.jsonl.2");
    rig.rename("a.jsonl", "a.jsonl.1");
    rig.lines("a.jsonl", &["5"]);
    rig.start();
    let mut found = rig.until(5).await;
    found.sort();
    assert_eq!(found, ["1", "2", "3", "4", "5"]);
    assert!(rig.notices().is_empty(), "{:?}", rig.notices());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_takes_no_more_cursors_goes_on_with_those_it_has() {
    let mut rig = Rig::new("*.jsonl");
    rig.lines("a.jsonl", &["1"]);
    rig.until(1).await;
    let log = rig.store.log("default", Stream::Events).await.unwrap();
    let ingest = ingest(&rig.store);
    let puller = Puller::new(ingest, (COLLECTOR, "others"), "default", None, rig.stop.subscribe());
    let nothing = puller.prepare(Parts::default()).await.unwrap();
    let mut at = 0;
    while log.cursor_room() > 0 {
        let count = CURSORS_APPEND_MAX.min(log.cursor_room());
        let step = |at: usize| {
            let name = schemas::CursorName::new(COLLECTOR, "others", &at.to_string()).unwrap();
            Cursor { name, from: None, to: Some("1".to_string()) }
        };
        let steps: Vec<Cursor> = (at..at + count).map(step).collect();
        at += count;
        let notice = Notice { what: "others", target: String::new(), more: json!({ "status": "ok" }) };
        assert!(puller.record(&nothing, &[notice], &steps, 0).await.unwrap());
    }
    rig.lines("b.jsonl", &["2"]);
    tokio::time::sleep(Duration::from_millis(TAIL_POLL_MS * 4)).await;
    rig.lines("a.jsonl", &["3"]);
    assert_eq!(rig.until(2).await, ["1", "3"]);
    assert_eq!(rig.notices().iter().filter(|notice| *notice == "unreadable").count(), 1);
    rig.stop().await;
}
