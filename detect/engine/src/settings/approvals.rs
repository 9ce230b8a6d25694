//! Settings of the rules on approvals.

use serde::{Deserialize, Serialize};

use super::{Bound, COUNT_MAX, DAY_S, Settings, count, widened};

/// Settings of `approval_wait_ceiling`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalWaitCeiling {
    /// Default 1,800.
    pub window_s: i64,
    /// Approvals below which there is no verdict. Default 3.
    pub approvals_min: u64,
    /// Seconds from which on a median is an alert. Default 600.
    pub wait_min_s: i64,
    /// From which on it is severe. Default 1,200.
    pub wait_severe_s: i64,
}

/// Settings of `approval_wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalWait {
    /// Shorter waits are never an alert, however unusual. Default 600.
    pub wait_min_s: i64,
    /// Approvals that may wait at a time, for all rules on approvals; beyond, those go first whose asker never had one decided, or has the most. Default 16,384.
    pub approvals_max: usize,
    /// As for [`super::FailureRate`]. Default 500.
    pub budget_milli: i64,
}

/// Settings of `approval_too_fast`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalTooFast {
    /// Default 3,600.
    pub window_s: i64,
    /// A wait below is too short to have looked. Default 2,000.
    pub wait_min_ms: i64,
    /// How many of those make an alert. Default 5.
    pub approvals_min: u64,
}

/// Settings of `approval_abandoned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalAbandoned {
    /// Approvals of a window that ended, below which there is no verdict. Default 5.
    pub ended_min: u64,
    /// Abandoned ones below which there is none. Default 3.
    pub abandoned_min: u64,
    /// As for [`super::FailureRate`]. Default 500.
    pub budget_milli: i64,
}

impl Default for ApprovalWaitCeiling {
    fn default() -> Self {
        let approvals_min = schemas::limits::ENGINE_WAITS_MIN;
        Self { window_s: 1_800, approvals_min, wait_min_s: 600, wait_severe_s: 1_200 }
    }
}

impl Default for ApprovalWait {
    fn default() -> Self {
        let approvals_max = schemas::limits::ENGINE_PENDING_MAX;
        Self { wait_min_s: 600, approvals_max, budget_milli: 500 }
    }
}

impl Default for ApprovalTooFast {
    fn default() -> Self {
        let approvals_min = schemas::limits::ENGINE_STAMPS_MIN;
        Self { window_s: 3_600, wait_min_ms: 2_000, approvals_min }
    }
}

impl Default for ApprovalAbandoned {
    fn default() -> Self {
        use schemas::limits::{ENGINE_ABANDONED_MIN, ENGINE_ENDED_MIN};
        Self { ended_min: ENGINE_ENDED_MIN, abandoned_min: ENGINE_ABANDONED_MIN, budget_milli: 500 }
    }
}

/// What each may be.
pub(super) fn bounds(settings: &Settings) -> Vec<Bound> {
    let (waits, stamps) = (&settings.approval_wait_ceiling, &settings.approval_too_fast);
    let (wait, abandoned) = (&settings.approval_wait, &settings.approval_abandoned);
    vec![
        ("approval_wait_ceiling.window_s", waits.window_s, 300, 30 * DAY_S),
        ("approval_wait_ceiling.approvals_min", widened(waits.approvals_min), 1, COUNT_MAX),
        ("approval_wait_ceiling.wait_min_s", waits.wait_min_s, 1, 30 * DAY_S),
        ("approval_wait_ceiling.wait_severe_s", waits.wait_severe_s, waits.wait_min_s, 30 * DAY_S),
        ("approval_wait.wait_min_s", wait.wait_min_s, 1, 30 * DAY_S),
        ("approval_wait.approvals_max", count(wait.approvals_max), 1, COUNT_MAX),
        ("approval_wait.budget_milli", wait.budget_milli, 1, 1_000_000),
        ("approval_too_fast.window_s", stamps.window_s, settings.buckets, 30 * DAY_S),
        ("approval_too_fast.wait_min_ms", stamps.wait_min_ms, 1, DAY_S * 1_000),
        ("approval_too_fast.approvals_min", widened(stamps.approvals_min), 1, COUNT_MAX),
        ("approval_abandoned.ended_min", widened(abandoned.ended_min), 1, COUNT_MAX),
        ("approval_abandoned.abandoned_min", widened(abandoned.abandoned_min), 1, COUNT_MAX),
        ("approval_abandoned.budget_milli", abandoned.budget_milli, 1, 1_000_000),
    ]
}
