//! D3: calls of an agent (else a user) in five minutes, against its own week and season.
//!
//! Statistic: upper mid-p of a negative binomial, recalibrated (`counts.rs`). State: about 3 kB a principal. Source: `kind = 'call'`,
//! whatever became of it. It cannot see: rates that fall, what is spread over more than a quarter of an hour, calls that
//! nobody reports.

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::counts::{Counts, Judging, Occurrence, Wording};
use crate::detector::{Context, Detector, Rule, Signal};
use crate::entity::Level;
use crate::record::Event;
use crate::settings::Settings;

const RULE: Rule = Rule {
    id: "call_rate",
    title: "Agent calls tools far more often than usual",
    meaning: "A loop, a runaway plan or stolen credentials make calls that nobody has planned for",
    statistic: "calls in five minutes",
    unit: "count",
    references: &["AML.T0034.002", "AML.T0053"],
};
const WORDING: Wording = Wording { noun: "calls", severity: Severity::Low, severe: Severity::Medium };

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
        "kind = 'call'".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((column, principal)) = event.principal().filter(|_| event.is_call()) else { return };
        let parts = [(column, Some(principal))];
        let key = event.principal_key();
        let of = Occurrence { level: Level::Principal, key, parts: &parts, counts: true };
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
    let limits = &settings.call_rate;
    Judging { wording: WORDING, count_min: limits.count_min, budget_milli: limits.budget_milli }
}
