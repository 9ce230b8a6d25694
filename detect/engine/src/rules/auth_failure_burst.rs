//! Many failed authentications from one place within a minute, and a success soon after.
//!
//! The window is exact, in event time: of each source the failures are kept in the order of their times for as long as late ones are waited
//! for, and a burst is any `failures_min` neighbours no further apart than the window. So it does not matter in which order the
//! failures arrive. One that is dated further back counts as of the earliest moment that is waited for: spread over the past, any number
//! of them would be no burst. At most `failures_min` times the windows of that time are kept, and of more than that some are a burst.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level, entity_key};
use crate::record::Event;
use crate::settings::{Settings, microseconds};

/// SQL for a failed authentication.
pub(crate) const FAILURES: &str = "kind = 'auth' AND (method IS NULL OR method <> 'revoke') AND (status IN ('error', 'denied') OR decision = 'deny')";

/// Windows whose failures are kept, where late records are waited for longer than that.
const WINDOWS_MAX: i64 = schemas::limits::ENGINE_BURST_WINDOWS_MAX;

/// Distinct users counted per source.
const USERS_MAX: usize = schemas::limits::ENGINE_USERS_MAX;

const RULE: Rule = Rule {
    id: "auth_failure_burst",
    title: "Burst of failed authentications from one source",
    meaning: "Many failures in a short time are guessed or replayed credentials; a success after them may be a guess that was right",
    statistic: "failed authentications within the window",
    unit: "count",
    references: &["AML.T0012", "MCP07", "MCP01"],
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    placed_us: i64,
    event_us: i64,
    index: i64,
    user: Option<u64>,
}

/// One address, client or user that authentications come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    /// Ascending by (`placed_us`, `index`).
    failures: Vec<Failure>,
    /// Hashes of the users that failed in the current burst, at most 64.
    users: BTreeSet<u64>,
    /// When the current burst became one.
    burst_us: i64,
}

/// Sources. A forgotten one starts again from nothing: an alert may then come late.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    sources: Bounded<Source>,
}

impl State {
    pub fn new() -> State {
        State { sources: Bounded::new() }
    }
}

impl Source {
    fn new() -> Source {
        Source { failures: Vec::new(), users: BTreeSet::new(), burst_us: i64::MIN }
    }

    /// Adds a failure; the failures of the burst it belongs to, if it belongs to one. None is added any more before `since_us`.
    fn add(
        &mut self,
        failure: Failure,
        failures_min: usize,
        window_us: i64,
        since_us: i64,
    ) -> Option<Vec<Failure>> {
        let order = (failure.placed_us, failure.index);
        let place = self.failures.partition_point(|old| (old.placed_us, old.index) < order);
        self.failures.insert(place, failure);
        let burst = self.burst_at(place, failures_min, window_us).map(<[Failure]>::to_vec);
        let reach_us = self.newest_us().saturating_sub(since_us).max(0);
        let windows = (reach_us / window_us.max(1)).saturating_add(2).min(WINDOWS_MAX);
        let kept = failures_min.saturating_mul(usize::try_from(windows).unwrap_or(2));
        let surplus = self.failures.len().saturating_sub(kept);
        // What is a window before the earliest that can still come has no neighbours to wait for, but for a burst that goes on.
        let earliest_us = since_us.saturating_sub(window_us);
        let passed = self.failures.partition_point(|failure| failure.placed_us < earliest_us);
        let passed = passed.min(self.failures.len().saturating_sub(failures_min.saturating_mul(2)));
        self.failures.drain(..surplus.max(passed));
        burst
    }

    /// The earliest burst that includes the failure at `place`, with all failures in its window.
    fn burst_at(&self, place: usize, failures_min: usize, window_us: i64) -> Option<&[Failure]> {
        let within = |from: &Failure, to: &Failure| to.placed_us.saturating_sub(from.placed_us) <= window_us;
        let earliest = place.saturating_sub(failures_min - 1);
        let start = (earliest..=place).find(|start| {
            let ends = (self.failures.get(*start), self.failures.get(*start + failures_min - 1));
            matches!(ends, (Some(from), Some(to)) if within(from, to))
        })?;
        let from = self.failures.get(start)?;
        let beyond = self.failures.partition_point(|other| within(from, other));
        self.failures.get(start..beyond)
    }

    fn newest_us(&self) -> i64 {
        self.failures.last().map_or(i64::MIN, |failure| failure.placed_us)
    }

    fn add_user(&mut self, user: Option<u64>) {
        if self.users.len() < USERS_MAX {
            self.users.extend(user);
        }
    }
}

impl State {
    fn fail(
        &mut self,
        event: &Event<'_>,
        parts: &[(&str, Option<&str>)],
        context: &Context<'_>,
        signals: &mut Vec<Signal>,
    ) {
        let limits = &context.settings.auth_failure_burst;
        let (failures_min, window_us) = (limits.failures_min.max(1), microseconds(limits.window_s));
        let key = entity_key(parts);
        let rank = |key: &str, source: &Source| {
            (context.episodes.is_open(key), source.failures.len() as u64, source.newest_us())
        };
        let source = self.sources.entry(&key, context.settings.entities_max, rank, Source::new);
        let user = event.record.user_id.map(user_hash);
        let index = event.record.index;
        let placed_us = context.counted_us(event);
        let failure = Failure { placed_us, event_us: event.event_us, index, user };
        let since_us = context.watermark_us.saturating_sub(microseconds(context.settings.lateness_s));
        let burst = source.add(failure, failures_min, window_us, since_us);
        let open = context.episodes.is_open(&key);
        if burst.is_none() && !open {
            return;
        }
        let failures = burst.as_deref().unwrap_or_default();
        if open {
            source.add_user(user);
        } else {
            source.users.clear();
            failures.iter().for_each(|failure| source.add_user(failure.user));
            source.burst_us = failures.last().map_or(placed_us, |failure| failure.placed_us);
        }
        let mut evidence: Vec<i64> = failures.iter().map(|failure| failure.index).collect();
        evidence.sort_unstable();
        signals.push(Signal {
            entity: Entity::new(Level::Source, parts),
            effect: if burst.is_some() { Effect::Open } else { Effect::Follow },
            offending: true,
            severity: Severity::High,
            confidence: Confidence::High,
            observed: Some(failures.len() as i64),
            expected: Some(failures_min as i64),
            seen_us: event.event_us,
            detail: format!(
                "{failures_min} or more authentications failed within {} s, for {}",
                limits.window_s,
                users(&source.users)
            ),
            opening_count: failures.len() as i64,
            opening_us: failures.iter().map(|failure| failure.event_us).min().unwrap_or(event.event_us),
            opening_evidence: evidence,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn succeed(
        &self,
        event: &Event<'_>,
        parts: &[(&str, Option<&str>)],
        context: &Context<'_>,
        signals: &mut Vec<Signal>,
    ) {
        let key = entity_key(parts);
        let Some(source) = self.sources.get(&key).filter(|_| context.episodes.is_open(&key)) else { return };
        let limits = &context.settings.auth_failure_burst;
        let latest_us = source.newest_us().saturating_add(microseconds(limits.success_after_s));
        let placed_us = context.counted_us(event);
        if placed_us < source.burst_us || placed_us > latest_us {
            return;
        }
        signals.push(Signal {
            entity: Entity::new(Level::Source, parts),
            effect: Effect::Follow,
            offending: true,
            severity: Severity::Critical,
            confidence: Confidence::High,
            observed: None,
            expected: None,
            seen_us: event.event_us,
            detail: format!(
                "an authentication succeeded (log index {}) after a burst of failures for {}",
                event.record.index,
                users(&source.users)
            ),
            opening_evidence: Vec::new(),
            opening_count: 0,
            opening_us: event.event_us,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, settings: &Settings) -> Option<i64> {
        Some(microseconds(settings.auth_failure_burst.window_s))
    }

    /// Long enough for the success that would raise the severity.
    fn quiet_us(&self, settings: &Settings) -> i64 {
        let limits = &settings.auth_failure_burst;
        let windows_us = microseconds(limits.window_s).saturating_mul(settings.quiet_windows);
        windows_us.max(microseconds(limits.success_after_s))
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind = 'auth' AND (method IS NULL OR method <> 'revoke')".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((column, source)) = source(event) else { return };
        let parts = [(column, Some(source))];
        if event.is_auth_failure() {
            self.fail(event, &parts, context, signals);
        } else if event.is_auth_success() {
            self.succeed(event, &parts, context, signals);
        }
    }

    fn evicted(&self) -> u64 {
        self.sources.evicted()
    }
}

/// Where an authentication came from, as far as the record says. One that says nothing at all still counts
/// towards the tenant's failure rate.
fn source<'a>(event: &Event<'a>) -> Option<(&'static str, &'a str)> {
    let record = event.record;
    let address = record.source_ip.map(|value| ("source_ip", value));
    address
        .or(record.client.map(|value| ("client", value)))
        .or(record.user_id.map(|value| ("user_id", value)))
}

fn user_hash(user_id: &str) -> u64 {
    let digest = blake3::hash(user_id.as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

fn users(users: &BTreeSet<u64>) -> String {
    match users.len() {
        0 => "no named user".to_owned(),
        1 => "1 user".to_owned(),
        USERS_MAX => format!("{USERS_MAX} or more distinct users"),
        count => format!("{count} distinct users"),
    }
}
