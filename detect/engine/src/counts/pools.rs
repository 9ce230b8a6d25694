//! Whose past a score is held against: the entity's own, else that of all whose counts are about as large.
//!
//! Counts of one size have tails of one kind: what makes a model wrong (batches, retries, an hour that hangs together) is another thing
//! at one call a day than at a thousand in five minutes. Pools by size err on the quiet side for an even entity and never let
//! one that is bursty set the tail of all; its own past is better, and costs twenty times the memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::known::Known;
use crate::baseline::Prediction;
use crate::recalibration::Recalibration;

/// Entities of a rule that have a pool of their own.
pub(super) const OWN_POOLS: usize = 256;
/// Bounds of the size of what is expected, as powers of two.
const SIZES: (f64, f64) = (-4.0, 10.0);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pools {
    /// By the power of two of what was expected.
    sizes: BTreeMap<i8, Recalibration>,
    all: Recalibration,
    /// How many more entities may have their own.
    #[serde(skip)]
    left: usize,
}

impl Pools {
    pub fn new() -> Pools {
        Pools { sizes: BTreeMap::new(), all: Recalibration::new(), left: OWN_POOLS }
    }

    pub fn turn(&mut self, day: i64) {
        self.all.turn(day);
        self.sizes.values_mut().for_each(|pool| pool.turn(day));
    }

    /// How many entities have a pool of their own.
    pub fn granted(&mut self, count: usize) {
        self.left = OWN_POOLS.saturating_sub(count);
    }

    /// A settled entity gets a pool of its own while there are some.
    pub fn grant(&mut self, known: &mut Known) {
        if self.left > 0 && known.own.is_none() && known.baseline.is_settled() {
            self.left -= 1;
            known.own = Some(Recalibration::new());
        }
    }

    pub fn observe(&mut self, day: i64, own: Option<&mut Recalibration>, of: &Prediction, score: f64) {
        if let Some(own) = own {
            own.observe(day, score);
        }
        self.all.observe(day, score);
        let size = self.sizes.entry(size(of)).or_insert_with(|| {
            let mut pool = Recalibration::new();
            pool.turn(day);
            pool
        });
        size.observe(day, score);
    }

    /// ln p of a score; none while no pool has enough.
    pub fn ln_p(&self, own: Option<&Recalibration>, of: &Prediction, score: f64) -> Option<f64> {
        let size = || self.sizes.get(&size(of)).and_then(|pool| pool.ln_p(score));
        own.and_then(|own| own.ln_p(score)).or_else(size).or_else(|| self.all.ln_p(score))
    }
}

fn size(of: &Prediction) -> i8 {
    // Within the bounds, so that nothing is cut off.
    libm::floor(libm::log2(of.mean)).max(SIZES.0).min(SIZES.1) as i8
}
