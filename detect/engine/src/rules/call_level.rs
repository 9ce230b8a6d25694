//! D3, slower still: minutes with a call of an agent (else a user) in a day, added up over days, against what its days have.
//!
//! Statistic: a cumulative sum (CUSUM): `S = max(0, S + z - 1.3)` over active days, z the deviations of the square root of a day's active
//! minutes from what is usual (`activity.rs`), at most four in a day, so that it takes two days. S is ranked among those of all entities of
//! the last four weeks. What is usual follows ten days behind with a half-life of sixty active days: a ramp of a few percent a day moves
//! it too late. A day is looked at while it fills, whenever it has one active minute more than its most.
//! A level that stays is told once: four active days after the one of the opening, or a week, it is taken for what is usual from then on.
//! State: 500 bytes a principal. Source: `kind = 'call'`. It cannot see: what grows by less than a tenth a day; a level that falls; more calls in
//! as many minutes; who has been there for less than a week, where its peers show nothing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::activity::{DAY_MINUTES, Expected, Level, Minutes, Peers, minute, start_us};
use crate::alert::{Confidence, Severity};
use crate::bits;
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability};
use crate::entity::{Entity, Level as Of, bounded};
use crate::opening::{LN_ALPHA_DAY, Opening};
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::settings::{Settings, microseconds};

const RULE: Rule = Rule {
    id: "call_level",
    title: "Agent works more from day to day",
    meaning: "A level that rises for days is new work that somebody knows of, or somebody who teaches the recorder a new normal",
    statistic: "cumulative sum of minutes with calls a day",
    unit: "minutes",
    references: &["AML.T0034.002", "AML.T0053"],
};

const DAY_US: i64 = 86_400_000_000;
/// Days that a figure waits before it is learnt: longer than a ramp may go unseen.
const DELAY_DAYS: i64 = 10;
/// The same while a level has yet to find its place.
const DELAY_YOUNG_DAYS: i64 = 3;
/// Half-life of what is usual, in days that had anything.
const HALF_LIFE: f64 = 60.0;
/// What a day must be above what is usual to add anything, and the most that it is taken for, in deviations.
const ALLOWANCE: f64 = 1.3;
const DEVIATIONS_TOP: f64 = 4.0;
const ESTABLISHED_DAYS: u32 = 7;
const FORGET_DAYS: i64 = 28;
const FORGET_PASSING_DAYS: i64 = 2;
/// Scores from which on the pool is asked.
const SCORES: u64 = 200;
/// Active days after that of its opening, or else days, from which on a level is taken for the usual one.
const ANCHOR_ACTIVE_DAYS: usize = 4;
const ANCHOR_DAYS: i64 = 7;
/// How much less likely each unit of the sum is, at least, where there is no past to rank it in.
const RATE_UNKNOWN: f64 = 1.3;

/// One principal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    entity: Entity,
    minutes: Minutes,
    /// Minutes before are counted and final, in the day of the rule's clock.
    settled: i64,
    active: u32,
    /// Days that wait to be learnt, oldest first.
    pending: VecDeque<(i64, u32)>,
    level: Level,
    days_active: u32,
    /// The sum as of the end of the last day.
    #[serde(with = "bits")]
    sum: f64,
    /// Active minutes at which the day is looked at next.
    check_at: u32,
    /// The day on which it was told; the level is anchored days after that.
    told: Option<i64>,
    closed: u32,
    evidence: VecDeque<i64>,
    last_us: i64,
    environment: Option<String>,
}

impl Known {
    fn new(entity: Entity) -> Known {
        Known {
            entity,
            minutes: Minutes::new(),
            settled: i64::MIN,
            active: 0,
            pending: VecDeque::new(),
            level: Level::new(),
            days_active: 0,
            sum: 0.0,
            check_at: 0,
            told: None,
            closed: 0,
            evidence: VecDeque::new(),
            last_us: i64::MIN,
            environment: None,
        }
    }

    /// Counts minutes before `until` that are not counted yet, all of one day.
    fn settle(&mut self, until: i64) {
        let last = until.saturating_sub(1).min(self.minutes.newest());
        let first = self.settled.max(self.minutes.oldest());
        if first <= last {
            let length = last.saturating_sub(first).saturating_add(1);
            self.active = self.active.saturating_add(self.minutes.count(last, length));
        }
        self.settled = self.settled.max(until);
    }

    /// Active minutes of the day so far, those that may still change included.
    fn so_far(&self, day: i64) -> u32 {
        let newest = self.minutes.newest();
        let first = self.settled.max(self.minutes.oldest()).max(day.saturating_mul(DAY_MINUTES));
        if newest < first {
            return self.active;
        }
        self.active.saturating_add(self.minutes.count(newest, newest.saturating_sub(first).saturating_add(1)))
    }

    /// The sum with a day that has so many active minutes.
    fn sum_with(&self, active: u32, peers: Option<&Peers>) -> Option<(f64, Expected)> {
        let expected = self.level.expected(peers)?;
        let deviations = expected.deviations(f64::from(active)).min(DEVIATIONS_TOP).max(-DEVIATIONS_TOP);
        Some(((self.sum + deviations - ALLOWANCE).max(0.0), expected))
    }

    /// Takes a level that was told days ago for what is usual from then on.
    fn anchor(&mut self, today: i64) {
        let Some(told) = self.told else { return };
        let since = self.pending.iter().filter(|(day, _)| *day > told);
        if since.clone().count() < ANCHOR_ACTIVE_DAYS && today.saturating_sub(told) < ANCHOR_DAYS {
            return;
        }
        self.level.anchor(since.map(|(_, active)| f64::from(*active)));
        self.pending.clear();
        (self.sum, self.told) = (0.0, None);
    }

    fn commit(&mut self, today: i64, peers: Option<&Peers>) {
        while let Some((day, active)) = self.pending.front().copied()
            && day < today.saturating_sub(if self.level.is_young() { DELAY_YOUNG_DAYS } else { DELAY_DAYS })
        {
            self.pending.pop_front();
            self.level.learn(f64::from(active), self.level.expected(peers), HALF_LIFE);
        }
    }

    fn is_established(&self) -> bool {
        self.days_active >= ESTABLISHED_DAYS
    }

    fn is_worth_keeping(&self, day: i64) -> bool {
        let days = if self.days_active > 1 { FORGET_DAYS } else { FORGET_PASSING_DAYS };
        self.minutes.newest().div_euclid(DAY_MINUTES) >= day.saturating_sub(days)
    }
}

/// Principals and what their sums are held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    known: Bounded<Known>,
    peers: Option<Peers>,
    scores: Recalibration,
    /// Its day is the one that is going on, on a clock that is `lateness_s` behind; an active day of an entity is a test.
    opening: Opening,
}

impl State {
    pub fn new() -> State {
        State { known: Bounded::new(), peers: None, scores: Recalibration::new(), opening: Opening::new() }
    }

    /// Ends the day that was going on, and turns to `day`.
    fn turn(&mut self, day: i64) {
        let of = self.opening.day();
        if day <= of {
            return;
        }
        let State { known, peers, scores, opening } = self;
        let mut tests: u64 = 0;
        for (_, known) in known.each() {
            known.settle(of.saturating_add(1).saturating_mul(DAY_MINUTES));
            known.check_at = 0;
            let active = std::mem::take(&mut known.active);
            if active > 0 {
                tests = tests.saturating_add(1);
                known.days_active = known.days_active.saturating_add(1);
                known.pending.push_back((of, active));
                if let Some((sum, _)) = known.sum_with(active, peers.as_ref()) {
                    known.sum = sum;
                    if known.is_established() {
                        scores.observe(of, sum);
                    }
                }
            }
            known.anchor(day);
            known.commit(day, peers.as_ref());
        }
        opening.tested(tests);
        opening.turn(day);
        scores.turn(day);
        known.retain(|_, known| known.is_worth_keeping(day));
        let established = known.values().filter(|known| known.is_established());
        *peers = Peers::of(established.map(|known| &known.level));
    }

    fn ln_p(&self, sum: f64) -> f64 {
        let raw = (std::f64::consts::LN_10 - RATE_UNKNOWN * sum).min(0.0);
        self.scores.ln_p_of(sum, SCORES).unwrap_or(raw)
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(DAY_US)
    }

    fn quiet_us(&self, _settings: &Settings) -> i64 {
        // Three quiet days would be a week with a weekend in it.
        DAY_US
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind = 'call'".to_owned()
    }

    fn called_benign(&mut self, key: &str) {
        // What is so is known; what comes on top of it is told again once it is what is usual.
        if let Some(known) = self.known.get_mut(key) {
            known.closed = known.closed.saturating_add(1);
        }
    }

    fn restored(&mut self) {
        self.scores.turn(self.opening.day());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((column, name)) = event.principal().filter(|_| event.is_call()) else { return };
        let lateness_us = microseconds(context.settings.lateness_s);
        let until = minute(context.watermark_us.saturating_sub(lateness_us));
        self.turn(until.div_euclid(DAY_MINUTES));
        let day = self.opening.day();
        let placed = minute(event.placed_us).max(until);
        let key = event.principal_key();
        let is_open = context.episodes.is_open(key);
        let rank = |key: &str, known: &Known| {
            (context.episodes.is_open(key), u64::from(known.days_active), known.minutes.newest())
        };
        let make = || Known::new(Entity::new(Of::Principal, &[(column, Some(name))]));
        let known = self.known.entry(key, context.settings.entities_max, rank, make);
        if placed > known.minutes.newest() {
            known.settle(until.min(known.minutes.newest().saturating_add(1)));
        }
        if !known.minutes.add(placed) {
            return;
        }
        if known.evidence.len() >= schemas::limits::ENGINE_EVIDENCE_MAX {
            known.evidence.pop_front();
        }
        known.evidence.push_back(event.record.index);
        known.last_us = known.last_us.max(event.event_us);
        if known.environment.is_none() {
            known.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        // Minutes of the day to come, while the last one waits for what is late, are looked at when it has ended.
        if placed >= day.saturating_add(1).saturating_mul(DAY_MINUTES) {
            return;
        }
        let settings = &context.settings.call_level;
        let active = known.so_far(day);
        if active < known.check_at
            || i64::from(active) < settings.minutes_min
            || (known.told.is_some() && !is_open)
        {
            return;
        }
        known.check_at = active.saturating_add((active / 16).max(1));
        let Some((sum, expected)) = known.sum_with(active, self.peers.as_ref()) else { return };
        let before = known.sum;
        let ln_p = self.ln_p(sum);
        let is_beyond =
            self.opening.ln_alpha(settings.budget_milli).is_some_and(|alpha| ln_p <= alpha.min(LN_ALPHA_DAY));
        if !is_beyond {
            return;
        }
        let mut over = "";
        if !is_open && self.opening.is_over(settings.budget_milli) {
            over = ", and that is used up";
        }
        let Some(known) = self.known.get_mut(key) else { return };
        known.told.get_or_insert(day);
        let first = known.minutes.first(known.minutes.newest(), DAY_MINUTES).map_or(known.last_us, start_us);
        signals.push(Signal {
            entity: known.entity.clone(),
            effect: Effect::Open,
            offending: is_open,
            severity: Severity::Low,
            confidence: if expected.is_peer { Confidence::Low } else { Confidence::Medium },
            observed: Some(i64::from(active)),
            expected: Some(libm::round(expected.figure()) as i64),
            seen_us: known.last_us,
            detail: format!(
                "calls in {active} minutes of a day so far, {:.1} expected of one by {}; with the days before that makes a sum of {sum:.1} (before this day {before:.1}), p = {}; {} a day may open by chance{over}",
                expected.figure(),
                if expected.is_peer { "its peers" } else { "its own past" },
                probability(ln_p),
                settings.budget_milli as f64 / 1_000.0,
            ),
            opening_evidence: known.evidence.iter().copied().collect(),
            opening_count: i64::from(active),
            opening_us: first.min(known.last_us),
            bucket: Some(Bucket {
                start_us: start_us(day.saturating_mul(DAY_MINUTES)),
                closed: known.closed,
                environment: known.environment.clone(),
                baseline: if expected.is_peer { "peer" } else { "entity" },
            }),
        });
    }

    fn evicted(&self) -> u64 {
        self.known.evicted()
    }
}
