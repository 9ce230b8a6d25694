//! Reads a body within its limits: bytes are reserved before they are kept.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;

use super::Options;
use crate::admit::{Admission, Reservation};
use crate::encoding::{Collector, Encoding};
use crate::error::Error;
use crate::measure;

/// Bytes of the body as the client declares them, 0 for an unknown number.
pub(crate) fn declared_bytes(headers: &HeaderMap) -> usize {
    let value = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The whole body, unwrapped, and what is reserved for it.
pub(crate) async fn body(
    admission: &Admission,
    tenant: &str,
    encoding: Encoding,
    declared: usize,
    body: Body,
    options: &Options,
) -> Result<(Vec<u8>, Reservation), Error> {
    if declared > options.body_bytes_max {
        return Err(too_large(options));
    }
    let reservation = admission.reserve(tenant, declared)?;
    let read = read(reservation, encoding, declared, body, options);
    tokio::time::timeout(options.body_timeout, read).await.map_err(|_| Error::Slow)?
}

async fn read(
    mut reservation: Reservation,
    encoding: Encoding,
    declared: usize,
    mut body: Body,
    options: &Options,
) -> Result<(Vec<u8>, Reservation), Error> {
    let mut collector = Collector::new(encoding, declared, options.decompressed_bytes_max)?;
    let (mut sent, mut unwrapped) = (0usize, 0);
    loop {
        let frame =
            tokio::time::timeout(options.part_timeout, body.frame()).await.map_err(|_| Error::Slow)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Error::BrokenBody { reason: error.to_string() })?;
        let Ok(part) = frame.into_data() else { continue };
        sent = sent.saturating_add(part.len());
        if sent > options.body_bytes_max {
            return Err(too_large(options));
        }
        reservation.grow_to(unwrapped.max(sent))?;
        unwrapped = collector.push(&part)?;
        reservation.grow_to(unwrapped)?;
    }
    let bytes = collector.finish()?;
    reservation.grow_to(bytes.len())?;
    measure::body(sent, bytes.len());
    Ok((bytes, reservation))
}

fn too_large(options: &Options) -> Error {
    Error::TooLarge { what: "bytes of the body", limit: options.body_bytes_max }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn options() -> Options {
        Options {
            body_bytes_max: 1000,
            decompressed_bytes_max: 5000,
            part_timeout: Duration::from_millis(50),
            body_timeout: Duration::from_millis(200),
            ..Options::new(Arc::new(|_| [0; 32]))
        }
    }

    async fn receive(
        admission: &Admission,
        encoding: Encoding,
        declared: usize,
        bytes: Vec<u8>,
    ) -> Result<(Vec<u8>, Reservation), Error> {
        body(admission, "acme", encoding, declared, Body::from(bytes), &options()).await
    }

    #[tokio::test]
    async fn a_body_holds_its_bytes_until_it_is_done_with() {
        let admission = Admission::new(2000, 1500);
        let (bytes, held) = receive(&admission, Encoding::Identity, 900, vec![b'x'; 900]).await.unwrap();
        assert_eq!((bytes.len(), admission.bytes()), (900, 900));
        let busy = receive(&admission, Encoding::Identity, 900, vec![b'x'; 900]).await;
        assert!(matches!(busy, Err(Error::Busy { .. })));
        let streamed = receive(&admission, Encoding::Identity, 0, vec![b'x'; 700]).await;
        assert!(matches!(streamed, Err(Error::Busy { .. })), "bytes that were not declared count as well");
        drop(held);
        assert_eq!(admission.bytes(), 0);
    }

    #[tokio::test]
    async fn long_bodies_and_bombs_are_refused_and_leave_nothing_reserved() {
        let admission = Admission::new(100_000, 100_000);
        for (declared, bytes) in [(1001, vec![]), (0, vec![b'x'; 1001]), (5, vec![b'x'; 1001])] {
            let refused = receive(&admission, Encoding::Identity, declared, bytes).await;
            assert!(matches!(refused, Err(Error::TooLarge { limit: 1000, .. })));
        }
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&vec![b' '; 100_000]).unwrap();
        let refused = receive(&admission, Encoding::Gzip, 0, bomb.finish().unwrap()).await;
        assert!(matches!(refused, Err(Error::TooLarge { limit: 5000, .. })));
        assert_eq!(admission.bytes(), 0);
    }

    #[tokio::test]
    async fn a_client_that_stalls_is_given_up() {
        let admission = Admission::new(2000, 1500);
        let stalled = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        let slow = body(&admission, "acme", Encoding::Identity, 100, stalled, &options()).await;
        assert!(matches!(slow, Err(Error::Slow)));
        let trickle = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" ")), ()))
        });
        let slow =
            body(&admission, "acme", Encoding::Identity, 100, Body::from_stream(trickle), &options()).await;
        assert!(matches!(slow, Err(Error::Slow)));
        assert_eq!(admission.bytes(), 0);
    }

    #[test]
    fn a_length_that_is_no_number_is_unknown() {
        let mut headers = HeaderMap::new();
        assert_eq!(declared_bytes(&headers), 0);
        headers.insert(header::CONTENT_LENGTH, "12".parse().unwrap());
        assert_eq!(declared_bytes(&headers), 12);
        headers.insert(header::CONTENT_LENGTH, "x".parse().unwrap());
        assert_eq!(declared_bytes(&headers), 0);
    }
}
