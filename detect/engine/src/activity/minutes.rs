//! The minutes of the last eight hours in which anything was.

use serde::{Deserialize, Serialize};

const WORDS: usize = 8;
/// Minutes that are kept: four hours of a window, and as many that may still come late.
pub(crate) const MINUTES_KEPT: i64 = 64 * WORDS as i64;

/// A ring of bits, one a minute; those older than [`MINUTES_KEPT`] before the newest are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Minutes {
    /// Since 1970; `i64::MIN` before the first.
    newest: i64,
    words: [u64; WORDS],
}

impl Minutes {
    pub fn new() -> Minutes {
        Minutes { newest: i64::MIN, words: [0; WORDS] }
    }

    pub fn newest(&self) -> i64 {
        self.newest
    }

    pub fn oldest(&self) -> i64 {
        self.newest.saturating_sub(MINUTES_KEPT - 1)
    }

    /// Notes that something was in a minute; true where nothing was before. What is older than is kept counts in the oldest that is.
    pub fn add(&mut self, minute: i64) -> bool {
        if minute > self.newest {
            self.advance(minute);
        }
        let (word, bit) = place(minute.max(self.oldest()));
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    fn advance(&mut self, newest: i64) {
        let first = self.newest.saturating_add(1).max(newest.saturating_sub(MINUTES_KEPT - 1));
        for minute in first..=newest {
            let (word, bit) = place(minute);
            self.words[word] &= !bit;
        }
        self.newest = newest;
    }

    pub fn has(&self, minute: i64) -> bool {
        let (word, bit) = place(minute);
        (self.oldest()..=self.newest).contains(&minute) && self.words[word] & bit != 0
    }

    /// How many of `length` minutes, the last of them `last`, had anything.
    pub fn count(&self, last: i64, length: i64) -> u32 {
        let (mut from, to) = (last.saturating_sub(length - 1).max(self.oldest()), last.min(self.newest));
        let mut number = 0;
        while from <= to {
            let end = (from | 63).min(to);
            let (low, high) = (from.rem_euclid(64) as u32, end.rem_euclid(64) as u32);
            let mask = (u64::MAX << low) & (u64::MAX >> (63 - high));
            number += (self.words[place(from).0] & mask).count_ones();
            let Some(next) = end.checked_add(1) else { break };
            from = next;
        }
        number
    }

    /// The first minute of such a window that had anything.
    pub fn first(&self, last: i64, length: i64) -> Option<i64> {
        let from = last.saturating_sub(length - 1).max(self.oldest());
        (from..=last.min(self.newest)).find(|minute| self.has(*minute))
    }
}

fn place(minute: i64) -> (usize, u64) {
    let at = minute.rem_euclid(MINUTES_KEPT);
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_what_a_set_counts(
            steps in prop::collection::vec((-300_i64..90, 0_u8..40), 1..200),
            begin in prop_oneof![Just(0_i64), Just(29_000_000), -700_i64..700],
        ) {
            let (mut minutes, mut set, mut newest) = (Minutes::new(), BTreeSet::new(), i64::MIN);
            let mut now = begin;
            for (step, rare) in steps {
                now += if rare == 0 { step * 9 } else { step };
                let placed = now.max(newest.saturating_sub(MINUTES_KEPT - 1));
                prop_assert_eq!(minutes.add(now), set.insert(placed));
                newest = newest.max(now);
                set.retain(|minute| *minute > newest - MINUTES_KEPT);
                for (back, length) in [(0, 60), (0, 240), (3, 1), (100, 61), (271, 240)] {
                    let last = newest - back;
                    let within: Vec<i64> = set.range(last - length + 1..=last).copied().collect();
                    prop_assert_eq!(minutes.count(last, length) as usize, within.len());
                    prop_assert_eq!(minutes.first(last, length), within.first().copied());
                }
            }
        }
    }

    #[test]
    fn the_ends_of_time_are_minutes_like_others() {
        for minute in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let mut minutes = Minutes::new();
            minutes.add(0);
            minutes.add(minute);
            assert!(minutes.count(minutes.newest(), 240) >= 1);
        }
    }
}
