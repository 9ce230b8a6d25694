//! How a sink stands, for people and for the command line.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::state::Place;

/// How one sink stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Its format.
    pub format: &'static str,
    /// Where it leads; no credential.
    pub target: String,
    /// Whether all goes well; also before the first hand-over.
    pub is_up: bool,
    /// What keeps the sink as a whole from going on.
    pub failure: Option<String>,
    /// When the other side last took something, microseconds UTC.
    pub delivered_us: Option<i64>,
    /// By tenant.
    pub tenants: BTreeMap<String, Tenant>,
}

/// How far a sink is with one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// The log, by origin.
    pub log: String,
    /// Entries below it are settled.
    pub next: u64,
    /// Entries in the log behind it.
    pub lag: u64,
    /// Entries that are still to be sent again.
    pub replay_entries: u64,
    /// Messages that the other side would not take.
    pub dead_letters: u64,
    /// What it said of the last of them.
    pub dead_reason: Option<String>,
    /// Why this tenant's messages wait.
    pub failure: Option<String>,
}

impl Tenant {
    pub(crate) fn new(place: &Place, lag: u64, failure: Option<String>) -> Tenant {
        Tenant {
            log: place.log.clone(),
            next: place.next,
            lag,
            replay_entries: place.again.iter().map(|again| again.end.saturating_sub(again.next)).sum(),
            dead_letters: place.dead.iter().map(|dead| dead.messages).sum(),
            dead_reason: place.dead.iter().max_by_key(|dead| dead.at_us).map(|dead| dead.reason.clone()),
            failure,
        }
    }
}

impl Status {
    /// What somebody may know of it who speaks for one tenant alone.
    pub(crate) fn of_tenant(mut self, tenant: &str) -> Status {
        self.tenants.retain(|name, _| name == tenant);
        let waits = self.tenants.get(tenant).is_some_and(|standing| standing.failure.is_some());
        // What keeps the whole sink from going on may name others' files.
        self.failure =
            self.failure.map(|_| "the sink does not go on; whoever runs the service knows why".to_owned());
        self.is_up = self.failure.is_none() && !waits;
        self
    }
}
