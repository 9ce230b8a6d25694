//! The engine's baselines over a set of series that are taken for one peer group.

use engine::baseline::{CountBaseline, Parent, Prediction};
use engine::recalibration::Recalibration;

use crate::model::Model;
use crate::series::{BUCKET_SECONDS, DAY};

/// One baseline and recalibration a series, and one for all; the group is seen anew each day.
#[derive(Debug)]
pub struct Ours {
    baselines: Vec<CountBaseline>,
    own: Vec<Recalibration>,
    parent: Parent,
    peers: Recalibration,
    day: i64,
}

impl Ours {
    pub fn new(series: usize) -> Ours {
        Ours {
            baselines: vec![CountBaseline::new(BUCKET_SECONDS); series],
            own: vec![Recalibration::new(); series],
            parent: Parent::unknown(),
            peers: Recalibration::new(),
            day: i64::MIN,
        }
    }

    /// The raw score, and what it is worth: by the series' own past, else by that of all.
    fn score(&self, series: usize, prediction: &Prediction, count: u64) -> (f64, f64) {
        let raw = -prediction.ln_p(count);
        let ln_p = self.own[series].ln_p(raw).or_else(|| self.peers.ln_p(raw));
        (raw, ln_p.map_or(raw, |ln_p| -ln_p))
    }
}

impl Model for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn step(&mut self, bucket: i64, counts: &[Option<u64>]) -> Vec<f64> {
        let day = bucket.div_euclid(DAY as i64);
        if day > self.day {
            self.day = day;
            self.own.iter_mut().chain([&mut self.peers]).for_each(|scores| scores.turn(day));
            self.parent = Parent::of(self.baselines.iter(), &Parent::unknown());
        }
        let mut all = Vec::with_capacity(counts.len());
        for (at, count) in counts.iter().enumerate() {
            let Some(count) = *count else {
                all.push(0.0);
                continue;
            };
            let prediction = self.baselines[at].predict(bucket, &self.parent);
            let (raw, score) = self.score(at, &prediction, count);
            self.baselines[at].learn(bucket, count, &prediction, &self.parent);
            if prediction.is_settled {
                self.own[at].observe(day, raw);
                self.peers.observe(day, raw);
            }
            all.push(score);
        }
        all
    }

    fn probe(&self, bucket: i64, series: usize, counts: &[u64]) -> f64 {
        let mut copy = self.baselines[series].clone();
        let each = (bucket..).zip(counts).map(|(bucket, count)| {
            let prediction = copy.predict(bucket, &self.parent);
            copy.learn(bucket, *count, &prediction, &self.parent);
            self.score(series, &prediction, *count).1
        });
        each.fold(0.0, f64::max)
    }
}
