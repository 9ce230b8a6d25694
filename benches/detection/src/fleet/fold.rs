//! One seed: the fleet through the engine, and what came of it.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use engine::{Alert, Engine, Settings, State};
use fleet::calendar::{HOUR, MINUTE};
use fleet::{Digest, Fleet, Logged, Options};

use super::counts::Counts;
use super::matching::OVER;

/// How long after its end an injection still explains an episode, and how long before its start.
const AFTER: i64 = HOUR;
const BEFORE: i64 = 5 * MINUTE;

/// Records that are handed over at once.
const BATCH: usize = 16_384;

/// One episode from its opening to its end.
#[derive(Debug, Clone)]
pub struct Episode {
    pub rule: String,
    pub observables: Vec<String>,
    /// Receipt of the record that opened it, and of the one that closed it.
    pub opened_us: i64,
    pub closed_us: Option<i64>,
    pub first_seen_us: i64,
    pub last_seen_us: i64,
    pub is_over: bool,
    /// What was said at its opening.
    pub said: String,
    /// Injections of the plan that it is about.
    pub causes: Vec<usize>,
    /// Place of its principal in the fleet, where it is about one.
    pub principal: Option<usize>,
}

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub fleet: Fleet,
    pub digest: String,
    pub events: u64,
    /// Seconds of processor time that the engine took.
    pub engine_s: f64,
    pub snapshot_bytes: usize,
    pub episodes: Vec<Episode>,
    /// Benign calls, all calls, benign denied calls.
    pub benign: Counts,
    pub all: Counts,
    pub denied: Counts,
}

/// Folds a fleet.
pub fn fold(options: &Options, settings: &Settings) -> Result<Outcome, String> {
    let mut fleet = Fleet::new(options);
    let principals: BTreeMap<String, usize> =
        fleet.world().principals.iter().enumerate().map(|(at, one)| (one.id().to_owned(), at)).collect();
    let counts = Counts::new(principals.len(), options.days);
    let (mut benign, mut all, mut denied) = (counts.clone(), counts.clone(), counts);
    let mut engine = Engine::new("fleet", settings.clone());
    let mut digest = Digest::default();
    let mut engine_s = 0.0;
    let mut open: BTreeMap<String, (Episode, Vec<i64>)> = BTreeMap::new();
    let mut done: Vec<(Episode, Vec<i64>)> = Vec::new();
    let mut of_injection: BTreeMap<i64, usize> = BTreeMap::new();
    let mut events = 0;
    loop {
        // Many at once, so that the clock is not what is measured.
        let batch: Vec<Logged> = fleet.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let begun = processor_s();
        let told = observe(&mut engine, &batch)?;
        engine_s += processor_s() - begun;
        for logged in &batch {
            let event = &logged.event;
            event.with_record(logged.index, |record| digest.add(record));
            events += 1;
            of_injection.extend(logged.injection.map(|at| (logged.index, at as usize)));
            if event.kind != "call" {
                continue;
            }
            let id = event.agent_id.as_ref().or(event.user_id.as_ref()).map_or("", |id| &**id);
            let Some(at) = principals.get(id) else { continue };
            all.add(*at, event.time_us);
            if logged.injection.is_none() {
                benign.add(*at, event.time_us);
                if event.decision == "deny" {
                    denied.add(*at, event.time_us);
                }
            }
        }
        for (alert, now_us) in told {
            let principal = principal_of(&alert, &principals);
            take(&mut open, &mut done, alert, now_us, principal);
        }
    }
    done.extend(open.into_values());
    done.sort_by_key(|(episode, _)| episode.opened_us);
    let observables: Vec<Vec<String>> =
        fleet.plan().iter().map(|one| one.observables(fleet.world())).collect();
    let episodes = done.into_iter().map(|(mut episode, evidence)| {
        episode.causes = causes(&episode, &evidence, &fleet, &observables, &of_injection);
        episode
    });
    let episodes = episodes.collect();
    let snapshot_bytes = engine.snapshot().len();
    let digest = digest.hex();
    Ok(Outcome {
        seed: options.seed,
        fleet,
        digest,
        events,
        engine_s,
        snapshot_bytes,
        episodes,
        benign,
        all,
        denied,
    })
}

/// The alerts of a batch, each with the receipt of the record that caused it.
fn observe(engine: &mut Engine, batch: &[Logged]) -> Result<Vec<(Alert, i64)>, String> {
    let (mut alerts, mut told) = (Vec::new(), Vec::new());
    for logged in batch {
        let outcome = logged.event.with_record(logged.index, |record| engine.observe(record, &mut alerts));
        outcome.map_err(|error| error.to_string())?;
        told.extend(alerts.drain(..).map(|alert| (alert, logged.event.ingest_time_us)));
    }
    Ok(told)
}

/// Seconds that this thread has had a processor, where the system says so (Linux); else seconds that went by.
fn processor_s() -> f64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let passed = || BEGUN.get_or_init(Instant::now).elapsed().as_secs_f64();
    nanoseconds.map_or_else(passed, |nanoseconds| nanoseconds / 1e9)
}

fn principal_of(alert: &Alert, principals: &BTreeMap<String, usize>) -> Option<usize> {
    let names = alert
        .observables
        .iter()
        .filter_map(|one| one.strip_prefix("agent_id=").or_else(|| one.strip_prefix("user_id=")));
    names.filter_map(|name| principals.get(name)).next().copied()
}

fn take(
    open: &mut BTreeMap<String, (Episode, Vec<i64>)>,
    done: &mut Vec<(Episode, Vec<i64>)>,
    alert: Alert,
    now_us: i64,
    principal: Option<usize>,
) {
    match alert.state {
        State::Open => {
            let episode = Episode {
                rule: alert.rule_id,
                observables: alert.observables,
                opened_us: now_us,
                closed_us: None,
                first_seen_us: alert.first_seen_us,
                last_seen_us: alert.last_seen_us,
                is_over: alert.explanation.contains(OVER),
                said: alert.explanation,
                causes: Vec::new(),
                principal,
            };
            // An id that opens twice is two episodes here.
            done.extend(open.insert(alert.alert_id, (episode, alert.evidence)));
        }
        State::Updated | State::Closed => {
            let is_closed = alert.state == State::Closed;
            if let Some((episode, evidence)) = open.get_mut(&alert.alert_id) {
                episode.last_seen_us = episode.last_seen_us.max(alert.last_seen_us);
                episode.closed_us = is_closed.then_some(now_us);
                evidence.extend(alert.evidence);
            }
            if is_closed {
                done.extend(open.remove(&alert.alert_id));
            }
        }
    }
}

/// An injection explains an episode that has one of its events for evidence, or that is about whom it was done to, at that time. One that lasts
/// for weeks explains only what is about its principal: its sessions are like all others.
fn causes(
    episode: &Episode,
    evidence: &[i64],
    fleet: &Fleet,
    observables: &[Vec<String>],
    of_injection: &BTreeMap<i64, usize>,
) -> Vec<usize> {
    let mut found: Vec<usize> =
        evidence.iter().filter_map(|index| of_injection.get(index)).copied().collect();
    for (at, (one, names)) in fleet.plan().iter().zip(observables).enumerate() {
        let is_then =
            episode.first_seen_us <= one.end_us + AFTER && episode.last_seen_us >= one.start_us - BEFORE;
        if is_then && names.iter().any(|name| episode.observables.contains(name)) {
            found.push(at);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
