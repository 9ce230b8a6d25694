//! Settings of the rules on active minutes.

use schemas::limits::{ENGINE_SUSTAINED_FAILURES_MIN, ENGINE_SUSTAINED_MINUTES_MIN};
use serde::{Deserialize, Serialize};

use super::{Bound, Settings};

/// Settings of `call_rate_sustained`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallRateSustained {
    /// Minutes with calls, of an hour or four, below which nothing is told, however unusual. Default 12.
    pub minutes_min: i64,
    /// Thousandths of an episode that may open in a tenant's day by chance. Default 700.
    pub budget_milli: i64,
}

impl Default for CallRateSustained {
    fn default() -> Self {
        Self { minutes_min: ENGINE_SUSTAINED_MINUTES_MIN, budget_milli: 700 }
    }
}

/// Settings of `denial_rate_sustained` and `auth_failure_rate_sustained`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailureRateSustained {
    /// As for [`CallRateSustained`]. Default 4.
    pub minutes_min: i64,
    /// As for [`CallRateSustained`]. Default 700.
    pub budget_milli: i64,
}

impl Default for FailureRateSustained {
    fn default() -> Self {
        Self { minutes_min: ENGINE_SUSTAINED_FAILURES_MIN, budget_milli: 700 }
    }
}

/// What each may be.
pub(super) fn bounds(settings: &Settings) -> Vec<Bound> {
    let sustained = &settings.call_rate_sustained;
    let (denial, auth) = (&settings.denial_rate_sustained, &settings.auth_failure_rate_sustained);
    vec![
        ("call_rate_sustained.minutes_min", sustained.minutes_min, 1, 60),
        ("call_rate_sustained.budget_milli", sustained.budget_milli, 1, 1_000_000),
        ("denial_rate_sustained.minutes_min", denial.minutes_min, 1, 60),
        ("denial_rate_sustained.budget_milli", denial.budget_milli, 1, 1_000_000),
        ("auth_failure_rate_sustained.minutes_min", auth.minutes_min, 1, 60),
        ("auth_failure_rate_sustained.budget_milli", auth.budget_milli, 1, 1_000_000),
    ]
}
