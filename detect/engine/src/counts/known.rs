//! What is remembered of one entity, and of its open buckets.

use serde::{Deserialize, Serialize};

use super::BUCKET_S;
use crate::baseline::CountBaseline;
use crate::entity::{Entity, bounded};
use crate::recalibration::Recalibration;
use crate::record::Event;

/// Log indices kept of a bucket, the first ones.
const EVIDENCE_MAX: usize = schemas::limits::ENGINE_EVIDENCE_MAX;

/// An entity with its baseline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub entity: Entity,
    pub baseline: CountBaseline,
    /// Its own past scores, where it has been granted a pool.
    pub own: Option<Recalibration>,
    /// Records in scope so far, and the last bucket that had one: what it is worth keeping.
    pub records: u64,
    pub last: i64,
}

impl Known {
    pub fn new(entity: Entity) -> Known {
        Known { entity, baseline: CountBaseline::new(BUCKET_S), own: None, records: 0, last: i64::MIN }
    }

    pub fn turn(&mut self, day: i64) {
        if let Some(own) = &mut self.own {
            own.turn(day);
        }
    }
}

/// Records of one entity that count, in one open bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tally {
    pub count: u64,
    /// The count at which it is looked at next.
    check_at: u64,
    pub first_us: i64,
    pub last_us: i64,
    /// Log indices, ascending.
    pub evidence: Vec<i64>,
    /// Of its first record.
    pub environment: Option<String>,
}

impl Tally {
    pub fn add(&mut self, event: &Event<'_>) {
        if self.count == 0 {
            (self.first_us, self.last_us) = (event.event_us, event.event_us);
            self.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        self.count = self.count.saturating_add(1);
        self.first_us = self.first_us.min(event.event_us);
        self.last_us = self.last_us.max(event.event_us);
        if self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push(event.record.index);
        }
    }

    /// Whether it is to be looked at now: at `count_min`, and whenever it has grown by a quarter since.
    pub fn is_due(&mut self, count_min: u64) -> bool {
        if self.count < self.check_at.max(count_min) {
            return false;
        }
        self.check_at = self.count.saturating_add((self.count / 4).max(1));
        true
    }
}
