//! What a figure of a day usually is: mean and spread of its square root, drawn to those of others.

use serde::{Deserialize, Serialize};

use crate::baseline::kept;
use crate::bits;

/// Days that a spread of the peers' is worth. It takes many days to know one's own.
const SPREAD_DAYS: f64 = 30.0;
/// Bounds of the days that a mean of the peers' is worth.
const MEAN_DAYS: (f64, f64) = (0.02, 10.0);
/// Variance of a day where nobody has shown one: about what a square root of a count has, with moods.
const VARIANCE_UNKNOWN: f64 = 0.5;
/// Days without which a level says nothing, where there are no peers.
const DAYS_ALONE: f64 = 5.0;
/// Days that an anchored level is worth at least: it is known to be the entity's own, and not its peers'.
const DAYS_ANCHORED: f64 = 10.0;
/// Days up to which a level is young.
const DAYS_YOUNG: f64 = 20.0;
/// Variance between entities that is at least taken for granted.
const BETWEEN_LEAST: f64 = 0.05;
/// How many deviations above the mean are learnt at most: p = 1e-4.
const WINSOR: f64 = 3.719_016_485_455_68;

/// Sums over days that had anything; each such day makes the ones before it fade.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    #[serde(with = "bits")]
    weight: f64,
    #[serde(with = "bits")]
    sum: f64,
    #[serde(with = "bits")]
    squares: f64,
}

/// What entities of a kind have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peers {
    #[serde(with = "bits")]
    mean: f64,
    #[serde(with = "bits")]
    variance: f64,
    /// Days that their mean is worth: where the spread within an entity is small beside that between them, few.
    #[serde(with = "bits")]
    days: f64,
}

/// What is expected of the square root of a day's figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub mean: f64,
    pub deviation: f64,
    /// Whether it is more the peers' than the entity's own.
    pub is_peer: bool,
}

impl Expected {
    /// Deviations that a figure is above the mean.
    pub fn deviations(&self, figure: f64) -> f64 {
        (libm::sqrt(figure) - self.mean) / self.deviation
    }

    /// The figure itself that is expected.
    pub fn figure(&self) -> f64 {
        self.mean * self.mean
    }
}

impl Level {
    pub fn new() -> Level {
        Level { weight: 0.0, sum: 0.0, squares: 0.0 }
    }

    /// Learns a day that had anything. `half_life` is in such days.
    pub fn learn(&mut self, figure: f64, expected: Option<Expected>, half_life: f64) {
        let value = libm::sqrt(figure);
        let value = expected.map_or(value, |expected| value.min(expected.mean + WINSOR * expected.deviation));
        let share = kept(1.0, half_life);
        self.weight = self.weight * share + 1.0;
        self.sum = self.sum * share + value;
        self.squares = self.squares * share + value * value;
    }

    /// Forgets where the level was, not how wide it is, and takes these figures for it: it has changed for good.
    pub fn anchor(&mut self, figures: impl Iterator<Item = f64>) {
        let variance = self.variance();
        let (mut days, mut sum) = (0.0, 0.0);
        for figure in figures {
            days += 1.0;
            sum += libm::sqrt(figure);
        }
        if days > 0.0 {
            let (mean, weight) = (sum / days, f64::max(days, DAYS_ANCHORED));
            *self = Level { weight, sum: weight * mean, squares: weight * (mean * mean + variance) };
        }
    }

    /// Whether it has yet to find its place.
    pub fn is_young(&self) -> bool {
        self.weight < DAYS_YOUNG
    }

    fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    fn variance(&self) -> f64 {
        if self.weight > 0.0 {
            (self.squares / self.weight - self.mean() * self.mean()).max(0.0)
        } else {
            0.0
        }
    }

    pub fn expected(&self, peers: Option<&Peers>) -> Option<Expected> {
        if peers.is_none() && self.weight < DAYS_ALONE {
            return None;
        }
        let of = peers.copied().unwrap_or(Peers { mean: 0.0, variance: VARIANCE_UNKNOWN, days: 0.0 });
        let mean = (self.sum + of.mean * of.days) / (self.weight + of.days);
        let variance =
            (self.variance() * self.weight + of.variance * SPREAD_DAYS) / (self.weight + SPREAD_DAYS);
        let deviation = libm::sqrt(variance * (1.0 + 1.0 / (self.weight + of.days)));
        Some(Expected { mean, deviation, is_peer: self.weight < of.days || self.weight < DAYS_ALONE })
    }
}

impl Peers {
    /// Where for a week nobody had anything: a minute on one day, about.
    pub fn of_nobody() -> Peers {
        Peers { mean: 1.0, variance: VARIANCE_UNKNOWN, days: 1.0 }
    }

    /// Of entities that are known, each counting alike; none of fewer than two.
    pub fn of<'a>(levels: impl Iterator<Item = &'a Level> + Clone) -> Option<Peers> {
        let known = levels.filter(|level| level.weight >= DAYS_ALONE);
        let number = known.clone().count() as f64;
        if number < 2.0 {
            return None;
        }
        let mean_of = |of: &dyn Fn(&Level) -> f64| known.clone().map(of).sum::<f64>() / number;
        let mean = mean_of(&Level::mean);
        let variance = mean_of(&|level| level.variance() * level.weight / (level.weight - 1.0)).max(1e-3);
        let spread = mean_of(&|level| {
            let off = level.mean() - mean;
            off * off - variance / level.weight
        });
        let days = (variance / spread.max(BETWEEN_LEAST)).max(MEAN_DAYS.0).min(MEAN_DAYS.1);
        Some(Peers { mean, variance, days })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(figures: impl IntoIterator<Item = f64>) -> Level {
        let mut level = Level::new();
        figures.into_iter().for_each(|figure| level.learn(figure, None, 30.0));
        level
    }

    #[test]
    fn it_goes_from_the_peers_to_its_own() {
        let all = [level([4.0; 20]), level([9.0; 20]), level((0..20).map(|day| f64::from(4 + day % 3)))];
        let peers = Peers::of(all.iter()).unwrap();
        let of = |days: usize| level(vec![100.0; days]).expected(Some(&peers)).unwrap();
        let means: Vec<f64> = [0, 1, 3, 10, 40].iter().map(|days| of(*days).figure()).collect();
        assert!(means.is_sorted() && means[0] < 7.0 && means[4] > 90.0, "{means:?}");
        assert!(of(0).is_peer && !of(20).is_peer);
        assert!(of(0).deviation > of(20).deviation);
    }

    #[test]
    fn alone_it_takes_five_days() {
        assert_eq!(level([9.0; 4]).expected(None), None);
        let alone = level([9.0; 20]).expected(None).unwrap();
        assert!((alone.mean - 3.0).abs() < 1e-12 && alone.deviation > 0.3);
        assert!(Peers::of([level([9.0; 20])].iter()).is_none());
    }

    #[test]
    fn what_is_unusual_is_learnt_as_what_just_would_not_be() {
        let mut one = level((0..30).map(|day| f64::from(16 + day % 5)));
        let expected = one.expected(None).unwrap();
        let before = one.mean();
        one.learn(1e6, Some(expected), 30.0);
        assert!(one.mean() - before < 0.2, "{} {}", before, one.mean());
    }

    #[test]
    fn an_anchored_level_keeps_its_spread() {
        let mut one = level((0..30).map(|day| f64::from(10 + 7 * (day % 2))));
        let before = one.variance();
        one.anchor([40.0, 40.0, 40.0].into_iter());
        assert!((one.variance() - before).abs() < 1e-9);
        assert!((one.mean() * one.mean() - 40.0).abs() < 1e-9);
    }
}
