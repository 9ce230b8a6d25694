use proptest::prelude::*;

use super::*;

/// Scores of a model whose p is the `power`-th root of the true one, as quantiles: `number` a day.
fn filled(days: i64, number: u32, power: f64) -> Recalibration {
    let mut scores = Recalibration::new();
    for day in 0..days {
        scores.turn(day);
        for at in 0..number {
            // Another part of the law each day.
            let p = (f64::from(at) + (day as f64 + 0.5) / days as f64) / f64::from(number);
            scores.observe(day, -libm::log(p) * power);
        }
    }
    scores
}

#[test]
fn a_model_that_overstates_is_brought_back() {
    let mut scores = filled(28, 1_000, 3.0);
    scores.turn(31);
    for p in [0.5, 0.1, 0.03, 1e-2, 1e-3, 1e-4] {
        let found = scores.ln_p(-libm::log(p) * 3.0).unwrap();
        assert!((found - libm::log(p)).abs() < 0.1, "{p}: {}", libm::exp(found));
    }
}

#[test]
fn a_day_counts_after_three_whole_days_and_for_four_weeks() {
    let mut scores = Recalibration::new();
    scores.turn(10);
    for _ in 0..SCORES {
        scores.observe(10, 1.0);
    }
    for (day, counts) in [(11, false), (13, false), (14, true), (41, true), (42, false)] {
        scores.turn(day);
        assert_eq!(scores.ln_p(1.0).is_some(), counts, "{day}");
    }
    assert!(scores.days.is_empty());
}

#[test]
fn too_few_scores_give_no_answer() {
    let mut scores = filled(1, SCORES as u32 - 1, 1.0);
    scores.turn(4);
    assert_eq!(scores.ln_p(1.0), None);
}

#[test]
fn an_atom_counts_half_and_what_is_above_it_is_the_tail() {
    let mut scores = Recalibration::new();
    scores.turn(0);
    for at in 0..10_000 {
        // 99.5 % of the scores are one value, the rest twice that.
        scores.observe(0, if at % 200 == 0 { 2.0 } else { 1.0 });
    }
    scores.turn(4);
    let atom = libm::exp(scores.ln_p(1.0).unwrap());
    assert!((atom - (0.005 + 0.995 / 2.0)).abs() < 1e-3, "{atom}");
    let above = libm::exp(scores.ln_p(1.1).unwrap());
    assert!((0.003..=0.0052).contains(&above), "{above}");
    assert!(scores.ln_p(10.0).unwrap() < scores.ln_p(2.0).unwrap());
}

#[test]
fn a_snapshot_answers_as_before() {
    let mut scores = filled(20, 500, 1.7);
    scores.turn(23);
    let bytes = serde_json::to_vec(&scores).unwrap();
    let mut restored: Recalibration = serde_json::from_slice(&bytes).unwrap();
    restored.turn(23);
    assert_eq!(restored, scores);
}

proptest! {
    #[test]
    fn a_higher_score_is_never_likelier(
        scores in proptest::collection::vec(0.0..30.0_f64, 200), asked in proptest::collection::vec(0.0..1e5_f64, 20)
    ) {
        let mut pool = Recalibration::new();
        pool.turn(0);
        for score in scores.iter().cycle().take(SCORES as usize) {
            pool.observe(0, *score);
        }
        pool.turn(4);
        let mut asked = asked;
        asked.extend(&scores);
        asked.sort_by(f64::total_cmp);
        let found: Vec<f64> = asked.iter().map(|score| pool.ln_p(*score).unwrap()).collect();
        prop_assert!(found.iter().all(|ln_p| ln_p.is_finite() && *ln_p <= 0.0));
        prop_assert!(found.is_sorted_by(|a, b| a >= b), "{found:?}");
    }
}

proptest! {
    #[test]
    fn what_is_taken_out_was_never_in(
        filed in proptest::collection::vec((0_i64..12, 0.0_f64..40.0, any::<bool>()), 0..200),
        more in 0_i64..12,
    ) {
        let mut filed = filed;
        filed.sort_by_key(|(day, ..)| *day);
        let today = filed.last().map_or(more, |(day, ..)| more.max(*day));
        let (mut all, mut kept) = (Recalibration::new(), Recalibration::new());
        for (day, score, is_true) in &filed {
            all.turn(*day);
            kept.turn(*day);
            all.observe(*day, *score);
            // What counts by then stays.
            if !is_true || counts_on(*day, today) {
                kept.observe(*day, *score);
            }
        }
        all.turn(today);
        kept.turn(today);
        for (day, score, _) in filed.iter().filter(|(.., is_true)| *is_true) {
            all.take_out(*day, *score);
        }
        all.turn(today + 4);
        kept.turn(today + 4);
        prop_assert_eq!(all, kept);
    }
}

#[test]
fn lumps_in_the_tail_have_their_rank_where_no_law_fits_them() {
    let mut recalibration = Recalibration::new();
    recalibration.turn(39);
    for at in 0..30_000_u32 {
        // Nineteen of a thousand are small, four have one large surprise, and two in ten thousand two of them.
        let score = match at % 10_000 {
            0..2 => 12.0,
            2..40 => 6.0,
            40..230 => 0.1 + f64::from(at % 7) * 0.01,
            _ => 0.02,
        };
        recalibration.observe(i64::from(at % 28) + 9, score);
    }
    recalibration.turn(40);
    let by_rank = |score: f64| libm::exp(recalibration.ln_p_by_rank(score).unwrap());
    let by_law = |score: f64| libm::exp(recalibration.ln_p(score).unwrap());
    assert!((by_rank(6.0) / 0.004 - 1.0).abs() < 0.01, "{}", by_rank(6.0));
    assert!((by_rank(12.0) / 2e-4 - 1.0).abs() < 0.2, "{}", by_rank(12.0));
    assert!((by_rank(9.0) / 2e-4 - 1.0).abs() < 0.2, "{}", by_rank(9.0));
    assert!(by_law(6.0) < 0.002, "the law passes through between the lumps: {}", by_law(6.0));
    assert!(by_rank(40.0) <= 1.0 / 30_001.0);
    assert_eq!(Recalibration::new().ln_p_by_rank(1.0), None);
}
