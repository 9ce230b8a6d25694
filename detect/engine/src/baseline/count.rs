//! The baseline of one entity and metric.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::decayed::{Decayed, kept};
use super::parent::Parent;
use super::season::{Factors, Season};
use crate::kernel::ln_nb_mid;

const HOUR_SECONDS: i64 = 3_600;
const DAY_HOURS: f64 = 24.0;
/// Half-lives of the levels.
const FAST_DAYS: f64 = 7.0;
const SLOW_DAYS: f64 = 75.0;
/// Half-life of the recent level in buckets, and of how many buckets its 1 is worth.
const RECENT_BUCKETS: f64 = 6.0;
const RECENT_PRIOR: f64 = 1.0;
/// What the recent level may make of what is usual: silence of an hour does not make the next call a surprise, and a ramp is not followed
/// to wherever it goes.
const RECENT: (f64, f64) = (0.5, 8.0);
/// How long an hour waits before the slow sums take it in: what a person finds within that time was never learnt.
const DELAY_HOURS: i64 = 72;
/// What the fast level may make of the slow one.
const RATIO: (f64, f64) = (0.5, 2.0);
/// Counts less likely than this are learnt as the largest that is not: ln 1e-4.
const LN_UNUSUAL: f64 = -9.210_340_371_976_182;
/// What is at least expected of a bucket, so that a first event is unlikely and not impossible.
const LEVEL_LEAST: f64 = 1e-4;
/// Bounds of 1/r.
const DISPERSION: (f64, f64) = (1e-4, 100.0);
/// Committed days from which on a score says something of the model and not of its youth.
const SETTLED_DAYS: f64 = 3.0;
/// Days of an entity that its parent's dispersion is worth.
const DISPERSION_DAYS: f64 = 1.0;

/// A negative binomial: what is expected of a bucket before it closes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    pub mean: f64,
    /// The effective shape: that of the counts, widened by what is not known of the mean.
    pub shape: f64,
    /// Whether the level is more the parent's than the entity's.
    pub is_parent: bool,
    /// Whether the baseline has seen enough for the score to be one that later scores are held against.
    pub is_settled: bool,
    /// The season's factor of its hour, which costs more than all else.
    factor: f64,
}

impl Prediction {
    /// Logarithm of the upper mid-p of a count.
    pub fn ln_p(&self, count: u64) -> f64 {
        ln_nb_mid(count, self.shape, self.mean).ln_p
    }

    /// The largest count that is not unusual, at most `count`. At most 64 steps.
    fn winsorised(&self, count: u64) -> u64 {
        // Nothing is never unusually much.
        if count == 0 || self.ln_p(count) >= LN_UNUSUAL {
            return count;
        }
        // The first is usual, the last is not: a count below its mean has a mid-p far above the limit.
        let (mut usual, mut unusual) = (0, count);
        while unusual - usual > 1 {
            let middle = usual + (unusual - usual) / 2;
            if self.ln_p(middle) >= LN_UNUSUAL { usual = middle } else { unusual = middle }
        }
        usual
    }
}

/// An hour that waits to be committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hour {
    /// Since 1970.
    hour: i64,
    /// Winsorised counts, and buckets that closed.
    counts: Decayed,
    /// Sum of `(x - mu)^2 - mu`, and of `mu^2` as exposure.
    errors: Decayed,
}

/// See the module documentation. Buckets must come in order; those that never come have no exposure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountBaseline {
    bucket_seconds: i64,
    /// The last bucket that closed.
    last: Option<i64>,
    /// Winsorised counts over buckets, the season taken out of the buckets.
    fast: Decayed,
    slow: Decayed,
    /// Counts as they were, over what was expected of them without this level.
    recent: Decayed,
    errors: Decayed,
    season: Season,
    /// At most [`DELAY_HOURS`] and one.
    pending: VecDeque<Hour>,
}

impl CountBaseline {
    /// A baseline of buckets of that length, from a second to an hour.
    pub fn new(bucket_seconds: i64) -> CountBaseline {
        CountBaseline {
            bucket_seconds: bucket_seconds.clamp(1, HOUR_SECONDS),
            last: None,
            fast: Decayed::default(),
            slow: Decayed::default(),
            recent: Decayed::default(),
            errors: Decayed::default(),
            season: Season::new(),
            pending: VecDeque::new(),
        }
    }

    /// What is expected of a bucket, counted from 1970.
    pub fn predict(&self, bucket: i64, parent: &Parent) -> Prediction {
        self.predict_by(self.factors(parent).at(self.hour(bucket)), parent)
    }

    fn predict_by(&self, factor: f64, parent: &Parent) -> Prediction {
        let usual = self.usual_by(factor, parent);
        let recent = self.recent.rate(1.0, RECENT_PRIOR * usual).max(RECENT.0).min(RECENT.1);
        self.around((usual * recent).max(LEVEL_LEAST), factor, parent)
    }

    /// What is expected of a bucket whatever the last half hour was like: what ends an episode, which would end itself if it were
    /// what it is held against.
    pub fn predict_usual(&self, bucket: i64, parent: &Parent) -> Prediction {
        let factor = self.factors(parent).at(self.hour(bucket));
        self.around(self.usual_by(factor, parent), factor, parent)
    }

    fn around(&self, mean: f64, factor: f64, parent: &Parent) -> Prediction {
        let dispersion = self.dispersion(parent);
        let seen = self.slow.exposure.max(self.fast.exposure);
        let unknown = (1.0 + dispersion) * (1.0 / mean + dispersion) / (seen + parent.weight).max(1.0);
        Prediction {
            mean,
            shape: 1.0 / (dispersion + unknown),
            is_parent: seen < parent.weight,
            is_settled: self.is_settled(),
            factor,
        }
    }

    /// Whether its scores say something of the model and not of its youth.
    pub fn is_settled(&self) -> bool {
        self.days_committed() >= SETTLED_DAYS
    }

    /// Level times season, whatever the last hour was like.
    fn usual_by(&self, factor: f64, parent: &Parent) -> f64 {
        (self.level(parent) * self.ratio(parent) * factor).max(LEVEL_LEAST)
    }

    /// Learns a bucket that closed with `count`, of which `prediction` was expected. One that is not after the last is
    /// left out.
    pub fn learn(&mut self, bucket: i64, count: u64, prediction: &Prediction, parent: &Parent) {
        let Some(steps) = self.steps(bucket) else { return };
        self.learn_after(self.shares(steps), bucket, count, prediction, parent);
    }

    /// The same as predicting each of these buckets and learning that nothing came in it, an hour's season being looked up once.
    pub fn learn_idle(
        &mut self,
        buckets: std::ops::Range<i64>,
        parent: &Parent,
        mut each: impl FnMut(&Prediction),
    ) {
        let one = self.shares(1);
        let mut same: Option<(i64, f64)> = None;
        for bucket in buckets {
            let Some(steps) = self.steps(bucket) else { continue };
            let hour = self.hour(bucket);
            // Before a day is committed the season leans on the fast level, which moves.
            let known = same.filter(|(of, _)| *of == hour && self.days_committed() >= 1.0);
            let factor = known.map_or_else(|| self.factors(parent).at(hour), |(_, factor)| factor);
            let prediction = self.predict_by(factor, parent);
            each(&prediction);
            let shares = if steps == 1 { one } else { self.shares(steps) };
            same = Some((hour, self.learn_after(shares, bucket, 0, &prediction, parent)));
        }
    }

    /// Buckets since the last one, 0 if there was none; none if that is later.
    fn steps(&self, bucket: i64) -> Option<i64> {
        self.last.map_or(Some(0), |last| Some(bucket.saturating_sub(last)).filter(|steps| *steps > 0))
    }

    /// What so many buckets leave of the fast and of the recent level.
    fn shares(&self, steps: i64) -> (f64, f64) {
        let steps = steps as f64;
        (kept(steps, FAST_DAYS * self.buckets_of_day()), kept(steps, RECENT_BUCKETS))
    }

    /// The season's factor by then.
    fn learn_after(
        &mut self,
        (fast, recent): (f64, f64),
        bucket: i64,
        count: u64,
        prediction: &Prediction,
        parent: &Parent,
    ) -> f64 {
        let hour = self.hour(bucket);
        let is_changed = self.commit(hour, parent);
        // What is expected in the first day is a guess, and by a guess nothing is unusual.
        let is_guess = self.fast.exposure + parent.weight < self.buckets_of_day();
        let x = if is_guess { count } else { prediction.winsorised(count) } as f64;
        self.fast.keep(fast);
        self.recent.keep(recent);
        self.last = Some(bucket);
        // Before a day is committed the season leans on the fast level, which has just moved.
        let is_same = !is_changed && self.days_committed() >= 1.0;
        let factor = if is_same { prediction.factor } else { self.factors(parent).at(hour) };
        self.recent.add(count as f64, self.usual_by(factor, parent));
        self.fast.add(x, factor);
        if self.pending.back().is_none_or(|newest| newest.hour < hour) {
            self.pending.push_back(Hour { hour, counts: Decayed::default(), errors: Decayed::default() });
        }
        if let Some(newest) = self.pending.back_mut() {
            let error = x - prediction.mean;
            newest.counts.add(x, 1.0);
            newest.errors.add(error * error - prediction.mean, prediction.mean * prediction.mean);
        }
        factor
    }

    /// Moves hours that have waited long enough into the slow sums, oldest first; whether there were any.
    fn commit(&mut self, now: i64, parent: &Parent) -> bool {
        let mut is_changed = false;
        while let Some(oldest) = self.pending.front()
            && oldest.hour < now.saturating_sub(DELAY_HOURS)
        {
            let Some(oldest) = self.pending.pop_front() else { break };
            is_changed = true;
            let next = self.pending.front().map_or(now, |next| next.hour);
            let (level, factors) = (self.level(parent), self.factors(parent));
            let Decayed { sum, exposure } = oldest.counts;
            self.season.add(oldest.hour, sum, level * exposure, &factors);
            self.slow.add(sum, factors.at(oldest.hour) * exposure);
            self.errors.add(oldest.errors.sum, oldest.errors.exposure);
            let share = kept(next.saturating_sub(oldest.hour) as f64, SLOW_DAYS * DAY_HOURS);
            self.slow.keep(share);
            self.errors.keep(share);
            self.season.keep(share);
        }
        is_changed
    }

    fn hour(&self, bucket: i64) -> i64 {
        bucket.saturating_mul(self.bucket_seconds).div_euclid(HOUR_SECONDS)
    }

    pub(super) fn buckets_of_day(&self) -> f64 {
        DAY_HOURS * HOUR_SECONDS as f64 / self.bucket_seconds as f64
    }

    /// Days that the slow level rests on.
    pub(super) fn days_committed(&self) -> f64 {
        self.slow.exposure / self.buckets_of_day()
    }

    /// The slow level; the fast one until a day is committed.
    pub(super) fn level(&self, parent: &Parent) -> f64 {
        let of = if self.days_committed() >= 1.0 { &self.slow } else { &self.fast };
        of.rate(parent.level, parent.weight).max(LEVEL_LEAST)
    }

    fn ratio(&self, parent: &Parent) -> f64 {
        let level = self.level(parent);
        // Half a day of the slow level, so that a ratio of nothing is 1.
        let fast = self.fast.rate(level, 0.5 * self.buckets_of_day());
        (fast / level).max(RATIO.0).min(RATIO.1)
    }

    pub(super) fn dispersion(&self, parent: &Parent) -> f64 {
        let level = self.level(parent);
        let weight = DISPERSION_DAYS * self.buckets_of_day() * level * level;
        self.errors.rate(parent.dispersion, weight).max(DISPERSION.0).min(DISPERSION.1)
    }

    pub(super) fn factors(&self, parent: &Parent) -> Factors {
        let hourly = self.level(parent) * self.buckets_of_day() / DAY_HOURS;
        self.season.factors(hourly, &parent.factors)
    }
}

#[cfg(test)]
mod tests;
