//! Counts of each principal in five minutes, and what simple models make of them.

use fleet::calendar::{DAY, start};
use fleet::{Fleet, Principal};

use crate::model::Single;
use crate::series::{BUCKET_SECONDS, DAY as BUCKETS_OF_DAY};
use crate::simple::{EwmaZ, HourOfWeek};

/// Length of a bucket in microseconds.
pub const BUCKET: i64 = BUCKET_SECONDS * 1_000_000;
/// Days of which nothing is counted.
pub const BURN_IN: i64 = 14;

/// One count a principal and bucket.
#[derive(Debug, Clone)]
pub struct Counts {
    buckets: usize,
    counts: Vec<u16>,
}

impl Counts {
    pub fn new(principals: usize, days: i64) -> Counts {
        let buckets = days as usize * BUCKETS_OF_DAY;
        Counts { buckets, counts: vec![0; principals * buckets] }
    }

    pub fn add(&mut self, principal: usize, time_us: i64) {
        if let Some(count) = self.counts.get_mut(principal * self.buckets + bucket(time_us)) {
            *count = count.saturating_add(1);
        }
    }

    pub fn of(&self, principal: usize) -> &[u16] {
        &self.counts[principal * self.buckets..(principal + 1) * self.buckets]
    }
}

/// The bucket of a moment, from day 0 on.
pub fn bucket(time_us: i64) -> usize {
    ((time_us - start(0)).max(0) / BUCKET) as usize
}

/// The number of a bucket since 1970, for models with a season.
fn absolute(bucket: usize) -> i64 {
    start(0) / BUCKET + bucket as i64
}

/// Buckets in which a principal is there, of so many.
fn present(principal: &Principal, buckets: usize) -> (usize, usize) {
    let to = bucket(principal.until_us).min(buckets);
    (bucket(principal.from_us).min(to), to)
}

/// Scores beyond 1e-4 and all scores of a model over the benign counts, after the burn-in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beyond {
    pub above: u64,
    pub all: u64,
}

impl Beyond {
    /// Achieved over nominal.
    pub fn ratio(&self) -> f64 {
        self.above as f64 / (self.all as f64 * 1e-4).max(f64::MIN_POSITIVE)
    }
}

/// How hard the fleet is, in the order of [`super::matching::HARD`]: for all principals, and for those who have a call every ten minutes.
pub fn hardness(benign: &Counts, fleet: &Fleet) -> [[Beyond; 2]; 2] {
    let mut found = [[Beyond::default(); 2]; 2];
    for (at, principal) in fleet.world().principals.iter().enumerate() {
        let counts = benign.of(at);
        let (from, to) = present(principal, counts.len());
        let counts = &counts[from..to];
        let mean = counts.iter().map(|count| f64::from(*count)).sum::<f64>() / counts.len().max(1) as f64;
        let mut models = (EwmaZ::default(), HourOfWeek::negative_binomial());
        for (count, bucket) in counts.iter().zip(from..) {
            let scores = [
                models.0.step(absolute(bucket), u64::from(*count)),
                models.1.step(absolute(bucket), u64::from(*count)),
            ];
            if (bucket as i64) < (from as i64) + BURN_IN * BUCKETS_OF_DAY as i64 {
                continue;
            }
            for (score, found) in scores.into_iter().zip(&mut found) {
                for (one, is_in) in found.iter_mut().zip([true, mean >= 0.5]) {
                    one.all += u64::from(is_in);
                    one.above += u64::from(is_in && score > -libm::log(1e-4));
                }
            }
        }
    }
    found
}

/// What is compared with the engine on bursts of calls.
pub const SIMPLE: [&str; 4] = ["static threshold", "EWMA z", "hour-of-week z", "hour-of-week NB"];

/// Mean and variance of each hour of the week over all the past.
#[derive(Debug, Clone)]
struct HourZ {
    /// Number, sum and sum of squares.
    hours: Vec<(f64, f64, f64)>,
}

impl HourZ {
    fn step(&mut self, bucket: i64, count: u64) -> f64 {
        let Some(hour) = self.hours.get_mut((bucket * BUCKET_SECONDS / 3_600).rem_euclid(168) as usize)
        else {
            return 0.0;
        };
        let x = count as f64;
        let mean = hour.1 / hour.0.max(1.0);
        let variance = hour.2 / hour.0.max(1.0) - mean * mean;
        let score = if hour.0 < 12.0 { 0.0 } else { (x - mean) / libm::sqrt(variance.max(0.05)) };
        *hour = (hour.0 + 1.0, hour.1 + x, hour.2 + x * x);
        score
    }
}

/// The highest scores of the principal-days that nothing was done to, descending, and the highest within each burst given as (principal,
/// first and last bucket); for each of [`SIMPLE`].
pub fn simple(all: &Counts, fleet: &Fleet, bursts: &[(usize, usize, usize)]) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut found: Vec<(Vec<f64>, Vec<f64>)> = vec![(Vec::new(), vec![f64::MIN; bursts.len()]); SIMPLE.len()];
    for (at, principal) in fleet.world().principals.iter().enumerate() {
        let counts = all.of(at);
        let mut models =
            (EwmaZ::default(), HourZ { hours: vec![(0.0, 0.0, 0.0); 168] }, HourOfWeek::negative_binomial());
        let mut days: Vec<[f64; 4]> = vec![[f64::MIN; 4]; counts.len() / BUCKETS_OF_DAY];
        let own: Vec<(usize, &(usize, usize, usize))> =
            bursts.iter().enumerate().filter(|(_, burst)| burst.0 == at).collect();
        let (from, to) = present(principal, counts.len());
        for (count, bucket) in counts[from..to].iter().zip(from..) {
            let (number, x) = (absolute(bucket), u64::from(*count));
            let scores =
                [x as f64, models.0.step(number, x), models.1.step(number, x), models.2.step(number, x)];
            if bucket < from + BURN_IN as usize * BUCKETS_OF_DAY {
                continue;
            }
            for (place, burst) in own.iter().filter(|(_, burst)| (burst.1..=burst.2).contains(&bucket)) {
                debug_assert_eq!(burst.0, at);
                for (found, score) in found.iter_mut().zip(scores) {
                    found.1[*place] = found.1[*place].max(score);
                }
            }
            for (highest, score) in days[bucket / BUCKETS_OF_DAY].iter_mut().zip(scores) {
                *highest = highest.max(score);
            }
        }
        let is_touched = |day: usize| {
            let (from_us, to_us) = (start(day as i64), start(day as i64) + DAY);
            fleet.plan().iter().any(|one| {
                one.target == fleet::injection::Target::Principal(at)
                    && one.start_us < to_us
                    && one.end_us > from_us
            })
        };
        for (day, highest) in days.iter().enumerate().filter(|(day, _)| !is_touched(*day)) {
            debug_assert!(day < days.len());
            for (found, highest) in found.iter_mut().zip(highest) {
                found.0.push(*highest);
            }
        }
    }
    for found in &mut found {
        found.0.sort_by(|one, other| other.total_cmp(one));
    }
    found
}
