//! Upper tail of the negative binomial: a gamma mixture of Poissons with mean `mu` and variance `mu + mu^2 / r`.
//!
//! `P(X >= x) = I_q(x, r)` with `q = mu / (r + mu)`. The continued fraction of the incomplete beta function (Didonato and
//! Morris 1992, TOMS 708, BFRAC) takes about the square root of what a sum of terms would; the mean decides which side
//! is computed, so that neither tail comes out of a subtraction.

use super::saddle::ln_beta_front;
use super::{ARGUMENT_TOP, Domain, MEAN_BOTTOM, SHAPE_BOTTOM, SHAPE_TOP, STEPS, Tail, ln_one_minus_exp};

/// `ln P(X >= x)` for a negative binomial of mean `mu` and shape `r`.
pub fn ln_nb_sf(x: u64, r: f64, mu: f64) -> Tail {
    let mut domain = Domain::default();
    let x = domain.count(x);
    let r = domain.within(r, SHAPE_BOTTOM, SHAPE_TOP);
    let mu = domain.within(mu, MEAN_BOTTOM, ARGUMENT_TOP);
    let (p, q) = (r / (r + mu), mu / (r + mu));
    let ln_p = if x == 0.0 {
        0.0
    } else {
        let is_upper = x > mu;
        let excess = (x - mu).abs() * p;
        let fraction = if is_upper { fraction(x, r, q, excess) } else { fraction(r, x, p, excess) };
        domain.is_clamped |= fraction.is_none();
        let ln_side = ln_beta_front(x, r, mu) - libm::log(fraction.unwrap_or(1.0));
        if is_upper { ln_side } else { ln_one_minus_exp(ln_side) }
    };
    Tail { ln_p: ln_p.min(0.0), is_clamped: domain.is_clamped }
}

/// The upper mid-p of `x` as a logarithm: half of `P(X >= x)` plus half of `P(X > x)`.
pub fn ln_nb_mid(x: u64, r: f64, mu: f64) -> Tail {
    Tail::middle(ln_nb_sf(x, r, mu), ln_nb_sf(x.saturating_add(1), r, mu))
}

/// The continued fraction below `x^a (1 - x)^b / B(a, b)` in `I_x(a, b)`, by Lentz's method as Thompson and Barnett
/// mended it; `excess = a - (a + b) x`, not negative. None when it has not settled after [`STEPS`].
fn fraction(a: f64, b: f64, x: f64, excess: f64) -> Option<f64> {
    const TINY: f64 = 1e-290;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut value = away_from_zero(a * (excess + 1.0) / (a + 1.0));
    let (mut above, mut below) = (value, 0.0);
    for step in 1..=STEPS {
        let m = f64::from(step);
        let odd = a + 2.0 * m - 1.0;
        let numerator = (a + m - 1.0) / odd * ((a + b + m - 1.0) / odd) * m * (b - m) * x * x;
        let denominator = m + m * (b - m) * x / odd + (a + m) * (excess + 1.0 + m * (2.0 - x)) / (odd + 2.0);
        below = 1.0 / away_from_zero(denominator + numerator * below);
        above = away_from_zero(denominator + numerator / above);
        let factor = above * below;
        value *= factor;
        if (factor - 1.0).abs() < 1e-15 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_a_geometric_are_powers() {
        // r = 1: P(X >= x) = q^x.
        for (mu, x) in [(1.0, 1), (1.0, 40), (0.01, 3), (500.0, 9_000), (500.0, 2)] {
            let expected = x as f64 * libm::log(mu / (1.0 + mu));
            let found = ln_nb_sf(x, 1.0, mu);
            assert!((found.ln_p / expected - 1.0).abs() < 1e-13, "{mu} {x}: {found:?} {expected}");
        }
    }

    #[test]
    fn the_middle_lies_between_its_tails() {
        let (at, above) = (ln_nb_sf(7, 3.0, 5.0), ln_nb_sf(8, 3.0, 5.0));
        let expected = 0.5 * (libm::exp(at.ln_p) + libm::exp(above.ln_p));
        assert!((libm::exp(ln_nb_mid(7, 3.0, 5.0).ln_p) / expected - 1.0).abs() < 1e-14);
    }

    #[test]
    fn outside_is_the_edge_and_says_so() {
        assert_eq!(ln_nb_sf(u64::MAX, 2.0, 3.0), Tail { is_clamped: true, ..ln_nb_sf(1_000_000, 2.0, 3.0) });
        assert_eq!(ln_nb_sf(5, f64::NAN, 3.0), Tail { is_clamped: true, ..ln_nb_sf(5, SHAPE_BOTTOM, 3.0) });
        assert_eq!(ln_nb_sf(5, 2.0, f64::INFINITY), Tail { is_clamped: true, ..ln_nb_sf(5, 2.0, 1e6) });
        assert!(!ln_nb_sf(1_000_000, SHAPE_TOP, MEAN_BOTTOM).is_clamped);
    }
}
