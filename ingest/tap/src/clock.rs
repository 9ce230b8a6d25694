//! The machine's clocks, read in this one place.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// When something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Microseconds since 1970-01-01T00:00:00Z, as the machine believes.
    pub wall_us: i64,
    /// Microseconds since the tap started; never steps back.
    pub monotonic_us: i64,
}

/// Gives moments.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Moment {
        let wall_us = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        };
        let monotonic_us = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Moment { wall_us, monotonic_us }
    }
}
