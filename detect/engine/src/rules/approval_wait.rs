//! D8: an approval that waits far longer than those of its queue do; a queue is the server that the call is for.
//!
//! Statistic: P(T > t) of the wait by a sketch of the queue's waits of the last weeks with a generalised Pareto law of their logarithms above the 98th percentile; that of the
//! tenant for a queue with fewer than 200. An approval that is pending has waited at least as long as it is old, less what late records are waited for (its
//! decision may be on its way), so that every five minutes the oldest of each queue is asked the same. Held against past scores where there are 4,000, else taken as ten times as likely (`judge.rs`). Waits have two heaps, minutes and
//! nights, for which the lognormal of the first design is too narrow. State: 5 kB a queue in use, 150 bytes an approval that waits. It cannot see: queues in their
//! first days, whose approver is slow (nobody is named while it waits), approvals that are forgotten at the cap or after a week.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::approvals::{Pending, Waits};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level, entity_key};
use crate::filings::Confirmed;
use crate::judge::{Judge, ln_extends};
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use crate::sketch::{Learnt, Tail, block};

const RULE: Rule = Rule {
    id: "approval_wait",
    title: "Approval waits far longer than usual",
    meaning: "Either nobody works off the queue, or the agent asks for what nobody wants to approve",
    statistic: "wait of an approval",
    unit: "us",
    references: &["MCP02"],
};

/// Records that speak of approvals.
pub(super) const SCOPE: &str = "(approval_status IS NOT NULL OR decision = 'require_approval')";
/// How often the oldest are looked at, and a day, in microseconds.
const TICK: i64 = 300_000_000;
const DAY: i64 = 86_400_000_000;
/// How many times what is the longest that is usual makes it severe.
const SEVERE_TIMES: u64 = 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    waits: Waits,
    queues: Bounded<Learnt>,
    /// Waits of the whole tenant.
    all: Learnt,
    judge: Judge,
    /// Episodes that were opened: no two may share an id.
    openings: u32,
    /// The next look, in ticks; none while nothing waits.
    next: Option<i64>,
}

/// What is told of one wait.
struct Wait<'a> {
    server: Option<&'a str>,
    wait_us: i64,
    is_pending: bool,
    index: i64,
    seen_us: i64,
    environment: Option<String>,
}

impl State {
    pub fn new() -> State {
        State {
            waits: Waits::new(),
            queues: Bounded::new(),
            all: Learnt::new(),
            judge: Judge::new(),
            openings: 0,
            next: None,
        }
    }

    fn turn(&mut self, day: i64) {
        if self.judge.turn(day) {
            self.queues.retain(|_, queue| queue.is_worth_keeping(day));
        }
    }

    /// The tail of a queue, and whether it is the tenant's.
    fn tail(&self, key: &str) -> Option<(Tail, bool)> {
        let own = self.queues.get(key).and_then(Learnt::tail).map(|tail| (tail, false));
        own.or(self.all.tail().map(|tail| (tail, true)))
    }

    /// A signal where a wait is unusual, or goes on in an open episode.
    fn asked(&mut self, wait: &Wait<'_>, context: &Context<'_>) -> Option<Signal> {
        let key = entity_key(&[("server", wait.server)]);
        let (tail, is_peer) = self.tail(&key)?;
        let settings = &context.settings.approval_wait;
        let waited = milliseconds(wait.wait_us);
        if waited <= tail.threshold || wait.wait_us < microseconds(settings.wait_min_s) {
            return None;
        }
        let ln_raw = tail.ln_p(waited);
        let is_open = context.episodes.is_open(&key);
        let ln_p = self.judge.ln_p_or_raw(-ln_raw);
        let is_known = self.queues.get(&key).is_some_and(Learnt::is_established);
        let ln_alpha = self.judge.ln_alpha(is_known, settings.budget_milli);
        let is_unusual = ln_alpha.is_some_and(|ln_alpha| ln_p <= ln_alpha);
        // One that waits is looked at again and again, and has to be told once: only what ended is told as another after a day.
        let is_old = !wait.is_pending && context.episodes.is_old(&key, context.watermark_us);
        let opens = is_unusual && (!is_open || is_old);
        let extends = is_open && ln_p <= ln_extends(ln_alpha);
        if !opens && !extends {
            return None;
        }
        // A clock that jumps can close an episode whose approval waits on: what opens then is another one.
        self.openings = self.openings.saturating_add(u32::from(opens));
        let is_over = opens.then(|| self.judge.is_over(is_known, settings.budget_milli));
        let usual_us = i64::try_from(tail.threshold).unwrap_or(i64::MAX).saturating_mul(1_000);
        Some(Signal {
            entity: Entity::new(Level::Tool, &[("server", wait.server)]),
            effect: if opens && is_open { Effect::Renew } else { Effect::Open },
            offending: false,
            severity: if waited / SEVERE_TIMES >= tail.threshold { Severity::High } else { Severity::Medium },
            confidence: if is_peer { Confidence::Low } else { Confidence::Medium },
            observed: Some(wait.wait_us),
            expected: Some(usual_us),
            seen_us: wait.seen_us,
            detail: format!(
                "the approval at log index {} {} {} s, 49 of 50 of {} wait at most {} s, p = {}; {} a day may open by chance{}",
                wait.index,
                if wait.is_pending { "has been waiting for" } else { "waited" },
                wait.wait_us / 1_000_000,
                if is_peer { "the tenant's" } else { "this queue" },
                usual_us / 1_000_000,
                probability(ln_p),
                settings.budget_milli as f64 / 1_000.0,
                used_up(is_over),
            ),
            opening_evidence: vec![wait.index],
            opening_count: 1,
            opening_us: wait.seen_us,
            // One approval is its own bucket: the log index names the episode. A million apart, for those that people close.
            bucket: Some(Bucket {
                start_us: wait.index.saturating_mul(1_000_000),
                closed: self.openings,
                environment: wait.environment.clone(),
                baseline: if is_peer { "peer" } else { "entity" },
            }),
            ln_p: Some(ln_p),
            budget_verdict: is_over.map(BudgetVerdict::new),
        })
    }
}

/// Tails are of whole milliseconds.
fn milliseconds(wait_us: i64) -> u64 {
    wait_us.max(0).unsigned_abs() / 1_000
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        None
    }

    fn scope(&self, _settings: &Settings) -> String {
        SCOPE.to_owned()
    }

    fn due_us(&self, _settings: &Settings) -> Option<i64> {
        // One after the last moment that has a number never comes.
        self.next.and_then(|tick| tick.checked_mul(TICK))
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        // Before any wait is known there is nothing to tell of one.
        self.all.tail()?;
        Some(self.waits.awaits_us(self.due_us(settings)?))
    }

    fn close(&mut self, now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        self.turn(now_us.div_euclid(DAY));
        self.waits.sweep(now_us, context.settings.lateness_s);
        let next = now_us.div_euclid(TICK).saturating_add(1);
        self.next = (!self.waits.is_empty()).then_some(next);
        let mut oldest: BTreeMap<Option<&str>, &Pending> = BTreeMap::new();
        for pending in self.waits.each() {
            let first = oldest.entry(pending.server.as_deref()).or_insert(pending);
            if (pending.asked_us, pending.index) < (first.asked_us, first.index) {
                *first = pending;
            }
        }
        let oldest: Vec<Pending> = oldest.into_values().cloned().collect();
        // What was decided since may yet come.
        let known_us = now_us.saturating_sub(microseconds(context.settings.lateness_s));
        for pending in &oldest {
            let wait = Wait {
                server: pending.server.as_deref(),
                wait_us: known_us.saturating_sub(pending.asked_us).max(0),
                is_pending: true,
                index: pending.index,
                seen_us: pending.asked_us,
                environment: pending.environment.clone(),
            };
            signals.extend(self.asked(&wait, context));
        }
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        self.judge.called_true(episode);
    }

    fn restored(&mut self) {
        self.judge.restored();
        self.all.restored();
        self.queues.each().for_each(|(_, queue)| queue.restored());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let ended = self.waits.take(event, context);
        if self.next.is_none() && !self.waits.is_empty() {
            self.next = Some(context.watermark_us.div_euclid(TICK).saturating_add(1));
        }
        let Some(ended) = ended else { return };
        self.turn(context.watermark_us.div_euclid(DAY));
        let day = self.judge.day();
        let wait = Wait {
            server: ended.server.as_deref(),
            wait_us: ended.longest_us,
            is_pending: false,
            index: ended.index,
            seen_us: ended.ended_us,
            environment: ended.environment.clone(),
        };
        let told = self.asked(&wait, context);
        let is_told = told.is_some();
        signals.extend(told);
        let (key, waited) = (entity_key(&[("server", wait.server)]), milliseconds(ended.longest_us));
        let is_open = context.episodes.is_open(&key);
        let score = self.tail(&key).map(|(tail, _)| -tail.ln_p(waited));
        let now = block(context.counted_us(event));
        let rank = |_: &str, queue: &Learnt| queue.rank();
        let queue = self.queues.entry(&key, context.settings.entities_max, rank, Learnt::new);
        let is_known = queue.is_established();
        if let Some(score) = score.filter(|_| !is_open) {
            let filed = self.judge.judged(score, is_known, &mut queue.filed);
            if is_told {
                self.judge.tell(&key, filed, context);
            }
        }
        queue.learn(now, day, waited);
        self.all.learn(now, day, waited);
    }

    fn evicted(&self) -> u64 {
        self.waits.evicted().saturating_add(self.queues.evicted())
    }
}
