//! Rules on approvals: how long they wait, how fast they are given, and how many nobody answers.

use engine::{Engine, Record, Settings, Severity, State};

use crate::days::{Chance, DAY_US, HOUR_US, commutes, fold, opened, with};
use crate::stream::{MINUTE_US, SECOND_US, START_US, Stream, approval, call};

const CEILING: &str = "approval_wait_ceiling";
const WAIT: &str = "approval_wait";
const FAST: &str = "approval_too_fast";
const ABANDONED: &str = "approval_abandoned";

fn at(time_us: i64, record: Record<'static>) -> Record<'static> {
    Record { time_us, ingest_time_us: time_us, agent_id: None, user_id: None, ..record }
}

fn name(number: i64) -> &'static str {
    String::leak(format!("apr-{number}"))
}

/// Approvals of two servers through whole days, 96 a day and server, after about two minutes; one in twenty expires.
fn weeks(days: i64, seed: u64) -> Vec<Record<'static>> {
    let (mut chance, mut all, mut number) = (Chance(seed), Vec::new(), 0);
    for quarter in 0..days * 96 {
        for server in ["mail", "bank"] {
            number += 1;
            let id = name(number);
            let asked_us = START_US + quarter * 15 * MINUTE_US + (chance.share() * 800e6) as i64;
            let wait_us = (120e6 * chance.lognormal(0.8)) as i64;
            let ending = if chance.share() < 0.05 { "expired" } else { "approved" };
            let asked = Record { server: Some(server), status: "pending", ..approval(id, "requested") };
            all.push(at(asked_us, asked));
            all.push(at(asked_us + wait_us, Record { server: Some(server), ..approval(id, ending) }));
        }
    }
    with(all, [])
}

const NOON: i64 = START_US + 22 * DAY_US + 12 * HOUR_US;

#[test]
fn one_that_nobody_decides_is_told_while_it_waits() {
    let forgotten = at(NOON, Record { server: Some("bank"), ..approval("forgotten", "requested") });
    let records = with(weeks(24, 1), [forgotten]);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let found = opened(&alerts, WAIT);
    assert_eq!(found.len(), 1, "{found:#?}");
    let alert = found[0];
    assert_eq!((alert.entity.as_str(), alert.baseline.as_str()), ("bank", "entity"));
    assert_eq!(records[alert.evidence[0] as usize].approval_id, Some("forgotten"));
    let told_us = records[alert.position as usize].time_us;
    assert!(
        (NOON + 30 * MINUTE_US..NOON + 12 * HOUR_US).contains(&told_us),
        "{}",
        (told_us - NOON) / MINUTE_US
    );
    assert!(alert.explanation.contains("has been waiting for"), "{}", alert.explanation);
}

#[test]
fn one_that_was_decided_late_is_told_with_its_end() {
    let late =
        Record { server: Some("mail"), approval_wait_ms: Some(90_000_000), ..approval("late", "approved") };
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &with(weeks(24, 2), [at(NOON, late)]));
    let found = opened(&alerts, WAIT);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].observed, Some(90_000_000_000));
}

#[test]
fn ordinary_weeks_open_no_more_than_the_budget() {
    for seed in 40..43 {
        let mut settings = Settings::default();
        settings.approval_wait.wait_min_s = 1;
        let alerts = fold(&mut Engine::new("acme", settings), &weeks(40, seed));
        for rule in [WAIT, ABANDONED] {
            let found = opened(&alerts, rule).len();
            eprintln!("{rule}, seed {seed}: {found}");
            // Half an episode a day may open by chance, and about 33 days are judged.
            assert!(found <= 20, "{rule}: {found}");
        }
        assert!(opened(&alerts, FAST).is_empty());
    }
}

#[test]
fn asking_again_and_again_is_still_waiting() {
    let again = (0..120).map(|number| {
        at(NOON + number * 3 * MINUTE_US, Record { server: Some("bank"), ..approval("again", "requested") })
    });
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &with(weeks(24, 3), again));
    assert_eq!(opened(&alerts, WAIT).len(), 1);
}

#[test]
fn a_week_of_slow_ones_does_not_make_the_next_one_usual() {
    let slow = |day: i64, number: i64| {
        let said = Some(40_000_000 + number);
        let ended = Record { server: Some("bank"), approval_wait_ms: said, ..approval("slow", "rejected") };
        at(START_US + day * DAY_US + number * SECOND_US, ended)
    };
    let poison = (12..20).step_by(2).flat_map(|day| (0..30).map(move |number| slow(day, number)));
    let late =
        Record { server: Some("bank"), approval_wait_ms: Some(400_000_000), ..approval("late", "approved") };
    let alerts = fold(
        &mut Engine::new("acme", Settings::default()),
        &with(with(weeks(24, 4), poison), [at(NOON, late)]),
    );
    assert!(opened(&alerts, WAIT).iter().any(|alert| alert.observed == Some(400_000_000_000)));
}

#[test]
fn the_ceiling_is_the_median_of_those_that_wait_and_those_that_did() {
    let mut log = Stream::new(Settings::default());
    for id in ["a", "b", "c"] {
        log.add(approval(id, "requested"));
    }
    log.tick(9 * MINUTE_US);
    assert!(log.states(CEILING).is_empty());
    log.tick(3 * MINUTE_US);
    let first = log.of(CEILING).next().expect("no alert");
    assert_eq!((first.severity, first.entity_type.as_str()), (Severity::Medium, "tenant"));
    assert!(first.observed >= Some(600_000_000) && first.evidence == [0, 1, 2], "{first:?}");
    log.tick(10 * MINUTE_US);
    assert_eq!(log.of(CEILING).last().unwrap().severity, Severity::High, "it goes on");
    // Decided, they still were in the queue; half an hour later they were not.
    for id in ["a", "b", "c"] {
        log.add(approval(id, "approved"));
    }
    log.tick(200 * MINUTE_US);
    log.tick(MINUTE_US);
    assert_eq!(log.of(CEILING).last().unwrap().state, State::Closed);
    // Two are no queue, and calls that wait are approvals too.
    let waits = Record { decision: "require_approval", status: "pending", ..call() };
    let mut log = Stream::new(Settings::default());
    log.add(Record { call_id: Some("1"), ..waits });
    log.add(Record { call_id: Some("2"), ..waits });
    log.tick(30 * MINUTE_US);
    assert!(log.states(CEILING).is_empty());
    log.add(Record { call_id: Some("1"), ..call() });
    log.add(Record { call_id: Some("3"), ..waits });
    log.tick(10 * MINUTE_US);
    assert_eq!(log.states(CEILING), [State::Open]);
}

#[test]
fn five_stamps_within_an_hour_are_told() {
    let mut log = Stream::new(Settings::default());
    for number in 0..4 {
        let id = name(number);
        log.add(approval(id, "requested"));
        log.wait(SECOND_US);
        log.add(approval(id, "approved"));
        log.wait(MINUTE_US);
    }
    // Slow ones, rejected ones, and calls that repeat what an approval said are no stamps.
    log.add(Record { approval_wait_ms: Some(60_000), ..approval("slow", "approved") });
    log.add(Record { approval_wait_ms: Some(1), ..approval("no", "rejected") });
    log.add(Record { kind: "call", approval_wait_ms: Some(1), ..approval("x", "approved") });
    assert!(log.states(FAST).is_empty());
    // What the source says does not hide what the log shows.
    log.add(approval("liar", "requested"));
    log.wait(SECOND_US);
    log.add(Record { approval_wait_ms: Some(600_000), ..approval("liar", "approved") });
    assert_eq!(log.states(FAST), [State::Open]);
    let alert = log.of(FAST).next().unwrap();
    assert_eq!((alert.entity.as_str(), alert.observed), ("boss", Some(5)));
    assert_eq!(alert.evidence.len(), 5);
}

#[test]
fn approvals_that_nobody_answers_are_told() {
    let burst = (0..12).map(|number| {
        let gone = if number % 2 == 0 { "expired" } else { "cancelled" };
        at(NOON + number * 20 * SECOND_US, Record { server: Some("mail"), ..approval(name(-number), gone) })
    });
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &with(weeks(24, 5), burst));
    let found = opened(&alerts, ABANDONED);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].entity, "mail");
}

#[test]
fn floods_of_ids_and_wild_numbers_hide_nothing() {
    let mut settings = Settings::default();
    settings.approval_wait.approvals_max = 64;
    let forgotten = at(NOON, Record { server: Some("bank"), ..approval("forgotten", "requested") });
    let flood = (0..5_000).map(|number| {
        let asked = Record { server: Some("bank"), ..approval(name(1_000_000 + number), "requested") };
        at(NOON + MINUTE_US + number * 1_000, asked)
    });
    let mut engine = Engine::new("acme", settings);
    let alerts = fold(&mut engine, &with(with(weeks(24, 6), [forgotten]), flood));
    let found = opened(&alerts, WAIT);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].explanation.contains("has been waiting for"));
    // Most of it is of the rule on unapproved writes, which keeps 65,536 approvals.
    assert!(engine.snapshot().len() < 2_000_000, "{}", engine.snapshot().len());
    assert!(engine.evicted() > 4_000);
    let mut log = Stream::new(Settings::default());
    let wild = [i64::MIN, -1, 0, 1, i64::MAX];
    for time_us in wild {
        for wait_ms in wild {
            let said = Record { approval_wait_ms: Some(wait_ms), ..approval("a", "approved") };
            log.add_at(approval("a", "requested"), time_us);
            log.add_at(said, time_us);
            log.add_at(Record { approval_id: None, call_id: None, ..said }, time_us);
            log.add_at(approval("left", "requested"), time_us);
        }
    }
    log.now_us = i64::MAX;
    log.add_at(call(), i64::MAX);
    assert!(log.engine.snapshot().len() < 200_000);
}

#[test]
fn folding_and_restoring_commute_over_weeks() {
    let forgotten = at(NOON, Record { server: Some("bank"), ..approval("forgotten", "requested") });
    let burst = (0..12).map(|number| {
        at(NOON + number * SECOND_US, Record { server: Some("mail"), ..approval(name(-number), "expired") })
    });
    let stamps = (0..6).map(|number| {
        let fast = Record {
            approval_wait_ms: Some(3),
            server: Some("mail"),
            ..approval(name(-100 - number), "approved")
        };
        at(NOON + number * SECOND_US, fast)
    });
    let records = with(with(with(weeks(24, 7), [forgotten]), burst), stamps);
    let before = |time_us: i64| records.partition_point(|record| record.time_us < time_us);
    let mut splits: Vec<usize> = (0..24).step_by(5).map(|day| before(START_US + day * DAY_US + 7)).collect();
    splits.extend([0, 3, 30, 90, 300].map(|minute| before(NOON + minute * MINUTE_US)));
    splits.sort_unstable();
    commutes(&records, &Settings::default(), &splits);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!([WAIT, ABANDONED, FAST].iter().all(|rule| !opened(&alerts, rule).is_empty()));
}
