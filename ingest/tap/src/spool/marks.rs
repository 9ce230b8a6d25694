//! The file `marks`: two records, each of two numbers and a check, overwritten in place by the one thread that each belongs
//! to. A record that a crash tore counts as nought: everything that is left is sent again, or a drop is not on record.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::Position;
use super::lock::no_follow;
use crate::error::Error;

const NAME: &str = "marks";
/// Persisted: bytes of a record.
const RECORD_LENGTH: usize = 24;
/// Persisted: where the record of what is acknowledged begins.
const ACKNOWLEDGED_AT: u64 = 0;
/// Persisted: where the record of what was dropped begins.
const DROPPED_AT: u64 = 512;

/// The records, as they are in memory and in the file.
#[derive(Debug)]
pub struct Marks {
    file: File,
    acknowledged: Position,
    dropped: u64,
    reported: u64,
}

impl Marks {
    pub(super) fn open(directory: &Path) -> Result<Marks, Error> {
        let path = directory.join(NAME);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let opened = options.custom_flags(no_follow()).open(&path);
        let file = opened.map_err(Error::spool("open", &path))?;
        let (number, offset) = read(&file, ACKNOWLEDGED_AT).unwrap_or((1, 0));
        let (dropped, reported) = read(&file, DROPPED_AT).unwrap_or_default();
        Ok(Marks { file, acknowledged: Position { file: number, offset }, dropped, reported })
    }

    pub(super) fn acknowledged(&self) -> Position {
        self.acknowledged
    }

    pub(super) fn acknowledge(&mut self, position: Position) {
        self.acknowledged = position;
        write(&self.file, ACKNOWLEDGED_AT, position.file, position.offset);
    }

    pub(super) fn drop_one(&mut self) {
        self.dropped += 1;
        write(&self.file, DROPPED_AT, self.dropped, self.reported);
    }

    pub(super) fn report(&mut self, count: u64) {
        self.reported = self.reported.saturating_add(count).min(self.dropped);
        write(&self.file, DROPPED_AT, self.dropped, self.reported);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn unreported(&self) -> u64 {
        self.dropped - self.reported.min(self.dropped)
    }
}

fn record(first: u64, second: u64) -> [u8; RECORD_LENGTH] {
    let mut record = [0; RECORD_LENGTH];
    let (numbers, check) = record.split_at_mut(16);
    let (left, right) = numbers.split_at_mut(8);
    left.copy_from_slice(&first.to_le_bytes());
    right.copy_from_slice(&second.to_le_bytes());
    blake3::Hasher::new().update(numbers).finalize_xof().fill(check);
    record
}

fn read(file: &File, at: u64) -> Option<(u64, u64)> {
    let mut found = [0; RECORD_LENGTH];
    file.read_exact_at(&mut found, at).ok()?;
    let (first, rest) = found.split_first_chunk::<8>()?;
    let (second, _) = rest.split_first_chunk::<8>()?;
    let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
    (record(first, second) == found).then_some((first, second))
}

fn write(file: &File, at: u64, first: u64, second: u64) {
    if let Err(error) = file.write_all_at(&record(first, second), at) {
        tracing::warn!(%error, "the spool's marks were not written");
    }
}
