//! One file that is followed: what has changed of it, and its next lines.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use schemas::limits::TAIL_LINGER_MS;

use super::lines::{Lines, Reader};
use super::position::{Head, Identity, Position};

/// One file.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) identity: Identity,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) position: Position,
    pub(super) reader: Reader,
    /// Whether its name is one that is meant; else it was rotated away.
    pub(super) is_named: bool,
    /// It began anew; what copied it is looked for before its position is forgotten.
    pub(super) is_anew: bool,
    /// Rotated away and read to its end.
    pub(super) is_finished: bool,
    /// Size and time of change when there was nothing more to read.
    pub(super) settled: Option<(u64, i64, i64)>,
    pub(super) changed_us: i64,
}

/// The next lines of a file.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) identity: Identity,
    pub(super) path: PathBuf,
    pub(super) lines: Lines,
    pub(super) to: Position,
}

/// Opens a file for reading, without waiting for anything: what was a file at the last look may be a pipe by now.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file).filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Followed {
    /// The next lines, if there are any.
    pub(super) fn read(&mut self, now_us: i64) -> io::Result<Option<Batch>> {
        let metadata = self.file.metadata()?;
        let state = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        let has_settled = self.settled == Some(state);
        let linger_us = i64::try_from(TAIL_LINGER_MS).unwrap_or(i64::MAX) * 1000;
        let is_final = has_settled && !self.is_named && now_us - self.changed_us >= linger_us;
        if self.is_anew || (has_settled && (!is_final || self.is_finished)) {
            return Ok(None);
        }
        if !has_settled {
            (self.changed_us, self.is_finished) = (now_us, false);
        }
        if !self.position.is_in(&self.file)? {
            self.is_anew = true;
            return Ok(None);
        }
        let lines = self.reader.read(&self.file, self.position.offset, is_final)?;
        if lines.end == self.position.offset {
            self.settled = Some(state);
            self.is_finished = is_final;
            return Ok(None);
        }
        let head = Head::of(&self.file, lines.end)?;
        // Still the file that was read, now that it has been.
        let Some(head) = head.filter(|_| self.position.is_in(&self.file).is_ok_and(|is_in| is_in)) else {
            self.is_anew = true;
            return Ok(None);
        };
        if self.file.metadata()?.len() < lines.end {
            self.is_anew = true;
            return Ok(None);
        }
        self.settled = is_final.then_some(state);
        let to = Position { offset: lines.end, head, ..self.position };
        Ok(Some(Batch { identity: self.identity, path: self.path.clone(), lines, to }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(open(&path).unwrap().is_none());
        assert!(open(&dir.path().join("none")).unwrap().is_none());
        assert!(open(dir.path()).unwrap().is_none());
        std::fs::write(dir.path().join("b"), "1").unwrap();
        assert!(open(&dir.path().join("b")).unwrap().is_some());
    }
}
