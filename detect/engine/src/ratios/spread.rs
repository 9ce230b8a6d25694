//! How much more windows of one entity differ than draws of one chance would.

use serde::{Deserialize, Serialize};

use crate::baseline::Decayed;

/// Assumed before anything is known, and the pairs of draws that it is worth.
const ASSUMED: f64 = 0.02;
const WEIGHT: f64 = 20.0;
/// Bounds of the correlation of two draws of one window.
const CORRELATION: (f64, f64) = (1e-4, 0.5);
/// An error counts as at most so many variances: an incident must not make the next one usual.
const ERROR_TOP: f64 = 16.0;
/// What is kept of the past at each window with records: half of it after 2,000.
const KEPT: f64 = 0.999_653_5;

/// The correlation within windows, by the squared errors of the predicted number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Spread {
    /// Sum of `(k - n p)^2 - n p (1 - p)`, and of `n (n - 1) p (1 - p)` as exposure.
    errors: Decayed,
}

impl Spread {
    pub fn correlation(&self) -> f64 {
        self.errors.rate(ASSUMED, WEIGHT).max(CORRELATION.0).min(CORRELATION.1)
    }

    pub fn learn(&mut self, hits: u64, total: u64, rate: f64) {
        let (k, n) = (hits as f64, total as f64);
        let once = n * rate * (1.0 - rate);
        let pairs = (n - 1.0).max(0.0) * once;
        let variance = once + self.correlation() * pairs;
        let error = ((k - n * rate) * (k - n * rate)).min(ERROR_TOP * variance);
        self.errors.keep(KEPT);
        self.errors.add(error - once, pairs);
    }

    /// The shapes of a beta brought down to where two draws of a window hang together as they do: `a + b <= 1 / rho - 1`.
    pub fn scaled(&self, a: f64, b: f64) -> (f64, f64) {
        let scale = ((1.0 / self.correlation() - 1.0) / (a + b)).min(1.0);
        (a * scale, b * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_hang_together_are_found_to() {
        let (mut even, mut clumped) = (Spread::default(), Spread::default());
        for window in 0..4_000_u64 {
            even.learn(4 + window % 3, 100, 0.05);
            clumped.learn(if window % 20 == 0 { 100 } else { 0 }, 100, 0.05);
        }
        assert_eq!(even.correlation(), CORRELATION.0);
        assert!(clumped.correlation() > 0.1, "{}", clumped.correlation());
        let (a, b) = clumped.scaled(50.0, 950.0);
        assert!((a / (a + b) - 0.05).abs() < 1e-12 && a + b < 10.0);
    }

    #[test]
    fn one_incident_blunts_nothing() {
        let mut spread = Spread::default();
        (0..500).for_each(|window: u64| spread.learn(window % 2, 100, 0.005));
        let before = spread.correlation();
        spread.learn(100, 100, 0.005);
        assert!(spread.correlation() < before + 0.05, "{before} {}", spread.correlation());
    }
}
