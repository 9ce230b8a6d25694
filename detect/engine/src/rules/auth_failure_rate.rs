//! D2: failed authentications of a principal, else from an address, in five minutes, against its own week and season.
//!
//! Statistic: upper mid-p of a negative binomial, recalibrated (`counts.rs`). State: about 3 kB an entity that tries to
//! authenticate. Source: `kind = 'auth'` that is no revocation. It cannot see: spraying (a failure each over many principals: each of them
//! is quiet, the ceiling of the tenant is not), guessing below `count_min` in five minutes.

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
        id: "auth_failure_rate",
        title: "Far more failed authentications than usual",
        meaning: "Credentials are being guessed, or a rotation left an old one in use",
        statistic: "failed authentications in five minutes",
        unit: "count",
        references: &["AML.T0012", "MCP07"],
    };
    const WORDING: Wording =
        Wording { noun: "failed authentications", severity: Severity::Medium, severe: Severity::High };
    const SCOPE: &'static str = "kind = 'auth' AND (method IS NULL OR method <> 'revoke') AND (decision = 'deny' OR status IN ('denied', 'error'))";

    fn limits(settings: &Settings) -> (u64, i64) {
        (settings.auth_failure_rate.count_min, settings.auth_failure_rate.budget_milli)
    }

    fn occurrence<'a>(event: &Event<'a>) -> Option<Occurrence<'a>> {
        if !event.is_auth_attempt() {
            return None;
        }
        let address = || event.record.source_ip.map(|address| (Level::Source, ("source_ip", address)));
        let principal = event.principal().map(|principal| (Level::Principal, principal));
        let (level, of) = principal.or_else(address)?;
        Some(Occurrence { level, of, counts: event.is_auth_failure() })
    }
}
