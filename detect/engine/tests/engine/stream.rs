//! A log under construction: records with defaults, folded as they are added.

use engine::{Alert, Engine, Record, Settings, State};

pub const SECOND_US: i64 = 1_000_000;
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// 2026-01-01T00:00:00Z
pub const START_US: i64 = 1_767_225_600 * SECOND_US;

pub struct Stream {
    pub engine: Engine,
    pub alerts: Vec<Alert>,
    pub now_us: i64,
}

/// A harmless call that nobody can object to.
pub fn call() -> Record<'static> {
    Record {
        index: 0,
        ingest_time_us: 0,
        time_us: 0,
        kind: "call",
        method: Some("tools/call"),
        user_id: Some("u-1"),
        agent_id: Some("a-1"),
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

pub fn write() -> Record<'static> {
    Record { action: Some("write"), risk: Some("high"), ..call() }
}

pub fn login(ok: bool) -> Record<'static> {
    Record {
        kind: "auth",
        method: Some("login"),
        source_ip: Some("192.0.2.1"),
        server: None,
        capability: None,
        action: None,
        risk: None,
        decision: "none",
        status: if ok { "ok" } else { "error" },
        ..call()
    }
}

pub fn revoke(credential: &str) -> Record<'_> {
    Record { method: Some("revoke"), credential_id: Some(credential), ..login(true) }
}

pub fn approval<'a>(id: &'a str, status: &'a str) -> Record<'a> {
    Record {
        kind: "approval",
        approval_id: Some(id),
        approval_status: Some(status),
        approver: Some("boss"),
        ..call()
    }
}

impl Stream {
    pub fn new(settings: Settings) -> Stream {
        settings.validate().unwrap();
        Stream { engine: Engine::new("acme", settings), alerts: Vec::new(), now_us: START_US }
    }

    /// Adds a record that happens now.
    pub fn add(&mut self, record: Record<'_>) {
        self.add_at(record, self.now_us);
    }

    /// Adds a record received now with another event time.
    pub fn add_at(&mut self, record: Record<'_>, time_us: i64) {
        let index = self.engine.next_index();
        let record = Record { index, time_us, ingest_time_us: self.now_us, ..record };
        self.engine.observe(&record, &mut self.alerts).unwrap();
    }

    pub fn wait(&mut self, microseconds: i64) {
        self.now_us += microseconds;
    }

    /// Lets time pass, with a control record at its end.
    pub fn tick(&mut self, microseconds: i64) {
        self.wait(microseconds);
        self.add(Record { control: true, ..call() });
    }

    pub fn of<'a>(&'a self, rule_id: &'a str) -> impl Iterator<Item = &'a Alert> {
        self.alerts.iter().filter(move |alert| alert.rule_id == rule_id)
    }

    pub fn states(&self, rule_id: &str) -> Vec<State> {
        self.of(rule_id).map(|alert| alert.state).collect()
    }

    pub fn is_quiet(&self) -> bool {
        self.alerts.is_empty()
    }
}
