//! What a person calls true is not what later things are held against: its scores leave the pools while they wait, or never come in.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Alert, Engine, Record, Settings, State, Verdict};
use serde_json::Value;

use crate::days::{DAY_US, with};
use crate::numbers::{NETWORK, STATISTICAL};
use crate::rows::month;
use crate::stream::{START_US, call, login};

/// The month until all that was told on its last days still waits.
fn weeks() -> Vec<Record<'static>> {
    let mut records = month();
    records.retain(|record| record.time_us < START_US + 26 * DAY_US - 1);
    // Days end with a record of what they count.
    let denied = Record { decision: "deny", status: "denied", ..call() };
    let last = [call(), denied, login(false)].map(|record| Record {
        agent_id: Some("last"),
        user_id: None,
        time_us: START_US + 25 * DAY_US + DAY_US / 2,
        ingest_time_us: START_US + 25 * DAY_US + DAY_US / 2,
        ..record
    });
    with(records, last)
}

/// What is said of the alerts that open on the last days: by whom it is asked, with the record after each, or at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    AtOnce { is_true: bool },
    AtTheEnd { is_true: bool },
    Never,
}

fn is_asked(alert: &Alert) -> bool {
    alert.state == State::Open
        && alert.first_seen_us >= START_US + 22 * DAY_US
        && (STATISTICAL.contains(&alert.rule_id.as_str()) || alert.rule_id == NETWORK)
}

/// Folds the weeks with one entry of the recorder's own for every opening that is asked, at once and at the end, so that whatever is said where the
/// log has as many entries. With restarts at some of its records.
fn folded(records: &[Record<'_>], said: Said, restarts: &[usize]) -> (Engine, Vec<Alert>) {
    let settings = Settings::default();
    let (mut engine, mut alerts) = (Engine::new("acme", settings.clone()), Vec::new());
    let says = |engine: &mut Engine,
                alert_id: &str,
                at: &Record<'_>,
                is_true: Option<bool>,
                out: &mut Vec<Alert>| {
        let verdict =
            is_true.map(|is_true| Verdict { alert_id, is_true, muted_until_us: 0, by: "t-7", note: "" });
        let (time_us, ingest_time_us) = (at.time_us, at.ingest_time_us);
        let index = engine.next_index();
        let entry = Record { index, time_us, ingest_time_us, control: true, verdict, ..call() };
        engine.observe(&entry, out).unwrap();
    };
    let mut asked = Vec::new();
    for (number, record) in records.iter().enumerate() {
        if restarts.contains(&number) {
            engine = Engine::restore(&engine.snapshot(), settings.clone()).unwrap();
        }
        let before = alerts.len();
        let index = engine.next_index();
        engine.observe(&Record { index, ..*record }, &mut alerts).unwrap();
        let opened: Vec<String> = alerts[before..]
            .iter()
            .filter(|alert| is_asked(alert))
            .map(|alert| alert.alert_id.clone())
            .collect();
        for alert_id in opened {
            let is_true = match said {
                Said::AtOnce { is_true } => Some(is_true),
                Said::AtTheEnd { .. } | Said::Never => None,
            };
            says(&mut engine, &alert_id, record, is_true, &mut alerts);
            asked.push(alert_id);
        }
    }
    let last = records.last().unwrap();
    for alert_id in asked {
        let is_true = match said {
            Said::AtTheEnd { is_true } => Some(is_true),
            Said::AtOnce { .. } | Said::Never => None,
        };
        says(&mut engine, &alert_id, last, is_true, &mut alerts);
    }
    (engine, alerts)
}

/// Everything in a state that holds scores by day.
fn pools(of: &Value, found: &mut Vec<Value>) {
    match of {
        Value::Object(fields) if fields.contains_key("days") && fields.contains_key("today") => {
            found.push(of.clone());
        }
        Value::Object(fields) => fields.values().for_each(|value| pools(value, found)),
        Value::Array(values) => values.iter().for_each(|value| pools(value, found)),
        _ => {}
    }
}

/// The pools of each rule, and how many scores are in them.
fn scores(engine: &Engine) -> BTreeMap<String, (Vec<Value>, u64)> {
    let state = engine.state_as_json();
    let lanes = state["lanes"].as_object().unwrap();
    let of_lane = |lane: &Value| {
        let mut found = Vec::new();
        pools(lane, &mut found);
        let days = found.iter().flat_map(|pool| pool["days"].as_object().unwrap().values());
        let number =
            days.flat_map(|day| day.as_object().unwrap().values()).map(|count| count.as_u64().unwrap());
        let number = number.sum();
        (found, number)
    };
    lanes.iter().map(|(rule, lane)| (rule.clone(), of_lane(lane))).collect()
}

#[test]
fn a_pool_after_a_true_verdict_is_that_of_one_who_never_saw_it_and_a_benign_one_changes_nothing() {
    let records = weeks();
    let (never, alerts) = folded(&records, Said::Never, &[]);
    let asked: BTreeSet<&str> =
        alerts.iter().filter(|alert| is_asked(alert)).map(|alert| alert.rule_id.as_str()).collect();
    assert!(asked.len() >= 13, "{asked:?}");
    let never = scores(&never);
    let (benign, _) = folded(&records, Said::AtTheEnd { is_true: false }, &[]);
    assert!(scores(&benign) == never);
    let (taken_out, _) = folded(&records, Said::AtTheEnd { is_true: true }, &[]);
    let (left_out, told) = folded(&records, Said::AtOnce { is_true: true }, &[]);
    let (taken_out, left) = (scores(&taken_out), scores(&left_out));
    let mut fewer = BTreeSet::new();
    for (rule, (pools, number)) in &taken_out {
        assert!(*pools == left[rule].0, "{rule}: {number} and {} scores", left[rule].1);
        let (_, before) = never[rule];
        if *number < before {
            fewer.insert(rule.as_str());
        }
        // The rest of the fleet is what it was: a few scores of some thousands.
        assert!(before - number <= 100, "{rule}: {number} of {before} scores are left");
    }
    // Who is new to a rule files no score: there nothing is to be taken out.
    assert!(fewer.is_subset(&asked) && fewer.len() >= 10, "of {asked:?} only {fewer:?}");
    // The same after restarts, some of them between a score and what is said of it.
    let restarts: Vec<usize> = (1..=12).map(|at| records.len() - at * records.len() / 60).collect();
    let (restored, again) = folded(&records, Said::AtOnce { is_true: true }, &restarts);
    assert!(restored.snapshot() == left_out.snapshot() && again == told);
}
