//! What a burst differs by from what is usual: Kullback and Leibler's divergence of a bucket, under the fleet's own law.
//!
//! Usual: the principal's benign counts of the whole run in buckets within an hour of that time of day, on days of the same kind (free or
//! not), in cells that grow by half; each cell has half a count more than it had. With the burst: those counts and a Poisson of what is
//! added. A cell that the past never had counts as half seen, so that the divergence of a strong burst is understated: the
//! condition is then met by fewer, and the bound on the delay is longer.

use fleet::Principal;

use super::counts::{BUCKET, Counts};
use fleet::calendar::start;

const CELLS: usize = 24;

fn cell(count: f64) -> usize {
    if count < 5.0 {
        return count as usize;
    }
    (5 + (libm::log(count / 5.0) / libm::log(1.5)) as usize).min(CELLS - 1)
}

/// Nats a bucket, when `added` events a bucket come on top of what is usual of a principal at a moment.
pub fn divergence(benign: &Counts, at: usize, principal: &Principal, time_us: i64, added: f64) -> f64 {
    let (hour, is_free) = (principal.zone.hour(time_us), principal.zone.is_free(time_us));
    let mut usual = vec![0_u64; usize::from(u16::MAX) + 1];
    let mut number = 0_u64;
    for (bucket, count) in benign.of(at).iter().enumerate() {
        let then_us = start(0) + bucket as i64 * BUCKET;
        let away = (principal.zone.hour(then_us) - hour).rem_euclid(24.0);
        if away.min(24.0 - away) <= 1.0 && principal.zone.is_free(then_us) == is_free {
            usual[usize::from(*count)] += 1;
            number += 1;
        }
    }
    of(&usual, number, added)
}

fn of(usual: &[u64], number: u64, added: f64) -> f64 {
    let (mut before, mut with) = ([0.5; CELLS], [0.0; CELLS]);
    let law = poisson(added);
    for (count, times) in usual.iter().enumerate().filter(|(_, times)| **times > 0) {
        before[cell(count as f64)] += *times as f64;
        for (more, probability) in law.iter().enumerate() {
            with[cell((count + more) as f64)] += *times as f64 * probability;
        }
    }
    let (all, sum) = (before.iter().sum::<f64>(), number.max(1) as f64);
    with.iter()
        .zip(before)
        .filter(|(with, _)| **with > 0.0)
        .map(|(with, before)| {
            // The half that every cell has more is in both.
            let with = (with + 0.5) / (sum + 0.5 * CELLS as f64);
            with * libm::log(with / (before / all))
        })
        .sum::<f64>()
        .max(0.0)
}

/// Probabilities of a Poisson from 0 on, to where next to nothing is left.
fn poisson(mean: f64) -> Vec<f64> {
    let most = (mean + 8.0 * libm::sqrt(mean) + 12.0) as usize;
    let ln =
        |count: usize| count as f64 * libm::log(mean.max(1e-12)) - mean - libm::lgamma(count as f64 + 1.0);
    (0..=most).map(|count| libm::exp(ln(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_added_is_no_divergence_and_more_is_more() {
        let mut usual = vec![0; 200];
        (usual[0], usual[1], usual[2], usual[7]) = (800, 150, 40, 10);
        let all = usual.iter().sum();
        assert!(of(&usual, all, 0.0) < 1e-9);
        let found: Vec<f64> = [0.2, 1.0, 5.0, 40.0].iter().map(|added| of(&usual, all, *added)).collect();
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
        // Where the past has nothing it is bounded by the size of the past.
        assert!(found[3] < libm::log(2.0 * all as f64 + 100.0));
        assert!((poisson(3.0).iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
