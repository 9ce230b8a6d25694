//! How improbable a thing must be to open an episode: by chance at most `budget` of them open a day.
//!
//! A rule that asks `n` times a day opens at `p <= budget / n`. The days are those of the caller's clock; n is the mean of the last seven whole
//! days that had tests, or today's number where that is more already: a fleet that doubles in the morning must not be told of
//! by yesterday's count. What opens beyond the budget says so and is no less severe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Days whose tests the budget is spread over.
pub(crate) const TEST_DAYS: i64 = 7;
/// The largest alpha there is, ln 0.05: with less than twenty tests a day no budget makes a usual thing an alert.
pub(crate) const LN_ALPHA_TOP: f64 = -2.995_732_273_553_991;
/// The same for what an entity is asked once or twice a day, ln 0.005: a few agents must not spend the budget of hundreds.
pub(crate) const LN_ALPHA_DAY: f64 = -5.298_317_366_548_036;

/// Tests and openings of one rule in one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    /// In days since 1970.
    day: i64,
    /// Tests by day.
    tests: BTreeMap<i64, u64>,
    /// Episodes opened on `day`.
    opened: i64,
}

impl Opening {
    pub fn new() -> Opening {
        Opening { day: i64::MIN, tests: BTreeMap::new(), opened: 0 }
    }

    pub fn day(&self) -> i64 {
        self.day
    }

    /// Turns to a day; false, and nothing done, where that is no later one.
    pub fn turn(&mut self, day: i64) -> bool {
        if day <= self.day {
            return false;
        }
        self.day = day;
        self.opened = 0;
        self.tests = self.tests.split_off(&day.saturating_sub(TEST_DAYS));
        true
    }

    /// So many more tests were made.
    pub fn tested(&mut self, tests: u64) {
        let sum = self.tests.entry(self.day).or_default();
        *sum = sum.saturating_add(tests);
    }

    /// The p at or below which an episode opens; none before a whole day of tests.
    pub fn ln_alpha(&self, budget_milli: i64) -> Option<f64> {
        let whole: Vec<u64> =
            self.tests.range(..self.day).map(|(_, tests)| *tests).filter(|tests| *tests > 0).collect();
        let days = u32::try_from(whole.len()).ok().filter(|days| *days > 0)?;
        let mean =
            whole.iter().fold(0, |sum: u64, tests| sum.saturating_add(*tests)) as f64 / f64::from(days);
        let today = self.tests.get(&self.day).copied().unwrap_or(0) as f64;
        Some(libm::log(budget_milli as f64 / 1_000.0 / mean.max(today)).min(LN_ALPHA_TOP))
    }

    /// Notes that an episode opens, and says whether that is more than the day's budget; the first of a day never is.
    pub fn is_over(&mut self, budget_milli: i64) -> bool {
        self.opened = self.opened.saturating_add(1);
        self.opened.saturating_mul(1_000) > budget_milli.max(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_is_the_budget_over_the_tests_of_a_day() {
        let mut opening = Opening::new();
        assert!(opening.turn(10) && !opening.turn(10) && !opening.turn(9));
        opening.tested(1_000);
        assert_eq!(opening.ln_alpha(500), None, "no whole day yet");
        assert!(opening.turn(11));
        assert_eq!(opening.ln_alpha(500), Some(libm::log(0.5 / 1_000.0)));
        opening.tested(4_000);
        assert_eq!(opening.ln_alpha(500), Some(libm::log(0.5 / 4_000.0)), "today has more already");
        assert!(opening.turn(12));
        assert_eq!(opening.ln_alpha(500), Some(libm::log(0.5 / 2_500.0)));
        assert!(opening.turn(40));
        assert_eq!(opening.ln_alpha(500), None, "all is long ago");
    }

    #[test]
    fn few_tests_make_no_usual_thing_an_alert() {
        let mut opening = Opening::new();
        opening.turn(0);
        opening.tested(2);
        opening.turn(1);
        assert_eq!(opening.ln_alpha(500), Some(LN_ALPHA_TOP));
    }

    #[test]
    fn the_first_of_a_day_is_within_any_budget() {
        let mut opening = Opening::new();
        opening.turn(0);
        assert_eq!([500, 500].map(|budget| opening.is_over(budget)), [false, true]);
        assert!(
            opening.turn(1) && !opening.is_over(2_000) && !opening.is_over(2_000) && opening.is_over(2_000)
        );
    }
}
