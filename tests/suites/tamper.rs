//! A small sealed store, written by the real program: every byte of every file flipped in turn is found.

use std::path::{Path, PathBuf};

use super::main_job::files_below;
use crate::support::{Seeded, Service, event, is_full, verify};

/// Bytes that cannot matter, with the reason. Kept empty: a file that a manifest names is covered by its digest, and
/// every other file is compared with what it must be.
const CANNOT_MATTER: [(&str, &str); 0] = [];

/// A sealed store of at most 200 KiB.
fn small_store(home: &Path) {
    let service = Service::start(home, &[]);
    for at in 0..3 {
        let body: Vec<String> = (0..90).map(|line| event(&format!("{at}-{line}"))).collect();
        assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);
    }
    service.sql("SELECT count(*) FROM events");
    assert_eq!(service.stop(), Some(0));
}

fn check(home: &Path) -> verify::Report {
    let options = verify::Options::new(home.join("data"), verify::Identity::TrustStoreKey);
    verify::run(&options, &|_| {}).expect("verify runs")
}

#[test]
fn every_flipped_byte_is_found() {
    let home = tempfile::tempdir().unwrap();
    small_store(home.path());
    let log = home.path().join("data/log");
    let files = files_below(&log);
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= 200 << 10, "{bytes} bytes");
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
    let mut seeded = Seeded(7);
    let mut flipped = 0;
    let mut unnamed = Vec::new();
    for file in &files {
        let original = std::fs::read(file).unwrap();
        let step = if is_full() { 1 } else { (original.len() / 12).max(1) };
        let mut at = 0;
        while at < original.len() {
            let mut changed = original.clone();
            changed[at] ^= 1 << seeded.below(8);
            std::fs::write(file, &changed).unwrap();
            let report = check(home.path());
            let name = file.strip_prefix(&log).unwrap().display().to_string();
            let excused = CANNOT_MATTER.iter().any(|(place, _)| name.contains(place));
            assert!(!report.findings.is_empty() || excused, "byte {at} of {name} was flipped and not found");
            if !report.findings.iter().any(|finding| finding.file.is_some() && finding.log.is_some()) {
                unnamed.push(format!("{name} byte {at}"));
            }
            flipped += 1;
            at += if is_full() { 1 } else { 1 + seeded.below(step as u64 * 2) as usize };
        }
        std::fs::write(file, &original).unwrap();
    }
    assert!(check(home.path()).findings.is_empty(), "restored");
    println!("{flipped} of {bytes} bytes in {} files flipped, all found", files.len());
    assert!(unnamed.is_empty(), "found, but without log and file: {unnamed:?}");
}

#[test]
fn files_dropped_copied_cut_moved_and_rewritten_are_found() {
    let home = tempfile::tempdir().unwrap();
    small_store(home.path());
    let log = home.path().join("data/log");
    let files = files_below(&log);
    let found = |what: &str, file: &Path| {
        let report = check(home.path());
        assert!(!report.findings.is_empty(), "{what} of {} was not found", file.display());
    };
    for file in &files {
        let original = std::fs::read(file).unwrap();
        let is_rebuildable = file.ends_with("checkpoint");
        if !is_rebuildable {
            std::fs::remove_file(file).unwrap();
            found("the loss", file);
            std::fs::write(file, &original).unwrap();
        }
        let mut copy = file.clone().into_os_string();
        copy.push("-copy");
        std::fs::write(&copy, &original).unwrap();
        found("a copy", file);
        std::fs::remove_file(PathBuf::from(&copy)).unwrap();
        std::fs::write(file, &original[..original.len() - 1]).unwrap();
        found("the last byte", file);
        std::fs::write(file, [original.as_slice(), b"x"].concat()).unwrap();
        found("one more byte", file);
        std::fs::write(file, &original).unwrap();
    }
    let tenant = log.join("default");
    let aside = home.path().join("aside");
    std::fs::rename(&tenant, &aside).unwrap();
    found("a tenant", &tenant);
    std::fs::rename(&aside, &tenant).unwrap();
    let stream = tenant.join("access");
    std::fs::rename(&stream, &aside).unwrap();
    found("a stream", &stream);
    std::fs::rename(&aside, &stream).unwrap();
    assert!(check(home.path()).findings.is_empty(), "restored");
}
