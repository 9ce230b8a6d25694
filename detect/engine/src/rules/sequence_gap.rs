//! Numbers of a source that never came: exact, the log's own proof that something of it is missing.
//!
//! A run is what a source numbers: its session, or all of it where it is a gateway or a server, as in the table `sources`; of the numbers between a run's least and
//! its greatest those that never came are missing. A hole is told once it is `lateness_s` old on the engine's clock, so that what
//! comes in another order fills it first. What came twice is nothing.
//!
//! - **Numbering that starts again** below what the log has of it is a new run and no hole. Within what it has, its numbers were all there: nothing is missing, as
//!   in the table.
//! - **A number far ahead** is told as a hole and does not hide those after it: what is skipped on the way up through a hole of more than a thousand is a hole of its
//!   own.
//! - **A hole that has to be forgotten** (too many runs, too many holes of one) is told at once.
//!
//! State: 200 bytes a run, at most 2 kB. It cannot see: what is lost before a run's first number or after its last (heartbeats are numbered for that), sources that
//! number nothing, records renumbered on the way, a hole that somebody fills with records of his own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level, bounded};
use crate::record::Event;
use crate::settings::{Settings, microseconds};

const RULE: Rule = Rule {
    id: "sequence_gap",
    title: "Records of a source are missing",
    meaning: "The source numbered records that this log never got: they were lost on the way, or held back",
    statistic: "numbers that never came",
    unit: "count",
    references: &["MCP08"],
};

/// How far below a run's least number one may come and still belong to it.
const REACH: u64 = 1_000;
/// A told hole of more numbers is remembered: a source that goes on in it is followed.
const WIDE: u64 = 1_000;
const HOLES_MAX: usize = schemas::limits::ENGINE_HOLES_MAX;

/// Numbers that have not come yet; its first is its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hole {
    last: u64,
    /// The engine's clock when it was noticed, and the record that it was noticed by.
    noticed_us: i64,
    index: i64,
    event_us: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    source: Entity,
    low: u64,
    /// One more than the greatest number.
    next: u64,
    holes: BTreeMap<u64, Hole>,
    /// The widest hole that was told.
    wide: Option<(u64, u64)>,
    numbers: u64,
    last_index: i64,
    environment: Option<String>,
}

/// What an open episode of a source has told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    holes: u64,
    missing: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    runs: Bounded<Run>,
    /// When a run has a hole that is old enough, by run.
    due: BTreeSet<(i64, String)>,
    /// By the key of a source with an open episode.
    told: BTreeMap<String, Told>,
}

impl Run {
    fn new(source: Entity, number: u64) -> Run {
        Run {
            source,
            low: number,
            next: number,
            holes: BTreeMap::new(),
            wide: None,
            numbers: 0,
            last_index: 0,
            environment: None,
        }
    }

    /// Takes a number in.
    fn take(&mut self, number: u64, hole: Hole) {
        self.numbers = self.numbers.saturating_add(1);
        self.last_index = hole.index;
        if number >= self.next {
            self.open(self.next, number, &hole);
            self.next = number.saturating_add(1);
        } else if number < self.low {
            if self.low - number > REACH {
                // What is open of the old run is told when it is due; numbers from here on are the new one's.
                (self.low, self.next, self.wide) = (number, number.saturating_add(1), None);
                return;
            }
            self.open(number.saturating_add(1), self.low, &hole);
            self.low = number;
        } else if !self.fill(number)
            && let Some((first, last)) = self.wide.filter(|(first, last)| (*first..=*last).contains(&number))
        {
            self.open(first, number, &hole);
            self.wide = (number < last).then(|| (number + 1, last));
        }
    }

    /// Opens the hole of numbers from `first` up to and without `end`, if there are any.
    fn open(&mut self, first: u64, end: u64, hole: &Hole) {
        if first < end {
            self.holes.insert(first, Hole { last: end - 1, ..*hole });
        }
    }

    /// Whether the number was missing.
    fn fill(&mut self, number: u64) -> bool {
        let Some((first, hole)) = self.holes.range(..=number).next_back() else { return false };
        if hole.last < number {
            return false;
        }
        let (first, hole) = (*first, *hole);
        self.holes.remove(&first);
        self.open(first, number, &hole);
        if number < hole.last {
            self.holes.insert(number + 1, hole);
        }
        true
    }

    fn noticed_us(&self) -> Option<i64> {
        self.holes.values().map(|hole| hole.noticed_us).min()
    }

    /// Takes out the holes that were noticed up to then.
    fn told(&mut self, noticed_us: i64) -> Vec<(u64, Hole)> {
        let told: Vec<(u64, Hole)> =
            self.holes.extract_if(.., |_, hole| hole.noticed_us <= noticed_us).collect();
        for (first, hole) in &told {
            let is_wider = self.wide.is_none_or(|(one, other)| other - one < hole.last - first);
            if hole.last - first >= WIDE && is_wider && hole.last < self.next {
                self.wide = Some((*first, hole.last));
            }
        }
        told
    }
}

impl State {
    pub fn new() -> State {
        State { runs: Bounded::new(), due: BTreeSet::new(), told: BTreeMap::new() }
    }

    /// What is said of holes of one source.
    fn signal(
        &mut self,
        source: &Entity,
        environment: Option<&String>,
        holes: &[(u64, Hole)],
        context: &Context<'_>,
    ) -> Option<Signal> {
        let (first, newest) = holes.last()?;
        self.told.retain(|key, _| context.episodes.is_open(key));
        let told = self.told.entry(source.key.clone()).or_default();
        for (first, hole) in holes {
            let missing = (hole.last - first).saturating_add(1).min(schemas::limits::ENGINE_MISSING_MAX);
            told.holes = told.holes.saturating_add(1);
            told.missing = told.missing.saturating_add(missing);
        }
        if told.missing < context.settings.sequence_gap.missing_min {
            return None;
        }
        let missing = i64::try_from(told.missing).unwrap_or(i64::MAX);
        let mut evidence: Vec<i64> = holes.iter().map(|(_, hole)| hole.index).collect();
        evidence.sort_unstable();
        evidence.dedup();
        evidence.truncate(schemas::limits::ENGINE_EVIDENCE_MAX);
        Some(Signal {
            entity: source.clone(),
            effect: Effect::Open,
            offending: false,
            severity: Severity::High,
            confidence: Confidence::High,
            observed: Some(missing),
            expected: Some(0),
            seen_us: newest.event_us,
            detail: format!(
                "{missing} numbers in {} holes never came, the last of them {first} to {} before log index {}",
                told.holes, newest.last, newest.index
            ),
            opening_evidence: evidence,
            opening_count: i64::try_from(holes.len()).unwrap_or(i64::MAX),
            opening_us: newest.event_us,
            // Told at the close of no bucket, and named by the record that showed it.
            bucket: Some(Bucket {
                start_us: newest.index,
                closed: 0,
                environment: environment.cloned(),
                baseline: "none",
            }),
        })
    }
}

/// The run that a record is numbered in; nothing of a session where the source counts through them.
fn run_key(event: &Event<'_>) -> String {
    let record = event.record;
    let is_through = matches!(record.observer, Some("gateway" | "server"));
    let (source, session) =
        (bounded(record.source), bounded(if is_through { "" } else { record.session_id }));
    // The length in front keeps the two apart, whatever they are made of; identifiers are at most 128 bytes. Made for every numbered record.
    let mut key = String::with_capacity(source.len() + session.len() + 2);
    key.push(
        u32::try_from(source.len()).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER),
    );
    key.push_str(&source);
    key.push_str(&session);
    key
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        None
    }

    fn scope(&self, _settings: &Settings) -> String {
        "source_seq IS NOT NULL".to_owned()
    }

    fn due_us(&self, settings: &Settings) -> Option<i64> {
        self.due.first().map(|(noticed_us, _)| noticed_us.saturating_add(microseconds(settings.lateness_s)))
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        self.due_us(settings)
    }

    fn close(&mut self, _now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((noticed_us, key)) = self.due.pop_first() else { return };
        let Some(run) = self.runs.get_mut(&key) else { return };
        let holes = run.told(noticed_us);
        let (source, environment) = (run.source.clone(), run.environment.clone());
        if let Some(next_us) = run.noticed_us() {
            self.due.insert((next_us, key));
        }
        signals.extend(self.signal(&source, environment.as_ref(), &holes, context));
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        // A number is the source's own word: one below nothing is none.
        let Some(number) = event.record.source_seq.and_then(|number| u64::try_from(number).ok()) else {
            return;
        };
        let key = run_key(event);
        // What a run misses is told when it goes: holes are no reason to stay, or a flood of sessions with one each pushes out a gateway.
        let rank = |_: &str, run: &Run| (false, run.numbers, run.last_index);
        let gone = self.runs.make_room(&key, context.settings.sequence_gap.runs_max, rank);
        if !gone.is_empty() {
            self.due.retain(|(_, key)| self.runs.get(key).is_some());
        }
        for mut gone in gone {
            let holes = gone.told(i64::MAX);
            signals.extend(self.signal(&gone.source, gone.environment.as_ref(), &holes, context));
        }
        let make = || Run::new(Entity::new(Level::Source, &[("source", Some(event.record.source))]), number);
        let run = self.runs.entry(&key, usize::MAX, rank, make);
        if run.environment.is_none() {
            run.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        if number == run.next {
            // Nearly all: nothing is missing and nothing is new.
            run.next = run.next.saturating_add(1);
            run.numbers = run.numbers.saturating_add(1);
            run.last_index = event.record.index;
            return;
        }
        let before_us = run.noticed_us();
        let noticed_us = context.watermark_us;
        run.take(number, Hole { last: 0, noticed_us, index: event.record.index, event_us: event.event_us });
        let mut too_many = Vec::new();
        if run.holes.len() > HOLES_MAX
            && let Some(oldest_us) = run.noticed_us()
        {
            too_many = run.told(oldest_us);
        }
        let (source, environment) = (run.source.clone(), run.environment.clone());
        let after_us = run.noticed_us();
        if before_us != after_us {
            if let Some(before_us) = before_us {
                self.due.remove(&(before_us, key.clone()));
            }
            if let Some(after_us) = after_us {
                self.due.insert((after_us, key));
            }
        }
        signals.extend(self.signal(&source, environment.as_ref(), &too_many, context));
    }

    fn evicted(&self) -> u64 {
        self.runs.evicted()
    }
}
