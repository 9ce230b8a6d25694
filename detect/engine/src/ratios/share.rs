//! The usual share of an entity's records that are hits, shrunk to that of its peers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use super::{Effects, Past, Prediction, WINDOWS_OF_DAY, Window};
use crate::baseline::{Decayed, kept};
use crate::bits;
use crate::settings::Settings;

/// Whole days that one waits before it counts.
const DELAY_DAYS: i64 = 3;
const HALF_LIFE_DAYS: f64 = 28.0;
/// Records of a day that count: one with a flood in it is one day.
const OF_DAY: f64 = 2_000.0;
/// Records and days from which on an entity speaks for itself.
const SETTLED: (f64, u32) = (200.0, 3);
/// What is assumed where no peers are known: half a hit in a hundred records.
const ASSUMED: (f64, f64) = (0.005, 100.0);
/// Bounds of what peers are worth, in records.
const WEIGHT: (f64, f64) = (50.0, 5_000.0);
/// Hits less likely than this are learnt as the most that are not: ln 1e-4.
const LN_UNUSUAL: f64 = -9.210_340_371_976_182;

/// Hits over records of committed days, decayed; those of the last days wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    seen: Decayed,
    days: u32,
    spread: Spread,
    /// At most `DELAY_DAYS + 1`.
    pending: VecDeque<Day>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Day {
    day: i64,
    hits: u64,
    total: u64,
}

/// The mean share of entities that are known for long, each counting alike, and how many records it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peers {
    #[serde(with = "bits")]
    rate: f64,
    #[serde(with = "bits")]
    weight: f64,
    is_known: bool,
}

impl Default for Peers {
    fn default() -> Peers {
        Peers { rate: ASSUMED.0, weight: ASSUMED.1, is_known: false }
    }
}

impl Share {
    fn commit(&mut self, now: i64) {
        while self.pending.front().is_some_and(|oldest| oldest.day < now.saturating_sub(DELAY_DAYS)) {
            let Some(oldest) = self.pending.pop_front() else { return };
            let next = self.pending.front().map_or(now, |next| next.day);
            let total = oldest.total as f64;
            let share = (OF_DAY / total.max(1.0)).min(1.0);
            self.seen.add(oldest.hits as f64 * share, total * share);
            self.days = self.days.saturating_add(1);
            self.seen.keep(kept(next.saturating_sub(oldest.day) as f64, HALF_LIFE_DAYS));
        }
    }

    /// The most hits, up to those that there were, that are not unusual. At most 64 steps.
    fn winsorised(window: &Window<'_, Self>, expected: &Prediction) -> u64 {
        if expected.ln_p(window.hits, window.total) >= LN_UNUSUAL {
            return window.hits;
        }
        let (mut usual, mut unusual) = (0, window.hits);
        while unusual - usual > 1 {
            let middle = usual + (unusual - usual) / 2;
            if expected.ln_p(middle, window.total) >= LN_UNUSUAL { usual = middle } else { unusual = middle }
        }
        usual
    }
}

impl Past for Share {
    type Peers = Peers;
    type Kept = ();

    fn new() -> Share {
        Share::default()
    }

    fn is_hit(&self, value: u64, _window: i64) -> bool {
        value > 0
    }

    fn keep(_kept: &mut (), _value: u64) {}

    fn carry(_kept: &mut (), _earlier: &()) {}

    fn is_settled(&self) -> bool {
        self.seen.exposure >= SETTLED.0 && self.days >= SETTLED.1
    }

    fn predict(&self, _window: i64, peers: &Peers) -> Option<Prediction> {
        if !(peers.is_known || self.is_settled()) {
            return None;
        }
        let a = self.seen.sum + peers.weight * peers.rate;
        let b = (self.seen.exposure - self.seen.sum).max(0.0) + peers.weight * (1.0 - peers.rate);
        let (a, b) = self.spread.scaled(a, b);
        Some(Prediction { a, b, is_peer: !self.is_settled() })
    }

    fn effects(&self, window: &Window<'_, Self>, expected: &Prediction, _settings: &Settings) -> Effects {
        let ppm = u128::from(window.hits).saturating_mul(1_000_000) / u128::from(window.total.max(1));
        Effects {
            observed: i64::try_from(ppm).unwrap_or(i64::MAX),
            expected: libm::round(expected.rate() * 1e6) as i64,
            is_large: true,
        }
    }

    fn learn(&mut self, window: &Window<'_, Self>, expected: Option<&Prediction>, is_open: bool) {
        let day = window.number.div_euclid(WINDOWS_OF_DAY);
        self.commit(day);
        // By a guess nothing is unusual.
        let hits = expected.map_or(window.hits, |expected| Share::winsorised(window, expected));
        if let Some(expected) = expected.filter(|_| !is_open) {
            self.spread.learn(window.hits, window.total, expected.rate());
        }
        if self.pending.back().is_none_or(|newest| newest.day < day) {
            self.pending.push_back(Day { day, hits: 0, total: 0 });
        }
        if let Some(newest) = self.pending.back_mut() {
            newest.hits = newest.hits.saturating_add(hits);
            newest.total = newest.total.saturating_add(window.total);
        }
    }

    /// The weight is the one at which the spread of shares between entities equals that within one: `p (1 - p) / tau^2 - 1`.
    fn peers<'a>(established: impl Iterator<Item = &'a Share> + Clone) -> Peers {
        let rates = established.map(|one| one.seen.rate(ASSUMED.0, ASSUMED.1));
        let number = rates.clone().count() as f64;
        if number < 2.0 {
            return Peers::default();
        }
        let rate = rates.clone().sum::<f64>() / number;
        let spread = rates.map(|one| (one - rate) * (one - rate)).sum::<f64>() / (number - 1.0);
        let weight = rate * (1.0 - rate) / spread.max(f64::MIN_POSITIVE) - 1.0;
        Peers { rate, weight: weight.max(WEIGHT.0).min(WEIGHT.1), is_known: true }
    }
}
