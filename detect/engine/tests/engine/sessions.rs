//! Days of a fleet's sessions, for the rules on who does what, where and when.

use engine::{Alert, Engine, Record, Settings, State};

use crate::stream::{MINUTE_US, START_US, call};

pub const HOUR_US: i64 = 60 * MINUTE_US;
pub const DAY_US: i64 = 24 * HOUR_US;

/// The same numbers on every run (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 1) as i64 % most
    }
}

/// One record of somebody.
#[derive(Debug, Clone)]
pub struct Act {
    pub time_us: i64,
    pub agent: String,
    pub session: String,
    pub workflow: Option<&'static str>,
    pub tool: String,
    pub destinations: Vec<String>,
    /// Whatever else: its index, times and texts above are put in its place.
    pub base: Record<'static>,
    pub ip: Option<String>,
}

pub fn act(time_us: i64, agent: &str, session: &str, tool: &str) -> Act {
    Act {
        time_us,
        agent: agent.to_owned(),
        session: session.to_owned(),
        workflow: Some("refund"),
        tool: tool.to_owned(),
        destinations: Vec::new(),
        base: Record { user_id: None, ..call() },
        ip: None,
    }
}

impl Act {
    pub fn to(mut self, destination: &str) -> Act {
        self.destinations.push(destination.to_owned());
        self
    }

    pub fn with(mut self, base: Record<'static>) -> Act {
        self.base = Record { user_id: None, ..base };
        self
    }

    pub fn from(mut self, ip: &str) -> Act {
        self.ip = Some(ip.to_owned());
        self
    }

    pub fn observe(&self, engine: &mut Engine, alerts: &mut Vec<Alert>) {
        let destinations: Vec<&str> = self.destinations.iter().map(String::as_str).collect();
        let record = Record {
            index: engine.next_index(),
            time_us: self.time_us,
            ingest_time_us: self.time_us,
            agent_id: Some(&self.agent),
            session_id: &self.session,
            workflow: self.workflow,
            capability: Some(&self.tool),
            destinations: &destinations,
            source_ip: self.ip.as_deref(),
            ..self.base
        };
        engine.observe(&record, alerts).unwrap();
    }
}

/// The start of a day and an hour of it.
pub fn at(day: i64, hour: i64) -> i64 {
    START_US + day * DAY_US + hour * HOUR_US
}

/// Days of a fleet: each agent has so many sessions a day between 8 and 18 o'clock, of the tools of a refund, now and then one more, and
/// a customer of its own to write to in one of three.
pub fn fleet(days: std::ops::Range<i64>, agents: usize, sessions: i64, seed: u64) -> Vec<Act> {
    let (mut chance, mut all) = (Chance(seed), Vec::new());
    for day in days {
        for agent in 0..agents {
            let name = format!("agent-{agent}");
            for number in 0..sessions {
                let mut time_us =
                    at(day, 8) + (number * 600 + chance.below(600 - 30)) / sessions.max(1) * MINUTE_US;
                let session = format!("{name}-{day}-{number}");
                let mut tools = vec!["find_order", "read_policy"];
                match chance.below(12) {
                    0 => tools.push("ask_colleague"),
                    1 => tools.push("list_orders"),
                    2 => tools.push("convert"),
                    _ => {}
                }
                for tool in tools {
                    all.push(act(time_us, &name, &session, tool));
                    time_us += MINUTE_US;
                }
                let refund = act(time_us, &name, &session, "refund");
                all.push(if chance.below(3) == 0 {
                    refund.to(&format!("refund:to:recipient:{}", chance.below(1_000_000)))
                } else {
                    refund.to("refund:to:account:house")
                });
            }
        }
    }
    all
}

pub fn sorted(mut all: Vec<Act>) -> Vec<Act> {
    all.sort_by_key(|act| act.time_us);
    all
}

pub fn fold(engine: &mut Engine, all: &[Act]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    all.iter().for_each(|act| act.observe(engine, &mut alerts));
    alerts
}

pub fn alerts(all: Vec<Act>) -> Vec<Alert> {
    fold(&mut Engine::new("acme", Settings::default()), &sorted(all))
}

pub fn opened<'a>(alerts: &'a [Alert], rule: &str) -> Vec<&'a Alert> {
    alerts.iter().filter(|alert| alert.rule_id == rule && alert.state == State::Open).collect()
}

/// Folds whole, and again from snapshots at some places: alerts and final state are the same.
pub fn assert_restores(all: &[Act], settings: &Settings) {
    let mut whole = Engine::new("acme", settings.clone());
    let alerts = fold(&mut whole, all);
    let end = whole.snapshot();
    let mut first = Engine::new("acme", settings.clone());
    let (mut before, mut at) = (Vec::new(), 0);
    for percent in [1, 17, 33, 50, 62, 77, 90, 95, 99] {
        let split = all.len() * percent / 100;
        before.extend(fold(&mut first, &all[at..split]));
        at = split;
        let bytes = first.snapshot();
        let mut second = Engine::restore(&bytes, settings.clone()).unwrap();
        assert!(second.snapshot() == bytes, "split {split}");
        let after = fold(&mut second, &all[split..]);
        assert!(before.iter().chain(&after).eq(alerts.iter()), "alerts differ at split {split}");
        assert!(second.snapshot() == end, "snapshots differ at split {split}");
    }
}
