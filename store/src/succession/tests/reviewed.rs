//! What a review took apart, once each: a successor that is hidden, keys used twice, losses without a name, and successions that
//! could not go on.

use super::*;
use crate::backup::{Transfer, backup, restore};

const SEGMENTS: &str = schemas::layout::FileKind::Segment.dir();

fn segments(home: &Home, log: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![home.data().join("log").join(log).join(SEGMENTS)];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn rotated() -> (Home, String, String) {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let old = home.root_key();
    let told = home.rotate().unwrap();
    home.record("b", 5, true).unwrap();
    home.clean(&old);
    (home, old, told.writer)
}

fn says(findings: &[verify::Finding], what: &str) -> bool {
    findings.iter().any(|finding| finding.message.contains(what))
}

#[test]
fn a_successor_that_is_hidden_is_not_passed_over_by_the_old_key() {
    let (home, old, writer) = rotated();
    let root = format!("_root/root/{writer}");
    for change in ["break", "remove"] {
        let hidden = home.copied();
        for segment in segments(&hidden, &root) {
            if change == "remove" {
                std::fs::remove_file(segment).unwrap();
            } else {
                std::fs::write(segment, b"no segment").unwrap();
            }
        }
        let report = hidden.verify(&old);
        assert_eq!(report.exit_code(), 1, "{change}: {report:#?}");
        assert!(says(&report.findings, "entry 0 cannot be read"), "{change}: {report:#?}");
    }
    // Its checkpoint alone is left, or nothing.
    let hidden = home.copied();
    let place = hidden.data().join("log").join(&root);
    for below in [SEGMENTS, "manifest", "tile"] {
        std::fs::remove_dir_all(place.join(below)).unwrap();
    }
    let report = hidden.verify(&old);
    assert!(says(&report.findings, "entry 0 cannot be read"), "{report:#?}");
    std::fs::remove_dir_all(&place).unwrap();
    let report = hidden.verify(&old);
    assert_eq!(report.exit_code(), 1, "its other logs are there: {report:#?}");
    for stream in ["default/events", "default/alerts", "default/access"] {
        std::fs::remove_dir_all(hidden.data().join("log").join(stream).join(&writer)).ok();
    }
    let report = hidden.verify(&old);
    assert_eq!((report.exit_code(), report.findings.as_slice()), (2, [].as_slice()), "{report:#?}");
    assert!(says(&report.unreadable, "is not in this copy"), "{report:#?}");
}

#[test]
fn keys_sign_for_one_data_directory_at_a_time() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let copied = home.copied();
    std::fs::remove_dir_all(copied.keys_dir()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stale = home.keys();
        let store = home.open();
        let refused = |result: Result<(), Error>| match result {
            Err(Error::Keys(reason)) => assert!(reason.contains("in use by another process"), "{reason}"),
            other => panic!("{other:?}"),
        };
        let data = copied.data();
        refused(Store::open(&data, home.keys(), options(), clock()).map(|_| ()));
        refused(rotate(&data, home.keys(), &NoCustody, &options(), &clock(), "ops").map(|_| ()));
        let adoption = Adoption { by: "ops".into(), reason: "a test".into(), ..Adoption::default() };
        refused(adopt(&data, home.keys(), &options(), &clock(), &adoption).map(|_| ()));
        let log = store.log("default", Stream::Events).await.unwrap();
        log.append(draft(&["b".to_string()])).await.unwrap();
        store.close().await.unwrap();
        drop((log, store));
        // Loaded before that was signed: what was signed meanwhile is read again under the lock.
        let store = Store::open(&data, stale, options(), clock()).unwrap();
        assert_eq!(store.status().code, Some("tampered"), "{:?}", store.status());
        store.close().await.unwrap();
    });
}

#[test]
fn a_writer_of_which_nothing_is_left_is_lost_by_name() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let older = home.copied();
    let old = home.root_key();
    let told = home.rotate().unwrap();
    home.record("b", 7, true).unwrap();
    let file = home.dir.path().join("seen.json");
    let verified = |home: &Home, key: &str| {
        let identity = Identity::Key(key.parse().unwrap());
        let mut options = verify::Options::new(home.data(), identity);
        options.remember = Some(file.clone());
        verify::run(&options, &|_| {}).unwrap()
    };
    assert_eq!(verified(&home, &told.root_key).exit_code(), 0);
    // Last week's data, today's keys.
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&home.keys_dir(), &older.keys_dir());
    let report = verified(&older, &old);
    assert!(says(&report.findings, "rolled back"), "{report:#?}");
    let adopted = older.adopt().unwrap();
    let lost: Vec<&Predecessor> = adopted.logs.iter().filter(|log| log.has_lost()).collect();
    let of_it: Vec<_> = lost.iter().filter(|log| log.origin.ends_with(&told.writer)).collect();
    // And what the old logs ended with.
    assert_eq!((lost.len(), of_it.len()), (4, 2), "{adopted:?}");
    assert!(of_it.iter().all(|log| log.kept == 0 && log.size > 1), "{of_it:?}");
    older.record("c", 1, true).unwrap();
    let report = verified(&older, &adopted.root_key);
    assert_eq!(report.exit_code(), 0, "{report:#?}");
    let named = report.notes.iter().filter(|note| note.message.contains("are lost for ever")).count();
    assert_eq!(named, 4, "{:#?}", report.notes);
    // A rotation does not say it again, and the newest key still leads to it.
    older.rotate().unwrap();
    let report = verified(&older, &adopted.root_key);
    assert_eq!(report.exit_code(), 0, "{report:#?}");
    assert_no_fork(&[&home, &older]);
}

/// Ended at `place` in a rotation.
fn killed_at(home: &Home, place: &'static str) {
    crash_at(Some((place, 1)));
    assert!(catch_unwind(AssertUnwindSafe(|| home.rotate())).is_err());
    crash_at(None);
    assert!(home.keys().record().pending.is_some());
}

#[test]
fn a_rotation_that_cannot_be_finished_is_served_and_an_adoption_takes_its_place() {
    let places = ["succession-begun", "succession-old-told", "succession-old-closed", "succession-new-begun"];
    for place in places.into_iter().chain(["succession-new-sealed"]) {
        let home = Home::new();
        home.record("a", 10, true).unwrap();
        let old = home.root_key();
        let older = home.copied();
        home.record("b", 7, true).unwrap();
        killed_at(&home, place);
        std::fs::remove_dir_all(older.keys_dir()).unwrap();
        copy(&home.keys_dir(), &older.keys_dir());
        let reason = older.refusal();
        assert!(reason.contains("tacho adopt"), "{place}: {reason}");
        assert!(matches!(older.rotate(), Err(Error::Tampered { .. })), "{place}");
        let told = older.adopt().unwrap();
        assert_eq!(told.from, "w1", "{place}");
        older.record("c", 3, true).unwrap();
        assert_eq!(older.events(), 13, "{place}");
        let report = older.clean(&told.root_key);
        assert!(says(&report.notes, "lost for ever"), "{place}: {report:#?}");
        let report = older.verify(&old);
        assert_eq!(
            (report.exit_code(), report.findings.as_slice()),
            (2, [].as_slice()),
            "{place}: {report:#?}"
        );
        assert_no_fork(&[&home, &older]);
    }
}

#[test]
fn an_adoption_beside_a_successor_that_never_came_is_no_tampering() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let old = home.root_key();
    killed_at(&home, "succession-old-closed");
    // The machine is another now: what was begun there is not finished here.
    on_machine(Some("another"));
    let reason = home.refusal();
    assert!(reason.contains("another machine"), "{reason}");
    let told = home.adopt().unwrap();
    home.record("b", 3, true).unwrap();
    assert_eq!(home.events(), 13);
    let report = home.clean(&told.root_key);
    assert!(says(&report.notes, "which never went on"), "{report:#?}");
    let report = home.verify(&old);
    assert_eq!((report.exit_code(), report.findings.as_slice()), (2, [].as_slice()), "{report:#?}");
    on_machine(None);
}

#[test]
fn no_succession_is_finished_on_what_was_put_back() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let place = home.dir.path().join("backup");
    backup(&home.data(), &place, Transfer::Copy, 7).unwrap();
    killed_at(&home, "succession-begun");
    std::fs::remove_dir_all(home.data()).unwrap();
    restore(&place, &home.data()).unwrap();
    std::fs::remove_file(home.keys_dir().join("remembered")).unwrap();
    let reason = home.refusal();
    assert!(reason.contains("put back from a backup"), "{reason}");
    let told = home.adopt().unwrap();
    home.record("b", 3, true).unwrap();
    home.clean(&told.root_key);
    assert_eq!(home.events(), 13);
}

/// Opens a log of another tenant and ends before it has an entry, though the root log knows it.
fn open_without_an_entry(home: &Home) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&home.data()).unwrap());
    let opened = crate::recover::open(options(), disk, clock(), home.keys()).unwrap();
    let shared = Arc::clone(&opened.shared);
    let mut alone = crate::succession::Alone(opened);
    let wait = |_: crate::sequence::Placed| crate::commit::commit_once(&shared).map(|_| ());
    let (state, _) = crate::open_log(&shared, "other", Stream::Events, &wait).unwrap();
    // What was placed of it never gets to the disk.
    crate::state::lock(&shared.queue).logs.remove(&state.number);
    shared.logs.write().unwrap().remove(&("other".to_string(), Stream::Events));
    alone.seal_all().unwrap();
}

#[test]
fn a_log_that_never_had_an_entry_is_closed_too() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let old = home.root_key();
    open_without_an_entry(&home);
    home.clean(&old);
    let told = home.rotate().unwrap();
    assert_eq!(told.logs.len(), 3, "{told:?}");
    home.clean(&old);
    home.record("b", 3, true).unwrap();
    home.clean(&old);
}

#[test]
fn a_damaged_data_file_gives_up_no_more_than_it_holds() {
    let home = Home::new();
    on_machine(Some("one"));
    home.record("a", 10, true).unwrap();
    home.record("b", 20, false).unwrap();
    on_machine(Some("two"));
    let sealed = segments(&home, "default/events/w1");
    std::fs::write(sealed.last().unwrap(), b"no segment").unwrap();
    home.refusal();
    let told = home.adopt().unwrap();
    let events = told.logs.iter().find(|log| log.origin.contains("/events/")).unwrap();
    assert!(events.kept > 10 && events.carried == 20, "{events:?}");
    home.record("c", 1, true).unwrap();
    on_machine(None);
}

#[test]
fn damaged_manifests_leave_what_the_write_ahead_files_hold() {
    let home = Home::new();
    on_machine(Some("one"));
    home.record("a", 10, true).unwrap();
    home.record("b", 20, false).unwrap();
    on_machine(Some("two"));
    let manifests = home.data().join("log/default/events/w1/manifest");
    for entry in std::fs::read_dir(manifests).unwrap() {
        std::fs::write(entry.unwrap().path(), b"no manifest").unwrap();
    }
    home.refusal();
    let told = home.adopt().unwrap();
    let events = told.logs.iter().find(|log| log.origin.contains("/events/")).unwrap();
    assert_eq!((events.kept, events.carried), (0, 20), "{events:?}");
    on_machine(None);
}

#[test]
fn a_retry_of_what_is_in_the_log_before_is_known() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    home.rotate().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = home.open();
        let log = store.log("default", Stream::Events).await.unwrap();
        let sealed = store.predecessors("default", Stream::Events)[0].sealed;
        let ids = ["a-3", "new", "a-9"].map(str::to_string);
        let receipt = log.append(draft(&ids)).await.unwrap();
        assert_eq!(receipt.count, 1);
        // Entry 0 opens the log, the last one ends it.
        let at = |index: i64| index - i64::try_from(sealed).unwrap();
        let places: Vec<i64> = receipt.duplicates.iter().map(|(_, place)| *place).collect();
        assert!(places.iter().all(|place| *place < 0 && *place > at(0)), "{places:?} of {sealed}");
        assert_eq!(places[1] - places[0], 6, "{places:?}");
        store.close().await.unwrap();
    });
    assert_eq!(home.events(), 11);
    // A damaged log before keeps nobody from going on: it is recorded once more.
    std::fs::write(&segments(&home, "default/events/w1")[0], b"no segment").unwrap();
    home.record("a", 10, true).unwrap();
}

#[test]
fn what_is_not_the_log_before_is_no_predecessor() {
    let both = forged_second();
    assert!(both.iter().any(|message| message.contains("say that they go on from it")), "{both:#?}");
    assert!(both.iter().any(|message| message.contains("not the log in its place before")), "{both:#?}");
}

/// The new events log says that it goes on from the old root log.
fn forged_second() -> Vec<String> {
    adoption::forged(&|before| before.origin = before.origin.replace("default/events", "_root/root"))
}

#[test]
fn another_root_below_what_is_sealed_is_another_history() {
    let home = Home::new();
    home.record("a", 600, true).unwrap();
    home.record("b", 300, true).unwrap();
    let name = format!("{}/default/events/w1", home.keys().installation());
    let path = home.keys_dir().join("remembered");
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let (root, size) = (schemas::tree::empty_root().to_base64(), 517);
    file["logs"][&name] = serde_json::json!({ "size": size, "root": root });
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    assert!(home.refusal().contains("another root was signed at size 517"));
    // Whoever has the true root of that size is not refused.
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&home.data()).unwrap());
    let keys = home.keys();
    let log = crate::recover::load_for_tests(&disk, &keys, name.parse().unwrap()).unwrap();
    for size in [1, 256, 517, 602] {
        let root = crate::recover::root_for_tests(&*disk, &log, size).unwrap().to_base64();
        file["logs"][&name] = serde_json::json!({ "size": size, "root": root });
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        home.record("c", 1, true).unwrap();
    }
}

#[test]
fn what_is_loaded_is_remembered_before_it_is_served() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    std::fs::remove_file(home.keys_dir().join("remembered")).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&home.data()).unwrap());
    let keys = home.keys();
    crate::recover::open(options(), disk, clock(), keys.clone()).unwrap();
    assert_eq!(keys.all_remembered().len(), 2, "{:?}", keys.all_remembered());
    assert!(home.keys_dir().join("remembered").exists());
}
