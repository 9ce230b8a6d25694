//! Rules on quarantined outputs.

use engine::{Confidence, Engine, Record, Settings, Severity, State};

use crate::days::{Chance, DAY_US, HOUR_US, commutes, days, fold, of_tool, opened, with};
use crate::stream::{MINUTE_US, START_US, Stream};

const RATE: &str = "quarantine_rate";
const CEILING: &str = "quarantine_ratio_ceiling";

/// Every tool has outputs of which one in a hundred is held back; those of `send` three.
fn usual(chance: &mut Chance, _: i64, tool: &'static str) -> Option<Record<'static>> {
    let is_held = chance.share() < if tool == "send" { 0.03 } else { 0.01 };
    Some(Record { output_action: Some(if is_held { "quarantine" } else { "pass" }), ..of_tool(tool) })
}

/// So many outputs of a tool held back within five minutes of a day's noon.
fn held(day: i64, count: i64, tool: &'static str) -> impl Iterator<Item = Record<'static>> {
    (0..count).map(move |number| {
        let time_us = START_US + day * DAY_US + 12 * HOUR_US + number * 5 * MINUTE_US / count;
        let held = Record { output_action: Some("block"), ..of_tool(tool) };
        Record { time_us, ingest_time_us: time_us, ..held }
    })
}

#[test]
fn what_is_far_more_than_usual_is_told_once() {
    let records = with(days(26, 12, 1, usual), held(24, 8, "read"));
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let found = opened(&alerts, RATE);
    let of_read: Vec<_> = found.iter().filter(|alert| alert.entity == "github/read").collect();
    assert_eq!(of_read.len(), 1, "{found:#?}");
    let alert = of_read[0];
    assert!(alert.observed > Some(300_000) && alert.expected < Some(30_000), "{alert:?}");
    assert_eq!((alert.baseline.as_str(), alert.confidence), ("entity", Confidence::Medium));
    assert!(alert.evidence.len() >= 8 && alert.evidence.is_sorted());
    assert!(alert.query.contains("server = 'github' AND capability = 'read'"), "{}", alert.query);
    let closed = alerts.iter().filter(|one| one.alert_id == alert.alert_id && one.state == State::Closed);
    assert_eq!(closed.count(), 1);
}

#[test]
fn ordinary_weeks_open_no_more_than_the_budget() {
    for seed in 10..13 {
        let records = days(40, 10, seed, usual);
        let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
        let found = opened(&alerts, RATE).len();
        eprintln!("seed {seed}: {found}");
        // Half an episode a day may open by chance, and about 20 days are judged.
        assert!(found <= 20, "{found}");
    }
}

#[test]
fn a_newcomer_is_held_against_its_peers() {
    let new = (0..60).map(|number| {
        let time_us = START_US + 24 * DAY_US + 12 * HOUR_US + number * 10 * 1_000_000;
        let action = if number % 2 == 0 { "quarantine" } else { "pass" };
        Record { time_us, ingest_time_us: time_us, output_action: Some(action), ..of_tool("newcomer") }
    });
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &with(days(26, 12, 2, usual), new));
    let found = opened(&alerts, RATE);
    let alert = found.iter().find(|alert| alert.entity == "github/newcomer").expect("no alert");
    assert_eq!((alert.baseline.as_str(), alert.confidence), ("peer", Confidence::Low));
}

#[test]
fn few_and_idle_tools_say_nothing_and_cost_nothing() {
    let sometimes = |chance: &mut Chance, at: i64, tool: &'static str| {
        let is_rare = tool == "merge" && at % DAY_US > HOUR_US;
        usual(chance, at, tool).filter(|_| !is_rare)
    };
    // Two of two: too few to say anything.
    let records = with(days(26, 20, 3, sometimes), held(24, 2, "merge"));
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!(opened(&alerts, RATE).iter().all(|alert| alert.entity != "github/merge"), "{alerts:#?}");
    // Ten of ten, carried over quarters of an hour until there are enough.
    let slowly = (0..24).map(|number| {
        let time_us = START_US + 24 * DAY_US + 12 * HOUR_US + number * 8 * MINUTE_US;
        let held = Record { output_action: Some("quarantine"), ..of_tool("merge") };
        Record { time_us, ingest_time_us: time_us, ..held }
    });
    let alerts =
        fold(&mut Engine::new("acme", Settings::default()), &with(days(26, 20, 3, sometimes), slowly));
    assert!(opened(&alerts, RATE).iter().any(|alert| alert.entity == "github/merge"));
}

#[test]
fn a_flood_of_tools_neither_hides_a_burst_nor_grows_the_state() {
    let settings = Settings { entities_max: 64, ..Settings::default() };
    let names: &'static [String] = Vec::leak((0..2_000).map(|number| format!("flood-{number}")).collect());
    let flood = names.iter().enumerate().flat_map(|(at, name)| {
        (0..3).map(move |again| {
            let time_us = START_US + 23 * DAY_US + at as i64 * 20_000_000 + again;
            let of_flood = Record { capability: Some(name.as_str()), ..of_tool("x") };
            Record { time_us, ingest_time_us: time_us, output_action: Some("quarantine"), ..of_flood }
        })
    });
    let quiet = days(26, 12, 4, usual);
    let mut engine = Engine::new("acme", settings.clone());
    let _ = fold(&mut engine, &quiet);
    let size = engine.snapshot().len();
    let mut engine = Engine::new("acme", settings);
    let alerts = fold(&mut engine, &with(with(quiet, flood), held(24, 8, "read")));
    assert!(opened(&alerts, RATE).iter().any(|alert| alert.entity == "github/read"));
    assert!(engine.snapshot().len() < 2 * size, "{} of {size}", engine.snapshot().len());
}

#[test]
fn a_week_of_poison_does_not_make_an_attack_usual() {
    // From the 14th day on a third of what `read` gives is held back at four in the morning; then all of it at noon.
    let poisoned = |chance: &mut Chance, at: i64, tool: &'static str| {
        let is_poison = tool == "read" && at > 14 * DAY_US && at % DAY_US / HOUR_US == 4;
        let record = usual(chance, at, tool)?;
        let is_held = is_poison && chance.share() < 0.33;
        Some(if is_held { Record { output_action: Some("quarantine"), ..record } } else { record })
    };
    let records = with(days(26, 12, 5, poisoned), held(24, 30, "read"));
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let noon = START_US + 24 * DAY_US + 12 * HOUR_US;
    let found = opened(&alerts, RATE);
    assert!(
        found.iter().any(|alert| alert.entity == "github/read" && alert.first_seen_us >= noon),
        "{found:#?}"
    );
}

#[test]
fn the_ceiling_tells_with_the_record_that_reaches_it() {
    // Whatever is over it, also by chance.
    let mut log = Stream::new(Settings { ceiling_chance_ppm: 1_000_000, ..Settings::default() });
    let output = |action| Record { output_action: Some(action), ..of_tool("read") };
    (0..98).for_each(|_| log.add(output("pass")));
    log.add(output("quarantine"));
    assert!(log.is_quiet(), "one is none");
    log.add(output("quarantine"));
    assert_eq!(log.states(CEILING), [State::Open]);
    let first = log.of(CEILING).next().unwrap();
    assert_eq!(
        (first.observed, first.expected, first.severity),
        (Some(20_000), Some(10_000), Severity::Medium)
    );
    log.add(output("redact"));
    log.add(output("block"));
    log.add(output("block"));
    assert_eq!(log.of(CEILING).last().unwrap().severity, Severity::High, "{:#?}", log.alerts);
    // Denied and failed calls bring no output, and what has no tool is nobody's.
    let mut log = Stream::new(Settings::default());
    (0..200).for_each(|_| log.add(Record { status: "denied", ..of_tool("read") }));
    (0..200).for_each(|_| log.add(Record { capability: None, server: None, ..output("quarantine") }));
    assert!(log.is_quiet());
}

#[test]
fn folding_and_restoring_commute_over_weeks() {
    let records = with(days(26, 8, 6, usual), held(24, 8, "read"));
    let at = |day: i64, more: i64| {
        records.partition_point(|record| record.time_us < START_US + day * DAY_US + more)
    };
    let splits = [0, at(2, 7), at(10, HOUR_US), at(18, 5), at(24, 12 * HOUR_US + 3 * MINUTE_US), at(25, 0)];
    commutes(&records, &Settings::default(), &splits);
}
