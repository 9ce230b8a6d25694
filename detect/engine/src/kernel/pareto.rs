//! The generalised Pareto law of excesses over a high threshold.

/// Shape `xi` and scale `sigma` of excesses: `P(Y > y) = (1 + xi y / sigma)^(-1 / xi)`, exponential at `xi = 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pareto {
    pub shape: f64,
    pub scale: f64,
}

impl Pareto {
    /// Fits by probability-weighted moments (Hosking and Wallis 1987) to excesses that come in ascending order as
    /// (excess, how often); the shape is kept within `bottom..=top`, and the scale then keeps the mean. None without an
    /// excess above 0.
    pub fn fit(ascending: &[(f64, u64)], bottom: f64, top: f64) -> Option<Pareto> {
        let total = ascending.iter().fold(0.0, |sum, (_, count)| sum + *count as f64);
        let (mut mean, mut weighted, mut below) = (0.0, 0.0, 0.0);
        for (excess, count) in ascending {
            let count = *count as f64;
            // The mean share of the sample that lies above each of the tied values.
            let above = (total - below - 0.5 * (count + 1.0)) / (total - 1.0).max(1.0);
            mean += excess * count / total;
            weighted += excess * count * above / total;
            below += count;
        }
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        let spread = mean - 2.0 * weighted;
        let shape = if spread > 0.0 { (2.0 - mean / spread).max(bottom).min(top) } else { bottom };
        Some(Pareto { shape, scale: mean * (1.0 - shape) })
    }

    /// `ln P(Y > y)`; 0 below 0, minus infinity beyond the end of a law with an end.
    pub fn ln_sf(&self, y: f64) -> f64 {
        if y <= 0.0 {
            return 0.0;
        }
        let ratio = y / self.scale;
        if self.shape.abs() < 1e-9 {
            -ratio
        } else if self.shape * ratio <= -1.0 {
            f64::NEG_INFINITY
        } else {
            -libm::log1p(self.shape * ratio) / self.shape
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quantiles of a law as a sample.
    fn sample(law: Pareto) -> Vec<(f64, u64)> {
        (0..2_000)
            .map(|at| {
                let sf = 1.0 - (f64::from(at) + 0.5) / 2_000.0;
                let y = if law.shape == 0.0 {
                    -libm::log(sf)
                } else {
                    (libm::pow(sf, -law.shape) - 1.0) / law.shape
                };
                (law.scale * y, 3)
            })
            .collect()
    }

    #[test]
    fn a_fit_finds_the_law_of_its_sample() {
        for law in [
            Pareto { shape: 0.0, scale: 1.0 },
            Pareto { shape: 0.3, scale: 2.5 },
            Pareto { shape: -0.2, scale: 4.0 },
        ] {
            let found = Pareto::fit(&sample(law), -0.5, 0.5).unwrap();
            assert!((found.shape - law.shape).abs() < 0.02, "{law:?} {found:?}");
            assert!((found.scale / law.scale - 1.0).abs() < 0.02, "{law:?} {found:?}");
        }
    }

    #[test]
    fn a_clamped_shape_keeps_the_mean() {
        let heavy = sample(Pareto { shape: 0.45, scale: 1.0 });
        let mean = heavy.iter().map(|(y, _)| y).sum::<f64>() / 2_000.0;
        let found = Pareto::fit(&heavy, 0.0, 0.2).unwrap();
        assert!(found.shape == 0.2 && (found.scale / 0.8 / mean - 1.0).abs() < 1e-12);
        assert_eq!(Pareto::fit(&[(0.0, 9)], 0.0, 0.5), None);
        assert_eq!(Pareto::fit(&[], 0.0, 0.5), None);
    }

    #[test]
    fn tails_are_those_of_the_formula() {
        assert_eq!(Pareto { shape: 0.0, scale: 2.0 }.ln_sf(6.0), -3.0);
        assert!((Pareto { shape: 0.5, scale: 1.0 }.ln_sf(2.0) + 2.0 * std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(Pareto { shape: -0.5, scale: 1.0 }.ln_sf(2.0), f64::NEG_INFINITY);
    }
}
