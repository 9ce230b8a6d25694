//! Share of a tool's outputs that output safety quarantines or blocks, against the block condition of a production gate.
//!
//! Two counters of a sliding window: exact, and told with the record that reaches the ceiling. State: a window a tool. The gate asks of
//! the tenant, where a busy tool hides one that is quarantined every time. It cannot see: what is usual for the tool (`quarantine_rate`), tools with
//! fewer outputs than `outputs_min` in the window.

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal, percent, share};
use crate::entity::{Entity, Level};
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::window::{Shape, Window};

const RULE: Rule = Rule {
    id: "quarantine_ratio_ceiling",
    title: "Share of quarantined outputs over the ceiling",
    meaning: "Either what the tool returns is unsafe for agents to read, or output safety holds back what is safe",
    statistic: "quarantined outputs over outputs",
    unit: "ppm",
    references: &["AML.T0051", "AML.T0099", "MCP06"],
};

/// Windows by tool. A forgotten one starts again from nothing: an alert may then come late, never wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    tools: Bounded<Window>,
}

impl State {
    pub fn new() -> State {
        State { tools: Bounded::new() }
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.quarantine_ratio_ceiling.window_s))
    }

    fn scope(&self, _settings: &Settings) -> String {
        super::quarantine_rate::QUARANTINED.to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(parts) = event.tool().filter(|_| event.is_output()) else { return };
        let limits = &context.settings.quarantine_ratio_ceiling;
        let shape = Shape::new(microseconds(limits.window_s), context.settings.buckets);
        let key = event.tool_key();
        let rank = |key: &str, window: &Window| {
            (context.episodes.is_open(key), window.totals().offending, window.newest_us(shape))
        };
        let window = self.tools.entry(key, context.settings.entities_max, rank, Window::new);
        let quarantined = event.is_quarantined();
        window.add(shape, event.record.index, event.event_us, context.counted_us(event), quarantined);
        if window.recent().next().is_none() {
            // Nearly all: nothing was held back in the window.
            return;
        }
        let totals = window.totals();
        let ratio_ppm = totals.ratio_ppm().unwrap_or(0);
        let is_enough = totals.total >= limits.outputs_min && totals.offending >= limits.quarantined_min;
        let is_over = is_enough && ratio_ppm >= limits.ratio_min_ppm;
        let is_open = context.episodes.is_open(key);
        let chance_ppm = context.settings.ceiling_chance_ppm;
        let holds = is_over && (is_open || totals.is_beyond(limits.ratio_min_ppm, chance_ppm));
        let follows = quarantined && is_open;
        if !(holds || follows) {
            return;
        }
        let severe = holds && ratio_ppm >= limits.ratio_severe_ppm;
        signals.push(Signal {
            entity: Entity::new(Level::Tool, &parts),
            effect: if holds { Effect::Open } else { Effect::Follow },
            offending: quarantined,
            severity: if severe { Severity::High } else { Severity::Medium },
            confidence: Confidence::Medium,
            observed: Some(ratio_ppm),
            expected: Some(limits.ratio_min_ppm),
            seen_us: event.event_us,
            detail: format!(
                "{} outputs quarantined within {} s, the ceiling is {}, severe from {} on",
                share(totals.offending, totals.total, ratio_ppm),
                limits.window_s,
                percent(limits.ratio_min_ppm),
                percent(limits.ratio_severe_ppm)
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
        self.tools.evicted()
    }
}
