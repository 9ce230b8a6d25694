//! The one place where this crate reads the system's randomness. Time comes from the clock it is given.

use crate::error::Error;

/// Fresh random bytes.
pub(crate) fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::Worker { reason: error.to_string() })?;
    Ok(seed)
}
