//! Numbers of a source that never came: exact, the log's own proof that something of it is missing.
//!
//! A run is what a source numbers: its session, or all of it where it is a gateway or a server, as in the table `sources`; of the numbers between a run's least and
//! its greatest those that never came are missing. A hole is told once it is `wait_s` old on the engine's clock, so that what
//! comes in another order fills it first. What came twice is nothing.
//!
//! - **Numbering that starts again** is followed once its numbers follow one another (`sequence_gap/run.rs`); until then, and within what
//!   the log has of them, they were all there: nothing is missing, as in the table.
//! - **A number far ahead** is told as a hole and does not hide those after it: what is skipped on the way up through a told hole is a hole of its
//!   own.
//! - **A hole that has to be forgotten** (too many runs, too many holes of one) is told at once.
//! - **Few at a time** are added up for a day, where more than one has to be missing.
//!
//! State: 250 bytes a run, at most 12 kB. It cannot see: what is lost before a run's first number or after its last (heartbeats are numbered for that), sources that
//! number nothing, records renumbered on the way, a hole that somebody fills with records of his own, the first eight numbers after a restart.

mod run;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level, bounded};
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use run::{Hole, Run};

const RULE: Rule = Rule {
    id: "sequence_gap",
    title: "Records of a source are missing",
    meaning: "The source numbered records that this log never got: they were lost on the way, or held back",
    statistic: "numbers that never came",
    unit: "count",
    references: &["MCP08"],
};

/// How long holes of a source that are too few to be told are added up.
const ADDED_US: i64 = schemas::limits::ENGINE_HOLES_ADDED_S * 1_000_000;

/// What is missing of a source: what its open episode has told, or what is too little for one so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Missed {
    holes: u64,
    missing: u64,
    /// The engine's clock at the last one.
    seen_us: i64,
    is_told: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    runs: Bounded<Run>,
    /// When a run has a hole that is old enough, by run.
    due: BTreeSet<(i64, String)>,
    /// By the key of a source.
    missed: Bounded<Missed>,
}

impl State {
    pub fn new() -> State {
        State { runs: Bounded::new(), due: BTreeSet::new(), missed: Bounded::new() }
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
        let (now_us, is_open) = (context.watermark_us, context.episodes.is_open(&source.key));
        // With a day's episode its sum ends; what is too little is added up for a day, or one lost now and then would never be told.
        let is_old = context.episodes.is_old(&source.key, now_us);
        self.missed.retain(|key, missed| {
            let is_due = now_us.saturating_sub(missed.seen_us) > ADDED_US;
            if missed.is_told { context.episodes.is_open(key) } else { !is_due }
        });
        if is_old {
            self.missed.remove(&source.key);
        }
        let rank =
            |key: &str, missed: &Missed| (context.episodes.is_open(key), missed.missing, missed.seen_us);
        let sources_max = context.settings.sequence_gap.runs_max;
        let missed = self.missed.entry(&source.key, sources_max, rank, Missed::default);
        missed.seen_us = now_us;
        for (first, hole) in holes {
            let missing = (hole.last - first).saturating_add(1).min(schemas::limits::ENGINE_MISSING_MAX);
            missed.holes = missed.holes.saturating_add(1);
            // An open episode has counted what it told.
            let is_counted = hole.was_told && is_open && !is_old;
            missed.missing = missed.missing.saturating_add(if is_counted { 0 } else { missing });
        }
        if missed.missing < context.settings.sequence_gap.missing_min {
            return None;
        }
        missed.is_told = true;
        let missing = i64::try_from(missed.missing).unwrap_or(i64::MAX);
        let mut evidence: Vec<i64> = holes.iter().map(|(_, hole)| hole.index).collect();
        evidence.sort_unstable();
        evidence.dedup();
        evidence.truncate(schemas::limits::ENGINE_EVIDENCE_MAX);
        Some(Signal {
            entity: source.clone(),
            effect: if is_old { Effect::Renew } else { Effect::Open },
            offending: false,
            severity: Severity::High,
            confidence: Confidence::High,
            observed: Some(missing),
            expected: Some(0),
            seen_us: newest.event_us,
            detail: format!(
                "{missing} numbers in {} holes never came, the last of them {first} to {} before log index {}",
                missed.holes, newest.last, newest.index
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
            ln_p: None,
            budget_verdict: None,
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
        self.due
            .first()
            .map(|(noticed_us, _)| noticed_us.saturating_add(microseconds(settings.sequence_gap.wait_s)))
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        self.due_us(settings)
    }

    fn close(&mut self, _now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((noticed_us, key)) = self.due.pop_first() else { return };
        let Some(run) = self.runs.get_mut(&key) else { return };
        let holes = run.tell(noticed_us);
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
            let holes = gone.tell(i64::MAX);
            signals.extend(self.signal(&gone.source, gone.environment.as_ref(), &holes, context));
        }
        let (index, noticed_us) = (event.record.index, context.watermark_us);
        let make = || {
            Run::new(Entity::new(Level::Source, &[("source", Some(event.record.source))]), number, noticed_us)
        };
        let run = self.runs.entry(&key, usize::MAX, rank, make);
        if run.environment.is_none() {
            run.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        if run.go_on(number, index) {
            return;
        }
        let before_us = run.noticed_us();
        let hole = Hole { last: 0, noticed_us, index, event_us: event.event_us, was_told: false };
        run.take(number, &hole, microseconds(context.settings.lateness_s));
        let too_many = run.tell_surplus();
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
