//! D2, what lasts: minutes with a failed authentication of a principal, and from an address whoever it was for, in an hour and in four. Source:
//! authentications but revocations and pending ones.
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
        id: "auth_failure_rate_sustained",
        title: "Authentications fail again and again",
        meaning: "Credentials are being guessed, slowly enough for a lockout, or one password is tried on many accounts from one address",
        statistic: "minutes with failed authentications in an hour or four",
        unit: "minutes",
        references: &["AML.T0012", "MCP07", "MCP01"],
    };
    const NOUN: &'static str = "failed authentications";
    const SEVERITY: (Severity, Severity) = (Severity::Medium, Severity::High);
    const SCOPE: &'static str = "kind = 'auth' AND (method IS NULL OR method <> 'revoke') AND (decision = 'deny' OR status IN ('denied', 'error'))";

    fn limits(settings: &Settings) -> (i64, i64) {
        (settings.auth_failure_rate_sustained.minutes_min, settings.auth_failure_rate_sustained.budget_milli)
    }

    fn of<'a>(event: &Event<'a>) -> [Option<Whom<'a>>; 2] {
        let is_failure = |_: &Whom<'a>| event.is_auth_failure();
        [Whom::principal(event).filter(is_failure), Whom::address(event).filter(is_failure)]
    }
}
