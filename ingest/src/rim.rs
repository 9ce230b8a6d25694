//! The one place where this crate reads the clock and the system's randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;

/// Microseconds since the epoch; before it, 0.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Fresh random bytes.
pub(crate) fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::Worker { reason: error.to_string() })?;
    Ok(seed)
}
