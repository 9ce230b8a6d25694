//! Random numbers that are the same on every machine: SplitMix64 (Steele, Lea, Flood 2014) and `libm`.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a stream is for; streams do not depend on the order in which they are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    World = 1,
    Principal,
    Principals,
    Tenant,
    Delay,
    Plan,
    Injection,
    Address,
}

impl Random {
    /// The stream `index` of a purpose under `seed`.
    pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Random {
        let family = scramble(seed.wrapping_add(GOLDEN)) ^ (purpose as u64).wrapping_mul(GOLDEN);
        Random(scramble(scramble(family).wrapping_add(index.wrapping_mul(0xD1B5_4A32_D192_ED03))))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scramble(self.0)
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[least, most)`.
    pub fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.uniform()
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log1p(-self.uniform())
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(self.exponential(2.0));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    /// A lognormal of mean 1.
    pub fn mood(&mut self, sigma: f64) -> f64 {
        libm::exp(sigma * self.normal() - 0.5 * sigma * sigma)
    }

    /// Pareto of tail index `alpha` from `least` on, rounded down, at most `most`.
    pub fn pareto(&mut self, alpha: f64, least: u64, most: u64) -> u64 {
        let x = least as f64 * libm::pow(1.0 - self.uniform(), -1.0 / alpha);
        (x.min(most as f64) as u64).max(least.min(most))
    }

    /// A Poisson of that mean, as a sum of small ones.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        const PART: f64 = 16.0;
        let (mut count, mut rest) = (0, mean.max(0.0));
        while rest > 0.0 {
            let floor = libm::exp(-rest.min(PART));
            let mut product = self.uniform();
            while product > floor {
                count += 1;
                product *= self.uniform();
            }
            rest -= PART;
        }
        count
    }

    /// A place in `weights`, in proportion; the first where there are none.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (at, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return at;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// A rank below `ranks` (at least 1), roughly by Zipf's law of exponent 1.
    pub fn rank(&mut self, ranks: usize) -> usize {
        let x = libm::exp(self.uniform() * libm::log(ranks as f64 + 1.0));
        (x as usize).clamp(1, ranks.max(1)) - 1
    }
}

/// Mean of [`Random::pareto`].
pub(crate) fn pareto_mean(alpha: f64, least: u64, most: u64) -> f64 {
    let beyond = |k: u64| if k <= least { 1.0 } else { libm::pow(k as f64 / least as f64, -alpha) };
    (1..=most).map(beyond).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mut draw: impl FnMut(&mut Random) -> f64) -> f64 {
        let mut random = Random::stream(1, Purpose::World, 0);
        (0..100_000).map(|_| draw(&mut random)).sum::<f64>() / 100_000.0
    }

    #[test]
    fn laws_have_their_means() {
        assert!((mean(|random| random.uniform()) - 0.5).abs() < 0.005);
        assert!((mean(|random| random.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!(mean(Random::normal).abs() < 0.01);
        assert!((mean(|random| random.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(|random| random.mood(0.5)) - 1.0).abs() < 0.01);
        assert!((mean(|random| random.poisson(20.0) as f64) - 20.0).abs() < 0.1);
        let expected = pareto_mean(2.2, 3, 300);
        assert!(
            (mean(|random| random.pareto(2.2, 3, 300) as f64) / expected - 1.0).abs() < 0.03,
            "{expected}"
        );
        assert!((mean(|random| random.weighted(&[1.0, 3.0]) as f64) - 0.75).abs() < 0.01);
    }

    #[test]
    fn the_first_rank_comes_more_than_the_second() {
        let first = mean(|random| f64::from(u8::from(random.rank(20) == 0)));
        let second = mean(|random| f64::from(u8::from(random.rank(20) == 1)));
        assert!(first > 1.5 * second && second > 0.05, "{first} {second}");
    }
}
