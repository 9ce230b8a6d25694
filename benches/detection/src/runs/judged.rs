//! What scores are worth: one pipeline at a time, then the plain mean over pipelines, so that none counts for its runs.

use std::cmp::Ordering;

use super::scores::Score;
use crate::random::Random;

/// Resamples of pipelines for an interval of 95 %.
const RESAMPLES: usize = 2_000;
const SEED: u64 = 24;

/// Scores of one pipeline's runs.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    pub benign: Vec<Score>,
    pub positive: Vec<Score>,
}

impl Judged {
    /// The chance that an attacked run scores above a benign one, ties counting half.
    pub fn auc(&self) -> f64 {
        let above = |attacked: &Score| -> f64 {
            self.benign
                .iter()
                .map(|benign| {
                    if attacked > benign {
                        1.0
                    } else if attacked == benign {
                        0.5
                    } else {
                        0.0
                    }
                })
                .sum()
        };
        self.positive.iter().map(above).sum::<f64>() / (self.positive.len() * self.benign.len()) as f64
    }

    /// The share of attacked runs above the lowest score that at most `rate` of this pipeline's own benign runs are
    /// above: a threshold in hindsight, and never more false ones than asked. Of 37 runs 1 % is none and 5 % is one.
    pub fn recall(&self, rate: f64) -> f64 {
        let mut benign = self.benign.clone();
        benign.sort_by(|a, b| order(b, a));
        let allowed = (benign.len() as f64 * rate) as usize;
        beyond(&self.positive, benign.get(allowed).copied().unwrap_or([f64::NEG_INFINITY; 2]))
    }
}

/// The share of scores above a threshold.
pub fn beyond(scores: &[Score], threshold: Score) -> f64 {
    scores.iter().filter(|score| **score > threshold).count() as f64 / scores.len() as f64
}

fn order(a: &Score, b: &Score) -> Ordering {
    a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]))
}

/// A mean over pipelines, and its interval when whole pipelines are drawn again with replacement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl std::fmt::Display for Mean {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:.3} ({:.3} to {:.3})", self.value, self.low, self.high)
    }
}

/// The mean of one figure a pipeline; there must be at least one.
pub fn mean(figures: &[f64]) -> Mean {
    let average = |sum: f64| sum / figures.len() as f64;
    let mut random = Random::new(SEED);
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| average((0..figures.len()).map(|_| figures[random.below(figures.len())]).sum()))
        .collect();
    drawn.sort_by(f64::total_cmp);
    Mean {
        value: average(figures.iter().sum()),
        low: drawn[RESAMPLES / 40],
        high: drawn[RESAMPLES - 1 - RESAMPLES / 40],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_scores() {
        let scores = |scores: &[f64]| scores.iter().map(|score| [1.0, *score]).collect();
        let benign: Vec<f64> = (0..40).map(f64::from).collect();
        let judged = Judged { benign: scores(&benign), positive: scores(&[39.5, 39.0, 38.0, 37.5, 0.0]) };
        assert_eq!(judged.recall(0.01), 0.2);
        // Two of forty are above 37.
        assert_eq!(judged.recall(0.05), 0.8);
        assert!((judged.auc() - (40.0 + 39.5 + 38.5 + 38.0 + 0.5) / 200.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_is_of_pipelines() {
        let even = mean(&[0.5; 14]);
        assert_eq!((even.value, even.low, even.high), (0.5, 0.5, 0.5));
        let uneven = mean(&[0.0, 1.0, 0.0, 1.0]);
        assert!(uneven.value == 0.5 && uneven.low == 0.0 && uneven.high == 1.0);
    }
}
