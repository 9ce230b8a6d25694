//! A day of one tenant's alerts, counted: where what no sink was sent for itself is told of.

use crate::alert::{Severity, State};

/// How many emissions of one kind there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestCount {
    /// The rule.
    pub rule_id: String,
    /// As it was delivered: informational where it was over budget.
    pub severity: Severity,
    /// Where the episode stood.
    pub state: State,
    /// Over the day's budget.
    pub is_over_budget: bool,
    /// At least 1.
    pub count: u64,
}

/// The counts of one day, by receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Whose.
    pub tenant: String,
    /// Origin of the log of alerts that was counted.
    pub log: String,
    /// Its entry up to which was counted.
    pub log_index: u64,
    /// Start of the day, microseconds UTC.
    pub day_start_us: i64,
    /// End of the day, microseconds UTC: not counted any more.
    pub day_end_us: i64,
    /// Each combination once, in the order in which they are to be told.
    pub counts: Vec<DigestCount>,
}

impl Digest {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.sum(|_| true)
    }

    /// The openings among them.
    pub fn opened(&self) -> u64 {
        self.sum(|count| count.state == State::Open)
    }

    /// Those over budget among them.
    pub fn over_budget(&self) -> u64 {
        self.sum(|count| count.is_over_budget)
    }

    fn sum(&self, which: impl Fn(&DigestCount) -> bool) -> u64 {
        let counts = self.counts.iter().filter(|count| which(count)).map(|count| count.count);
        counts.fold(0, u64::saturating_add)
    }
}
