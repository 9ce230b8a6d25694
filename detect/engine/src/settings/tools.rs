//! Settings of the rules on tools.

use serde::{Deserialize, Serialize};

use super::{Bound, COUNT_MAX, DAY_S, Settings, widened};

/// Settings of `oversized_output`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OversizedOutput {
    /// Outputs of fewer bytes are never an alert, however unusual. Default 65,536.
    pub bytes_min: i64,
    /// As for [`super::FailureRate`]. Default 500.
    pub budget_milli: i64,
}

/// Settings of `quarantine_rate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineRate {
    /// Outputs of a window below which there is no verdict. Default 20.
    pub outputs_min: u64,
    /// Quarantined ones below which there is none. Default 3.
    pub quarantined_min: u64,
    /// As for [`super::FailureRate`]. Default 500.
    pub budget_milli: i64,
}

/// Settings of `quarantine_ratio_ceiling`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineRatioCeiling {
    /// Default 900.
    pub window_s: i64,
    /// Outputs below which there is no verdict. Default 100.
    pub outputs_min: u64,
    /// Quarantined ones below which there is none. Default 2.
    pub quarantined_min: u64,
    /// Quarantined outputs per million from which on it is an alert. Default 10,000 (1 %).
    pub ratio_min_ppm: i64,
    /// From which on it is severe. Default 30,000 (3 %).
    pub ratio_severe_ppm: i64,
}

/// Settings of `p95_latency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P95Latency {
    /// Calls of a window below which there is no verdict. Default 20.
    pub calls_min: u64,
    /// Thousandths of the usual p95 that the window's is at least. Default 1,500.
    pub times_min_milli: i64,
    /// Milliseconds that it is more at least. Default 50.
    pub more_min_ms: i64,
    /// As for [`super::FailureRate`]. Default 500.
    pub budget_milli: i64,
}

/// Settings of `tool_error_budget`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolErrorBudget {
    /// Failed calls per million that a tool may have. Default 10,000 (1 %).
    pub budget_ppm: i64,
    /// What the budget is for; of it the explanation alone says how much failed. Default 86,400 (a day).
    pub period_s: i64,
    /// Calls in a window below which there is no verdict. Default 20.
    pub calls_min: u64,
    /// A window, and thousandths of the budget that are too much in it and in its last twelfth. Default 3,600 and 14,400 (14.4 %).
    pub fast_window_s: i64,
    pub fast_times_milli: i64,
    /// A longer one, in which less is. Default 21,600 and 6,000 (6 %).
    pub slow_window_s: i64,
    pub slow_times_milli: i64,
}

impl Default for ToolErrorBudget {
    fn default() -> Self {
        Self {
            budget_ppm: 10_000,
            period_s: 86_400,
            calls_min: schemas::limits::ENGINE_TIMED_MIN,
            fast_window_s: 3_600,
            fast_times_milli: 14_400,
            slow_window_s: 21_600,
            slow_times_milli: 6_000,
        }
    }
}

impl Default for OversizedOutput {
    fn default() -> Self {
        Self { bytes_min: schemas::limits::ENGINE_OVERSIZED_BYTES_MIN, budget_milli: 500 }
    }
}

impl Default for QuarantineRate {
    fn default() -> Self {
        use schemas::limits::{ENGINE_OUTPUTS_MIN, ENGINE_QUARANTINED_MIN};
        Self { outputs_min: ENGINE_OUTPUTS_MIN, quarantined_min: ENGINE_QUARANTINED_MIN, budget_milli: 500 }
    }
}

impl Default for QuarantineRatioCeiling {
    fn default() -> Self {
        Self {
            window_s: 900,
            outputs_min: schemas::limits::ENGINE_CEILING_OUTPUTS_MIN,
            quarantined_min: schemas::limits::ENGINE_CEILING_QUARANTINED_MIN,
            ratio_min_ppm: 10_000,
            ratio_severe_ppm: 30_000,
        }
    }
}

impl Default for P95Latency {
    fn default() -> Self {
        let calls_min = schemas::limits::ENGINE_TIMED_MIN;
        Self { calls_min, times_min_milli: 1_500, more_min_ms: 50, budget_milli: 500 }
    }
}

/// What each may be.
pub(super) fn bounds(settings: &Settings) -> Vec<Bound> {
    let (of, ceiling) = (&settings.quarantine_rate, &settings.quarantine_ratio_ceiling);
    let (size, latency) = (&settings.oversized_output, &settings.p95_latency);
    let (severe_ppm, least_ppm) = (ceiling.ratio_severe_ppm, ceiling.ratio_min_ppm);
    let budget = &settings.tool_error_budget;
    // No share is over the whole.
    let times_milli_max = 1_000_000_000 / budget.budget_ppm.max(1);
    vec![
        ("tool_error_budget.budget_ppm", budget.budget_ppm, 1, 1_000_000),
        ("tool_error_budget.calls_min", widened(budget.calls_min), 1, COUNT_MAX),
        ("tool_error_budget.fast_window_s", budget.fast_window_s, 60, DAY_S),
        ("tool_error_budget.slow_window_s", budget.slow_window_s, budget.fast_window_s, 30 * DAY_S),
        ("tool_error_budget.period_s", budget.period_s, budget.slow_window_s, 30 * DAY_S),
        ("tool_error_budget.slow_times_milli", budget.slow_times_milli, 1_000, times_milli_max),
        (
            "tool_error_budget.fast_times_milli",
            budget.fast_times_milli,
            budget.slow_times_milli,
            times_milli_max,
        ),
        ("quarantine_rate.outputs_min", widened(of.outputs_min), 1, COUNT_MAX),
        ("quarantine_rate.quarantined_min", widened(of.quarantined_min), 1, COUNT_MAX),
        ("quarantine_rate.budget_milli", of.budget_milli, 1, 1_000_000),
        ("quarantine_ratio_ceiling.window_s", ceiling.window_s, settings.buckets, 30 * DAY_S),
        ("quarantine_ratio_ceiling.outputs_min", widened(ceiling.outputs_min), 1, COUNT_MAX),
        ("quarantine_ratio_ceiling.quarantined_min", widened(ceiling.quarantined_min), 1, COUNT_MAX),
        ("quarantine_ratio_ceiling.ratio_min_ppm", least_ppm, 1, 1_000_000),
        ("quarantine_ratio_ceiling.ratio_severe_ppm", severe_ppm, least_ppm, 1_000_000),
        ("oversized_output.bytes_min", size.bytes_min, 1, 1 << 40),
        ("oversized_output.budget_milli", size.budget_milli, 1, 1_000_000),
        ("p95_latency.calls_min", widened(latency.calls_min), 1, COUNT_MAX),
        ("p95_latency.times_min_milli", latency.times_min_milli, 1_000, 1_000_000),
        ("p95_latency.more_min_ms", latency.more_min_ms, 0, DAY_S * 1_000),
        ("p95_latency.budget_milli", latency.budget_milli, 1, 1_000_000),
    ]
}
