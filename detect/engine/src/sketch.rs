//! Quantiles of sizes and times in bounded space: counts in buckets of equal ratio (DDSketch, Masson et al. 2019), integers only.
//!
//! A bucket is a power of two cut into 64 equal steps, so that its middle is within 1 % of every value in it, and which one a value falls into takes no logarithm.
//! When more than `SKETCH_BUCKETS_MAX` are in use, neighbours are merged in pairs (UDDSketch, Epicoco et al. 2020): what
//! is lost is fineness, by a factor of two each time, and never the tail. State: at most 4 kB.

mod learnt;
mod quantiles;
mod tail;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use learnt::Learnt;
pub(crate) use quantiles::{BLOCKS_OF_DAY, Quantiles, block};
pub(crate) use tail::Tail;

/// Steps of a power of two, as a power of two.
const STEPS: u32 = 6;
/// Greatest value that is told apart: 2^40 (12 days in microseconds, a terabyte).
const TOP: u64 = (1 << 40) - 1;
const BUCKETS_MAX: usize = schemas::limits::SKETCH_BUCKETS_MAX;

/// How often values fell into each bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sketch {
    /// How often neighbours were merged.
    merged: u32,
    counts: BTreeMap<u16, u64>,
    total: u64,
}

/// Bucket of a value: exact below 64, then 64 to a power of two.
fn bucket(value: u64) -> u16 {
    let value = value.min(TOP);
    let octave = (value | 1).ilog2().saturating_sub(STEPS);
    // At most 34 * 64 + 127.
    (octave << STEPS) as u16 + (value >> octave) as u16
}

/// Least value of a bucket.
fn bottom(bucket: u64) -> u64 {
    let octave = (bucket >> STEPS).saturating_sub(1);
    (bucket - (octave << STEPS)) << octave
}

impl Sketch {
    #[cfg(test)]
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn add(&mut self, value: u64) {
        self.add_many(bucket(value) >> self.merged, 1);
    }

    /// Adds what another holds.
    pub fn merge(&mut self, other: &Sketch) {
        while self.merged < other.merged {
            self.coarsen();
        }
        for (bucket, count) in &other.counts {
            // Merging may coarsen on the way.
            self.add_many(bucket >> (self.merged - other.merged), *count);
        }
    }

    fn add_many(&mut self, bucket: u16, count: u64) {
        let sum = self.counts.entry(bucket).or_default();
        *sum = sum.saturating_add(count);
        self.total = self.total.saturating_add(count);
        while self.counts.len() > BUCKETS_MAX {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.merged += 1;
        let fine = std::mem::take(&mut self.counts);
        for (bucket, count) in fine {
            let sum = self.counts.entry(bucket >> 1).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Least and greatest value of a bucket.
    fn edges(&self, bucket: u16) -> (u64, u64) {
        let first = u64::from(bucket) << self.merged;
        let next = u64::from(bucket).saturating_add(1) << self.merged;
        (bottom(first), bottom(next).saturating_sub(1))
    }

    /// Buckets in ascending order: least value, greatest value, count.
    pub fn each(&self) -> impl DoubleEndedIterator<Item = (u64, u64, u64)> + '_ {
        self.counts.iter().map(|(bucket, count)| {
            let (least, greatest) = self.edges(*bucket);
            (least, greatest, *count)
        })
    }

    /// The bucket above which at most `share_ppm` of all values lie, the lowest such: its edges, and how many lie above.
    pub fn upper(&self, share_ppm: u64) -> Option<Upper> {
        let most = u128::from(self.total).saturating_mul(u128::from(share_ppm)) / 1_000_000;
        let mut above: u64 = 0;
        for (least, greatest, count) in self.each().rev() {
            let with = above.saturating_add(count);
            if u128::from(with) > most {
                return Some(Upper { least, greatest, above, total: self.total });
            }
            above = with;
        }
        None
    }

    /// The same values, at most `most` of them, and none above `top`, which stands for those that are.
    pub fn tempered(&self, most: u64, top: Option<u64>) -> Sketch {
        let (most, total) = (u128::from(most), u128::from(self.total).max(1));
        let mut tempered = Sketch { merged: self.merged, ..Sketch::default() };
        let (mut seen, mut kept) = (0_u128, 0_u128);
        for (bucket, count) in &self.counts {
            seen = seen.saturating_add(u128::from(*count));
            // Sums are rounded and not their parts, so that the quantiles stay.
            let next = if total <= most { seen } else { seen.saturating_mul(most) / total };
            let count = u64::try_from(next - kept).unwrap_or(u64::MAX);
            kept = next;
            let top = top.map_or(u16::MAX, |top| self::bucket(top) >> self.merged);
            if count > 0 {
                let bucket = (*bucket).min(top);
                tempered.add_many(bucket, count);
            }
        }
        tempered
    }
}

/// An upper quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upper {
    /// Edges of its bucket.
    pub least: u64,
    pub greatest: u64,
    /// How many of `total` values are greater than that.
    pub above: u64,
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_within_one_in_a_hundred() {
        let values = (0..5_000).chain((12..40).flat_map(|e| [(1_u64 << e) - 1, 1 << e, (1 << e) + 12_345]));
        for value in values.chain([TOP]) {
            let mut sketch = Sketch::default();
            sketch.add(value);
            let (least, greatest, count) = sketch.each().next().unwrap();
            assert!(least <= value && value <= greatest && count == 1, "{value} in {least}..={greatest}");
            let middle = (least + greatest) as f64 / 2.0;
            assert!((middle - value as f64).abs() <= 0.01 * value as f64, "{value} in {least}..={greatest}");
        }
        assert_eq!(bucket(u64::MAX), bucket(TOP));
    }

    #[test]
    fn values_of_every_size_cost_fineness_and_no_more_space() {
        let mut sketch = Sketch::default();
        for step in 0..4_000_u64 {
            sketch.add((1 << (step % 40)) + step);
        }
        assert!(sketch.counts.len() <= BUCKETS_MAX && sketch.total() == 4_000);
        let upper = sketch.upper(50_000).unwrap();
        assert!(upper.above <= 200 && (1 << 36..1 << 39).contains(&upper.greatest), "{upper:?}");
    }

    #[test]
    fn what_is_above_a_quantile_is_counted_exactly() {
        let mut sketch = Sketch::default();
        (1..=1_000).for_each(|value| sketch.add(value));
        let upper = sketch.upper(50_000).unwrap();
        assert!(upper.above <= 50 && upper.above >= 34, "{upper:?}");
        assert_eq!(1_000 - upper.greatest, upper.above);
        assert_eq!(Sketch::default().upper(50_000), None);
        let mut one = Sketch::default();
        one.add(7);
        assert_eq!(one.upper(50_000), Some(Upper { least: 7, greatest: 7, above: 0, total: 1 }));
    }

    #[test]
    fn a_tempered_sketch_keeps_its_quantiles_and_no_more() {
        let mut sketch = Sketch::default();
        (1..=100_000).for_each(|value| sketch.add(value % 1_000 + 1));
        let less = sketch.tempered(256, None);
        assert_eq!(less.total(), 256);
        let (all, some) = (sketch.upper(50_000).unwrap(), less.upper(50_000).unwrap());
        assert!(all.greatest.abs_diff(some.greatest) <= all.greatest / 25, "{all:?} {some:?}");
        let low = sketch.tempered(u64::MAX, Some(100));
        assert_eq!((low.total(), low.each().last().unwrap().1), (100_000, 101));
    }

    #[test]
    fn merging_is_adding() {
        let (mut one, mut other, mut all) = (Sketch::default(), Sketch::default(), Sketch::default());
        for value in 0..3_000_u64 {
            all.add(value * value * 97);
            if value % 3 == 0 { one.add(value * value * 97) } else { other.add(value * value * 97) }
        }
        one.merge(&other);
        assert_eq!((one.total(), one.merged), (all.total(), all.merged));
        assert_eq!(one.counts, all.counts);
    }
}
