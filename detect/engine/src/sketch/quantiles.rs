//! What values usually were: sketches of the last weeks, committed late and in measure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Sketch;

/// Length of a block of time in hours; a day has six.
const BLOCK_HOURS: i64 = 4;
pub(crate) const BLOCKS_OF_DAY: i64 = 24 / BLOCK_HOURS;
/// In microseconds.
const HOUR: i64 = 3_600_000_000;
/// How many blocks one waits before it counts: 72 h.
const DELAY_BLOCKS: i64 = 3 * BLOCKS_OF_DAY;
/// Blocks after which a generation of sketches is the older one: 28 days. What counts is of 28 to 56 days.
const GENERATION_BLOCKS: i64 = 28 * BLOCKS_OF_DAY;
/// Values of one block that count: a block with a flood in it is one block.
const OF_BLOCK: u64 = 256;

/// The block of a time, since 1970.
pub(crate) fn block(time_us: i64) -> i64 {
    time_us.div_euclid(BLOCK_HOURS * HOUR)
}

/// Sketches by class of blocks: one class, or one for each block of a day. At most 19 blocks wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quantiles {
    /// Of each class the newer and the older generation.
    classes: Vec<(Sketch, Sketch)>,
    /// Block in which the newer generation began.
    began: Option<i64>,
    pending: BTreeMap<i64, Sketch>,
    /// Blocks that count so far.
    committed: u32,
}

impl Quantiles {
    pub fn new(classes: i64) -> Quantiles {
        let classes = (0..classes.max(1)).map(|_| Default::default()).collect();
        Quantiles { classes, began: None, pending: BTreeMap::new(), committed: 0 }
    }

    /// Blocks that count so far.
    pub fn committed(&self) -> u32 {
        self.committed
    }

    /// The sketch of a block that is still to be filled.
    pub fn pending(&mut self, block: i64) -> &mut Sketch {
        self.pending.entry(block).or_default()
    }

    /// Whether [`Quantiles::commit`] at `now` would change anything.
    pub fn is_due(&self, now: i64) -> bool {
        self.pending.first_key_value().is_some_and(|(oldest, _)| *oldest < now.saturating_sub(DELAY_BLOCKS))
    }

    /// Takes in the blocks that have waited long enough, none of a block's values counting as more than its `top`.
    pub fn commit(&mut self, now: i64, top: impl Fn(i64) -> Option<u64>) {
        while self.is_due(now) {
            let Some((block, sketch)) = self.pending.pop_first() else { return };
            let began = *self.began.get_or_insert(block);
            if block.saturating_sub(began) >= GENERATION_BLOCKS {
                self.began = Some(block);
                for (newer, older) in &mut self.classes {
                    *older = std::mem::take(newer);
                }
            }
            let tempered = sketch.tempered(OF_BLOCK, top(block));
            let class = self.class(block);
            if let Some((newer, _)) = self.classes.get_mut(class) {
                newer.merge(&tempered);
                self.committed = self.committed.saturating_add(1);
            }
        }
    }

    fn class(&self, block: i64) -> usize {
        let classes = i64::try_from(self.classes.len()).unwrap_or(1).max(1);
        usize::try_from(block.rem_euclid(classes)).unwrap_or(0)
    }

    /// What counts of the class of a block.
    pub fn of(&self, block: i64) -> Sketch {
        self.classes.get(self.class(block)).map(both).unwrap_or_default()
    }

    /// What counts of all classes.
    pub fn all(&self) -> Sketch {
        let mut all = Sketch::default();
        for class in &self.classes {
            all.merge(&both(class));
        }
        all
    }
}

fn both((newer, older): &(Sketch, Sketch)) -> Sketch {
    let mut sum = older.clone();
    sum.merge(newer);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_count_late_in_measure_and_not_for_ever() {
        let mut quantiles = Quantiles::new(BLOCKS_OF_DAY);
        for day in 0..90 {
            let block = day * BLOCKS_OF_DAY;
            (0..10_000).for_each(|value| quantiles.pending(block).add(value));
            quantiles.commit(block, |_| None);
            assert!(quantiles.pending.len() <= 4);
            let days = u64::try_from(day).unwrap();
            let total = quantiles.of(0).total();
            if day <= 28 {
                assert_eq!(total, days.saturating_sub(3) * OF_BLOCK, "day {day}");
            }
            assert!(total <= 56 * OF_BLOCK);
            assert!(day < 31 || total >= 28 * OF_BLOCK, "day {day}: {total}");
            assert_eq!(quantiles.of(1).total(), 0);
        }
    }

    #[test]
    fn extreme_times_are_blocks_like_any() {
        for time in [i64::MIN, -1, 0, i64::MAX] {
            let mut quantiles = Quantiles::new(6);
            quantiles.pending(block(time)).add(1);
            quantiles.commit(i64::MAX, |_| Some(0));
            assert_eq!(quantiles.all().total(), 1);
        }
    }
}
