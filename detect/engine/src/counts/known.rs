//! What is remembered of one entity, and of its open buckets.

use serde::{Deserialize, Serialize};

use super::{BUCKET_S, BUCKETS_OF_DAY};
use crate::baseline::CountBaseline;
use crate::entity::{Entity, bounded};
use crate::recalibration::Recalibration;
use crate::record::Event;

/// Log indices kept of a bucket, the first ones.
const EVIDENCE_MAX: usize = schemas::limits::ENGINE_EVIDENCE_MAX;

/// Days with records from which on an entity is one of the fleet.
const ESTABLISHED_DAYS: u32 = 7;

/// An entity with its baseline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub entity: Entity,
    pub baseline: CountBaseline,
    /// Its own past scores, where it has been granted a pool.
    pub own: Option<Recalibration>,
    /// Records in scope so far, the last bucket that had one, and the days that had any: what it is worth keeping.
    pub records: u64,
    pub last: i64,
    pub days_active: u32,
}

impl Known {
    pub fn new(entity: Entity) -> Known {
        Known {
            entity,
            baseline: CountBaseline::new(BUCKET_S),
            own: None,
            records: 0,
            last: i64::MIN,
            days_active: 0,
        }
    }

    /// A record came in `bucket`.
    pub fn touch(&mut self, bucket: i64) {
        self.records = self.records.saturating_add(1);
        if bucket.div_euclid(BUCKETS_OF_DAY) > self.last.div_euclid(BUCKETS_OF_DAY) {
            self.days_active = self.days_active.saturating_add(1);
        }
        self.last = self.last.max(bucket);
    }

    /// Whether it was there often enough to speak for others, and to have a pool of its own. Time alone makes nobody known.
    pub fn is_established(&self) -> bool {
        self.days_active >= ESTABLISHED_DAYS && self.baseline.is_settled()
    }

    /// Whether anything came of it since so many days.
    pub fn is_recent(&self, day: i64, days: i64) -> bool {
        self.last.div_euclid(BUCKETS_OF_DAY) >= day.saturating_sub(days)
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
    /// Those of them that came after their own bucket had closed.
    pub late: u64,
    /// Whether an episode was opened for this bucket: its id is the bucket's, and is given once.
    pub told: bool,
    /// How many episodes of this bucket a person closed.
    pub closed: u32,
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
    /// Takes a record in; one of an earlier bucket if `is_late`.
    pub fn add(&mut self, event: &Event<'_>, is_late: bool) {
        self.late = self.late.saturating_add(u64::from(is_late));
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

    /// A person closed its episode: what more comes is told as another.
    pub fn called_benign(&mut self) {
        self.closed = self.closed.saturating_add(u32::from(std::mem::take(&mut self.told)));
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
