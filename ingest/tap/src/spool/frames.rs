//! A file of frames: length (4 bytes, little-endian), check (the first 8 bytes of BLAKE3 over length and event), event.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::file_name;

/// Persisted: bytes before each event.
const HEAD_LENGTH: usize = 12;
/// Persisted: bytes of the length in it.
const SIZE_LENGTH: usize = 4;

/// A place between frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the file.
    pub file: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// A file that is written.
#[derive(Debug)]
pub struct Frames {
    file: File,
    number: u64,
    bytes: u64,
}

/// Bytes that an event takes.
pub(super) fn framed_bytes(event: &str) -> u64 {
    (HEAD_LENGTH + event.len()) as u64
}

fn check(length: [u8; SIZE_LENGTH], event: &[u8]) -> [u8; HEAD_LENGTH - SIZE_LENGTH] {
    let mut check = [0; HEAD_LENGTH - SIZE_LENGTH];
    blake3::Hasher::new().update(&length).update(event).finalize_xof().fill(&mut check);
    check
}

impl Frames {
    pub(super) fn create(directory: &Path, number: u64) -> io::Result<Frames> {
        let path = directory.join(file_name(number));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Frames { file, number, bytes: 0 })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Appends a frame in one write. After an error nothing more may be appended to this file.
    pub(super) fn append(&mut self, event: &str) -> io::Result<()> {
        let length = u32::try_from(event.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut frame = Vec::with_capacity(HEAD_LENGTH + event.len());
        frame.extend_from_slice(&length);
        frame.extend_from_slice(&check(length, event.as_bytes()));
        frame.extend_from_slice(event.as_bytes());
        let written = self.file.write_all(&frame);
        if let Err(error) = written {
            // What is left of it has no valid check, so this only gives the space back.
            self.file.set_len(self.bytes).ok();
            return Err(error);
        }
        self.bytes += frame.len() as u64;
        Ok(())
    }
}

/// The event of the frame at `offset` and where it ends; none at the end of what is whole.
pub(super) fn read(file: &mut File, offset: u64, bytes_max: u64) -> io::Result<Option<(String, u64)>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut head = [0; HEAD_LENGTH];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (length, expected) = head.split_at(SIZE_LENGTH);
    let length: [u8; SIZE_LENGTH] = length.try_into().map_err(io::Error::other)?;
    let size = u64::from(u32::from_le_bytes(length));
    let end = offset + HEAD_LENGTH as u64 + size;
    if end > bytes_max {
        return Ok(None);
    }
    let mut event = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    match file.read_exact(&mut event) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if check(length, &event) != expected {
        return Ok(None);
    }
    Ok(String::from_utf8(event).ok().map(|event| (event, end)))
}
