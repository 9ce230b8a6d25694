//! An engine under drill: what happens to it, and what it tells.

use engine::{Alert, Engine, Record, State};

use super::Outcome;
use crate::error::Result;

/// Whose log it is. Rules on a whole tenant tell of it by this name, and whatever a scenario is about has it in its name.
pub(super) const TENANT: &str = "drill";
pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const MINUTE_US: i64 = 60 * SECOND_US;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;
pub(super) const DAY_US: i64 = 24 * HOUR_US;
/// 2026-01-01T00:00:00Z, a Thursday.
pub(super) const START_US: i64 = 1_767_225_600 * SECOND_US;

/// Events of a scenario, or of a past.
const EVENTS_MAX: usize = schemas::limits::SIGMA_EVENTS_MAX;

/// An engine, its clock, and what it told since the scenario began.
#[derive(Debug)]
pub(super) struct Scene {
    engine: Engine,
    pub now_us: i64,
    events: usize,
    /// With how many events each alert came.
    told: Vec<(usize, Alert)>,
    failure: Option<engine::Error>,
    /// More was to happen than a scenario may hold.
    is_over: bool,
}

impl Scene {
    pub fn new(engine: Engine) -> Scene {
        Scene::at(engine, START_US)
    }

    /// One that goes on from a past.
    pub fn at(engine: Engine, now_us: i64) -> Scene {
        Scene { engine, now_us, events: 0, told: Vec::new(), failure: None, is_over: false }
    }

    /// Something happens now.
    pub fn add(&mut self, record: Record<'_>) {
        self.add_at(self.now_us, record);
    }

    /// Something happens at a time; what came before is not dated later.
    pub fn add_at(&mut self, time_us: i64, record: Record<'_>) {
        self.now_us = self.now_us.max(time_us);
        if self.events >= EVENTS_MAX {
            self.is_over = true;
            return;
        }
        let index = self.engine.next_index();
        let record = Record { index, time_us, ingest_time_us: self.now_us, ..record };
        self.events += 1;
        let mut alerts = Vec::new();
        if let Err(error) = self.engine.observe(&record, &mut alerts) {
            self.failure.get_or_insert(error);
        }
        let events = self.events;
        self.told.extend(alerts.into_iter().map(|alert| (events, alert)));
    }

    pub fn wait(&mut self, microseconds: i64) {
        self.now_us = self.now_us.saturating_add(microseconds);
    }

    /// Time passes and nothing happens: the log tells the time in an entry of its own.
    pub fn passes(&mut self, microseconds: i64) {
        self.wait(microseconds);
        self.add(Record { control: true, ..Record::default() });
    }

    /// The engine after its past.
    pub fn engine(self) -> Result<Engine> {
        match self.failure {
            Some(error) => Err(error.into()),
            None => Ok(self.engine),
        }
    }

    /// The first alert of that rule about what the scenario is about.
    pub fn outcome(self, rule_id: &str) -> Result<Outcome> {
        if let Some(error) = self.failure {
            return Err(error.into());
        }
        let is_it = |alert: &Alert| {
            alert.rule_id == rule_id && alert.state == State::Open && alert.entity.contains(TENANT)
        };
        let found = self.told.into_iter().find(|(_, alert)| is_it(alert));
        Ok(match found {
            Some((after, alert)) => Outcome::Fired { after, alert: Box::new(alert) },
            None if self.is_over => {
                Outcome::NotDrilled(format!("under these settings it takes more than {EVENTS_MAX} events"))
            }
            None => Outcome::NotFired { events: self.events },
        })
    }
}

/// A harmless call by nobody in particular.
pub(super) fn call() -> Record<'static> {
    Record {
        kind: "call",
        method: Some("tools/call"),
        client: Some("client/1"),
        session_id: "s-1",
        server: Some("github"),
        capability: Some("merge"),
        action: Some("read"),
        risk: Some("low"),
        decision: "allow",
        status: "ok",
        environment: Some("production"),
        source: "test/1",
        ..Record::default()
    }
}

/// A call of one agent to one tool, both named after the drill.
pub(super) fn own_call() -> Record<'static> {
    Record {
        agent_id: Some("drill-agent"),
        server: Some("drill-server"),
        capability: Some("drill-tool"),
        ..call()
    }
}

pub(super) fn login(is_good: bool) -> Record<'static> {
    Record {
        kind: "auth",
        method: Some("login"),
        server: None,
        capability: None,
        action: None,
        risk: None,
        decision: "none",
        status: if is_good { "ok" } else { "error" },
        ..call()
    }
}

pub(super) fn approval<'a>(id: &'a str, status: &'static str) -> Record<'a> {
    Record {
        kind: "approval",
        approval_id: Some(id),
        approval_status: Some(status),
        approver: Some("drill-approver"),
        ..call()
    }
}
