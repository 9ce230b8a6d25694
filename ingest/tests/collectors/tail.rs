//! A file that is written and rotated while its reader is killed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Seeded, child, is_full, log};

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
                text.push_str("{\"capability\": s3cr3t\n");
            }
            text.push_str(&format!(
                "{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{}\"}}\n",
                self.lines
            ));
            self.lines += 1;
        }
        let cut = usize::try_from(self.seeded.below(text.len() as u64)).unwrap();
        self.file.write_all(&text.as_bytes()[..cut]).unwrap();
        std::thread::sleep(Duration::from_millis(self.seeded.below(10)));
        self.file.write_all(&text.as_bytes()[cut..]).unwrap();
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let current = self.directory.join("a.jsonl");
        let to = self.directory.join(format!("a.jsonl.{}", 1000 + self.rotations));
        if self.seeded.below(2) == 0 {
            fs::copy(&current, to).unwrap();
            self.file.set_len(0).unwrap();
        } else {
            assert!(std::process::Command::new("mv").arg(&current).arg(to).status().unwrap().success());
            self.file = OpenOptions::new().create(true).append(true).open(&current).unwrap();
        }
    }
}

#[test]
fn each_line_is_recorded_once_whatever_is_rotated_and_killed() {
    let rounds = if is_full() { 100 } else { 12 };
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let collector = format!("tail:{}", logs.join("a.jsonl").display());
    let mut writer = Writer::new(&logs);
    let mut seeded = Seeded(9);
    // What was rotated away before anything was ever read is not meant.
    writer.write();
    let first = child::start(home.path(), &collector);
    child::until(home.path(), 2, Duration::from_secs(20));
    child::kill(first);
    for round in 0..rounds {
        let child = child::start(home.path(), &collector);
        let until = Instant::now() + Duration::from_millis(50 + seeded.below(1200));
        while Instant::now() < until {
            writer.write();
            if seeded.below(12) == 0 {
                writer.rotate();
            }
        }
        child::kill(child);
        // While nobody looks as well.
        writer.write();
        if seeded.below(2) == 0 {
            writer.rotate();
            writer.write();
        }
        log::verify(home.path(), &format!("kill {round}"));
    }
    let child = child::start(home.path(), &collector);
    child::until(home.path(), writer.lines + 1, Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(2));
    child::kill(child);
    let rows = log::rows(home.path());
    let calls: Vec<&str> =
        rows.iter().filter(|row| row.kind == "call").map(|row| row.capability.as_str()).collect();
    let distinct: BTreeSet<&str> = calls.iter().copied().collect();
    assert_eq!((calls.len() as u64, distinct.len() as u64), (writer.lines, writer.lines));
    assert_eq!(log::told(&rows, "refused", "refused"), writer.bad, "every broken line is told once");
    let others: Vec<_> =
        rows.iter().filter(|row| row.kind == "integrity" && row.method != "refused").collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(!rows.iter().any(|row| row.attributes.contains("s3cr3t")));
    log::verify(home.path(), "at the end");
    println!(
        "{rounds} kills, {} lines, {} rotations: each recorded once; {} broken lines told",
        writer.lines, writer.rotations, writer.bad
    );
}
