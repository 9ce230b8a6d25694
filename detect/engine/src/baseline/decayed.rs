//! A sum and the exposure that it came from, both forgotten exponentially.

use serde::{Deserialize, Serialize};

/// `sum / exposure` is a rate. Kept as two numbers' bits in snapshots, which hold hundreds of these for an entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "(u64, u64)", from = "(u64, u64)")]
pub(crate) struct Decayed {
    pub sum: f64,
    pub exposure: f64,
}

impl From<Decayed> for (u64, u64) {
    fn from(of: Decayed) -> (u64, u64) {
        (of.sum.to_bits(), of.exposure.to_bits())
    }
}

impl From<(u64, u64)> for Decayed {
    fn from((sum, exposure): (u64, u64)) -> Decayed {
        Decayed { sum: f64::from_bits(sum), exposure: f64::from_bits(exposure) }
    }
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
pub(crate) fn kept(steps: f64, half_life: f64) -> f64 {
    libm::exp2(-steps.max(0.0) / half_life)
}
