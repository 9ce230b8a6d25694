//! Checkpoints that clients kept.

use std::fs;
use std::path::{Path, PathBuf};

use verify::{Identity, Options, Report, run};

use crate::clean::assert_clean;
use crate::writer::Store;

fn held(store: &Store, receipts: &[PathBuf]) -> Report {
    let options = Options::new(store.data.path(), Identity::Key(store.root_key()));
    run(&Options { receipts: receipts.to_vec(), ..options }, &|_| {}).unwrap()
}

fn keep(directory: &Path, name: &str, note: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, note).unwrap();
    path
}

fn found(report: &Report, log: &str, text: &str) {
    let is_it =
        |finding: &verify::Finding| finding.log.as_deref() == Some(log) && finding.message.contains(text);
    assert!(report.findings.iter().any(is_it), "{text}: {report:#?}");
}

#[test]
fn a_receipt_of_what_is_there_is_clean_and_of_anything_else_is_found() {
    let kept = tempfile::tempdir().unwrap();
    let mut store = Store::small();
    let origin = store.logs[1].origin.to_string();
    let root = store.logs[0].origin.to_string();
    let sealed = store.logs[1].sealed;
    keep(kept.path(), "one.checkpoint", &store.logs[1].checkpoint(sealed / 2));
    keep(kept.path(), "all.checkpoint", &store.logs[1].checkpoint(sealed));
    keep(kept.path(), "root.checkpoint", &store.logs[0].checkpoint(store.logs[0].sealed));
    keep(kept.path(), "notes.txt", "no receipt");
    assert_clean(&held(&store, &[kept.path().to_path_buf()]));

    // Acknowledged, signed and shown, and then the tail was taken away.
    let log = &mut store.logs[1];
    log.events(10);
    let later = keep(kept.path(), "later.checkpoint", &log.checkpoint(sealed + 7));
    let report = held(&store, std::slice::from_ref(&later));
    let says = format!("signed to {} by the receipt {}", sealed + 7, later.display());
    // Without write-ahead files this is a copy of what was sealed: said, and no tamper.
    assert_clean(&report);
    assert!(report.notes.iter().any(|note| note.message.contains(&says)), "{report:#?}");
    fs::write(store.data.path().join("lock"), b"").unwrap();
    found(&held(&store, std::slice::from_ref(&later)), &origin, &says);
    fs::remove_file(store.data.path().join("lock")).unwrap();

    // Another view of the same log, shown to somebody else.
    let log = &mut store.logs[1];
    let own = log.leaves[3];
    log.leaves[3] = log.leaves[4];
    let forked = keep(kept.path(), "forked.checkpoint", &log.checkpoint(sealed));
    log.leaves[3] = own;
    found(&held(&store, &[forked]), &origin, "the receipt");

    let other = Store::small();
    let foreign = other.logs[2].checkpoint(other.logs[2].sealed);
    let wrong = foreign.replacen(&other.logs[2].origin.to_string(), &root, 1);
    let wrong = keep(kept.path(), "wrong.checkpoint", &wrong);
    found(&held(&store, &[wrong]), &root, "not signed by this log's key");
    let nowhere = store.logs[1].checkpoint(1).replace("acme", "nobody");
    let nowhere = keep(kept.path(), "nowhere.checkpoint", &nowhere);
    found(&held(&store, &[nowhere]), &origin.replace("acme", "nobody"), "does not have");
}

#[test]
fn what_is_no_receipt_is_said_and_nothing_is_verified() {
    let (store, kept) = (Store::small(), tempfile::tempdir().unwrap());
    let options = |path: PathBuf| Options {
        receipts: vec![path],
        ..Options::new(store.data.path(), Identity::Key(store.root_key()))
    };
    for text in ["", "text\n", &"x".repeat(1 << 20)] {
        let path = keep(kept.path(), "bad.checkpoint", text);
        let error = run(&options(path.clone()), &|_| {}).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    let error = run(&options(kept.path().join("none")), &|_| {}).unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
}
