//! Random numbers that are the same on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)`.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisson_has_its_mean_and_variance() {
        let mut random = Random::new(1);
        for mean in [0.3, 5.0, 16.0, 100.0] {
            let draws: Vec<f64> = (0..20_000).map(|_| random.poisson(mean) as f64).collect();
            let found = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|x| (x - found) * (x - found)).sum::<f64>() / 20_000.0;
            assert!((found / mean - 1.0).abs() < 0.04, "{mean} {found}");
            assert!((variance / mean - 1.0).abs() < 0.06, "{mean} {variance}");
        }
        assert_eq!(random.poisson(0.0), 0);
    }
}
