//! How long to wait, and when to give one message up. Pure but for the clock it is told.

use std::time::Duration;

use schemas::limits::{
    SINK_AWAY_TOGETHER, SINK_DEAD_LETTER_AFTER_S, SINK_DEAD_LETTER_ATTEMPTS_MIN, SINK_RETRY_AFTER_LONGEST_MS,
    SINK_RETRY_FIRST_MS, SINK_RETRY_LONGEST_MS,
};

use crate::settle::Waits;

const US_PER_S: i64 = 1_000_000;

/// What stands in the way at the head of a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Hand-overs in a row that settled nothing.
    failures: u32,
    /// The message that the other side answered with a failure of its own: index, answers, and the clock at the first.
    answered: Option<(u64, u32, i64)>,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again after so long.
    Wait(Duration),
    /// It is in the way of everything behind it: a dead letter.
    GiveUp,
}

impl Patience {
    /// Something was settled.
    pub(crate) fn went_well(&mut self) {
        *self = Patience::default();
    }

    /// The head waits. `now_us` is a clock that never steps, `jitter` at most `u32::MAX`.
    pub(crate) fn waits(&mut self, waits: &Waits, now_us: i64, jitter: u32) -> Next {
        self.failures = self.failures.saturating_add(1);
        match self.answered.as_mut().filter(|(index, ..)| *index == waits.index) {
            Some((_, answers, first_us)) if waits.answered => {
                *answers = answers.saturating_add(1);
                let long =
                    i64::try_from(SINK_DEAD_LETTER_AFTER_S).unwrap_or(i64::MAX).saturating_mul(US_PER_S);
                if *answers >= SINK_DEAD_LETTER_ATTEMPTS_MIN && now_us.saturating_sub(*first_us) >= long {
                    return Next::GiveUp;
                }
            }
            // Being away between two answers says nothing of the message.
            Some(_) => {}
            None => self.answered = waits.answered.then_some((waits.index, 1, now_us)),
        }
        Next::Wait(waits.wait.map_or_else(
            || back_off(self.failures, jitter),
            |asked| asked.min(Duration::from_millis(SINK_RETRY_AFTER_LONGEST_MS)),
        ))
    }

    /// Whether it has kept the whole sink waiting for long enough, and is from now on its own tenant's trouble alone.
    pub(crate) fn is_apart(&self) -> bool {
        self.failures > SINK_AWAY_TOGETHER
    }

    /// Whether one message was answered with a failure of its own: then it is sent alone, so that no other is blamed for it.
    pub(crate) fn is_alone(&self) -> bool {
        self.answered.is_some()
    }
}

/// Doubling from the first wait to the longest, of which a half to all is waited: many sinks of many recorders do not come at once.
fn back_off(failures: u32, jitter: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = SINK_RETRY_FIRST_MS.saturating_mul(1 << doublings).min(SINK_RETRY_LONGEST_MS);
    let half = full / 2;
    let more = u128::from(full - half) * u128::from(jitter) / u128::from(u32::MAX);
    Duration::from_millis(half.saturating_add(u64::try_from(more).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(index: u64, answered: bool) -> Waits {
        Waits { index, reason: "no".to_owned(), answered, wait: None }
    }

    #[test]
    fn waits_double_and_have_an_end() {
        let longest = Duration::from_millis(SINK_RETRY_LONGEST_MS);
        let full: Vec<u128> = (1..8).map(|failures| back_off(failures, u32::MAX).as_millis()).collect();
        assert_eq!(full, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert_eq!(back_off(u32::MAX, u32::MAX), longest);
        assert_eq!(back_off(3, 0).as_millis(), 1_000);
        let mut patience = Patience::default();
        let asked = Waits { wait: Some(Duration::from_secs(86_400)), ..waits(0, false) };
        assert_eq!(
            patience.waits(&asked, 0, 0),
            Next::Wait(Duration::from_millis(SINK_RETRY_AFTER_LONGEST_MS))
        );
    }

    #[test]
    fn only_a_message_that_is_answered_again_and_again_for_long_is_given_up() {
        let after_us = SINK_DEAD_LETTER_AFTER_S as i64 * US_PER_S;
        let mut away = Patience::default();
        for hour in 0..100 {
            assert!(matches!(away.waits(&waits(7, false), hour * 3_600 * US_PER_S, 0), Next::Wait(_)));
        }
        assert!(!away.is_alone());
        let mut answered = Patience::default();
        for attempt in 1..SINK_DEAD_LETTER_ATTEMPTS_MIN {
            assert!(
                matches!(answered.waits(&waits(7, true), i64::from(attempt), 0), Next::Wait(_)),
                "{attempt}"
            );
        }
        assert!(answered.is_alone());
        // Often enough, and not yet for long enough; away in between counts for nothing.
        assert!(matches!(answered.waits(&waits(7, true), after_us, 0), Next::Wait(_)));
        assert!(matches!(answered.waits(&waits(7, false), after_us + 1, 0), Next::Wait(_)));
        assert_eq!(answered.waits(&waits(7, true), after_us + 1, 0), Next::GiveUp);
        // Another message begins anew.
        assert!(matches!(answered.waits(&waits(8, true), after_us * 9, 0), Next::Wait(_)));
        answered.went_well();
        assert_eq!(answered, Patience::default());
    }
}
