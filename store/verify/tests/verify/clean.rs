//! Stores without fault are clean, whatever their shape.

use std::fs;
use std::sync::Mutex;

use schemas::Stream;
use verify::{Identity, Options, Report, run};

use crate::writer::Store;

pub fn verified(store: &Store) -> Report {
    run(&Options::new(store.data.path(), Identity::Key(store.root_key())), &|_| {}).unwrap()
}

pub fn assert_clean(report: &Report) {
    assert!(report.findings.is_empty() && report.unreadable.is_empty(), "{report:#?}");
    assert_eq!(report.exit_code(), 0);
}

#[test]
fn a_small_store_is_clean() {
    let store = Store::small();
    let report = verified(&store);
    assert_clean(&report);
    assert!(report.notes.is_empty(), "{:#?}", report.notes);
    assert!(report.identity_established && !report.key_from_store);
    let events = report.logs.iter().find(|log| log.origin.contains("/events/")).unwrap();
    let log = &store.logs[1];
    assert_eq!(
        (events.entries, events.sealed, events.manifests),
        (log.entries.len() as u64, log.entries.len() as u64, 2)
    );
    let payloads = log.entries.iter().filter(|entry| entry.payload.is_some()).count();
    assert_eq!(events.payload_rows, payloads as u64);
}

#[test]
fn the_log_directory_alone_is_enough() {
    let store = Store::small();
    let options = Options::new(store.log_directory(), Identity::Key(store.root_key()));
    assert_clean(&run(&options, &|_| {}).unwrap());
}

#[test]
fn any_number_of_threads_gives_the_same_report() {
    let store = Store::sized(3, 20, 900);
    let report = |jobs| {
        let options = Options { jobs, ..Options::new(store.data.path(), Identity::TrustStoreKey) };
        run(&options, &|_| {}).unwrap()
    };
    assert_eq!(report(1), report(5));
    assert_clean(&report(2));
}

#[test]
fn compaction_and_superseded_files_are_clean() {
    for keep_old in [false, true] {
        let mut store = Store::small();
        store.logs[1].compact(keep_old);
        store.round();
        store.logs[0].seal();
        let report = verified(&store);
        assert_clean(&report);
        assert_eq!(report.notes.len(), if keep_old { 4 } else { 0 }, "{:#?}", report.notes);
    }
}

#[test]
fn more_than_256_manifests_with_a_snapshot_are_clean() {
    let mut store = Store::new(1, 10);
    let access = store.open("default", Stream::Access);
    store.logs[0].seal();
    for _ in 0..259 {
        store.logs[access].access(1);
        store.logs[access].seal();
    }
    store.round();
    store.logs[0].seal();
    assert_clean(&verified(&store));
}

#[test]
fn a_log_above_one_tile_of_tiles_is_clean_and_a_changed_tile_of_level_one_is_found() {
    let mut store = Store::new(5, 20_000);
    let access = store.open("default", Stream::Access);
    store.logs[0].seal();
    store.logs[access].access(66_000);
    store.logs[access].seal();
    store.round();
    store.logs[0].seal();
    assert_clean(&verified(&store));
    let tile = store.logs[access].directory.join("tile/1/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[8191] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let report = verified(&store);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.findings[0].file.as_deref(), Some("tile/1/000"));
}

#[test]
fn what_is_signed_beyond_a_copy_and_unfinished_writes_are_notes() {
    let mut store = Store::small();
    store.logs[1].events(5);
    store.round();
    store.logs[0].seal();
    fs::write(store.logs[1].directory.join("segments/x.tmp"), b"half").unwrap();
    let copy = Options::new(store.log_directory(), Identity::Key(store.root_key()));
    let report = run(&copy, &|_| {}).unwrap();
    assert_clean(&report);
    assert_eq!(report.notes.len(), 2, "{:#?}", report.notes);
}

/// Verifies with one thread while `change` is made to the store after `call` ranges are done.
fn verified_during(store: Store, call: u64, change: impl Fn(&mut Store) + Sync) -> Report {
    let directory = store.data.path().to_path_buf();
    let options = Options { jobs: 1, ..Options::new(directory, Identity::Key(store.root_key())) };
    let state = Mutex::new((store, 0));
    let report = run(&options, &|_| {
        let (store, calls) = &mut *state.lock().unwrap();
        *calls += 1;
        if *calls == call {
            change(store);
        }
    });
    assert!(state.lock().unwrap().1 >= call, "the change was never made");
    report.unwrap()
}

#[test]
fn a_store_that_grows_meanwhile_is_clean() {
    for call in 1..=5 {
        let report = verified_during(Store::small(), call, |store| {
            store.logs[1].events(300);
            store.logs[1].seal();
            store.open("another", Stream::Access);
            store.logs[3].access(3);
            store.round();
            store.logs[0].seal();
            store.logs[3].seal();
        });
        assert_clean(&report);
    }
}

#[test]
fn a_log_whose_files_are_superseded_and_removed_meanwhile_is_read_again() {
    let mut store = Store::small();
    let roots = store.logs[0].manifests.len() as u64;
    for _ in 0..9 {
        store.logs[1].events(5);
        store.logs[1].seal();
    }
    let report = verified_during(store, roots + 1, |store| store.logs[1].compact(false));
    assert_clean(&report);
    assert_eq!(report.logs.iter().find(|log| log.origin.contains("/events/")).unwrap().manifests, 12);
}
