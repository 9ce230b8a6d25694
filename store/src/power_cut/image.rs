//! Whole directories of a simulated disk: written out, copied, changed behind the store's back.

use std::collections::BTreeMap;
use std::path::Path;

use super::disk::SimDisk;
use crate::disk::Disk;

/// The paths of all files below `dir`.
pub(super) fn files(disk: &SimDisk, dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in disk.list(dir).unwrap() {
        let path = if dir.is_empty() { entry.name.clone() } else { format!("{dir}/{}", entry.name) };
        if entry.is_dir { found.extend(files(disk, &path)) } else { found.push(path) }
    }
    found
}

/// Path to content of all files below `dir`.
pub(super) fn contents(disk: &SimDisk, dir: &str) -> BTreeMap<String, Vec<u8>> {
    files(disk, dir).into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect()
}

/// Puts a file there, whatever was there before.
pub(super) fn put(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let mut at = 0;
    while let Some(end) = path[at..].find('/') {
        disk.create_dir(&path[..at + end]).unwrap();
        at += end + 1;
    }
    if disk.read(path).is_ok() {
        disk.remove(path).unwrap();
    }
    disk.create(path).unwrap().write_at(0, bytes).unwrap();
    disk.sync_everything().unwrap();
}

/// Changes one file.
pub(super) fn edit(disk: &SimDisk, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read(path).unwrap();
    change(&mut bytes);
    put(disk, path, &bytes);
}

/// Makes everything below `dir` what it was in an older image.
pub(super) fn roll_back(disk: &SimDisk, dir: &str, older: &BTreeMap<String, Vec<u8>>) {
    for path in files(disk, dir) {
        disk.remove(&path).unwrap();
    }
    for (path, bytes) in older.iter().filter(|(path, _)| path.starts_with(dir)) {
        put(disk, path, bytes);
    }
}

/// Writes the files to a real directory.
pub(super) fn write_out(disk: &SimDisk, to: &Path) {
    // Empty after a clean close.
    std::fs::create_dir_all(to.join(schemas::layout::WAL)).unwrap();
    for (path, bytes) in contents(disk, "") {
        let path = to.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
