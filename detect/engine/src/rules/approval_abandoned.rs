//! R39: approvals of a queue (the server that the call is for) that expired or were cancelled, given those that ended, against what is usual for it.
//!
//! Statistic: upper mid-p of a beta-binomial of the queue's past shrunk to its peers (`ratios.rs`); held against past scores where there are 4,000, else taken as ten
//! times as likely. State: about half a kilobyte a queue. Source: records of kind `approval` that say how one ended. It cannot see: approvals whose end nobody
//! reports (`approval_wait` sees them wait), what is usual from the first day on, what is abandoned now and then over days.

use crate::alert::Severity;
use crate::approvals::{Ending, ending};
use crate::detector::Rule;
use crate::entity::Level;
use crate::ratios::{Limits, Of, Rated, Share, Wording};
use crate::record::Event;
use crate::settings::Settings;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rating;

impl Rated for Rating {
    type Past = Share;
    const RULE: Rule = Rule {
        id: "approval_abandoned",
        title: "Far more approvals are abandoned than usual",
        meaning: "Approvals that expire or are taken back are a queue that nobody works off, or an agent that asks for what it should not",
        statistic: "approvals expired or cancelled over approvals ended in a quarter of an hour",
        unit: "ppm",
        references: &["AML.T0053", "MCP02"],
    };
    const WORDING: Wording = Wording { noun: "approvals were abandoned", severity: Severity::Medium };
    const IS_RARE: bool = true;

    fn scope(_settings: &Settings) -> String {
        "kind = 'approval' AND approval_status IN ('expired', 'cancelled')".to_owned()
    }

    fn limits(settings: &Settings) -> Limits {
        let of = &settings.approval_abandoned;
        Limits { total_min: of.ended_min, hits_min: of.abandoned_min, budget_milli: of.budget_milli }
    }

    fn outcome<'a>(event: &Event<'a>) -> Option<(Of<'a>, u64)> {
        let ending = ending(event).filter(|_| event.record.kind == "approval")?;
        let queue = Of::One(Level::Tool, "server", event.record.server);
        Some((queue, u64::from(ending == Ending::Abandoned)))
    }
}
