//! 95th percentile of a tool's latency, against the block condition of a production gate.
//!
//! Whether it is over is exact: the nearest-rank p95 of n calls is at or above the ceiling just when more than
//! `n - ceil(0.95 n)` calls are, so two counters decide (a p95 equal to the ceiling blocks). Only calls at or
//! above the ceiling enter a histogram, eight bins an octave, from which `observed` is read at the upper edge
//! of a bin: never below the true p95, at most 12.5 % above it, and capped at 2^40 us (12.7 days).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level};
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::window::{Shape, Totals, Window};

const LATENCY_MAX_US: i64 = (1 << 40) - 1;

/// The share of calls that are slower than the 95th percentile.
const SLOW_SHARE_PPM: i64 = 50_000;

const RULE: Rule = Rule {
    id: "p95_latency_ceiling",
    title: "Tool latency over the ceiling",
    meaning: "Agents that wait time out and try again, which makes a slow tool slower",
    statistic: "95th percentile of latency, upper edge",
    unit: "us",
    references: &["AML.T0029"],
};

/// Calls of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tool {
    window: Window,
    /// Sub-bucket to bin to number of calls at or above the ceiling.
    slow: BTreeMap<i64, BTreeMap<u16, u32>>,
}

/// Tools by server and capability. A forgotten one starts again from nothing: an alert may come late.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    tools: Bounded<Tool>,
}

impl State {
    pub fn new() -> State {
        State { tools: Bounded::new() }
    }
}

impl Tool {
    fn new() -> Tool {
        Tool { window: Window::new(), slow: BTreeMap::new() }
    }

    fn add(&mut self, shape: Shape, event: &Event<'_>, counted_us: i64, latency_us: i64, slow: bool) {
        let bucket = self.window.add(shape, event.record.index, event.event_us, counted_us, slow);
        let oldest = self.window.oldest(shape);
        while self.slow.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            self.slow.pop_first();
        }
        if slow {
            let count = self.slow.entry(bucket).or_default().entry(bin(latency_us)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Upper edge of the bin that holds the `rank`-th slowest call, counted from 1.
    fn slowest_us(&self, rank: u64) -> Option<i64> {
        let mut bins: BTreeMap<u16, u64> = BTreeMap::new();
        for (bin, count) in self.slow.values().flatten() {
            let sum = bins.entry(*bin).or_default();
            *sum = sum.saturating_add(u64::from(*count));
        }
        let mut slower = 0_u64;
        bins.into_iter().rev().find_map(|(bin, count)| {
            slower = slower.saturating_add(count);
            (slower >= rank).then(|| upper_edge_us(bin))
        })
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.p95_latency_ceiling.window_s))
    }

    fn scope(&self, settings: &Settings) -> String {
        format!("kind = 'call' AND latency_us >= {}", settings.p95_latency_ceiling.latency_max_us)
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(latency_us) = event.latency_us() else { return };
        let Some(parts) = event.tool() else { return };
        let limits = &context.settings.p95_latency_ceiling;
        let shape = Shape::new(microseconds(limits.window_s), context.settings.buckets);
        let key = event.tool_key();
        let rank = |key: &str, tool: &Tool| {
            (context.episodes.is_open(key), tool.window.totals().total, tool.window.newest_us(shape))
        };
        let tool = self.tools.entry(key, context.settings.entities_max, rank, Tool::new);
        let slow = latency_us >= limits.latency_max_us;
        tool.add(shape, event, context.counted_us(event), latency_us, slow);
        let totals = tool.window.totals();
        let is_over = totals.total >= limits.calls_min && totals.offending >= slow_calls_min(totals);
        let is_open = context.episodes.is_open(key);
        let chance_ppm = context.settings.ceiling_chance_ppm;
        let holds = is_over && (is_open || totals.is_beyond(SLOW_SHARE_PPM, chance_ppm));
        let follows = slow && is_open;
        if !(holds || follows) {
            return;
        }
        let p95_us = if holds { tool.slowest_us(slow_calls_min(totals)) } else { None };
        signals.push(Signal {
            entity: Entity::new(Level::Tool, &parts),
            effect: if holds { Effect::Open } else { Effect::Follow },
            offending: slow,
            severity: Severity::High,
            confidence: Confidence::High,
            observed: p95_us,
            expected: Some(limits.latency_max_us),
            seen_us: event.event_us,
            detail: format!(
                "{} of {} calls within {} s took {} us or longer; the target for the p95 is {} us",
                totals.offending,
                totals.total,
                limits.window_s,
                limits.latency_max_us,
                limits.latency_target_us
            ),
            opening_evidence: tool.window.recent().map(|offence| offence.index).collect(),
            opening_count: i64::try_from(totals.offending).unwrap_or(i64::MAX),
            opening_us: tool.window.recent().map(|offence| offence.event_us).min().unwrap_or(event.event_us),
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn evicted(&self) -> u64 {
        self.tools.evicted()
    }
}

/// How many of `total` calls must be slow for the nearest-rank p95 to be slow.
fn slow_calls_min(totals: Totals) -> u64 {
    let rank = totals.total.saturating_mul(95).div_ceil(100);
    totals.total.saturating_sub(rank).saturating_add(1)
}

/// Bin of a latency: exact below 8 us, then eight to the octave.
fn bin(latency_us: i64) -> u16 {
    let value = latency_us.clamp(0, LATENCY_MAX_US).unsigned_abs();
    if value < 8 {
        return value as u16;
    }
    let octave = value.ilog2() - 3;
    // At most 37 * 8 + 15.
    (octave * 8) as u16 + (value >> octave) as u16
}

/// Greatest latency in a bin.
fn upper_edge_us(bin: u16) -> i64 {
    if bin < 8 {
        return i64::from(bin);
    }
    let octave = (bin / 8 - 1).min(37);
    let lower = i64::from(bin - octave * 8);
    ((lower + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_their_values_within_an_eighth() {
        let values = (0..5_000).chain((13..40).flat_map(|e| [(1_i64 << e) - 1, 1 << e, (1 << e) + 12_345]));
        let mut last = 0;
        for value in values {
            let value = value.min(LATENCY_MAX_US);
            let edge = upper_edge_us(bin(value));
            assert!(edge >= value && (edge - value) * 8 <= value, "{value} in a bin up to {edge}");
            last = last.max(bin(value));
        }
        assert_eq!(upper_edge_us(bin(i64::MAX)), LATENCY_MAX_US);
        assert!(upper_edge_us(u16::MAX) > 0);
    }

    #[test]
    fn rank_is_the_nearest() {
        let least = |total| slow_calls_min(Totals { total, offending: 0 });
        assert_eq!([20, 21, 39, 40, 41, 100].map(least), [2, 2, 2, 3, 3, 6]);
    }
}
