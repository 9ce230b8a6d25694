//! gRPC's framing: one message behind a flag and its length, compressed or not.

use axum::http::HeaderMap;

use crate::admit::Reservation;
use crate::encoding::{Collector, Encoding};
use crate::error::Error;
use crate::rejected::quoted;

/// Bytes before a message.
pub(super) const PREFIX_BYTES: usize = 5;
/// The flag of a message that is compressed.
const COMPRESSED: u8 = 1;
/// Bytes that are decompressed before the next are reserved.
const PART: usize = 16 << 10;

/// What the client says its messages are compressed with.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    let value = headers.get("grpc-encoding").map(|value| String::from_utf8_lossy(value.as_bytes()));
    Encoding::from_header(value.as_deref())
}

/// Whether `body` begins as a frame whose message is compressed.
pub(super) fn is_compressed(body: &[u8]) -> bool {
    body.first() == Some(&COMPRESSED)
}

/// The one message of `body`. What it decompresses to is reserved as it comes, and counted in `unwrapped` whatever comes
/// of it.
pub(super) fn message(
    mut body: Vec<u8>,
    encoding: Encoding,
    bytes_max: usize,
    reservation: &mut Reservation,
    unwrapped: &mut usize,
) -> Result<Vec<u8>, Error> {
    let bad = |reason: &str| Error::BadTelemetry { reason: reason.to_string() };
    let Some(([flag, length @ ..], rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(bad("it is shorter than the prefix of a gRPC message"));
    };
    if u32::from_be_bytes(*length) as usize != rest.len() {
        return Err(bad("it is not one gRPC message of the length that its prefix says"));
    }
    match (flag, encoding) {
        (0, _) => {
            body.drain(..PREFIX_BYTES);
            Ok(body)
        }
        (&COMPRESSED, Encoding::Identity) => Err(bad("it is compressed, and grpc-encoding does not say how")),
        (&COMPRESSED, encoding) => {
            let mut collector = Collector::new(encoding, 0, bytes_max)?;
            for part in rest.chunks(PART) {
                let pushed = collector.push(part);
                *unwrapped = collector.bytes();
                pushed?;
                reservation.grow_to(body.len().saturating_add(*unwrapped))?;
            }
            let finished = collector.finish();
            *unwrapped = finished.as_ref().map_or_else(|_| collector.bytes(), Vec::len);
            finished
        }
        (other, _) => Err(bad(&format!("its prefix begins with {}", quoted(&other.to_string())))),
    }
}

/// `message` as the body of an answer.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::Admission;

    fn unframe(body: &[u8], encoding: Encoding) -> Result<Vec<u8>, Error> {
        let admission = Admission::new(1 << 20, 1 << 20);
        let mut reservation = admission.reserve("acme", body.len())?;
        let message = message(body.to_vec(), encoding, 1 << 19, &mut reservation, &mut 0);
        assert!(admission.bytes() >= body.len());
        message
    }

    #[test]
    fn one_whole_message_is_taken_and_nothing_else() {
        assert_eq!(unframe(&framed(b"abc"), Encoding::Identity).unwrap(), b"abc");
        assert_eq!(unframe(&framed(b"abc"), Encoding::Gzip).unwrap(), b"abc", "the flag decides");
        assert_eq!(unframe(&framed(b""), Encoding::Identity).unwrap(), b"");
        let packed = zstd::stream::encode_all(&b"abc"[..], 3).unwrap();
        let mut compressed = framed(&packed);
        compressed[0] = 1;
        assert_eq!(unframe(&compressed, Encoding::Zstd).unwrap(), b"abc");
        assert!(matches!(unframe(&compressed, Encoding::Identity), Err(Error::BadTelemetry { .. })));
        assert!(matches!(unframe(&compressed, Encoding::Gzip), Err(Error::BadGzip { .. })));
        let two = [framed(b"a"), framed(b"b")].concat();
        for bad in [&two[..], b"", b"\0\0\0", b"\0\0\0\0\x09abc", b"\x02\0\0\0\0", b"\0\xff\xff\xff\xffabc"] {
            assert!(matches!(unframe(bad, Encoding::Identity), Err(Error::BadTelemetry { .. })), "{bad:?}");
        }
        let mut bomb = framed(&zstd::stream::encode_all(&vec![0; 1 << 20][..], 3).unwrap());
        bomb[0] = 1;
        assert!(matches!(unframe(&bomb, Encoding::Zstd), Err(Error::TooLarge { .. })));
    }
}
