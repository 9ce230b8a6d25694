//! D12: an output of a tool (server and capability) that is far larger than its outputs are.
//!
//! Statistic: p of the logarithm of `response_bytes` by the tool's sketch of the last weeks with a generalised Pareto law above the 98th percentile
//! (`sketch/tail.rs`), recalibrated (`judge.rs`), per output and with the record itself. A tool with fewer than 200 outputs of three days and more ago is held
//! against all tools of the tenant, each counting alike. State: at most 80 kB a tool (two sketches and three days that wait), about 5 kB in use. Source: `response_bytes`
//! of calls and outputs. It cannot see: much that is taken in pieces, outputs whose size nobody reports, sizes beyond a terabyte as
//! different, what is large for one argument and not for another.

use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level, bounded};
use crate::filings::Confirmed;
use crate::judge::{Judge, ln_extends};
use crate::record::Event;
use crate::settings::Settings;
use crate::sketch::{Learnt, Sketch, Tail, block};

const RULE: Rule = Rule {
    id: "oversized_output",
    title: "Tool output is far larger than usual",
    meaning: "A tool that suddenly returns very much hands over more than the task needs, or floods the agent's context",
    statistic: "bytes of one output",
    unit: "bytes",
    references: &["AML.T0085.001", "AML.T0086", "MCP10"],
};

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;
/// Values of one tool among those of all.
const OF_PEER: u64 = 256;
/// How many times what is the largest that is usual makes an episode severe.
const SEVERE_TIMES: u64 = 100;

/// Tools by server and capability. A forgotten one is held against its peers again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    tools: Bounded<Learnt>,
    /// Sizes of all established tools, as of the last turn of the day.
    peers: Sketch,
    judge: Judge,
    #[serde(skip)]
    peers_tail: Option<Tail>,
}

impl State {
    pub fn new() -> State {
        State { tools: Bounded::new(), peers: Sketch::default(), judge: Judge::new(), peers_tail: None }
    }

    fn turn(&mut self, day: i64) {
        if !self.judge.turn(day) {
            return;
        }
        self.tools.retain(|_, tool| tool.is_worth_keeping(day));
        let mut peers = Sketch::default();
        for tool in self.tools.values().filter(|tool| tool.is_established()) {
            peers.merge(&tool.all().tempered(OF_PEER, None));
        }
        self.peers = peers;
        self.peers_tail = Tail::of(&self.peers);
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        None
    }

    fn scope(&self, settings: &Settings) -> String {
        format!("kind IN ('call', 'output') AND response_bytes >= {}", settings.oversized_output.bytes_min)
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        self.judge.called_true(episode);
    }

    fn restored(&mut self) {
        self.judge.restored();
        self.peers_tail = Tail::of(&self.peers);
        self.tools.each().for_each(|(_, tool)| tool.restored());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        if !matches!(event.record.kind, "call" | "output") {
            return;
        }
        // A size below nothing is no measurement.
        let Some(bytes) = event.record.response_bytes.and_then(|bytes| u64::try_from(bytes).ok()) else {
            return;
        };
        let Some(parts) = event.tool() else { return };
        self.turn(context.watermark_us.div_euclid(DAY));
        // What is dated back further than buckets wait counts where it arrives.
        let now = block(context.counted_us(event));
        let key = event.tool_key();
        let is_open = context.episodes.is_open(key);
        // One huge output opens an episode: a flood of names that have one each must not push out those with a past.
        let rank = |_: &str, tool: &Learnt| tool.rank();
        let tool = self.tools.entry(key, context.settings.entities_max, rank, Learnt::new);
        tool.learn(now, self.judge.day(), bytes);
        let is_known = tool.is_established();
        let Some((tail, is_peer)) =
            tool.tail().map(|tail| (tail, false)).or(self.peers_tail.map(|tail| (tail, true)))
        else {
            return;
        };
        let ln_raw = tail.ln_p(bytes);
        // What comes while an episode is open cannot open one, and an incident must not be the yardstick of the next.
        let filed = (!is_open).then(|| self.judge.judged(-ln_raw, is_known, &mut tool.filed)).flatten();
        let settings = &context.settings.oversized_output;
        if bytes <= tail.threshold || i64::try_from(bytes).is_ok_and(|bytes| bytes < settings.bytes_min) {
            return;
        }
        let Some(ln_p) = self.judge.ln_p(-ln_raw) else { return };
        let ln_alpha = self.judge.ln_alpha(is_known, settings.budget_milli);
        let is_unusual = ln_alpha.is_some_and(|ln_alpha| ln_p <= ln_alpha);
        let opens = is_unusual && (!is_open || context.episodes.is_old(key, context.watermark_us));
        let extends = is_open && ln_p <= ln_extends(ln_alpha);
        if !opens && !extends {
            return;
        }
        let is_over = opens.then(|| self.judge.is_over(is_known, settings.budget_milli));
        let over = used_up(is_over);
        self.judge.tell(key, filed, context);
        let is_severe = bytes / SEVERE_TIMES >= tail.threshold;
        let number = |value: u64| Some(i64::try_from(value).unwrap_or(i64::MAX));
        signals.push(Signal {
            entity: Entity::new(Level::Tool, &parts),
            effect: if opens && is_open { Effect::Renew } else { Effect::Open },
            offending: true,
            severity: if is_severe { Severity::High } else { Severity::Medium },
            confidence: if is_peer { Confidence::Low } else { Confidence::Medium },
            observed: number(bytes),
            expected: number(tail.threshold),
            seen_us: event.event_us,
            detail: format!(
                "an output of {bytes} bytes at log index {}, 49 of 50 of {} are at most {} bytes, p = {}; {} a day may open by chance{over}",
                event.record.index,
                if is_peer { "its peers" } else { "its own" },
                tail.threshold,
                probability(ln_p),
                settings.budget_milli as f64 / 1_000.0,
            ),
            opening_evidence: vec![event.record.index],
            opening_count: 1,
            opening_us: event.event_us,
            // One output is its own bucket: the log index names the episode.
            bucket: Some(Bucket {
                start_us: event.record.index,
                closed: 0,
                environment: event.record.environment.map(|name| bounded(name).into_owned()),
                baseline: if is_peer { "peer" } else { "entity" },
            }),
            ln_p: Some(ln_p),
            budget_verdict: is_over.map(BudgetVerdict::new),
        });
    }

    fn evicted(&self) -> u64 {
        self.tools.evicted()
    }
}
