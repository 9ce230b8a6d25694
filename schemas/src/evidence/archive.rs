//! The zip of a bundle: the one layout that is written and the only one that is read.
//!
//! A zip can be read in more than one way: names twice, a directory that does not say what the local headers say, bytes that no
//! header covers, comments, sizes that come later. Two readers then see two bundles. So the layout is this alone (APPNOTE 6.3.10):
//! ```text
//! (local header | name | data)*  (directory header | name)*  end record          nothing before, between and after
//! ```
//! Methods 0 (stored) and 8 (deflate); no flags, extra fields, comments, data descriptors, encryption, other disks or zip64. Every
//! entry has the date 1980-01-01 and the mode 0644: the same contents give the same bytes.

use crate::limits::{EVIDENCE_BUNDLE_BYTES_MAX, EVIDENCE_DIRECTORY_BYTES_MAX, EVIDENCE_FILES_BYTES_MAX};
use crate::{Error, Result};

/// Bytes of a local header without its name.
pub const LOCAL_LENGTH: u64 = 30;
/// Bytes of the end record.
pub const END_LENGTH: usize = 22;
const DIRECTORY_LENGTH: usize = 46;

/// How the data of a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// Raw deflate (RFC 1951).
    Deflated,
}

impl Method {
    const fn number(self) -> u16 {
        match self {
            Method::Stored => 0,
            Method::Deflated => 8,
        }
    }
}

/// A file of the zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name; never one to write to.
    pub name: String,
    /// How it is kept.
    pub method: Method,
    /// CRC-32 of its contents.
    pub crc: u32,
    /// Bytes as it is kept.
    pub packed: u64,
    /// Bytes of its contents.
    pub bytes: u64,
    /// Where its local header is.
    pub offset: u64,
}

impl Member {
    /// Where its data is.
    pub fn data_offset(&self) -> u64 {
        self.offset + LOCAL_LENGTH + self.name.len() as u64
    }

    /// The local header with the name.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for sizes that no such zip has.
    pub fn local(&self) -> Result<Vec<u8>> {
        let mut out = 0x0403_4b50u32.to_le_bytes().to_vec();
        self.shared(&mut out)?;
        out.extend_from_slice(self.name.as_bytes());
        Ok(out)
    }

    /// What both headers say: version needed, flags, method, time, date, CRC, sizes, lengths of name and extra field.
    fn shared(&self, out: &mut Vec<u8>) -> Result<()> {
        for word in [20, 0, self.method.number(), 0, 0x21] {
            out.extend_from_slice(&u16::to_le_bytes(word));
        }
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&small(self.packed)?.to_le_bytes());
        out.extend_from_slice(&small(self.bytes)?.to_le_bytes());
        let name = u16::try_from(self.name.len())
            .map_err(|_| Error::malformed("zip", "a name of 64 KiB".to_string()))?;
        out.extend_from_slice(&name.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        Ok(())
    }

    fn directory(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&0x0201_4b50u32.to_le_bytes());
        // Made on Unix, so that the mode counts.
        out.extend_from_slice(&(3u16 << 8 | 20).to_le_bytes());
        self.shared(out)?;
        // Comment length, disk, internal attributes; mode; offset.
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&(0o100_644u32 << 16).to_le_bytes());
        out.extend_from_slice(&small(self.offset)?.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        Ok(())
    }
}

fn small(number: u64) -> Result<u32> {
    let limit = EVIDENCE_BUNDLE_BYTES_MAX;
    let small = u32::try_from(number).ok().filter(|_| number <= limit);
    small.ok_or(Error::TooLarge { what: "bytes of a bundle", actual: number, limit })
}

/// Directory and end record of a zip whose last member ends at `at`.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn tail(members: &[Member], at: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for member in members {
        member.directory(&mut out)?;
    }
    let length = small(out.len() as u64)?;
    let count =
        u16::try_from(members.len()).map_err(|_| Error::malformed("zip", "too many files".to_string()))?;
    out.extend_from_slice(&0x0605_4b50u32.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&small(at)?.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    if out.len() as u64 > EVIDENCE_DIRECTORY_BYTES_MAX {
        let (actual, limit) = (out.len() as u64, EVIDENCE_DIRECTORY_BYTES_MAX);
        return Err(Error::TooLarge { what: "bytes of a bundle's directory", actual, limit });
    }
    Ok(out)
}

/// The members of a zip of `length` bytes that ends in `end`, which is its last [`EVIDENCE_DIRECTORY_BYTES_MAX`] or all of it.
/// That their local headers are what [`Member::local`] gives is the caller's to check.
///
/// # Errors
/// [`Error::Malformed`] for every other layout, a name twice, or files that are not one after the other;
/// [`Error::TooLarge`] where the contents are.
pub fn parse_tail(end: &[u8], length: u64) -> Result<Vec<Member>> {
    let wrong = |detail: &str| Error::malformed("zip", detail.to_string());
    if length > EVIDENCE_BUNDLE_BYTES_MAX {
        let (actual, limit) = (length, EVIDENCE_BUNDLE_BYTES_MAX);
        return Err(Error::TooLarge { what: "bytes of a bundle", actual, limit });
    }
    let record = end.len().checked_sub(END_LENGTH).and_then(|at| end.get(at..)).unwrap_or_default();
    let directory_length = record.get(12..16).and_then(number).map(u64::from);
    let directory_length = directory_length.ok_or_else(|| wrong("shorter than an end record"))?;
    let all = directory_length + END_LENGTH as u64;
    let start = usize::try_from(all).ok().and_then(|all| end.len().checked_sub(all));
    let directory = start.and_then(|start| end.get(start..));
    let directory =
        directory.ok_or_else(|| wrong("the directory is not before an end record, or too long"))?;
    let mut members = Vec::new();
    let mut rest = directory.get(..directory.len() - END_LENGTH).unwrap_or_default();
    let mut at = 0u64;
    let mut contents = 0u64;
    while !rest.is_empty() {
        let member = parse_member(rest, at).ok_or_else(|| wrong("a directory header that ends early"))?;
        contents = contents.saturating_add(member.bytes);
        at = member.data_offset() + member.packed;
        if members.iter().any(|before: &Member| before.name == member.name) {
            return Err(wrong(&format!("{:?} is there twice", member.name)));
        }
        rest = rest.get(DIRECTORY_LENGTH + member.name.len()..).unwrap_or_default();
        members.push(member);
    }
    if contents > EVIDENCE_FILES_BYTES_MAX {
        let (actual, limit) = (contents, EVIDENCE_FILES_BYTES_MAX);
        return Err(Error::TooLarge { what: "bytes of the files of a bundle", actual, limit });
    }
    // Whatever else the headers say, they would not be written so.
    if at.checked_add(all) != Some(length) || tail(&members, at)? != directory {
        return Err(wrong("not the one layout that a bundle has: headers, sizes or offsets are others"));
    }
    Ok(members)
}

/// The member of a directory header, at the offset where it must be.
fn parse_member(header: &[u8], offset: u64) -> Option<Member> {
    let name_length = usize::from(u16::from_le_bytes(header.get(28..30)?.try_into().ok()?));
    let name = header.get(DIRECTORY_LENGTH..DIRECTORY_LENGTH.checked_add(name_length)?)?;
    let method = match header.get(10..12)? {
        [8, 0] => Method::Deflated,
        _ => Method::Stored,
    };
    Some(Member {
        name: std::str::from_utf8(name).ok()?.to_string(),
        method,
        crc: number(header.get(16..20)?)?,
        packed: u64::from(number(header.get(20..24)?)?),
        bytes: u64::from(number(header.get(24..28)?)?),
        offset,
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(sizes: &[(u32, u32)]) -> (Vec<Member>, u64) {
        let mut at = 0;
        let members = sizes.iter().enumerate().map(|(number, (packed, bytes))| {
            let method = if number % 2 == 0 { Method::Deflated } else { Method::Stored };
            let member = Member {
                name: format!("log/{number}"),
                method,
                crc: packed ^ 7,
                packed: u64::from(*packed),
                bytes: u64::from(*bytes),
                offset: at,
            };
            at = member.data_offset() + member.packed;
            member
        });
        (members.collect(), at)
    }

    #[test]
    fn the_layout_is_read_as_it_was_written() {
        let (members, at) = members(&[(3, 5), (0, 0), (1000, 7)]);
        let tail = tail(&members, at).unwrap();
        let length = at + tail.len() as u64;
        assert_eq!(parse_tail(&tail, length).unwrap(), members);
        // Behind other bytes, as the end of a longer file is read.
        let more = [&[9; 100][..], &tail].concat();
        assert_eq!(parse_tail(&more, length).unwrap(), members);
        assert!(parse_tail(&tail, length + 1).is_err(), "bytes before the first file");
        assert!(parse_tail(&[&tail[..], &[0]].concat(), length + 1).is_err(), "bytes after the end");
        assert_eq!(members[0].local().unwrap().len() as u64, LOCAL_LENGTH + 5);
        for at in 0..tail.len() {
            for bit in 0..8 {
                let mut other = tail.clone();
                other[at] ^= 1 << bit;
                // CRC, size and the letters of a name are for whoever reads the contents; all else is as it must be.
                if let Ok(read) = parse_tail(&other, length) {
                    assert_ne!(read, members, "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_is_twice_or_too_large_is_refused() {
        let (mut twice, at) = members(&[(1, 1), (1, 1)]);
        twice[1].name = twice[0].name.clone();
        let end = tail(&twice, at).unwrap();
        let refused = parse_tail(&end, at + end.len() as u64);
        assert!(refused.unwrap_err().to_string().contains("twice"));
        let over = u32::try_from(EVIDENCE_FILES_BYTES_MAX / 2 + 1).unwrap();
        let (bomb, at) = members(&[(10, over), (10, over)]);
        let end = tail(&bomb, at).unwrap();
        assert!(matches!(parse_tail(&end, at + end.len() as u64), Err(Error::TooLarge { .. })));
        let (fits, at) = members(&[(10, over), (10, over - 2)]);
        let end = tail(&fits, at).unwrap();
        assert!(parse_tail(&end, at + end.len() as u64).is_ok());
        let (many, at) = members(&[(0, 0); 80]);
        assert!(matches!(tail(&many, at), Err(Error::TooLarge { .. })));
        assert!(matches!(parse_tail(&end, EVIDENCE_BUNDLE_BYTES_MAX + 1), Err(Error::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), length in any::<u64>()) {
            let _read = parse_tail(&bytes, length);
            let _read = parse_tail(&bytes, bytes.len() as u64);
        }
    }
}
