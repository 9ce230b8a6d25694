//! Markers: what somebody changed, and when, so that what is told soon after says so.
//!
//! A marker is a record of kind `config` (a deployment, a change of policy, as whoever made it reports it: `method` says which, `target` what), or a version of a
//! policy that decides for the first time where another decided before. Told is the last one before the end of an alert's window, if it is at most
//! [`REACH_US`] before its beginning: in the middle of the explanation, whose beginning and end are the rule's own. It changes nothing else: neither whether something is told, nor how bad it is,
//! nor whom it is about.
//! Whoever can send events can send a marker; it explains, and excuses nothing.
//!
//! State: [`LAST_MAX`] markers, and of [`POLICIES_MAX`] policies the last [`VERSIONS_MAX`] versions: gateways that take a version over one after the other flap between two.
//! What it cannot see: a change that nobody reports and no version shows.

use std::collections::VecDeque;

use schemas::limits::{ENGINE_MARKER_POLICIES_MAX as POLICIES_MAX, ENGINE_MARKERS_MAX as LAST_MAX};
use schemas::limits::{ENGINE_MARKER_REACH_S, ENGINE_MARKER_VERSIONS_MAX as VERSIONS_MAX};
use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
use crate::entity::{bounded, printable};
use crate::record::Event;

/// How long before an alert's first event a marker is still told.
const REACH_US: i64 = ENGINE_MARKER_REACH_S * 1_000_000;
const US_PER_MINUTE: i64 = 60_000_000;

/// What was changed lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Markers {
    /// In the order of their times.
    last: VecDeque<Marker>,
    policies: Bounded<Policy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    at_us: i64,
    what: String,
}

/// Versions of one policy, the latest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    versions: VecDeque<String>,
    decided: u64,
    touched_us: i64,
}

impl Markers {
    pub fn new() -> Markers {
        Markers { last: VecDeque::new(), policies: Bounded::new() }
    }

    /// Notes what the record shows to have been changed.
    pub fn observe(&mut self, event: &Event<'_>) {
        let record = event.record;
        if record.kind == "config" {
            // What was refused changed nothing.
            if event.is_denied() || record.status == "error" {
                return;
            }
            let action = record.action.filter(|action| *action != "unknown");
            let method = record.method.or(action).unwrap_or("configuration");
            let of = record.capability.or(record.target).or(record.server);
            let what = of.map_or_else(|| method.to_owned(), |of| format!("{method} {of}"));
            self.note(event.placed_us, &what);
        } else if event.is_decided_call()
            && let Some(version) = record.policy_version.or(record.policy_hash)
        {
            self.decided(event.placed_us, record.policy_id.unwrap_or_default(), version);
        }
    }

    fn decided(&mut self, at_us: i64, policy: &str, version: &str) {
        let key = bounded(policy);
        let version = bounded(version);
        // What decided more is told less easily apart from what somebody made up.
        let rank = |_: &str, policy: &Policy| (false, policy.decided, policy.touched_us);
        let first = || Policy {
            versions: VecDeque::from([version.clone().into_owned()]),
            decided: 0,
            touched_us: at_us,
        };
        let known = self.policies.entry(&key, POLICIES_MAX, rank, first);
        known.touched_us = known.touched_us.max(at_us);
        known.decided = known.decided.saturating_add(1);
        if known.versions.iter().any(|known| known.as_str() == version) {
            return;
        }
        if known.versions.len() >= VERSIONS_MAX {
            known.versions.pop_front();
        }
        known.versions.push_back(version.clone().into_owned());
        let what = if policy.is_empty() {
            format!("policy at {version}")
        } else {
            format!("policy {key} at {version}")
        };
        self.note(at_us, &what);
    }

    fn note(&mut self, at_us: i64, what: &str) {
        let marker = Marker { at_us, what: bounded(what).into_owned() };
        let at = self.last.partition_point(|earlier| earlier.at_us <= at_us);
        self.last.insert(at, marker);
        if self.last.len() > LAST_MAX {
            self.last.pop_front();
        }
    }

    /// What to say in an alert of such a window of what was changed before it; empty where nothing was, or where there is no window.
    pub fn sentence(&self, first_seen_us: i64, last_seen_us: i64, window_us: Option<i64>) -> String {
        let Some(window_us) = window_us else { return String::new() };
        let until_us = first_seen_us.saturating_add(window_us).max(last_seen_us);
        let before = self.last.partition_point(|marker| marker.at_us <= until_us);
        let Some(marker) = before.checked_sub(1).and_then(|at| self.last.get(at)) else {
            return String::new();
        };
        let ahead_us = first_seen_us.saturating_sub(marker.at_us);
        if ahead_us > REACH_US {
            return String::new();
        }
        let when = match ahead_us.div_euclid(US_PER_MINUTE) {
            0.. => format!("{} min before its first event", ahead_us / US_PER_MINUTE),
            _ => "within its window".to_owned(),
        };
        format!(" Marker {when}: {}.", printable(&marker.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    const MINUTE_US: i64 = US_PER_MINUTE;

    fn at(minutes: i64, record: Record<'_>) -> Record<'_> {
        Record { time_us: minutes * MINUTE_US, ingest_time_us: minutes * MINUTE_US, ..record }
    }

    fn config<'a>(method: &'a str, target: &'a str) -> Record<'a> {
        Record { kind: "config", method: Some(method), target: Some(target), ..Record::default() }
    }

    fn decided(version: &str) -> Record<'_> {
        Record {
            kind: "call",
            decision: "allow",
            status: "ok",
            policy_id: Some("gateway"),
            policy_version: Some(version),
            ..Record::default()
        }
    }

    fn noted(records: &[Record<'_>]) -> Markers {
        let mut markers = Markers::new();
        for record in records {
            markers.observe(&Event::new(record, 0));
        }
        markers
    }

    fn whats(markers: &Markers) -> Vec<&str> {
        markers.last.iter().map(|marker| marker.what.as_str()).collect()
    }

    #[test]
    fn a_version_is_a_marker_once_however_gateways_flap() {
        let versions = ["1", "1", "2", "1", "2", "3", "2"];
        let records: Vec<_> =
            versions.iter().enumerate().map(|(n, version)| at(n as i64, decided(version))).collect();
        assert_eq!(whats(&noted(&records)), ["policy gateway at 2", "policy gateway at 3"]);
    }

    #[test]
    fn markers_stand_in_the_order_of_their_times_and_are_few() {
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let records: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| at(100 - n as i64, config("deployment", name)))
            .collect();
        let markers = noted(&records);
        assert_eq!(markers.last.len(), LAST_MAX);
        assert!(markers.last.iter().is_sorted_by_key(|marker| marker.at_us));
        assert_eq!(markers.last.back().map(|marker| marker.what.as_str()), Some("deployment 0"));
    }
}
