//! Where a file has been read up to, and which file that is: what the log keeps of it.
//!
//! The cursor's partition is `<device>-<inode>`. Its value is `<generation> <offset> <looked> <head bytes> <head digest>`:
//! bytes before `offset` have been read; the first of them are known by their digest; the generation counts how often the
//! file began anew (truncated, or its inode used again); and `looked` is the newest modification in the directory, in
//! microseconds, when it was last looked through: what is not known and was written later has not been seen.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::str::FromStr;

use schemas::limits::{PULL_BATCH_BYTES, TAIL_HEAD_BYTES};

/// Which file, as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The cursor's partition.
    pub(super) fn partition(self) -> String {
        format!("{}-{}", self.device, self.inode)
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> Result<Identity, ()> {
        let (device, inode) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Identity { device: number(device)?, inode: number(inode)? })
    }
}

/// When a file was last modified, in microseconds.
pub(super) fn modified_us(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000)
}

/// The beginning of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    bytes: u64,
    digest: [u8; 16],
}

impl Head {
    /// Of the first bytes of `file`, as many as were read before `offset`; none where it is shorter.
    pub(super) fn of(file: &File, offset: u64) -> io::Result<Option<Head>> {
        let bytes = offset.min(TAIL_HEAD_BYTES);
        if bytes == 0 {
            return Ok(Some(Head::default()));
        }
        let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let mut digest = [0; 16];
        blake3::Hasher::new().update(&head).finalize_xof().fill(&mut digest);
        Ok(Some(Head { bytes, digest }))
    }

    /// Whether `file` begins so. Of nothing, every file does.
    pub(super) fn begins(&self, file: &File) -> io::Result<bool> {
        Ok(Head::of(file, self.bytes)?.as_ref() == Some(self))
    }

    /// Whether it is enough to know a file by.
    pub(super) fn is_known(&self) -> bool {
        self.bytes > 0
    }
}

/// How far two files are held against each other: as far as was read of one, both go, and one look reads.
pub(super) fn comparable(offset: u64, bytes: u64) -> u64 {
    offset.min(bytes).min(PULL_BATCH_BYTES as u64)
}

/// Whether two files begin with the same bytes.
pub(super) fn begin_the_same(one: &File, other: &File, offset: u64) -> io::Result<bool> {
    let bytes = comparable(offset, other.metadata()?.len());
    let mut begins = [(); 2].map(|()| vec![0; usize::try_from(bytes).unwrap_or(PULL_BATCH_BYTES)]);
    for (file, begin) in [one, other].into_iter().zip(&mut begins) {
        match file.read_exact_at(begin, 0) {
            // Shorter by now: it is another file.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
    }
    let [one, other] = begins;
    Ok(one == other)
}

/// How far a file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) generation: u64,
    pub(super) offset: u64,
    /// The newest modification in the directory as of the last look.
    pub(super) looked_us: i64,
    pub(super) head: Head,
}

impl Position {
    /// Whether `file` still holds what was read: not shorter, and beginning the same.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.len() >= self.offset && self.head.begins(file)?)
    }

    /// The start of a file that began anew.
    pub(super) fn anew(&self) -> Position {
        Position { generation: self.generation + 1, ..Position::default() }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {} ", self.generation, self.offset, self.looked_us, self.head.bytes)?;
        self.head.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Position, ()> {
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<i128>().ok()).ok_or(());
        let (generation, offset, looked_us, bytes) = (number()?, number()?, number()?, number()?);
        let unsigned = |number: i128| u64::try_from(number).map_err(|_| ());
        let (generation, offset, bytes) = (unsigned(generation)?, unsigned(offset)?, unsigned(bytes)?);
        let looked_us = i64::try_from(looked_us).map_err(|_| ())?;
        let digits = words.next().ok_or(())?;
        let mut digest = [0; 16];
        if digits.len() != 32 || !digits.is_ascii() || words.next().is_some() {
            return Err(());
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            let pair = digits.get(at * 2..at * 2 + 2).ok_or(())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        Ok(Position { generation, offset, looked_us, head: Head { bytes, digest } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let file = File::open(&path).unwrap();
        let head = Head::of(&file, 4).unwrap().unwrap();
        let position = Position { offset: 4, head, ..Position::default() };
        assert!(position.is_in(&file).unwrap());
        assert!(Position::default().is_in(&file).unwrap(), "nothing was read of it yet");
        std::fs::write(&path, "one\nthree\n").unwrap();
        assert!(position.is_in(&file).unwrap(), "what comes after may be anything");
        std::fs::write(&path, "One\ntwo\n").unwrap();
        assert!(!position.is_in(&file).unwrap());
        std::fs::write(&path, "one").unwrap();
        assert!(!position.is_in(&file).unwrap(), "shorter than what was read");
        assert_eq!(Head::of(&file, 4).unwrap(), None);
        // Beyond the head the bytes do not count.
        let long = "x".repeat(usize::try_from(TAIL_HEAD_BYTES).unwrap());
        std::fs::write(&path, format!("{long}a")).unwrap();
        let head = Head::of(&file, TAIL_HEAD_BYTES + 1).unwrap().unwrap();
        std::fs::write(&path, format!("{long}b")).unwrap();
        assert!(head.begins(&file).unwrap());
    }

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(
            generation: u64, offset: u64, looked_us: i64, bytes: u64, digest: [u8; 16], device: u64, inode: u64
        ) {
            let position = Position { generation, offset, looked_us, head: Head { bytes, digest } };
            let text = position.to_string();
            schemas::cursor::check_value(&text).unwrap();
            prop_assert_eq!(text.parse(), Ok(position));
            let identity = Identity { device, inode };
            prop_assert_eq!(identity.partition().parse(), Ok(identity));
        }

        #[test]
        fn anything_else_is_no_position(text in "[0-9a-f ]{0,80}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }
    }
}
