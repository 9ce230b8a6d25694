//! Files that are followed while they are written and rotated, and the service is killed: each line is recorded once.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{Events, Seeded, Service, event, eventually, is_full, run, service_log, verify, whole};

/// As in the loss suite: seals and file changes within a run's short life.
const HURRY: [(&str, &str); 3] = [
    ("TACHO_STORE_SEAL_ROWS", "500"),
    ("TACHO_STORE_SEAL_AGE_SMALL_S", "1"),
    ("TACHO_STORE_WAL_FILE_BYTES", "1000000"),
];

/// A program that logs and rotates its file.
struct Writer {
    directory: PathBuf,
    file: File,
    seeded: Seeded,
    lines: u64,
    bad: u64,
    rotations: u64,
}

impl Writer {
    fn new(directory: &Path) -> Writer {
        let file = OpenOptions::new().create(true).append(true).open(directory.join("a.jsonl")).unwrap();
        Writer { directory: directory.to_path_buf(), file, seeded: Seeded(5), lines: 0, bad: 0, rotations: 0 }
    }

    /// Lines without ids of their own, now and then one that is broken, in writes that end anywhere.
    fn write(&mut self) {
        let mut text = String::new();
        for _ in 0..1 + self.seeded.below(60) {
            if self.seeded.below(50) == 0 {
                self.bad += 1;
                text.push_str("{\"capability\": broken\n");
            }
            let number = self.lines;
            self.lines += 1;
            text.push_str(&format!(
                "{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{number}\"}}\n"
            ));
        }
        let cut = self.seeded.below(text.len() as u64) as usize;
        self.file.write_all(&text.as_bytes()[..cut]).unwrap();
        std::thread::sleep(Duration::from_millis(self.seeded.below(10)));
        self.file.write_all(&text.as_bytes()[cut..]).unwrap();
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let path = |name: String| self.directory.join(name);
        let current = path("a.jsonl".to_string());
        if self.seeded.below(2) == 0 {
            fs::copy(&current, path(format!("a.jsonl.{}", 1000 + self.rotations))).unwrap();
            self.file.set_len(0).unwrap();
        } else {
            let to = path(format!("a.jsonl.{}", 1000 + self.rotations));
            let moved = std::process::Command::new("mv").arg(&current).arg(to).status().unwrap();
            assert!(moved.success());
            self.file = OpenOptions::new().create(true).append(true).open(&current).unwrap();
        }
    }
}

fn count(service: &Service, what: &str) -> u64 {
    service.sql(&format!("SELECT {what} AS n FROM events"))[0]["n"].as_u64().unwrap()
}

/// `tacho cursor ...` on `<home>`, where `configured` says whether the table is there; its exit code and all it said.
fn cursor(home: &Path, configured: bool, arguments: &[&str]) -> (Option<i32>, String) {
    let (data, keys) = (home.join("data"), home.join("keys"));
    let config = home.join(if configured { "tacho.toml" } else { "empty.toml" });
    let place = ["--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
    let output = run(&[&["cursor"], arguments, &place, &["--config", config.to_str().unwrap()]].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_table_that_was_taken_out_keeps_its_place_until_it_is_told_to_be_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.jsonl");
    fs::write(&path, event("e-1").replace(r#""event_id":"e-1","#, "") + "\n").unwrap();
    let config = home.path().join("tacho.toml");
    fs::write(&config, format!("[[tail]]\nname = \"agents\"\npath = {path:?}\n")).unwrap();
    let empty = home.path().join("empty.toml");
    fs::write(&empty, "").unwrap();
    let (config, empty) = (config.display().to_string(), empty.display().to_string());
    let (with, without) = ([("TACHO_CONFIG", config.as_str())], [("TACHO_CONFIG", empty.as_str())]);
    let calls = |service: &Service| count(service, "count(*) FILTER (WHERE kind = 'call')");

    let service = Service::start(home.path(), &with);
    eventually("the line", || calls(&service) == 1);
    let (code, said) = cursor(home.path(), false, &["forget", "tail/agents"]);
    assert!(code == Some(2) && said.contains("stop the service first"), "{said}");
    assert_eq!(service.stop(), Some(0));
    assert!(!service_log(home.path()).contains("in no table now"));
    let (code, said) = cursor(home.path(), true, &["list"]);
    assert!(code == Some(0) && said.contains("tail/agents"), "{said}");

    let service = Service::start(home.path(), &without);
    assert_eq!(service.stop(), Some(0));
    assert!(service_log(home.path()).contains("in no table now"), "{}", service_log(home.path()));
    // The table comes back: its line is not read again.
    let service = Service::start(home.path(), &with);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(calls(&service), 1);
    assert_eq!(service.stop(), Some(0));

    let (code, said) = cursor(home.path(), true, &["forget", "tail/agents"]);
    assert!(code == Some(2) && said.contains("take its table out first"), "{said}");
    let (code, said) = cursor(home.path(), false, &["list"]);
    assert!(code == Some(1) && said.contains("in no table"), "{said}");
    assert_eq!(cursor(home.path(), false, &["forget", "tail/others"]).0, Some(1));
    assert_eq!(cursor(home.path(), false, &["forget", "agents"]).0, Some(2));
    let (code, said) = cursor(home.path(), false, &["forget", "tail/agents"]);
    assert!(code == Some(0) && said.contains("forgot 1 cursors of tail/agents"), "{said}");
    let (code, said) = cursor(home.path(), false, &["list"]);
    assert!(code == Some(0) && !said.contains("tail/"), "{said}");
    let service = Service::start(home.path(), &with);
    eventually("the line, once more", || calls(&service) == 2);
    assert_eq!(count(&service, "count(*) FILTER (WHERE method = 'forgotten')"), 1);
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn each_line_is_recorded_once_whatever_is_rotated_and_killed() {
    let rounds = if is_full() { 60 } else { 8 };
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let config = home.path().join("tacho.toml");
    let path = logs.join("a.jsonl");
    fs::write(&config, format!("[[tail]]\nname = \"agents\"\npath = {path:?}\n")).unwrap();
    let config = config.display().to_string();
    let mut environment = HURRY.to_vec();
    environment.push(("TACHO_CONFIG", &config));
    let mut writer = Writer::new(&logs);
    let mut seeded = Seeded(9);
    // What was rotated away before anything was ever read is not meant.
    writer.write();
    let first = Service::start(home.path(), &environment);
    eventually("the first lines", || count(&first, "count(*)") > 1);
    first.kill();
    for round in 0..rounds {
        let service = Service::start(home.path(), &environment);
        let until = Instant::now() + Duration::from_millis(100 + seeded.below(1200));
        while Instant::now() < until {
            writer.write();
            if seeded.below(12) == 0 {
                writer.rotate();
            }
        }
        service.kill();
        // While nobody looks as well.
        writer.write();
        if seeded.below(2) == 0 {
            writer.rotate();
            writer.write();
        }
        let (code, text) = verify(home.path());
        assert_eq!(code, 0, "round {round}: {text}");
    }
    let service = Service::start(home.path(), &environment);
    let calls = "count(*) FILTER (WHERE kind = 'call')";
    let started = Instant::now();
    while count(&service, calls) < writer.lines {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{} of {} lines are recorded\n{}",
            count(&service, calls),
            writer.lines,
            service_log(home.path())
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_millis(700));
    let distinct = count(&service, "count(DISTINCT capability) FILTER (WHERE kind = 'call')");
    assert_eq!((count(&service, calls), distinct), (writer.lines, writer.lines));
    let notices = "SELECT e.method, p.attributes FROM events e JOIN payloads p ON e.log_index = p.log_index \
                   WHERE e.kind = 'integrity'";
    let mut refused = 0;
    for notice in service.sql(notices) {
        assert_eq!(notice["method"], "refused", "{notice}");
        assert!(!notice.to_string().contains("broken"), "{notice}");
        let text = notice["attributes"].to_string();
        let told = text.split("refused").nth(1).unwrap_or_default();
        let number: String =
            told.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        refused += number.parse::<u64>().unwrap_or_else(|_| panic!("{notice}"));
    }
    assert_eq!(refused, writer.bad, "every broken line is told once");
    println!(
        "{rounds} kills, {} lines, {} rotations: each recorded once; {refused} broken lines told",
        writer.lines, writer.rotations
    );
    // What this last start of it read, which is what the kill before had left.
    let Events { received, .. } = whole(home.path(), service);
    assert!(received > 0);
}
