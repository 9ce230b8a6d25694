//! What anybody would try first.

use engine::kernel::{SHAPE_TOP, ln_nb_mid, ln_normal_sf};

use crate::model::Single;
use crate::series::{BUCKET_SECONDS, DAY};

/// Mean and variance by exponential weights of one day's half-life; the tail is a normal's.
#[derive(Debug, Clone, Default)]
pub struct EwmaZ {
    mean: f64,
    variance: f64,
    weight: f64,
}

impl Single for EwmaZ {
    fn step(&mut self, _bucket: i64, count: u64) -> f64 {
        let x = count as f64;
        let score = if self.weight > 0.0 {
            -ln_normal_sf((x - self.mean) / self.variance.max(1e-6).sqrt())
        } else {
            0.0
        };
        let keep = libm::exp2(-1.0 / DAY as f64);
        self.weight = keep * self.weight + 1.0;
        let away = x - self.mean;
        self.mean += away / self.weight;
        self.variance += (away * (x - self.mean) - self.variance) / self.weight;
        score
    }
}

/// The mean of each hour of the week over all the past, and one dispersion.
#[derive(Debug, Clone)]
pub struct HourOfWeek {
    sums: [(f64, f64); 168],
    all: (f64, f64),
    /// Sums of `(x - mu)^2 - mu` and of `mu^2`; none for a Poisson.
    dispersion: Option<(f64, f64)>,
}

impl HourOfWeek {
    pub fn poisson() -> HourOfWeek {
        HourOfWeek { sums: [(0.0, 0.0); 168], all: (0.0, 0.0), dispersion: None }
    }

    pub fn negative_binomial() -> HourOfWeek {
        HourOfWeek { dispersion: Some((0.0, 0.0)), ..HourOfWeek::poisson() }
    }
}

impl Single for HourOfWeek {
    fn step(&mut self, bucket: i64, count: u64) -> f64 {
        let x = count as f64;
        let hour = (bucket * BUCKET_SECONDS / 3_600).rem_euclid(168) as usize;
        let (sum, number) = if self.sums[hour].1 > 0.0 { self.sums[hour] } else { self.all };
        let mean = if number > 0.0 { (sum / number).max(0.01) } else { x.max(0.01) };
        let shape = match self.dispersion {
            Some((over, square)) if over > 0.0 => square / over,
            _ => SHAPE_TOP,
        };
        let score = -ln_nb_mid(count, shape, mean).ln_p;
        for (sum, number) in [&mut self.sums[hour], &mut self.all] {
            *sum += x;
            *number += 1.0;
        }
        if let Some((over, square)) = &mut self.dispersion {
            *over += (x - mean) * (x - mean) - mean;
            *square += mean * mean;
        }
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Share of scores beyond 1 in 100 on a Poisson of mean 50, past the first two weeks.
    fn rate(mut model: impl Single) -> f64 {
        let mut random = Random::new(3);
        let scores: Vec<f64> =
            (0..20_000).map(|bucket| model.step(bucket, random.poisson(50.0))).skip(14 * DAY).collect();
        scores.iter().filter(|score| **score > -libm::log(0.01)).count() as f64 / scores.len() as f64
    }

    #[test]
    fn each_is_calibrated_on_what_it_assumes() {
        for (rate, name) in [
            (rate(EwmaZ::default()), "z"),
            (rate(HourOfWeek::poisson()), "Poisson"),
            (rate(HourOfWeek::negative_binomial()), "negative binomial"),
        ] {
            assert!((0.006..0.016).contains(&rate), "{name}: {rate}");
        }
    }
}
