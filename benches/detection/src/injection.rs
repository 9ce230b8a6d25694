//! Bursts that are laid over the series: where, how long and how strong is settled by a seed before any model runs.

use crate::random::Random;
use crate::series::{BUCKET_SECONDS, DAY, Series};

const SEED: u64 = 5;
/// Times the usual rate; the first is a control that adds nothing.
pub const STRENGTHS: [u64; 4] = [1, 2, 4, 20];
/// In buckets: five minutes, a quarter of an hour, an hour.
pub const LENGTHS: [usize; 3] = [1, 3, 12];
/// Bursts of each length and strength in each series: 210 a strength over ten series.
const REPEATS: usize = 7;

/// One burst: what the counts of a series would be from a bucket on.
#[derive(Debug, Clone)]
pub struct Burst {
    pub series: usize,
    /// Index of its first bucket in the series.
    pub start: usize,
    pub strength: u64,
    pub counts: Vec<u64>,
}

/// All bursts, ordered by start. `strength` times the usual rate is what was there plus a Poisson of `strength - 1` times
/// the mean at that hour of the day over the week before.
pub fn bursts(series: &[Series], burn_in: usize) -> Vec<Burst> {
    let mut random = Random::new(SEED);
    let mut all = Vec::new();
    for (at, one) in series.iter().enumerate() {
        for length in LENGTHS {
            for _ in 0..REPEATS {
                let start = place(&mut random, one, burn_in, length);
                for strength in STRENGTHS {
                    let added = |bucket| random.poisson((strength - 1) as f64 * usual(one, bucket));
                    let extra: Vec<u64> = (start..start + length).map(added).collect();
                    let counts = extra.iter().zip(&one.counts[start..]).map(|(extra, count)| extra + count);
                    all.push(Burst { series: at, start, strength, counts: counts.collect() });
                }
            }
        }
    }
    all.sort_by_key(|burst| burst.start);
    all
}

/// A start after the burn-in, with no labelled bucket within a burst's length.
fn place(random: &mut Random, series: &Series, burn_in: usize, length: usize) -> usize {
    loop {
        let start = burn_in + random.below(series.counts.len() - burn_in - length);
        if !series.labelled[start..start + length].contains(&true) {
            return start;
        }
    }
}

/// Mean count at the hour of the day of a bucket over the seven days before it.
fn usual(series: &Series, bucket: usize) -> f64 {
    let hour = |at: usize| (series.first + at as i64) * BUCKET_SECONDS / 3_600 % 24;
    let past = (bucket - 7 * DAY..bucket).filter(|at| hour(*at) == hour(bucket));
    let (sum, number) = past.fold((0, 0), |(sum, number), at| (sum + series.counts[at], number + 1));
    sum as f64 / f64::from(number.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_placed_outside_of_labels_and_add_what_they_say() {
        let mut labelled = vec![false; 30 * DAY];
        labelled[15 * DAY..25 * DAY].fill(true);
        let series = Series { name: String::new(), first: 0, counts: vec![40; 30 * DAY], labelled };
        let all = bursts(std::slice::from_ref(&series), 14 * DAY);
        assert_eq!(all.len(), STRENGTHS.len() * LENGTHS.len() * REPEATS);
        for strength in STRENGTHS {
            let counts: Vec<u64> = all
                .iter()
                .filter(|burst| burst.strength == strength)
                .flat_map(|burst| burst.counts.clone())
                .collect();
            let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
            assert!((mean / (40 * strength) as f64 - 1.0).abs() < 0.05, "{strength}: {mean}");
        }
        for burst in &all {
            assert!(burst.start >= 14 * DAY);
            assert!(!series.labelled[burst.start..burst.start + burst.counts.len()].contains(&true));
        }
    }
}
