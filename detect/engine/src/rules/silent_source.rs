//! D16: a source of records that falls silent while others speak.
//!
//! Statistic: the chance of no record at all, `(r / (r + mu))^r`, over what its level, hour and day of week would have brought since its last one
//! (`baseline`), recalibrated on its own past gaps, else on those of all sources. Every bucket of five minutes with records ends a gap, most of them of
//! length 0; an open gap is told when it is as long as only a longer one could be.
//!
//! - It is asked at the close of a bucket, once the clock is `lateness_s` past it: what comes late has ended the silence by then.
//! - A bucket in which *no* source spoke counts for nobody: then we are late or deaf, and the log itself cannot tell which.
//! - It is told from twice the exposure of an ordinary day's longest gap on (the median of the days that count): a batch that comes once a day has gaps of one
//!   size, and a tail fitted to those would find a slightly longer one impossible.
//! - While an episode is open its zeros are not learnt, for 72 h: after that silence is what is usual.
//!
//! State: about 3 kB a source, at most 5 kB in a snapshot, and as much again for its own pool of gaps. It cannot see: the silence of the only source, or of all at once (nothing moves
//! the clock; watch the door's own metrics), a source in its first week, one that sends a little to be taken for alive, the loss of some
//! of its records (`sequence_gap` where it numbers them).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::baseline::{CountBaseline, Parent};
use crate::bits;
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level, bounded};
use crate::filings::Confirmed;
use crate::judge::{Filed, Judge};
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::settings::{Settings, SilentSource, microseconds};

const RULE: Rule = Rule {
    id: "silent_source",
    title: "Source has fallen silent",
    meaning: "What nobody records nobody can answer for: a collector has stopped, or somebody has stopped it",
    statistic: "records since the last one",
    unit: "count",
    references: &["MCP08"],
};

/// Length of a bucket in seconds, and in microseconds.
const BUCKET: i64 = 300;
const STEP: i64 = BUCKET * 1_000_000;
const BUCKETS_OF_DAY: i64 = 86_400 / BUCKET;
/// Days with records from which on a source is known.
const ESTABLISHED_DAYS: u32 = 7;
/// Days without a record after which it is forgotten.
const FORGET_DAYS: i64 = 28;
/// Records below which it is forgotten after a day.
const FEW_RECORDS: u64 = 5;
/// Days of a silence that are not learnt while it is told.
const UNLEARNT_DAYS: i64 = 3;
/// Sources that have a pool of their own.
const OWN_POOLS: usize = 64;
/// Days whose longest gaps count, and days that one waits before it does.
const GAP_DAYS: i64 = 28;
const DELAY_DAYS: i64 = 3;
/// How many times an ordinary day's longest gap one is at least.
const TIMES: f64 = 2.0;
/// Records missing from which on it is severe.
const SEVERE: f64 = 1_000.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    entity: Entity,
    baseline: CountBaseline,
    filed: Filed,
    own: Option<Recalibration>,
    /// Records in buckets that are open.
    spoken: BTreeMap<i64, Spoken>,
    /// The first bucket of the silence, and how many records were expected in it.
    silent_since: Option<i64>,
    /// How many episodes were opened of this silence: no two may share an id.
    openings: u32,
    #[serde(with = "bits")]
    missing: f64,
    /// The most that was missing in a gap that ended on a day, in whole records.
    longest: BTreeMap<i64, u64>,
    records: u64,
    last: i64,
    days_active: u32,
    /// Of the last record in buckets that are closed: what came since may be what ended a silence.
    last_index: i64,
    last_us: i64,
    /// Of the last record of all.
    environment: Option<String>,
}

/// Records in a bucket: how many, and the last of them by event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spoken {
    count: u64,
    last_us: i64,
    last_index: i64,
}

/// Sources by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The oldest bucket that is still open; none before the first record.
    next: Option<i64>,
    /// Open buckets in which any source spoke.
    alive: BTreeSet<i64>,
    sources: Bounded<Source>,
    judge: Judge,
}

impl Source {
    fn new(name: &str) -> Source {
        Source {
            entity: Entity::new(Level::Source, &[("source", Some(name))]),
            baseline: CountBaseline::new(BUCKET),
            filed: Filed::default(),
            own: None,
            spoken: BTreeMap::new(),
            silent_since: None,
            openings: 0,
            missing: 0.0,
            longest: BTreeMap::new(),
            records: 0,
            last: i64::MIN,
            days_active: 0,
            last_index: 0,
            last_us: i64::MIN,
            environment: None,
        }
    }

    fn touch(&mut self, event: &Event<'_>, bucket: i64) {
        self.records = self.records.saturating_add(1);
        if bucket.div_euclid(BUCKETS_OF_DAY) > self.last.div_euclid(BUCKETS_OF_DAY) {
            self.days_active = self.days_active.saturating_add(1);
        }
        self.last = self.last.max(bucket);
        if self.environment.as_deref() != event.record.environment.map(bounded).as_deref() {
            self.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        let none = Spoken { count: 0, last_us: i64::MIN, last_index: 0 };
        let spoken = self.spoken.entry(bucket).or_insert(none);
        spoken.count = spoken.count.saturating_add(1);
        (spoken.last_us, spoken.last_index) =
            (spoken.last_us, spoken.last_index).max((event.event_us, event.record.index));
    }

    /// How many records a bucket that closes had.
    fn close(&mut self, bucket: i64) -> u64 {
        let Some(spoken) = self.spoken.remove(&bucket) else { return 0 };
        (self.last_us, self.last_index) = (spoken.last_us, spoken.last_index);
        spoken.count
    }

    fn is_established(&self) -> bool {
        self.days_active >= ESTABLISHED_DAYS && self.baseline.is_settled()
    }

    fn is_recent(&self, day: i64, days: i64) -> bool {
        self.last.div_euclid(BUCKETS_OF_DAY) >= day.saturating_sub(days)
    }

    /// A gap ends on a day.
    fn end_gap(&mut self, day: i64) {
        // Far below where a float has no integer.
        let missing = libm::round(self.missing.min(1e15)) as u64;
        let longest = self.longest.entry(day).or_default();
        *longest = (*longest).max(missing);
        while self
            .longest
            .first_key_value()
            .is_some_and(|(first, _)| *first < day.saturating_sub(GAP_DAYS + DELAY_DAYS))
        {
            self.longest.pop_first();
        }
        (self.silent_since, self.missing, self.openings) = (None, 0.0, 0);
    }

    /// What was missing in the longest gap of an ordinary day, the median of those that count.
    fn ordinary(&self, day: i64) -> f64 {
        let days = self.longest.range(..day.saturating_sub(DELAY_DAYS));
        let mut longest: Vec<u64> = days.map(|(_, missing)| *missing).collect();
        longest.sort_unstable();
        longest.get(longest.len() / 2).copied().unwrap_or(0) as f64
    }

    /// `-ln P(0)` of a negative binomial over the silence so far.
    fn score(&self, shape: f64) -> f64 {
        shape * libm::log1p(self.missing / shape)
    }
}

/// When a bucket closes, on the engine's clock.
fn close_us(bucket: i64, lateness_s: i64) -> Option<i64> {
    let end_us = (i128::from(bucket) + 1) * i128::from(STEP);
    let due_us = end_us + i128::from(microseconds(lateness_s));
    i64::try_from(due_us.max(i128::from(i64::MIN))).ok()
}

impl State {
    pub fn new() -> State {
        State { next: None, alive: BTreeSet::new(), sources: Bounded::new(), judge: Judge::new() }
    }

    fn turn(&mut self, day: i64) {
        if !self.judge.turn(day) {
            return;
        }
        self.sources.retain(|_, source| {
            let is_passing = source.records < FEW_RECORDS && !source.is_recent(day, 1);
            !is_passing && source.is_recent(day, FORGET_DAYS)
        });
        let mut left =
            OWN_POOLS.saturating_sub(self.sources.values().filter(|one| one.own.is_some()).count());
        for (_, source) in self.sources.each() {
            if left > 0 && source.own.is_none() && source.is_established() {
                left -= 1;
                source.own = Some(Recalibration::new());
            }
            if let Some(own) = &mut source.own {
                own.turn(day);
            }
        }
    }

    /// The bucket to be closed: where the clock went on for more than a day and nothing came, the last one.
    fn after_gap(&self, bucket: i64, now_us: i64) -> i64 {
        let now = now_us.div_euclid(STEP);
        if now.saturating_sub(bucket) <= BUCKETS_OF_DAY {
            return bucket;
        }
        let spoken = self.alive.first().copied().unwrap_or(i64::MAX);
        bucket.max(now.saturating_sub(1).min(spoken))
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(STEP)
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind <> 'control'".to_owned()
    }

    fn due_us(&self, settings: &Settings) -> Option<i64> {
        close_us(self.next?, settings.lateness_s)
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        // A bucket in which nobody spoke tells of nobody.
        close_us(*self.alive.first()?, settings.lateness_s)
    }

    /// Silence that goes on is told as another.
    fn close(&mut self, now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(bucket) = self.next else { return };
        let bucket = self.after_gap(bucket, now_us);
        self.turn(bucket.div_euclid(BUCKETS_OF_DAY));
        self.next = Some(bucket.saturating_add(1));
        let is_alive = self.alive.remove(&bucket);
        let (settings, parent) = (&context.settings.silent_source, Parent::unknown());
        let State { sources, judge, .. } = self;
        let mut found = Vec::new();
        for (_, source) in sources.each() {
            let count = source.close(bucket);
            let is_open = context.episodes.is_open(&source.entity.key);
            if !is_alive {
                // Nobody spoke, which says nothing of anybody; what was told stays told.
                if is_open && source.silent_since.is_some() {
                    found.push(source.signal(0.0, settings, None));
                }
                continue;
            }
            let usual = source.baseline.predict_usual(bucket, &parent);
            let is_established = source.is_established();
            if count > 0 {
                if is_established {
                    let score = source.score(usual.shape);
                    let is_told = is_open && source.silent_since.is_some();
                    if is_told && context.episodes.is_confirmed(&source.entity.key) {
                        judge.asked(true, &mut source.filed);
                    } else {
                        let filed = judge.judged(score, true, &mut source.filed);
                        if let Some(own) = &mut source.own {
                            own.observe(judge.day(), score);
                        }
                        if is_told {
                            judge.tell(&source.entity.key, filed, context);
                        }
                    }
                }
                source.end_gap(judge.day());
            } else {
                source.silent_since.get_or_insert(bucket);
                source.missing += usual.mean;
            }
            let silent =
                source.silent_since.map_or(0, |since| bucket.saturating_sub(since).saturating_add(1));
            if count == 0 && is_established {
                let score = source.score(usual.shape);
                let ln_p = source.own.as_ref().and_then(|own| own.ln_p(score)).or_else(|| judge.ln_p(score));
                let is_long = silent.saturating_mul(BUCKET) >= settings.silence_min_s
                    && source.missing >= settings.missing_min as f64
                    && source.missing >= TIMES * source.ordinary(judge.day());
                let ln_alpha = judge.ln_alpha(true, settings.budget_milli);
                let is_unusual =
                    ln_p.zip(ln_alpha).is_some_and(|(ln_p, ln_alpha)| is_long && ln_p <= ln_alpha);
                if is_open || is_unusual {
                    let over = (!is_open).then(|| judge.is_over(true, settings.budget_milli));
                    found.push(source.signal(ln_p.unwrap_or(0.0), settings, over));
                    source.openings = source.openings.saturating_add(u32::from(!is_open));
                }
            }
            if !is_open || count > 0 || silent > UNLEARNT_DAYS * BUCKETS_OF_DAY {
                let expected = source.baseline.predict(bucket, &parent);
                source.baseline.learn(bucket, count, &expected, &parent);
            }
        }
        signals.extend(found);
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        let taken = self.judge.called_true(episode);
        for (_, source) in self.sources.each().filter(|(_, source)| source.entity.key == episode.key) {
            let own = source.own.iter_mut();
            own.for_each(|own| taken.iter().for_each(|filing| own.take_out(filing.day, filing.score)));
        }
    }

    fn restored(&mut self) {
        self.judge.restored();
        let day = self.judge.day();
        self.sources.each().filter_map(|(_, source)| source.own.as_mut()).for_each(|own| own.turn(day));
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, _signals: &mut Vec<Signal>) {
        let name: Cow<'_, str> = bounded(event.record.source);
        let own = event.placed_us.div_euclid(STEP);
        let reach = microseconds(context.settings.lateness_s).div_euclid(STEP).saturating_add(1);
        let bucket = own.max(*self.next.get_or_insert(own.saturating_sub(reach)));
        if !self.alive.contains(&bucket) {
            self.alive.insert(bucket);
        }
        let rank = |_: &str, source: &Source| (source.is_established(), source.records, source.last);
        let make = || Source::new(event.record.source);
        let sources_max = context.settings.silent_source.sources_max;
        self.sources.entry(&name, sources_max, rank, make).touch(event, bucket);
    }

    fn evicted(&self) -> u64 {
        self.sources.evicted()
    }
}

impl Source {
    /// `over`: whether it opens beyond the day's budget; none where it is open already.
    fn signal(&self, ln_p: f64, settings: &SilentSource, over: Option<bool>) -> Signal {
        let silent_since = self.silent_since.unwrap_or(self.last);
        let worth = if ln_p < 0.0 { format!(", p = {}", probability(ln_p)) } else { String::new() };
        Signal {
            entity: self.entity.clone(),
            effect: Effect::Open,
            offending: false,
            severity: if self.missing >= SEVERE { Severity::High } else { Severity::Medium },
            confidence: Confidence::Medium,
            observed: Some(0),
            // Far below where a float has no integer.
            expected: Some(libm::round(self.missing.min(1e15)) as i64),
            seen_us: self.last_us,
            detail: format!(
                "no record since log index {}, about {:.0} expected by its own past while others spoke{worth}; {} a day may open by chance{}",
                self.last_index,
                self.missing,
                settings.budget_milli as f64 / 1_000.0,
                used_up(over),
            ),
            opening_evidence: vec![self.last_index],
            opening_count: 1,
            opening_us: self.last_us,
            bucket: Some(Bucket {
                start_us: silent_since.saturating_mul(STEP),
                closed: self.openings,
                environment: self.environment.clone(),
                baseline: "entity",
            }),
            ln_p: (ln_p < 0.0).then_some(ln_p),
            budget_verdict: over.map(BudgetVerdict::new),
        }
    }
}
