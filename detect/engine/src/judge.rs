//! What the scores of a rule are worth, and how improbable one must be to open an episode.
//!
//! The past scores of all entities of the rule are one pool. An entity files at most [`SCORES_OF_DAY`] a day, so that no busy one is
//! the yardstick of all, and only those that are known for long do. Known ones and newcomers are asked apart, each with half the budget: a flood of new
//! names makes more tests, and blunts the rule for new names alone.

use serde::{Deserialize, Serialize};

use crate::detector::Context;
use crate::filings::{Confirmed, Filing, Filings, Told};
use crate::opening::{LN_ALPHA_TOP, Opening};
use crate::recalibration::Recalibration;

/// Scores that an entity files a day.
const SCORES_OF_DAY: u32 = 300;
/// Tests that count for it: beyond, it floods, and would blunt the rule for others.
const TESTS_OF_DAY: u32 = 100_000;
/// A score of more is as good as this one.
const SCORE_TOP: f64 = 10_000.0;

/// How many times the p at which an episode opens one may have that keeps it open.
const LN_NEAR: f64 = 2.0 * std::f64::consts::LN_2;

/// The p at or below which a single thing (a record, a session) keeps an episode open: near what opens one. With a fixed one of 0.05 an
/// entity that does twenty things in the quiet time keeps its episode open for ever, and what comes next is told nobody. By this
/// one all things of the tenant together keep one open by chance a few times a day at most, however many they are.
pub(crate) fn ln_extends(ln_alpha: Option<f64>) -> f64 {
    ln_alpha.map_or(f64::NEG_INFINITY, |ln_alpha| (ln_alpha + LN_NEAR).min(LN_ALPHA_TOP))
}

/// Scores and tests of one rule in one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judge {
    scores: Recalibration,
    /// Scores of what was told, while they wait.
    told: Filings<()>,
    known: Opening,
    newcomers: Opening,
}

/// How many tests an entity has had on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filed {
    day: i64,
    tests: u32,
}

impl Filed {
    /// The number of one more test of that day, from 1.
    fn take(&mut self, day: i64) -> u32 {
        if self.day != day {
            *self = Filed { day, tests: 0 };
        }
        self.tests = self.tests.saturating_add(1);
        self.tests
    }
}

impl Judge {
    pub fn new() -> Judge {
        Judge {
            scores: Recalibration::new(),
            told: Filings::new(),
            known: Opening::new(),
            newcomers: Opening::new(),
        }
    }

    /// After a snapshot was read: what follows from the rest.
    pub fn restored(&mut self) {
        self.scores.turn(self.known.day());
    }

    pub fn day(&self) -> i64 {
        self.known.day()
    }

    /// Turns to a day; false, and nothing done, where that is no later one.
    pub fn turn(&mut self, day: i64) -> bool {
        if !self.known.turn(day) {
            return false;
        }
        self.newcomers.turn(day);
        self.scores.turn(day);
        self.told.turn(day);
        true
    }

    /// A score was asked for; one of a known entity is what later ones are held against, and is given back.
    pub fn judged(&mut self, score: f64, is_known: bool, filed: &mut Filed) -> Option<f64> {
        let (day, score) = (self.day(), score.min(SCORE_TOP));
        let number = self.asked(is_known, filed);
        let is_filed = is_known && number <= SCORES_OF_DAY;
        if is_filed {
            self.scores.observe(day, score);
        }
        is_filed.then_some(score)
    }

    /// The same of what a person called true: a test, and nothing that others are held against. Its number of the entity's day.
    pub fn asked(&mut self, is_known: bool, filed: &mut Filed) -> u32 {
        let number = filed.take(self.day());
        if number <= TESTS_OF_DAY {
            self.opening(is_known).tested(1);
        }
        number
    }

    /// What had that score, if it was filed today, is told now.
    pub fn tell(&mut self, key: &str, filed: Option<f64>, context: &Context<'_>) {
        let mut told = Told::default();
        told.tell(key, false, context);
        if let Some(score) = filed {
            self.told.file(key, told, self.day(), score, ());
        }
    }

    /// Takes out what waits of an episode that a person called true, and gives it back.
    pub fn called_true(&mut self, episode: &Confirmed<'_>) -> Vec<Filing<()>> {
        let taken = self.told.take(episode);
        taken.iter().for_each(|filing| self.scores.take_out(filing.day, filing.score));
        taken
    }

    /// ln p of a score; none while too few are known.
    pub fn ln_p(&self, score: f64) -> Option<f64> {
        self.scores.ln_p(score.min(SCORE_TOP))
    }

    /// The same for a rule that comes to thousands of scores in months if ever: until then what the model says, ten times as
    /// likely. Its alpha is coarse, and there a model is wrong by less than that.
    pub fn ln_p_or_raw(&self, score: f64) -> f64 {
        self.ln_p(score).unwrap_or((std::f64::consts::LN_10 - score).min(0.0))
    }

    /// The p at or below which an episode opens.
    pub fn ln_alpha(&self, is_known: bool, budget_milli: i64) -> Option<f64> {
        let opening = if is_known { &self.known } else { &self.newcomers };
        // Nobody has known newcomers before the first: what the known are held to is what there is.
        let ln_alpha = |of: &Opening| of.ln_alpha((budget_milli / 2).max(1));
        ln_alpha(opening).or_else(|| ln_alpha(&self.known))
    }

    /// Notes that an episode opens, and says whether that is more than the day's budget.
    pub fn is_over(&mut self, is_known: bool, budget_milli: i64) -> bool {
        self.opening(is_known).is_over((budget_milli / 2).max(1))
    }

    fn opening(&mut self, is_known: bool) -> &mut Opening {
        if is_known { &mut self.known } else { &mut self.newcomers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_entity_files_no_more_than_its_share() {
        let (mut judge, mut busy) = (Judge::new(), Filed::default());
        judge.turn(1);
        (0..300_000).for_each(|_| {
            judge.judged(9.0, true, &mut busy);
        });
        judge.turn(2);
        let alpha = judge.ln_alpha(true, 500).unwrap();
        assert!((alpha - libm::log(0.25 / 100_000.0)).abs() < 1e-12, "{alpha}");
        judge.turn(5);
        assert_eq!(judge.ln_p(9.0), None, "300 scores are too few, 300,000 would not be");
    }

    #[test]
    fn a_flood_of_newcomers_blunts_newcomers_alone() {
        let mut judge = Judge::new();
        judge.turn(1);
        (0..1_000).for_each(|_| {
            judge.judged(1.0, true, &mut Filed::default());
        });
        judge.turn(2);
        let before = judge.ln_alpha(true, 500);
        (0..100_000).for_each(|_| {
            judge.judged(1.0, false, &mut Filed::default());
        });
        judge.turn(3);
        assert_eq!(judge.ln_alpha(true, 500), before);
        assert!(judge.ln_alpha(false, 500) < before);
    }
}
