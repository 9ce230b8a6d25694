//! Write-ahead groups: what is synced before anything is acknowledged. Transient, but checked by `verify`
//! while it exists, so its bytes are specified like all others.
//!
//! ```text
//! file   = header (512) | group at a multiple of 512, zeros between and after
//! header = "TACHOWAL" | version u32 BE | 0 u32 | file number u64 BE | nonce (16) | BLAKE3 of the 40 before | 0…
//! group  = "TACHOGRP" | group number u64 BE | file nonce (16) | synced file u64 BE | synced offset u64 BE
//!        | body length u32 BE | sections u32 BE | 0 u64 | BLAKE3 of the body (32) | BLAKE3 of the 96 before (32)
//!        | body
//! body   = (tag u8 | length u32 BE | section)*
//! ```
//! `synced` is where the last completed sync ended when the group was written: damage before it is never a
//! torn write. The nonce makes what an earlier use of a recycled file left behind unreadable as a group.

use crate::limits::{GROUP_ALIGN_BYTES, GROUP_BODY_BYTES_MAX};
use crate::origin::Origin;
use crate::{Error, Result};

const FILE_MAGIC: &[u8; 8] = b"TACHOWAL";
const GROUP_MAGIC: &[u8; 8] = b"TACHOGRP";
const VERSION: u32 = 1;
const GROUP_DIGESTED_BYTES: usize = 96;

/// Bytes of the file header, padded.
pub const FILE_HEADER_BYTES: usize = GROUP_ALIGN_BYTES;
/// Bytes of a group header; the body follows at once.
pub const GROUP_HEADER_BYTES: usize = GROUP_DIGESTED_BYTES + 32;

/// Section tags, persisted.
const TAG_ENTRIES: u8 = 1;
const TAG_CHECKPOINT: u8 = 2;
const TAG_CURSOR: u8 = 3;

/// A place in the write-ahead files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// File number.
    pub file: u64,
    /// Byte offset in it.
    pub offset: u64,
}

/// The header of a write-ahead file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The number in the file's name.
    pub number: u64,
    /// Random, fresh at each use of the file.
    pub nonce: [u8; 16],
}

impl FileHeader {
    /// The header, padded with zeros.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
        out.extend_from_slice(FILE_MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.nonce);
        let digest = blake3::hash(&out);
        out.extend_from_slice(digest.as_bytes());
        out.resize(FILE_HEADER_BYTES, 0);
        out
    }

    /// Parses the first 512 bytes of a file.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless they are exactly what [`FileHeader::encode`] writes.
    pub fn parse(bytes: &[u8]) -> Result<FileHeader> {
        let wrong = |detail: &str| Error::malformed("write-ahead file header", detail.to_string());
        let bytes = bytes.get(..FILE_HEADER_BYTES).ok_or_else(|| wrong("shorter than 512 bytes"))?;
        let mut reader = Reader(bytes);
        if reader.array::<8>() != Some(*FILE_MAGIC) {
            return Err(wrong("no magic"));
        }
        let version = reader.u32().unwrap_or_default();
        let parsed = (|| {
            reader.array::<4>()?;
            Some(FileHeader { number: reader.u64()?, nonce: reader.array()? })
        })();
        let header = parsed.ok_or_else(|| wrong("too short"))?;
        if header.encode() != bytes {
            return Err(wrong(if version == VERSION { "digest or padding" } else { "unknown version" }));
        }
        Ok(header)
    }
}

/// The header of a group, digest checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    /// Consecutive over all files.
    pub number: u64,
    /// The nonce of the file it was written for.
    pub nonce: [u8; 16],
    /// End of the last completed sync when it was written.
    pub synced: Position,
    /// Bytes of its body.
    pub body_bytes: usize,
    /// Sections in its body.
    pub sections: u32,
    digest: [u8; 32],
}

impl GroupHeader {
    /// Parses the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none; [`Error::TooLarge`] for a body over the limit.
    pub fn parse(bytes: &[u8]) -> Result<GroupHeader> {
        let wrong = |detail: &str| Error::malformed("write-ahead group header", detail.to_string());
        let bytes = bytes.get(..GROUP_HEADER_BYTES).ok_or_else(|| wrong("too short"))?;
        let (digested, digest) =
            bytes.split_at_checked(GROUP_DIGESTED_BYTES).ok_or_else(|| wrong("too short"))?;
        if blake3::hash(digested) != *digest {
            return Err(wrong("digest"));
        }
        let mut reader = Reader(digested);
        let parsed = (|| {
            let magic = reader.array::<8>()?;
            let header = GroupHeader {
                number: reader.u64()?,
                nonce: reader.array()?,
                synced: Position { file: reader.u64()?, offset: reader.u64()? },
                body_bytes: reader.u32()? as usize,
                sections: reader.u32()?,
                digest: {
                    reader.array::<8>().filter(|reserved| *reserved == [0; 8])?;
                    reader.array()?
                },
            };
            (magic == *GROUP_MAGIC).then_some(header)
        })();
        let header = parsed.ok_or_else(|| wrong("magic or reserved bytes"))?;
        if header.body_bytes > GROUP_BODY_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "bytes of a group body",
                actual: header.body_bytes as u64,
                limit: GROUP_BODY_BYTES_MAX as u64,
            });
        }
        Ok(header)
    }

    /// Bytes from the start of this group to where the next may start.
    pub fn padded_bytes(&self) -> u64 {
        padded(GROUP_HEADER_BYTES + self.body_bytes) as u64
    }

    /// Checks the body's digest.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check_body(&self, body: &[u8]) -> Result<()> {
        if body.len() == self.body_bytes && blake3::hash(body) == self.digest {
            return Ok(());
        }
        Err(Error::mismatch("write-ahead group", format!("body of group {}", self.number)))
    }
}

/// `bytes` rounded up to a place where a group may start.
pub fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(GROUP_ALIGN_BYTES)
}

/// A group under construction: sections appended to one body.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    bytes: Vec<u8>,
    sections: u32,
}

impl GroupBuilder {
    /// An empty group.
    pub fn new() -> GroupBuilder {
        GroupBuilder::with_capacity(0)
    }

    /// An empty group with room for about `body_bytes`.
    pub fn with_capacity(body_bytes: usize) -> GroupBuilder {
        let mut bytes = Vec::with_capacity(padded(GROUP_HEADER_BYTES + body_bytes));
        bytes.resize(GROUP_HEADER_BYTES, 0);
        GroupBuilder { bytes, sections: 0 }
    }

    /// Bytes of the body so far.
    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - GROUP_HEADER_BYTES
    }

    /// Whether there is no section yet.
    pub fn is_empty(&self) -> bool {
        self.sections == 0
    }

    /// Appends entries `first..first + count` of a log: `entries` as an entry bundle holds them (u16 length and
    /// bytes of each), `payloads` framed by u32 lengths.
    pub fn entries(&mut self, origin: &Origin, first: u64, count: u32, entries: &[u8], payloads: &[u8]) {
        let origin = origin.to_string();
        self.section(TAG_ENTRIES, |out| {
            out.extend_from_slice(&u16::try_from(origin.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(origin.as_bytes());
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(entries);
            out.extend_from_slice(payloads);
        });
    }

    /// Appends a signed checkpoint note.
    pub fn checkpoint(&mut self, note: &[u8]) {
        self.section(TAG_CHECKPOINT, |out| out.extend_from_slice(note));
    }

    /// Appends where a source had been read up to with the entries of a log below `end`.
    pub fn cursor(&mut self, origin: &Origin, end: u64, name: &str, value: &str) {
        let origin = origin.to_string();
        self.section(TAG_CURSOR, |out| {
            out.extend_from_slice(&u16::try_from(origin.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(origin.as_bytes());
            out.extend_from_slice(&end.to_be_bytes());
            out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        });
    }

    fn section(&mut self, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(tag);
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - length_at - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.sections += 1;
    }

    /// The group's bytes, padded.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the body is over the limit.
    pub fn finish(mut self, number: u64, nonce: [u8; 16], synced: Position) -> Result<Vec<u8>> {
        let body = self.bytes.get(GROUP_HEADER_BYTES..).unwrap_or_default();
        if body.len() > GROUP_BODY_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "bytes of a group body",
                actual: body.len() as u64,
                limit: GROUP_BODY_BYTES_MAX as u64,
            });
        }
        let mut header = Vec::with_capacity(GROUP_HEADER_BYTES);
        header.extend_from_slice(GROUP_MAGIC);
        header.extend_from_slice(&number.to_be_bytes());
        header.extend_from_slice(&nonce);
        header.extend_from_slice(&synced.file.to_be_bytes());
        header.extend_from_slice(&synced.offset.to_be_bytes());
        header.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        header.extend_from_slice(&self.sections.to_be_bytes());
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(blake3::hash(body).as_bytes());
        let digest = blake3::hash(&header);
        header.extend_from_slice(digest.as_bytes());
        if let Some(place) = self.bytes.get_mut(..GROUP_HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        let total = padded(self.bytes.len());
        self.bytes.resize(total, 0);
        Ok(self.bytes)
    }
}

/// One section of a group body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section<'a> {
    /// Entries of one log.
    Entries(EntriesSection<'a>),
    /// A signed checkpoint note.
    Checkpoint(&'a [u8]),
    /// Where a source has been read up to.
    Cursor(CursorSection<'a>),
}

/// Where a source had been read up to with the entries of a log below `end`, the last of which is in the same group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorSection<'a> {
    /// The log.
    pub origin: Origin,
    /// One past the last entry that was read before this position.
    pub end: u64,
    /// Name of the cursor.
    pub name: &'a str,
    /// The position, in the collector's own words; empty where the cursor is forgotten.
    pub value: &'a str,
}

/// Entries `first..first + count` of one log, with payload records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesSection<'a> {
    /// The log.
    pub origin: Origin,
    /// Index of the first entry.
    pub first: u64,
    /// Number of entries.
    pub count: u32,
    entries: &'a [u8],
    payloads: &'a [u8],
}

impl<'a> EntriesSection<'a> {
    /// The entries in order; exactly `count`, or an error.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn entries(&self) -> Result<Vec<&'a [u8]>> {
        let wrong = || Error::malformed("entries section", "the bundle does not hold what it says");
        let mut reader = Reader(self.entries);
        let mut entries = Vec::with_capacity(self.entries.len() / 128);
        while !reader.0.is_empty() {
            let length = reader.array().map(u16::from_be_bytes).ok_or_else(wrong)?;
            entries.push(reader.take(usize::from(length)).ok_or_else(wrong)?);
        }
        if entries.len() == self.count as usize { Ok(entries) } else { Err(wrong()) }
    }

    /// The payload records in order.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn payloads(&self) -> Result<Vec<&'a [u8]>> {
        let wrong = || Error::malformed("entries section", "a payload record is cut off");
        let mut reader = Reader(self.payloads);
        let mut records = Vec::new();
        while !reader.0.is_empty() {
            let length = reader.u32().ok_or_else(wrong)?;
            records.push(reader.take(length as usize).ok_or_else(wrong)?);
        }
        Ok(records)
    }
}

/// The sections of a group body whose digest was checked.
///
/// # Errors
/// [`Error::Malformed`] when the body is not `count` well-formed sections and nothing else.
pub fn sections(body: &[u8], count: u32) -> Result<Vec<Section<'_>>> {
    let wrong = |detail: &str| Error::malformed("write-ahead group", detail.to_string());
    let mut reader = Reader(body);
    let mut sections = Vec::new();
    while !reader.0.is_empty() {
        let [tag] = reader.array().ok_or_else(|| wrong("cut off"))?;
        let length = reader.u32().ok_or_else(|| wrong("cut off"))?;
        let bytes = reader.take(length as usize).ok_or_else(|| wrong("a section is cut off"))?;
        sections.push(match tag {
            TAG_ENTRIES => Section::Entries(entries_section(bytes).ok_or_else(|| wrong("entries section"))?),
            TAG_CHECKPOINT => Section::Checkpoint(bytes),
            TAG_CURSOR => Section::Cursor(cursor_section(bytes).ok_or_else(|| wrong("cursor section"))?),
            _ => return Err(wrong(&format!("unknown section tag {tag}"))),
        });
    }
    if sections.len() == count as usize { Ok(sections) } else { Err(wrong("another number of sections")) }
}

fn entries_section(bytes: &[u8]) -> Option<EntriesSection<'_>> {
    let mut reader = Reader(bytes);
    let origin = reader.short_text()?.parse().ok()?;
    let first = reader.u64()?;
    let count = reader.u32()?;
    let entries_bytes = reader.u32()?;
    let entries = reader.take(entries_bytes as usize)?;
    first.checked_add(u64::from(count))?;
    Some(EntriesSection { origin, first, count, entries, payloads: reader.0 })
}

fn cursor_section(bytes: &[u8]) -> Option<CursorSection<'_>> {
    let mut reader = Reader(bytes);
    let origin = reader.short_text()?.parse().ok()?;
    let end = reader.u64()?;
    let name = reader.short_text()?;
    Some(CursorSection { origin, end, name, value: std::str::from_utf8(reader.0).ok()? })
}

/// Takes fixed-size things off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn short_text(&mut self) -> Option<&'a str> {
        let length = self.array().map(u16::from_be_bytes)?;
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Vec<u8> {
        let origin: Origin = "i/t/events/w1".parse().unwrap();
        let mut builder = GroupBuilder::new();
        builder.entries(&origin, 5, 2, b"\0\x03abc\0\x01d", b"\0\0\0\x02xy");
        builder.checkpoint(b"note\n");
        builder.cursor(&origin, 7, "kafka/topic/0", "17");
        builder.finish(3, [4; 16], Position { file: 1, offset: 512 }).unwrap()
    }

    #[test]
    fn a_group_round_trips() {
        let bytes = group();
        assert_eq!(bytes.len() % GROUP_ALIGN_BYTES, 0);
        let header = GroupHeader::parse(&bytes).unwrap();
        assert_eq!((header.number, header.nonce, header.synced.offset), (3, [4; 16], 512));
        let body = &bytes[GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.body_bytes];
        header.check_body(body).unwrap();
        let sections = sections(body, header.sections).unwrap();
        let Section::Entries(entries) = &sections[0] else { panic!() };
        assert_eq!((entries.first, entries.count), (5, 2));
        assert_eq!(entries.entries().unwrap(), [b"abc".as_slice(), b"d"]);
        assert_eq!(entries.payloads().unwrap(), [b"xy"]);
        assert_eq!(sections[1], Section::Checkpoint(b"note\n"));
        let cursor = CursorSection {
            origin: "i/t/events/w1".parse().unwrap(),
            end: 7,
            name: "kafka/topic/0",
            value: "17",
        };
        assert_eq!(sections[2], Section::Cursor(cursor));
    }

    #[test]
    fn every_flipped_byte_of_a_group_is_found() {
        let bytes = group();
        let header = GroupHeader::parse(&bytes).unwrap();
        for at in 0..GROUP_HEADER_BYTES + header.body_bytes {
            let mut other = bytes.clone();
            other[at] ^= 0x10;
            let found = GroupHeader::parse(&other).and_then(|header| {
                header.check_body(&other[GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.body_bytes])
            });
            assert!(found.is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_flipped_byte_of_a_file_header_is_found() {
        let header = FileHeader { number: 9, nonce: [1; 16] };
        let bytes = header.encode();
        assert_eq!(FileHeader::parse(&bytes).unwrap(), header);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(FileHeader::parse(&other).is_err(), "byte {at}");
        }
    }
}
