//! Rates: how many bytes of bodies a second one credential may send, as a bucket that fills steadily (a token bucket).
//!
//! A body is let in while the bucket is not empty and pays afterwards for what it turned out to be, so that the size of a body that
//! was not declared need not be guessed; one that costs more than there is leaves a debt that later ones wait for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use schemas::limits;

use crate::error::Error;

/// Credentials that are kept apart; past it, those that owe nothing are forgotten.
const CREDENTIALS_MAX: usize = limits::INGEST_RATED_CREDENTIALS_MAX;
const SECOND_US: i64 = 1_000_000;

/// The buckets of all credentials.
#[derive(Debug)]
pub(crate) struct Rates {
    /// 0: as fast as they like.
    bytes_s: u64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What one credential has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// Below zero after a body that cost more than there was.
    bytes: i64,
    at_us: i64,
}

impl Rates {
    /// `bytes_s` bytes a second for each credential and that many seconds' worth at once that
    /// [`limits::INGEST_RATE_BURST_S`] says; 0 for no limit.
    pub(crate) fn new(bytes_s: u64) -> Rates {
        Rates { bytes_s: bytes_s.min(limits::INGEST_RATE_BYTES_S_MAX), buckets: Mutex::default() }
    }

    /// Whether a body of `credential` may come now; `now_us` never steps back.
    ///
    /// # Errors
    /// [`Error::TooFast`], with the seconds after which it may.
    pub(crate) fn check(&self, credential: &str, now_us: i64) -> Result<(), Error> {
        if self.bytes_s == 0 {
            return Ok(());
        }
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get(credential) else { return Ok(()) };
        let bytes = self.filled(*bucket, now_us).bytes;
        if bytes > 0 {
            return Ok(());
        }
        let missing = bytes.unsigned_abs().saturating_add(1);
        Err(Error::TooFast { bytes_s: self.bytes_s, retry_after_s: missing.div_ceil(self.bytes_s) })
    }

    /// Takes `bytes` for a body that came.
    pub(crate) fn pay(&self, credential: &str, bytes: usize, now_us: i64) {
        if self.bytes_s == 0 {
            return;
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CREDENTIALS_MAX && !buckets.contains_key(credential) {
            let full = self.full_bytes();
            // A full bucket is what an unknown credential has.
            buckets.retain(|_, bucket| self.filled(*bucket, now_us).bytes < full);
        }
        let new = Bucket { bytes: self.full_bytes(), at_us: now_us };
        let bucket = buckets.entry(credential.to_string()).or_insert(new);
        *bucket = self.filled(*bucket, now_us);
        bucket.bytes = bucket.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn full_bytes(&self) -> i64 {
        i64::try_from(self.bytes_s).unwrap_or(i64::MAX).saturating_mul(limits::INGEST_RATE_BURST_S)
    }

    /// The bucket as time has filled it.
    fn filled(&self, bucket: Bucket, now_us: i64) -> Bucket {
        let passed_us = now_us.saturating_sub(bucket.at_us).max(0);
        let more = i128::from(passed_us) * i128::from(self.bytes_s) / i128::from(SECOND_US);
        let bytes = (i128::from(bucket.bytes) + more).min(i128::from(self.full_bytes()));
        Bucket { bytes: i64::try_from(bytes).unwrap_or(i64::MAX), at_us: now_us.max(bucket.at_us) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_credential_that_sends_faster_waits_as_long_as_it_is_told() {
        let rates = Rates::new(1000);
        let burst = 1000 * limits::INGEST_RATE_BURST_S as usize;
        rates.check("a", 0).unwrap();
        rates.pay("a", burst + 2500, 0);
        let Err(Error::TooFast { bytes_s: 1000, retry_after_s: 3 }) = rates.check("a", 0) else {
            panic!("a debt of 2,500 bytes is paid in 3 s");
        };
        rates.check("b", 0).unwrap();
        assert!(rates.check("a", 2_500_000).is_err());
        rates.check("a", 3_000_000).unwrap();
        Rates::new(0).pay("a", usize::MAX, 0);
        Rates::new(0).check("a", 0).unwrap();
    }

    #[test]
    fn credentials_that_owe_nothing_are_forgotten_and_debts_are_not() {
        let rates = Rates::new(1000);
        rates.pay("debtor", 1 << 40, 0);
        for number in 1..CREDENTIALS_MAX {
            rates.pay(&number.to_string(), 1, 0);
        }
        rates.pay("one more", 1, SECOND_US);
        let buckets = rates.buckets.lock().unwrap();
        assert_eq!(buckets.len(), 2);
        assert!(buckets["debtor"].bytes < 0);
    }

    proptest! {
        /// Over any time no credential sends more than its rate, its burst and the one body that it may owe.
        #[test]
        fn no_more_than_the_rate(bodies in prop::collection::vec((0usize..5000, 0i64..3_000_000), 1..100)) {
            let rates = Rates::new(1000);
            let (mut now_us, mut sent) = (0, 0);
            for (bytes, pause_us) in bodies {
                now_us += pause_us;
                if rates.check("a", now_us).is_ok() {
                    rates.pay("a", bytes, now_us);
                    sent += bytes as i64;
                }
                let most = 1000 * (now_us / SECOND_US + 1 + limits::INGEST_RATE_BURST_S) + 5000;
                prop_assert!(sent <= most, "{sent} bytes by {now_us} us");
            }
        }
    }
}
