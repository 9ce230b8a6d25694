//! Content encodings: identity and gzip, decompressed as the bytes come, never past a cap.

use std::io::{ErrorKind, Write};

use flate2::write::MultiGzDecoder;

use crate::error::Error;
use crate::rejected::quoted;

/// What a body is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// From the value of `Content-Encoding`.
    pub(crate) fn from_header(value: Option<&str>) -> Result<Encoding, Error> {
        match value.map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Ok(Encoding::Identity),
            Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
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
}

impl Collector {
    /// Of a body that may be `bytes_max` long once it is unwrapped, and is about `bytes` long as far as is known
    /// and reserved.
    pub(crate) fn new(encoding: Encoding, bytes: usize, bytes_max: usize) -> Collector {
        let capped = Capped { bytes: Vec::with_capacity(bytes.min(bytes_max)), bytes_max };
        Collector {
            sink: match encoding {
                Encoding::Identity => Sink::Plain(capped),
                Encoding::Gzip => Sink::Gzip(Box::new(MultiGzDecoder::new(capped))),
            },
        }
    }

    /// Takes the next part; gives how many bytes there are now, unwrapped.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<usize, Error> {
        match &mut self.sink {
            Sink::Plain(capped) => capped.write_all(part).map_err(|error| failure(capped, &error))?,
            Sink::Gzip(decoder) => {
                decoder.write_all(part).map_err(|error| failure(decoder.get_ref(), &error))?;
            }
        }
        Ok(self.capped().bytes.len())
    }

    /// The whole body.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Error> {
        match self.sink {
            Sink::Plain(capped) => Ok(capped.bytes),
            Sink::Gzip(mut decoder) => {
                decoder.try_finish().map_err(|error| failure(decoder.get_ref(), &error))?;
                Ok(std::mem::take(&mut decoder.get_mut().bytes))
            }
        }
    }

    fn capped(&self) -> &Capped {
        match &self.sink {
            Sink::Plain(capped) => capped,
            Sink::Gzip(decoder) => decoder.get_ref(),
        }
    }
}

fn failure(capped: &Capped, error: &std::io::Error) -> Error {
    if error.kind() == ErrorKind::FileTooLarge {
        return Error::TooLarge { what: "bytes of the decompressed body", limit: capped.bytes_max };
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
        let mut collector = Collector::new(encoding, 0, bytes_max);
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
        let mut collector = Collector::new(Encoding::Gzip, 0, 1 << 20);
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

    #[test]
    fn encodings_are_known_or_refused() {
        assert_eq!(Encoding::from_header(None).unwrap(), Encoding::Identity);
        assert_eq!(Encoding::from_header(Some(" GZIP")).unwrap(), Encoding::Gzip);
        assert!(matches!(Encoding::from_header(Some("br")), Err(Error::UnknownEncoding { .. })));
        assert!(matches!(Encoding::from_header(Some("gzip, gzip")), Err(Error::UnknownEncoding { .. })));
    }
}
