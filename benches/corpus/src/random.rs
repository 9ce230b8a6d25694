//! Random numbers that are the same on every machine: integers and tables only.

/// SplitMix64 (Steele, Lea, Flood 2014): small state, so that every session can own an independent stream.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The stream `index` of the family `purpose` under `seed`; streams do not depend on the order they are opened in.
    pub(crate) fn stream(seed: u64, purpose: u64, index: u64) -> Self {
        let family = scramble(seed.wrapping_add(GOLDEN)) ^ purpose.wrapping_mul(GOLDEN);
        Self(scramble(scramble(family).wrapping_add(index.wrapping_mul(0xD1B5_4A32_D192_ED03))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scramble(self.0)
    }

    pub(crate) fn next_u128(&mut self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(crate) fn chance_ppm(&mut self, parts_per_million: u64) -> bool {
        self.below(1_000_000) < parts_per_million
    }

    /// One of `choices`, each as likely; the list must not be empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A heavy-tailed positive amount with the given median (mean about 1.6 times it, at most 12 times).
    pub(crate) fn spread(&mut self, median: u64) -> u64 {
        let draw = self.next() >> 48;
        let (cell, part) = ((draw >> 12) as usize, draw & 0xFFF);
        let (low, high) = (SPREAD[cell], SPREAD[cell + 1]);
        let factor = low * 4096 + (high - low) * part;
        ((u128::from(median) * u128::from(factor)) >> 22) as u64
    }

    /// Appends `length` characters of `alphabet` (ASCII).
    pub(crate) fn push_text(&mut self, out: &mut String, alphabet: &[u8], length: usize) {
        for _ in 0..length {
            out.push(char::from(alphabet[self.below(alphabet.len() as u64) as usize]));
        }
    }
}

/// Sixteenths of a log-normal with sigma 1 and median 1, times 1024; the ends are cut at 0.1 and 12.
const SPREAD: [u64; 17] =
    [102, 221, 324, 422, 522, 628, 744, 875, 1024, 1198, 1408, 1670, 2010, 2486, 3235, 4747, 12288];

/// Zipf's law with exponent 1: rank `i` is drawn in proportion to `1 / (i + 1)`.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    cumulative: Vec<u64>,
}

impl Zipf {
    /// `ranks` must be at least 1.
    pub(crate) fn new(ranks: usize) -> Self {
        let mut sum = 0_u64;
        let cumulative = (0..ranks as u64)
            .map(|rank| {
                sum += (1_u64 << 32) / (rank + 1);
                sum
            })
            .collect();
        Self { cumulative }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0);
        let point = random.below(total);
        self.cumulative.partition_point(|&upto| upto <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_gives_the_first_rank_twice_the_second() {
        let (zipf, mut random) = (Zipf::new(50), Random::stream(1, 2, 3));
        let mut counts = [0_u32; 50];
        for _ in 0..200_000 {
            counts[zipf.draw(&mut random)] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts.iter().all(|&count| count > 0));
    }

    #[test]
    fn spread_has_the_median_asked_for_and_a_bounded_tail() {
        let mut random = Random::stream(9, 9, 9);
        let mut draws: Vec<u64> = (0..100_001).map(|_| random.spread(10_000)).collect();
        draws.sort_unstable();
        assert!((9_700..10_300).contains(&draws[50_000]), "{}", draws[50_000]);
        assert!(draws[0] >= 990 && draws[100_000] <= 120_000);
    }

    #[test]
    fn streams_are_independent_of_one_another() {
        let mut seen = std::collections::BTreeSet::new();
        for purpose in 0..10 {
            for index in 0..100 {
                assert!(seen.insert(Random::stream(7, purpose, index).next()));
            }
        }
    }
}
