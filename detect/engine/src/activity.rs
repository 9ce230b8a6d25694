//! In how many minutes an entity did something: what batches do not inflate, and what lasts does.
//!
//! Calls of agents come in batches: a turn is one call or eighty, seconds apart, so that what is usual of a sum is as wide as what is
//! not. The number of minutes that have any is bounded, hardly moved by how large a batch is, and grows with every minute that
//! something goes on. Its square root has about the same spread whatever its mean.
//!
//! Days are by UTC. A day's figure is final once the clock is `lateness_s` past its end, and is learnt days later, so that nothing is
//! what it is judged by; what is unusual is learnt as the most that would not have been.

mod known;
mod lasting;
mod level;
mod minutes;

pub(crate) use lasting::{Lasting, LastingRule, Whom};
pub(crate) use level::{Expected, Level, Peers};
use minutes::MINUTES_KEPT;
pub(crate) use minutes::Minutes;

/// Minutes of a day.
pub(crate) const DAY_MINUTES: i64 = 1_440;

/// The minute of a moment, since 1970.
pub(crate) fn minute(time_us: i64) -> i64 {
    time_us.div_euclid(60_000_000)
}

/// When a minute began, in microseconds.
pub(crate) fn start_us(minute: i64) -> i64 {
    minute.saturating_mul(60_000_000)
}
