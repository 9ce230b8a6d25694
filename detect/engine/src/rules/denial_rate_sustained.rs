//! D1, what lasts: minutes with a denied call of an agent (else a user) in an hour and in four. Source: decided calls.
//!
//! Statistic, state and what it cannot see: `activity/lasting.rs`.

use crate::activity::{Lasting, Whom};
use crate::alert::Severity;
use crate::detector::Rule;
use crate::record::Event;
use crate::settings::Settings;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting;

impl Lasting for Counting {
    const RULE: Rule = Rule {
        id: "denial_rate_sustained",
        title: "Agent is denied again and again",
        meaning: "Denials that do not end mean an agent that probes what it may do, slowly enough for a count of minutes, or a policy that blocks its work",
        statistic: "minutes with denied calls in an hour or four",
        unit: "minutes",
        references: &["AML.T0053", "MCP02"],
    };
    const NOUN: &'static str = "denied calls";
    const SEVERITY: (Severity, Severity) = (Severity::Medium, Severity::High);
    const SCOPE: &'static str = "kind = 'call' AND (decision = 'deny' OR status = 'denied')";

    fn limits(settings: &Settings) -> (i64, i64) {
        (settings.denial_rate_sustained.minutes_min, settings.denial_rate_sustained.budget_milli)
    }

    fn of<'a>(event: &Event<'a>) -> [Option<Whom<'a>>; 2] {
        [Whom::principal(event).filter(|_| event.is_decided_call() && event.is_denied()), None]
    }
}
