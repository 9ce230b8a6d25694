//! Upper tail of the beta-binomial: `k` of `n` where the chance itself is a beta of shapes `a` and `b`.
//!
//! The sum of its terms by their ratios, from the observed value outwards, with a bound on what is left out. A first
//! term is a quotient of three negative binomial probabilities of one `p`, each of which is accurate by itself.

use super::saddle::ln_nb_pmf;
use super::{Domain, LN_NEAR_ONE, SHAPE_BOTTOM, SHAPE_TOP, Tail, ln_one_minus_exp};

/// `ln P(K >= k)` for a beta-binomial of `n` draws and shapes `a`, `b`; minus infinity where `k > n`.
pub fn ln_betabin_sf(k: u64, n: u64, a: f64, b: f64) -> Tail {
    let mut domain = Domain::default();
    let is_beyond = k > n;
    let (k, n) = (domain.count(k), domain.count(n));
    let a = domain.within(a, SHAPE_BOTTOM, SHAPE_TOP);
    let b = domain.within(b, SHAPE_BOTTOM, SHAPE_TOP);
    let ln_p = if is_beyond {
        f64::NEG_INFINITY
    } else if k == 0.0 {
        0.0
    } else if k > n * (a / (a + b)) {
        less_of(ln_upper(k, n, a, b), || ln_upper(n - k + 1.0, n, b, a))
    } else {
        ln_one_minus_exp(less_of(ln_upper(n - k + 1.0, n, b, a), || ln_upper(k, n, a, b)))
    };
    Tail { ln_p: ln_p.min(0.0), is_clamped: domain.is_clamped }
}

/// The upper mid-p of `k` as a logarithm: half of `P(K >= k)` plus half of `P(K > k)`.
pub fn ln_betabin_mid(k: u64, n: u64, a: f64, b: f64) -> Tail {
    Tail::middle(ln_betabin_sf(k, n, a, b), ln_betabin_sf(k.saturating_add(1), n, a, b))
}

/// A side, by its own sum or, where that comes near 1, as what the other side leaves.
fn less_of(ln_side: f64, ln_other: impl FnOnce() -> f64) -> f64 {
    if ln_side > LN_NEAR_ONE { ln_one_minus_exp(ln_other()) } else { ln_side }
}

/// `ln P(K >= k)` summed upwards, at most `n` terms.
fn ln_upper(k: f64, n: f64, a: f64, b: f64) -> f64 {
    let (mut sum, mut term, mut at) = (1.0_f64, 1.0_f64, k);
    // A front that fell below the range of a double scales the sum, so that terms which grow later are not lost.
    let mut ln_scale = 0.0;
    while at < n {
        let towards = (n - at) / (n - at - 1.0 + b);
        let ratio = (at + a) / (at + 1.0) * towards;
        term *= ratio;
        sum += term;
        at += 1.0;
        // With b >= 1 the ratios to come are no greater than this, so that a geometric series bounds the rest.
        let bound = if a >= 1.0 { ratio } else { towards };
        if b >= 1.0 && bound < 1.0 && term * bound < 1e-17 * sum * (1.0 - bound) {
            break;
        }
        if sum > 1e290 {
            (sum, term, ln_scale) = (sum * 1e-290, term * 1e-290, ln_scale + 290.0 * std::f64::consts::LN_10);
        }
    }
    ln_pmf(k, n, a, b) + libm::log(sum) + ln_scale
}

fn ln_pmf(k: f64, n: f64, a: f64, b: f64) -> f64 {
    let (share, share_rest) = (a / (a + b), b / (a + b));
    ln_nb_pmf(k, a, n * share) + ln_nb_pmf(n - k, b, n * share_rest) - ln_nb_pmf(n, a + b, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_a_uniform_are_a_staircase() {
        // a = b = 1: every k of 0..=n has the same chance.
        for k in 0..=50_u32 {
            let expected = libm::log((51.0 - f64::from(k)) / 51.0);
            assert!((ln_betabin_sf(k.into(), 50, 1.0, 1.0).ln_p - expected).abs() < 1e-13, "{k}");
        }
        assert_eq!(ln_betabin_sf(51, 50, 1.0, 1.0).ln_p, f64::NEG_INFINITY);
        let last = ln_betabin_mid(50, 50, 1.0, 1.0).ln_p;
        assert!((last - libm::log(0.5 / 51.0)).abs() < 1e-13);
    }

    #[test]
    fn a_heap_at_the_far_end_is_counted() {
        // b below 1: terms fall and rise again, so that nothing may be cut off.
        let whole: f64 = (0..=2_000).map(|k| libm::exp(ln_pmf(f64::from(k), 2_000.0, 0.01, 0.01))).sum();
        assert!((whole - 1.0).abs() < 1e-11, "{whole}");
        let tail = libm::exp(ln_betabin_sf(1_001, 2_000, 0.01, 0.01).ln_p);
        let middle = libm::exp(ln_pmf(1_000.0, 2_000.0, 0.01, 0.01));
        assert!((2.0 * tail + middle - 1.0).abs() < 1e-11, "{tail}");
    }
}
