//! What a score is worth: how often such a one came up in the last weeks.
//!
//! Every model is wrong in its tail, and on real counts by factors. A [`Recalibration`] belongs to one detector and peer group.
//! It keeps the raw scores `s = -ln p` of 28 days as integer [`Histogram`]s, one a day; a day counts once it is 72 h past, so that
//! an incident is not its own yardstick. Below the 98th percentile a score's p is its rank, ties counting half; above, the
//! tail is a generalised Pareto law fitted to the excesses. Where one value (an atom of small counts) covers that percentile,
//! the threshold is the end of the atom, and what lies above it is the tail's mass.
//!
//! Verdicts: a score of what a person called true must not be given to [`Recalibration::observe`], or is taken out again while it waits
//! ([`Recalibration::take_out`]); all else must be given.

mod histogram;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::Pareto;
use histogram::{AtLeast, Histogram};

/// Days that a score counts, and whole days before it begins to.
const DAYS: i64 = 28;
const DELAY_DAYS: i64 = 3;
/// Scores below which a pool gives no answer and its parent's is asked.
const SCORES: u64 = 4_000;
/// Share of the scores that the fitted tail is for, at most.
const TAIL: f64 = 0.02;
/// Scores in a tail below which it is taken for exponential.
const FITTED: u64 = 50;
/// Scale of a tail of counts that has too few for a fit: about what rows of retries have.
const SCALE_WIDE: f64 = 10.0;
/// Bounds of the tail's shape: scores of a calibrated model are exponential, and a heavier tail than 1/2 has no variance to
/// fit it by.
const SHAPE: (f64, f64) = (0.0, 0.5);

/// Scores of the last weeks and what follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibration {
    /// By day since 1970: those that count and those that wait, at most `DAYS + DELAY_DAYS + 1`.
    days: BTreeMap<i64, Histogram>,
    /// The newest day seen.
    today: i64,
    /// The sum of those that count; follows from the rest.
    #[serde(skip)]
    pool: Option<Pool>,
}

impl Default for Recalibration {
    fn default() -> Recalibration {
        Recalibration::new()
    }
}

impl Recalibration {
    pub fn new() -> Recalibration {
        Recalibration { days: BTreeMap::new(), today: i64::MIN, pool: None }
    }

    /// Turns to a day: forgets what is too old and takes in what has waited. Call it before the scores of that day are asked
    /// for, and after a snapshot is restored; going back does nothing.
    pub fn turn(&mut self, day: i64) {
        if day <= self.today && self.pool.is_some() {
            return;
        }
        self.today = self.today.max(day);
        let newest = self.today.saturating_sub(DELAY_DAYS + 1);
        self.days = self.days.split_off(&newest.saturating_sub(DAYS - 1));
        self.pool = Some(Pool::new(self.days.range(..=newest).map(|(_, histogram)| histogram)));
    }

    /// Files the score of a day. Days that would not count any more, and those to come, are left out.
    pub fn observe(&mut self, day: i64, score: f64) {
        self.observe_times(day, score, 1);
    }

    /// The same for a score that came so many times.
    pub fn observe_times(&mut self, day: i64, score: f64, times: u64) {
        if day <= self.today && day > self.today.saturating_sub(DAYS + DELAY_DAYS + 1) {
            self.days.entry(day).or_default().add(score, times);
        }
    }

    /// Takes out a score of a day, of what a person called true. One that counts already stays, and one that was never filed is none.
    pub fn take_out(&mut self, day: i64, score: f64) {
        if counts_on(day, self.today) {
            return;
        }
        if let Some(histogram) = self.days.get_mut(&day) {
            histogram.remove(score);
            if histogram.is_empty() {
                self.days.remove(&day);
            }
        }
    }

    /// Whether no score is in it, of any day.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// ln p of a score by the scores that count; none while there are too few of them.
    pub fn ln_p(&self, score: f64) -> Option<f64> {
        self.pool.as_ref().filter(|pool| pool.number >= SCORES).map(|pool| pool.ln_p(score))
    }

    /// The same for scores of counts, where each one more is worth many nats: a few far out make a law that is none, so where the tail has too few
    /// for a fit it is taken for a wide one.
    pub fn ln_p_wide(&self, score: f64) -> Option<f64> {
        let pool = self.pool.as_ref().filter(|pool| pool.number >= SCORES)?;
        if pool.is_fitted || Histogram::cell(score) < pool.tail_cell {
            return Some(pool.ln_p(score));
        }
        Some(pool.ln_mass - (score - pool.threshold).max(0.0) / SCALE_WIDE)
    }

    /// The same by rank alone, `(1 + those at least as high) / (1 + all)`, and by the law only beyond all of them: for an alpha of which a few of the scores
    /// remain, and scores that come in lumps, which no law fits. A sum of surprises is such a one: two in a hundred sessions have a tenth of a nat, and four in a thousand one
    /// strange tool, of six.
    pub fn ln_p_by_rank(&self, score: f64) -> Option<f64> {
        let pool = self.pool.as_ref().filter(|pool| pool.number >= SCORES)?;
        let at_least = pool.at_least.number(Histogram::cell(score));
        let ln_rank = libm::log((at_least as f64 + 1.0) / (pool.number as f64 + 1.0));
        Some(if at_least == 0 { ln_rank.min(pool.ln_p(score)) } else { ln_rank })
    }

    /// Whether the tail of the scores that count is known: what is in it has a p beyond one in their number.
    pub fn is_fitted(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.is_fitted)
    }

    /// The same with another number of scores that there must be, for scores that come once a day and an alpha that few of them reach. Where the
    /// tail is not known, a rank among them, and none for what is beyond all.
    pub fn ln_p_of(&self, score: f64, scores_min: u64) -> Option<f64> {
        let pool = self.pool.as_ref().filter(|pool| pool.number >= scores_min)?;
        if pool.is_fitted { Some(pool.ln_p(score)) } else { pool.ln_rank(score) }
    }
}

/// Whether the scores of a day count on another, and wait no more.
pub(crate) fn counts_on(day: i64, today: i64) -> bool {
    day <= today.saturating_sub(DELAY_DAYS + 1)
}

/// Scores that count, summed over days.
#[derive(Debug, Clone, PartialEq)]
struct Pool {
    at_least: AtLeast,
    number: u64,
    /// The first cell of the tail and the score at which it begins.
    tail_cell: u16,
    threshold: f64,
    ln_mass: f64,
    tail: Pareto,
    /// Whether the tail had enough scores for a law to be fitted to it.
    is_fitted: bool,
}

impl Pool {
    fn new<'a>(days: impl Iterator<Item = &'a Histogram>) -> Pool {
        let mut all = Histogram::default();
        for day in days {
            all.merge(day);
        }
        let number = all.total();
        let tail_cell = all.first_of_tail((number as f64 * TAIL) as u64);
        // The next value after the bulk: between the two lies nothing, and what lies there would be taken for the tail's scale.
        let threshold = Histogram::bottom(all.from(tail_cell).next().map_or(tail_cell, |(cell, _)| cell));
        let excesses: Vec<(f64, u64)> =
            all.from(tail_cell).map(|(cell, count)| (Histogram::middle(cell) - threshold, count)).collect();
        let count = excesses.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        let shape_top = if count < FITTED { SHAPE.0 } else { SHAPE.1 };
        let fitted = Pareto::fit(&excesses, SHAPE.0, shape_top);
        Pool {
            number,
            tail_cell,
            threshold,
            ln_mass: libm::log((count + 1) as f64 / (number + 1) as f64),
            tail: fitted.unwrap_or(Pareto { shape: 0.0, scale: 1.0 }),
            is_fitted: count >= FITTED,
            at_least: AtLeast::of(&all),
        }
    }

    fn ln_p(&self, score: f64) -> f64 {
        let cell = Histogram::cell(score);
        if cell >= self.tail_cell {
            return self.ln_mass + self.tail.ln_sf((score - self.threshold).max(0.0));
        }
        self.ln_rank(score).unwrap_or(0.0)
    }

    /// The rank of a score, ties counting half; none above all of them.
    fn ln_rank(&self, score: f64) -> Option<f64> {
        let cell = Histogram::cell(score);
        let above = self.at_least.number(cell.saturating_add(1));
        let tied = self.at_least.number(cell).saturating_sub(above);
        let rank = (above as f64 + 0.5 * (tied + 1) as f64) / (self.number + 1) as f64;
        (above + tied > 0).then(|| libm::log(rank).min(0.0))
    }
}

#[cfg(test)]
mod tests;
