//! Reads a body within its limits: bytes are reserved before they are kept.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use schemas::limits::ADMISSION_AHEAD_BYTES;
use schemas::principal::Principal;
use store::Clock;

use super::{Options, Shared};
use crate::admit::{Admission, Reservation};
use crate::encoding::{Collector, Encoding};
use crate::error::Error;
use crate::measure;
use crate::rate::Rates;

/// Bytes of the body as the client declares them, 0 for an unknown number.
pub(crate) fn declared_bytes(headers: &HeaderMap) -> usize {
    let value = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// What has come of a body. It is counted and paid for when this is dropped, whatever became of the body: who sends
/// broken ones, or hangs up, has sent as much.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    rates: &'a Rates,
    clock: &'a dyn Clock,
    credential: &'a str,
    sent: usize,
    unwrapped: usize,
}

impl<'a> Meter<'a> {
    /// Of a body of `credential`, if one may come now.
    ///
    /// # Errors
    /// [`Error::TooFast`], with the seconds after which it may.
    pub(crate) fn start(shared: &'a Shared, credential: &'a str) -> Result<Meter<'a>, Error> {
        let (rates, clock) = (&shared.rates, &*shared.options.clock);
        rates.check(credential, clock.monotonic_us())?;
        Ok(Meter { rates, clock, credential, sent: 0, unwrapped: 0 })
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        measure::body(self.sent, self.unwrapped);
        self.rates.pay(self.credential, self.sent.max(self.unwrapped), self.clock.monotonic_us());
    }
}

/// The whole body, unwrapped, and what is reserved for it.
pub(crate) async fn body(
    shared: &Shared,
    principal: &Principal,
    encoding: Encoding,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, Reservation), Error> {
    let mut meter = Meter::start(shared, &principal.id)?;
    let declared = declared_bytes(headers);
    admit(&shared.admission, &principal.tenant, encoding, declared, body, &shared.options, &mut meter).await
}

async fn admit(
    admission: &Admission,
    tenant: &str,
    encoding: Encoding,
    declared: usize,
    body: Body,
    options: &Options,
    meter: &mut Meter<'_>,
) -> Result<(Vec<u8>, Reservation), Error> {
    if declared > options.body_bytes_max {
        return Err(too_large(options));
    }
    // A promise holds little: who promises much and sends nothing would keep out those who send.
    let ahead = declared.min(ADMISSION_AHEAD_BYTES);
    let reservation = admission.reserve(tenant, ahead)?;
    let read = read(reservation, encoding, ahead, body, options, meter);
    tokio::time::timeout(options.body_timeout, read).await.map_err(|_| Error::Slow)?
}

async fn read(
    mut reservation: Reservation,
    encoding: Encoding,
    ahead: usize,
    mut body: Body,
    options: &Options,
    meter: &mut Meter<'_>,
) -> Result<(Vec<u8>, Reservation), Error> {
    let mut collector = Collector::new(encoding, ahead, options.decompressed_bytes_max)?;
    loop {
        let frame =
            tokio::time::timeout(options.part_timeout, body.frame()).await.map_err(|_| Error::Slow)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Error::BrokenBody { reason: error.to_string() })?;
        let Ok(part) = frame.into_data() else { continue };
        meter.sent = meter.sent.saturating_add(part.len());
        if meter.sent > options.body_bytes_max {
            return Err(too_large(options));
        }
        reservation.grow_to(meter.unwrapped.max(meter.sent))?;
        let pushed = collector.push(&part);
        meter.unwrapped = collector.bytes();
        pushed?;
        reservation.grow_to(meter.unwrapped)?;
    }
    let finished = collector.finish();
    meter.unwrapped = finished.as_ref().map_or_else(|_| collector.bytes(), Vec::len);
    let bytes = finished?;
    reservation.grow_to(bytes.len())?;
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

    use futures::StreamExt as _;
    use schemas::limits;
    use store::clock::ManualClock;

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

    /// What may come within a test, in bytes a second.
    const RATE: u64 = 1_000_000;

    async fn paid(
        rates: &Rates,
        admission: &Admission,
        encoding: Encoding,
        declared: usize,
        body: Body,
    ) -> Result<(Vec<u8>, Reservation), Error> {
        let clock = ManualClock::new(0);
        let mut meter = Meter { rates, clock: &clock, credential: "t-1", sent: 0, unwrapped: 0 };
        admit(admission, "acme", encoding, declared, body, &options(), &mut meter).await
    }

    async fn receive(
        admission: &Admission,
        encoding: Encoding,
        declared: usize,
        bytes: Vec<u8>,
    ) -> Result<(Vec<u8>, Reservation), Error> {
        paid(&Rates::new(RATE), admission, encoding, declared, Body::from(bytes)).await
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
        let rates = Rates::new(RATE);
        let slow = paid(&rates, &admission, Encoding::Identity, 100, stalled).await;
        assert!(matches!(slow, Err(Error::Slow)));
        let trickle = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" ")), ()))
        });
        let slow = paid(&rates, &admission, Encoding::Identity, 100, Body::from_stream(trickle)).await;
        assert!(matches!(slow, Err(Error::Slow)));
        assert_eq!(admission.bytes(), 0);
    }

    #[tokio::test]
    async fn a_length_that_is_only_promised_holds_little() {
        let admission = Admission::new(32 << 20, 32 << 20);
        let options = Options { body_bytes_max: 16 << 20, ..options() };
        let (rates, clock) = (Rates::new(0), ManualClock::new(0));
        let mut meter = Meter { rates: &rates, clock: &clock, credential: "t-1", sent: 0, unwrapped: 0 };
        let stalled = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        let held = admit(&admission, "acme", Encoding::Identity, 16 << 20, stalled, &options, &mut meter);
        tokio::pin!(held);
        tokio::select! {
            _ = &mut held => panic!("nothing has come"),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
        assert_eq!(admission.bytes(), ADMISSION_AHEAD_BYTES);
    }

    /// Whoever sends what is refused in the end has sent it.
    #[tokio::test]
    async fn what_came_is_paid_for_whatever_became_of_it() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&vec![b' '; 4900]).unwrap();
        let mut broken = bomb.finish().unwrap();
        let length = broken.len();
        broken.truncate(length - 1);
        let stalls = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; 700]))])
            .chain(futures::stream::pending());
        for (encoding, body, owed) in [
            (Encoding::Gzip, Body::from(broken), 4900),
            (Encoding::Identity, Body::from(vec![b'x'; 1001]), 1001),
            (Encoding::Identity, Body::from_stream(stalls), 700),
        ] {
            let (rates, admission) = (Rates::new(1), Admission::new(100_000, 100_000));
            assert!(paid(&rates, &admission, encoding, 0, body).await.is_err());
            let refused = rates.check("t-1", 0);
            let Err(Error::TooFast { retry_after_s, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(retry_after_s, owed - limits::INGEST_RATE_BURST_S as u64 + 1);
        }
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
