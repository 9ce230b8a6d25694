//! Counts of an entity in five minutes, held against what is usual for it: the machinery under every rule on a count.
//!
//! - **Buckets** are by event time. One closes once the engine's clock is `lateness_s` past its end; a record for a closed bucket is
//!   late and not counted. Each close judges and teaches every known entity, with 0 where nothing came, in the order of keys.
//!   After a day in which no record came nobody knows what was: such a gap teaches nothing but its last day.
//! - **A score** is `-ln p` of the count under the entity's [`CountBaseline`]. What it is worth says the past of scores
//!   ([`Pools`]); without at least that there is no verdict, and the configured ceilings are what there is.
//! - **Opening**: `p <= budget / tests a day`, the tests of the last seven days averaged, so that by chance alone at most `budget`
//!   episodes open a day, whatever depends on what, if p is calibrated. An open bucket is looked at when its count has grown by
//!   a quarter, so that a burst is told while it lasts; its close looks at every one. Past the budget of a day episodes still open,
//!   informational.
//! - **Extending**: an open episode lives while `p < 0.05`.
//!
//! State: about 3 kB an entity (its baseline), up to 60 kB for each of the first `OWN_POOLS` that have a pool of their own. Beyond
//! `entities_max` those with the fewest records go first, so that a flood of new identities pushes out itself.
//!
//! It cannot see: what grows slowly within the season's bounds, what stays below `count_min`, an entity's first week where its
//! peers have none either, events that never came.

mod known;
mod pools;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::baseline::{Parent, Prediction};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Effect, Signal};
use crate::entity::{Entity, Level};
use crate::record::Event;
use crate::settings::microseconds;
use known::{Known, Tally};
use pools::Pools;

/// Length of a bucket.
pub(crate) const BUCKET_S: i64 = 300;
const BUCKET_US: i64 = BUCKET_S * 1_000_000;
const BUCKETS_OF_DAY: i64 = 86_400 / BUCKET_S;
/// Days whose tests the budget is spread over.
const TEST_DAYS: i64 = 7;
/// p below which a bucket keeps an episode open: ln 0.05.
const LN_EXTENDS: f64 = -2.995_732_273_553_991;
/// How many times what is expected makes an episode severe.
const SEVERE_TIMES: f64 = 20.0;

/// One record in the scope of a rule: whom it is about and whether it counts.
#[derive(Debug)]
pub(crate) struct Occurrence<'a> {
    pub level: Level,
    /// Of the parts.
    pub key: &'a str,
    pub parts: &'a [(&'static str, Option<&'a str>)],
    pub counts: bool,
}

/// How a rule on a count speaks and how severe it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording {
    /// What is counted, in the plural.
    pub noun: &'static str,
    pub severity: Severity,
    /// From [`SEVERE_TIMES`] of what is expected on.
    pub severe: Severity,
}

/// What the counts of a rule are judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judging {
    pub wording: Wording,
    pub count_min: u64,
    pub budget_milli: i64,
}

/// What is known and open of one rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    /// The oldest bucket that is still open, in buckets since 1970; none before the first record.
    next: Option<i64>,
    /// Buckets that have counts and are open.
    open: BTreeMap<i64, BTreeMap<String, Tally>>,
    known: Bounded<Known>,
    parent: Parent,
    pools: Pools,
    /// The day of the last bucket that closed, in days since 1970.
    day: i64,
    /// Entities judged, by day.
    tests: BTreeMap<i64, u64>,
    /// Episodes opened on `day`.
    opened: i64,
    late: u64,
}

/// What a bucket of one entity is worth.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    prediction: Prediction,
    ln_p: f64,
}

impl Counts {
    /// Length of a bucket in microseconds.
    pub const BUCKET_US: i64 = BUCKET_US;

    pub fn new() -> Counts {
        Counts {
            next: None,
            open: BTreeMap::new(),
            known: Bounded::new(),
            parent: Parent::unknown(),
            pools: Pools::new(),
            day: i64::MIN,
            tests: BTreeMap::new(),
            opened: 0,
            late: 0,
        }
    }

    /// Entities forgotten at a cap, and records that came after their bucket had closed.
    pub fn evicted(&self) -> u64 {
        self.known.evicted().saturating_add(self.late)
    }

    /// After a snapshot was read: what follows from the rest.
    pub fn restored(&mut self) {
        self.pools.turn(self.day);
        self.known.each().for_each(|(_, known)| known.turn(self.day));
    }

    /// When the oldest open bucket closes, on the engine's clock; one that ends after the last moment that has a number never does.
    pub fn due_us(&self, lateness_s: i64) -> Option<i64> {
        let end_us = (i128::from(self.next?) + 1) * i128::from(BUCKET_US);
        let due_us = end_us + i128::from(microseconds(lateness_s));
        i64::try_from(due_us.max(i128::from(i64::MIN))).ok()
    }

    /// Takes a record in; a signal where its open bucket is unusual already, or where its entity's episode is open.
    pub fn add(
        &mut self,
        event: &Event<'_>,
        of: &Occurrence<'_>,
        rule: &Judging,
        context: &Context<'_>,
    ) -> Option<Signal> {
        let bucket = event.placed_us.div_euclid(BUCKET_US);
        let reach = microseconds(context.settings.lateness_s).div_euclid(BUCKET_US).saturating_add(1);
        let next = *self.next.get_or_insert(bucket.saturating_sub(reach));
        if bucket < next {
            self.late = self.late.saturating_add(1);
            return None;
        }
        let key = of.key;
        let rank = |key: &str, known: &Known| (context.episodes.is_open(key), known.records, known.last);
        let make = || Known::new(Entity::new(of.level, of.parts));
        let known = self.known.entry(key, context.settings.entities_max, rank, make);
        known.records = known.records.saturating_add(1);
        known.last = known.last.max(bucket);
        if !of.counts {
            return None;
        }
        self.make_room(bucket, key, context.settings.entities_max);
        let tallies = self.open.entry(bucket).or_default();
        // One more lookup than needed on a miss, but no allocation of the key on a hit.
        if !tallies.contains_key(key) {
            tallies.insert(key.to_owned(), Tally::default());
        }
        let tally = tallies.get_mut(key)?;
        tally.add(event);
        let is_open = context.episodes.is_open(key);
        if !tally.is_due(rule.count_min) {
            return is_open.then(|| self.follow(key, bucket)).flatten();
        }
        let Some(verdict) = self.provisional(key, bucket) else {
            return is_open.then(|| self.follow(key, bucket)).flatten();
        };
        let effect = if is_open { Effect::Follow } else { Effect::Open };
        if !is_open && self.ln_alpha(rule).is_none_or(|ln_alpha| verdict.ln_p > ln_alpha) {
            return None;
        }
        let tally = self.open.get(&bucket)?.get(key)?.clone();
        self.signal(key, bucket, &tally, &verdict, effect, rule)
            .map(|signal| self.within_budget(signal, is_open, rule))
    }

    /// Closes the oldest open bucket: signals in the order of their surprise.
    pub fn close(&mut self, now_us: i64, rule: &Judging, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(bucket) = self.next else { return };
        let bucket = self.after_gap(bucket, now_us);
        self.turn(bucket.div_euclid(BUCKETS_OF_DAY));
        self.next = Some(bucket.saturating_add(1));
        let tallies = self.open.remove(&bucket).unwrap_or_default();
        let ln_alpha = self.ln_alpha(rule);
        let mut found: Vec<(f64, &String, Effect)> = Vec::new();
        let verdicts = self.judge(bucket, &tallies);
        for (key, verdict) in &verdicts {
            let Some(tally) = tallies.get(key) else { continue };
            let is_open = context.episodes.is_open(key);
            let opens = tally.count >= rule.count_min && ln_alpha.is_some_and(|alpha| verdict.ln_p <= alpha);
            if opens || is_open && verdict.ln_p <= LN_EXTENDS {
                found.push((verdict.ln_p, key, Effect::Open));
            }
        }
        found.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(other.1)));
        for (_, key, effect) in found {
            let (Some(tally), Some(verdict)) = (tallies.get(key), verdicts.get(key)) else { continue };
            let is_open = context.episodes.is_open(key);
            if let Some(signal) = self.signal(key, bucket, tally, verdict, effect, rule) {
                signals.push(Signal { offending: false, ..self.within_budget(signal, is_open, rule) });
            }
        }
    }

    /// Judges every known entity by its count in `bucket`, and then teaches it. Those with a count, by key.
    fn judge(&mut self, bucket: i64, tallies: &BTreeMap<String, Tally>) -> BTreeMap<String, Verdict> {
        let (day, mut verdicts, mut tests) = (self.day, BTreeMap::new(), 0_u64);
        for (key, known) in self.known.each() {
            let count = tallies.get(key).map_or(0, |tally| tally.count);
            let prediction = known.baseline.predict(bucket, &self.parent);
            let is_judged = prediction.is_settled || self.parent.is_known();
            // Nothing is the least surprising count of all; what exactly it is worth nobody asks.
            let score = if count == 0 { 0.0 } else { -prediction.ln_p(count) };
            if is_judged {
                tests = tests.saturating_add(1);
            }
            if is_judged
                && count > 0
                && let Some(ln_p) = self.pools.ln_p(known.own.as_ref(), &prediction, score)
            {
                verdicts.insert(key.clone(), Verdict { prediction, ln_p });
            }
            known.baseline.learn(bucket, count, &prediction, &self.parent);
            if prediction.is_settled {
                self.pools.observe(day, known.own.as_mut(), &prediction, score);
            }
        }
        let sum = self.tests.entry(day).or_default();
        *sum = sum.saturating_add(tests);
        verdicts
    }

    /// What an open bucket is worth so far. The buckets before it that are open as well are learnt first, in a copy.
    fn provisional(&self, key: &str, bucket: i64) -> Option<Verdict> {
        let known = self.known.get(key)?;
        let mut baseline = known.baseline.clone();
        let count_in = |bucket: i64| Some(self.open.get(&bucket)?.get(key)?.count);
        for before in self.next?..bucket {
            let prediction = baseline.predict(before, &self.parent);
            baseline.learn(before, count_in(before).unwrap_or(0), &prediction, &self.parent);
        }
        let prediction = baseline.predict(bucket, &self.parent);
        if !(prediction.is_settled || self.parent.is_known()) {
            return None;
        }
        let score = -prediction.ln_p(count_in(bucket)?);
        self.pools.ln_p(known.own.as_ref(), &prediction, score).map(|ln_p| Verdict { prediction, ln_p })
    }

    /// The p at or below which an episode opens; none before a whole day of tests.
    fn ln_alpha(&self, rule: &Judging) -> Option<f64> {
        let whole: Vec<u64> =
            self.tests.range(..self.day).map(|(_, tests)| *tests).filter(|tests| *tests > 0).collect();
        let days = u32::try_from(whole.len()).ok().filter(|days| *days > 0)?;
        let mean =
            whole.iter().fold(0, |sum: u64, tests| sum.saturating_add(*tests)) as f64 / f64::from(days);
        Some(libm::log(rule.budget_milli as f64 / 1_000.0 / mean).min(LN_EXTENDS))
    }

    fn turn(&mut self, day: i64) {
        if day <= self.day {
            return;
        }
        self.day = day;
        self.opened = 0;
        self.tests = self.tests.split_off(&day.saturating_sub(TEST_DAYS));
        self.pools.turn(day);
        let granted = self.known.values().filter(|known| known.own.is_some()).count();
        self.pools.granted(granted);
        self.parent = Parent::of(self.known.values().map(|known| &known.baseline), &Parent::unknown());
        for (_, known) in self.known.each() {
            self.pools.grant(known);
            known.turn(day);
        }
    }

    /// The bucket to be closed: where the clock went on for more than a day and nothing came, the first of its last day.
    fn after_gap(&self, bucket: i64, now_us: i64) -> i64 {
        let last_day = now_us.div_euclid(BUCKET_US).saturating_sub(BUCKETS_OF_DAY);
        let counted = self.open.keys().next().copied().unwrap_or(i64::MAX);
        bucket.max(last_day.min(counted))
    }

    /// A flood of identities fills a bucket with entities that are forgotten again: these make room.
    fn make_room(&mut self, bucket: i64, key: &str, entities_max: usize) {
        let Some(tallies) = self.open.get_mut(&bucket) else { return };
        if tallies.len() >= entities_max.saturating_mul(2) && !tallies.contains_key(key) {
            tallies.retain(|key, _| self.known.get(key).is_some());
        }
    }

    /// Past the budget of a day an episode still opens, as information.
    fn within_budget(&mut self, mut signal: Signal, is_open: bool, rule: &Judging) -> Signal {
        if !is_open {
            self.opened = self.opened.saturating_add(1);
            if self.opened.saturating_mul(1_000) > rule.budget_milli.max(1_000) {
                signal.severity = Severity::Informational;
                signal.detail.push_str("; over the budget of this day");
            }
        }
        signal
    }

    /// One more record of an open episode.
    fn follow(&self, key: &str, bucket: i64) -> Option<Signal> {
        let (known, tally) = (self.known.get(key)?, self.open.get(&bucket)?.get(key)?);
        Some(Signal {
            entity: known.entity.clone(),
            effect: Effect::Follow,
            offending: true,
            severity: Severity::Informational,
            confidence: Confidence::Low,
            observed: None,
            expected: None,
            seen_us: tally.last_us,
            detail: String::new(),
            opening_evidence: Vec::new(),
            opening_count: 0,
            opening_us: tally.first_us,
            bucket: None,
        })
    }

    fn signal(
        &self,
        key: &str,
        bucket: i64,
        tally: &Tally,
        verdict: &Verdict,
        effect: Effect,
        rule: &Judging,
    ) -> Option<Signal> {
        let entity = self.known.get(key)?.entity.clone();
        let Prediction { mean, is_parent, .. } = verdict.prediction;
        let times = tally.count as f64 / mean;
        let severity = if times >= SEVERE_TIMES { rule.wording.severe } else { rule.wording.severity };
        Some(Signal {
            entity,
            effect,
            offending: effect == Effect::Follow,
            severity,
            confidence: if is_parent { Confidence::Low } else { Confidence::Medium },
            observed: Some(i64::try_from(tally.count).unwrap_or(i64::MAX)),
            expected: Some(libm::round(mean) as i64),
            seen_us: tally.last_us,
            detail: format!(
                "{} {} in 5 minutes, about {mean:.2} expected by {}, p = {}; at most {} a day open by chance",
                tally.count,
                rule.wording.noun,
                if is_parent { "its peers" } else { "its own past" },
                probability(verdict.ln_p),
                rule.budget_milli as f64 / 1_000.0,
            ),
            opening_evidence: tally.evidence.clone(),
            opening_count: i64::try_from(tally.count).unwrap_or(i64::MAX),
            opening_us: tally.first_us,
            bucket: Some(Bucket {
                start_us: bucket.saturating_mul(BUCKET_US),
                environment: tally.environment.clone(),
                baseline: if is_parent { "peer" } else { "entity" },
            }),
        })
    }
}

/// A probability that may be too small for a number, with two digits.
fn probability(ln_p: f64) -> String {
    let power = libm::floor(ln_p / std::f64::consts::LN_10);
    let digits = libm::exp(ln_p - power * std::f64::consts::LN_10);
    format!("{digits:.1}e{power:.0}")
}
