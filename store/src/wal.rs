//! Write-ahead files: groups appended and synced, files rotated, released and used again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use schemas::group::{FILE_HEADER_BYTES, FileHeader, GroupBuilder, Position};
use schemas::layout;

use crate::crash;
use crate::disk::{Disk, DiskFile};
use crate::durable::{failed, preallocate};
use crate::error::{Error, Result};
use crate::keys::random;

/// A file that holds entries which are not all sealed yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct WalFile {
    /// Its number.
    pub(crate) number: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// For each log number, one past the last index that this file is needed for.
    pub(crate) needed_to: BTreeMap<u64, u64>,
}

impl WalFile {
    /// Whether nothing in it is needed any more.
    fn is_sealed(&self, sealed: &dyn Fn(u64) -> u64) -> bool {
        self.needed_to.iter().all(|(log, end)| sealed(*log) >= *end)
    }
}

/// The write-ahead files of one writer.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    file_bytes: u64,
    current: Option<Current>,
    /// All files, oldest first; the last is the current one.
    files: VecDeque<WalFile>,
    next_file: u64,
    next_group: u64,
    next_spare: u64,
    synced: Position,
    spares: Vec<String>,
    spares_max: usize,
}

#[derive(Debug)]
struct Current {
    file: Box<dyn DiskFile>,
    nonce: [u8; 16],
    offset: u64,
    bytes: u64,
}

impl Wal {
    /// Continues after what recovery found. The first append opens a new file: what lies behind the last readable
    /// group of an old one is never written to.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        file_bytes: u64,
        spares_max: usize,
        files: VecDeque<WalFile>,
        next_group: u64,
        synced: Position,
    ) -> Wal {
        let next_file = files.back().map_or(0, |file| file.number + 1).max(synced.file + 1);
        Wal {
            disk,
            file_bytes,
            current: None,
            files,
            next_file,
            next_group,
            next_spare: 0,
            synced,
            spares: Vec::new(),
            spares_max,
        }
    }

    /// Writes one group and returns once it is on stable storage. `ends` says how far the group takes each log.
    pub(crate) fn append(&mut self, group: GroupBuilder, ends: &[(u64, u64)]) -> Result<()> {
        let needed = FILE_HEADER_BYTES as u64
            + schemas::group::padded(schemas::group::GROUP_HEADER_BYTES + group.body_bytes()) as u64;
        let fits = self
            .current
            .as_ref()
            .is_some_and(|current| current.offset + needed - FILE_HEADER_BYTES as u64 <= current.bytes);
        if !fits {
            self.rotate(needed)?;
        }
        let synced = self.synced;
        let number = self.next_group;
        let Some(current) = self.current.as_mut() else {
            return Err(Error::Poisoned { reason: "no write-ahead file is open".to_string() });
        };
        let bytes = group.finish(number, current.nonce, synced)?;
        crash::point("group-built");
        let path = layout::wal(self.next_file - 1);
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        current.file.write_at(current.offset, first).map_err(failed(&*self.disk, "write", &path))?;
        crash::point("group-half-written");
        current.file.write_at(current.offset + first.len() as u64, rest).map_err(failed(
            &*self.disk,
            "write",
            &path,
        ))?;
        crash::point("group-written");
        current.file.sync().map_err(failed(&*self.disk, "sync", &path))?;
        crash::point("group-synced");
        current.offset += bytes.len() as u64;
        self.synced = Position { file: self.next_file - 1, offset: current.offset };
        self.next_group += 1;
        if let Some(file) = self.files.back_mut() {
            for (log, end) in ends {
                let needed_to = file.needed_to.entry(*log).or_default();
                *needed_to = (*needed_to).max(*end);
            }
        }
        Ok(())
    }

    /// Opens the next file, from a spare where there is one.
    fn rotate(&mut self, needed: u64) -> Result<()> {
        let number = self.next_file;
        let mut nonce = [0; 16];
        random(&mut nonce)?;
        let bytes = self.file_bytes.max(needed);
        let spare = if bytes == self.file_bytes { self.spares.pop() } else { None };
        let spare = match spare {
            Some(spare) => spare,
            None => self.make_spare(bytes)?,
        };
        let path = layout::wal(number);
        let file = self.disk.open(&spare).map_err(failed(&*self.disk, "open", &spare))?;
        // The header before the name: under this name the file is always ours from its first byte.
        file.write_at(0, &FileHeader { number, nonce }.encode()).map_err(failed(
            &*self.disk,
            "write",
            &spare,
        ))?;
        file.sync().map_err(failed(&*self.disk, "sync", &spare))?;
        self.disk.rename_new(&spare, &path).map_err(failed(&*self.disk, "rename", &spare))?;
        self.disk.sync_dir(layout::WAL).map_err(failed(&*self.disk, "sync directory", layout::WAL))?;
        self.current = Some(Current { file, nonce, offset: FILE_HEADER_BYTES as u64, bytes });
        self.files.push_back(WalFile { number, bytes, needed_to: BTreeMap::new() });
        self.next_file += 1;
        Ok(())
    }

    fn make_spare(&mut self, bytes: u64) -> Result<String> {
        let path = format!("{}/spare-{:020}", layout::WAL, self.next_spare);
        self.next_spare += 1;
        preallocate(&*self.disk, &path, bytes)?;
        Ok(path)
    }

    /// The path and size of a spare to make ahead, where one is wanted; to be made outside the lock.
    pub(crate) fn wants_spare(&mut self) -> Option<(String, u64)> {
        if self.current.is_none() || !self.spares.is_empty() {
            return None;
        }
        let path = format!("{}/spare-{:020}", layout::WAL, self.next_spare);
        self.next_spare += 1;
        Some((path, self.file_bytes))
    }

    /// Takes a spare that was made ahead.
    pub(crate) fn add_spare(&mut self, path: String) {
        self.spares.push(path);
    }

    /// The logs that keep the oldest file from being released, while there are more files than `files_max`.
    pub(crate) fn pinning(&self, files_max: usize, sealed: &dyn Fn(u64) -> u64) -> Vec<u64> {
        if self.files.len() <= files_max {
            return Vec::new();
        }
        let oldest = self.files.front();
        let needed = oldest.into_iter().flat_map(|file| &file.needed_to);
        needed.filter(|(log, end)| sealed(**log) < **end).map(|(log, _)| *log).collect()
    }

    /// Says that everything of `log` that is not sealed has been written again to the current file.
    pub(crate) fn carried_forward(&mut self, log: u64) {
        let newest = self.files.len().saturating_sub(1);
        for file in self.files.iter_mut().take(newest) {
            file.needed_to.remove(&log);
        }
    }

    /// Gives up files from the oldest on for as long as nothing in them is needed.
    pub(crate) fn release(&mut self, sealed: &dyn Fn(u64) -> u64) -> Result<()> {
        while self.files.len() > 1 {
            if !self.files.front().is_some_and(|oldest| oldest.is_sealed(sealed)) {
                break;
            }
            self.retire_oldest()?;
        }
        Ok(())
    }

    /// Gives up every file whose entries are all sealed, the current one too: nothing more will be written. An append
    /// that raced with closing keeps the file that it is in.
    pub(crate) fn clear(&mut self, sealed: &dyn Fn(u64) -> u64) -> Result<()> {
        self.current = None;
        while self.files.front().is_some_and(|oldest| oldest.is_sealed(sealed)) {
            self.retire_oldest()?;
        }
        for spare in std::mem::take(&mut self.spares) {
            self.disk.remove(&spare).map_err(failed(&*self.disk, "remove", &spare))?;
        }
        Ok(())
    }

    fn retire_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.files.front() else { return Ok(()) };
        let path = layout::wal(oldest.number);
        if self.current.is_some() && oldest.bytes == self.file_bytes && self.spares.len() < self.spares_max {
            // What it holds is sealed; under a spare's name recovery does not read it.
            let spare = format!("{}/spare-{:020}", layout::WAL, self.next_spare);
            self.next_spare += 1;
            self.disk.rename(&path, &spare).map_err(failed(&*self.disk, "rename", &path))?;
            self.spares.push(spare);
        } else {
            self.disk.remove(&path).map_err(failed(&*self.disk, "remove", &path))?;
        }
        self.files.pop_front();
        // Each before the next: a power cut that brings one back without those after it would leave a gap.
        self.disk.sync_dir(layout::WAL).map_err(failed(&*self.disk, "sync directory", layout::WAL))
    }

    /// Files in use.
    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }
}
