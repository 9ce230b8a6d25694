//! How often such a number came up before: ranks, and beyond the 98th percentile a fitted tail.
//!
//! The rule of the engine's recalibration (`engine::recalibration`), for the first thousand numbers of one series: that one
//! gives no answer below 4,000 scores and waits three days before a score counts.

use engine::kernel::Pareto;

/// Share of the numbers that the fitted tail is for, at most.
const TAIL: f64 = 0.02;
/// Numbers in a tail below which ranks are all that is said, and below which it is taken for exponential.
const RANKS: usize = 8;
const FITTED: usize = 50;
/// A tail heavier than this has no variance to fit it by.
const SHAPE: f64 = 0.5;

/// All numbers so far, in ascending order.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    sorted: Vec<f64>,
}

impl Tail {
    /// `-ln P(X >= x)`, ties counting half; 0 before the first number.
    pub fn score(&self, x: f64) -> f64 {
        let number = self.sorted.len();
        let Some(below_tail) = number.checked_sub(1 + (TAIL * number as f64) as usize) else { return 0.0 };
        // Where an atom reaches past the percentile, the tail is what lies above the atom.
        let threshold = self.sorted[below_tail];
        if x > threshold
            && let Some(ln_p) = self.beyond(threshold, x)
        {
            return -ln_p;
        }
        let below = self.sorted.partition_point(|y| *y < x);
        let up_to = self.sorted.partition_point(|y| *y <= x);
        let (above, tied) = ((number - up_to) as f64, (up_to - below) as f64);
        -libm::log((above + 0.5 * (tied + 1.0)) / (number as f64 + 1.0)).min(0.0)
    }

    /// `ln P(X >= x)` by the law of what exceeds a threshold; none where that is too little.
    fn beyond(&self, threshold: f64, x: f64) -> Option<f64> {
        let first = self.sorted.partition_point(|y| *y <= threshold);
        let excesses: Vec<(f64, u64)> = self.sorted.iter().skip(first).map(|y| (y - threshold, 1)).collect();
        if excesses.len() < RANKS {
            return None;
        }
        let shape = if excesses.len() < FITTED { 0.0 } else { SHAPE };
        let law = Pareto::fit(&excesses, 0.0, shape)?;
        let mass = (excesses.len() + 1) as f64 / (self.sorted.len() + 1) as f64;
        Some(libm::log(mass) + law.ln_sf(x - threshold))
    }

    pub fn learn(&mut self, x: f64) {
        let at = self.sorted.partition_point(|y| *y <= x);
        self.sorted.insert(at, x);
    }
}

/// Both tails of a number.
#[derive(Debug, Clone, Default)]
pub struct Tails {
    upper: Tail,
    lower: Tail,
}

impl Tails {
    /// The rarer side's score at twice its probability, at least 0; then learns the number.
    pub fn step(&mut self, x: f64) -> f64 {
        let score = self.upper.score(x).max(self.lower.score(-x)) - std::f64::consts::LN_2;
        self.upper.learn(x);
        self.lower.learn(-x);
        score.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(numbers: impl IntoIterator<Item = f64>) -> Tail {
        let mut tail = Tail::default();
        numbers.into_iter().for_each(|x| tail.learn(x));
        tail
    }

    #[test]
    fn ranks_by_hand() {
        let tail = tail([2.0, 1.0, 3.0, 2.0]);
        let p = |x| libm::exp(-tail.score(x));
        // (above + (tied + 1) / 2) / (4 + 1).
        for (x, expected) in [(0.0, 0.9), (1.0, 0.8), (2.0, 0.5), (3.0, 0.2), (4.0, 0.1)] {
            assert!((p(x) - expected).abs() < 1e-12, "{x}: {}", p(x));
        }
        assert_eq!(Tail::default().score(7.0), 0.0);
    }

    #[test]
    fn far_beyond_all_numbers_the_law_of_the_largest_goes_on() {
        // The quantiles of an exponential law, whose score is the number itself.
        let tail = tail((0..5_000).map(|at| -libm::log(1.0 - (f64::from(at) + 0.5) / 5_000.0)));
        for x in [0.5, 2.0, 3.5, 4.5, 8.0, 20.0] {
            assert!((tail.score(x) / x - 1.0).abs() < 0.05, "{x}: {}", tail.score(x));
        }
    }

    #[test]
    fn an_atom_is_no_tail() {
        let mut constant = tail(std::iter::repeat_n(45.0, 1_000));
        assert!(constant.score(45.0) < 0.7);
        let first = constant.score(46.0);
        assert!((first - libm::log(2_002.0)).abs() < 1e-9, "{first}");
        // Ten numbers above the atom are a tail.
        (0..10).for_each(|at| constant.learn(46.0 + f64::from(at)));
        assert!(constant.score(90.0) > constant.score(60.0) + 1.0);
    }

    #[test]
    fn both_sides_count() {
        let mut tails = Tails::default();
        for at in 0..1_000 {
            tails.step(f64::from(at * 7 % 100));
        }
        assert!(tails.clone().step(150.0) > 4.0 && tails.clone().step(-50.0) > 4.0);
        assert!(tails.step(50.0) < 0.1);
    }
}
