//! The disk itself: a model that forgets nothing would pass every test above it.

use std::collections::BTreeMap;

use super::*;
use crate::power_cut::image::contents;

/// What a few hundred cuts make of a disk, each image once.
fn images(disk: &SimDisk) -> Vec<BTreeMap<String, Vec<u8>>> {
    let mut images: Vec<_> = (0..300).map(|seed| contents(&disk.cut(seed), "")).collect();
    images.sort();
    images.dedup();
    images
}

fn disk_with(name: &str, bytes: &[u8]) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = SimDisk::new();
    let file = disk.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    (disk, file)
}

#[test]
fn what_is_synced_survives_and_nothing_else_surely() {
    let (disk, file) = disk_with("a", &[1; 10_000]);
    assert!(images(&disk).iter().any(BTreeMap::is_empty), "neither name nor content is durable");
    file.sync().unwrap();
    let found = images(&disk);
    assert!(found.iter().any(BTreeMap::is_empty), "the name is not durable");
    assert!(found.iter().all(|image| image.get("a").is_none_or(|bytes| *bytes == [1; 10_000])));
    disk.sync_dir("").unwrap();
    assert_eq!(images(&disk), [BTreeMap::from([("a".to_string(), vec![1; 10_000])])]);
    file.write_at(0, &[2; 10_000]).unwrap();
    let found = images(&disk);
    let pages = |bytes: &[u8]| bytes.chunks(4096).map(|page| page[0]).collect::<Vec<u8>>();
    let pages: Vec<Vec<u8>> = found.iter().map(|image| pages(&image["a"])).collect();
    for kept in [[1, 1, 1], [2, 2, 2], [2, 1, 2], [1, 2, 1]] {
        assert!(pages.contains(&kept.to_vec()), "{kept:?}");
    }
    let is_torn = |bytes: &Vec<u8>| bytes[0] == 2 && bytes[4095] == 1;
    assert!(found.iter().any(|image| is_torn(&image["a"])), "no page is torn");
    disk.sync_everything().unwrap();
    assert_eq!(images(&disk).len(), 1);
}

#[test]
fn a_rename_is_there_or_not() {
    let (disk, file) = disk_with("a.tmp", b"new");
    file.sync().unwrap();
    disk.create("a").unwrap();
    disk.sync_dir("").unwrap();
    assert!(disk.rename_new("a.tmp", "a").is_err());
    disk.rename("a.tmp", "a").unwrap();
    let old = BTreeMap::from([("a".to_string(), vec![]), ("a.tmp".to_string(), b"new".to_vec())]);
    let new = BTreeMap::from([("a".to_string(), b"new".to_vec())]);
    assert_eq!(images(&disk), [old, new]);
}

#[test]
fn a_failed_sync_forgets_and_a_fault_lasts() {
    let (disk, file) = disk_with("a", b"old");
    disk.sync_everything().unwrap();
    file.write_at(0, b"new").unwrap();
    disk.fail(1, Shape::NotDone, Span::Lasts);
    assert!(file.sync().is_err());
    assert!(file.write_at(0, b"xxx").is_err() && disk.sync_everything().is_err());
    let disk = disk.process_end();
    assert_eq!(disk.read("a").unwrap(), b"new");
    disk.sync_everything().unwrap();
    assert_eq!(images(&disk), [BTreeMap::from([("a".to_string(), b"old".to_vec())])]);

    let (disk, file) = disk_with("a", b"new");
    disk.sync_everything().unwrap();
    disk.fail(1, Shape::Done, Span::Lasts);
    assert!(file.write_at(0, b"not").is_err());
    assert_eq!(disk.read("a").unwrap(), b"not", "done, and an error all the same");
}

#[test]
fn a_fault_that_comes_once_is_over() {
    let (disk, file) = disk_with("a", b"old");
    disk.sync_everything().unwrap();
    disk.fail(1, Shape::Short, Span::Once);
    assert_eq!(file.write_at(0, b"new!").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.read("a").unwrap(), b"new", "a part of it");
    file.write_at(0, b"more").unwrap();
    disk.fail(1, Shape::Kill, Span::Once);
    assert!(
        file.sync().is_err() && disk.read("a").is_err() && disk.create("b").is_err(),
        "a kill is for good"
    );
    assert_eq!(disk.process_end().read("a").unwrap(), b"more");
}

#[test]
fn a_lost_rename_is_seen_and_no_sync_brings_it() {
    let (disk, file) = disk_with("a.tmp", b"new");
    file.sync().unwrap();
    disk.create("a").unwrap();
    disk.sync_dir("").unwrap();
    disk.rename("a.tmp", "a").unwrap();
    disk.create("b").unwrap();
    disk.fail(1, Shape::LostRename, Span::Once);
    assert!(disk.sync_dir("").is_err());
    assert_eq!(disk.read("a").unwrap(), b"new");
    disk.sync_everything().unwrap();
    let old = [("a", b"".to_vec()), ("a.tmp", b"new".to_vec()), ("b", b"".to_vec())];
    assert_eq!(images(&disk), [BTreeMap::from(old.map(|(name, bytes)| (name.to_string(), bytes)))]);
    // Written again under another name and renamed it is there.
    disk.create("a.2.tmp").unwrap();
    disk.rename("a.2.tmp", "a").unwrap();
    disk.sync_dir("").unwrap();
    assert_eq!(contents(&disk.cut(1), "")["a"], b"");
}

#[test]
fn views_are_of_one_disk() {
    let all = SimDisk::new();
    let (data, keys) = (all.part("data"), all.part("keys"));
    data.create_root().unwrap();
    keys.create_root().unwrap();
    data.create("a").unwrap().write_at(0, b"x").unwrap();
    keys.link(&data.absolute("a"), "b").unwrap();
    assert_eq!(keys.read("b").unwrap(), b"x");
    assert_eq!((keys.operations(), all.operations()), (7, 7));
    data.fail(1, Shape::NotDone, Span::Lasts);
    assert!(keys.create("c").is_err(), "whatever comes next");
    let after = keys.process_end();
    after.sync_everything().unwrap();
    assert_eq!(contents(&after.cut(0).part(""), "").into_keys().collect::<Vec<_>>(), ["data/a", "keys/b"]);
}
