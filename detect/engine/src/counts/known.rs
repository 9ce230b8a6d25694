//! What is remembered of one entity, and of its open buckets.

use serde::{Deserialize, Serialize};

use super::pools::{Pools, Size};
use super::{BUCKET_S, BUCKETS_OF_DAY};
use crate::baseline::{CountBaseline, Parent, Prediction};
use crate::entity::{Entity, bounded};
use crate::filings::Told;
use crate::recalibration::Recalibration;
use crate::record::Event;

/// Log indices kept of a bucket, the first ones.
const EVIDENCE_MAX: usize = schemas::limits::ENGINE_EVIDENCE_MAX;

/// Days with records from which on an entity is one of the fleet.
const ESTABLISHED_DAYS: u32 = 7;

/// Closes in which each catches up once.
pub(super) const PHASES: u8 = 12;

/// The same in every process and for every state (FNV-1a).
fn phase(key: &str) -> u8 {
    let hash = key.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    // Below PHASES.
    ((hash >> 32) % u64::from(PHASES)) as u8
}

/// An entity with its baseline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub entity: Entity,
    pub baseline: CountBaseline,
    /// Its own past scores, where it has been granted a pool.
    pub own: Option<Recalibration>,
    /// The first bucket that it has not learnt. Those in which nothing came are learnt together, when it is next asked about or a day ends.
    pub unlearnt: i64,
    /// In which of [`PHASES`] closes it catches up; follows from its key.
    pub phase: u8,
    /// Whether a bucket asks it.
    pub is_asked: bool,
    /// Records in scope so far, the last bucket that had one, and the days that had any: what it is worth keeping.
    pub records: u64,
    pub last: i64,
    pub days_active: u32,
}

impl Known {
    /// One that begins in a bucket.
    pub fn new(entity: Entity, unlearnt: i64) -> Known {
        Known {
            phase: phase(&entity.key),
            entity,
            baseline: CountBaseline::new(BUCKET_S),
            own: None,
            unlearnt,
            is_asked: false,
            records: 0,
            last: i64::MIN,
            days_active: 0,
        }
    }

    /// Learns that nothing came from the last bucket that it knows of until `bucket`: the same as learning each when it closed, since neither
    /// the parent nor what a score is worth changes within a day.
    pub fn catch_up(&mut self, bucket: i64, day: i64, parent: &Parent, pools: &mut Pools) {
        let Known { baseline, own, unlearnt, .. } = self;
        let mut filed: Option<(Size, u64)> = None;
        let mut file = |filed: Option<(Size, u64)>| {
            if let Some((size, times)) = filed {
                // Nothing is the least surprising count of all; what exactly it is worth nobody asks.
                pools.observe(day, own.as_mut(), size, 0.0, times);
            }
        };
        baseline.learn_idle(*unlearnt..bucket, parent, |prediction| {
            let size = prediction.is_settled.then(|| Size::of(prediction));
            match (size, &mut filed) {
                (Some(size), Some((of, times))) if size == *of => *times = times.saturating_add(1),
                (size, filed) => file(std::mem::replace(filed, size.map(|size| (size, 1)))),
            }
        });
        file(filed);
        *unlearnt = bucket.max(*unlearnt);
    }

    /// Learns a bucket that closed with a score, after all before it.
    pub fn learn(&mut self, bucket: i64, count: u64, prediction: &Prediction, parent: &Parent) {
        self.baseline.learn(bucket, count, prediction, parent);
        self.unlearnt = bucket.saturating_add(1);
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

    /// Whether buckets ask it from now on and did not before: there is something to hold it against.
    pub fn begins_to_be_asked(&mut self, parent: &Parent) -> bool {
        let begins = !self.is_asked && (self.baseline.is_settled() || parent.is_known());
        self.is_asked |= begins;
        begins
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
    /// When a record of it was told last.
    pub told_in: Told,
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
