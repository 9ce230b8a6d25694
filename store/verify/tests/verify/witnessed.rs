//! What witnesses cosigned, held against a store under a policy.

use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer as _, SigningKey};
use schemas::cosignature::{CosignerKey, message, with_lines};
use schemas::note::Note;
use verify::{Error, Identity, Options, Report, Within, run};

use crate::clean::assert_clean;
use crate::writer::Store;

/// The witness of this number, its key in a policy, and what it says of a note.
fn cosigned(number: u8, note: &str, time_s: u64) -> String {
    let key = SigningKey::from_bytes(&[number; 32]);
    let note = Note::parse(note.as_bytes()).unwrap();
    let signature = key.sign(message(time_s, note.unverified_text()).as_bytes()).to_bytes();
    with_lines(&note, &[cosigner(number).line(time_s, &signature)])
}

fn cosigner(number: u8) -> CosignerKey {
    let key = SigningKey::from_bytes(&[number; 32]).verifying_key().to_bytes();
    CosignerKey::new(&format!("witness.example/{number}"), &key).unwrap()
}

/// Two of the witnesses 1 to 3, of the logs in `logs`.
fn policy(home: &Path, logs: &str) -> PathBuf {
    let witnesses: String =
        (1..=3).map(|number| format!("witness w{number} {}\n", cosigner(number))).collect();
    let path = home.join("policy");
    fs::write(&path, format!("{logs}{witnesses}group enough 2 w1 w2 w3\nquorum enough\n")).unwrap();
    path
}

fn keep(store: &Store, note: &str) {
    fs::create_dir_all(store.data.path().join("witness")).unwrap();
    fs::write(store.data.path().join("witness/cosigned"), note).unwrap();
}

fn asked(store: &Store, policy: &Path, receipts: &[PathBuf]) -> Report {
    let options = Options::new(store.data.path(), Identity::Key(store.root_key()));
    let options = Options { policy: Some(policy.to_path_buf()), receipts: receipts.to_vec(), ..options };
    run(&options, &|_| {}).unwrap()
}

fn within(store: &Store, policy: &Path, age: &str, now_s: u64) -> Report {
    let options = Options::new(store.data.path(), Identity::Key(store.root_key()));
    let within = Some(Within { age: age.parse().unwrap(), now_s });
    run(&Options { policy: Some(policy.to_path_buf()), witnessed_within: within, ..options }, &|_| {})
        .unwrap()
}

fn by_two(note: &str) -> String {
    cosigned(3, &cosigned(1, note, 100), 200)
}

#[test]
fn a_store_is_witnessed_as_far_as_enough_of_the_witnesses_say() {
    let (store, home) = (Store::small(), tempfile::tempdir().unwrap());
    let policy = policy(home.path(), "");
    let sealed = store.logs[0].sealed;
    let report = asked(&store, &policy, &[]);
    assert_eq!((report.verdict, report.exit_code(), &report.witnessed), ("not witnessed", 2, &None));
    keep(&store, &cosigned(1, &store.logs[0].checkpoint(sealed), 100));
    assert_eq!(asked(&store, &policy, &[]).verdict, "not witnessed", "one of two");

    keep(&store, &by_two(&store.logs[0].checkpoint(sealed - 1)));
    let report = asked(&store, &policy, &[]);
    assert_clean(&report);
    let witnessed = report.witnessed.unwrap();
    assert_eq!((witnessed.origin, witnessed.size), (store.logs[0].origin.to_string(), (sealed - 1) as u64));
    assert_eq!((witnessed.by, witnessed.time_s), (vec!["w1".to_string(), "w3".to_string()], 200));
    assert_eq!(witnessed.entries_past, 1);
    // A newer one that somebody else kept.
    let newer = home.path().join("newer.checkpoint");
    fs::write(&newer, by_two(&store.logs[0].checkpoint(sealed))).unwrap();
    let report = asked(&store, &policy, &[newer]);
    assert_clean(&report);
    assert_eq!(report.witnessed.unwrap().size, sealed as u64);
}

#[test]
fn witnesses_that_were_kept_away_for_too_long_are_told() {
    let (store, home) = (Store::small(), tempfile::tempdir().unwrap());
    let policy = policy(home.path(), "");
    let note = store.logs[0].checkpoint(store.logs[0].sealed);
    // Two of three are enough, and the older of them says since when.
    keep(&store, &by_two(&note));
    for (age, now_s, is_new) in
        [("100s", 200, true), ("99s", 200, false), ("2m", 220, true), ("2m", 221, false), ("1d", 150, true)]
    {
        let report = within(&store, &policy, age, now_s);
        let verdict = if is_new { ("clean", 0) } else { ("not witnessed", 2) };
        assert_eq!((report.verdict, report.exit_code()), verdict, "{age} at {now_s}: {report:#?}");
        let witnessed = report.witnessed.unwrap();
        assert_eq!((witnessed.time_s, witnessed.time_enough_s), (200, 100));
        assert_eq!(witnessed.is_too_old, !is_new);
    }
    // One witness that goes on does not make up for those that were kept away.
    keep(&store, &cosigned(2, &by_two(&note), 1000));
    assert_eq!(within(&store, &policy, "100s", 1000).verdict, "not witnessed");
    assert_eq!(within(&store, &policy, "800s", 1000).verdict, "clean");
    // Nor do two whose clock is a day ahead: they would be new for ever.
    keep(&store, &cosigned(2, &cosigned(1, &note, 86_400), 86_400));
    assert_eq!(within(&store, &policy, "1h", 1000).verdict, "not witnessed");
    assert_eq!(within(&store, &policy, "1h", 86_400 - 300).verdict, "clean");
}

#[test]
fn what_is_cosigned_and_not_here_vouches_for_nothing_here() {
    let (mut store, home) = (Store::small(), tempfile::tempdir().unwrap());
    let policy = policy(home.path(), "");
    let log = &mut store.logs[0];
    let own = log.leaves[1];
    log.leaves[1] = log.leaves[2];
    let other = log.checkpoint(log.sealed);
    log.leaves.push(own);
    let beyond = log.checkpoint(log.sealed + 1);
    log.leaves.pop();
    log.leaves[1] = own;
    // Another history of the same length is named; one that is longer than this copy cannot be held against it.
    keep(&store, &by_two(&other));
    let report = asked(&store, &policy, &[]);
    assert!(report.findings.iter().any(|finding| finding.message.contains("w1, w3 cosigned")), "{report:#?}");
    keep(&store, &by_two(&beyond));
    let report = asked(&store, &policy, &[]);
    assert_eq!((report.verdict, &report.witnessed), ("not witnessed", &None), "{report:#?}");
}

#[test]
fn wrong_cosignatures_and_wrong_policies_are_named() {
    let (store, home) = (Store::small(), tempfile::tempdir().unwrap());
    let sealed = store.logs[0].sealed;
    let note = by_two(&store.logs[0].checkpoint(sealed));
    let right = policy(home.path(), &format!("log {}\n", store.root_key()));
    keep(&store, &note);
    assert_clean(&asked(&store, &right, &[]));
    // The lines of another checkpoint under this one.
    let older = by_two(&store.logs[0].checkpoint(sealed - 1));
    let lines = older.split_once("\n\n").unwrap().1.lines().skip(1).collect::<Vec<_>>().join("\n");
    keep(&store, &format!("{}{lines}\n", store.logs[0].checkpoint(sealed)));
    let report = asked(&store, &right, &[]);
    assert!(
        report.findings.iter().any(|finding| finding.message.contains("a cosignature in")),
        "{report:#?}"
    );
    keep(&store, "no checkpoint\n");
    let options = |policy: PathBuf| {
        let options = Options::new(store.data.path(), Identity::Key(store.root_key()));
        run(&Options { policy: Some(policy), ..options }, &|_| {})
    };
    let report = asked(&store, &right, &[]);
    assert_eq!((report.verdict, report.unreadable.len()), ("incomplete", 1), "{report:#?}");
    keep(&store, &by_two(&store.logs[0].checkpoint(0)));
    assert_eq!(asked(&store, &right, &[]).verdict, "not witnessed", "nothing is vouched for");
    keep(&store, &note);
    let other = policy(home.path(), &format!("log {}\n", store.logs[1].verifier()));
    for text in [&fs::read_to_string(&other).unwrap(), "quorum\n", "", "quorum none\n"] {
        fs::write(&other, text).unwrap();
        assert!(matches!(options(other.clone()), Err(Error::Policy { .. })));
    }
    assert!(matches!(options(home.path().join("none")), Err(Error::Policy { .. })));
}
