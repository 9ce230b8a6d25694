//! The means of the last records, looked at from three sides.

use std::collections::VecDeque;

use super::tail::{Tail, Tails};

const DAY_SECONDS: i64 = 86_400;
/// Days back in which a likeness is sought: a week, so that each day of the week has its own kind among them.
const DAYS: i64 = 7;
/// Records by which a likeness may come early or late.
const SHIFT: usize = 2;
/// Records that a single one is held against, as in the engine's baseline of counts.
const RECENT: usize = 6;

/// Block means of so many records, one a record, and what they were like so far.
#[derive(Debug, Clone)]
pub struct Scale {
    records: usize,
    block: VecDeque<f64>,
    /// Every mean so far and when its block ended.
    means: Vec<(i64, f64)>,
    level: Tails,
    jump: Tails,
    unlike: Tail,
}

impl Scale {
    pub fn new(records: usize) -> Scale {
        Scale {
            records,
            block: VecDeque::new(),
            means: Vec::new(),
            level: Tails::default(),
            jump: Tails::default(),
            unlike: Tail::default(),
        }
    }

    /// The sum of `-ln p` over the sides that there is a past for: how far out the mean is, how far from what came before, and
    /// how far from the same time of the days before. Each is held against its own past, and then learnt.
    pub fn step(&mut self, second: i64, value: f64) -> f64 {
        self.block.push_back(value);
        if self.block.len() > self.records {
            self.block.pop_front();
        }
        if self.block.len() < self.records {
            return 0.0;
        }
        let mean = self.block.iter().sum::<f64>() / self.records as f64;
        let mut score = self.level.step(mean);
        if let Some(before) = self.before() {
            score += self.jump.step(mean - before);
        }
        if let Some(distance) = self.distance(second, mean) {
            score += self.unlike.score(distance);
            self.unlike.learn(distance);
        }
        self.means.push((second, mean));
        score
    }

    /// The block before; for a single record the mean of the last few.
    fn before(&self) -> Option<f64> {
        let last = |records: usize| self.means.len().checked_sub(records).and_then(|at| self.means.get(at..));
        if self.records == 1 {
            return last(RECENT)
                .map(|recent| recent.iter().map(|(_, mean)| mean).sum::<f64>() / RECENT as f64);
        }
        last(self.records).and_then(|block| block.first()).map(|(_, mean)| *mean)
    }

    /// From the nearest mean at about the same time in the days before; none on the first day.
    fn distance(&self, second: i64, mean: f64) -> Option<f64> {
        let (first, _) = *self.means.first()?;
        let days = (1..=DAYS).map(|day| second - day * DAY_SECONDS).take_while(|then| first <= *then);
        let nearest = |then: i64| {
            let at = self.means.partition_point(|(second, _)| *second < then);
            let about = at.saturating_sub(SHIFT)..(at + SHIFT + 1).min(self.means.len());
            self.means.get(about).unwrap_or_default().iter().map(|(_, other)| (other - mean).abs())
        };
        days.flat_map(nearest).min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_held_against_the_block_before() {
        let mut scale = Scale::new(3);
        for value in [1.0, 2.0, 6.0, 4.0, 5.0] {
            scale.step(0, value);
        }
        let means: Vec<f64> = scale.means.iter().map(|(_, mean)| *mean).collect();
        assert_eq!(means, [3.0, 4.0, 5.0]);
        // The next block is 4, 5 and a new record; the one before it is 1, 2, 6.
        assert_eq!(scale.before(), Some(3.0));
        let mut single = Scale::new(1);
        for value in 0..6 {
            single.step(0, f64::from(value));
        }
        assert_eq!(single.before(), Some(2.5));
    }

    #[test]
    fn a_likeness_is_sought_at_the_same_time_of_seven_days() {
        let mut scale = Scale::new(1);
        let hour = 3_600;
        assert_eq!(scale.distance(0, 5.0), None);
        // Value is the hour of the day, and 100 more in the first of nine days.
        for at in 0..9 * 24 {
            scale.step(at * hour, (at % 24 + if at < 24 { 100 } else { 0 }) as f64);
        }
        let now = 9 * 24 * hour;
        // 23 is the nearest; on the first day, which is nine days back, it would be 102.
        assert_eq!(scale.distance(now, 112.0), Some(89.0));
        assert_eq!(scale.distance(now + 12 * hour, 12.0), Some(0.0));
        assert_eq!(scale.distance(now + 12 * hour, 16.5), Some(2.5));
        assert_eq!(scale.distance(DAY_SECONDS - 1, 5.0), None);
    }
}
