use proptest::prelude::*;

use super::*;

/// Five-minute buckets.
const BUCKET: i64 = 300;
const DAY: i64 = 288;

/// Poisson counts that are the same in every run (Knuth's product of uniform numbers).
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (mut count, mut product, floor) = (0, self.uniform(), libm::exp(-mean));
        while product > floor {
            count += 1;
            product *= self.uniform();
        }
        count
    }
}

/// Learns the buckets with what `count` says of each.
fn learnt(baseline: &mut CountBaseline, buckets: std::ops::Range<i64>, mut count: impl FnMut(i64) -> u64) {
    let parent = Parent::unknown();
    for bucket in buckets {
        let prediction = baseline.predict(bucket, &parent);
        baseline.learn(bucket, count(bucket), &prediction, &parent);
    }
}

fn after(days: i64, count: impl FnMut(i64) -> u64) -> CountBaseline {
    let mut baseline = CountBaseline::new(BUCKET);
    learnt(&mut baseline, 0..days * DAY, count);
    baseline
}

fn usual(baseline: &CountBaseline, bucket: i64) -> f64 {
    let parent = Parent::unknown();
    baseline.usual_by(baseline.factors(&parent).at(baseline.hour(bucket)), &parent)
}

#[test]
fn the_hours_and_the_days_are_learnt() {
    let rate = |bucket: i64| {
        let (hour, day) = (bucket / 12 % 24, bucket / DAY % 7);
        if day >= 5 {
            2.0
        } else if (8..18).contains(&hour) {
            40.0
        } else {
            4.0
        }
    };
    let mut noise = Noise(1);
    let baseline = after(35, |bucket| noise.poisson(rate(bucket)));
    let monday = 35 * DAY;
    let (noon, night, saturday) = (
        usual(&baseline, monday + 144),
        usual(&baseline, monday + 24),
        usual(&baseline, monday + 5 * DAY + 144),
    );
    // Four Saturdays weigh against two of a flat week; hours times days is not quite what this week is.
    assert!((30.0..50.0).contains(&noon) && (3.0..8.0).contains(&night), "{noon} {night}");
    assert!(saturday < 0.4 * noon, "{saturday}");
}

#[test]
fn an_hour_reaches_the_slow_level_after_three_days_and_no_sooner() {
    let mut noise = Noise(2);
    let mut baseline = after(20, |_| noise.poisson(10.0));
    learnt(&mut baseline, 20 * DAY..20 * DAY + 12, |_| 200);
    let before = (baseline.slow.sum, baseline.slow.exposure);
    let burst = baseline.pending.back().unwrap().counts.sum;
    assert!(burst < 12.0 * 200.0, "winsorised: {burst}");
    learnt(&mut baseline, 20 * DAY + 12..23 * DAY + 12, |_| noise.poisson(10.0));
    assert_eq!(baseline.pending.front().unwrap().hour, 20 * 24);
    let rate = baseline.slow.sum / baseline.slow.exposure;
    assert!((rate / (before.0 / before.1) - 1.0).abs() < 0.03, "{rate}");
    learnt(&mut baseline, 23 * DAY + 12..23 * DAY + 13, |_| 10);
    assert_eq!(baseline.pending.front().unwrap().hour, 20 * 24 + 1);
    assert!(baseline.slow.sum / baseline.slow.exposure > rate);
}

#[test]
fn what_changes_today_moves_the_usual_by_a_factor_of_two_at_most() {
    let mut noise = Noise(3);
    let mut baseline = after(30, |_| noise.poisson(10.0));
    learnt(&mut baseline, 30 * DAY..33 * DAY, |_| noise.poisson(60.0));
    let higher = usual(&baseline, 33 * DAY);
    assert!((19.0..23.0).contains(&higher), "{higher}");
    let mut quiet = after(30, |_| noise.poisson(10.0));
    learnt(&mut quiet, 30 * DAY..58 * DAY, |_| 0);
    assert!(quiet.ratio(&Parent::unknown()) == RATIO.0);
}

#[test]
fn the_last_half_hour_is_expected_to_go_on_and_then_forgotten() {
    let mut noise = Noise(4);
    let mut baseline = after(20, |_| noise.poisson(10.0));
    learnt(&mut baseline, 20 * DAY..20 * DAY + 12, |_| 80);
    let mean = |baseline: &CountBaseline, bucket| baseline.predict(bucket, &Parent::unknown()).mean;
    assert!(mean(&baseline, 20 * DAY + 12) > 50.0);
    learnt(&mut baseline, 20 * DAY + 12..20 * DAY + 60, |_| 10);
    assert!(mean(&baseline, 20 * DAY + 60) < 14.0);
}

#[test]
fn the_shape_is_that_of_the_counts() {
    let mut noise = Noise(5);
    let even = after(30, |_| noise.poisson(20.0)).dispersion(&Parent::unknown());
    assert!(even < 0.03, "{even}");
    // A mean of its own in each bucket, exponential: r = 1. Winsorising and the recent level take some of it.
    let uneven = after(30, |_| {
        let mean = -20.0 * libm::log(noise.uniform());
        noise.poisson(mean)
    });
    let dispersion = uneven.dispersion(&Parent::unknown());
    assert!((0.5..1.1).contains(&dispersion), "{dispersion}");
}

#[test]
fn a_stranger_is_expected_to_be_like_its_group() {
    let mut noise = Noise(6);
    let many: Vec<CountBaseline> = (0..8).map(|_| after(20, |_| noise.poisson(6.0))).collect();
    let parent = Parent::of(many.iter(), &Parent::unknown());
    let mut stranger = CountBaseline::new(BUCKET);
    let first = stranger.predict(20 * DAY, &parent);
    assert!((first.mean / 6.0 - 1.0).abs() < 0.1 && first.is_parent && !first.is_settled, "{first:?}");
    for bucket in 20 * DAY..55 * DAY {
        let prediction = stranger.predict(bucket, &parent);
        stranger.learn(bucket, 30, &prediction, &parent);
    }
    let later = stranger.predict(55 * DAY, &parent);
    assert!((later.mean / 30.0 - 1.0).abs() < 0.2 && !later.is_parent && later.is_settled, "{later:?}");
    let young = [after(5, |_| 9), after(5, |_| 9)];
    assert_eq!(Parent::of(young.iter(), &parent), parent);
}

#[test]
fn buckets_out_of_order_change_nothing() {
    let mut baseline = after(2, |_| 5);
    let before = baseline.clone();
    learnt(&mut baseline, 0..2 * DAY, |_| 500);
    assert_eq!(baseline, before);
}

#[test]
fn a_snapshot_at_any_bucket_goes_on_to_the_same_bits() {
    let counts = |bucket: i64| (bucket * bucket % 23) as u64;
    let whole = after(5, counts);
    for cut in (0..5 * DAY).step_by(37) {
        let mut baseline = CountBaseline::new(BUCKET);
        learnt(&mut baseline, 0..cut, counts);
        let bytes = serde_json::to_vec(&baseline).unwrap();
        let mut restored: CountBaseline = serde_json::from_slice(&bytes).unwrap();
        learnt(&mut restored, cut..5 * DAY, counts);
        assert_eq!(serde_json::to_vec(&restored).unwrap(), serde_json::to_vec(&whole).unwrap(), "{cut}");
    }
}

proptest! {
    #[test]
    fn any_counts_at_any_time_leave_a_prediction(
        steps in proptest::collection::vec((prop_oneof![0..5_i64, 0..100_000_i64, any::<i64>()], any::<u64>()), 1..60),
        seconds in any::<i64>(),
    ) {
        let mut baseline = CountBaseline::new(seconds);
        let mut bucket = 0_i64;
        for (step, count) in steps {
            bucket = bucket.saturating_add(step.saturating_abs());
            let prediction = baseline.predict(bucket, &Parent::unknown());
            prop_assert!(prediction.mean > 0.0 && prediction.mean.is_finite(), "{prediction:?}");
            prop_assert!(prediction.shape > 0.0 && prediction.shape.is_finite(), "{prediction:?}");
            prop_assert!(prediction.ln_p(count) <= 0.0);
            baseline.learn(bucket, count, &prediction, &Parent::unknown());
            prop_assert!(baseline.pending.len() <= DELAY_HOURS as usize + 1);
        }
    }

    #[test]
    fn winsorising_stops_at_the_last_count_that_is_not_unusual(
        mean in 1e-3..1e4_f64, shape in 0.05..1e3_f64, count in any::<u32>()
    ) {
        let prediction = Prediction { mean, shape, is_parent: false, is_settled: true, factor: 1.0 };
        let kept = prediction.winsorised(count.into());
        prop_assert!(kept == u64::from(count) || prediction.ln_p(kept + 1) < LN_UNUSUAL);
        prop_assert!(kept == 0 || prediction.ln_p(kept) >= LN_UNUSUAL);
    }
}

proptest! {
    #[test]
    fn idle_buckets_are_learnt_together_as_one_by_one(
        steps in prop::collection::vec((0_u64..40, 0_i64..700), 1..40),
        parent_level in prop_oneof![Just(0.0), 0.01_f64..5.0],
    ) {
        let parent = if parent_level > 0.0 {
            Parent { level: parent_level, weight: 300.0, ..Parent::unknown() }
        } else {
            Parent::unknown()
        };
        let (mut together, mut alone, mut bucket) = (CountBaseline::new(300), CountBaseline::new(300), 5_900_000);
        for (count, idle) in steps {
            let (mut means, mut each) = (Vec::new(), Vec::new());
            together.learn_idle(bucket..bucket + idle, &parent, |prediction| means.push(*prediction));
            for bucket in bucket..bucket + idle {
                let prediction = alone.predict(bucket, &parent);
                each.push(prediction);
                alone.learn(bucket, 0, &prediction, &parent);
            }
            prop_assert_eq!(means, each);
            bucket += idle;
            let prediction = alone.predict(bucket, &parent);
            prop_assert_eq!(together.predict(bucket, &parent), prediction);
            together.learn(bucket, count, &prediction, &parent);
            alone.learn(bucket, count, &prediction, &parent);
            bucket += 1;
        }
        prop_assert_eq!(together, alone);
    }
}
