//! D2: failed authentications of a principal, else from an address, in five minutes, against its own week and season.
//!
//! Statistic: upper mid-p of a negative binomial, recalibrated (`counts.rs`). State: about 3 kB an entity that tries to
//! authenticate. Source: `kind = 'auth'` that is no revocation. It cannot see: spraying (a failure each over many principals: each of them
//! is quiet, the ceiling of the tenant is not), guessing below `count_min` in five minutes.

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::counts::{Counts, Judging, Occurrence, Wording};
use crate::detector::{Context, Detector, Rule, Signal};
use crate::entity::{Level, entity_key};
use crate::record::Event;
use crate::settings::Settings;

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

/// See [`Counts`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State(Counts);

impl State {
    pub fn new() -> State {
        State(Counts::new())
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(Counts::BUCKET_US)
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind = 'auth' AND (decision = 'deny' OR status IN ('denied', 'error'))".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        if !event.is_auth_attempt() {
            return;
        }
        let address = || event.record.source_ip.map(|address| (Level::Source, ("source_ip", address)));
        let principal = event.principal().map(|principal| (Level::Principal, principal));
        let Some((level, (column, name))) = principal.or_else(address) else { return };
        let parts = [(column, Some(name))];
        let key = entity_key(&parts);
        let of = Occurrence { level, key: &key, parts: &parts, counts: event.is_auth_failure() };
        signals.extend(self.0.add(event, &of, &judging(context.settings), context));
    }

    fn due_us(&self, settings: &Settings) -> Option<i64> {
        self.0.due_us(settings.lateness_s)
    }

    fn close(&mut self, now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        self.0.close(now_us, &judging(context.settings), context, signals);
    }

    fn restored(&mut self) {
        self.0.restored();
    }

    fn evicted(&self) -> u64 {
        self.0.evicted()
    }
}

fn judging(settings: &Settings) -> Judging {
    let limits = &settings.auth_failure_rate;
    Judging { wording: WORDING, count_min: limits.count_min, budget_milli: limits.budget_milli }
}
