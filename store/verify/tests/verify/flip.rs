//! Flips bytes of a store one by one. Needs nothing but the standard library, so that tests of other packages
//! can take this file in with `#[path]` and turn it on stores that the real program wrote.

use std::fs;
use std::path::{Path, PathBuf};

/// All plain files below `directory`, sorted.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// One byte that was flipped without anybody noticing.
#[derive(Debug)]
#[allow(dead_code, reason = "printed by a failing test")]
pub struct Unnoticed {
    pub file: PathBuf,
    pub offset: usize,
    pub mask: u8,
}

/// Flips one bit of every `stride`-th byte of every file below `directory` (which bit goes around), asks
/// `notices`, and puts the byte back. The first and last 16 bytes of each file are all tried.
pub fn every_byte(
    directory: &Path,
    stride: usize,
    mut notices: impl FnMut(&Path) -> bool,
) -> (usize, Vec<Unnoticed>) {
    let (mut tried, mut unnoticed) = (0, Vec::new());
    for file in files(directory) {
        let whole = fs::read(&file).unwrap();
        for offset in 0..whole.len() {
            let at_an_end = offset < 16 || offset + 16 >= whole.len();
            if !at_an_end && offset % stride != 0 {
                continue;
            }
            let mask = 1u8 << (offset % 8);
            let mut other = whole.clone();
            other[offset] ^= mask;
            fs::write(&file, &other).unwrap();
            tried += 1;
            if !notices(&file) {
                unnoticed.push(Unnoticed { file: file.clone(), offset, mask });
            }
        }
        fs::write(&file, whole).unwrap();
    }
    (tried, unnoticed)
}

/// 1 where every byte is asked for (`TACHO_FULL=1`), else `subset`.
pub fn stride(subset: usize) -> usize {
    if std::env::var_os("TACHO_FULL").is_some_and(|value| value == "1") { 1 } else { subset }
}
