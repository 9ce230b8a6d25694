//! Share of a tenant's authentications that fail, against the block condition of a production gate.

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::detector::{Context, Detector, Effect, Rule, Signal, percent, share};
use crate::entity::Entity;
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::window::{Shape, Window};

const RULE: Rule = Rule {
    id: "auth_failure_rate_ceiling",
    title: "Authentication failure rate over the ceiling",
    meaning: "Either credentials are being guessed or an identity provider, a rotation or a clock is broken",
    statistic: "failed authentications over attempts",
    unit: "ppm",
    references: &["AML.T0012", "MCP07"],
};

/// One window for the tenant; nothing to forget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    attempts: Window,
}

impl State {
    pub fn new() -> State {
        State { attempts: Window::new() }
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.auth_failure_rate_ceiling.window_s))
    }

    fn scope(&self, _settings: &Settings) -> String {
        super::auth_failure_burst::FAILURES.to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        if !event.is_auth_attempt() {
            return;
        }
        let limits = &context.settings.auth_failure_rate_ceiling;
        let shape = Shape::new(microseconds(limits.window_s), context.settings.buckets);
        let failed = event.is_auth_failure();
        self.attempts.add(shape, event.record.index, event.event_us, context.counted_us(event), failed);
        let totals = self.attempts.totals();
        let rate_ppm = totals.ratio_ppm().unwrap_or(0);
        let over = u128::from(totals.offending).saturating_mul(1_000_000)
            > u128::from(totals.total).saturating_mul(u128::from(limits.rate_max_ppm.unsigned_abs()));
        let is_over = totals.total >= limits.attempts_min && over;
        let entity = Entity::tenant(context.tenant);
        let is_open = context.episodes.is_open(&entity.key);
        let chance_ppm = context.settings.ceiling_chance_ppm;
        let holds = is_over && (is_open || totals.is_beyond(limits.rate_max_ppm, chance_ppm));
        let follows = failed && is_open;
        if !(holds || follows) {
            return;
        }
        signals.push(Signal {
            entity,
            effect: if holds { Effect::Open } else { Effect::Follow },
            offending: failed,
            severity: Severity::High,
            confidence: Confidence::Medium,
            observed: Some(rate_ppm),
            expected: Some(limits.rate_max_ppm),
            seen_us: event.event_us,
            detail: format!(
                "{} authentications failed within {} s; the ceiling is {}, the target under {}",
                share(totals.offending, totals.total, rate_ppm),
                limits.window_s,
                percent(limits.rate_max_ppm),
                percent(limits.rate_target_ppm)
            ),
            opening_evidence: self.attempts.recent().map(|offence| offence.index).collect(),
            opening_count: i64::try_from(totals.offending).unwrap_or(i64::MAX),
            opening_us: self
                .attempts
                .recent()
                .map(|offence| offence.event_us)
                .min()
                .unwrap_or(event.event_us),
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn evicted(&self) -> u64 {
        0
    }
}
