//! What a number means: target met, to be watched, or blocking.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Gate, NO_ANSWER, Window, bare};
use crate::{Error, Result};

/// Over what, and from where on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// How far back the gate looks.
    pub window: Window,
    /// Up to this all is well, in the gate's unit.
    pub target: f64,
    /// Above this the gate blocks.
    pub block: f64,
}

/// The thresholds of all gates.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings(Vec<(Gate, Thresholds)>);

impl GateSettings {
    /// What is given; a gate that is not named has the thresholds of the check list.
    ///
    /// # Errors
    /// [`Error::Refused`] for a target above the block condition or a number that is none.
    pub fn new(all: Vec<(Gate, Thresholds)>) -> Result<GateSettings> {
        for (gate, Thresholds { target, block, .. }) in &all {
            if !(0.0..=*block).contains(target) || !block.is_finite() {
                return Err(Error::Refused {
                    code: "thresholds",
                    detail: format!(
                        "gate {gate}: target {target} and block {block} must be 0 <= target <= block"
                    ),
                });
            }
        }
        Ok(GateSettings(all))
    }

    /// Those of one gate.
    pub fn of(&self, gate: Gate) -> Thresholds {
        let found = self.0.iter().find(|(named, _)| *named == gate).map(|(_, thresholds)| *thresholds);
        found.unwrap_or_else(|| gate.thresholds())
    }
}

impl Default for GateSettings {
    fn default() -> GateSettings {
        GateSettings(Gate::ALL.map(|gate| (gate, gate.thresholds())).to_vec())
    }
}

impl Gate {
    /// The thresholds of the published check list.
    pub fn thresholds(self) -> Thresholds {
        let (minutes, target, block) = match self {
            Gate::AuthFailureRate => (15, 0.5, 2.0),
            Gate::UnapprovedHighRiskWrites => (10, 0.0, 0.0),
            Gate::ApprovalQueueP50Minutes => (30, 10.0, 20.0),
            Gate::ToolCallP95Ms => (15, 2_000.0, 5_000.0),
            Gate::OutputQuarantineRatio => (15, 1.0, 3.0),
            Gate::PolicyDenyRatioToBaseline => (15, 1.2, 2.0),
        };
        Thresholds { window: Window::of_minutes(minutes), target, block }
    }
}

/// What follows from a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target is met.
    Pass,
    /// Past the target, not yet blocking.
    Watch,
    /// Past the block condition.
    Block,
    /// There is no number: to be treated as blocking.
    NoAnswer,
}

/// One gate as it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Reading {
    /// Its name.
    pub gate: &'static str,
    /// The unit of `value`, `target` and `block`.
    pub unit: &'static str,
    /// Over how long.
    pub window: String,
    /// Up to this all is well.
    pub target: f64,
    /// Above this it blocks.
    pub block: f64,
    /// The number, unrounded; none without an answer.
    pub value: Option<f64>,
    /// What `GET /metrics/<gate>` says: rounded up, or 2147483647 without an answer.
    pub bare: i64,
    /// What follows.
    pub verdict: Verdict,
    /// Why there is no answer: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Reading {
    pub(super) fn new(gate: Gate, thresholds: Thresholds, value: &Result<f64>) -> Reading {
        let Thresholds { window, target, block } = thresholds;
        let verdict = match value {
            // NaN compares with nothing, and must not pass.
            Ok(value) if *value <= target => Verdict::Pass,
            Ok(value) if *value <= block => Verdict::Watch,
            Ok(_) => Verdict::Block,
            Err(_) => Verdict::NoAnswer,
        };
        let error: Option<&Error> = value.as_ref().err();
        Reading {
            gate: gate.name(),
            unit: gate.unit(),
            window: window.to_string(),
            target,
            block,
            value: value.as_ref().ok().copied(),
            bare: value.as_ref().map_or(NO_ANSWER, |value| bare(*value)),
            verdict,
            code: error.map(Error::code),
            detail: error.map(Error::to_string),
        }
    }
}
