//! The usual values of one entity and their tail, and how well it is known.

use serde::{Deserialize, Serialize};

use super::{Quantiles, Sketch, Tail};
use crate::bounded::Rank;
use crate::judge::Filed;

/// Days with values from which on an entity is one of the fleet.
const ESTABLISHED_DAYS: u32 = 7;
/// Days without a value after which it is forgotten.
const FORGET_DAYS: i64 = 28;
/// Values below which it is forgotten after a day.
const FEW_VALUES: u64 = 5;

/// Learns late (72 h), in measure, and what is larger than usual as the largest that is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learnt {
    values: Quantiles,
    pub filed: Filed,
    number: u64,
    /// The last day that had a value, and how many had.
    last: i64,
    days_active: u32,
    /// Follows from the values.
    #[serde(skip)]
    tail: Option<Tail>,
}

impl Learnt {
    pub fn new() -> Learnt {
        Learnt {
            values: Quantiles::new(1),
            filed: Filed::default(),
            number: 0,
            last: i64::MIN,
            days_active: 0,
            tail: None,
        }
    }

    /// What is larger than usual; none while too little is known.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    pub fn all(&self) -> Sketch {
        self.values.all()
    }

    pub fn is_established(&self) -> bool {
        self.days_active >= ESTABLISHED_DAYS && self.tail.is_some()
    }

    /// One large value opens an episode: a flood of names that have one each must not push out those with a past.
    pub fn rank(&self) -> Rank {
        (self.is_established(), self.number, self.last)
    }

    pub fn is_worth_keeping(&self, day: i64) -> bool {
        let is_recent = |days: i64| self.last >= day.saturating_sub(days);
        is_recent(FORGET_DAYS) && (self.number >= FEW_VALUES || is_recent(1))
    }

    /// Takes a value in, on a day of the engine's clock; what has waited long enough by `block` counts from now on.
    pub fn learn(&mut self, block: i64, day: i64, value: u64) {
        if self.values.is_due(block) {
            let top = self.tail.map(|tail| tail.learnt());
            self.values.commit(block, |_| top);
            self.restored();
        }
        self.number = self.number.saturating_add(1);
        if day > self.last {
            self.days_active = self.days_active.saturating_add(1);
            self.last = day;
        }
        self.values.pending(block).add(value);
    }

    /// Makes what is not in a snapshot.
    pub fn restored(&mut self) {
        self.tail = Tail::of(&self.values.all());
    }
}
