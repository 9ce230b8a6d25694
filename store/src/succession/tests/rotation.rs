//! Rotations: nothing is lost, and the old key leads on.

use super::*;

#[test]
fn rotated_keys_are_followed_from_the_old_root_key_alone() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let old = home.root_key();
    let told = home.rotate().unwrap();
    assert_eq!((told.from.as_str(), told.logs.len()), ("w1", 2));
    assert!(told.logs.iter().all(|log| !log.has_lost() && log.kept > 0), "{told:?}");
    assert_ne!(old, told.root_key);
    home.record("b", 7, true).unwrap();
    assert_eq!(home.events(), 17);
    let report = home.clean(&old);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert_eq!(report.logs.len(), 4);
    home.clean(&told.root_key);
    // Once more, and the first key still leads to the end.
    home.rotate().unwrap();
    home.record("c", 3, true).unwrap();
    assert_eq!(home.events(), 20);
    assert_eq!(home.clean(&old).logs.len(), 6);
    home.clean(&home.root_key());
    assert!(home.keys_dir().join("generation-0003").exists());
    assert_no_fork(&[&home]);
}

#[test]
fn a_store_that_was_not_closed_is_rotated_whole() {
    let home = Home::new();
    home.record("a", 10, false).unwrap();
    let old = home.root_key();
    home.rotate().unwrap();
    assert_eq!(home.events(), 10);
    home.clean(&old);
    assert_no_fork(&[&home]);
}

#[test]
fn a_rotation_that_is_killed_anywhere_is_finished_or_never_was() {
    let before = Home::new();
    before.record("a", 10, false).unwrap();
    let old = before.root_key();
    let check = |home: &Home, at: &str| {
        // As it was left: nothing that looks like tampering.
        let left = home.verify(&old);
        assert_eq!(left.findings, [], "{at}");
        home.record("b", 5, true).unwrap();
        let writer = home.keys().writer().to_string();
        assert!(writer == "w1" || writer.starts_with("w2-"), "{at}: {writer}");
        assert_eq!(home.events(), 15, "{at}");
        home.clean(&old);
        home.rotate().unwrap();
        home.clean(&old);
        assert_no_fork(&[&before, home]);
    };
    at_every_place(&before, &Home::rotate, &check);
}

#[test]
fn keys_from_before_a_rotation_do_not_write_on_at_a_log_s_end() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let keys = home.copied();
    home.rotate().unwrap();
    std::fs::remove_dir_all(home.keys_dir()).unwrap();
    copy(&keys.keys_dir(), &home.keys_dir());
    assert!(home.refusal().contains("at its end"));
}

#[test]
fn nothing_follows_the_end_of_a_log() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let old = home.root_key();
    let keys = home.copied();
    crash_at(Some(("succession-old-told", 1)));
    assert!(catch_unwind(AssertUnwindSafe(|| home.rotate())).is_err());
    crash_at(None);
    home.clean(&old);
    // Keys that do not know what was begun.
    std::fs::remove_dir_all(home.keys_dir()).unwrap();
    copy(&keys.keys_dir(), &home.keys_dir());
    let reason = home.refusal();
    assert!(reason.contains("these keys are older than the data"), "{reason}");
    home.clean(&old);
}

#[test]
fn sources_are_read_on_from_where_the_kept_entries_end() {
    use crate::Cursor;
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let name = || schemas::CursorName::new("tail", "file", "0").unwrap();
    let read = |from: Option<&str>, to: &str| Cursor {
        name: name(),
        from: from.map(str::to_string),
        to: Some(to.to_string()),
    };
    let step = |from: Option<&'static str>, to: &'static str, cleanly: bool| {
        runtime.block_on(async {
            let store = home.open();
            let log = store.log("default", Stream::Events).await.unwrap();
            assert_eq!(log.cursor(&name()).as_deref(), from);
            log.append_read(draft(&[format!("e-{to}")]), vec![read(from, to)]).await.unwrap();
            if cleanly {
                store.close().await.unwrap();
            } else {
                while log.snapshot().signed < log.snapshot().durable {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            }
        });
    };
    step(None, "10", true);
    home.rotate().unwrap();
    step(Some("10"), "20", true);
    // Killed, and the write-ahead files lost: what was read up to 30 is read again from 20.
    step(Some("20"), "30", false);
    std::fs::remove_dir_all(home.data().join("wal")).unwrap();
    home.refusal();
    home.adopt().unwrap();
    step(Some("20"), "30", true);
    home.clean(&home.root_key());
}
