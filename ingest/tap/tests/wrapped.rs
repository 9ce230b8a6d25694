//! Wrapped servers with the example `wrap`, which is the tap alone: the same tests of transparency that the whole program
//! passes, and kills of the relay.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "tests look at the clock to know when to give up")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "../../../tests/suites/tap/transparent.rs"]
mod transparent;

const ANSWERING: [&str; 3] = ["sed", "-u", r#"s|"method":"tools/call"|"result":{}|"#];

fn is_full() -> bool {
    std::env::var_os("TACHO_FULL").is_some()
}

/// The example, built beside this test.
fn wrap() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples/wrap")
}

fn tapped(home: &Path, _flags: &[&str], command: &[&str]) -> Command {
    let mut tap = Command::new(wrap());
    tap.arg(home.join("spool")).arg(home.join("service")).args(command);
    tap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tap
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn relay(home: &Path) -> Option<u32> {
    let spool = home.join("spool").display().to_string();
    let is_relay = |id: &u32| {
        let read = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        let has =
            |bytes: Vec<u8>, text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        has(read("environ"), "TACHO_TAP_DETACHED=1") && has(read("cmdline"), &spool)
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_relay)
}

fn settled(home: &Path) {
    until("the relay ends", || relay(home).is_none());
}

fn call(id: u64) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "get_thing", "arguments": {"number": id}}})
    .to_string()
}

/// A small deterministic generator.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^ (z >> 27)
    }
}

/// What the service took, in order: each event once, by its id; how many came twice.
fn taken(home: &Path) -> (Vec<Value>, usize) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(home.join("service")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut events, mut known, mut twice) = (Vec::new(), BTreeMap::new(), 0);
    for line in files.iter().flat_map(|file| {
        std::fs::read_to_string(file).unwrap().lines().map(str::to_string).collect::<Vec<_>>()
    }) {
        let event: Value = serde_json::from_str(&line).unwrap();
        match known.insert(event["event_id"].to_string(), line.clone()) {
            None => events.push(event),
            // A retry is the same, byte for byte: otherwise the service would see a conflict, not a duplicate.
            Some(before) => {
                assert_eq!(before, line);
                twice += 1;
            }
        }
    }
    (events, twice)
}

/// Calls until the connection breaks or `count` calls are answered; how many were.
fn call_until(child: &mut std::process::Child, count: u64) -> u64 {
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for at in 0..count {
        // Some calls at once, then slowly, so that a kill comes between any two.
        if at > 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut answer = String::new();
        let written = input.write_all(format!("{}\n", call(at)).as_bytes());
        if written.is_err() || output.read_line(&mut answer).unwrap_or(0) == 0 {
            return at;
        }
    }
    drop(input);
    count
}

#[test]
fn a_relay_that_is_killed_at_any_moment_leaves_what_it_saw() {
    let home = tempfile::tempdir().unwrap();
    let mut seeded = Seeded(3);
    let kills = if is_full() { 200 } else { 16 };
    for kill in 0..kills {
        // Half of them while the service takes what comes, half while it is away.
        let service = home.path().join("service");
        if kill % 2 == 0 {
            std::fs::create_dir_all(&service).unwrap();
        } else {
            std::fs::rename(&service, home.path().join("away")).unwrap();
        }
        let mut child = tapped(home.path(), &[], &ANSWERING).stderr(Stdio::null()).spawn().unwrap();
        let pause = Duration::from_micros(seeded.next() % 900_000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                until("a relay", || relay(home.path()).is_some());
                std::thread::sleep(pause);
                let id = relay(home.path()).unwrap().to_string();
                assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
            });
            call_until(&mut child, 2000);
        });
        child.wait().unwrap();
        settled(home.path());
        if kill % 2 == 1 {
            std::fs::rename(home.path().join("away"), &service).unwrap();
        }
    }
    // One more sends what is left, before its own.
    let mut child = tapped(home.path(), &[], &ANSWERING).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(call_until(&mut child, 3), 3);
    child.wait().unwrap();
    settled(home.path());
    let (events, twice) = taken(home.path());
    // Per run, in the order of the log: numbers without a gap, from the first.
    let mut last = 0;
    let mut runs = 0;
    for event in events.iter().filter(|event| !event["source_seq"].is_null()) {
        let number = event["source_seq"].as_i64().unwrap();
        runs += i64::from(number == 1);
        assert!(number == 1 || number == last + 1, "after {last} comes {number}");
        last = number;
    }
    assert!(runs > kills / 4, "{runs} runs seen");
    assert_eq!(std::fs::read_dir(home.path().join("spool")).unwrap().count(), 0, "something is left");
    println!(
        "{kills} kills at any moment of a relay: {} events of {runs} runs without a gap, {twice} sent twice",
        events.len()
    );
}

#[test]
fn beyond_the_cap_the_count_is_right_and_the_oldest_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let mut tap = tapped(home.path(), &[], &ANSWERING);
    let mut child = tap.env("SPOOL_BYTES", "100000").stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(call_until(&mut child, 1000), 1000);
    child.wait().unwrap();
    std::fs::create_dir(home.path().join("service")).unwrap();
    settled(home.path());
    let (events, _) = taken(home.path());
    let notice = events.iter().find(|event| event["kind"] == "integrity").expect("a notice");
    let dropped = notice["events_dropped"].as_u64().unwrap();
    // Start, calls, end, and the notice itself.
    assert_eq!(events.len() as u64 + dropped, 1003, "{notice}");
    assert!(dropped > 500, "{dropped}");
    let summary = std::fs::read_to_string(home.path().join("spool.summary")).unwrap();
    let number = |name: &str| -> u64 {
        let after = summary.split(&format!("{name}: ")).nth(1).unwrap();
        after.split([',', ' ']).next().unwrap().parse().unwrap()
    };
    let sum = ["durable", "duplicates", "refused", "dropped", "unredactable"].map(number).iter().sum::<u64>();
    assert_eq!((number("made") + number("adopted"), number("made")), (sum, 1003), "{summary}");
    // The oldest; where no call has room, the shorter end of the session may.
    let kept = events.iter().filter(|event| event["method"] == "tools/call");
    let kept: Vec<i64> = kept.filter_map(|event| event["source_seq"].as_i64()).collect();
    assert_eq!(kept, (2..kept.len() as i64 + 2).collect::<Vec<_>>());
}

#[test]
fn nobody_waits_for_the_relay() {
    let home = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let output = tapped(home.path(), &[], &["sh", "-c", "echo out; echo err >&2"]).output().unwrap();
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(relay(home.path()).is_some(), "the service is away: it goes on trying for a while");
}

#[test]
fn memory_stays_flat_and_a_long_message_passes() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("service")).unwrap();
    let mut child = tapped(home.path(), &[], &["cat"]).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()).unwrap());
    let message = format!("{{\"id\":1,\"method\":\"x\",\"params\":\"{}\"}}\n", "y".repeat(10 << 20));
    let mut peak_kib = 0;
    for _ in 0..if is_full() { 200 } else { 20 } {
        input.write_all(message.as_bytes()).unwrap();
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", relay(home.path()).unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        peak_kib = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
    }
    drop(input);
    assert_eq!(reading.join().unwrap() % message.len() as u64, 0);
    child.wait().unwrap();
    settled(home.path());
    println!("peak memory of the relay with messages of 10 MiB: {} MiB", peak_kib >> 10);
    assert!(peak_kib < 256 << 10, "{peak_kib} KiB");
}
