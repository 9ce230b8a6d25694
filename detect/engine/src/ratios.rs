//! k of n in a quarter of an hour, held against what is usual for an entity: the machinery under every rule on a ratio.
//!
//! - **Windows** are by event time and do not overlap. One closes once the engine's clock is `lateness_s` past its end; a record that comes
//!   later than that counts in the oldest window that is open. One with fewer than `total_min` records is carried into the
//!   next, for four hours at most. A ratio has no exposure in silence: idle entities cost nothing.
//! - **A score** is `-ln p` of the hits under the entity's [`Past`]; what it is worth says a [`Judge`], and without that there is no
//!   verdict: the configured ceilings are what there is.
//! - **Opening**: `p <= budget / tests a day`, at the close of a window, with at least `hits_min` hits and whatever floor of effect the rule has.
//!   While it is open a ratio may still fall, so that nothing is asked before; ceilings tell at once.
//! - **Extending**: an open episode lives while a window has `p < 0.05`; what would open one by itself is another after a day.
//! - **Forgetting**: an entity without a record for 28 days, or with few and none for a day. Only those with records on seven days
//!   speak for others.
//!
//! State: what the past takes (`ratios/`), and half a kilobyte. Beyond `entities_max` those with the fewest records go first.

mod known;
mod share;
mod slowness;
mod spread;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level, entity_key};
use crate::filings::Confirmed;
use crate::judge::Judge;
use crate::kernel::ln_betabin_mid;
use crate::keyed::Keyed;
use crate::opening::LN_ALPHA_TOP;
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use known::{Known, Tally};

pub(crate) use share::Share;
pub(crate) use slowness::Slowness;

/// Length of a window.
pub(crate) const WINDOW_US: i64 = schemas::limits::ENGINE_RATIO_WINDOW_S * 1_000_000;
pub(crate) const WINDOWS_OF_DAY: i64 = 86_400 / schemas::limits::ENGINE_RATIO_WINDOW_S;
/// Windows over which one with few records is carried.
const CARRIED: i64 = 16;
/// Days without a record after which an entity is forgotten.
const FORGET_DAYS: i64 = 28;
/// Records below which it is forgotten after a day.
const FEW_RECORDS: u64 = 5;

/// Whom a record is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    Tool,
    /// A column of `events` and its value.
    One(Level, &'static str, Option<&'a str>),
}

/// A beta-binomial: what is expected of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prediction {
    pub a: f64,
    pub b: f64,
    /// Whether it is more the peers' than the entity's.
    pub is_peer: bool,
}

impl Prediction {
    pub fn rate(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    /// Logarithm of the upper mid-p.
    pub fn ln_p(&self, hits: u64, total: u64) -> f64 {
        ln_betabin_mid(hits, total, self.a, self.b).ln_p
    }
}

/// What a window showed and what was expected, in the rule's unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effects {
    pub observed: i64,
    pub expected: i64,
    /// Whether that is enough to tell anybody.
    pub is_large: bool,
}

/// What an entity is known by. All of it changes at the close of a window only.
pub(crate) trait Past: Debug + Clone + Serialize + DeserializeOwned + Send {
    /// What the others of the tenant are known by.
    type Peers: Debug + Clone + Default + Serialize + DeserializeOwned + Send;
    /// What a window keeps of its values beside the counts.
    type Kept: Debug + Clone + Default + Serialize + DeserializeOwned + Send;

    fn new() -> Self;

    /// Whether a value of that window is a hit.
    fn is_hit(&self, value: u64, window: i64) -> bool;

    fn keep(kept: &mut Self::Kept, value: u64);

    /// Takes what an earlier window kept into a later one.
    fn carry(kept: &mut Self::Kept, earlier: &Self::Kept);

    /// Whether it rests on enough to speak for itself and for others.
    fn is_settled(&self) -> bool;

    fn predict(&self, window: i64, peers: &Self::Peers) -> Option<Prediction>;

    fn effects(&self, window: &Window<'_, Self>, expected: &Prediction, settings: &Settings) -> Effects
    where
        Self: Sized;

    /// Takes a window in; while an episode is open it says nothing of how windows differ.
    fn learn(&mut self, window: &Window<'_, Self>, expected: Option<&Prediction>, is_open: bool)
    where
        Self: Sized;

    fn peers<'a>(established: impl Iterator<Item = &'a Self> + Clone) -> Self::Peers
    where
        Self: 'a;

    /// Makes what is not in a snapshot.
    fn restored(&mut self) {}
}

/// A window that closes.
#[derive(Debug)]
pub(crate) struct Window<'a, P: Past> {
    pub number: i64,
    pub hits: u64,
    pub total: u64,
    pub kept: &'a P::Kept,
}

/// What makes a rule on a ratio out of the machinery.
pub(crate) trait Rated: Debug + Send {
    type Past: Past;
    const RULE: Rule;
    const WORDING: Wording;
    /// Whether so few windows are judged that scores are never enough to hold one against.
    const IS_RARE: bool = false;

    /// SQL condition over `events` for the records that are hits.
    fn scope(settings: &Settings) -> String;

    fn limits(settings: &Settings) -> Limits;

    /// Whom a record is about, and its value.
    fn outcome<'a>(event: &Event<'a>) -> Option<(Of<'a>, u64)>;
}

/// How a rule on a ratio speaks and how severe it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording {
    /// What is counted and out of what, in the plural: "outputs were quarantined".
    pub noun: &'static str,
    pub severity: Severity,
}

/// What a rule on a ratio is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Records of a window below which there is no verdict.
    pub total_min: u64,
    /// Hits below which there is none.
    pub hits_min: u64,
    pub budget_milli: i64,
}

/// A rule on a ratio.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub(crate) struct RatioRule<R: Rated> {
    /// The oldest window that is still open, in windows since 1970; none before the first record.
    next: Option<i64>,
    open: BTreeMap<i64, Keyed<Tally<R::Past>>>,
    known: Bounded<Known<R::Past>>,
    peers: <R::Past as Past>::Peers,
    judge: Judge,
    #[serde(skip)]
    rated: PhantomData<fn() -> R>,
}

/// What a closed window of one entity is worth.
struct Verdict<P: Past> {
    key: String,
    tally: Tally<P>,
    prediction: Prediction,
    effects: Effects,
    ln_p: f64,
    is_known: bool,
    opens: bool,
    /// Its score, where that was filed.
    filed: Option<f64>,
}

/// When a window closes, on the engine's clock; one that ends after the last moment that has a number never does.
fn close_us(window: i64, lateness_s: i64) -> Option<i64> {
    let end_us = (i128::from(window) + 1) * i128::from(WINDOW_US);
    let due_us = end_us + i128::from(microseconds(lateness_s));
    i64::try_from(due_us.max(i128::from(i64::MIN))).ok()
}

impl<R: Rated> RatioRule<R> {
    pub fn new() -> RatioRule<R> {
        RatioRule {
            next: None,
            open: BTreeMap::new(),
            known: Bounded::new(),
            peers: Default::default(),
            judge: Judge::new(),
            rated: PhantomData,
        }
    }

    fn turn(&mut self, day: i64) {
        if !self.judge.turn(day) {
            return;
        }
        self.known.retain(|_, known| {
            let is_passing = known.records < FEW_RECORDS && !known.is_recent(day, 1);
            !is_passing && known.is_recent(day, FORGET_DAYS)
        });
        let established = self.known.values().filter(|known| known.is_established());
        self.peers = R::Past::peers(established.map(|known| &known.past));
    }

    /// The window to be closed: where the clock went on for more than a day and nothing came, the last one.
    fn after_gap(&self, window: i64, now_us: i64) -> i64 {
        let now = now_us.div_euclid(WINDOW_US);
        if now.saturating_sub(window) <= WINDOWS_OF_DAY {
            return window;
        }
        let counted = self.open.keys().next().copied().unwrap_or(i64::MAX);
        window.max(now.saturating_sub(1).min(counted))
    }

    /// A flood of identities fills a window with entities that are forgotten again: these make room.
    fn make_room(&mut self, window: i64, key: &str, entities_max: usize) {
        let Some(tallies) = self.open.get_mut(&window) else { return };
        if tallies.len() >= entities_max.saturating_mul(2) && !tallies.contains_key(key) {
            tallies.retain(|key, _| self.known.get(key).is_some());
        }
    }

    /// Judges what a window holds of one entity, and then teaches the entity; none while there is no verdict.
    fn judge(
        &mut self,
        window: i64,
        key: String,
        tally: Tally<R::Past>,
        context: &Context<'_>,
    ) -> Option<Verdict<R::Past>> {
        let limits = R::limits(context.settings);
        let known = self.known.get_mut(&key)?;
        let (is_known, is_open) = (known.is_established(), context.episodes.is_open(&key));
        let closed = Window { number: window, hits: tally.hits, total: tally.total, kept: &tally.kept };
        let prediction = known.past.predict(window, &self.peers);
        let (mut verdict, mut filed) = (None, None);
        if let Some(prediction) = prediction.filter(|_| tally.total >= limits.total_min) {
            // None at all is the least surprising; what exactly it is worth nobody asks.
            let ln_raw = if tally.hits == 0 { 0.0 } else { prediction.ln_p(tally.hits, tally.total) };
            let effects = known.past.effects(&closed, &prediction, context.settings);
            // What comes while an episode is open cannot open one, and an incident must not be the yardstick of the next.
            if !is_open {
                filed = self.judge.judged(-ln_raw, is_known, &mut known.filed);
            }
            if tally.hits > 0
                && let Some(ln_p) = Self::worth(&self.judge, -ln_raw)
            {
                let ln_alpha = self.judge.ln_alpha(is_known, limits.budget_milli);
                let is_unusual = ln_alpha.is_some_and(|ln_alpha| ln_p <= ln_alpha);
                let opens = is_unusual && effects.is_large && tally.hits >= limits.hits_min;
                let extends = is_open && ln_p <= LN_ALPHA_TOP;
                verdict = (opens || extends).then_some((effects, ln_p, opens));
            }
        }
        known.past.learn(&closed, prediction.as_ref(), is_open);
        let (effects, ln_p, opens) = verdict?;
        Some(Verdict { key, tally, prediction: prediction?, effects, ln_p, is_known, opens, filed })
    }

    /// ln p of a score.
    fn worth(judge: &Judge, score: f64) -> Option<f64> {
        if R::IS_RARE { Some(judge.ln_p_or_raw(score)) } else { judge.ln_p(score) }
    }

    /// One more hit of an open episode.
    fn follow(&self, key: &str, event: &Event<'_>) -> Option<Signal> {
        Some(Signal {
            entity: self.known.get(key)?.entity.clone(),
            effect: Effect::Follow,
            offending: true,
            severity: Severity::Informational,
            confidence: Confidence::Low,
            observed: None,
            expected: None,
            seen_us: event.event_us,
            detail: String::new(),
            opening_evidence: Vec::new(),
            opening_count: 0,
            opening_us: event.event_us,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        })
    }

    fn signal(&mut self, window: i64, verdict: &Verdict<R::Past>, context: &Context<'_>) -> Option<Signal> {
        let entity = self.known.get(&verdict.key)?.entity.clone();
        let Verdict { tally, prediction, effects, .. } = verdict;
        let budget_milli = R::limits(context.settings).budget_milli;
        let is_open = context.episodes.is_open(&verdict.key);
        let opens =
            verdict.opens && (!is_open || context.episodes.is_old(&verdict.key, context.watermark_us));
        let is_over = opens.then(|| self.judge.is_over(verdict.is_known, budget_milli));
        if opens {
            self.judge.tell(&verdict.key, verdict.filed, context);
        }
        let unit = R::RULE.unit;
        Some(Signal {
            entity,
            effect: if opens && is_open { Effect::Renew } else { Effect::Open },
            offending: false,
            severity: R::WORDING.severity,
            confidence: if prediction.is_peer { Confidence::Low } else { Confidence::Medium },
            observed: Some(effects.observed),
            expected: Some(effects.expected),
            seen_us: tally.last_us,
            detail: format!(
                "{} of {} {} ({} {unit} against {} {unit} expected by {}), p = {}; {} a day may open by chance{}",
                tally.hits,
                tally.total,
                R::WORDING.noun,
                effects.observed,
                effects.expected,
                if prediction.is_peer { "its peers" } else { "its own past" },
                probability(verdict.ln_p),
                budget_milli as f64 / 1_000.0,
                used_up(is_over),
            ),
            opening_evidence: tally.evidence.clone(),
            opening_count: i64::try_from(tally.hits).unwrap_or(i64::MAX),
            opening_us: tally.first_us,
            bucket: Some(Bucket {
                start_us: window.saturating_mul(WINDOW_US),
                closed: 0,
                environment: tally.environment.clone(),
                baseline: if prediction.is_peer { "peer" } else { "entity" },
            }),
            ln_p: Some(verdict.ln_p),
            budget_verdict: is_over.map(BudgetVerdict::new),
        })
    }
}

impl<R: Rated + 'static> Detector for RatioRule<R> {
    fn rule(&self) -> &'static Rule {
        &R::RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(WINDOW_US)
    }

    fn scope(&self, settings: &Settings) -> String {
        R::scope(settings)
    }

    fn due_us(&self, settings: &Settings) -> Option<i64> {
        close_us(self.next?, settings.lateness_s)
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        // A window in which nothing came has nothing to tell.
        close_us(*self.open.keys().next()?, settings.lateness_s)
    }

    fn close(&mut self, now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(window) = self.next else { return };
        let window = self.after_gap(window, now_us);
        self.turn(window.div_euclid(WINDOWS_OF_DAY));
        let next = window.saturating_add(1);
        self.next = Some(next);
        let total_min = R::limits(context.settings).total_min;
        let mut found = Vec::new();
        for (key, tally) in self.open.remove(&window).unwrap_or_default().into_sorted() {
            if tally.total < total_min && window.saturating_sub(tally.since) < CARRIED && next > window {
                self.open.entry(next).or_default().entry(&key, Tally::default).carry(tally);
            } else {
                found.extend(self.judge(window, key, tally, context));
            }
        }
        found.sort_by(|one, other| one.ln_p.total_cmp(&other.ln_p).then_with(|| one.key.cmp(&other.key)));
        for verdict in found {
            signals.extend(self.signal(window, &verdict, context));
        }
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        self.judge.called_true(episode);
    }

    fn restored(&mut self) {
        self.judge.restored();
        self.known.each().for_each(|(_, known)| known.past.restored());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((of, value)) = R::outcome(event) else { return };
        let made;
        let (key, level) = match of {
            Of::Tool => (event.tool_key(), Level::Tool),
            Of::One(level, column, name) => {
                made = entity_key(&[(column, name)]);
                (made.as_str(), level)
            }
        };
        let entity = || match of {
            Of::Tool => Entity::new(level, &event.tool().unwrap_or([("server", None), ("capability", None)])),
            Of::One(level, column, name) => Entity::new(level, &[(column, name)]),
        };
        let own = event.placed_us.div_euclid(WINDOW_US);
        let reach = microseconds(context.settings.lateness_s).div_euclid(WINDOW_US).saturating_add(1);
        let window = own.max(*self.next.get_or_insert(own.saturating_sub(reach)));
        let entities_max = context.settings.entities_max;
        let rank = |_: &str, known: &Known<R::Past>| (known.is_established(), known.records, known.last);
        let known = self.known.entry(key, entities_max, rank, || Known::new(entity()));
        known.touch(window);
        let is_hit = known.past.is_hit(value, window);
        self.make_room(window, key, entities_max);
        let tallies = self.open.entry(window).or_default();
        tallies.entry(key, Tally::default).add(event, window, value, is_hit);
        if is_hit && context.episodes.is_open(key) {
            signals.extend(self.follow(key, event));
        }
    }

    fn evicted(&self) -> u64 {
        self.known.evicted()
    }
}
