//! D3, what lasts: minutes with a call of an agent (else a user) in an hour and in four. Source: `kind = 'call'`.
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
        id: "call_rate_sustained",
        title: "Agent calls tools for far longer than usual",
        meaning: "An agent that goes on and on is in a loop, was talked into something large, or is a script that has its credential",
        statistic: "minutes with calls in an hour or four",
        unit: "minutes",
        references: &["AML.T0034.002", "AML.T0053"],
    };
    const NOUN: &'static str = "calls";
    const SEVERITY: (Severity, Severity) = (Severity::Low, Severity::Medium);
    const SCOPE: &'static str = "kind = 'call'";

    fn limits(settings: &Settings) -> (i64, i64) {
        (settings.call_rate_sustained.minutes_min, settings.call_rate_sustained.budget_milli)
    }

    fn of<'a>(event: &Event<'a>) -> [Option<Whom<'a>>; 2] {
        [Whom::principal(event).filter(|_| event.is_call()), None]
    }
}
