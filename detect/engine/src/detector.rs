//! What every detector is: records in, signals out. Episodes, ids and wording are made elsewhere, once.

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::entity::Entity;
use crate::episode::Episodes;
use crate::filings::Confirmed;
use crate::record::Event;
use crate::settings::{Settings, microseconds};

/// What is fixed about a rule. Ids are persisted and never reused.
#[derive(Debug)]
pub(crate) struct Rule {
    pub id: &'static str,
    pub title: &'static str,
    /// Why it matters, one sentence without full stop.
    pub meaning: &'static str,
    pub statistic: &'static str,
    pub unit: &'static str,
    pub references: &'static [&'static str],
}

/// What a detector may look at beside the record and its own state.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub settings: &'a Settings,
    pub tenant: &'a str,
    pub watermark_us: i64,
    /// Open episodes of this detector, for entities worth keeping and signals that only follow others.
    pub episodes: &'a Episodes,
}

impl Context<'_> {
    /// When a record counts: its event time, or the earliest moment that is still waited for. A source that dates its records back
    /// would else be out of sight.
    pub fn counted_us(&self, event: &Event<'_>) -> i64 {
        event.placed_us.max(self.watermark_us.saturating_sub(microseconds(self.settings.lateness_s)))
    }
}

/// What a signal does to the episode of its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The condition holds: opens an episode, or keeps it open.
    Open,
    /// Belongs to an open episode but does not keep it open; nothing without one.
    Follow,
    /// The condition holds by itself, and the entity's episode is a day old: that one is closed and another opens, or whoever keeps an
    /// episode open with little would have nobody told of much.
    Renew,
    /// The record of the episode that [`Signal::opening_evidence`] names turns out to be in order: told, and where the episode has nothing else it is
    /// closed.
    Explain,
}

/// What a detector saw in one record about one entity.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    pub entity: Entity,
    pub effect: Effect,
    /// The record itself is counted and is evidence.
    pub offending: bool,
    pub severity: Severity,
    pub confidence: Confidence,
    pub observed: Option<i64>,
    pub expected: Option<i64>,
    /// Event time of the offence.
    pub seen_us: i64,
    /// What was seen, a clause without full stop; empty where what was said before stands.
    pub detail: String,
    /// Log indices that led to the opening, this record's included, ascending; used only if it opens.
    pub opening_evidence: Vec<i64>,
    /// Offending records that led to the opening.
    pub opening_count: i64,
    /// Event time of the first of them.
    pub opening_us: i64,
    /// For signals about a bucket and not about the record.
    pub bucket: Option<Bucket>,
    /// Where it is held against a past: the logarithm of its p, recalibrated where there are scores.
    pub ln_p: Option<f64>,
    /// Where it opens an episode that a budget counts.
    pub budget_verdict: Option<BudgetVerdict>,
}

/// What a signal about a bucket says beside what one about a record does.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Names the episode that opens: the same whether the bucket is open or closed when it is told. A bucket names one at most, but for
    /// those that people close.
    pub start_us: i64,
    /// How many of its episodes people closed before.
    pub closed: u32,
    /// Environment of the bucket's first record.
    pub environment: Option<String>,
    /// Whose past the expectation came from: `entity` or `peer`.
    pub baseline: &'static str,
}

/// What is told of the rule that an episode is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub id: &'a str,
    pub title: &'a str,
    /// Why it matters, without full stop.
    pub meaning: &'a str,
    pub statistic: &'a str,
    pub unit: &'a str,
    /// Name of its runbook.
    pub runbook: &'a str,
}

/// What episodes ask of whoever opens them. The key is that of the entity: a detector is one rule, rules in Sigma are many in one lane.
pub(crate) trait Telling {
    fn facts(&self, key: &str) -> Facts<'_>;

    fn references(&self, key: &str) -> Vec<String>;

    /// As [`Detector::window_us`].
    fn told_window_us(&self, key: &str, settings: &Settings) -> Option<i64>;

    /// As [`Detector::quiet_us`].
    fn stays_open_us(&self, key: &str, settings: &Settings) -> i64;

    /// As [`Detector::scope`]; none where SQL cannot say it.
    fn told_scope(&self, key: &str, settings: &Settings) -> Option<String>;
}

impl<D: Detector> Telling for D {
    fn facts(&self, _key: &str) -> Facts<'_> {
        let Rule { id, title, meaning, statistic, unit, .. } = self.rule();
        Facts { id, title, meaning, statistic, unit, runbook: id }
    }

    fn references(&self, _key: &str) -> Vec<String> {
        self.rule().references.iter().map(|reference| (*reference).to_owned()).collect()
    }

    fn told_window_us(&self, _key: &str, settings: &Settings) -> Option<i64> {
        self.window_us(settings)
    }

    fn stays_open_us(&self, _key: &str, settings: &Settings) -> i64 {
        self.quiet_us(settings)
    }

    fn told_scope(&self, _key: &str, settings: &Settings) -> Option<String> {
        Some(self.scope(settings))
    }
}

/// One detector with its state. State holds numbers and strings in ordered maps, is serialised whole into the snapshot (a
/// double as its bits), and changes only in `observe` and `close`.
pub(crate) trait Detector: Telling {
    fn rule(&self) -> &'static Rule;

    /// Length of the window that the statistic covers, if it covers one.
    fn window_us(&self, settings: &Settings) -> Option<i64>;

    /// How long an episode stays open without a signal, on the engine's clock.
    fn quiet_us(&self, settings: &Settings) -> i64 {
        let window_us = self.window_us(settings).unwrap_or(microseconds(settings.single_record_window_s));
        window_us.saturating_mul(settings.quiet_windows)
    }

    /// SQL condition over `events` for the records that this rule looks at.
    fn scope(&self, settings: &Settings) -> String;

    /// The engine's clock at which the oldest open bucket closes, for detectors that have some.
    fn due_us(&self, _settings: &Settings) -> Option<i64> {
        None
    }

    /// The engine's clock at which something may be told though no record comes; no earlier than it can be, and none where nothing is
    /// known that could be told.
    fn awaits_us(&self, _settings: &Settings) -> Option<i64> {
        None
    }

    /// Closes that bucket; `now_us` is how far the clock has gone on, `context.watermark_us` when the bucket was due.
    fn close(&mut self, _now_us: i64, _context: &Context<'_>, _signals: &mut Vec<Signal>) {}

    /// A person closed the episode of this entity. What goes on after that is to be told, where the detector tells a thing once.
    fn called_benign(&mut self, _key: &str) {}

    /// A person called an episode true: its scores are taken out of what later ones are held against, as far as they wait.
    fn called_true(&mut self, _episode: &Confirmed<'_>) {}

    /// Makes what is not in a snapshot, because it follows from the rest.
    fn restored(&mut self) {}

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>);

    /// Entries forgotten at a cap that a later alert could have needed; turnover of what is only kept for
    /// convenience is left out.
    fn evicted(&self) -> u64;
}

/// `part` of `total` in words, for ratios: "5 of 20 (25.00 %)".
pub(crate) fn share(part: u64, total: u64, ratio_ppm: i64) -> String {
    format!("{part} of {total} ({})", percent(ratio_ppm))
}

/// Parts per million as a percentage with two decimals, rounded down.
pub(crate) fn percent(ratio_ppm: i64) -> String {
    format!("{}.{:02} %", ratio_ppm / 10_000, (ratio_ppm % 10_000) / 100)
}

/// A probability that may be too small for a number, with two digits.
pub(crate) fn probability(ln_p: f64) -> String {
    let power = libm::floor(ln_p / std::f64::consts::LN_10);
    let digits = libm::exp(ln_p - power * std::f64::consts::LN_10);
    format!("{digits:.1}e{power:.0}")
}

/// Ends the clause on a budget.
pub(crate) fn used_up(is_over: Option<bool>) -> &'static str {
    if is_over == Some(true) { ", and that is used up" } else { "" }
}
