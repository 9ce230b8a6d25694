//! Write-ahead files beside the sealed store.

use std::fs;

use schemas::group::{FileHeader, GroupBuilder, Position};
use schemas::layout;
use schemas::payload::{record_field, record_header};
use schemas::tile::partial_tiles;
use verify::{Identity, Options, Report, run};

use crate::clean::{assert_clean, verified};
use crate::writer::{Log, Store};

const NONCE: [u8; 16] = [6; 16];

/// A section with entries `first..last` of `log`.
fn section(builder: &mut GroupBuilder, log: &Log, first: usize, last: usize) {
    let (mut entries, mut payloads) = (Vec::new(), Vec::new());
    for index in first..last {
        entries.extend_from_slice(&(log.bytes[index].len() as u16).to_be_bytes());
        entries.extend_from_slice(&log.bytes[index]);
        if let Some((fields, salt)) = &log.entries[index].payload {
            let mut record = Vec::new();
            record_header(index as u64, salt, &mut record);
            fields.iter().for_each(|(id, value)| record_field(*id, value, &mut record));
            payloads.extend_from_slice(&(record.len() as u32).to_be_bytes());
            payloads.extend_from_slice(&record);
        }
    }
    builder.entries(&log.origin, first as u64, (last - first) as u32, &entries, &payloads);
}

/// Puts groups into write-ahead file 1; the last `tail` bytes stay zero.
fn write(store: &Store, groups: Vec<GroupBuilder>) -> Vec<u8> {
    write_file(store, 1, 11, groups)
}

/// Puts groups from this number on into a file.
fn write_file(store: &Store, file: u64, first: u64, groups: Vec<GroupBuilder>) -> Vec<u8> {
    let mut bytes = FileHeader { number: file, nonce: NONCE }.encode();
    let mut synced = Position { file, offset: 512 };
    for (number, group) in (first..).zip(groups) {
        bytes.extend(group.finish(number, NONCE, synced).unwrap());
        synced.offset = bytes.len() as u64;
    }
    bytes.resize(bytes.len() + 4096, 0);
    put_file(store, file, &bytes);
    bytes
}

fn put(store: &Store, bytes: &[u8]) {
    put_file(store, 1, bytes);
}

fn put_file(store: &Store, file: u64, bytes: &[u8]) {
    fs::create_dir_all(store.data.path().join("wal")).unwrap();
    fs::write(store.data.path().join(layout::wal(file)), bytes).unwrap();
}

/// A store with ten unsealed events in three groups: some sealed ones repeated, entries, and a checkpoint with more.
fn store() -> (Store, Vec<u8>) {
    let mut store = Store::small();
    let log = &mut store.logs[1];
    let sealed = log.sealed;
    log.events(10);
    let mut groups = Vec::new();
    for (first, last) in [(sealed - 4, sealed + 3), (sealed + 3, sealed + 6), (sealed + 6, sealed + 10)] {
        let mut group = GroupBuilder::new();
        section(&mut group, log, first, last);
        group.cursor(&log.origin, last as u64, "kafka/topic/0", &last.to_string());
        groups.push(group);
    }
    groups[1].checkpoint(log.checkpoint(sealed + 3).as_bytes());
    let bytes = write(&store, groups);
    (store, bytes)
}

fn found(store: &Store, text: &str) {
    let report = verified(store);
    assert!(report.findings.iter().any(|finding| finding.message.contains(text)), "{text}: {report:#?}");
}

fn events(report: &Report) -> (u64, u64, u64) {
    let log = report.logs.iter().find(|log| log.origin.contains("/events/")).unwrap();
    (log.sealed, log.signed, log.durable)
}

#[test]
fn unsealed_entries_are_clean() {
    let (store, _) = store();
    let report = verified(&store);
    assert_clean(&report);
    let sealed = store.logs[1].sealed as u64;
    assert_eq!(events(&report), (sealed, sealed + 3, sealed + 10));
    let options = Options { write_ahead: false, ..Options::new(store.data.path(), Identity::TrustStoreKey) };
    assert_eq!(events(&run(&options, &|_| {}).unwrap()), (sealed, sealed, sealed));
}

#[test]
fn every_flipped_byte_is_found_or_a_torn_newest_group() {
    let (store, bytes) = store();
    let newest =
        (0..bytes.len()).step_by(512).rev().find(|at| bytes[*at..].starts_with(b"TACHOGRP")).unwrap();
    for at in (0..bytes.len() - 4096).step_by(23) {
        let mut other = bytes.clone();
        other[at] ^= 0x20;
        put(&store, &other);
        let report = verified(&store);
        let is_padding =
            newest + 128 + u32::from_be_bytes(bytes[newest + 48..newest + 52].try_into().unwrap()) as usize
                <= at;
        // Nothing in the newest group was ever acknowledged under a signed size.
        if at < newest || is_padding {
            assert_eq!(report.exit_code(), 1, "byte {at} of {}", bytes.len());
        } else {
            assert_clean(&report);
        }
    }
    put(&store, &bytes);
    assert_clean(&verified(&store));
}

#[test]
fn a_torn_newest_group_is_a_note() {
    let (store, mut bytes) = store();
    let end = bytes.len() - 4096;
    bytes[end - 600] ^= 1;
    put(&store, &bytes);
    let report = verified(&store);
    assert_clean(&report);
    assert!(report.notes.iter().any(|note| note.message.contains("torn")), "{report:#?}");
}

#[test]
fn a_signed_size_beyond_what_is_durable_is_found() {
    let (mut store, _) = store();
    let log = &mut store.logs[1];
    log.events(5);
    let note = log.checkpoint(log.leaves.len());
    fs::write(log.directory.join("checkpoint"), note).unwrap();
    found(&store, "entries are there");
}

#[test]
fn gaps_and_other_entries_are_found() {
    let mut store = Store::small();
    let sealed = store.logs[1].sealed;
    store.logs[1].events(10);
    let one = |first, last, store: &Store| {
        let mut group = GroupBuilder::new();
        section(&mut group, &store.logs[1], first, last);
        group
    };
    let group = one(sealed + 2, sealed + 10, &store);
    write(&store, vec![group]);
    found(&store, "neither sealed nor in a write-ahead file");
    let mut other = Store::sized(8, 40, 300);
    other.logs[1].events(10);
    let group = one(sealed - 3, sealed + 10, &other);
    write(&store, vec![group]);
    found(&store, "the sealed entry is not the one in");
    found(&store, "an entry of another log");
}

#[test]
fn a_wrong_root_in_a_write_ahead_checkpoint_is_found() {
    let (mut store, _) = store();
    let log = &mut store.logs[1];
    let mut group = GroupBuilder::new();
    section(&mut group, log, log.sealed, log.leaves.len());
    let at = log.sealed + 4;
    log.leaves[at] = log.leaves[0];
    group.checkpoint(log.checkpoint(at + 1).as_bytes());
    write(&store, vec![group]);
    found(&store, "the checkpoint in wal/");
}

#[test]
fn files_past_the_sealed_size_are_not_yet_published_beside_a_writer() {
    let (mut store, _) = store();
    let (first, last) = (store.logs[1].sealed, store.logs[1].leaves.len());
    let log = &mut store.logs[1];
    let manifest = log.manifest_path(log.manifests.len() + 1);
    let before = fs::read(log.directory.join("checkpoint")).unwrap();
    // A seal that stopped before its manifest; the partial tiles before it are still there.
    let copy = tempfile::tempdir().unwrap();
    crate::damage::copy_tree(&log.directory, copy.path());
    log.seal();
    fs::remove_file(manifest).unwrap();
    crate::damage::copy_tree(copy.path(), &log.directory.clone());
    fs::write(log.directory.join("checkpoint"), before).unwrap();
    let report = verified(&store);
    assert_clean(&report);
    assert!(
        report.notes.iter().any(|note| note.message.contains("not yet published")),
        "{first} {last} {report:#?}"
    );
    let options = Options::new(store.log_directory(), Identity::TrustStoreKey);
    let copy = run(&options, &|_| {}).unwrap();
    assert!(
        copy.findings.iter().any(|finding| finding.message.contains("no manifest ever named")),
        "{copy:#?}"
    );
}

#[test]
fn only_the_beginning_of_a_tile_beyond_the_sealed_tree_is_left_by_a_kill() {
    let (store, _) = store();
    let log = &store.logs[1];
    let (sealed, size) = (log.sealed as u64, log.leaves.len() as u64);
    let next = partial_tiles(size).into_iter().find(|tile| tile.level == 0).unwrap();
    assert!(next.index * 256 + next.width > sealed, "{next:?} is of the sealed tree of {sealed}");
    let hashes: Vec<u8> = log.leaves[next.index as usize * 256..].iter().flat_map(|leaf| leaf.0).collect();
    let path = log.directory.join(layout::tile(next));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for length in [0, 31, 64, hashes.len()] {
        fs::write(&path, &hashes[..length]).unwrap();
        let report = verified(&store);
        assert_clean(&report);
        let told = report.notes.iter().any(|note| note.message.contains("a part of a tile"));
        assert_eq!(told, length < hashes.len(), "{length}: {report:#?}");
    }
    // All of it was made room for, and a power cut came before all was written.
    let mut torn = hashes.clone();
    torn[..512.min(hashes.len())].fill(0);
    fs::write(&path, &torn).unwrap();
    let report = verified(&store);
    assert_clean(&report);
    assert!(report.notes.iter().any(|note| note.message.contains("a part of a tile")), "{report:#?}");
    torn[7] = 1;
    fs::write(&path, &torn).unwrap();
    found(&store, "the hash in the tile is not that of the entry");
    let mut other = hashes[..64].to_vec();
    other[40] ^= 1;
    fs::write(&path, other).unwrap();
    found(&store, "64 bytes where a tile of");
    fs::remove_file(&path).unwrap();
    // What is sealed was synced before it was: there a kill leaves nothing behind.
    let edge = partial_tiles(sealed).into_iter().find(|tile| tile.level == 0).unwrap();
    fs::write(log.directory.join(layout::tile(edge)), b"").unwrap();
    found(&store, "0 bytes where a tile of");
}

#[test]
fn what_a_power_cut_leaves_of_a_checkpoint_copy_is_a_note_beside_a_writer() {
    let (store, _) = store();
    let path = store.logs[1].directory.join("checkpoint");
    let whole = fs::read(&path).unwrap();
    for torn in [vec![], vec![0; whole.len()]] {
        fs::write(&path, &torn).unwrap();
        let report = verified(&store);
        assert_clean(&report);
        assert!(
            report.notes.iter().any(|note| note.message.contains("not written to its end")),
            "{report:#?}"
        );
        // Of a copy that was taken whole nobody makes it again.
        let copy = run(&Options::new(store.log_directory(), Identity::TrustStoreKey), &|_| {}).unwrap();
        assert_eq!(copy.exit_code(), 1, "{copy:#?}");
    }
    for at in 0..whole.len() {
        let mut other = whole.clone();
        other[at] = 0;
        fs::write(&path, &other).unwrap();
        assert_eq!(verified(&store).exit_code(), 1, "byte {at}");
    }
}

#[test]
fn a_data_directory_without_what_is_signed_and_not_sealed_is_found() {
    let (store, _) = store();
    fs::remove_dir_all(store.data.path().join("wal")).unwrap();
    let log = &store.logs[1];
    fs::write(log.directory.join("checkpoint"), log.checkpoint(log.sealed + 6)).unwrap();
    fs::write(store.data.path().join("lock"), b"").unwrap();
    let report = |directory| run(&Options::new(directory, Identity::Key(store.root_key())), &|_| {}).unwrap();
    let whole = report(store.data.path().to_path_buf());
    assert_eq!(whole.findings.len(), 1, "{:?}", whole.findings);
    assert_eq!(whole.findings[0].file.as_deref(), Some("wal"));
    // The directory below it may be a copy that lies anywhere, and has none.
    let copy = report(store.log_directory());
    assert!(copy.findings.is_empty() && copy.notes.len() == 1, "{copy:?}");
    fs::remove_file(store.data.path().join("lock")).unwrap();
    let copy = report(store.data.path().to_path_buf());
    assert!(copy.findings.is_empty() && copy.notes.len() == 1, "copied under its name: {copy:?}");
}

#[test]
fn a_cursor_that_does_not_stand_behind_its_entries_is_found() {
    let (mut store, _) = store();
    let (sealed, origin) = (store.logs[1].sealed, store.logs[1].origin.clone());
    let cursors = |of: &[(u64, &str, &str)], store: &Store| {
        let mut group = GroupBuilder::new();
        section(&mut group, &store.logs[1], sealed - 4, sealed + 10);
        of.iter().for_each(|(end, name, value)| group.cursor(&origin, *end, name, value));
        write(store, vec![group]);
    };
    let end = sealed as u64 + 10;
    cursors(&[(end, "tail/a/1-2", "7"), (end - 1, "tail/a/1-2", "6")], &store);
    assert_clean(&verified(&store));
    cursors(&[(end + 1, "tail/a/1-2", "7")], &store);
    found(&store, "is ahead of the entries");
    cursors(&[(0, "tail/a/1-2", "7")], &store);
    found(&store, "is ahead of the entries");
    cursors(&[(end, "tail/a/1-2", "7"), (end, "tail/a/1-2", "8")], &store);
    found(&store, "somewhere else than in an earlier group");
    cursors(&[(end, "tail", "7")], &store);
    found(&store, "a name or value that none has");
    // What was durable below S is what the manifest says.
    cursors(&[(sealed as u64, "tail/a/1-2", "7")], &store);
    found(&store, "in the newest manifest, was durable at");
    let log = &mut store.logs[1];
    log.seal_with(&|batch| batch, &|manifest| {
        manifest.cursors.insert("tail/a/1-2".to_string(), "7".to_string());
    });
    store.round();
    store.logs[0].seal();
    cursors(&[(sealed as u64, "tail/a/1-2", "7")], &store);
    assert_clean(&verified(&store));
    cursors(&[(sealed as u64 + 10, "tail/a/1-2", "8")], &store);
    found(&store, "in the newest manifest, was durable at");
}

/// A store whose cursor and rounds moved on since what the first of its write-ahead files holds of it, which is sealed: files 3
/// and 9, with the groups between them given up.
fn came_back(entries: &dyn Fn(&Store) -> (usize, usize)) -> Store {
    let mut store = Store::small();
    let log = &mut store.logs[1];
    log.events(10);
    let origin = log.origin.clone();
    log.seal_with(&|batch| batch, &|manifest| {
        manifest.cursors.insert("tail/a/1-2".to_string(), "7".to_string());
    });
    store.round();
    store.logs[0].seal();
    let sealed = store.logs[1].sealed;
    store.logs[1].events(10);
    let (first, last) = entries(&store);
    let mut old = GroupBuilder::new();
    section(&mut old, &store.logs[1], first, last);
    old.cursor(&origin, last as u64, "tail/a/1-2", "6");
    write_file(&store, 3, 20, vec![old]);
    let mut new = GroupBuilder::new();
    section(&mut new, &store.logs[1], sealed, sealed + 10);
    new.cursor(&origin, sealed as u64 + 10, "tail/a/1-2", "9");
    write_file(&store, 9, 31, vec![new]);
    store
}

#[test]
fn a_file_that_was_given_up_and_came_back_is_a_note() {
    let store = came_back(&|store| (store.logs[1].sealed - 8, store.logs[1].sealed - 4));
    let report = verified(&store);
    assert_clean(&report);
    let told = report.notes.iter().find(|note| note.message.contains("came back")).unwrap();
    assert_eq!(told.file.as_deref(), Some(layout::wal(3).as_str()));
    assert_eq!(report.notes.iter().filter(|note| note.message.contains("came back")).count(), 1);
    // Two gaps: each file is named once.
    let mut group = GroupBuilder::new();
    section(&mut group, &store.logs[1], store.logs[1].sealed - 12, store.logs[1].sealed - 10);
    write_file(&store, 2, 10, vec![group]);
    let report = verified(&store);
    assert_clean(&report);
    assert_eq!(report.notes.iter().filter(|note| note.message.contains("came back")).count(), 2);
}

#[test]
fn groups_that_are_missing_behind_unsealed_entries_are_found() {
    let store = came_back(&|store| (store.logs[1].sealed - 8, store.logs[1].sealed + 1));
    found(&store, "its first group is 31, the one before it 20");
    // Signed past what is sealed.
    let store = came_back(&|store| (store.logs[1].sealed - 8, store.logs[1].sealed - 4));
    let mut group = GroupBuilder::new();
    group.checkpoint(store.logs[1].checkpoint(store.logs[1].sealed + 2).as_bytes());
    write_file(&store, 3, 20, vec![group]);
    found(&store, "its first group is 31, the one before it 20");
    // Of a time before the files that follow it, by its number alone.
    let store = came_back(&|store| (store.logs[1].sealed - 8, store.logs[1].sealed - 4));
    let mut group = GroupBuilder::new();
    section(&mut group, &store.logs[1], store.logs[1].sealed - 8, store.logs[1].sealed - 4);
    write_file(&store, 3, 40, vec![group]);
    found(&store, "its first group is 31, the one before it 40");
}

#[test]
fn a_file_that_came_back_with_other_entries_is_found() {
    let store = came_back(&|store| (store.logs[1].sealed - 8, store.logs[1].sealed - 4));
    let mut other = Store::sized(8, 40, 300);
    other.logs[1].events(20);
    let sealed = store.logs[1].sealed;
    let mut group = GroupBuilder::new();
    section(&mut group, &other.logs[1], sealed - 8, sealed - 4);
    write_file(&store, 3, 20, vec![group]);
    found(&store, "the sealed entry is not the one in");
}
