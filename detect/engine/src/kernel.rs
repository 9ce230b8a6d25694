//! Tail probabilities in log space, the same to the last bit on every machine.
//!
//! Everything here is a pure function of numbers, on the crate `libm` and never on the platform's logarithms. A tail is
//! `ln P(X >= x)`: never subtracted from 1, never left as a bare probability, since 1e-4000 is an answer like any other.
//!
//! - Relative error of p at most 1e-10 for arguments up to 1e5 and p down to 1e-300; of ln p at most 1e-10 for
//!   arguments up to [`ARGUMENT_TOP`]. Held against tables made with mpmath (`tests/engine/kernel/`).
//! - What lies outside of a domain is brought to its edge, and the answer says so ([`Tail::is_clamped`]). A number that
//!   is none counts as the lower edge.
//! - The steps of every loop are bounded ([`STEPS`], or the size of the sample).

mod beta_binomial;
mod logarithm;
mod negative_binomial;
mod normal;
mod pareto;
mod saddle;

pub use beta_binomial::{ln_betabin_mid, ln_betabin_sf};
pub use logarithm::ln_one_minus_exp;
pub use negative_binomial::{ln_nb_mid, ln_nb_sf};
pub use normal::ln_normal_sf;
pub use pareto::Pareto;

/// Largest count and mean that a tail is computed for.
pub const ARGUMENT_TOP: f64 = 1e6;
/// Smallest mean that a tail is computed for.
pub const MEAN_BOTTOM: f64 = 1e-9;
/// Smallest shape (the dispersion parameter r, a beta's a and b) that a tail is computed for.
pub const SHAPE_BOTTOM: f64 = 1e-3;
/// Largest shape; a negative binomial with it is a Poisson for every count here.
pub const SHAPE_TOP: f64 = 1e9;
/// Steps after which a continued fraction is given up and its answer tagged. The slowest corner of the domain
/// (shape 1e-3, mean 1e6) takes about half.
const STEPS: u32 = 400_000;

/// The logarithm of a tail probability, at most 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    pub ln_p: f64,
    /// Whether an argument was outside the domain, so that the answer is that of the domain's edge.
    pub is_clamped: bool,
}

impl Tail {
    /// Half of each of two neighbouring tails: the upper mid-p of a discrete observation.
    fn middle(at: Tail, above: Tail) -> Tail {
        let is_clamped = at.is_clamped || above.is_clamped;
        if at.ln_p == f64::NEG_INFINITY {
            return Tail { is_clamped, ..at };
        }
        let step = (above.ln_p - at.ln_p).min(0.0);
        Tail { ln_p: at.ln_p + libm::log1p(0.5 * libm::expm1(step)), is_clamped }
    }
}

/// Above it, as a logarithm, a side of a distribution is better had from what the other side leaves.
const LN_NEAR_ONE: f64 = -0.1;

/// Arguments brought into their domains, and whether any had to be.
#[derive(Debug, Default)]
struct Domain {
    is_clamped: bool,
}

impl Domain {
    fn within(&mut self, value: f64, bottom: f64, top: f64) -> f64 {
        if value >= bottom && value <= top {
            return value;
        }
        self.is_clamped = true;
        if value > top { top } else { bottom }
    }

    fn count(&mut self, value: u64) -> f64 {
        self.within(value as f64, 0.0, ARGUMENT_TOP)
    }
}
