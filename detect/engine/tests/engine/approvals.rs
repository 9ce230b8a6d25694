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
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let queue = |number: usize| {
        let mut log = Stream::new(Settings::default());
        ids[..number].iter().for_each(|id| log.add(approval(id, "requested")));
        log.tick(9 * MINUTE_US);
        assert!(log.states(CEILING).is_empty());
        log.tick(3 * MINUTE_US);
        log
    };
    let mut log = queue(10);
    let first = log.of(CEILING).next().expect("no alert");
    assert_eq!((first.severity, first.entity_type.as_str()), (Severity::Medium, "tenant"));
    assert!(first.observed >= Some(600_000_000) && first.evidence[..3] == [0, 1, 2], "{first:?}");
    log.tick(10 * MINUTE_US);
    assert_eq!(log.of(CEILING).last().unwrap().severity, Severity::High, "it goes on");
    // The median of three is over ten minutes by chance; over twenty it stops them all the same.
    let mut few = queue(3);
    assert!(few.states(CEILING).is_empty());
    few.tick(10 * MINUTE_US);
    assert_eq!(few.of(CEILING).last().unwrap().severity, Severity::High);
    // Decided, they still were in the queue; half an hour later they were not.
    for id in ids {
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

/// How many requests a rule waits for.
fn pending(engine: &Engine, rule: &str) -> usize {
    let state = engine.state_as_json();
    state["lanes"][rule]["detector"]["waits"]["pending"]["entries"].as_object().unwrap().len()
}

fn forgotten() -> Record<'static> {
    at(NOON, Record { server: Some("bank"), ..approval("forgotten", "requested") })
}

/// Weeks in which one is forgotten, and more.
fn is_told_beside(more: impl IntoIterator<Item = Record<'static>>, settings: &Settings) -> bool {
    let records = with(weeks(24, 8), more);
    let alerts = fold(&mut Engine::new("acme", settings.clone()), &records);
    let found = opened(&alerts, WAIT);
    found.iter().any(|alert| records[alert.evidence[0] as usize].approval_id == Some("forgotten"))
}

#[test]
fn a_request_that_is_dated_back_waits_since_it_came() {
    let dated = Record { time_us: NOON - 9 * DAY_US, ..forgotten() };
    assert!(is_told_beside([dated], &Settings::default()), "older than anybody waits for");
    // Nor are three that were decided within a minute a queue that nobody works off.
    let mut log = Stream::new(Settings::default());
    log.add(call());
    for id in ["a", "b", "c"] {
        log.add_at(approval(id, "requested"), START_US - 5 * DAY_US);
        log.wait(20 * SECOND_US);
        log.add(Record { approval_wait_ms: Some(i64::MAX), ..approval(id, "approved") });
    }
    log.tick(10 * MINUTE_US);
    let most = log.of(CEILING).filter_map(|alert| alert.observed).max();
    assert!(most <= Some(7 * DAY_US), "what the source says is bounded: {most:?}");
    let mut log = Stream::new(Settings::default());
    log.add(call());
    for id in ["a", "b", "c"] {
        log.add_at(approval(id, "requested"), i64::MIN);
        log.add(approval(id, "approved"));
    }
    log.tick(10 * MINUTE_US);
    let most = log.of(CEILING).filter_map(|alert| alert.observed).max();
    assert!(most <= Some(10 * MINUTE_US), "no further back than late records are waited for: {most:?}");
}

#[test]
fn an_end_that_is_dated_before_its_request_was_no_wait() {
    let mut log = Stream::new(Settings::default());
    for number in 0..5 {
        let id = name(number);
        log.wait(20 * MINUTE_US / 5);
        log.add(approval(id, "requested"));
        log.wait(SECOND_US);
        log.add_at(approval(id, "approved"), log.now_us - MINUTE_US);
    }
    assert_eq!(log.states(FAST), [State::Open]);
}

#[test]
fn only_a_decision_ends_a_wait() {
    let of_call =
        Record { server: Some("bank"), kind: "call", status: "ok", ..approval("forgotten", "approved") };
    let by_itself = Record { agent_id: Some("boss"), ..approval("forgotten", "approved") };
    for record in [
        of_call,
        Record { approval_status: None, ..of_call },
        Record { status: "error", observer: Some("host"), ..of_call },
        Record { kind: "output", ..of_call },
        by_itself,
    ] {
        let claims = Record { time_us: NOON + MINUTE_US, ingest_time_us: NOON + MINUTE_US, ..record };
        assert!(is_told_beside([forgotten(), claims], &Settings::default()), "{record:?}");
    }
    for record in [
        approval("forgotten", "rejected"),
        // Where calls are held they are let go.
        Record { approval_status: None, observer: Some("gateway"), ..of_call },
    ] {
        let decides = at(NOON + MINUTE_US, record);
        assert!(!is_told_beside([forgotten(), decides], &Settings::default()), "{record:?}");
    }
}

#[test]
fn what_is_observed_again_or_in_another_order_does_not_wait() {
    let mut log = Stream::new(Settings::default());
    for id in ["a", "b", "c"] {
        let asked_us = log.now_us;
        log.wait(MINUTE_US);
        if id != "c" {
            log.add_at(approval(id, "requested"), asked_us);
        }
        log.add(approval(id, "approved"));
        // Another observer, and a request that came after its decision.
        log.add_at(approval(id, "requested"), asked_us);
    }
    assert_eq!(pending(&log.engine, WAIT), 0);
    // Asked for once more after it was decided, it waits once more.
    log.wait(SECOND_US);
    log.add(approval("a", "requested"));
    assert_eq!(pending(&log.engine, WAIT), 1);
}

#[test]
fn who_floods_before_a_request_does_not_keep_it_from_being_watched() {
    let mut settings = Settings::default();
    settings.approval_wait.approvals_max = 64;
    // One name that asks for thousands, and a name for each, for a whole day before and after.
    let one = |_: i64| "flood";
    let many = |number: i64| -> &'static str { String::leak(format!("flood-{number}")) };
    for (asker, what) in [(&one as &dyn Fn(i64) -> &'static str, "one"), (&many, "many")] {
        let flood: Vec<Record<'static>> = (0..3_000)
            .map(|number| {
                let asked =
                    Record { server: Some("mail"), ..approval(name(2_000_000 + number), "requested") };
                Record {
                    agent_id: Some(asker(number)),
                    ..at(NOON - 12 * HOUR_US + number * 28 * SECOND_US, asked)
                }
            })
            .collect();
        assert!(is_told_beside(flood.into_iter().chain([forgotten()]), &settings), "{what}");
    }
}

#[test]
fn nothing_waits_for_ever() {
    let mut log = Stream::new(Settings::default());
    (0..500).for_each(|number| log.add(approval(name(3_000_000 + number), "requested")));
    for rule in [WAIT, CEILING, FAST] {
        assert_eq!(pending(&log.engine, rule), 500, "{rule}");
    }
    log.tick(8 * DAY_US);
    log.add(approval("new", "requested"));
    for rule in [WAIT, CEILING, FAST] {
        assert_eq!(pending(&log.engine, rule), 1, "{rule}");
    }
}

#[test]
fn an_idle_tenant_in_which_approvals_wait_is_not_read_the_time_all_week() {
    let records = with(weeks(24, 9), [forgotten()]);
    let records = &records[..records.partition_point(|record| record.time_us <= NOON)];
    let mut engine = Engine::new("acme", Settings::default());
    let mut alerts = fold(&mut engine, records);
    let (mut index, mut readings) = (records.len() as i64, 0);
    while let Some(due_us) = engine.awaits_us() {
        readings += 1;
        // Most of them are of open episodes, every three quarters of an hour.
        assert!(readings < 500, "{} days", (due_us - NOON) / DAY_US);
        let read = Record { control: true, index, ..at(due_us, call()) };
        engine.observe(&read, &mut alerts).unwrap();
        index += 1;
    }
    eprintln!("{readings} readings");
    let told = opened(&alerts, WAIT);
    assert!(!told.is_empty() && (pending(&engine, WAIT), engine.episodes_open()) == (0, 0), "{told:#?}");
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
    let flood = (0..300).map(|number| {
        let asker: &'static str = String::leak(format!("flood-{}", number % 7));
        let asked = Record { server: Some("mail"), ..approval(name(4_000_000 + number), "requested") };
        Record { agent_id: Some(asker), ..at(NOON - HOUR_US + number * 28 * SECOND_US, asked) }
    });
    let records = with(with(with(with(weeks(24, 7), [forgotten]), burst), stamps), flood);
    let before = |time_us: i64| records.partition_point(|record| record.time_us < time_us);
    let mut splits: Vec<usize> = (0..24).step_by(5).map(|day| before(START_US + day * DAY_US + 7)).collect();
    splits.extend([0, 3, 30, 90, 300].map(|minute| before(NOON + minute * MINUTE_US)));
    splits.sort_unstable();
    commutes(&records, &Settings::default(), &splits);
    // Where those that wait have to make room, too.
    let mut tight = Settings { entities_max: 3, ..Settings::default() };
    tight.approval_wait.approvals_max = 16;
    commutes(&records, &tight, &splits);
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    assert!([WAIT, ABANDONED, FAST].iter().all(|rule| !opened(&alerts, rule).is_empty()));
}
