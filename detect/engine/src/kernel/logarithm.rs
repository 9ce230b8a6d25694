//! Complements of probabilities that are only there as logarithms.

/// `ln(1 - exp(a))` for `a <= 0`, exact at both ends (Maechler 2012, "Accurately computing log(1 - exp(-|a|))").
pub fn ln_one_minus_exp(a: f64) -> f64 {
    if a >= 0.0 {
        f64::NEG_INFINITY
    } else if a > -std::f64::consts::LN_2 {
        libm::log(-libm::expm1(a))
    } else {
        libm::log1p(-libm::exp(a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complements_are_exact_at_both_ends() {
        assert!((ln_one_minus_exp(-1e-20) - libm::log(1e-20)).abs() < 1e-12);
        let small = -50.0;
        assert!((ln_one_minus_exp(small) / -libm::exp(small) - 1.0).abs() < 1e-12);
        assert_eq!(ln_one_minus_exp(0.0), f64::NEG_INFINITY);
    }
}
