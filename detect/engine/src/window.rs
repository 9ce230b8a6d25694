//! Sliding counts in event time: a ring of sub-buckets that holds only those with something in them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::kernel::{SHAPE_TOP, ln_betabin_sf};

/// How many offending records a window remembers by index.
const RECENT_MAX: usize = schemas::limits::ENGINE_RECENT_MAX;

/// Length of a window and of its sub-buckets. A window covers the newest sub-bucket and the
/// `buckets - 1` before it, so between `(buckets - 1) / buckets` of its length and all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    bucket_us: i64,
    buckets: i64,
}

impl Shape {
    pub fn new(window_us: i64, buckets: i64) -> Shape {
        let buckets = buckets.max(1);
        Shape { bucket_us: (window_us / buckets).max(1), buckets }
    }

    fn bucket(self, time_us: i64) -> i64 {
        time_us.div_euclid(self.bucket_us)
    }

    fn oldest(self, newest: i64) -> i64 {
        newest.saturating_sub(self.buckets - 1)
    }
}

/// One sub-bucket: all records and the offending ones among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    bucket: i64,
    total: u32,
    offending: u32,
}

/// An offending record in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offence {
    pub index: i64,
    pub event_us: i64,
    bucket: i64,
}

/// Counts of one entity by when its records count (`Context::counted_us`: event time, but no earlier than is waited for). One that
/// is older than the window even so counts where it arrives, in the newest sub-bucket: left out, whoever dates its records back
/// would be out of sight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Ascending by bucket, at most `buckets` of them.
    slots: Vec<Slot>,
    recent: VecDeque<Offence>,
}

/// Sums over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub total: u64,
    pub offending: u64,
}

impl Totals {
    fn with(self, slot: &Slot) -> Totals {
        Totals {
            total: self.total.saturating_add(u64::from(slot.total)),
            offending: self.offending.saturating_add(u64::from(slot.offending)),
        }
    }

    /// Whether so many offend that, were the true share `ceiling_ppm`, a window like it would come up at most `chance_ppm` times in a
    /// million. Of few records a few are over any ceiling by chance, several times a day in a tenant of many tools.
    pub fn is_beyond(self, ceiling_ppm: i64, chance_ppm: i64) -> bool {
        let share = (ceiling_ppm.max(1) as f64 / 1e6).min(1.0 - 1e-6);
        // With shapes as large as these the beta-binomial is the binomial.
        let (over, under) = (share * SHAPE_TOP / 2.0, (1.0 - share) * SHAPE_TOP / 2.0);
        let ln_p = ln_betabin_sf(self.offending, self.total, over, under).ln_p;
        ln_p <= libm::log(chance_ppm.max(0) as f64 / 1e6)
    }

    /// Offending records per million; `None` without records. Rounded down.
    pub fn ratio_ppm(self) -> Option<i64> {
        let ratio =
            u128::from(self.offending).saturating_mul(1_000_000).checked_div(u128::from(self.total))?;
        i64::try_from(ratio).ok()
    }
}

impl Window {
    pub fn new() -> Window {
        Window { slots: Vec::new(), recent: VecDeque::new() }
    }

    /// Counts one record of log index `index`; the sub-bucket that it counts in.
    pub fn add(&mut self, shape: Shape, index: i64, event_us: i64, counted_us: i64, offending: bool) -> i64 {
        let own = shape.bucket(counted_us);
        let newest = self.slots.last().map_or(own, |slot| slot.bucket.max(own));
        let oldest = shape.oldest(newest);
        let bucket = if own < oldest { newest } else { own };
        self.expire(oldest);
        let slot = self.slot(bucket);
        slot.total = slot.total.saturating_add(1);
        if offending {
            slot.offending = slot.offending.saturating_add(1);
            if self.recent.len() >= RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(Offence { index, event_us, bucket });
        }
        bucket
    }

    pub fn totals(&self) -> Totals {
        self.slots.iter().fold(Totals { total: 0, offending: 0 }, Totals::with)
    }

    /// Sums over the newest sub-buckets.
    pub fn newest(&self, buckets: i64) -> Totals {
        let newest = self.slots.last().map_or(i64::MIN, |slot| slot.bucket);
        let before = newest.saturating_sub(buckets);
        let of_newest = self.slots.iter().rev().take_while(|slot| slot.bucket > before);
        of_newest.fold(Totals { total: 0, offending: 0 }, Totals::with)
    }

    /// The latest offending records of the window, in log order, at most 16.
    pub fn recent(&self) -> impl Iterator<Item = &Offence> {
        self.recent.iter()
    }

    /// Start of the newest sub-bucket in microseconds, for ranking by the last touch.
    pub fn newest_us(&self, shape: Shape) -> i64 {
        self.slots.last().map_or(i64::MIN, |slot| slot.bucket.saturating_mul(shape.bucket_us))
    }

    /// First sub-bucket still inside the window, for state kept beside the counts.
    pub fn oldest(&self, shape: Shape) -> i64 {
        self.slots.last().map_or(i64::MIN, |slot| shape.oldest(slot.bucket))
    }

    fn expire(&mut self, oldest: i64) {
        if self.slots.first().is_some_and(|slot| slot.bucket < oldest) {
            self.slots.retain(|slot| slot.bucket >= oldest);
            self.recent.retain(|offence| offence.bucket >= oldest);
        }
    }

    fn slot(&mut self, bucket: i64) -> &mut Slot {
        let place = self.slots.partition_point(|slot| slot.bucket < bucket);
        if self.slots.get(place).is_none_or(|slot| slot.bucket != bucket) {
            self.slots.insert(place, Slot { bucket, total: 0, offending: 0 });
        }
        &mut self.slots[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { bucket_us: 60, buckets: 15 };

    #[test]
    fn slides_and_counts_what_is_too_old_where_it_arrives() {
        let mut window = Window::new();
        assert_eq!(window.add(SHAPE, 0, 30, 30, true), 0);
        assert_eq!(window.add(SHAPE, 1, 14 * 60, 14 * 60, false), 14);
        assert_eq!(window.totals(), Totals { total: 2, offending: 1 });
        assert_eq!(window.add(SHAPE, 2, 59, 59, false), 0, "a late record inside the window counts");
        assert_eq!(window.add(SHAPE, 3, 15 * 60, 15 * 60, false), 15);
        assert_eq!(window.totals(), Totals { total: 2, offending: 0 });
        assert_eq!(window.add(SHAPE, 4, 59, 59, true), 15, "and one outside as if it were of now");
        assert_eq!((window.totals().offending, window.oldest(SHAPE)), (1, 1));
        assert_eq!(window.newest(1), Totals { total: 2, offending: 1 });
        assert_eq!(window.newest(2), Totals { total: 3, offending: 1 });
        assert_eq!(window.recent().map(|offence| offence.index).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_few_of_a_few_are_over_a_ceiling_by_chance() {
        let is_beyond =
            |offending, total, ceiling_ppm| Totals { total, offending }.is_beyond(ceiling_ppm, 10_000);
        // P(K >= k): 0.26 for 2 and 0.016 for 4 of 20 at 5 %, 0.0026 for 5; 0.26 for 2 of 50 at 2 %; 0.01 for 9 of 20 at 20 %.
        assert_eq!([2, 4, 5, 20].map(|slow| is_beyond(slow, 20, 50_000)), [false, false, true, true]);
        assert_eq!([2, 5].map(|failed| is_beyond(failed, 50, 20_000)), [false, true]);
        assert_eq!([5, 8, 9].map(|denied| is_beyond(denied, 20, 200_000)), [false, false, true]);
        assert!(is_beyond(2_200, 10_000, 200_000) && !is_beyond(2_050, 10_000, 200_000));
        assert!(
            Totals { total: 20, offending: 1 }.is_beyond(50_000, 1_000_000),
            "all is, where chance is not asked"
        );
        for (total, ceiling_ppm) in [(u64::MAX, i64::MIN), (0, i64::MAX), (1, 0), (u64::MAX, 1_000_000)] {
            Totals { total, offending: total }.is_beyond(ceiling_ppm, i64::MIN);
        }
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut window = Window::new();
        for time in [i64::MIN, i64::MAX, 0, -1, i64::MAX, i64::MIN] {
            window.add(SHAPE, 0, time, time, true);
        }
        // The last three are of the newest moment there is, or count as if they were.
        assert_eq!(window.totals().total, 5);
        assert_eq!(Totals { total: 0, offending: 0 }.ratio_ppm(), None);
    }
}
