//! Whose past a score is held against: the entity's own, else that of all of whom about as much is expected.
//!
//! Counts of one size have tails of one kind: what makes a model wrong (batches, retries, an hour that hangs together) is another thing
//! at one call a day than at a thousand in five minutes. Pools by size err on the quiet side for an even entity and never let
//! one that is bursty set the tail of all; its own past is better, and costs twenty times the memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::baseline::Prediction;
use crate::recalibration::Recalibration;

/// Entities of a rule that have a pool of their own.
pub(super) const OWN_POOLS: usize = 256;
/// Where a size of what is expected ends and the next begins, 16 times as much: narrower ones would need months of a small fleet. The
/// first holds the least that is ever expected, the last a few thousand.
const SIZES: [f64; 6] = [1.0 / 4_096.0, 1.0 / 256.0, 1.0 / 16.0, 1.0, 16.0, 256.0];

/// How much is expected, in steps of [`SIZES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Size(u8);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pools {
    /// By the size of what was expected.
    sizes: BTreeMap<Size, Recalibration>,
}

impl Pools {
    pub fn new() -> Pools {
        Pools { sizes: BTreeMap::new() }
    }

    pub fn turn(&mut self, day: i64) {
        self.sizes.values_mut().for_each(|pool| pool.turn(day));
    }

    /// Files a score that came so many times where about as much was expected.
    pub fn observe(&mut self, day: i64, own: Option<&mut Recalibration>, size: Size, score: f64, times: u64) {
        if let Some(own) = own {
            own.observe_times(day, score, times);
        }
        let pool = self.sizes.entry(size).or_insert_with(|| {
            let mut pool = Recalibration::new();
            pool.turn(day);
            pool
        });
        pool.observe_times(day, score, times);
    }

    /// Takes a score out again, while it waits; a pool that has none else is as if there had never been one.
    pub fn take_out(&mut self, day: i64, own: Option<&mut Recalibration>, size: Size, score: f64) {
        if let Some(own) = own {
            own.take_out(day, score);
        }
        if let Some(pool) = self.sizes.get_mut(&size) {
            pool.take_out(day, score);
            if pool.is_empty() {
                self.sizes.remove(&size);
            }
        }
    }

    /// ln p of a score; none while no pool has enough. A pool of larger counts stands in for one that has too few scores: what is
    /// expected of more is bursty in more ways. One of smaller counts never does, in which anything at all is in the tail.
    pub fn ln_p(&self, own: Option<&Recalibration>, of: &Prediction, score: f64) -> Option<f64> {
        let of_size = || self.sizes.range(Size::of(of)..).find_map(|(_, pool)| pool.ln_p_wide(score));
        // Its own past of thousands of zeros and three counts is no yardstick.
        own.filter(|own| own.is_fitted()).and_then(|own| own.ln_p(score)).or_else(of_size)
    }
}

impl Size {
    pub fn of(prediction: &Prediction) -> Size {
        Size(SIZES.iter().filter(|end| prediction.mean >= **end).count() as u8)
    }
}
