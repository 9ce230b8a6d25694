//! Reading a directory of frames in order.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use schemas::limits::{TAP_BATCH_BYTES, TAP_BATCH_EVENTS_MAX};

use super::lock::no_follow;
use super::{Position, file_name, files, frames};

/// Events to send together.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order, each with the place where it ends.
    pub events: Vec<(String, Position)>,
}

impl Batch {
    /// One event a line.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.events.iter().map(|(event, _)| event.len() + 1).sum());
        for (event, _) in &self.events {
            body.extend_from_slice(event.as_bytes());
            body.push(b'\n');
        }
        body
    }

    /// Where the last of them ends.
    pub fn end(&self) -> Option<Position> {
        self.events.last().map(|(_, end)| *end)
    }

    /// Leaves the first half here and gives the second.
    pub fn split(&mut self) -> Batch {
        Batch { events: self.events.split_off(self.events.len() / 2) }
    }
}

/// Reads frames of one directory.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    position: Position,
    file: Option<(u64, File)>,
    broken_bytes: u64,
}

impl Reader {
    pub(super) fn new(directory: PathBuf, position: Position) -> Reader {
        Reader { directory, position, file: None, broken_bytes: 0 }
    }

    /// Where the next frame begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Bytes that were no whole frame: a frame that a crash tore, or damage, and what lies behind it in its file.
    pub fn broken_bytes(&self) -> u64 {
        self.broken_bytes
    }

    /// The next frames before `end`, as many as fit into one request; empty if there is none. Where a file breaks off in
    /// the midst of a frame, the next begins.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next(&mut self, end: Option<Position>) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while bytes < TAP_BATCH_BYTES && batch.events.len() < TAP_BATCH_EVENTS_MAX {
            let bytes_max = match end {
                Some(end) if self.position >= end => break,
                Some(end) if self.position.file == end.file => end.offset,
                _ => u64::MAX,
            };
            match self.frame(bytes_max)? {
                Some((event, offset)) => {
                    bytes += event.len();
                    self.position.offset = offset;
                    batch.events.push((event, self.position));
                }
                None if !self.next_file(end)? => break,
                None => {}
            }
        }
        Ok(batch)
    }

    fn frame(&mut self, bytes_max: u64) -> io::Result<Option<(String, u64)>> {
        let number = self.position.file;
        if self.file.as_ref().is_none_or(|(open, _)| *open != number) {
            let path = self.directory.join(file_name(number));
            match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
                Ok(file) => self.file = Some((number, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some((_, file)) = &mut self.file else { return Ok(None) };
        let bytes_max = bytes_max.min(file.metadata()?.len());
        frames::read(file, self.position.offset, bytes_max)
    }

    /// Counts what is left of the file that is being left.
    fn count_broken(&mut self) {
        if let Some((_, file)) = self.file.take() {
            let bytes = file.metadata().map_or(0, |metadata| metadata.len());
            self.broken_bytes += bytes.saturating_sub(self.position.offset);
            self.position.offset = self.position.offset.max(bytes);
        }
    }

    /// Goes on to the next file; false if there is none before `end`.
    fn next_file(&mut self, end: Option<Position>) -> io::Result<bool> {
        let next = files(&self.directory).into_iter().find(|file| *file > self.position.file);
        let next = next.filter(|next| end.is_none_or(|end| *next <= end.file));
        if next.is_some() || end.is_none() {
            self.count_broken();
        }
        let Some(next) = next else { return Ok(false) };
        self.position = Position { file: next, offset: 0 };
        Ok(true)
    }
}
