//! What lasts: minutes with something of a principal in an hour and in four, against the most it has in a day. The machinery under the
//! rules whose ids end in `_sustained`.
//!
//! Statistic: the square root of the most active minutes that a window had in a day, in deviations from what is usual of the entity's
//! days, ranked among those of all entities of the last four weeks. So an entity is asked twice a day, whatever it does, and as often as the
//! budget allows one in all is beyond. A window is looked at with every minute that begins to have something: it is told while it lasts,
//! once a day.
//! State: 600 bytes a principal. It cannot see: much within a few minutes; what hides in minutes that are active anyway; what is not more than
//! the busiest hour of a usual day, at whatever time; what falls; windows where records may come more than four hours late.

use std::collections::VecDeque;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::{DAY_MINUTES, Expected, Level, MINUTES_KEPT, Minutes, Peers, minute, start_us};
use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability};
use crate::entity::{Entity, Level as Of, bounded, entity_key};
use crate::kernel::ln_normal_sf;
use crate::opening::{LN_ALPHA_DAY, LN_ALPHA_TOP, Opening};
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::settings::{Settings, microseconds};

/// Lengths of the windows, in minutes.
const WINDOWS: [i64; 2] = [60, 240];
const HOUR_US: i64 = 3_600_000_000;
/// Days that a figure waits before it is learnt.
const DELAY_DAYS: i64 = 3;
/// Half-life of what is usual, in days that had anything.
const HALF_LIFE: f64 = 30.0;
/// Active days from which on an entity is one of the fleet.
const ESTABLISHED_DAYS: u32 = 7;
/// Days without a call after which an entity is forgotten, and the same for one that was there on one day.
const FORGET_DAYS: i64 = 28;
const FORGET_PASSING_DAYS: i64 = 2;
/// Scores from which on a pool is asked. An entity has one a day, and alpha is about one in as many as four days of all.
const SCORES: u64 = 200;
/// How many times what is expected makes an episode severe.
const SEVERE_TIMES: f64 = 4.0;

/// The most active minutes of a day, by window.
type Most = [u32; WINDOWS.len()];

/// One principal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    entity: Entity,
    minutes: Minutes,
    /// Minutes before are looked at and final.
    settled: i64,
    /// The day of those and its most so far.
    day: i64,
    most: Most,
    /// Days that wait to be learnt, oldest first.
    pending: VecDeque<(i64, Most)>,
    levels: [Level; WINDOWS.len()],
    days_active: u32,
    /// The day that was told last, and how many episodes of it people closed.
    told: i64,
    closed: u32,
    /// Log indices of the last records that began a minute.
    evidence: VecDeque<i64>,
    /// Event time of the last.
    last_us: i64,
    environment: Option<String>,
}

impl Known {
    fn new(entity: Entity) -> Known {
        Known {
            entity,
            minutes: Minutes::new(),
            settled: i64::MIN,
            day: i64::MIN,
            most: [0; WINDOWS.len()],
            pending: VecDeque::new(),
            levels: [Level::new(); WINDOWS.len()],
            days_active: 0,
            told: i64::MIN,
            closed: 0,
            evidence: VecDeque::new(),
            last_us: i64::MIN,
            environment: None,
        }
    }

    /// Looks at what is final: minutes before `until`, all of one day.
    fn settle(&mut self, until: i64) {
        let first = self.settled.max(self.minutes.oldest());
        for at in first..until.min(self.minutes.newest().saturating_add(1)) {
            if !self.minutes.has(at) {
                continue;
            }
            self.day = at.div_euclid(DAY_MINUTES);
            for (most, window) in self.most.iter_mut().zip(WINDOWS) {
                *most = (*most).max(self.minutes.count(at, window));
            }
        }
        self.settled = self.settled.max(until);
    }

    /// Ends the day that is settled, if it had anything.
    fn finish(&mut self) -> Option<(i64, Most)> {
        let most = std::mem::take(&mut self.most);
        if most[0] == 0 {
            return None;
        }
        self.days_active = self.days_active.saturating_add(1);
        self.pending.push_back((self.day, most));
        Some((self.day, most))
    }

    /// Learns the days that have waited long enough.
    fn commit(&mut self, today: i64, peers: &[Option<Peers>; WINDOWS.len()]) {
        while let Some((day, most)) = self.pending.front().copied()
            && day < today.saturating_sub(DELAY_DAYS)
        {
            self.pending.pop_front();
            for ((level, peers), most) in self.levels.iter_mut().zip(peers).zip(most) {
                level.learn(f64::from(most), level.expected(peers.as_ref()), HALF_LIFE);
            }
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

/// A window of an entity and what it is worth.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    window: i64,
    active: u32,
    expected: Expected,
    ln_p: f64,
}

/// What makes a rule out of the machinery.
pub(crate) trait Lasting: std::fmt::Debug + Send {
    const RULE: Rule;
    /// What minutes are counted that have one, in the plural.
    const NOUN: &'static str;
    /// From [`SEVERE_TIMES`] of what is expected on, the second.
    const SEVERITY: (Severity, Severity);
    /// SQL condition over `events` for the records that count.
    const SCOPE: &'static str;

    /// `minutes_min` and `budget_milli`.
    fn limits(settings: &Settings) -> (i64, i64);

    /// Whom a record that counts is about.
    fn of<'a>(event: &Event<'a>) -> [Option<Whom<'a>>; 2];
}

/// One whom a record is about: a column of `events` and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whom<'a> {
    level: Of,
    column: &'static str,
    name: &'a str,
}

impl<'a> Whom<'a> {
    /// The agent, else the user.
    pub fn principal(event: &Event<'a>) -> Option<Whom<'a>> {
        event.principal().map(|(column, name)| Whom { level: Of::Principal, column, name })
    }

    pub fn address(event: &Event<'a>) -> Option<Whom<'a>> {
        event.record.source_ip.map(|name| Whom { level: Of::Source, column: "source_ip", name })
    }

    fn parts(&self) -> [(&'static str, Option<&'a str>); 1] {
        [(self.column, Some(self.name))]
    }

    fn key<'b>(&self, event: &'b Event<'_>, made: &'b mut String) -> &'b str {
        if self.level == Of::Principal {
            return event.principal_key();
        }
        *made = entity_key(&self.parts());
        made
    }
}

/// A rule on what lasts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LastingRule<C> {
    state: State,
    #[serde(skip)]
    counted: PhantomData<C>,
}

impl<C> LastingRule<C> {
    pub fn new() -> LastingRule<C> {
        LastingRule { state: State::new(), counted: PhantomData }
    }
}

/// Principals and what their days are held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    known: Bounded<Known>,
    peers: [Option<Peers>; WINDOWS.len()],
    scores: [Recalibration; WINDOWS.len()],
    /// Its day is the one that is going on, on a clock that is `lateness_s` behind; each window of a day is a test.
    opening: Opening,
}

impl State {
    fn new() -> State {
        State {
            known: Bounded::new(),
            peers: [None; WINDOWS.len()],
            scores: std::array::from_fn(|_| Recalibration::new()),
            opening: Opening::new(),
        }
    }

    /// Ends the days before `day`: judges them, files what they are worth, and learns those that have waited.
    fn turn(&mut self, day: i64) {
        if day <= self.opening.day() {
            return;
        }
        let State { known, peers, scores, opening } = self;
        let mut tests: u64 = 0;
        for (_, known) in known.each() {
            known.settle(day.saturating_mul(DAY_MINUTES));
            let Some((of, most)) = known.finish() else { continue };
            tests = tests.saturating_add(WINDOWS.len() as u64);
            if !known.is_established() {
                continue;
            }
            for (at, most) in most.into_iter().enumerate() {
                if let Some(expected) = known.levels[at].expected(peers[at].as_ref()) {
                    scores[at].observe(of, score(&expected, most));
                }
            }
        }
        opening.tested(tests);
        opening.turn(day);
        scores.iter_mut().for_each(|scores| scores.turn(day));
        known.each().for_each(|(_, known)| known.commit(day, peers));
        known.retain(|_, known| known.is_worth_keeping(day));
        for (at, peers) in peers.iter_mut().enumerate() {
            let established = known.values().filter(|known| known.is_established());
            *peers = Peers::of(established.map(|known| &known.levels[at]));
        }
    }

    /// Takes a record in; true where its minute had none before.
    fn note(&mut self, whom: &Whom<'_>, key: &str, event: &Event<'_>, context: &Context<'_>) -> bool {
        // Final is what no record that counts can still change.
        let lateness_us = microseconds(context.settings.lateness_s);
        let until = minute(context.watermark_us.saturating_sub(lateness_us));
        self.turn(until.div_euclid(DAY_MINUTES));
        let placed = minute(event.placed_us).max(until);
        let rank = |key: &str, known: &Known| {
            (context.episodes.is_open(key), u64::from(known.days_active), known.minutes.newest())
        };
        let make = || Known::new(Entity::new(whom.level, &whom.parts()));
        let entities_max = context.settings.entities_max;
        let known = self.known.entry(key, entities_max, rank, make);
        // Before the newest goes on, so that nothing falls out of the ring unseen.
        if placed > known.minutes.newest() {
            known.settle(until.min(known.minutes.newest().saturating_add(1)));
        }
        if !known.minutes.add(placed) {
            return false;
        }
        known.settle(until);
        if known.evidence.len() >= schemas::limits::ENGINE_EVIDENCE_MAX {
            known.evidence.pop_front();
        }
        known.evidence.push_back(event.record.index);
        known.last_us = known.last_us.max(event.event_us);
        if known.environment.is_none() {
            known.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        true
    }

    /// The least likely of the windows that end now.
    fn verdict(&self, known: &Known, minutes_min: u32) -> Option<Verdict> {
        let newest = known.minutes.newest();
        let each = WINDOWS.into_iter().enumerate().filter_map(|(at, window)| {
            let active = known.minutes.count(newest, window);
            if active < minutes_min {
                return None;
            }
            let expected = known.levels[at].expected(self.peers[at].as_ref())?;
            let score = score(&expected, active);
            // Until there is a past, what the model says, ten times as likely: its alpha is coarse then.
            let raw = (std::f64::consts::LN_10 - score).min(0.0);
            let ln_p = self.scores[at].ln_p_of(score, SCORES).unwrap_or(raw);
            Some(Verdict { window, active, expected, ln_p })
        });
        each.min_by(|one, other| one.ln_p.total_cmp(&other.ln_p))
    }
}

/// `-ln p` of a day's figure, were its square root normal.
fn score(expected: &Expected, most: u32) -> f64 {
    -ln_normal_sf(expected.deviations(f64::from(most)))
}

impl<C: Lasting> LastingRule<C> {
    /// A signal where the windows that end now are unusual, or an episode is open.
    fn judge(&mut self, key: &str, context: &Context<'_>) -> Option<Signal> {
        let state = &mut self.state;
        let (minutes_min, budget_milli) = C::limits(context.settings);
        let known = state.known.get(key)?;
        let today = known.minutes.newest().div_euclid(DAY_MINUTES);
        let is_open = context.episodes.is_open(key);
        if !is_open && known.told == today {
            return None;
        }
        let minutes_min = u32::try_from(minutes_min).unwrap_or(u32::MAX);
        let verdict = state.verdict(known, minutes_min)?;
        let ln_alpha = state.opening.ln_alpha(budget_milli);
        if !is_open && ln_alpha.is_none_or(|ln_alpha| verdict.ln_p > ln_alpha.min(LN_ALPHA_DAY)) {
            return None;
        }
        let is_over = !is_open && state.opening.is_over(budget_milli);
        let known = state.known.get_mut(key)?;
        if !is_open {
            known.told = today;
        }
        Some(signal::<C>(known, &verdict, today, is_open, budget_milli, is_over))
    }
}

impl<C: Lasting> Detector for LastingRule<C> {
    fn rule(&self) -> &'static Rule {
        &C::RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(HOUR_US)
    }

    fn scope(&self, _settings: &Settings) -> String {
        C::SCOPE.to_owned()
    }

    fn called_benign(&mut self, key: &str) {
        if let Some(known) = self.state.known.get_mut(key) {
            known.closed = known.closed.saturating_add(1);
            known.told = i64::MIN;
        }
    }

    fn restored(&mut self) {
        let State { opening, scores, .. } = &mut self.state;
        scores.iter_mut().for_each(|scores| scores.turn(opening.day()));
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let mut made = String::new();
        for whom in C::of(event).into_iter().flatten() {
            let key = whom.key(event, &mut made);
            if self.state.note(&whom, key, event, context) {
                signals.extend(self.judge(key, context));
            }
        }
    }

    fn evicted(&self) -> u64 {
        self.state.known.evicted()
    }
}

fn signal<C: Lasting>(
    known: &Known,
    verdict: &Verdict,
    today: i64,
    is_open: bool,
    budget_milli: i64,
    is_over: bool,
) -> Signal {
    let Verdict { window, active, expected, ln_p } = *verdict;
    let times = f64::from(active) / expected.figure().max(1.0);
    let keeps_open = !is_open || ln_p <= LN_ALPHA_TOP;
    let first = known.minutes.first(known.minutes.newest(), window).map_or(known.last_us, start_us);
    Signal {
        entity: known.entity.clone(),
        effect: if keeps_open { Effect::Open } else { Effect::Follow },
        offending: is_open,
        severity: if times >= SEVERE_TIMES { C::SEVERITY.1 } else { C::SEVERITY.0 },
        confidence: if expected.is_peer { Confidence::Low } else { Confidence::Medium },
        observed: Some(i64::from(active)),
        expected: Some(libm::round(expected.figure()) as i64),
        seen_us: known.last_us,
        detail: format!(
            "{} in {active} of {window} minutes, {:.1} in the busiest ones of a day expected by {}, p = {}; {} a day may open by chance{}",
            C::NOUN,
            expected.figure(),
            if expected.is_peer { "its peers" } else { "its own past" },
            probability(ln_p),
            budget_milli as f64 / 1_000.0,
            if is_over { ", and that is used up" } else { "" },
        ),
        opening_evidence: known.evidence.iter().copied().collect(),
        opening_count: i64::from(active),
        opening_us: first.min(known.last_us),
        bucket: Some(Bucket {
            start_us: start_us(today.saturating_mul(DAY_MINUTES)),
            closed: known.closed,
            environment: known.environment.clone(),
            baseline: if expected.is_peer { "peer" } else { "entity" },
        }),
    }
}

const _: () = assert!(WINDOWS[1] * 2 <= MINUTES_KEPT);
