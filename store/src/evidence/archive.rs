//! Writes the zip of a bundle, file after file: what is in memory is one block of one of them.

use std::io::{self, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use schemas::evidence::archive::{Member, Method, tail};
use schemas::evidence::{SUMS, sums_line};
use schemas::limits::EVIDENCE_FILES_BYTES_MAX;
use sha2::{Digest as _, Sha256};

use super::{ExportError, Result};

/// A zip under construction.
#[derive(Debug)]
pub(super) struct Archive<W> {
    out: W,
    at: u64,
    bytes: u64,
    members: Vec<Member>,
    sums: Vec<(String, String)>,
}

/// Counts what goes through.
#[derive(Debug)]
struct Counted<'a, W> {
    out: &'a mut W,
    bytes: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[derive(Debug)]
enum Packed<'a, W: Write> {
    Stored(Counted<'a, W>),
    Deflated(DeflateEncoder<Counted<'a, W>>),
}

/// The contents of one file on their way.
#[derive(Debug)]
pub(super) struct Contents<'a, W: Write> {
    packed: Packed<'a, W>,
    crc: flate2::Crc,
    digest: Sha256,
    bytes: u64,
    left: u64,
}

impl<W: Write> Write for Contents<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match &mut self.packed {
            Packed::Stored(out) => out.write_all(bytes)?,
            Packed::Deflated(out) => out.write_all(bytes)?,
        }
        self.crc.update(bytes);
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.left -= bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + Seek> Archive<W> {
    /// Onto `out`, from where it is, which must be its beginning.
    pub(super) fn new(out: W) -> Archive<W> {
        Archive { out, at: 0, bytes: 0, members: Vec::new(), sums: Vec::new() }
    }

    /// Adds a file; `fill` writes its contents.
    pub(super) fn file(
        &mut self,
        name: &str,
        method: Method,
        fill: impl FnOnce(&mut Contents<'_, W>) -> Result<()>,
    ) -> Result<()> {
        let mut member =
            Member { name: name.to_string(), method, crc: 0, packed: 0, bytes: 0, offset: self.at };
        // What it says is known afterwards, how long it is before.
        self.out.write_all(&member.local()?)?;
        let left = EVIDENCE_FILES_BYTES_MAX - self.bytes;
        let digest = pack(&mut self.out, &mut member, left, fill)?;
        self.bytes += member.bytes;
        self.out.seek(SeekFrom::Start(member.offset))?;
        self.out.write_all(&member.local()?)?;
        self.at = member.data_offset() + member.packed;
        self.out.seek(SeekFrom::Start(self.at))?;
        self.sums.push((name.to_string(), digest));
        self.members.push(member);
        Ok(())
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, text: &str) -> Result<()> {
        self.file(name, Method::Deflated, |out| Ok(out.write_all(text.as_bytes())?))
    }

    /// Name and SHA-256 of the files so far.
    pub(super) fn sums(&self) -> &[(String, String)] {
        &self.sums
    }

    /// Adds the sums and ends the zip; its length.
    pub(super) fn finish(mut self) -> Result<u64> {
        let sums: String = self.sums.iter().map(|(name, digest)| sums_line(digest, name)).collect();
        self.text(SUMS, &sums)?;
        let tail = tail(&self.members, self.at)?;
        self.out.write_all(&tail)?;
        self.out.flush()?;
        Ok(self.at + tail.len() as u64)
    }
}

/// Writes the data of a member, at most `left` bytes of contents; says in it what it came to, and gives the SHA-256.
fn pack<W: Write>(
    out: &mut W,
    member: &mut Member,
    left: u64,
    fill: impl FnOnce(&mut Contents<'_, W>) -> Result<()>,
) -> Result<String> {
    let counted = Counted { out, bytes: 0 };
    let packed = match member.method {
        Method::Stored => Packed::Stored(counted),
        Method::Deflated => Packed::Deflated(DeflateEncoder::new(counted, Compression::default())),
    };
    let mut contents = Contents { packed, crc: flate2::Crc::new(), digest: Sha256::new(), bytes: 0, left };
    fill(&mut contents)?;
    let Contents { packed, crc, digest, bytes, .. } = contents;
    member.packed = match packed {
        Packed::Stored(counted) => counted.bytes,
        Packed::Deflated(encoder) => encoder.finish()?.bytes,
    };
    (member.crc, member.bytes) = (crc.sum(), bytes);
    let digest: [u8; 32] = digest.finalize().into();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> ExportError {
        match error.kind() {
            io::ErrorKind::FileTooLarge => ExportError::TooLarge {
                what: "bytes of the files of a bundle",
                limit: EVIDENCE_FILES_BYTES_MAX,
            },
            _ => ExportError::Write(error),
        }
    }
}
