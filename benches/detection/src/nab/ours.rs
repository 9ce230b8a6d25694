//! Our detector on any series: the same for all, nothing set for one file or one kind of file.
//!
//! Each side of each [`Scale`] says how rare what it sees is by its own past. Where all values so far are counts, the engine's
//! baseline of counts says so as well. The scores are summed (Fisher 1925, "Statistical Methods for Research Workers": of independent
//! probabilities the sum of logarithms is what counts), so that what is odd from many sides comes before what is odder from
//! one. The sides hang together, and the sum is no probability: it orders, and a threshold must be found for it.

use engine::baseline::{CountBaseline, Parent};
use engine::kernel::ARGUMENT_TOP;
use engine::recalibration::Recalibration;

use super::scale::Scale;
use super::stream::Stream;
use super::tail::Tail;

/// Records of a block: with one in five minutes 5, 15 and 60 minutes, and four hours.
const SCALES: [usize; 4] = [1, 3, 12, 48];

#[derive(Debug, Clone)]
pub struct Ours {
    scales: [Scale; SCALES.len()],
    counts: Counts,
}

impl Default for Ours {
    fn default() -> Ours {
        Ours { scales: SCALES.map(Scale::new), counts: Counts::Unknown { first: None } }
    }
}

impl Stream for Ours {
    fn step(&mut self, second: i64, value: f64) -> f64 {
        let scales: f64 = self.scales.iter_mut().map(|scale| scale.step(second, value)).sum();
        scales + self.counts.step(second, value)
    }
}

/// Whether the values are counts, as far as was seen.
#[derive(Debug, Clone)]
enum Counts {
    /// Perhaps, but the length of a bucket is not known yet.
    Unknown {
        first: Option<i64>,
    },
    Are(Box<CountModel>),
    /// One was no count, and none will be taken for one again.
    AreNot,
}

impl Counts {
    /// The score of a count; 0 for what is none.
    fn step(&mut self, second: i64, value: f64) -> f64 {
        let is_count = value >= 0.0 && value.fract() == 0.0 && value <= ARGUMENT_TOP;
        match self {
            _ if !is_count => *self = Counts::AreNot,
            Counts::AreNot => {}
            Counts::Are(model) => return model.step(second, value as u64),
            Counts::Unknown { first: None } => *self = Counts::Unknown { first: Some(second) },
            Counts::Unknown { first: Some(first) } if second > *first => {
                *self = Counts::Are(Box::new(CountModel::new(second - *first)));
            }
            Counts::Unknown { .. } => {}
        }
        0.0
    }
}

/// The engine's baseline and recalibration, as in `ours.rs` of the calibration but for the peers, of which a file has none.
#[derive(Debug, Clone)]
struct CountModel {
    bucket_seconds: i64,
    baseline: CountBaseline,
    recalibration: Recalibration,
    /// What is asked until the recalibration has seen enough.
    young: Tail,
    day: i64,
}

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;

impl CountModel {
    fn new(bucket_seconds: i64) -> CountModel {
        let bucket_seconds = bucket_seconds.clamp(1, HOUR_SECONDS);
        CountModel {
            bucket_seconds,
            baseline: CountBaseline::new(bucket_seconds),
            recalibration: Recalibration::new(),
            young: Tail::default(),
            day: i64::MIN,
        }
    }

    fn step(&mut self, second: i64, count: u64) -> f64 {
        let (bucket, day) = (second.div_euclid(self.bucket_seconds), second.div_euclid(DAY_SECONDS));
        if day > self.day {
            self.day = day;
            self.recalibration.turn(day);
        }
        let prediction = self.baseline.predict(bucket, &Parent::unknown());
        let raw = -prediction.ln_p(count);
        self.baseline.learn(bucket, count, &prediction, &Parent::unknown());
        let score = self.recalibration.ln_p(raw).map_or_else(|| self.young.score(raw), |ln_p| -ln_p);
        if prediction.is_settled {
            self.recalibration.observe(day, raw);
        }
        self.young.learn(raw);
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const DAY: usize = 288;
    /// Where the change begins: noon of the eleventh day.
    const CHANGE: usize = 10 * DAY + DAY / 2;

    /// Noise around 20, from nine to six around 80, over fourteen days, changed by `change` (record, value).
    fn series(change: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let mut random = Random::new(8);
        let usual = |at: usize, noise: f64| {
            if (108..216).contains(&(at % DAY)) { 80.0 + noise } else { 20.0 + noise }
        };
        (0..14 * DAY).map(|at| change(at, usual(at, random.poisson(50.0) as f64 / 10.0))).collect()
    }

    /// The record after the fourth day with the highest score.
    fn highest(values: &[f64]) -> usize {
        let mut ours = Ours::default();
        let scores = values.iter().enumerate().map(|(at, value)| ours.step(at as i64 * 300, *value));
        let late = scores.enumerate().skip(4 * DAY);
        late.max_by(|a, b| f64::total_cmp(&a.1, &b.1)).map_or(0, |(at, _)| at)
    }

    #[test]
    fn every_kind_of_change_stands_out() {
        let within = |from: usize, length: usize| move |at: usize| (from..from + length).contains(&at);
        let (one, hours, day) = (within(CHANGE, 1), within(CHANGE, 48), within(10 * DAY, DAY));
        let kinds: [(&str, Vec<f64>); 4] = [
            ("a spike", series(|at, x| if one(at) { 150.0 } else { x })),
            ("a fall", series(|at, x| if one(at) { -40.0 } else { x })),
            ("a day without its high hours", series(|at, x| if day(at) && x > 50.0 { x - 60.0 } else { x })),
            ("four hours of one value", series(|at, x| if hours(at) { 50.0 } else { x })),
        ];
        for (kind, values) in kinds {
            let at = highest(&values);
            assert!((10 * DAY..11 * DAY + 48).contains(&at), "{kind}: {at}");
        }
    }

    #[test]
    fn four_hours_that_are_a_deviation_higher_stand_out_of_noise() {
        for seed in 1..6 {
            let mut random = Random::new(seed);
            let shift = |at: usize| if (CHANGE..CHANGE + 48).contains(&at) { 0.7 } else { 0.0 };
            let values: Vec<f64> =
                (0..14 * DAY).map(|at| random.poisson(50.0) as f64 / 10.0 + shift(at)).collect();
            let at = highest(&values);
            assert!((CHANGE..CHANGE + 96).contains(&at), "seed {seed}: {at}");
        }
    }

    #[test]
    fn a_first_departure_from_a_constant_stands_out_and_a_constant_does_not() {
        let mut ours = Ours::default();
        let constant: f64 = (0..2_000).map(|at| ours.step(at * 300, 45.0)).skip(20).fold(0.0, f64::max);
        assert!(constant < 10.0, "{constant}");
        let departure = ours.step(2_000 * 300, 46.0);
        assert!(departure > 50.0, "{departure}");
    }

    #[test]
    fn what_was_no_count_once_is_none_again() {
        for other in [0.5, -1.0, 2e6, f64::NAN] {
            let mut counts = Counts::Unknown { first: None };
            for at in 0..100 {
                counts.step(at * 600, 5.0);
            }
            assert!(matches!(&counts, Counts::Are(model) if model.bucket_seconds == 600));
            assert!(counts.step(100 * 600, 500.0) > 3.0);
            counts.step(101 * 600, other);
            assert!(matches!(counts, Counts::AreNot), "{other}");
            assert_eq!(counts.step(102 * 600, 500.0), 0.0);
        }
    }
}
