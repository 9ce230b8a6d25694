//! One damage, one answer.

use schemas::Stream;
use schemas::control::Control;
use schemas::layout;
use schemas::origin::ROOT_TENANT;
use std::sync::Arc;

use super::check::read;
use super::damage::{Ended, events};
use super::disk::SimDisk;
use super::draft::Event;
use super::image::{contents, edit, files, put, roll_back};
use super::rig::{Rig, options};
use crate::clock::ManualClock;
use crate::disk::Disk as _;
use crate::error::Error;
use crate::keys::Keys;
use crate::recover;

/// Opens a damaged store, which must be read-only, unchanged by that, and name the place.
fn assert_read_only(ended: Ended, named: &str) {
    // What an unfinished write left may be evidence as well.
    put(&ended.disk, "log/default/events/w1/log.json.tmp", b"half");
    let before = contents(&ended.disk, "");
    let rig = ended.open();
    let (log, reason) = rig.opened.shared.tampered.get().expect("the store opens read-only").clone();
    assert!(format!("{log}: {reason}").contains(named), "{named:?} is not named: {log}: {reason}");
    assert!(matches!(rig.opened.shared.admit(0), Err(Error::Tampered { .. })));
    assert_eq!(contents(&rig.disk, ""), before, "what is damaged is kept as it is");
}

/// Opens a store whose newest group was not finished: set aside, recorded, and everything else as it was.
fn assert_set_aside(mut ended: Ended) {
    ended.keep_signed();
    let rig = ended.open();
    rig.check();
    let root = rig.opened.shared.find(ROOT_TENANT, Stream::Root).unwrap();
    let recovery =
        read(&rig.disk, &root).controls.into_values().find_map(|text| match Control::parse(&text) {
            Ok(Control::Recovery(recovery)) => Some(recovery),
            _ => None,
        });
    let recovery = recovery.expect("the root log records what was set aside");
    let kept = files(&rig.disk, layout::QUARANTINE);
    let bytes = rig.disk.read(kept.first().expect("the bytes are kept")).unwrap();
    assert_eq!(recovery.quarantined_bytes, bytes.len() as u64);
    assert_eq!(recovery.quarantined_digest, schemas::manifest::digest(&bytes));
    rig.check_and_close();
}

#[test]
fn an_undamaged_store_opens_as_it_was() {
    let ended = Ended::new();
    assert!(ended.wal_files().len() >= 3, "{:?}", ended.wal_files());
    ended.open().check_and_close();
}

#[test]
fn a_flipped_byte_in_a_middle_group_is_damage() {
    let ended = Ended::new();
    let groups = ended.groups();
    for group in [&groups[0], &groups[groups.len() / 2], &groups[groups.len() - 2]] {
        for at in [
            group.offset,
            group.offset + 20,
            group.offset + 100,
            group.body(),
            group.body() + group.body_bytes - 1,
        ] {
            let damaged = ended.copy();
            edit(&damaged.disk, &group.path, |bytes| bytes[at] ^= 1);
            assert_read_only(damaged, "");
        }
    }
}

#[test]
fn damage_names_the_file() {
    let ended = Ended::new();
    // Of two groups in one file, the first.
    let groups = ended.groups();
    let pair = groups.windows(2).find(|pair| pair[0].path == pair[1].path).unwrap();
    edit(&ended.disk, &pair[0].path, |bytes| bytes[pair[0].body()] ^= 1);
    let path = pair[0].path.clone();
    assert_read_only(ended, &path);
}

#[test]
fn a_torn_newest_group_is_set_aside_and_recorded() {
    let ended = Ended::new();
    let newest = ended.groups().pop().unwrap();
    for at in [newest.body(), newest.body() + newest.body_bytes - 1, newest.offset + 90, newest.offset + 3] {
        let torn = ended.copy();
        edit(&torn.disk, &newest.path, |bytes| bytes[at] ^= 1);
        assert_set_aside(torn);
    }
    let cut = ended.copy();
    edit(&cut.disk, &newest.path, |bytes| bytes.truncate(newest.body() + newest.body_bytes / 2));
    assert_set_aside(cut);
    let zeroed = ended.copy();
    edit(&zeroed.disk, &newest.path, |bytes| bytes[newest.body() + 60..].fill(0));
    assert_set_aside(zeroed);
}

#[test]
fn a_recovered_store_verifies_before_it_is_closed() {
    let mut ended = Ended::new();
    let newest = ended.groups().pop().unwrap();
    edit(&ended.disk, &newest.path, |bytes| bytes[newest.body()] ^= 1);
    ended.keep_signed();
    let mut rig = ended.open();
    let kept = rig.disk.read(&newest.path).unwrap();
    assert_eq!(kept.len(), newest.offset, "the torn group is no longer in its file");
    rig.append("default", Stream::Events, &events(9_000, 3)).unwrap();
    rig.commit_all().unwrap();
    rig.verify();
    rig.check_and_close();
}

#[test]
fn what_was_set_aside_and_not_said_is_said_at_the_next_start() {
    let mut ended = Ended::new();
    put(&ended.disk, "quarantine/00000000000000000001-512-0123456789abcdef", b"TACHOGRP and no more");
    ended.keep_signed();
    assert_set_aside(ended);
}

#[test]
fn a_file_of_entries_that_are_not_here_is_evidence_of_a_rollback() {
    let ended = Ended::new();
    let name = layout::FileName {
        kind: layout::FileKind::Segment,
        date: "2026-11-21".to_string(),
        first: 900_000,
        last: 900_100,
        digest: "0123456789abcdef".to_string(),
    };
    put(&ended.disk, &format!("log/default/events/w1/{}", name.path()), b"PAR1");
    assert_read_only(ended, "entries are");
}

#[test]
fn no_room_for_a_spare_file_is_no_failure() {
    let mut rig = Rig::new();
    rig.open_logs().unwrap();
    rig.append("default", Stream::Events, &events(1, 3)).unwrap();
    rig.commit_all().unwrap();
    rig.disk.fill_up("spare-");
    rig.disk.take_trace();
    rig.tick().unwrap();
    assert!(rig.opened.shared.poisoned.get().is_none());
    assert!(rig.disk.take_trace().iter().any(|what| what.starts_with("remove wal/spare-")));
    assert!(!files(&rig.disk, "wal").iter().any(|path| path.contains("spare-")));
    rig.check_and_close();
}

#[test]
fn what_an_earlier_use_of_a_file_left_is_nothing_whatever_it_says() {
    let mut ended = Ended::new();
    let newest = ended.wal_files().pop().unwrap();
    // Payloads full of the magic, where the next group would begin.
    edit(&ended.disk, &newest, |bytes| bytes.extend(b"TACHOGRP".repeat(1024)));
    ended.keep_signed();
    let rig = ended.open();
    assert!(rig.opened.shared.tampered.get().is_none());
    assert!(files(&rig.disk, layout::QUARANTINE).is_empty());
    let disk = rig.check_and_close();
    assert!(files(&disk, layout::QUARANTINE).is_empty());
}

#[test]
fn a_torn_group_is_set_aside_once() {
    let ended = Ended::new();
    let newest = ended.groups().pop().unwrap();
    edit(&ended.disk, &newest.path, |bytes| bytes[newest.body()] ^= 1);
    let mut ended = ended;
    ended.keep_signed();
    let again = Ended::of(ended.open()).open();
    again.check();
    let root = again.opened.shared.find(ROOT_TENANT, Stream::Root).unwrap();
    let controls = read(&again.disk, &root).controls;
    assert_eq!(controls.values().filter(|text| text.contains("\"recovery\"")).count(), 1);
}

#[test]
fn a_removed_write_ahead_file_is_damage() {
    let ended = Ended::new();
    let all = ended.wal_files();
    // All but the newest hold what is signed or come before what is.
    for path in &all[..all.len() - 1] {
        let damaged = ended.copy();
        damaged.disk.remove(path).unwrap();
        assert_read_only(damaged, "");
    }
    let damaged = ended.copy();
    for path in &all {
        damaged.disk.remove(path).unwrap();
    }
    assert_read_only(damaged, "");
    let newest = ended.copy();
    newest.disk.remove(all.last().unwrap()).unwrap();
    loses_nothing_signed(newest);
}

/// Read-only, or everything signed is there.
fn loses_nothing_signed(mut ended: Ended) {
    ended.keep_signed();
    let rig = ended.open();
    if rig.opened.shared.tampered.get().is_none() {
        rig.check();
    }
}

#[test]
fn a_truncated_write_ahead_file_is_damage() {
    let ended = Ended::new();
    let all = ended.wal_files();
    for path in &all[..all.len() - 1] {
        let group = ended.groups().into_iter().rfind(|group| group.path == *path).unwrap();
        for length in [0, 100, 512, group.offset, group.body() + 10] {
            let damaged = ended.copy();
            edit(&damaged.disk, path, |bytes| bytes.truncate(length));
            assert_read_only(damaged, "");
        }
    }
    for length in [0, 100] {
        let damaged = ended.copy();
        edit(&damaged.disk, all.last().unwrap(), |bytes| bytes.truncate(length));
        assert_read_only(damaged, all.last().unwrap());
    }
    for group in ended.groups().into_iter().filter(|group| group.path == *all.last().unwrap()) {
        for length in [group.offset, group.body() + 10] {
            let damaged = ended.copy();
            edit(&damaged.disk, &group.path, |bytes| bytes.truncate(length));
            loses_nothing_signed(damaged);
        }
    }
}

/// Drafts that fill a write-ahead file each, to the logs in turn, none of it signed.
fn one_file_each(logs: &[(&str, Stream)]) -> Ended {
    let mut rig = closed().open();
    for (first, (tenant, stream)) in (5000..).step_by(1000).zip(logs) {
        let events: Vec<Event> = (first..first + 80).map(|number| Event::new(number, *stream)).collect();
        rig.append(tenant, *stream, &events).unwrap();
        rig.commit_all().unwrap();
    }
    Ended::of(rig)
}

#[test]
fn a_file_missing_between_others_is_damage_though_nothing_refers_to_it() {
    let ended =
        one_file_each(&[("default", Stream::Access), ("default", Stream::Alerts), ("other", Stream::Events)]);
    let all = ended.wal_files();
    assert_eq!(all.len(), 3);
    ended.disk.remove(&all[1]).unwrap();
    assert_read_only(ended, &all[2]);
}

#[test]
fn entries_without_those_before_them_are_damage() {
    let ended = one_file_each(&[("default", Stream::Access); 2]);
    let all = ended.wal_files();
    assert_eq!(all.len(), 2);
    ended.disk.remove(&all[0]).unwrap();
    assert_read_only(ended, "default/access");
}

#[test]
fn a_log_is_sealed_only_once_the_root_log_says_so_in_a_segment() {
    let mut rig = Rig::new();
    rig.open_logs().unwrap();
    rig.sign(true).unwrap();
    let manifests = format!("{}/{}", layout::log_dir("default", Stream::Events, "w1"), layout::MANIFEST);
    assert!(!rig.seal("default", Stream::Events).unwrap());
    assert_eq!(files(&rig.disk, &manifests).len(), 0);
    assert!(rig.seal(ROOT_TENANT, Stream::Root).unwrap());
    assert!(rig.seal("default", Stream::Events).unwrap());
    assert_eq!(files(&rig.disk, &manifests).len(), 1);
}

#[test]
fn an_older_copy_is_a_rollback() {
    let mut rig = Rig::new();
    rig.open_logs().unwrap();
    rig.append("default", Stream::Events, &events(0, 30)).unwrap();
    rig.commit_all().unwrap();
    rig.sign(true).unwrap();
    rig.seal_all().unwrap();
    rig.rounds(true).unwrap();
    rig.commit_all().unwrap();
    let older = contents(&rig.disk, "");
    rig.append("default", Stream::Events, &events(100, 30)).unwrap();
    rig.commit_all().unwrap();
    rig.sign(true).unwrap();
    let signed =
        Ended { disk: rig.disk.process_end(), clock: Arc::clone(&rig.clock), model: rig.model.clone() };
    rig.finish().unwrap();
    let closed =
        Ended { disk: rig.disk.process_end(), clock: Arc::clone(&rig.clock), model: rig.model.clone() };

    // The write-ahead files of before, where the checkpoint copy knows more.
    let damaged = signed.copy();
    roll_back(&damaged.disk, layout::WAL, &older);
    assert_read_only(damaged, "default/events");
    // One log of before, where the root log knows more.
    let log = layout::log_dir("default", Stream::Events, "w1");
    let damaged = closed.copy();
    roll_back(&damaged.disk, &log, &older);
    assert_read_only(damaged, "default/events");
    // Everything but the root log.
    let damaged = closed.copy();
    for dir in [log.as_str(), layout::WAL] {
        roll_back(&damaged.disk, dir, &older);
    }
    assert_read_only(damaged, "default/events");
    // The root log alone: the others are ahead of what it knows, but its own copy of the checkpoint is gone too.
    let damaged = closed.copy();
    let root = layout::log_dir(ROOT_TENANT, Stream::Root, "w1");
    for path in files(&damaged.disk, &root) {
        damaged.disk.remove(&path).unwrap();
    }
    assert_read_only(damaged, ROOT_TENANT);
    closed.open().check_and_close();
}

/// A closed store: everything is in sealed files.
fn closed() -> Ended {
    let mut rig = Ended::new().open();
    rig.finish().unwrap();
    Ended::of(rig)
}

fn only(disk: &SimDisk, dir: &str) -> Vec<String> {
    files(disk, &format!("{}/{dir}", layout::log_dir("default", Stream::Events, "w1")))
}

#[test]
fn a_deleted_manifest_is_damage() {
    let ended = closed();
    let manifests = only(&ended.disk, layout::MANIFEST);
    assert!(manifests.len() >= 3);
    for path in manifests {
        let damaged = ended.copy();
        damaged.disk.remove(&path).unwrap();
        assert_read_only(damaged, "default/events");
    }
}

#[test]
fn a_changed_manifest_is_damage() {
    let ended = closed();
    for path in only(&ended.disk, layout::MANIFEST) {
        let damaged = ended.copy();
        edit(&damaged.disk, &path, |bytes| bytes[60] ^= 1);
        assert_read_only(damaged, "default/events");
    }
}

#[test]
fn swapped_segments_are_damage() {
    let ended = closed();
    let segments = only(&ended.disk, "segments");
    assert!(segments.len() >= 3);
    for pair in segments.windows(2) {
        let damaged = ended.copy();
        let (first, second) = (damaged.disk.read(&pair[0]).unwrap(), damaged.disk.read(&pair[1]).unwrap());
        put(&damaged.disk, &pair[0], &second);
        put(&damaged.disk, &pair[1], &first);
        assert_read_only(damaged, "default/events");
    }
    for path in segments {
        let damaged = ended.copy();
        damaged.disk.remove(&path).unwrap();
        assert_read_only(damaged, "default/events");
    }
}

#[test]
fn a_deleted_tile_of_the_right_edge_is_damage() {
    let ended = closed();
    let checkpoint = format!("{}/{}", layout::log_dir("default", Stream::Events, "w1"), layout::CHECKPOINT);
    let partials = only(&ended.disk, layout::TILE);
    let partials: Vec<_> = partials.into_iter().filter(|path| path.contains(".p/")).collect();
    assert!(partials.len() >= 2, "{partials:?}");
    for path in partials {
        let damaged = ended.copy();
        damaged.disk.remove(&path).unwrap();
        assert_read_only(damaged, "default/events");
        let damaged = ended.copy();
        edit(&damaged.disk, &path, |bytes| bytes[0] ^= 1);
        // The copy of the checkpoint would tell too; the manifest's must.
        damaged.disk.remove(&checkpoint).unwrap();
        assert_read_only(damaged, "default/events");
    }
}

#[test]
fn another_installation_is_read_only() {
    for ended in [Ended::new(), closed()] {
        for keys in [Keys::from_seed([7; 32], "tacho-other"), Keys::from_seed([8; 32], "tacho-test")] {
            let before = contents(&ended.disk, "");
            let disk = ended.disk.process_end();
            let opened =
                recover::open(options(), Arc::new(disk.clone()), ended.clock.clone(), keys.unwrap()).unwrap();
            assert!(opened.shared.tampered.get().is_some());
            assert_eq!(contents(&disk, ""), before);
        }
    }
}

#[test]
fn a_log_that_the_root_log_does_not_know_is_damage() {
    let from = layout::log_dir("other", Stream::Events, "w1");
    let to = layout::log_dir("stranger", Stream::Events, "w1");
    // A whole log under another tenant's name, and a bare directory.
    let damaged = closed();
    for (path, bytes) in contents(&damaged.disk, &from) {
        put(&damaged.disk, &path.replace(&from, &to), &bytes);
    }
    assert_read_only(damaged, "stranger");
    let damaged = closed();
    put(&damaged.disk, &format!("{to}/log.json"), b"{}\n");
    assert_read_only(damaged, "stranger");
}

#[test]
fn a_lost_log_directory_is_damage() {
    let damaged = closed();
    for path in files(&damaged.disk, &layout::log_dir("other", Stream::Events, "w1")) {
        damaged.disk.remove(&path).unwrap();
    }
    assert_read_only(damaged, "other/events");
}

#[test]
fn a_clock_that_steps_opens_a_run() {
    let mut rig = Rig::new();
    rig.open_logs().unwrap();
    let mut number = 0;
    let mut append = |rig: &mut Rig| {
        number += 1;
        rig.append("default", Stream::Events, &events(number, 1)).unwrap();
        rig.commit_all().unwrap();
        let log = rig.opened.shared.find("default", Stream::Events).unwrap();
        let found = read(&rig.disk, &log);
        let runs = found.controls.values().filter(|text| text.contains("clock_run")).count();
        (runs, *found.ingest_us.last().unwrap())
    };
    let (_, first_us) = append(&mut rig);
    rig.clock.advance(1_000_000);
    assert_eq!(append(&mut rig), (0, first_us + 1_000_000));
    rig.clock.step_wall(-500_000);
    assert_eq!(append(&mut rig), (0, first_us + 1_000_000), "a small step back is held");
    rig.clock.step_wall(-3_600_000_000);
    let back_us = first_us + 500_000 - 3_600_000_000;
    assert_eq!(append(&mut rig), (1, back_us), "a step back opens a run");
    rig.clock.advance(10_000_000);
    rig.clock.step_wall(290_000_000);
    assert_eq!(append(&mut rig), (1, back_us + 300_000_000), "within the jump that is allowed");
    rig.clock.step_wall(301_000_000);
    assert_eq!(append(&mut rig).0, 2, "a jump opens a run");
    rig.clock.step_wall(-7_200_000_000);
    // A step while the store is not running.
    let mut rig = Ended::of(rig).open();
    assert_eq!(append(&mut rig).0, 3);
    rig.check_and_close();
}

#[test]
fn a_full_clock_range_does_not_overflow() {
    for start_us in [0, -1_000_000_000_000, 4_102_444_800_000_000] {
        let clock = Arc::new(ManualClock::new(start_us));
        let mut rig = Rig::open(SimDisk::new(), clock, Default::default()).unwrap();
        rig.open_logs().unwrap();
        rig.append("default", Stream::Events, &events(0, 2)).unwrap();
        rig.commit_all().unwrap();
        rig.check_and_close();
    }
}
