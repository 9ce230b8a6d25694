//! Weeks of a small fleet of tools, cheap enough to fold again and again.

use engine::{Alert, Engine, Record, State};

use crate::stream::{MINUTE_US, START_US, call};

pub const QUARTER_US: i64 = 15 * MINUTE_US;
pub const HOUR_US: i64 = 4 * QUARTER_US;
pub const DAY_US: i64 = 24 * HOUR_US;

/// The same numbers on every run (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About one, seldom far from it: `exp` of what is roughly a normal number.
    pub fn lognormal(&mut self, spread: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.share()).sum();
        ((sum - 6.0) * spread).exp()
    }
}

pub const TOOLS: [&str; 6] = ["search", "read", "list", "send", "merge", "query"];

/// Calls of every tool through whole days, `each` in a quarter of an hour, in order of time. `make` makes one better or worse.
pub fn days(
    days: i64,
    each: i64,
    seed: u64,
    make: impl Fn(&mut Chance, i64, &'static str) -> Option<Record<'static>>,
) -> Vec<Record<'static>> {
    let mut chance = Chance(seed);
    let mut records = Vec::new();
    for quarter in 0..days * 96 {
        for number in 0..each {
            for (at, tool) in (0..).zip(TOOLS) {
                let time_us = START_US + quarter * QUARTER_US + number * QUARTER_US / each + at * 1_000_000;
                if let Some(record) = make(&mut chance, time_us - START_US, tool) {
                    let index = records.len() as i64;
                    records.push(Record { index, time_us, ingest_time_us: time_us, ..record });
                }
            }
        }
    }
    records
}

/// A call of a tool by somebody who is nobody's concern.
pub fn of_tool(tool: &'static str) -> Record<'static> {
    Record { capability: Some(tool), agent_id: None, user_id: None, ..call() }
}

pub fn fold(engine: &mut Engine, records: &[Record<'_>]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    records.iter().for_each(|record| engine.observe(record, &mut alerts).unwrap());
    alerts
}

/// Puts more records among those of a log, by time.
pub fn with<'a>(mut records: Vec<Record<'a>>, more: impl IntoIterator<Item = Record<'a>>) -> Vec<Record<'a>> {
    records.extend(more);
    records.sort_by_key(|record| record.ingest_time_us);
    (0..).zip(&mut records).for_each(|(index, record)| record.index = index);
    records
}

/// The openings of a rule.
pub fn opened<'a>(alerts: &'a [Alert], rule: &str) -> Vec<&'a Alert> {
    let of_rule = alerts.iter().filter(|alert| alert.rule_id == rule);
    of_rule.filter(|alert| alert.state == State::Open).collect()
}

/// `fold(0..n)` is `fold(0..k)`, snapshot, restore, `fold(k..n)`, at these k.
pub fn commutes(records: &[Record<'_>], settings: &engine::Settings, splits: &[usize]) {
    let mut whole = Engine::new("acme", settings.clone());
    let alerts = fold(&mut whole, records);
    let end = whole.snapshot();
    let mut first = Engine::new("acme", settings.clone());
    let (mut before, mut at) = (Vec::new(), 0);
    for split in splits {
        before.extend(fold(&mut first, &records[at..*split]));
        at = *split;
        let bytes = first.snapshot();
        let mut second = Engine::restore(&bytes, settings.clone()).unwrap();
        assert!(second.snapshot() == bytes, "split {split}");
        let after = fold(&mut second, &records[*split..]);
        assert!(before.iter().chain(&after).eq(alerts.iter()), "alerts differ at split {split}");
        assert!(second.snapshot() == end, "snapshots differ at split {split}");
    }
}
