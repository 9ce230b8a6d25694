//! Saddle-point pieces of binomial probabilities.
//!
//! Source: C. Loader, "Fast and accurate computation of binomial probabilities" (2000). Differences of logarithms of
//! gamma functions lose all their digits at large arguments; these pieces are small by themselves.

use std::f64::consts::PI;

/// Loader's `stirlerr`: `ln Gamma(n + 1)` minus Stirling's formula `(n + 1/2) ln n - n + ln(2 pi)/2`, for `n > 0`.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        return libm::lgamma(n + 1.0) - (n + 0.5) * libm::log(n) + n - 0.5 * libm::log(2.0 * PI);
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// Loader's `bd0` by its mean: `(1 + t) ln(1 + t) - t`, where `1 + t` is observed over expected.
fn deviance(t: f64) -> f64 {
    if t <= -1.0 {
        return 1.0;
    }
    if t.abs() >= 0.1 {
        return (1.0 + t) * libm::log1p(t) - t;
    }
    // The logarithm as the series of the inverse hyperbolic tangent, whose first term cancels with t by hand.
    let v = t / (2.0 + t);
    let square = v * v;
    let (mut sum, mut power) = (0.0, 1.0);
    // |v| < 0.053, so that eight terms are beyond the last bit.
    for odd in [3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0, 17.0] {
        power *= square;
        sum += power / odd;
    }
    t * v + 2.0 * (1.0 + t) * v * sum
}

/// `ln(q^x p^r / B(x, r))` with `p = r / (r + mu)` and `q = 1 - p`: what stands before the continued fraction of the
/// incomplete beta function. All arguments positive.
pub(super) fn ln_beta_front(x: f64, r: f64, mu: f64) -> f64 {
    let n = x + r;
    let (over, under) = (r * ((x - mu) / n) / mu, (mu - x) / n);
    let (expected, expected_rest) = (n * (mu / (r + mu)), n * (r / (r + mu)));
    let errors = stirling_error(n) - stirling_error(x) - stirling_error(r);
    errors - expected * deviance(over) - expected_rest * deviance(under)
        + 0.5 * libm::log(x * (r / n) / (2.0 * PI))
}

/// Logarithm of the probability that a negative binomial of mean `mu` and shape `r` is `x`.
pub(super) fn ln_nb_pmf(x: f64, r: f64, mu: f64) -> f64 {
    if x <= 0.0 { -r * libm::log1p(mu / r) } else { ln_beta_front(x, r, mu) - libm::log(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_an_error_and_a_deviance_agree_where_they_meet() {
        let below = stirling_error(15.0);
        assert!(
            (below - stirling_error(15.000_001)).abs() < 1e-9
                && (below - 0.005_554_733_551_962_8).abs() < 1e-13
        );
        for t in [-0.1_f64, 0.1] {
            let (inside, outside) = (deviance(t * 0.999_999_999), deviance(t));
            assert!((inside / outside - 1.0).abs() < 1e-8, "{inside} {outside}");
        }
        assert!((deviance(1e-9) / 0.5e-18 - 1.0).abs() < 1e-8);
    }

    #[test]
    fn probabilities_of_a_small_case_are_those_of_the_formula() {
        // r = 2, mu = 2: p = 1/2, and the probability of x is (x + 1) / 2^(x + 2).
        for x in 0..20 {
            let expected = f64::from(x + 1) / 2_f64.powi(x + 2);
            assert!((libm::exp(ln_nb_pmf(f64::from(x), 2.0, 2.0)) / expected - 1.0).abs() < 1e-13, "{x}");
        }
    }
}
