//! A store worth damaging, and the parts of its write-ahead files.

use std::sync::Arc;

use schemas::Stream;
use schemas::group::{FILE_HEADER_BYTES, FileHeader, GROUP_HEADER_BYTES, GroupHeader};
use schemas::layout;

use super::disk::SimDisk;
use super::draft::Event;
use super::image::files;
use super::model::Model;
use super::rig::Rig;
use crate::clock::ManualClock;
use crate::disk::Disk as _;

/// A store whose process has ended: sealed entries, then signed ones in several write-ahead files, and a newest
/// group that nothing signs.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) model: Model,
}

pub(super) fn events(first: u64, count: u64) -> Vec<Event> {
    (first..first + count).map(|number| Event::new(number, Stream::Events)).collect()
}

impl Ended {
    pub(super) fn new() -> Ended {
        let mut rig = Rig::new();
        rig.open_logs().unwrap();
        for (first, count) in [(0, 300), (300, 40)] {
            rig.append("default", Stream::Events, &events(first, count)).unwrap();
            rig.append("other", Stream::Events, &events(first, 5)).unwrap();
            rig.pull("other", Stream::Events, 3).unwrap();
            rig.commit_all().unwrap();
            rig.sign(true).unwrap();
            rig.seal_all().unwrap();
            rig.rounds(true).unwrap();
            rig.commit_all().unwrap();
            rig.tick().unwrap();
        }
        for round in 0..6 {
            rig.append("default", Stream::Events, &events(1000 + round * 20, 12)).unwrap();
            rig.commit_all().unwrap();
            rig.append("other", Stream::Events, &events(1000 + round * 20, 2)).unwrap();
            rig.pull("other", Stream::Events, 2).unwrap();
            rig.commit_all().unwrap();
        }
        rig.rounds(true).unwrap();
        rig.commit_all().unwrap();
        rig.sign(true).unwrap();
        rig.append("default", Stream::Events, &events(2000, 3)).unwrap();
        rig.commit_all().unwrap();
        Ended::of(rig)
    }

    /// The store as its process left it; what was signed is not lost whatever happens to the rest.
    pub(super) fn of(rig: Rig) -> Ended {
        rig.check();
        Ended { disk: rig.disk.process_end(), clock: rig.clock, model: rig.model }
    }

    pub(super) fn open(self) -> Rig {
        Rig::open(self.disk, self.clock, self.model).unwrap()
    }

    /// A copy to be damaged.
    pub(super) fn copy(&self) -> Ended {
        Ended { disk: self.disk.process_end(), ..self.clone() }
    }

    /// The write-ahead files, oldest first.
    pub(super) fn wal_files(&self) -> Vec<String> {
        let names = files(&self.disk, layout::WAL).into_iter();
        names.filter(|path| path.ends_with(".wal")).collect()
    }

    /// The groups of all files, oldest first.
    pub(super) fn groups(&self) -> Vec<Group> {
        self.wal_files().iter().flat_map(|path| groups(path, &self.disk.read(path).unwrap())).collect()
    }

    /// Forgets promises that no signature covers.
    pub(super) fn keep_signed(&mut self) {
        for promised in self.model.logs.values_mut() {
            let signed = promised.shown.last_key_value().map_or(0, |(size, _)| *size);
            let unsigned = promised.acknowledged.split_off(&signed);
            promised.in_flight.extend(unsigned.into_values());
            promised.pulled = 0;
        }
    }
}

/// Where a group lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) path: String,
    pub(super) offset: usize,
    pub(super) body_bytes: usize,
}

impl Group {
    /// Offset of the first body byte.
    pub(super) fn body(&self) -> usize {
        self.offset + GROUP_HEADER_BYTES
    }
}

/// The readable groups at the start of a file.
pub(super) fn groups(path: &str, bytes: &[u8]) -> Vec<Group> {
    let mut found = Vec::new();
    let Ok(file) = FileHeader::parse(bytes) else { return found };
    let mut offset = FILE_HEADER_BYTES;
    while let Some(Ok(header)) = bytes.get(offset..).map(GroupHeader::parse) {
        let end = offset + GROUP_HEADER_BYTES + header.body_bytes;
        if header.nonce != file.nonce || end > bytes.len() {
            break;
        }
        found.push(Group { path: path.to_string(), offset, body_bytes: header.body_bytes });
        offset += usize::try_from(header.padded_bytes()).unwrap();
    }
    found
}
