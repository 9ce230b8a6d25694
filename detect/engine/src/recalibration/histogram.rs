//! Counts of scores in cells of equal ratio: 64 to a doubling, so that a cell is 1.1 % wide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The leading bits of a double that name a cell: sign, exponent and six of the mantissa.
const SHIFT: u32 = 46;
/// Scores below 2^-6 share the first cell (p above 0.98), those of 2^14 and more the last: 1,280 cells at most.
const BOTTOM: f64 = 1.0 / 64.0;
const TOP: f64 = 16_384.0;

/// The leading bits of [`BOTTOM`], which is cell 0.
const FIRST: u64 = BOTTOM.to_bits() >> SHIFT;

/// Integers only, so that merging is the same in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Histogram {
    counts: BTreeMap<u16, u64>,
}

impl Histogram {
    /// The cell of a score; of one that is no number, the first.
    pub fn cell(score: f64) -> u16 {
        let inside = if score > BOTTOM { score.min(TOP) } else { BOTTOM };
        ((inside.to_bits() >> SHIFT) - FIRST) as u16
    }

    /// Where a cell begins.
    pub fn bottom(cell: u16) -> f64 {
        f64::from_bits((FIRST + u64::from(cell)) << SHIFT)
    }

    pub fn middle(cell: u16) -> f64 {
        0.5 * (Histogram::bottom(cell) + Histogram::bottom(cell.saturating_add(1)))
    }

    pub fn add(&mut self, score: f64, times: u64) {
        let count = self.counts.entry(Histogram::cell(score)).or_default();
        *count = count.saturating_add(times);
    }

    /// Takes one score out; nothing where its cell is empty.
    pub fn remove(&mut self, score: f64) {
        let cell = Histogram::cell(score);
        if let Some(count) = self.counts.get_mut(&cell) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&cell);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (cell, number) in &other.counts {
            let count = self.counts.entry(*cell).or_default();
            *count = count.saturating_add(*number);
        }
    }

    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// The lowest cell from which on there are at most `most` scores; the one after the highest if that one alone has more.
    pub fn first_of_tail(&self, most: u64) -> u16 {
        let mut above: u64 = 0;
        for (cell, count) in self.counts.iter().rev() {
            above = above.saturating_add(*count);
            if above > most {
                return cell.saturating_add(1);
            }
        }
        0
    }

    pub fn from(&self, cell: u16) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.counts.range(cell..).map(|(cell, count)| (*cell, *count))
    }
}

/// How many scores lie in a cell or above, for every cell: what is asked with each look, of a histogram that does not change for a day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AtLeast {
    /// Cells that are not empty, ascending.
    numbers: Vec<(u16, u64)>,
}

impl AtLeast {
    pub fn of(histogram: &Histogram) -> AtLeast {
        let mut sum: u64 = 0;
        let descending = histogram.counts.iter().rev().map(|(cell, count)| {
            sum = sum.saturating_add(*count);
            (*cell, sum)
        });
        let mut numbers: Vec<(u16, u64)> = descending.collect();
        numbers.reverse();
        AtLeast { numbers }
    }

    pub fn number(&self, cell: u16) -> u64 {
        let at = self.numbers.partition_point(|(other, _)| *other < cell);
        self.numbers.get(at).map_or(0, |(_, number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_narrow_and_in_order() {
        let mut before = 0;
        for step in 1..200_000 {
            let score = f64::from(step) * 0.1;
            let cell = Histogram::cell(score);
            assert!(cell >= before);
            before = cell;
            if score < TOP {
                assert!(Histogram::bottom(cell) <= score && score < Histogram::bottom(cell + 1));
                assert!(Histogram::bottom(cell + 1) / Histogram::bottom(cell) < 1.017);
            }
        }
        assert_eq!(before, 1_280);
        assert_eq!(Histogram::cell(f64::NAN), Histogram::cell(-1.0));
    }

    #[test]
    fn a_tail_holds_no_more_than_asked() {
        let mut histogram = Histogram::default();
        for score in [1.0, 1.0, 1.0, 2.0, 4.0] {
            histogram.add(score, 1);
        }
        for (most, bottom) in [(0, 4.0625), (1, 2.03125), (2, 1.015625), (4, 1.015625)] {
            assert_eq!(Histogram::bottom(histogram.first_of_tail(most)), bottom, "{most}");
        }
        assert_eq!(histogram.first_of_tail(5), 0);
        let at_least = AtLeast::of(&histogram);
        let numbers =
            [0.5, 1.0, 1.1, 2.0, 3.0, 4.0, 5.0].map(|score| at_least.number(Histogram::cell(score)));
        assert_eq!(numbers, [5, 5, 2, 2, 1, 1, 0]);
    }
}
