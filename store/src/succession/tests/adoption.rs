//! Adoptions of copies, of what is left and of backups: what is lost has a name.

use super::*;

/// A home whose data are those of an earlier moment, and the one that went on.
fn rolled_back() -> (Home, Home) {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let older = home.copied();
    home.record("b", 7, true).unwrap();
    // Last week's data, today's keys.
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&home.keys_dir(), &older.keys_dir());
    (older, home)
}

fn assert_adopted(home: &Home, others: &[&Home], lost: bool) {
    let old = home.root_key();
    let told = home.adopt().unwrap();
    assert_eq!(told.logs.iter().any(Predecessor::has_lost), lost, "{told:?}");
    home.record("c", 3, true).unwrap();
    let report = home.clean(&told.root_key);
    let says = report.notes.iter().any(|note| note.message.contains("lost for ever"));
    assert_eq!(says, lost, "{:?}", report.notes);
    // The old key does not vouch for a successor that it did not name: neither clean nor tampered.
    let report = home.verify(&old);
    assert_eq!((report.exit_code(), report.findings.as_slice()), (2, [].as_slice()));
    let mut all = vec![home];
    all.extend(others);
    assert_no_fork(&all);
}

#[test]
fn last_weeks_data_is_known_by_the_memory_beside_the_keys() {
    let (older, home) = rolled_back();
    let reason = older.refusal();
    assert!(reason.contains("rolled back") && reason.contains("tacho adopt"), "{reason}");
    assert!(matches!(older.record("x", 1, true), Err(Error::Tampered { .. })));
    assert!(matches!(older.rotate(), Err(Error::Tampered { .. })));
    // The other goes on meanwhile.
    home.record("d", 2, true).unwrap();
    assert_adopted(&older, &[&home], true);
    assert_eq!(older.events(), 13);
    home.clean(&home.root_key());
}

#[test]
fn lost_write_ahead_files_do_not_fork_what_was_shown() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    home.record("b", 7, false).unwrap();
    let before = home.copied();
    std::fs::remove_dir_all(home.data().join("wal")).unwrap();
    // Without the copy of the checkpoint the data directory alone does not know.
    for log in ["default/events/w1", "_root/root/w1"] {
        std::fs::remove_file(home.data().join("log").join(log).join("checkpoint")).unwrap();
    }
    assert!(home.refusal().contains("write-ahead files are lost"));
    assert_adopted(&home, &[&before], true);
    assert_eq!(home.events(), 13);
}

#[test]
fn what_was_acknowledged_and_not_sealed_is_recorded_again() {
    let home = Home::new();
    on_machine(Some("one"));
    home.record("a", 10, true).unwrap();
    home.record("b", 5000, false).unwrap();
    // The machine died, its disk is put into another.
    on_machine(Some("two"));
    let moved = home.copied();
    moved.refusal();
    let key = moved.root_key();
    let check = |moved: &Home, at: &str| {
        if moved.keys().record().pending.is_none() && moved.keys().writer() == "w1" {
            moved.adopt().unwrap();
        }
        moved.record("c", 3, true).unwrap();
        assert_eq!(moved.events(), 5013, "{at}");
        let report = moved.clean(&moved.root_key());
        assert!(
            report.notes.iter().any(|note| note.message.contains("5000 of what it had")),
            "{at}: {:?}",
            report.notes
        );
        assert_no_fork(&[&home, moved]);
    };
    at_every_place(&moved, &Home::adopt, &check);
    let told = moved.adopt().unwrap();
    assert_ne!(told.root_key, key);
    // A retry of what was acknowledged before is known.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let receipt = runtime.block_on(async {
        let store = moved.open();
        let log = store.log("default", Stream::Events).await.unwrap();
        let receipt = log.append(draft(&["b-7".to_string(), "b-4999".to_string()])).await.unwrap();
        store.close().await.unwrap();
        receipt
    });
    assert_eq!((receipt.count, receipt.duplicates.len()), (0, 2));
    check(&moved, "once more");
    on_machine(None);
}

#[test]
fn a_copied_machine_signs_under_a_name_of_its_own() {
    let home = Home::new();
    on_machine(Some("one"));
    home.record("a", 10, true).unwrap();
    let cloned = home.copied();
    on_machine(Some("two"));
    let reason = cloned.refusal();
    assert!(reason.contains("machine"), "{reason}");
    assert!(matches!(cloned.record("x", 1, true), Err(Error::Tampered { .. })));
    let third = cloned.copied();
    on_machine(Some("one"));
    home.record("b", 7, true).unwrap();
    on_machine(Some("two"));
    assert_adopted(&cloned, &[&home], false);
    // A third copy of the same machine's: another successor, not the same one twice.
    on_machine(Some("three"));
    assert_adopted(&third, &[&home, &cloned], false);
    on_machine(Some("one"));
    home.rotate().unwrap();
    home.record("c", 1, true).unwrap();
    assert_no_fork(&[&home, &cloned, &third]);
    on_machine(None);
}

#[test]
fn an_adoption_that_is_killed_anywhere_is_finished() {
    let (before, home) = rolled_back();
    let old = before.root_key();
    let check = |adopted: &Home, at: &str| {
        assert_eq!(adopted.verify(&old).findings, [], "{at}");
        if adopted.keys().record().pending.is_some() {
            adopted.record("c", 3, true).unwrap();
            assert_eq!(adopted.events(), 13, "{at}");
        } else if adopted.keys().writer() == "w1" {
            adopted.refusal();
            adopted.adopt().unwrap();
        }
        let report = adopted.clean(&adopted.root_key());
        assert!(report.notes.iter().any(|note| note.message.contains("lost for ever")), "{at}");
        assert_no_fork(&[&home, adopted]);
    };
    at_every_place(&before, &Home::adopt, &check);
}

/// Adopts with what the new logs say of the old ones changed, as somebody with the keys could, and verifies that.
pub(super) fn forged(change: &dyn Fn(&mut Predecessor)) -> Vec<String> {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&home.data()).unwrap());
    let begun = crate::succession::Begun {
        kind: crate::succession::Kind::Adoption,
        from: "w1".into(),
        generation: 1,
        by: "x",
        reason: "x",
        found: None,
    };
    let record = home.keys().record().clone();
    let keys = crate::succession::begin(&disk, &home.keys(), record, begun).unwrap();
    let mut known = crate::succession::last_known(&disk, &keys, "w1", "retired/w1").unwrap();
    known.values_mut().for_each(|before| change(&mut before.predecessor));
    let writer = keys.record().pending.clone().unwrap().to.writer;
    let adopted = schemas::control::Adopted { machine: String::new(), by: "x".into(), reason: "x".into() };
    let purpose = crate::recover::Purpose::Begin { predecessors: known, adopted, lost: Vec::new() };
    let key = crate::succession::open_new(&disk, &keys, &options(), &clock(), &writer, &purpose).unwrap();
    let report = home.verify(&key);
    assert_eq!(report.exit_code(), u8::from(!report.findings.is_empty()), "{report:#?}");
    report.findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_successor_that_does_not_match_its_predecessor_is_tampering() {
    assert_eq!(forged(&|_| ()), [""; 0]);
    let other = Keys::from_seed([3; 32], "tacho-x").unwrap();
    let other = crate::root_key(&other, "w1").unwrap();
    let other_root = schemas::tree::empty_root().to_base64();
    let is_events = |before: &Predecessor| before.origin.contains("/events/");
    type Change<'a> = (&'a str, Box<dyn Fn(&mut Predecessor) + 'a>);
    let changes: [Change<'_>; 7] = [
        ("goes on from", Box::new(|before| (before.size, before.kept) = (before.size - 1, before.size - 1))),
        ("root that", Box::new(|before| before.root.clone_from(&other_root))),
        ("are kept; here are", Box::new(|before| (before.size, before.kept) = (99, 50))),
        ("are kept; here are", Box::new(|before| before.kept = before.size + 1)),
        (
            "under key",
            Box::new(|before| {
                if is_events(before) {
                    before.key.clone_from(&other);
                }
            }),
        ),
        (
            "with key",
            Box::new(|before| {
                if !is_events(before) {
                    before.key.clone_from(&other);
                }
            }),
        ),
        (
            "never opened it",
            Box::new(|before| {
                if is_events(before) {
                    before.origin = before.origin.replace("/events/", "/alerts/");
                }
            }),
        ),
    ];
    for (says, change) in changes {
        let found = forged(&*change);
        assert!(found.iter().any(|message| message.contains(says)), "{says}: {found:#?}");
    }
}

#[test]
fn keys_from_before_an_adoption_do_not_sign_under_the_old_name_again() {
    let (older, home) = rolled_back();
    let keys = Home::new();
    copy(&older.keys_dir(), &keys.keys_dir());
    older.adopt().unwrap();
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&keys.keys_dir(), &older.keys_dir());
    std::fs::remove_file(older.keys_dir().join("remembered")).unwrap();
    assert!(older.refusal().contains("these keys do not know it"));
    older.adopt().unwrap();
    older.record("b", 2, true).unwrap();
    assert_no_fork(&[&home, &older]);
}

#[test]
fn data_from_before_a_rotation_is_known_without_a_memory_too() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let older = home.copied();
    home.rotate().unwrap();
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&home.keys_dir(), &older.keys_dir());
    std::fs::remove_file(older.keys_dir().join("remembered")).unwrap();
    assert!(older.refusal().contains("older than writer w2-"));
    older.adopt().unwrap();
    older.record("b", 2, true).unwrap();
    older.clean(&older.root_key());
    assert_no_fork(&[&home, &older]);
}

#[test]
fn a_backup_taken_while_it_is_written_is_put_back_read_only_and_adopted() {
    use crate::backup::{Backup, Transfer, backup, restore};
    let home = Home::new();
    home.record("a", 600, true).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = home.dir.path().join("backup");
    let key = home.root_key();
    // Amid appends and seals.
    runtime.block_on(async {
        let store = home.open();
        let writer = store.clone();
        let appends = tokio::spawn(async move {
            let log = writer.log("default", Stream::Events).await.unwrap();
            for at in 0..40 {
                log.append(draft(&[format!("b-{at}")])).await.unwrap();
                writer.seal().await.unwrap();
            }
        });
        let (data, to) = (home.data(), place.clone());
        let taken = tokio::task::spawn_blocking(move || backup(&data, &to, Transfer::HardLink, 7)).await;
        taken.unwrap().unwrap();
        appends.await.unwrap();
        store.close().await.unwrap();
    });
    let copied = home.dir.path().join("copied");
    let whole = backup(&home.data(), &copied, Transfer::Copy, 8).unwrap();
    assert!(matches!(backup(&home.data(), &copied, Transfer::Copy, 8), Err(Error::Io { .. })));
    home.record("c", 5, true).unwrap();
    for (place, events) in [(&place, None), (&copied, Some(640))] {
        let identity = Identity::Key(key.parse().unwrap());
        let report = verify::run(&verify::Options::new(place, identity), &|_| {}).unwrap();
        assert_eq!(report.exit_code(), 0, "{report:#?}");
        let restored = Home::new();
        let said = restore(place, &restored.data()).unwrap();
        assert_eq!(said, Backup::load(place).unwrap());
        // Its own keys remember nothing of what came after: the marker alone holds it.
        copy(&home.keys_dir(), &restored.keys_dir());
        std::fs::remove_file(restored.keys_dir().join("remembered")).unwrap();
        assert!(restored.refusal().contains("put back from a backup"));
        std::fs::remove_dir_all(restored.keys_dir()).unwrap();
        copy(&home.keys_dir(), &restored.keys_dir());
        assert_adopted(&restored, &[&home], true);
        if let Some(events) = events {
            assert_eq!(restored.events(), events + 3);
        }
    }
    // One flipped byte, or a file that is missing.
    let data = whole.files.iter().find(|file| file.path.ends_with(".parquet")).unwrap();
    let path = copied.join(&data.path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let restored = Home::new();
    assert!(matches!(restore(&copied, &restored.data()), Err(Error::Tampered { .. })));
    // What broke off is not written on.
    copy(&home.keys_dir(), &restored.keys_dir());
    restored.refusal();
    std::fs::remove_file(&path).unwrap();
    assert!(restore(&copied, &Home::new().data()).is_err());
}

#[test]
fn an_adoption_needs_a_reason_and_a_store() {
    let home = Home::new();
    let adoption = Adoption::default();
    assert!(matches!(
        adopt(&home.data(), home.keys(), &options(), &clock(), &adoption),
        Err(Error::Io { .. })
    ));
    home.record("a", 1, true).unwrap();
    assert!(matches!(
        adopt(&home.data(), home.keys(), &options(), &clock(), &adoption),
        Err(Error::Refused(_))
    ));
    let long = Adoption { reason: "x".repeat(2000), ..Adoption::default() };
    assert!(matches!(adopt(&home.data(), home.keys(), &options(), &clock(), &long), Err(Error::Refused(_))));
    // A verifier's memory says that more was lost than anything here knows.
    let (origin, size) = (format!("{}/_root/root/w1", home.keys().installation()), 900);
    let root = schemas::tree::empty_root().to_base64();
    let seen = crate::Seen { size, root };
    let bad = crate::Seen { size: 5000, root: "no root".to_string() };
    let mut remembered = BTreeMap::from([(origin.clone(), seen.clone())]);
    remembered.insert("tacho-ffffffffffff/_root/root/w1".to_string(), seen.clone());
    remembered.insert("nothing".to_string(), seen);
    remembered.insert(origin.replace("_root/root", "default/events"), bad);
    let adoption = Adoption { by: "ops".into(), reason: "older".into(), remembered };
    let told = adopt(&home.data(), home.keys(), &options(), &clock(), &adoption).unwrap();
    assert_eq!(told.refused.len(), 3, "{told:?}");
    assert!(home.keys().all_remembered().values().all(|seen| seen.size < 5000));
    let root = told.logs.iter().find(|log| log.origin == origin).unwrap();
    assert_eq!(root.size, 900);
    assert!(root.has_lost());
    home.clean(&told.root_key);
}

#[test]
fn kept_entries_that_others_took_the_place_of_under_the_same_old_keys_are_found() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    // Whoever has the old keys writes another history, as long as this one.
    let forger = home.copied();
    home.record("b", 7, true).unwrap();
    forger.record("x", 7, true).unwrap();
    let older = home.copied();
    home.record("c", 5, true).unwrap();
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&home.keys_dir(), &older.keys_dir());
    let told = older.adopt().unwrap();
    let says = |log: &Predecessor| log.kept < log.size && log.kept > 0 && log.kept_root.is_some();
    assert!(told.logs.iter().all(says), "{told:?}");
    let report = older.clean(&told.root_key);
    assert!(!report.notes.iter().any(|note| note.message.contains("not bound")), "{:?}", report.notes);
    for log in ["default/events/w1", "_root/root/w1"] {
        let (to, from) = (older.data().join("log").join(log), forger.data().join("log").join(log));
        let kept = tempfile::tempdir().unwrap();
        copy(&to, kept.path());
        std::fs::remove_dir_all(&to).unwrap();
        copy(&from, &to);
        let report = older.verify(&told.root_key);
        let said = "the entries do not make the root that its successor";
        let found = |origin: &str| {
            let is_it =
                |finding: &&verify::Finding| finding.log.as_ref().is_some_and(|log| log.ends_with(origin));
            report
                .findings
                .iter()
                .filter(is_it)
                .any(|finding| finding.message.contains(said) || finding.message.contains("gives for size"))
        };
        assert!(found(log), "{log}: {:#?}", report.findings);
        std::fs::remove_dir_all(&to).unwrap();
        copy(kept.path(), &to);
    }
    // All of them: what the old keys sign fits together, and the new root log alone tells.
    for log in ["default/events/w1", "_root/root/w1"] {
        let to = older.data().join("log").join(log);
        std::fs::remove_dir_all(&to).unwrap();
        copy(&forger.data().join("log").join(log), &to);
    }
    let report = older.verify(&told.root_key);
    assert_eq!(report.exit_code(), 1);
    for origin in ["default/events/w1", "_root/root/w1"] {
        let is_it =
            |finding: &&verify::Finding| finding.log.as_ref().is_some_and(|log| log.ends_with(origin));
        assert!(report.findings.iter().any(|finding| is_it(&finding)), "{origin}: {:#?}", report.findings);
    }
}
