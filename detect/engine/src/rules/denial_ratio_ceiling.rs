//! Share of an agent's calls that policy denies, against a fixed ceiling.

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal, percent, share};
use crate::entity::{Entity, Level};
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::window::{Shape, Window};

const RULE: Rule = Rule {
    id: "denial_ratio_ceiling",
    title: "Agent has an unusual share of its calls denied",
    meaning: "Many denials mean an agent that probes what it may do, or a policy that blocks its work",
    statistic: "denied calls over decided calls",
    unit: "ppm",
    references: &["AML.T0053", "MCP02"],
};

/// Windows by principal. A forgotten one starts again from nothing: an alert may then come late, never wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    principals: Bounded<Window>,
}

impl State {
    pub fn new() -> State {
        State { principals: Bounded::new() }
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.denial_ratio_ceiling.window_s))
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind = 'call' AND (decision = 'deny' OR status = 'denied')".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        if !event.is_decided_call() {
            return;
        }
        let Some((column, principal)) = event.principal() else { return };
        let limits = &context.settings.denial_ratio_ceiling;
        let shape = Shape::new(microseconds(limits.window_s), context.settings.buckets);
        let parts = [(column, Some(principal))];
        let key = event.principal_key();
        let rank = |key: &str, window: &Window| {
            (context.episodes.is_open(key), window.totals().offending, window.newest_us(shape))
        };
        let window = self.principals.entry(key, context.settings.entities_max, rank, Window::new);
        let denied = event.is_denied();
        window.add(shape, event.record.index, event.event_us, context.counted_us(event), denied);
        let totals = window.totals();
        let ratio_ppm = totals.ratio_ppm().unwrap_or(0);
        let is_over = totals.total >= limits.calls_min && ratio_ppm >= limits.ratio_min_ppm;
        let is_open = context.episodes.is_open(key);
        let chance_ppm = context.settings.ceiling_chance_ppm;
        let holds = is_over && (is_open || totals.is_beyond(limits.ratio_min_ppm, chance_ppm));
        let follows = denied && is_open;
        if !(holds || follows) {
            return;
        }
        let severe = holds && ratio_ppm >= limits.ratio_severe_ppm;
        signals.push(Signal {
            entity: Entity::new(Level::Principal, &parts),
            effect: if holds { Effect::Open } else { Effect::Follow },
            offending: denied,
            severity: if severe { Severity::High } else { Severity::Medium },
            confidence: Confidence::Medium,
            observed: Some(ratio_ppm),
            expected: Some(limits.ratio_min_ppm),
            seen_us: event.event_us,
            detail: format!(
                "{} calls denied within {} s, the ceiling is {}",
                share(totals.offending, totals.total, ratio_ppm),
                limits.window_s,
                percent(limits.ratio_min_ppm)
            ),
            opening_evidence: window.recent().map(|offence| offence.index).collect(),
            opening_count: i64::try_from(totals.offending).unwrap_or(i64::MAX),
            opening_us: window.recent().map(|offence| offence.event_us).min().unwrap_or(event.event_us),
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn evicted(&self) -> u64 {
        self.principals.evicted()
    }
}
