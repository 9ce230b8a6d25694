//! What is remembered of one entity, and of its open windows.

use serde::{Deserialize, Serialize};

use super::{Past, WINDOWS_OF_DAY};
use crate::entity::{Entity, bounded};
use crate::judge::Filed;
use crate::record::Event;

/// Log indices kept of a window, the first ones.
const EVIDENCE_MAX: usize = schemas::limits::ENGINE_EVIDENCE_MAX;
/// Days with records from which on an entity is one of the fleet.
const ESTABLISHED_DAYS: u32 = 7;

/// An entity with its past.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub(super) struct Known<P: Past> {
    pub entity: Entity,
    pub past: P,
    pub filed: Filed,
    /// Records so far, the last window that had one, and the days that had any: what it is worth keeping.
    pub records: u64,
    pub last: i64,
    days_active: u32,
}

impl<P: Past> Known<P> {
    pub fn new(entity: Entity) -> Known<P> {
        Known { entity, past: P::new(), filed: Filed::default(), records: 0, last: i64::MIN, days_active: 0 }
    }

    /// A record came in `window`.
    pub fn touch(&mut self, window: i64) {
        self.records = self.records.saturating_add(1);
        if window.div_euclid(WINDOWS_OF_DAY) > self.last.div_euclid(WINDOWS_OF_DAY) {
            self.days_active = self.days_active.saturating_add(1);
        }
        self.last = self.last.max(window);
    }

    /// Whether it was there often enough to speak for others. Time alone makes nobody known.
    pub fn is_established(&self) -> bool {
        self.days_active >= ESTABLISHED_DAYS && self.past.is_settled()
    }

    /// Whether anything came of it since so many days.
    pub fn is_recent(&self, day: i64, days: i64) -> bool {
        self.last.div_euclid(WINDOWS_OF_DAY) >= day.saturating_sub(days)
    }
}

/// Records of one entity in one open window.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub(super) struct Tally<P: Past> {
    pub hits: u64,
    pub total: u64,
    /// The window of its first record, where it was carried on.
    pub since: i64,
    /// Event times of the first and last hit.
    pub first_us: i64,
    pub last_us: i64,
    /// Log indices of hits, ascending.
    pub evidence: Vec<i64>,
    /// Of the first hit.
    pub environment: Option<String>,
    pub kept: P::Kept,
}

impl<P: Past> Default for Tally<P> {
    fn default() -> Tally<P> {
        Tally {
            hits: 0,
            total: 0,
            since: 0,
            first_us: 0,
            last_us: 0,
            evidence: Vec::new(),
            environment: None,
            kept: P::Kept::default(),
        }
    }
}

impl<P: Past> Tally<P> {
    pub fn add(&mut self, event: &Event<'_>, window: i64, value: u64, is_hit: bool) {
        if self.total == 0 {
            self.since = window;
        }
        self.total = self.total.saturating_add(1);
        P::keep(&mut self.kept, value);
        if !is_hit {
            return;
        }
        if self.hits == 0 {
            (self.first_us, self.last_us) = (event.event_us, event.event_us);
            self.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        self.hits = self.hits.saturating_add(1);
        self.first_us = self.first_us.min(event.event_us);
        self.last_us = self.last_us.max(event.event_us);
        if self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push(event.record.index);
        }
    }

    /// Takes in what an earlier window of the entity had.
    pub fn carry(&mut self, earlier: Tally<P>) {
        P::carry(&mut self.kept, &earlier.kept);
        self.since = earlier.since;
        self.total = self.total.saturating_add(earlier.total);
        if earlier.hits == 0 {
            return;
        }
        if self.hits == 0 {
            (self.first_us, self.last_us) = (earlier.first_us, earlier.last_us);
        }
        self.hits = self.hits.saturating_add(earlier.hits);
        self.first_us = self.first_us.min(earlier.first_us);
        self.last_us = self.last_us.max(earlier.last_us);
        self.evidence.extend(earlier.evidence);
        self.evidence.sort_unstable();
        self.evidence.truncate(EVIDENCE_MAX);
        self.environment = earlier.environment;
    }
}
