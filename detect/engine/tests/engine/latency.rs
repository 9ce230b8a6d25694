//! The rule on tools that are slower than they usually are.

use engine::{Engine, Record, Settings, State};

use crate::days::{Chance, DAY_US, HOUR_US, QUARTER_US, commutes, days, fold, of_tool, opened, with};
use crate::stream::{START_US, Stream};

const RULE: &str = "p95_latency";

/// A fifth of a second; `merge` takes ten times that every morning from eight to twelve.
fn usual(chance: &mut Chance, at: i64, tool: &'static str) -> Option<Record<'static>> {
    let is_morning = tool == "merge" && (8..12).contains(&(at % DAY_US / HOUR_US));
    let typical = if is_morning { 2_000_000.0 } else { 200_000.0 };
    Some(Record { latency_us: Some((typical * chance.lognormal(0.4)) as i64), ..of_tool(tool) })
}

/// The same, and one tool slower by a factor from a time on, for some quarters of an hour.
fn slower(
    tool: &'static str,
    factor: f64,
    from_us: i64,
    quarters: i64,
) -> impl Fn(&mut Chance, i64, &'static str) -> Option<Record<'static>> {
    move |chance, at, of| {
        let record = usual(chance, at, of)?;
        let is_slow = of == tool && (from_us..from_us + quarters * QUARTER_US).contains(&at);
        let latency_us = record.latency_us.map(|us| if is_slow { (us as f64 * factor) as i64 } else { us });
        Some(Record { latency_us, ..record })
    }
}

#[test]
fn a_tool_that_becomes_slow_is_told_and_the_morning_of_another_is_not() {
    let noon = 22 * DAY_US + 12 * HOUR_US;
    let alerts =
        fold(&mut Engine::new("acme", Settings::default()), &days(24, 20, 1, slower("read", 4.0, noon, 4)));
    let found = opened(&alerts, RULE);
    assert_eq!(found.len(), 1, "{found:#?}");
    let alert = found[0];
    assert_eq!((alert.entity.as_str(), alert.baseline.as_str()), ("github/read", "entity"));
    assert!(alert.observed > Some(800_000) && alert.expected < Some(500_000), "{alert:?}");
    assert!(alert.first_seen_us >= START_US + noon - QUARTER_US);
    assert!(alerts.iter().any(|one| one.alert_id == alert.alert_id && one.state == State::Closed));
    // What is usual in the morning is slow in the evening.
    let evening = slower("merge", 8.0, 22 * DAY_US + 20 * HOUR_US, 3);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &days(24, 20, 2, evening));
    assert_eq!(opened(&alerts, RULE).len(), 1, "{:#?}", opened(&alerts, RULE));
}

#[test]
fn ordinary_weeks_open_no_more_than_the_budget() {
    for seed in 30..32 {
        let mut settings = Settings::default();
        (settings.p95_latency.times_min_milli, settings.p95_latency.more_min_ms) = (1_000, 0);
        // Whole quarters of an hour are slower than others: calls of one window hang together.
        let alerts = fold(
            &mut Engine::new("acme", settings),
            &days(36, 20, seed, |chance, at, tool| {
                let record = usual(chance, at, tool)?;
                let mood =
                    Chance(seed.wrapping_mul(97).wrapping_add((at / QUARTER_US) as u64)).lognormal(0.3);
                Some(Record { latency_us: record.latency_us.map(|us| (us as f64 * mood) as i64), ..record })
            }),
        );
        let found = opened(&alerts, RULE).len();
        eprintln!("seed {seed}: {found}");
        // Half an episode a day may open by chance, and about 18 days are judged.
        assert!(found <= 18, "{found}");
    }
}

#[test]
fn a_little_slower_is_told_nobody() {
    let noon = 22 * DAY_US + 12 * HOUR_US;
    let alerts =
        fold(&mut Engine::new("acme", Settings::default()), &days(24, 20, 3, slower("read", 1.3, noon, 8)));
    assert!(opened(&alerts, RULE).is_empty(), "{:#?}", opened(&alerts, RULE));
    // Four times of next to nothing is nothing either.
    let fast = |chance: &mut Chance, at: i64, tool: &'static str| {
        let record = slower("read", 4.0, noon, 8)(chance, at, tool)?;
        Some(Record { latency_us: record.latency_us.map(|us| us / 100), ..record })
    };
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &days(24, 20, 4, fast));
    assert!(opened(&alerts, RULE).is_empty());
}

#[test]
fn a_tool_with_few_calls_is_judged_over_hours() {
    let seldom = |chance: &mut Chance, at: i64, tool: &'static str| {
        let noon = 22 * DAY_US + 12 * HOUR_US;
        slower("send", 10.0, noon, 16)(chance, at, tool)
            .filter(|_| tool != "send" || at % QUARTER_US < 150_000_000)
    };
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &days(24, 20, 5, seldom));
    assert!(opened(&alerts, RULE).iter().any(|alert| alert.entity == "github/send"), "{alerts:#?}");
}

#[test]
fn a_day_of_slowness_does_not_make_the_next_one_usual() {
    let noon = 22 * DAY_US + 12 * HOUR_US;
    let poisoned = |chance: &mut Chance, at: i64, tool: &'static str| {
        let record = slower("read", 20.0, 17 * DAY_US, 96)(chance, at, tool)?;
        let is_slow = tool == "read" && (noon..noon + 4 * QUARTER_US).contains(&at);
        let latency_us = record.latency_us.map(|us| if is_slow { us * 20 } else { us });
        Some(Record { latency_us, ..record })
    };
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &days(24, 20, 6, poisoned));
    let found = opened(&alerts, RULE);
    assert!(found.iter().any(|alert| alert.first_seen_us >= START_US + noon - QUARTER_US), "{found:#?}");
}

#[test]
fn a_flood_of_tools_and_wild_numbers_hide_nothing() {
    let names: &'static [String] = Vec::leak((0..2_000).map(|number| format!("flood-{number}")).collect());
    let wild = [i64::MIN, -1, 0, i64::MAX];
    let flood = names.iter().zip(0..).flat_map(|(name, at)| {
        wild.into_iter().map(move |latency_us| {
            let time_us = START_US + 20 * DAY_US + at * 1_000_000;
            let of_flood = Record { capability: Some(name.as_str()), ..of_tool("x") };
            Record { time_us, ingest_time_us: time_us, latency_us: Some(latency_us), ..of_flood }
        })
    });
    let noon = 22 * DAY_US + 12 * HOUR_US;
    let settings = Settings { entities_max: 64, ..Settings::default() };
    let mut engine = Engine::new("acme", settings);
    let alerts = fold(&mut engine, &with(days(24, 20, 7, slower("read", 4.0, noon, 4)), flood));
    assert!(opened(&alerts, RULE).iter().any(|alert| alert.entity == "github/read"));
    assert!(engine.snapshot().len() < 6_000_000, "{}", engine.snapshot().len());
    let mut log = Stream::new(Settings::default());
    for time_us in wild {
        wild.iter().for_each(|us| log.add_at(Record { latency_us: Some(*us), ..of_tool("read") }, time_us));
    }
    assert!(log.states(RULE).is_empty());
}

#[test]
fn folding_and_restoring_commute_over_weeks() {
    let noon = 22 * DAY_US + 12 * HOUR_US;
    let records = days(24, 20, 8, slower("read", 4.0, noon, 4));
    let at = |from_us: i64| records.partition_point(|record| record.time_us < START_US + from_us);
    let splits =
        [0, at(3 * DAY_US + HOUR_US), at(10 * DAY_US + 5), at(noon + QUARTER_US), at(noon + HOUR_US)];
    commutes(&records, &Settings::default(), &splits);
}
