//! `tacho tap`: the wrapped server behaves as if nobody watched, and what passed is on record.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Seeded, Service, is_full, tacho, whole};

/// Real clients and real servers.
mod interop;
/// Bytes, exit codes, signals and closed pipes, beside the same server unwrapped.
mod transparent;

/// Answers calls of tools with an empty result, a line at a time.
pub(super) const ANSWERING: [&str; 3] = ["sed", "-u", r#"s|"method":"tools/call"|"result":{}|"#];

/// `tacho tap` around a command, with the spool in `<home>/spool` and the service that runs on `<home>/data`, now or later.
pub(super) fn tapped(home: &Path, flags: &[&str], command: &[&str]) -> Command {
    let mut tap = Command::new(tacho());
    tap.args(["tap", "--data"]).arg(home.join("data")).arg("--spool").arg(home.join("spool"));
    // Numbers of events are counted, so none comes by the clock unless a test says so.
    if !flags.contains(&"--heartbeat") {
        tap.args(["--heartbeat", "0"]);
    }
    tap.args(flags).arg("--").args(command);
    tap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tap
}

/// The relay whose spool is below `home`.
fn relay(home: &Path) -> Option<u32> {
    let spool = home.join("spool").display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_relay = |id: &u32| {
        let read = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        let has =
            |bytes: Vec<u8>, text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        has(read("environ"), "TACHO_TAP_DETACHED=1") && has(read("cmdline"), &spool)
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_relay)
}

/// Texts of the event files of each run in the spool below `home`.
fn spooled(home: &Path) -> Vec<String> {
    let below =
        |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let runs = below(home.join("spool")).flat_map(below);
    let text = |path: PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    runs.map(|run| below(run).map(text).collect()).collect()
}

pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the relay below `home` has ended, and with it all sending.
pub(super) fn settled(home: &Path) {
    until("the relay ends", || relay(home).is_none());
}

fn call(id: u64) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "get_thing", "arguments": {"number": id}}})
    .to_string()
}

/// A client that calls and waits for each answer.
struct Caller {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    called: u64,
}

impl Caller {
    fn start(mut command: Command) -> Caller {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Caller { child, answers, called: 0 }
    }

    fn call(&mut self, count: u64) {
        for _ in 0..count {
            let line = format!("{}\n", call(self.called));
            self.called += 1;
            self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
            let mut answer = String::new();
            self.answers.read_line(&mut answer).unwrap();
            assert!(answer.contains("\"result\""), "{answer}");
        }
    }

    /// Closes the server's input and waits for its end.
    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

/// Numbers of the events of a session in the order of the log, which must be that in which they were made.
fn sequence(service: &Service, session: &str) -> Vec<i64> {
    let rows = service.sql(&format!(
        "SELECT source_seq FROM events WHERE session_id = '{session}' AND source_seq IS NOT NULL ORDER BY log_index"
    ));
    rows.iter().map(|row| row["source_seq"].as_i64().unwrap()).collect()
}

fn count(service: &Service, condition: &str) -> u64 {
    let rows = service.sql(&format!("SELECT count(*) AS n FROM events WHERE {condition}"));
    rows[0]["n"].as_u64().unwrap()
}

#[test]
fn a_service_that_is_away_and_comes_back_gets_everything_in_order() {
    let home = tempfile::tempdir().unwrap();
    let mut caller =
        Caller::start(tapped(home.path(), &["--session", "s", "--server", "things"], &ANSWERING));
    // Never there yet; there; killed under load; back.
    caller.call(200);
    let service = Service::start(home.path(), &[]);
    until("what waited is on record", || count(&service, "kind = 'call'") == 200);
    caller.call(200);
    until("what came since is on record", || count(&service, "kind = 'call'") == 400);
    std::thread::scope(|scope| {
        let killing = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            service.kill()
        });
        caller.call(3000);
        killing.join().unwrap();
    });
    let service = Service::start(home.path(), &[]);
    caller.call(100);
    let called = caller.called;
    assert_eq!(caller.end(), Some(0));
    settled(home.path());
    let sequence = sequence(&service, "s");
    assert_eq!(sequence, (1..=called as i64 + 2).collect::<Vec<_>>(), "calls, a start and an end, in order");
    let answered =
        count(&service, "kind = 'call' AND status = 'ok' AND server = 'things' AND observer = 'tap'");
    assert_eq!(answered, called);
    let left: Vec<_> = std::fs::read_dir(home.path().join("spool")).unwrap().flatten().collect();
    let is_empty = |home: &std::fs::DirEntry| {
        let mut entries = std::fs::read_dir(home.path()).unwrap().flatten();
        entries.all(|entry| {
            let name = entry.file_name().into_string().unwrap();
            name == "destination" || name.ends_with(".checkpoint")
        })
    };
    assert!(left.iter().all(is_empty), "{left:?}");
    whole(home.path(), service);
}

#[test]
fn what_a_killed_tap_left_is_sent_by_the_next_and_nothing_twice() {
    let kills = if is_full() { 25 } else { 4 };
    let home = tempfile::tempdir().unwrap();
    let mut seeded = Seeded(7);
    let mut known = Vec::new();
    for kill in 0..kills {
        let session = format!("k{kill}");
        let mut caller = Caller::start(tapped(home.path(), &["--session", &session], &ANSWERING));
        // What has rested is observed; what is under way may be seen by nobody.
        caller.call(100 + seeded.below(200));
        let (own, last) = (format!("\"{session}\""), format!("\"number\":{}", caller.called - 1));
        until("what has rested is in the spool", || {
            let texts = spooled(home.path());
            texts.iter().any(|text| text.contains(&own) && text.contains(&last))
        });
        known.push((session, caller.called));
        let id = relay(home.path()).expect("a relay");
        std::thread::scope(|scope| {
            let pause = Duration::from_millis(seeded.below(20));
            scope.spawn(move || {
                std::thread::sleep(pause);
                Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
            });
            // The connection breaks at some point of this.
            for at in 0..2000 {
                let line = format!("{}\n", call(caller.called + at));
                if caller.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).is_err() {
                    break;
                }
                let mut answer = String::new();
                if caller.answers.read_line(&mut answer).unwrap_or(0) == 0 {
                    break;
                }
            }
        });
        caller.end();
    }
    let service = Service::start(home.path(), &[]);
    let mut last = Caller::start(tapped(home.path(), &["--session", "last"], &ANSWERING));
    last.call(1);
    last.end();
    settled(home.path());
    for (session, called) in known {
        let sequence = sequence(&service, &session);
        assert_eq!(
            sequence,
            (1..=sequence.len() as i64).collect::<Vec<_>>(),
            "{session}: a gap or a second record"
        );
        assert!(sequence.len() as u64 > called, "{session}: {} of {called}", sequence.len());
    }
    let order = service.sql(
        "SELECT session_id, min(log_index) AS first FROM events WHERE observer = 'tap' GROUP BY 1 ORDER BY 2",
    );
    assert_eq!(order.last().unwrap()["session_id"], "last", "what was left goes first: {order:?}");
    whole(home.path(), service);
    println!("{kills} kills at any moment of a tap, none lost");
}

#[test]
fn beyond_the_cap_the_number_dropped_is_on_record_and_right() {
    let home = tempfile::tempdir().unwrap();
    let flags = ["--session", "s", "--spool-bytes", "200000"];
    let mut caller = Caller::start(tapped(home.path(), &flags, &ANSWERING));
    caller.call(3000);
    assert_eq!(caller.end(), Some(0));
    settled(home.path());
    let service = Service::start(home.path(), &[]);
    let mut next = Caller::start(tapped(home.path(), &["--session", "next"], &ANSWERING));
    next.call(1);
    next.end();
    settled(home.path());
    let notice = service.sql("SELECT p.attributes FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE e.session_id = 's' AND e.kind = 'integrity'");
    assert_eq!(notice.len(), 1, "{notice:?}");
    // Attributes are JSON text by name.
    let dropped: u64 = notice[0]["attributes"]["events_dropped"].as_str().unwrap().parse().unwrap();
    let kept = count(&service, "session_id = 's'");
    // Start, calls, end and the notice itself.
    assert_eq!(kept + dropped, 3003);
    assert!(kept > 200 && dropped > 1000, "{kept} kept, {dropped} dropped");
    // The oldest; where no call has room, the shorter end of the session may.
    let calls = service.sql(
        "SELECT source_seq FROM events WHERE session_id = 's' AND method = 'tools/call' ORDER BY log_index",
    );
    let calls: Vec<i64> = calls.iter().map(|row| row["source_seq"].as_i64().unwrap()).collect();
    let oldest = calls.iter().zip(2..).take_while(|(call, place)| *call == place).count();
    // One whose latency has a digit less may find room where those before it had none.
    assert!(calls.len() - oldest <= 2 && calls.is_sorted_by(|a, b| a < b), "the oldest are kept: {calls:?}");
    // The holes in its numbers are as many.
    let sources = service.sql("SELECT missing, drop_notices FROM sources WHERE source LIKE '%/canonical/1'");
    assert_eq!(json!(sources), json!([{"missing": dropped, "drop_notices": 1}]));
    whole(home.path(), service);
}

/// KiB that a process has had at most, and has now.
fn memory(id: u32) -> [u64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    ["VmHWM:", "VmRSS:"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

#[test]
fn a_service_that_is_away_for_long_costs_disk_and_no_memory() {
    let (away, pause) = if is_full() { (Duration::from_secs(600), 5) } else { (Duration::from_secs(12), 1) };
    let home = tempfile::tempdir().unwrap();
    let flags = ["--session", "s", "--server", "things", "--heartbeat", "1"];
    let mut caller = Caller::start(tapped(home.path(), &flags, &ANSWERING));
    // Until its buffers are as large as they get.
    caller.call(5_000);
    let id = relay(home.path()).expect("a relay");
    let [_, before] = memory(id);
    let started = Instant::now();
    while started.elapsed() < away {
        caller.call(20);
        std::thread::sleep(Duration::from_millis(pause));
    }
    let [peak, _] = memory(id);
    let service = Service::start(home.path(), &[]);
    let called = caller.called;
    // As long as it takes, if only it goes on.
    let mut recorded = 0;
    while recorded < called {
        let before = recorded;
        until("more of what waited is on record", || {
            recorded = count(&service, "kind = 'call'");
            recorded > before
        });
    }
    assert_eq!(recorded, called, "each once");
    let beats = count(&service, "kind = 'integrity' AND method = 'heartbeat'");
    assert_eq!(caller.end(), Some(0));
    settled(home.path());
    println!(
        "away {} s: {called} calls, {beats} heartbeats, relay {before} KiB before, {peak} KiB at most",
        away.as_secs()
    );
    assert!(beats >= away.as_secs() / 2, "{beats} heartbeats");
    assert!(peak < before + (16 << 10), "{before} KiB before, {peak} KiB at most");
    let numbers = sequence(&service, "s");
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>(), "in order, none missing");
    let sources =
        service.sql("SELECT missing, numbered_runs, last_heartbeat IS NOT NULL AS beats FROM sources");
    assert_eq!(json!(sources), json!([{"missing": 0, "numbered_runs": 1, "beats": true}]));
    whole(home.path(), service);
}

#[test]
fn no_secret_and_no_token_lies_in_the_spool() {
    let home = tempfile::tempdir().unwrap();
    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz123");
    let token = format!("tacho_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz1234567");
    let token_file = home.path().join("token");
    std::fs::write(&token_file, &token).unwrap();
    let mut tap = Command::new(tacho());
    tap.args(["tap", "--url", "http://127.0.0.1:1", "--token-file"]).arg(&token_file);
    tap.arg("--spool").arg(home.path().join("spool")).args(["--", "cat"]);
    let mut child = tap.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "x", "arguments": {"visible": "canary", "key": secret, "password": "hunter2"}}});
    child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(out.contains(&secret), "it passes through untouched");
    child.wait().unwrap();
    settled(home.path());
    let mut seen = false;
    for file in super::main_job::files_below(&home.path().join("spool")) {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        seen |= text.contains("canary") && text.contains("<redacted:");
        for forbidden in [&secret, &token, "hunter2"] {
            assert!(!text.contains(forbidden), "{forbidden} in {}", file.display());
        }
    }
    assert!(seen, "the search sees nothing");
    private(&home.path().join("spool"));
}

/// Nobody else on the machine may read what waits, down from the directory of all spools.
fn private(path: &Path) {
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| private(&entry.unwrap().path()));
    }
}

#[test]
fn the_server_does_not_get_the_credential() {
    let home = tempfile::tempdir().unwrap();
    let mut command = tapped(home.path(), &[], &["sh", "-c", "echo token=${TACHO_TOKEN-none}"]);
    command.env("TACHO_TOKEN", "tacho_secret");
    assert_eq!(transparent::exchange(command, b"").out, b"token=none\n");
    settled(home.path());
}

#[test]
fn what_waits_for_a_token_that_was_replaced_is_said() {
    let home = tempfile::tempdir().unwrap();
    let tap = |token: &str, command: &[&str]| {
        let mut tap = Command::new(tacho());
        tap.args(["tap", "--url", "http://user:hidden@127.0.0.1:1", "--spool"])
            .arg(home.path().join("spool"));
        tap.env("TACHO_TOKEN", token).arg("--").args(command);
        tap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        transparent::exchange(tap, b"{\"id\":1,\"method\":\"x\"}\n")
    };
    tap("tacho_old", &["cat"]);
    settled(home.path());
    let seen = tap("tacho_new", &["sleep", "3"]);
    let said = String::from_utf8_lossy(&seen.error);
    assert!(said.contains("events of 1 ended taps wait in"), "{said}");
    assert!(said.contains("http://127.0.0.1:1 with a token of TACHO_TOKEN"), "{said}");
    assert!(!said.contains("tacho_old") && !said.contains("hidden"), "{said}");
    settled(home.path());
}

#[test]
fn nothing_of_ours_keeps_a_server_from_running() {
    let home = tempfile::tempdir().unwrap();
    let tap = |flags: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(tacho());
        command.arg("tap").args(flags).args(["--", "cat"]).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        transparent::exchange(command, b"{\"id\":1}\n")
    };
    let spool = home.path().join("spool").display().to_string();
    for (flags, environment) in [
        (vec!["--spool", "/proc/none"], vec![]),
        (vec!["--spool", &spool, "--url", "nonsense"], vec![]),
        (vec!["--spool", &spool, "--url", "http://127.0.0.1:1", "--token-file", "/none"], vec![]),
        (vec!["--spool", &spool], vec![("TACHO_CONFIG", "/none/at/all.toml")]),
        (vec![], vec![("HOME", ""), ("XDG_STATE_HOME", "")]),
        (vec!["--spool", &spool], vec![("TMPDIR", "/none/at/all")]),
    ] {
        let seen = tap(&flags, &environment);
        assert_eq!(seen.out, b"{\"id\":1}\n", "{flags:?} {environment:?}");
        assert_eq!(seen.status.code(), Some(0), "{flags:?} {environment:?}");
    }
    settled(home.path());
}

fn interop_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/mcp").join(name)
}
