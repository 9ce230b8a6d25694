//! Factors of the hours of a day and of the days of a week.

use serde::{Deserialize, Serialize};

use super::decayed::Decayed;
use crate::bits;

pub(super) const HOURS: usize = 24;
pub(super) const DAYS: usize = 7;
/// How many occurrences of an hour or a day a factor of the parent is worth. Counts of one hour hang together, so that
/// an occurrence and not a bucket is what was observed once.
const PRIOR_OCCURRENCES: f64 = 2.0;

/// Factors, each set of mean 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Factors {
    #[serde(with = "bits::array")]
    pub hours: [f64; HOURS],
    #[serde(with = "bits::array")]
    pub days: [f64; DAYS],
}

impl Factors {
    pub fn flat() -> Factors {
        Factors { hours: [1.0; HOURS], days: [1.0; DAYS] }
    }

    /// The factor of an hour since 1970. The first day then was a Thursday; which day is 0 does not matter.
    pub fn at(&self, hour: i64) -> f64 {
        self.hours[hour_of_day(hour)] * self.days[day_of_week(hour)]
    }
}

fn hour_of_day(hour: i64) -> usize {
    hour.rem_euclid(HOURS as i64) as usize
}

fn day_of_week(hour: i64) -> usize {
    hour.div_euclid(HOURS as i64).rem_euclid(DAYS as i64) as usize
}

/// Counts of each hour and day over what would have been expected without that factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Season {
    hours: [Decayed; HOURS],
    days: [Decayed; DAYS],
}

impl Season {
    pub fn new() -> Season {
        Season { hours: [Decayed::default(); HOURS], days: [Decayed::default(); DAYS] }
    }

    /// Takes in an hour in which `count` was seen where `level` would have been without any season.
    pub fn add(&mut self, hour: i64, count: f64, level: f64, factors: &Factors) {
        let (of_day, of_week) = (hour_of_day(hour), day_of_week(hour));
        self.hours[of_day].add(count, level * factors.days[of_week]);
        self.days[of_week].add(count, level * factors.hours[of_day]);
    }

    pub fn keep(&mut self, share: f64) {
        for each in self.hours.iter_mut().chain(&mut self.days) {
            each.keep(share);
        }
    }

    /// The factors by now, drawn towards a parent's; `level` is the expected count of an hour.
    pub fn factors(&self, level: f64, parent: &Factors) -> Factors {
        let weight = PRIOR_OCCURRENCES * level;
        let mut factors = parent.clone();
        draw(&mut factors.hours, &self.hours, weight);
        draw(&mut factors.days, &self.days, weight * HOURS as f64);
        factors
    }
}

fn draw(factors: &mut [f64], seen: &[Decayed], weight: f64) {
    for (factor, seen) in factors.iter_mut().zip(seen) {
        *factor = seen.rate(*factor, weight);
    }
    let mean = factors.iter().sum::<f64>() / factors.len() as f64;
    for factor in factors {
        *factor = if mean > 0.0 { *factor / mean } else { 1.0 };
    }
}
