//! What the entities of a group have in common: where one that has shown little yet is drawn to.

use serde::{Deserialize, Serialize};

use super::count::CountBaseline;
use super::season::{DAYS, Factors, HOURS};
use crate::bits;

/// Whole days that an entity must have committed before it counts in its group.
const DAYS_ACTIVE: f64 = 7.0;
/// Bounds of the pseudo-exposure of a level, in days.
const WEIGHT_DAYS: (f64, f64) = (0.25, 30.0);

/// A snapshot of a group. Every entity counts alike, whatever its volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// Mean count of a bucket; 0 when nothing is known.
    #[serde(with = "bits")]
    pub(super) level: f64,
    /// Pseudo-exposure of the level, in buckets.
    #[serde(with = "bits")]
    pub(super) weight: f64,
    pub(super) factors: Factors,
    /// `1 / r`.
    #[serde(with = "bits")]
    pub(super) dispersion: f64,
}

impl Parent {
    /// What is assumed of a group of which nothing is known: no season, a variance of half the squared mean.
    pub fn unknown() -> Parent {
        Parent { level: 0.0, weight: 0.0, factors: Factors::flat(), dispersion: 0.5 }
    }

    /// Whether its entities have shown anything.
    pub fn is_known(&self) -> bool {
        self.weight > 0.0
    }

    /// The group as its entities show it, drawn to `above`. The pseudo-exposure is the one at which the spread of levels
    /// between entities equals that within one: `(mu + mu^2 / r) / tau^2`.
    pub fn of<'a>(entities: impl Iterator<Item = &'a CountBaseline> + Clone, above: &Parent) -> Parent {
        let known = entities.filter(|one| one.days_committed() >= DAYS_ACTIVE);
        let number = known.clone().count() as f64;
        if number < 2.0 {
            return above.clone();
        }
        let mean = |of: &dyn Fn(&CountBaseline) -> f64| known.clone().map(of).sum::<f64>() / number;
        let level = mean(&|one| one.level(above));
        let dispersion = mean(&|one| one.dispersion(above));
        let spread =
            mean(&|one| (one.level(above) - level) * (one.level(above) - level)) * number / (number - 1.0);
        let day = known.clone().next().map_or(0.0, CountBaseline::buckets_of_day);
        let weight = (level + level * level * dispersion) / spread.max(f64::MIN_POSITIVE);
        let each: Vec<Factors> = known.map(|one| one.factors(above)).collect();
        let mut factors = Factors::flat();
        for hour in 0..HOURS {
            factors.hours[hour] = each.iter().map(|one| one.hours[hour]).sum::<f64>() / number;
        }
        for day in 0..DAYS {
            factors.days[day] = each.iter().map(|one| one.days[day]).sum::<f64>() / number;
        }
        Parent {
            level,
            weight: weight.max(WEIGHT_DAYS.0 * day).min(WEIGHT_DAYS.1 * day),
            factors,
            dispersion,
        }
    }
}
