//! The rule on outputs that are too large.

use engine::{Confidence, Engine, Record, Settings, State};

use crate::days::{Chance, DAY_US, HOUR_US, commutes, days, fold, of_tool, opened, with};
use crate::stream::{START_US, Stream};

const RULE: &str = "oversized_output";

/// About two kilobytes; `query` gives a hundred times that.
fn usual(chance: &mut Chance, _: i64, tool: &'static str) -> Option<Record<'static>> {
    let typical = if tool == "query" { 200_000.0 } else { 2_000.0 };
    let bytes = (typical * chance.lognormal(0.9)) as i64;
    Some(Record { response_bytes: Some(bytes), ..of_tool(tool) })
}

fn output(day: i64, at_us: i64, tool: &'static str, bytes: i64) -> Record<'static> {
    let time_us = START_US + day * DAY_US + at_us;
    Record { time_us, ingest_time_us: time_us, response_bytes: Some(bytes), ..of_tool(tool) }
}

#[test]
fn one_huge_output_is_told_with_its_record() {
    let huge = output(22, 12 * HOUR_US, "read", 40_000_000);
    let records = with(days(23, 8, 1, usual), [huge]);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let found = opened(&alerts, RULE);
    assert_eq!(found.len(), 1, "{found:#?}");
    let alert = found[0];
    assert_eq!((alert.entity.as_str(), alert.observed), ("github/read", Some(40_000_000)));
    assert_eq!(records[alert.position as usize].time_us, huge.time_us);
    assert_eq!((alert.evidence.as_slice(), alert.baseline.as_str()), ([alert.position].as_slice(), "entity"));
    assert!(alert.expected < Some(30_000), "{alert:?}");
    // The same of a tool that gives much is nothing.
    let records = with(days(23, 8, 1, usual), [output(22, 12 * HOUR_US, "query", 1_000_000)]);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!(opened(&alerts, RULE).is_empty(), "{alerts:#?}");
}

#[test]
fn ordinary_weeks_open_no_more_than_the_budget() {
    for seed in 20..23 {
        let mut settings = Settings::default();
        settings.oversized_output.bytes_min = 1;
        let alerts = fold(&mut Engine::new("acme", settings), &days(36, 6, seed, usual));
        let found = opened(&alerts, RULE).len();
        eprintln!("seed {seed}: {found}");
        // Half an episode a day may open by chance, and about 18 days are judged.
        assert!(found <= 18, "{found}");
    }
}

#[test]
fn a_newcomer_is_held_against_all_tools() {
    let records = with(days(23, 8, 2, usual), [output(22, HOUR_US, "newcomer", 1_000_000_000)]);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let found = opened(&alerts, RULE);
    let alert = found.iter().find(|alert| alert.entity == "github/newcomer").expect("no alert");
    assert_eq!((alert.baseline.as_str(), alert.confidence), ("peer", Confidence::Low));
}

#[test]
fn nothing_is_said_before_anything_is_known_or_of_small_ones() {
    let mut log = Stream::new(Settings::default());
    (0..500).for_each(|_| log.add(Record { response_bytes: Some(100), ..of_tool("read") }));
    log.add(Record { response_bytes: Some(i64::MAX), ..of_tool("read") });
    assert!(log.is_quiet());
    let records = with(
        days(23, 8, 3, |_, _, tool| Some(Record { response_bytes: Some(90), ..of_tool(tool) })),
        [output(22, HOUR_US, "read", 60_000)],
    );
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!(opened(&alerts, RULE).is_empty(), "however unusual: {alerts:#?}");
}

#[test]
fn days_of_huge_outputs_do_not_make_the_next_one_usual() {
    // Two hundred at once a week before, and ten in each of the three days that do not count yet.
    let burst = (0..200).map(|at| output(14, at * 1_000, "read", 30_000_000));
    let poison = burst
        .chain((19..22).flat_map(|day| (0..10).map(move |at| output(day, at * 1_000, "read", 30_000_000))));
    let huge = output(22, 12 * HOUR_US, "read", 40_000_000);
    let records = with(with(days(23, 8, 4, usual), poison), [huge]);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!(
        opened(&alerts, RULE).iter().any(|alert| records[alert.position as usize].time_us == huge.time_us),
        "{:#?}",
        opened(&alerts, RULE)
    );
}

#[test]
fn a_flood_of_tools_and_outputs_hides_nothing() {
    let names: &'static [String] = Vec::leak((0..3_000).map(|number| format!("flood-{number}")).collect());
    let flood = names.iter().enumerate().map(|(at, name)| {
        let of_flood = Record { capability: Some(name.as_str()), ..output(21, at as i64 * 1_000, "x", 5) };
        Record { response_bytes: Some(i64::MAX), ..of_flood }
    });
    let noise = (0..60_000).map(|at| output(21, at * 1_000_000, "list", 1_000));
    let huge = output(22, 12 * HOUR_US, "read", 400_000_000);
    let records = with(with(with(days(23, 8, 5, usual), flood), noise), [huge]);
    let settings = Settings { entities_max: 64, ..Settings::default() };
    let mut engine = Engine::new("acme", settings);
    let alerts = fold(&mut engine, &records);
    let found = opened(&alerts, RULE);
    assert!(found.iter().any(|alert| alert.entity == "github/read"), "{}", found.len());
    assert!(engine.snapshot().len() < 3_000_000, "{}", engine.snapshot().len());
}

#[test]
fn sizes_that_are_none_are_left_out() {
    let mut log = Stream::new(Settings::default());
    for bytes in [i64::MIN, -1, 0, 1, i64::MAX] {
        for time_us in [i64::MIN, -1, 0, i64::MAX] {
            log.add_at(Record { response_bytes: Some(bytes), ..of_tool("read") }, time_us);
        }
        log.add(Record { response_bytes: Some(bytes), server: None, capability: None, ..of_tool("read") });
    }
    assert!(log.states(RULE).is_empty());
}

#[test]
fn folding_and_restoring_commute_over_weeks() {
    let records = with(days(24, 6, 6, usual), [output(22, 12 * HOUR_US, "read", 40_000_000)]);
    let at = |day: i64, more: i64| {
        records.partition_point(|record| record.time_us < START_US + day * DAY_US + more)
    };
    let splits =
        [0, at(3, HOUR_US), at(9, 5), at(17, 0), at(22, 12 * HOUR_US), at(22, 12 * HOUR_US + 1), at(23, 7)];
    commutes(&records, &Settings::default(), &splits);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!(alerts.iter().any(|alert| alert.rule_id == RULE && alert.state == State::Closed));
}

/// A tool that gives something every five seconds, as large as ever.
fn busy(days_of: std::ops::Range<i64>, seed: u64) -> Vec<Record<'static>> {
    let mut chance = Chance(seed);
    let times = days_of.flat_map(|day| (0..17_280).map(move |number| (day, number * 5_000_000 + 1)));
    let each =
        times.map(|(day, at_us)| output(day, at_us, "query", (200_000.0 * chance.lognormal(0.9)) as i64));
    each.collect()
}

#[test]
fn usual_outputs_do_not_keep_an_episode_open_for_the_next_huge_one() {
    let huge = |day: i64, hour: i64| output(day, hour * HOUR_US, "query", 4_000_000_000);
    let all = [huge(22, 12), huge(22, 18), huge(23, 12)];
    let records = with(with(days(24, 8, 7, usual), busy(21..24, 8)), all);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let found = opened(&alerts, RULE);
    let told: Vec<i64> = found.iter().map(|alert| alert.first_seen_us).collect();
    assert!(all.iter().all(|huge| told.contains(&huge.time_us)), "{found:#?}");
}

#[test]
fn an_episode_that_somebody_keeps_open_for_a_day_does_not_swallow_the_next() {
    // Every half an hour an output that is worth an episode, and a day later one that is worth another.
    let kept = (0..52).map(|number| output(22, 12 * HOUR_US + number * HOUR_US / 2, "read", 40_000_000));
    let records = with(days(25, 8, 9, usual), kept);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let found = opened(&alerts, RULE);
    let told: Vec<i64> = found.iter().map(|alert| alert.first_seen_us).collect();
    let noon = START_US + 22 * DAY_US + 12 * HOUR_US;
    assert_eq!(told, [noon, noon + DAY_US], "{found:#?}");
    let renewed = alerts.iter().find(|alert| alert.explanation.contains("closed after a day"));
    assert_eq!(renewed.map(|alert| &alert.alert_id), Some(&found[0].alert_id));
    // And the law holds where one closes and another opens with one record.
    let at = |from_us: i64| records.partition_point(|record| record.time_us < noon + from_us);
    commutes(
        &records,
        &Settings::default(),
        &[at(HOUR_US), at(DAY_US), at(DAY_US + 1), at(DAY_US + HOUR_US)],
    );
}
