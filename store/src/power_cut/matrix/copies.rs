//! Backup, restore and adoption.

use std::collections::BTreeMap;

use super::super::check::verify_image;
use super::super::disk::SimDisk;
use super::super::home::{Home, check_lineage, name_of};
use super::super::image::contents;
use super::super::model::Name;
use super::Phase;
use super::phases::{goes_on, working};
use crate::backup::{Backup, Transfer};
use crate::disk::Disk as _;
use crate::error::{Error, Result};

const BACKUP: &str = "backup";
const RESTORED: &str = "restored";

/// Names that nothing has been put under on this disk yet, one after the other.
fn free(home: &Home, what: &str) -> String {
    let names = (1..).map(|number| format!("{what}-{number}"));
    names.into_iter().find(|name| home.data.part(name).status("").is_err()).unwrap()
}

/// Everything below a directory that the backup says is in it, as it says.
fn is_whole(disk: &SimDisk, backup: &Backup) -> bool {
    let there = contents(disk, "log");
    backup.files.len() == there.len()
        && backup.files.iter().all(|file| {
            let bytes = there.get(&file.path);
            bytes.is_some_and(|bytes| blake3::hash(bytes).to_hex().as_str() == file.blake3)
        })
}

fn kept(backup: &Backup) -> BTreeMap<Name, u64> {
    backup.logs.iter().map(|log| (name_of(&log.origin), log.size)).collect()
}

fn backup(home: &mut Home) -> Result<()> {
    let to = free(home, BACKUP);
    home.backup(&to, Transfer::Copy).map(drop)
}

fn backup_of_links(home: &mut Home) -> Result<()> {
    let to = free(home, BACKUP);
    home.backup(&to, Transfer::HardLink).map(drop)
}

/// Nothing looks like a backup and is none; the store is as it was; another backup can be taken and put back.
fn check_backup(phase: &Phase, home: &Home, number: u64) {
    let home = home.ended();
    let store = |home: &Home| contents(&home.data, "");
    assert!(store(&home) == store(&phase.before), "the store is touched");
    let last = free(&home, BACKUP);
    home.backup(&last, Transfer::Copy).unwrap();
    let home = home.cut(number);
    assert!(Backup::load_on(&home.data.part(&last)).is_ok(), "a backup that was taken is there");
    for number in 1.. {
        let name = format!("{BACKUP}-{number}");
        let disk = home.data.part(&name);
        if disk.status("").is_err() {
            break;
        }
        let Ok(backup) = Backup::load_on(&disk) else { continue };
        assert!(is_whole(&disk, &backup), "{name} looks whole and is not");
        verify_image(&disk, &home.first_root_key());
    }
    let restored = free(&home, RESTORED);
    let backup = home.restore(&last, &restored).unwrap();
    assert!(is_whole(&home.data.part(&restored), &backup));
    check_lineage(&home.open().unwrap(), &home.model, &|_| None);
    home.assert_no_fork(&phase.before);
}

#[test]
fn a_backup_is_whole_or_none_whatever_fails() {
    for (name, act, sample) in
        [("backup", backup as fn(&mut Home) -> _, 24), ("backup of links", backup_of_links, 12)]
    {
        let before = working();
        // What a cut would take back anyway does not tell whether a backup touched the store.
        before.data.sync_everything().unwrap();
        let phase = Phase { name, before: before.ended(), act, again: act, check: check_backup, sample };
        phase.run();
    }
}

/// A backup of a store that went on.
fn backed_up() -> Home {
    let home = working();
    home.backup(BACKUP, Transfer::Copy).unwrap();
    home.ended()
}

fn restore(home: &mut Home) -> Result<()> {
    let to = free(home, RESTORED);
    home.restore(BACKUP, &to).map(drop)
}

/// Takes a copy into service that is whole, which says what it lacks.
fn check_adopted(home: &Home, before: &Home, backup: &Backup) {
    let told = home.adopt().unwrap();
    assert!(told.logs.iter().any(|log| log.has_lost()), "{told:?}");
    let sizes = kept(backup);
    check_lineage(&home.open().unwrap(), &home.model, &|name| sizes.get(name).copied().or(Some(0)));
    goes_on(home.open().unwrap(), &told.root_key);
    check_says(&home.data, &told.root_key);
    home.assert_no_fork(before);
}

fn check_says(disk: &SimDisk, key: &str) {
    let report = verify_image(disk, key);
    let says = report.notes.iter().any(|note| note.message.contains("lost for ever"));
    assert!(says, "{:?}", report.notes);
}

/// Each destination is refused as unfinished, or whole, or nothing; another one can be used; the backup is as it was.
fn check_restored(phase: &Phase, home: &Home, number: u64) {
    let backup = Backup::load_on(&home.data.part(BACKUP)).unwrap();
    let (there, before) = (home.data.part(BACKUP), phase.before.data.part(BACKUP));
    assert!(contents(&there, "") == contents(&before, ""), "the backup is touched");
    let last = free(home, RESTORED);
    let home = home.ended();
    home.restore(BACKUP, &last).unwrap();
    let home = home.cut(number);
    for at in 1.. {
        let name = format!("{RESTORED}-{at}");
        if home.data.part(&name).status("").is_err() {
            break;
        }
        // Each with the keys as they are now.
        let one = home.ended().with_data(&name);
        check_destination(&one, phase, &backup, name == last);
    }
}

fn check_destination(home: &Home, phase: &Phase, backup: &Backup, must_be: bool) {
    let copied = contents(&home.data, "log");
    if copied.is_empty() && home.data.status("restored").is_err() {
        assert!(!must_be);
        return;
    }
    let rig = home.open().unwrap();
    let (_, reason) = rig.opened.shared.tampered.get().expect("it is read-only").clone();
    drop(rig);
    if reason.contains("was not finished") {
        assert!(!must_be, "{reason}");
        match home.adopt() {
            Err(Error::Tampered { reason, .. }) => assert!(reason.contains("restore the backup again")),
            other => panic!("what is not whole was adopted: {other:?}"),
        }
        assert!(home.keys().unwrap().record().pending.is_none(), "an adoption was begun");
        return;
    }
    assert!(is_whole(&home.data, backup), "it looks whole and is not: {reason}");
    if must_be {
        check_adopted(home, &phase.before, backup);
    }
}

#[test]
fn a_restore_is_whole_or_unfinished_whatever_fails() {
    let phase = Phase {
        name: "restore",
        before: backed_up(),
        act: restore,
        again: restore,
        check: check_restored,
        sample: 24,
    };
    phase.run();
}

/// Data that were put back.
fn put_back() -> Home {
    let home = backed_up();
    home.restore(BACKUP, RESTORED).unwrap();
    home.with_data(RESTORED).ended()
}

fn adopt(home: &mut Home) -> Result<()> {
    home.adopt().map(drop)
}

fn check_adoption(phase: &Phase, home: &Home, number: u64) {
    home.check_memory();
    let backup = Backup::load_on(&home.data.part(BACKUP)).unwrap();
    let sizes = kept(&backup);
    for home in [home.ended(), home.cut(number)] {
        let rig = home.open().unwrap();
        if let Some((_, reason)) = rig.opened.shared.tampered.get() {
            assert!(reason.contains("tacho adopt"), "{reason}");
            drop(rig);
            home.adopt().unwrap();
        }
        let home = home.cut(number);
        let rig = home.open().unwrap();
        check_lineage(&rig, &home.model, &|name| sizes.get(name).copied().or(Some(0)));
        let key = crate::root_key(&rig.opened.shared.keys, &rig.opened.shared.options.writer).unwrap();
        goes_on(rig, &key);
        check_says(&home.data, &key);
        home.assert_no_fork(&phase.before);
    }
}

#[test]
fn an_adoption_is_finished_or_done_again_whatever_fails() {
    let phase = Phase {
        name: "adopt",
        before: put_back(),
        act: adopt,
        again: adopt,
        check: check_adoption,
        sample: 14,
    };
    phase.run();
}
