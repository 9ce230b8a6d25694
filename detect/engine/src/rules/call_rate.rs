//! D3: calls of an agent (else a user) in five minutes, against its own week and season.
//!
//! Statistic: upper mid-p of a negative binomial, recalibrated (`counts.rs`). State: about 3 kB a principal. Source: `kind = 'call'`,
//! whatever became of it. It cannot see: rates that fall, what is spread over more than a quarter of an hour, calls that
//! nobody reports.

use crate::alert::Severity;
use crate::counts::{Counted, Occurrence, Wording};
use crate::detector::Rule;
use crate::entity::Level;
use crate::record::Event;
use crate::settings::Settings;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting;

impl Counted for Counting {
    const RULE: Rule = Rule {
        id: "call_rate",
        title: "Agent calls tools far more often than usual",
        meaning: "A loop, a runaway plan or stolen credentials make calls that nobody has planned for",
        statistic: "calls in five minutes",
        unit: "count",
        references: &["AML.T0034.002", "AML.T0053"],
    };
    const WORDING: Wording = Wording { noun: "calls", severity: Severity::Low, severe: Severity::Medium };
    const SCOPE: &'static str = "kind = 'call'";

    fn limits(settings: &Settings) -> (u64, i64) {
        (settings.call_rate.count_min, settings.call_rate.budget_milli)
    }

    fn occurrence<'a>(event: &Event<'a>) -> Option<Occurrence<'a>> {
        let of = event.principal().filter(|_| event.is_call())?;
        Some(Occurrence { level: Level::Principal, of, counts: true })
    }
}
