//! D1: denied calls of an agent (else a user) in five minutes, against its own week and season.
//!
//! Statistic: upper mid-p of a negative binomial, recalibrated (`counts.rs`). State: about 3 kB a principal that makes calls. Source:
//! calls that policy decided on. The ratio of denials to calls has a ceiling (`denial_ratio_ceiling`) and no baseline yet. It
//! cannot see: one denial after another over days, probing from many identities, denials that the gateway keeps to itself.

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
        id: "denial_rate",
        title: "Agent has far more calls denied than usual",
        meaning: "Many denials at once mean an agent that probes what it may do, or a policy that blocks its work",
        statistic: "denied calls in five minutes",
        unit: "count",
        references: &["AML.T0053", "MCP02"],
    };
    const WORDING: Wording =
        Wording { noun: "denied calls", severity: Severity::Medium, severe: Severity::High };
    const SCOPE: &'static str = "kind = 'call' AND (decision = 'deny' OR status = 'denied')";

    fn limits(settings: &Settings) -> (u64, i64) {
        (settings.denial_rate.count_min, settings.denial_rate.budget_milli)
    }

    fn occurrence<'a>(event: &Event<'a>) -> Option<Occurrence<'a>> {
        let of = event.principal().filter(|_| event.is_decided_call())?;
        Some(Occurrence { level: Level::Principal, of, counts: event.is_denied() })
    }
}
