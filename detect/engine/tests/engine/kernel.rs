//! Tails against tables of another making, and on any number at all.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;

use engine::kernel::{ARGUMENT_TOP, Tail, ln_betabin_mid, ln_betabin_sf, ln_nb_mid, ln_nb_sf};
use proptest::prelude::*;

const TABLES: &str = include_str!("kernel/tables.txt");
/// What is promised, of p where arguments are up to `EXACT_TOP` and p down to 1e-300, and of ln p everywhere.
const ERROR: f64 = 1e-10;
const EXACT_TOP: f64 = 1e5;

#[derive(Debug)]
struct Row<'a> {
    text: &'a str,
    largest: f64,
    found: Tail,
    expected: f64,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    TABLES.lines().filter(|line| !line.starts_with('#')).map(|text| {
        let words: Vec<&str> = text.split(' ').collect();
        let real = |at: usize| words[at].parse::<f64>().unwrap();
        let count = |at: usize| words[at].parse::<u64>().unwrap();
        let (found, expected) = match words[0] {
            "nb" => (ln_nb_sf(count(1), real(2), real(3)), real(4)),
            "betabin" => (ln_betabin_sf(count(1), count(2), real(3), real(4)), real(5)),
            other => panic!("a row of {other}"),
        };
        let largest = (1..words.len() - 1).map(real).fold(0.0, f64::max);
        Row { text, largest, found, expected }
    })
}

#[test]
fn tails_agree_with_the_tables() {
    let (mut exact, mut deep, mut wrong, mut worst) = (0, 0, Vec::new(), 0.0_f64);
    for row in rows() {
        let difference = (row.found.ln_p - row.expected).abs();
        let in_p = difference;
        let in_ln_p = difference / row.expected.abs();
        let is_exact = row.largest <= EXACT_TOP && row.expected > -690.0;
        exact += usize::from(is_exact);
        deep += usize::from(row.expected < -690.0);
        worst = worst.max(if is_exact { in_p.max(in_ln_p) } else { in_ln_p });
        if row.found.is_clamped || in_ln_p.is_nan() || in_ln_p > ERROR || (is_exact && in_p > ERROR) {
            wrong.push(format!("{}: {:?}, off by {in_p:.1e} and {in_ln_p:.1e}", row.text, row.found));
        }
    }
    println!("kernel tables: {exact} rows held in p, {deep} below 1e-300, worst error {worst:.1e}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(exact >= 150 && deep >= 20, "{exact} {deep}");
}

/// The table is what its script makes, where Python with mpmath is (`tests/run` names it).
#[test]
fn the_script_makes_the_tables() {
    let Ok(python) = std::env::var("TACHO_PYTHON") else {
        println!("SKIPPED: kernel tables made anew: no TACHO_PYTHON with mpmath");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/kernel/tables.py");
    let output = Command::new(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == TABLES.as_bytes(), "tables.txt is not what tables.py prints");
}

/// Any finite number, with every size as likely as another.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (-320.0..308.0_f64).prop_map(|e| 10_f64.powf(e))
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..2_000_u64, (0..64_u32).prop_map(|bits| 1_u64 << bits)]
}

fn is_tail(tail: Tail) -> bool {
    tail.ln_p <= 0.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_number_gives_a_tail_in_bounded_time(x in count(), r in finite(), mu in finite()) {
        let tail = ln_nb_sf(x, r, mu);
        prop_assert!(is_tail(tail) && tail.ln_p.is_finite(), "{tail:?}");
        let is_inside = x as f64 <= ARGUMENT_TOP && (1e-3..=1e9).contains(&r) && (1e-9..=1e6).contains(&mu);
        prop_assert_eq!(tail.is_clamped, !is_inside);
        prop_assert!(ln_nb_mid(x, r, mu).ln_p <= tail.ln_p);
    }

    #[test]
    fn a_share_of_any_number_gives_a_tail(k in count(), n in 0..200_000_u64, a in finite(), b in finite()) {
        let tail = ln_betabin_sf(k, n, a, b);
        prop_assert!(is_tail(tail) && (tail.ln_p.is_finite() || k > n), "{tail:?}");
        prop_assert!(ln_betabin_mid(k, n, a, b).ln_p <= tail.ln_p);
    }

    #[test]
    fn a_tail_falls_with_the_observation_and_grows_with_the_mean(
        x in 0..3_000_u64, r in 1e-2..1e4_f64, mu in 1e-3..1e4_f64
    ) {
        let here = ln_nb_sf(x, r, mu).ln_p;
        prop_assert!(ln_nb_sf(x + 1, r, mu).ln_p <= here + 1e-12);
        prop_assert!(ln_nb_sf(x, r, mu * 1.01).ln_p >= here - 1e-12);
    }
}
