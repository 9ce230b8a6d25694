//! Reads the zip of a bundle: the one layout that a bundle has (FORMAT.md section 13), one file at a time, and nothing is written anywhere.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use flate2::bufread::DeflateDecoder;
use schemas::evidence::archive::{Member, Method, parse_tail};
use schemas::limits::{EVIDENCE_BUNDLE_BYTES_MAX, EVIDENCE_DIRECTORY_BYTES_MAX};
use sha2::{Digest as _, Sha256};

/// A zip that is open.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    members: Vec<Member>,
}

/// Why a file of it could not be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The disk, or what stands for it.
    Io(io::Error),
    /// The zip is not what it must be.
    Wrong(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

fn wrong<T>(detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Wrong(detail.into()))
}

impl Archive {
    /// Opens a zip and reads its directory.
    pub(super) fn open(path: &Path) -> Result<Archive, Failure> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > EVIDENCE_BUNDLE_BYTES_MAX {
            return wrong(format!("{length} bytes, over the limit of {EVIDENCE_BUNDLE_BYTES_MAX}"));
        }
        let tail_length = length.min(EVIDENCE_DIRECTORY_BYTES_MAX);
        file.seek(SeekFrom::Start(length - tail_length))?;
        let mut tail = Vec::new();
        (&mut file).take(tail_length).read_to_end(&mut tail)?;
        match parse_tail(&tail, length) {
            Ok(members) => Ok(Archive { file, members }),
            Err(error) => wrong(error.to_string()),
        }
    }

    /// The names of its files, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The contents of a file, and their SHA-256 in lower-case hex. Not more is unpacked than the directory says.
    pub(super) fn read(&mut self, name: &str) -> Result<(Vec<u8>, String), Failure> {
        let Some(member) = self.members.iter().find(|member| member.name == name) else {
            return wrong("it is not in the bundle");
        };
        let local = member.local().map_err(|error| Failure::Wrong(error.to_string()))?;
        self.file.seek(SeekFrom::Start(member.offset))?;
        let mut reader = BufReader::new(&mut self.file);
        let mut found = vec![0; local.len()];
        match reader.read_exact(&mut found) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return wrong("its header is cut off");
            }
            read => read?,
        }
        if found != local {
            return wrong("its own header is not what the directory says");
        }
        let mut packed = reader.take(member.packed);
        let mut contents = Vec::new();
        let unpacked = match member.method {
            Method::Stored => packed.read_to_end(&mut contents).map(|_| member.packed),
            Method::Deflated => {
                let mut decoder = DeflateDecoder::new(packed);
                let read = (&mut decoder).take(member.bytes.saturating_add(1)).read_to_end(&mut contents);
                read.map(|_| decoder.total_in())
            }
        };
        let used = match unpacked {
            Ok(used) => used,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                return wrong(format!("it cannot be unpacked: {error}"));
            }
            Err(error) => return Err(error.into()),
        };
        if contents.len() as u64 != member.bytes || used != member.packed {
            return wrong(format!(
                "{used} bytes unpack to {}, the directory says {} and {}",
                contents.len(),
                member.packed,
                member.bytes
            ));
        }
        let mut crc = flate2::Crc::new();
        crc.update(&contents);
        if crc.sum() != member.crc {
            return wrong("its CRC-32 is not what the directory says");
        }
        let digest: [u8; 32] = Sha256::digest(&contents).into();
        Ok((contents, digest.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}
