//! D1: denied calls of an agent (else a user) in five minutes, against its own week and season.
//!
//! Statistic: upper mid-p of a negative binomial, recalibrated (`counts.rs`). State: about 3 kB a principal that makes calls. Source:
//! calls that policy decided on. The ratio of denials to calls has a ceiling (`denial_ratio_ceiling`) and no baseline yet. It
//! cannot see: one denial after another over days, probing from many identities, denials that the gateway keeps to itself.

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::counts::{Counts, Judging, Occurrence, Wording};
use crate::detector::{Context, Detector, Rule, Signal};
use crate::entity::Level;
use crate::record::Event;
use crate::settings::Settings;

const RULE: Rule = Rule {
    id: "denial_rate",
    title: "Agent has far more calls denied than usual",
    meaning: "Many denials at once mean an agent that probes what it may do, or a policy that blocks its work",
    statistic: "denied calls in five minutes",
    unit: "count",
    references: &["AML.T0053", "MCP02"],
};
const WORDING: Wording = Wording { noun: "denied calls", severity: Severity::Medium, severe: Severity::High };

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
        "kind = 'call' AND (decision = 'deny' OR status = 'denied')".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((column, principal)) = event.principal().filter(|_| event.is_decided_call()) else { return };
        let parts = [(column, Some(principal))];
        let key = event.principal_key();
        let of = Occurrence { level: Level::Principal, key, parts: &parts, counts: event.is_denied() };
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
    let limits = &settings.denial_rate;
    Judging { wording: WORDING, count_min: limits.count_min, budget_milli: limits.budget_milli }
}
