//! Settings of the rules on sources.

use serde::{Deserialize, Serialize};

use super::{Bound, COUNT_MAX, DAY_S, Settings, count, widened};

/// Settings of `silent_source`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SilentSource {
    /// Shorter silences are never an alert, however unusual. Default 900.
    pub silence_min_s: i64,
    /// Nor are those in which fewer records were expected. Default 20.
    pub missing_min: i64,
    /// Sources remembered; beyond, those with the fewest records are forgotten. Default 1,024.
    pub sources_max: usize,
    /// As for [`super::FailureRate`]. Default 500.
    pub budget_milli: i64,
}

/// Settings of `sequence_gap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SequenceGap {
    /// Runs of numbers remembered (one a source, or one a session where the source numbers these). Default 16,384.
    pub runs_max: usize,
    /// Numbers that must be missing. Default 1.
    pub missing_min: u64,
    /// How long a number is waited for before it is told. Default 14,400 (4 h): what a collector held back while a line was down comes late.
    pub wait_s: i64,
}

impl Default for SilentSource {
    fn default() -> Self {
        Self {
            silence_min_s: schemas::limits::ENGINE_SILENCE_MIN_S,
            missing_min: schemas::limits::ENGINE_SILENCE_RECORDS_MIN,
            sources_max: schemas::limits::ENGINE_SOURCES_MAX,
            budget_milli: 500,
        }
    }
}

impl Default for SequenceGap {
    fn default() -> Self {
        let missing_min = schemas::limits::ENGINE_MISSING_MIN;
        Self {
            runs_max: schemas::limits::ENGINE_RUNS_MAX,
            missing_min,
            wait_s: schemas::limits::ENGINE_NUMBER_WAIT_S,
        }
    }
}

/// What each may be.
pub(super) fn bounds(settings: &Settings) -> Vec<Bound> {
    let (silent, gap) = (&settings.silent_source, &settings.sequence_gap);
    vec![
        ("silent_source.silence_min_s", silent.silence_min_s, 1, 30 * DAY_S),
        ("silent_source.missing_min", silent.missing_min, 1, COUNT_MAX),
        ("silent_source.sources_max", count(silent.sources_max), 1, COUNT_MAX),
        ("silent_source.budget_milli", silent.budget_milli, 1, 1_000_000),
        ("sequence_gap.runs_max", count(gap.runs_max), 1, COUNT_MAX),
        ("sequence_gap.missing_min", widened(gap.missing_min), 1, COUNT_MAX),
        ("sequence_gap.wait_s", gap.wait_s, 0, 30 * DAY_S),
    ]
}
