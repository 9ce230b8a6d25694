//! What was given out stays good: proofs and bundles made before a restart, a rotation of keys, a backup and its restoration verify after each
//! with the first root key alone, and the store goes on from every checkpoint that they are of.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use schemas::note::VerifierKey;
use schemas::proof::{Document, Proof};

use crate::support::{Service, event, is_full, request, service_log, tacho};

/// The program on `<home>/data` and `<home>/keys`.
fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(tacho());
    command.args(arguments).env("TACHO_DATA", home.join("data")).env("TACHO_KEYS", home.join("keys"));
    command.output().unwrap()
}

fn told(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

fn post(service: &Service, events: std::ops::Range<usize>) {
    let body: Vec<String> = events.map(|at| event(&format!("e-{at}"))).collect();
    assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);
}

/// Proofs of these entries, as they are given out.
fn prove(service: &Service, indices: impl Iterator<Item = usize>) -> Vec<Document> {
    let bearer = format!("Bearer {}", service.token);
    let ask = |index: usize| {
        let path = format!("/api/v1/proofs?index={index}");
        let headers = [("authorization", bearer.as_str())];
        let answer = request(&service.address, "GET", &path, &headers, b"").unwrap();
        assert_eq!(answer.status, 200, "{index}: {}", answer.text());
        Document::parse(answer.text().as_bytes()).unwrap()
    };
    indices.map(ask).collect()
}

/// Bundles of these ranges, some with their arguments withheld.
fn export(home: &Path, service: &Service, ranges: impl Iterator<Item = usize>) -> Vec<PathBuf> {
    let url = format!("http://{}", service.address);
    let token = home.join("keys/admin.token").display().to_string();
    let one = |first: usize| {
        let out = home.join(format!("{first}.zip"));
        let (range, file) = (format!("{first}..{}", first + 20), out.display().to_string());
        let mut arguments =
            vec!["export", "evidence", "--url", &url, "--token-file", &token, "--range", &range];
        arguments.extend(["--out", &file]);
        if first.is_multiple_of(2) {
            arguments.extend(["--withhold", "arguments"]);
        }
        told(home, &arguments);
        out
    };
    ranges.map(one).collect()
}

/// Every proof and bundle verifies with the key alone, and the store in `home` has every checkpoint that one is of.
fn assert_good(
    when: &str,
    home: &Path,
    key: &str,
    store_key: &str,
    (given, bundles): (&[Document], &[PathBuf]),
) {
    let root: VerifierKey = key.parse().unwrap();
    let receipts = home.join("receipts");
    std::fs::create_dir_all(&receipts).unwrap();
    for (at, document) in given.iter().enumerate() {
        document.verify(&root).unwrap_or_else(|error| panic!("{when}: proof {at}: {error}"));
        let opened = document.log_opened.as_ref().unwrap();
        for (log, proof) in [("events", &document.proof), ("root", &opened.proof)] {
            let checkpoint = Proof::parse(proof).unwrap().checkpoint;
            let size = checkpoint.lines().nth(1).unwrap().to_owned();
            std::fs::write(receipts.join(format!("{log}-{size}.checkpoint")), checkpoint).unwrap();
        }
    }
    let program = tacho().with_file_name("tacho-verify");
    for bundle in bundles {
        let output = Command::new(&program).arg(bundle).args(["--key", key, "--quiet"]).output().unwrap();
        assert!(output.status.success(), "{when}: {}: {output:?}", bundle.display());
    }
    let kept = receipts.display().to_string();
    let text = told(home, &["verify", "--key", store_key, "--receipt", &kept]);
    println!(
        "{when}: {} proofs and {} bundles good, the store verifies: {}",
        given.len(),
        bundles.len(),
        text.lines().next().unwrap_or_default()
    );
}

#[test]
fn proofs_outlive_restart_rotation_backup_and_restore() {
    let (count, step, bundles) = if is_full() { (1_000, 1, 100) } else { (1_000, 4, 10) };
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("first");
    std::fs::create_dir(&home).unwrap();
    let start = |home: &Path| Service::start(home, &[("TACHO_STORE_SEAL_ROWS", "300")]);
    let service = start(&home);
    let mut given = Vec::new();
    for begin in (0..count).step_by(250) {
        post(&service, begin..begin + 250);
        given.extend(prove(&service, (begin + 1..=begin + 250).step_by(step)));
    }
    let bundles = export(&home, &service, (0..bundles).map(|at| 1 + at * 9));
    let given = (given.as_slice(), bundles.as_slice());
    let key = told(&home, &["keys", "show", "--root"]).trim().to_string();
    assert_eq!(service.stop(), Some(0), "{}", service_log(&home));
    assert_good("at the end of the first run", &home, &key, &key, given);

    let service = start(&home);
    post(&service, count..count + 50);
    assert_eq!(service.stop(), Some(0), "{}", service_log(&home));
    assert_good("after a restart", &home, &key, &key, given);

    let backup = place.path().join("backup").display().to_string();
    told(&home, &["backup", &backup]);
    told(&home, &["keys", "rotate"]);
    let service = start(&home);
    post(&service, count + 50..count + 100);
    assert_eq!(service.stop(), Some(0), "{}", service_log(&home));
    // The auditor's key is still the first one.
    assert_good("after a rotation", &home, &key, &key, given);

    // The disk is lost; the backup is from before the rotation, the keys are not.
    let data = home.join("data").display().to_string();
    std::fs::rename(&data, place.path().join("lost")).unwrap();
    told(&home, &["restore", &backup, "--to", &data]);
    told(&home, &["adopt", "--reason", "the disk was lost"]);
    let service = start(&home);
    post(&service, count + 100..count + 150);
    assert_eq!(service.stop(), Some(0), "{}", service_log(&home));
    let adopted = told(&home, &["keys", "show", "--root"]).trim().to_string();
    assert_ne!(adopted, key);
    assert_good("after a restored backup was adopted", &home, &key, &adopted, given);
}
