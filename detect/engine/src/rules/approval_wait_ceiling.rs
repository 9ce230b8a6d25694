//! Median wait of a tenant's approvals, against the block condition of a production gate.
//!
//! Statistic: the median over all that were in the queue within the window, those decided by their wait and those pending by their present age, every five
//! minutes of the engine's clock. It opens where so many wait so long as would come up once in a thousand (`ceiling_chance_ppm`) were the median just at
//! the ceiling, ten of ten or 24 of 30, or the median is over the severe one. Of four approvals it is anything. State: 150 bytes an approval that waits. It cannot see: one that waits for days beside many
//! that are decided at once (`approval_wait` does), approvals that the source keeps to itself.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::approvals::{Pending, Waits};
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal};
use crate::entity::Entity;
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::window::Totals;

const RULE: Rule = Rule {
    id: "approval_wait_ceiling",
    title: "Approvals wait longer than the ceiling",
    meaning: "A queue that nobody works off stops the agents, or teaches people to approve without looking",
    statistic: "median wait of approvals",
    unit: "us",
    references: &["MCP02"],
};

/// What a median is: the share of waits that are at least as long.
const HALF_PPM: i64 = 500_000;
/// How often it is looked at, in microseconds.
const TICK: i64 = 300_000_000;
/// Waits of decided approvals that are kept of a window, the last ones.
const ENDED_MAX: usize = schemas::limits::ENGINE_WAITS_MAX;
/// Of what an alert names.
const EVIDENCE_MAX: usize = schemas::limits::ENGINE_EVIDENCE_MAX;

/// A wait that ended: when by the engine's clock, its length, the log index of its end.
type Ended = (i64, i64, i64);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    waits: Waits,
    ended: VecDeque<Ended>,
    /// The next look, in ticks; none while there is nothing to look at.
    next: Option<i64>,
}

impl State {
    pub fn new() -> State {
        State { waits: Waits::new(), ended: VecDeque::new(), next: None }
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.approval_wait_ceiling.window_s))
    }

    fn scope(&self, _settings: &Settings) -> String {
        super::approval_wait::SCOPE.to_owned()
    }

    fn due_us(&self, _settings: &Settings) -> Option<i64> {
        // One after the last moment that has a number never comes.
        self.next.and_then(|tick| tick.checked_mul(TICK))
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        let number = self.waits.each().count().saturating_add(self.ended.len());
        let is_enough =
            u64::try_from(number).is_ok_and(|n| n >= settings.approval_wait_ceiling.approvals_min);
        let due_us = self.due_us(settings).filter(|_| is_enough)?;
        Some(self.waits.awaits_us(due_us))
    }

    fn close(&mut self, now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let tick = now_us.div_euclid(TICK);
        let limits = &context.settings.approval_wait_ceiling;
        let since_us = now_us.saturating_sub(microseconds(limits.window_s));
        while self.ended.front().is_some_and(|(ended_us, _, _)| *ended_us < since_us) {
            self.ended.pop_front();
        }
        self.waits.sweep(now_us, context.settings.lateness_s);
        self.next = (!self.ended.is_empty() || !self.waits.is_empty()).then_some(tick.saturating_add(1));
        let age = |pending: &Pending| now_us.saturating_sub(pending.asked_us).max(0);
        let ended = self.ended.iter().map(|(_, wait_us, _)| *wait_us);
        let mut all: Vec<i64> = self.waits.each().map(age).chain(ended).collect();
        let number = u64::try_from(all.len()).unwrap_or(u64::MAX);
        if all.is_empty() || number < limits.approvals_min {
            return;
        }
        // The upper of two in the middle.
        let middle = all.len() / 2;
        let (_, median_us, _) = all.select_nth_unstable(middle);
        let median_us = *median_us;
        let ceiling_us = microseconds(limits.wait_min_s);
        if median_us < ceiling_us {
            return;
        }
        let over = all.iter().filter(|wait_us| **wait_us >= ceiling_us).count();
        let totals = Totals { total: number, offending: u64::try_from(over).unwrap_or(u64::MAX) };
        let is_open = context.episodes.is_open("");
        let is_severe = median_us >= microseconds(limits.wait_severe_s);
        if !is_open && !is_severe && !totals.is_beyond(HALF_PPM, context.settings.ceiling_chance_ppm) {
            return;
        }
        let mut waiting: Vec<&Pending> = self.waits.each().collect();
        waiting.sort_by_key(|pending| (pending.asked_us, pending.index));
        let oldest = waiting.iter().map(|pending| pending.index).take(EVIDENCE_MAX);
        let mut evidence: Vec<i64> =
            oldest.chain(self.ended.iter().rev().map(|(_, _, index)| *index)).collect();
        evidence.truncate(EVIDENCE_MAX);
        evidence.sort_unstable();
        evidence.dedup();
        signals.push(Signal {
            entity: Entity::tenant(context.tenant),
            effect: Effect::Open,
            offending: false,
            severity: if is_severe { Severity::High } else { Severity::Medium },
            confidence: Confidence::High,
            observed: Some(median_us),
            expected: Some(ceiling_us),
            seen_us: now_us,
            detail: format!(
                "the median of {number} approvals within {} s waited {} s, {} of them still do; the ceiling is {} s, severe from {} s on",
                limits.window_s,
                median_us / 1_000_000,
                waiting.len(),
                limits.wait_min_s,
                limits.wait_severe_s
            ),
            opening_evidence: evidence,
            opening_count: i64::try_from(number).unwrap_or(i64::MAX),
            opening_us: waiting.first().map_or(now_us, |pending| pending.asked_us),
            bucket: Some(Bucket {
                start_us: tick.saturating_mul(TICK),
                closed: 0,
                environment: waiting.first().and_then(|pending| pending.environment.clone()),
                baseline: "none",
            }),
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, _signals: &mut Vec<Signal>) {
        let ended = self.waits.take(event, context);
        if let Some(ended) = ended {
            if self.ended.len() >= ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back((context.watermark_us, ended.longest_us, event.record.index));
        }
        if self.next.is_none() && !(self.ended.is_empty() && self.waits.is_empty()) {
            self.next = Some(context.watermark_us.div_euclid(TICK).saturating_add(1));
        }
    }

    fn evicted(&self) -> u64 {
        self.waits.evicted()
    }
}
