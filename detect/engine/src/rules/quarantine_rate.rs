//! D10: outputs of a tool (server and capability) that output safety quarantined or blocked, given its outputs, against what is usual for it.
//!
//! Statistic: upper mid-p of a beta-binomial, its shapes the tool's own past shrunk to its peers, recalibrated (`ratios.rs`). State: about half a
//! kilobyte a tool. Source: `output_action` of calls and outputs; a call that went well without a verdict of output safety is an
//! output that passed, as in the gate. It cannot see: poisoned outputs that pass, what is quarantined now and then over days, two observers of one call (it counts
//! twice, with both its outcomes), a tool that was always quarantined.

use crate::alert::Severity;
use crate::detector::Rule;
use crate::ratios::{Limits, Of, Rated, Share, Wording};
use crate::record::Event;
use crate::settings::Settings;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rating;

impl Rated for Rating {
    type Past = Share;
    const RULE: Rule = Rule {
        id: "quarantine_rate",
        title: "Tool has far more of its outputs quarantined than usual",
        meaning: "Outputs that output safety holds back are a tool or its data that somebody tries to steer agents by, or a classifier that changed",
        statistic: "quarantined outputs over outputs in a quarter of an hour",
        unit: "ppm",
        references: &["AML.T0051", "AML.T0099", "MCP03", "MCP06"],
    };
    const WORDING: Wording = Wording { noun: "outputs were quarantined", severity: Severity::High };

    fn scope(_settings: &Settings) -> String {
        QUARANTINED.to_owned()
    }

    fn limits(settings: &Settings) -> Limits {
        let of = &settings.quarantine_rate;
        Limits { total_min: of.outputs_min, hits_min: of.quarantined_min, budget_milli: of.budget_milli }
    }

    fn outcome<'a>(event: &Event<'a>) -> Option<(Of<'a>, u64)> {
        (event.is_output() && event.tool().is_some()).then_some((Of::Tool, u64::from(event.is_quarantined())))
    }
}

/// What was kept from the agent.
pub(super) const QUARANTINED: &str =
    "kind IN ('call', 'output') AND output_action IN ('quarantine', 'block')";
