//! Approvals that were given faster than anybody can read what they approve: rubber stamps.
//!
//! Statistic: approvals of one approver within a sliding window whose wait is below a floor, by the shorter of what the log shows and the source says. Exact and
//! without a baseline: who never looks is what a baseline would learn. State: a window an approver, 150 bytes an approval that waits. It cannot see: who looks at
//! the clock and not at the request, approvers with many names, approvals without a wait.

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::approvals::{Ending, Waits};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level, entity_key};
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::window::{Shape, Window};

const RULE: Rule = Rule {
    id: "approval_too_fast",
    title: "Approvals faster than anybody can read",
    meaning: "An approval that nobody looks at is none: a person who waves everything through, or a program in their name",
    statistic: "approvals below the floor",
    unit: "count",
    references: &["AML.T0053", "MCP02"],
};

/// How many times the least number makes it severe.
const SEVERE_TIMES: u64 = 4;

/// Windows by approver. A forgotten one starts again from nothing: an alert may then come late, never wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    waits: Waits,
    approvers: Bounded<Window>,
}

impl State {
    pub fn new() -> State {
        State { waits: Waits::new(), approvers: Bounded::new() }
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.approval_too_fast.window_s))
    }

    fn scope(&self, _settings: &Settings) -> String {
        "approval_status = 'approved'".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let ended = self.waits.take(event, context);
        let Some(ended) = ended.filter(|ended| ended.ending == Ending::Approved) else { return };
        let limits = &context.settings.approval_too_fast;
        let shape = Shape::new(microseconds(limits.window_s), context.settings.buckets);
        let parts = [("approver", ended.approver.as_deref())];
        let key = entity_key(&parts);
        let rank = |key: &str, window: &Window| {
            (context.episodes.is_open(key), window.totals().offending, window.newest_us(shape))
        };
        let window = self.approvers.entry(&key, context.settings.entities_max, rank, Window::new);
        let is_fast = ended.shortest_us / 1_000 < limits.wait_min_ms;
        window.add(shape, ended.index, ended.ended_us, context.counted_us(event), is_fast);
        let totals = window.totals();
        let holds = totals.offending >= limits.approvals_min;
        let follows = is_fast && context.episodes.is_open(&key);
        if !(holds || follows) {
            return;
        }
        // Requests come after their ends in any order.
        let mut evidence: Vec<i64> = window.recent().map(|offence| offence.index).collect();
        evidence.sort_unstable();
        let is_severe = holds && totals.offending / SEVERE_TIMES >= limits.approvals_min;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        signals.push(Signal {
            entity: Entity::new(Level::Principal, &parts),
            effect: if holds { Effect::Open } else { Effect::Follow },
            offending: is_fast,
            severity: if is_severe { Severity::High } else { Severity::Medium },
            confidence: Confidence::Medium,
            observed: Some(number(totals.offending)),
            expected: Some(number(limits.approvals_min)),
            seen_us: ended.ended_us,
            detail: format!(
                "{} of {} approvals within {} s were given in less than {} ms",
                totals.offending, totals.total, limits.window_s, limits.wait_min_ms
            ),
            opening_evidence: evidence,
            opening_count: number(totals.offending),
            opening_us: window.recent().map(|offence| offence.event_us).min().unwrap_or(ended.ended_us),
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn evicted(&self) -> u64 {
        self.waits.evicted().saturating_add(self.approvers.evicted())
    }
}
