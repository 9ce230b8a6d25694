//! Upper tail of the standard normal.

use std::f64::consts::{PI, SQRT_2};

/// `ln P(Z >= z)`. Past 30 the asymptotic series of Mills' ratio; its first left-out term is below 1e-10 there.
pub fn ln_normal_sf(z: f64) -> f64 {
    if z < 30.0 {
        return libm::log(0.5 * libm::erfc(z / SQRT_2)).min(0.0);
    }
    let inverse = 1.0 / (z * z);
    let series = -inverse * (1.0 - inverse * (3.0 - inverse * 15.0));
    -0.5 * z * z - libm::log(z) - 0.5 * libm::log(2.0 * PI) + libm::log1p(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_and_no_step_where_the_formulas_meet() {
        assert!((ln_normal_sf(0.0) - libm::log(0.5)).abs() < 1e-15);
        assert!((libm::exp(ln_normal_sf(1.959_963_984_540_054)) - 0.025).abs() < 1e-14);
        let slope = (ln_normal_sf(30.001) - ln_normal_sf(29.999)) / 0.002;
        assert!((slope + 30.033).abs() < 0.001, "{slope}");
        assert!(ln_normal_sf(1e200) == f64::NEG_INFINITY && ln_normal_sf(-40.0) == 0.0);
    }
}
