//! Content encodings: identity, gzip and zstd, decompressed as the bytes come, never past a cap.

use std::io::{ErrorKind, Write};

use flate2::write::MultiGzDecoder;
use schemas::limits::ZSTD_WINDOW_LOG_MAX;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use crate::error::Error;
use crate::rejected::quoted;

/// What a body is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// From the value of `Content-Encoding`.
    pub(crate) fn from_header(value: Option<&str>) -> Result<Encoding, Error> {
        match value.map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Ok(Encoding::Identity),
            Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
            Some("zstd") => Ok(Encoding::Zstd),
            Some(other) => Err(Error::UnknownEncoding { encoding: quoted(other) }),
        }
    }
}

/// Collects a body, part by part.
#[derive(Debug)]
pub(crate) struct Collector {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
    Zstd(Zstd),
}

impl Collector {
    /// Of a body that may be `bytes_max` long once it is unwrapped; there is room for `bytes`, which are reserved.
    pub(crate) fn new(encoding: Encoding, bytes: usize, bytes_max: usize) -> Result<Collector, Error> {
        let capped = Capped { bytes: Vec::with_capacity(bytes.min(bytes_max)), bytes_max };
        let sink = match encoding {
            Encoding::Identity => Sink::Plain(capped),
            Encoding::Gzip => Sink::Gzip(Box::new(MultiGzDecoder::new(capped))),
            Encoding::Zstd => Sink::Zstd(Zstd::new(capped)?),
        };
        Ok(Collector { sink })
    }

    /// Takes the next part; gives how many bytes there are now, unwrapped.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<usize, Error> {
        match &mut self.sink {
            Sink::Plain(capped) => capped.write_all(part).map_err(|error| failure(capped, &error))?,
            Sink::Gzip(decoder) => {
                decoder.write_all(part).map_err(|error| failure(decoder.get_ref(), &error))?;
            }
            Sink::Zstd(zstd) => zstd.push(part)?,
        }
        Ok(self.bytes())
    }

    /// How many bytes there are, unwrapped.
    pub(crate) fn bytes(&self) -> usize {
        self.capped().bytes.len()
    }

    /// The whole body, which is then no longer here.
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>, Error> {
        match &mut self.sink {
            Sink::Plain(capped) => Ok(std::mem::take(&mut capped.bytes)),
            Sink::Gzip(decoder) => {
                decoder.try_finish().map_err(|error| failure(decoder.get_ref(), &error))?;
                Ok(std::mem::take(&mut decoder.get_mut().bytes))
            }
            Sink::Zstd(zstd) => zstd.finish(),
        }
    }

    fn capped(&self) -> &Capped {
        match &self.sink {
            Sink::Plain(capped) => capped,
            Sink::Gzip(decoder) => decoder.get_ref(),
            Sink::Zstd(zstd) => &zstd.capped,
        }
    }
}

/// Bytes that come out of a step of decompression.
const STEP: usize = 32 << 10;

/// One or more zstd frames.
struct Zstd {
    decoder: Decoder<'static>,
    capped: Capped,
    /// Whether what came so far ends where a frame ends.
    is_whole: bool,
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").field("is_whole", &self.is_whole).finish_non_exhaustive()
    }
}

impl Zstd {
    fn new(capped: Capped) -> Result<Zstd, Error> {
        let bad = |error: std::io::Error| Error::BadZstd { at: 0, reason: error.to_string() };
        let mut decoder = Decoder::new().map_err(bad)?;
        // The sender chooses how much memory its frame needs: up to this and no more.
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(bad)?;
        Ok(Zstd { decoder, capped, is_whole: false })
    }

    fn push(&mut self, part: &[u8]) -> Result<(), Error> {
        let mut input = InBuffer::around(part);
        let mut step = vec![0; STEP];
        loop {
            let mut output = OutBuffer::around(step.as_mut_slice());
            let left = self.decoder.run(&mut input, &mut output).map_err(|error| self.bad(&error))?;
            let made = output.as_slice();
            let is_full = made.len() == STEP;
            self.capped.write_all(made).map_err(|error| self.bad(&error))?;
            self.is_whole = left == 0;
            if input.pos() == part.len() && !is_full {
                return Ok(());
            }
        }
    }

    fn finish(&mut self) -> Result<Vec<u8>, Error> {
        if !self.is_whole {
            let reason = "it ends within a frame".to_string();
            return Err(Error::BadZstd { at: self.capped.bytes.len(), reason });
        }
        Ok(std::mem::take(&mut self.capped.bytes))
    }

    fn bad(&self, error: &std::io::Error) -> Error {
        if error.kind() == ErrorKind::FileTooLarge {
            return too_large(&self.capped);
        }
        Error::BadZstd { at: self.capped.bytes.len(), reason: error.to_string() }
    }
}

fn too_large(capped: &Capped) -> Error {
    Error::TooLarge { what: "bytes of the decompressed body", limit: capped.bytes_max }
}

fn failure(capped: &Capped, error: &std::io::Error) -> Error {
    if error.kind() == ErrorKind::FileTooLarge {
        return too_large(capped);
    }
    Error::BadGzip { at: capped.bytes.len(), reason: error.to_string() }
}

/// A buffer that refuses what does not fit.
#[derive(Debug)]
struct Capped {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Capped {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if part.len() > self.bytes_max - self.bytes.len().min(self.bytes_max) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn collect(encoding: Encoding, parts: &[&[u8]], bytes_max: usize) -> Result<Vec<u8>, Error> {
        let mut collector = Collector::new(encoding, 0, bytes_max)?;
        for part in parts {
            collector.push(part)?;
        }
        collector.finish()
    }

    #[test]
    fn parts_and_members_come_out_whole() {
        let packed = [gzip(b"{\"a\":1}\n"), gzip(b"{\"b\":2}")].concat();
        let parts: Vec<&[u8]> = packed.chunks(7).collect();
        assert_eq!(collect(Encoding::Gzip, &parts, 100).unwrap(), b"{\"a\":1}\n{\"b\":2}");
        assert_eq!(collect(Encoding::Identity, &[b"ab", b"c"], 3).unwrap(), b"abc");
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![b' '; 50 << 20]);
        assert!(bomb.len() < 1 << 20);
        let mut collector = Collector::new(Encoding::Gzip, 0, 1 << 20).unwrap();
        let error = bomb.chunks(1000).find_map(|part| collector.push(part).err()).unwrap();
        assert!(matches!(error, Error::TooLarge { limit, .. } if limit == 1 << 20), "{error}");
        assert!(collector.capped().bytes.len() <= 1 << 20);
        assert!(matches!(collect(Encoding::Identity, &[b"abcd"], 3), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn damage_is_told() {
        let mut packed = gzip(b"{\"a\":1}\n");
        assert!(matches!(
            collect(Encoding::Gzip, &[&packed[..packed.len() - 3]], 100),
            Err(Error::BadGzip { .. })
        ));
        let last = packed.len() - 1;
        packed[last] ^= 1;
        assert!(matches!(collect(Encoding::Gzip, &[&packed], 100), Err(Error::BadGzip { .. })));
        assert!(matches!(collect(Encoding::Gzip, &[b"{\"a\":1}"], 100), Err(Error::BadGzip { .. })));
        assert!(matches!(collect(Encoding::Gzip, &[], 100), Err(Error::BadGzip { .. })));
    }

    fn frame(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    #[test]
    fn zstd_frames_come_out_whole_within_the_cap() {
        let packed = [frame(b"{\"a\":1}\n"), frame(b"{\"b\":2}")].concat();
        for size in [1, 7, packed.len()] {
            let parts: Vec<&[u8]> = packed.chunks(size).collect();
            assert_eq!(collect(Encoding::Zstd, &parts, 100).unwrap(), b"{\"a\":1}\n{\"b\":2}");
        }
        let long: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(collect(Encoding::Zstd, &[&frame(&long)], long.len()).unwrap(), long);
        let bomb = frame(&vec![b' '; 50 << 20]);
        assert!(bomb.len() < 1 << 20);
        let refused = collect(Encoding::Zstd, &[&bomb], 1 << 20);
        assert!(matches!(refused, Err(Error::TooLarge { limit, .. }) if limit == 1 << 20), "{refused:?}");
    }

    #[test]
    fn damaged_and_greedy_zstd_is_told() {
        let packed = frame(b"{\"a\":1}\n");
        for bad in [&packed[..packed.len() - 3], &b"{\"a\":1}"[..], &[]] {
            assert!(matches!(collect(Encoding::Zstd, &[bad], 100), Err(Error::BadZstd { .. })), "{bad:?}");
        }
        // A frame of no content that asks for a window of the largest size allowed, and of twice that.
        let greedy = |log: u32| {
            let descriptor = u8::try_from(log - 10).unwrap() << 3;
            [0x28, 0xB5, 0x2F, 0xFD, 0x00, descriptor, 0x01, 0x00, 0x00]
        };
        assert_eq!(collect(Encoding::Zstd, &[&greedy(ZSTD_WINDOW_LOG_MAX)], 100).unwrap(), b"");
        let refused = collect(Encoding::Zstd, &[&greedy(ZSTD_WINDOW_LOG_MAX + 1)], 100);
        assert!(matches!(refused, Err(Error::BadZstd { .. })), "{refused:?}");
    }

    #[test]
    fn encodings_are_known_or_refused() {
        assert_eq!(Encoding::from_header(None).unwrap(), Encoding::Identity);
        assert_eq!(Encoding::from_header(Some(" GZIP")).unwrap(), Encoding::Gzip);
        assert_eq!(Encoding::from_header(Some("zstd")).unwrap(), Encoding::Zstd);
        assert!(matches!(Encoding::from_header(Some("br")), Err(Error::UnknownEncoding { .. })));
        assert!(matches!(Encoding::from_header(Some("gzip, gzip")), Err(Error::UnknownEncoding { .. })));
    }
}
