//! A sum and the exposure that it came from, both forgotten exponentially.

use serde::{Deserialize, Serialize};

use crate::bits;

/// `sum / exposure` is a rate. Kept as bits in snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decayed {
    #[serde(with = "bits")]
    pub sum: f64,
    #[serde(with = "bits")]
    pub exposure: f64,
}

impl Decayed {
    pub fn add(&mut self, sum: f64, exposure: f64) {
        self.sum += sum;
        self.exposure += exposure;
    }

    pub fn keep(&mut self, share: f64) {
        self.sum *= share;
        self.exposure *= share;
    }

    /// The rate when `prior` was seen over `weight` of exposure beside it.
    pub fn rate(&self, prior: f64, weight: f64) -> f64 {
        let exposure = self.exposure + weight;
        if exposure > 0.0 { (self.sum + prior * weight) / exposure } else { prior }
    }
}

/// What is kept over `steps` of time when half of it is over `half_life` of them.
pub(super) fn kept(steps: f64, half_life: f64) -> f64 {
    libm::exp2(-steps.max(0.0) / half_life)
}
