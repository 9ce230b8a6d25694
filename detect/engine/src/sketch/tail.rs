//! The largest of an entity's values: a generalised Pareto law of their logarithms above the 98th percentile.
//!
//! Sizes of outputs spread over powers of ten, so that logarithms have the moments that a fit needs. Bounds of the shape: one below 0 has an end, which a fit
//! to some dozens of values guesses, and behind which everything would be impossible; a heavier one than 1/5 on logarithms allows anything.

use super::Sketch;
use crate::kernel::Pareto;

/// Share of the values that the law is for.
const SHARE_PPM: u64 = 20_000;
/// Values below which a sketch says nothing of its tail.
const SETTLED: u64 = 200;
/// Values in a tail below which its shape is taken for the heaviest.
const FITTED: u64 = 20;
const SHAPE: (f64, f64) = (0.0, 0.2);
/// Assumed of a tail that is one value: outputs of one and the same size are followed by others of a few times that.
const ASSUMED: Pareto = Pareto { shape: SHAPE.1, scale: 0.5 };
/// ln p of the value that larger ones are learnt as: ln 1e-4.
const LN_LEARNT: f64 = -9.210_340_371_976_182;

/// What a value above the threshold is worth; follows from a sketch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tail {
    /// The tail is of values greater than this.
    pub threshold: u64,
    ln_threshold: f64,
    ln_mass: f64,
    law: Pareto,
}

impl Tail {
    pub fn of(sketch: &Sketch) -> Option<Tail> {
        let upper = sketch.upper(SHARE_PPM).filter(|upper| upper.total >= SETTLED)?;
        let ln_threshold = ln(upper.greatest);
        let excesses: Vec<(f64, u64)> = sketch
            .each()
            .filter(|(least, _, _)| *least > upper.greatest)
            .map(|(least, greatest, count)| (0.5 * (ln(least) + ln(greatest)) - ln_threshold, count))
            .collect();
        let bottom = if upper.above < FITTED { SHAPE.1 } else { SHAPE.0 };
        Some(Tail {
            threshold: upper.greatest,
            ln_threshold,
            ln_mass: libm::log((upper.above + 1) as f64 / (upper.total + 1) as f64),
            law: Pareto::fit(&excesses, bottom, SHAPE.1).unwrap_or(ASSUMED),
        })
    }

    /// ln P of so large a value; 0 up to the threshold, below which nothing is large.
    pub fn ln_p(&self, value: u64) -> f64 {
        if value <= self.threshold {
            return 0.0;
        }
        self.ln_mass + self.law.ln_sf(ln(value) - self.ln_threshold)
    }

    /// The value that larger ones are learnt as: that of p = 1e-4.
    pub fn learnt(&self) -> u64 {
        // y where the logarithm of the tail's part is what is left of ln 1e-4.
        let left = (self.ln_mass - LN_LEARNT).max(0.0);
        let Pareto { shape, scale } = self.law;
        let excess =
            if shape.abs() < 1e-9 { scale * left } else { scale * libm::expm1(shape * left) / shape };
        // A float beyond the range is its greatest number.
        libm::exp(self.ln_threshold + excess) as u64
    }
}

/// Of 0 that of 1: nothing is smaller than a byte.
fn ln(value: u64) -> f64 {
    libm::log(value.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lognormal(spread: f64) -> Sketch {
        let mut sketch = Sketch::default();
        for step in 1..20_000 {
            // Logistic quantiles: tails of ln that are exponential.
            let share = f64::from(step) / 20_000.0;
            sketch.add(libm::exp(7.0 + spread * libm::log(share / (1.0 - share))) as u64);
        }
        sketch
    }

    #[test]
    fn a_tail_is_extrapolated_on_logarithms() {
        let tail = Tail::of(&lognormal(0.5)).unwrap();
        for p in [1e-3, 1e-4, 1e-6] {
            let value = libm::exp(7.0 + 0.5 * libm::log((1.0 - p) / p)) as u64;
            let found = tail.ln_p(value) / libm::log(p);
            assert!((0.85..1.15).contains(&found), "{p}: {found}");
        }
        let learnt = tail.ln_p(tail.learnt());
        assert!((learnt - LN_LEARNT).abs() < 0.05, "{learnt}");
        assert_eq!(tail.ln_p(tail.threshold), 0.0);
    }

    #[test]
    fn outputs_of_one_size_have_a_tail_too() {
        let mut sketch = Sketch::default();
        assert_eq!(Tail::of(&sketch), None);
        (0..5_000).for_each(|_| sketch.add(1_000));
        let tail = Tail::of(&sketch).unwrap();
        assert!(tail.ln_p(1_100) > libm::log(1e-3) - 6.0 && tail.ln_p(10_000_000) < libm::log(1e-6));
        assert!(tail.ln_p(u64::MAX).is_finite());
    }

    #[test]
    fn what_is_learnt_has_a_number_whatever_the_law() {
        let mut sketch = Sketch::default();
        (0..40).for_each(|octave| (0..50).for_each(|_| sketch.add(1 << octave)));
        assert!(Tail::of(&sketch).unwrap().learnt() > 1 << 30);
    }
}
