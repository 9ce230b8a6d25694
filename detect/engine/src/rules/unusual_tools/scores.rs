//! What a session is measured by, and what its measures are worth.
//!
//! Three of them, each with the scores of the last weeks for a pool: the rank among sessions alike, the surprise of the tools alone, and that of the places
//! reached. In one sum a single strange tool that is called in a row, with as many destinations that are new because the tool is, is worth as much as five strange tools.
//! Each has its share of alpha, so that all together open no more than one alone would.

use serde::{Deserialize, Serialize};

use crate::bits;
use crate::novelty::Verdict;
use crate::recalibration::Recalibration;

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Measure {
    Rank,
    Tools,
    Places,
}

/// Each with its share of alpha. A rank among the hundred or two that are alike has the least to say once there are weeks of the others; what it alone
/// sees is a known place that is reached in a new way.
const SHARES: [(Measure, f64); 3] = [(Measure::Rank, 0.2), (Measure::Tools, 0.4), (Measure::Places, 0.4)];

/// In the order of [`SHARES`]; greater is stranger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Scores(#[serde(with = "bits::array")] [f64; 3]);

impl Scores {
    pub fn of(verdict: &Verdict) -> Scores {
        // So many independent surprises are spread by the root of their number: who reaches a hundred places reaches a new one.
        let spread = libm::sqrt(1.0 + verdict.places_number as f64);
        Scores([verdict.score(), verdict.tools, verdict.places / spread])
    }

    /// The greater of each.
    pub fn max(self, other: Scores) -> Scores {
        let (mut most, Scores(other)) = (self, other);
        most.0.iter_mut().zip(other).for_each(|(one, other)| *one = one.max(other));
        most
    }

    pub fn each(self) -> impl Iterator<Item = (Measure, f64)> {
        SHARES.into_iter().zip(self.0).map(|((of, _), score)| (of, score))
    }
}

/// A pool for each; a session files in all, so that they fill alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pools {
    rank: Recalibration,
    tools: Recalibration,
    places: Recalibration,
}

impl Pools {
    pub fn new() -> Pools {
        Pools { rank: Recalibration::new(), tools: Recalibration::new(), places: Recalibration::new() }
    }

    pub fn turn(&mut self, day: i64) {
        SHARES.iter().for_each(|(of, _)| self.pool_mut(*of).turn(day));
    }

    pub fn observe(&mut self, day: i64, scores: Scores) {
        scores.each().for_each(|(of, score)| self.pool_mut(of).observe(day, score));
    }

    pub fn take_out(&mut self, of: Measure, day: i64, score: f64) {
        self.pool_mut(of).take_out(day, score);
    }

    /// ln p of the strangest measure, by its share of alpha; none while too few scores are known. By rank: sums of surprises come in lumps.
    pub fn ln_p(&self, scores: Scores) -> Option<f64> {
        let mut least: f64 = 0.0;
        for ((of, share), score) in SHARES.into_iter().zip(scores.0) {
            least = least.min(self.pool(of).ln_p_by_rank(score)? - libm::log(share));
        }
        Some(least)
    }

    fn pool(&self, of: Measure) -> &Recalibration {
        match of {
            Measure::Rank => &self.rank,
            Measure::Tools => &self.tools,
            Measure::Places => &self.places,
        }
    }

    fn pool_mut(&mut self, of: Measure) -> &mut Recalibration {
        match of {
            Measure::Rank => &mut self.rank,
            Measure::Tools => &mut self.tools,
            Measure::Places => &mut self.places,
        }
    }
}
