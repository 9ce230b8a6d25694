//! How long a witness is left alone after a failure.

use std::time::Duration;

use schemas::limits::{WITNESS_RETRY_AFTER_S_MAX, WITNESS_RETRY_FIRST_MS, WITNESS_RETRY_LONGEST_MS};

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// The wait after another failure; what the witness asked for counts, within limits.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 4];
        // Without randomness all come at once, and no worse.
        let jitter = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_ne_bytes(random));
        let asked = asked.map(|asked| asked.min(Duration::from_secs(WITNESS_RETRY_AFTER_S_MAX)));
        asked.unwrap_or_default().max(back_off(self.failures, jitter))
    }
}

/// Doubling from the first wait to the longest, of which a half to all is waited: many logs do not come at once.
fn back_off(failures: u32, jitter: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = WITNESS_RETRY_FIRST_MS.saturating_mul(1 << doublings).min(WITNESS_RETRY_LONGEST_MS);
    let half = full / 2;
    let more = u128::from(full - half) * u128::from(jitter) / u128::from(u32::MAX);
    Duration::from_millis(half.saturating_add(u64::try_from(more).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_have_an_end() {
        let full: Vec<u128> = (1..11).map(|failures| back_off(failures, u32::MAX).as_millis()).collect();
        assert_eq!(full, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]);
        assert_eq!(back_off(u32::MAX, 0).as_millis(), 150_000);
        let mut patience = Patience::default();
        let asked = patience.next(Some(Duration::from_secs(86_400)));
        assert_eq!(asked, Duration::from_secs(WITNESS_RETRY_AFTER_S_MAX));
        assert!(patience.next(Some(Duration::ZERO)) >= Duration::from_millis(WITNESS_RETRY_FIRST_MS));
    }
}
