//! Go or no-go: six numbers over a recent window, each held against the condition that blocks a launch.
//!
//! The gates are those of a published production check list: what each counts is its SQL in [`question`]. They are
//! asked through the same core as SQL, over one snapshot and with entries on the access log.
//!
//! Soundness: whatever cannot be answered is not a number, and callers must treat it as blocking. No event in the
//! window is no answer, because silence and health look alike: for that an event must be of the window by its own time and
//! by its receipt. What is counted is what was received in the window. Numbers are rounded up, never down.

use std::fmt;
use std::str::FromStr;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use schemas::limits;
use schemas::principal::Principal;

use crate::core::{Job, Param};
use crate::{Answer, Error, Query, Result};

mod baseline;
mod question;
mod verdict;
mod window;

pub use verdict::{GateSettings, Reading, Thresholds, Verdict};
pub use window::Window;

/// What scripts read where there is no number: larger than any condition.
pub const NO_ANSWER: i64 = limits::GATE_NO_ANSWER;

/// One of the six gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Failed authentications of all that were decided, per cent.
    AuthFailureRate,
    /// High-risk writes that ran without a valid approval.
    UnapprovedHighRiskWrites,
    /// Median wait for an approval, minutes; one that is pending counts at its present age.
    ApprovalQueueP50Minutes,
    /// 95th percentile (nearest rank) of the latency of tool calls, milliseconds.
    ToolCallP95Ms,
    /// Quarantined outputs of all outputs, per cent.
    OutputQuarantineRatio,
    /// Denied calls of all that were decided, over the same ratio at this hour of the last seven days.
    PolicyDenyRatioToBaseline,
}

impl Gate {
    /// All gates, in the order of the check list.
    pub const ALL: [Gate; 6] = [
        Gate::AuthFailureRate,
        Gate::UnapprovedHighRiskWrites,
        Gate::ApprovalQueueP50Minutes,
        Gate::ToolCallP95Ms,
        Gate::OutputQuarantineRatio,
        Gate::PolicyDenyRatioToBaseline,
    ];

    /// The name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Gate::AuthFailureRate => "auth-failure-rate",
            Gate::UnapprovedHighRiskWrites => "unapproved-high-risk-writes",
            Gate::ApprovalQueueP50Minutes => "approval-queue-p50-minutes",
            Gate::ToolCallP95Ms => "tool-call-p95-ms",
            Gate::OutputQuarantineRatio => "output-quarantine-ratio",
            Gate::PolicyDenyRatioToBaseline => "policy-deny-ratio-to-baseline",
        }
    }

    /// The unit of its number.
    pub const fn unit(self) -> &'static str {
        match self {
            Gate::AuthFailureRate | Gate::OutputQuarantineRatio => "percent",
            Gate::UnapprovedHighRiskWrites => "calls",
            Gate::ApprovalQueueP50Minutes => "minutes",
            Gate::ToolCallP95Ms => "milliseconds",
            Gate::PolicyDenyRatioToBaseline => "times the baseline",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Gate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Gate> {
        Gate::ALL.into_iter().find(|gate| gate.name() == text).ok_or_else(|| {
            let names = Gate::ALL.map(Gate::name).join(", ");
            Error::NotFound(format!("there is no gate {text:?}; the gates are {names}"))
        })
    }
}

impl Query {
    /// The number of one gate over `window`, or over its own window.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] when there is no source, no baseline or the detector is behind; [`Error::Forbidden`];
    /// as [`Query::sql`].
    pub async fn gate(&self, principal: &Principal, gate: Gate, window: Option<Window>) -> Result<f64> {
        let window = window.unwrap_or_else(|| self.gate_settings().of(gate).window);
        let readings = self.read(principal, "gate", &[(gate, window)]).await?;
        let reading = readings.into_iter().next();
        reading.ok_or_else(|| Error::Internal("a gate without a reading".to_string()))?
    }

    /// All six, each over its own window and with its verdict.
    ///
    /// # Errors
    /// As [`Query::gate`], but that a gate without an answer is a [`Reading`] that says why.
    pub async fn gates(&self, principal: &Principal) -> Result<Vec<Reading>> {
        let asked = Gate::ALL.map(|gate| (gate, self.gate_settings().of(gate).window));
        let values = self.read(principal, "gates", &asked).await?;
        let readings = asked.iter().zip(values);
        Ok(readings
            .map(|((gate, _), value)| Reading::new(*gate, self.gate_settings().of(*gate), &value))
            .collect())
    }

    async fn read(
        &self,
        principal: &Principal,
        action: &'static str,
        asked: &[(Gate, Window)],
    ) -> Result<Vec<Result<f64>>> {
        let now_us = self.access().now_us();
        let mut parts = Vec::new();
        for (gate, window) in asked {
            let start_us = now_us.saturating_sub(window.us());
            parts.push((question::SEEN.to_string(), vec![time(start_us)]));
            parts.push((question::of(*gate).to_string(), question::params(*gate, start_us, now_us)));
        }
        let statement: Vec<String> =
            asked.iter().map(|(gate, window)| format!("gate {gate} window={window}")).collect();
        let job = Job { action, statement: statement.join("\n"), parts, is_gate: true, ..Job::default() };
        let mut answer = self.run(principal, job).await?;
        let rows = collected(&mut answer).await?;
        let behind = self.gates_blocked(&principal.tenant).await;
        let values = asked.iter().zip(rows.chunks(2)).map(|((gate, window), rows)| match (rows, &behind) {
            (_, Some(reason)) => Err(Error::NoAnswer { code: "detector_behind", detail: reason.clone() }),
            ([seen, found], None) => value(*gate, *window, seen, found),
            _ => Err(Error::Internal("a gate without its rows".to_string())),
        });
        Ok(values.collect())
    }
}

/// What every part gave, in order.
async fn collected(answer: &mut Answer) -> Result<Vec<Vec<RecordBatch>>> {
    let mut rows = std::mem::take(&mut answer.before);
    let mut last = Vec::new();
    while let Some(batch) = answer.next().await {
        last.push(batch?);
    }
    rows.push(last);
    Ok(rows)
}

fn value(gate: Gate, window: Window, seen: &[RecordBatch], found: &[RecordBatch]) -> Result<f64> {
    if integers(seen, 0)?.first().copied().flatten().unwrap_or(0) == 0 {
        return Err(Error::NoAnswer {
            code: "no_source",
            detail: format!("no event in the last {window}: silence is not health"),
        });
    }
    if gate == Gate::PolicyDenyRatioToBaseline {
        return baseline::ratio(found);
    }
    let number =
        |column| -> Result<i64> { Ok(integers(found, column)?.first().copied().flatten().unwrap_or(0)) };
    Ok(match gate {
        Gate::AuthFailureRate | Gate::OutputQuarantineRatio => percent(number(0)?, number(1)?),
        Gate::UnapprovedHighRiskWrites | Gate::PolicyDenyRatioToBaseline => number(0)? as f64,
        Gate::ApprovalQueueP50Minutes => number(0)? as f64 / 60e6,
        Gate::ToolCallP95Ms => number(0)? as f64 / 1e3,
    })
}

/// All values of an integer column.
///
/// # Errors
/// [`Error::Internal`] for a column that is missing or of another type: it must not read as nought.
fn integers(rows: &[RecordBatch], column: usize) -> Result<Vec<Option<i64>>> {
    let mut all = Vec::new();
    for batch in rows {
        let array = batch.columns().get(column).and_then(|array| array.as_primitive_opt::<Int64Type>());
        let array =
            array.ok_or_else(|| Error::Internal(format!("column {column} of a gate is no whole number")))?;
        all.extend(array.iter());
    }
    Ok(all)
}

fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A time as a parameter.
fn time(us: i64) -> Param {
    Param::Value(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
}

/// What a script compares with whole numbers: rounded up, and below [`NO_ANSWER`].
pub fn bare(value: f64) -> i64 {
    let whole = value.ceil();
    if whole.is_finite() && whole < (NO_ANSWER - 1) as f64 { whole as i64 } else { NO_ANSWER - 1 }
}
