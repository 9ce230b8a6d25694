//! Records that come in another order than they happened, within the time that late ones are waited for.

use engine::{Alert, Engine, Record, Settings, State};

use crate::days::{Chance, DAY_US, HOUR_US, fold, with};
use crate::rows::queues;
use crate::stream::{MINUTE_US, SECOND_US, START_US, Stream, approval, write};

const FAST: &str = "approval_too_fast";
const WAIT: &str = "approval_wait";
const WRITE: &str = "unapproved_high_risk_write";

/// The same records, each received up to so much later than it happened.
fn shuffled(records: &[Record<'static>], late_us: i64, seed: u64) -> Vec<Record<'static>> {
    let mut chance = Chance(seed);
    let late = records.iter().map(|record| {
        let ingest_time_us = record.time_us + (chance.share() * late_us as f64) as i64;
        Record { ingest_time_us, ..*record }
    });
    with(late.collect(), [])
}

fn opened<'a>(alerts: &'a [Alert], rule: &str) -> Vec<&'a Alert> {
    let of_rule = alerts.iter().filter(|alert| alert.rule_id == rule);
    of_rule.filter(|alert| alert.state == State::Open).collect()
}

/// Five approvals within a second of their requests, of which some come the other way round.
fn stamps(is_late: impl Fn(i64) -> bool) -> Stream {
    let mut log = Stream::new(Settings::default());
    for number in 0..5 {
        let id = crate::rows::name("p-", number);
        let asked_us = log.now_us;
        let decided_us = asked_us + SECOND_US / 2;
        let asked = Record { status: "pending", approver: None, ..approval(id, "requested") };
        log.wait(MINUTE_US);
        if is_late(number) {
            // Two observers of the same decision, before anybody says what was asked for.
            log.add_at(approval(id, "approved"), decided_us);
            log.add_at(Record { observer: Some("gateway"), ..approval(id, "approved") }, decided_us);
            log.wait(8 * MINUTE_US);
            log.add_at(asked, asked_us);
            log.add_at(Record { observer: Some("gateway"), ..asked }, asked_us);
        } else {
            log.add_at(asked, asked_us);
            log.add_at(approval(id, "approved"), decided_us);
        }
        log.wait(MINUTE_US);
    }
    log
}

#[test]
fn a_decision_that_comes_before_its_request_was_as_fast_as_it_was() {
    for is_late in [|_| false, |number| number % 2 == 0, |_| true] {
        let log = stamps(is_late);
        let [open] = &opened(&log.alerts, FAST)[..] else { panic!("{:#?}", log.alerts) };
        assert_eq!((open.observed, open.count, open.entity.as_str()), (Some(5), 5, "boss"), "{open:#?}");
        assert!(open.evidence.is_sorted(), "{open:#?}");
    }
}

#[test]
fn a_decision_whose_request_comes_after_the_time_for_late_records_is_of_nothing() {
    let mut log = Stream::new(Settings::default());
    for number in 0..5 {
        let id = crate::rows::name("p-", number);
        let asked_us = log.now_us;
        log.add_at(approval(id, "approved"), asked_us + SECOND_US / 2);
        log.tick(15 * MINUTE_US);
        log.add_at(Record { status: "pending", approver: None, ..approval(id, "requested") }, asked_us);
    }
    assert!(opened(&log.alerts, FAST).is_empty(), "{:#?}", log.alerts);
}

/// The settings under which a request waits for as long as it must to be told.
fn waits(records: &[Record<'static>]) -> usize {
    let alerts = fold(&mut Engine::new("acme", Settings::default()), records);
    opened(&alerts, WAIT).len()
}

#[test]
fn approvals_do_not_wait_longer_because_records_come_in_another_order() {
    let records = queues();
    let in_order = waits(&records);
    assert!((1..=5).contains(&in_order), "{in_order}");
    for seed in 1..=2 {
        let found = waits(&shuffled(&records, 9 * MINUTE_US, seed));
        assert!(found <= in_order + 2, "{found} of {in_order}");
    }
}

/// A high-risk write by its approval.
fn merge(id: &'static str, call: &'static str) -> Record<'static> {
    Record { approval_id: Some(id), call_id: Some(call), request_hash: Some("h"), ..write() }
}

fn given(id: &'static str, approver: &'static str, hash: &'static str) -> Record<'static> {
    Record { approver: Some(approver), request_hash: Some(hash), ..approval(id, "approved") }
}

#[test]
fn a_write_before_its_approval_is_told_at_once_and_explained_when_that_comes() {
    let mut log = Stream::new(Settings::default());
    let ran_us = log.now_us;
    log.add(merge("p-1", "c-1"));
    assert_eq!(log.states(WRITE), [State::Open]);
    log.wait(5 * MINUTE_US);
    log.add_at(given("p-1", "boss", "h"), ran_us - SECOND_US);
    assert_eq!(log.states(WRITE), [State::Open, State::Closed]);
    let closed = log.of(WRITE).last().unwrap();
    let why = "Episode closed as explained, the approval of the call at log index 0 was given before it and came after it, at log index 1.";
    assert!(closed.explanation.ends_with(why), "{}", closed.explanation);
    // Another observer of the call says nothing new.
    log.add(Record { observer: Some("server"), approval_id: None, ..merge("p-1", "c-1") });
    assert_eq!(log.states(WRITE).len(), 2);
}

#[test]
fn what_comes_too_late_or_approves_something_else_explains_nothing() {
    let ran_us = START_US;
    for (wait_us, late) in [
        (5 * MINUTE_US, given("p-1", "boss", "another")),
        (5 * MINUTE_US, given("p-1", "u-1", "h")),
        (5 * MINUTE_US, given("p-2", "boss", "h")),
        (5 * MINUTE_US, Record { approval_status: Some("requested"), ..given("p-1", "boss", "h") }),
        (15 * MINUTE_US, given("p-1", "boss", "h")),
    ] {
        let mut log = Stream::new(Settings::default());
        log.add(merge("p-1", "c-1"));
        log.tick(wait_us);
        log.add_at(late, ran_us - SECOND_US);
        assert_eq!(log.states(WRITE), [State::Open], "{late:?}");
    }
    let mut log = Stream::new(Settings::default());
    log.add(merge("p-1", "c-1"));
    log.wait(MINUTE_US);
    log.add(given("p-1", "boss", "h"));
    assert_eq!(log.states(WRITE), [State::Open], "given after it ran");
}

#[test]
fn an_episode_with_another_call_goes_on_and_says_so() {
    let mut log = Stream::new(Settings::default());
    let ran_us = log.now_us;
    log.add(merge("p-1", "c-1"));
    log.add(write());
    log.wait(MINUTE_US);
    log.add_at(given("p-1", "boss", "h"), ran_us - SECOND_US);
    assert_eq!(log.states(WRITE), [State::Open, State::Updated, State::Updated]);
    let last = log.of(WRITE).last().unwrap();
    assert!(last.explanation.contains("Episode explained in part, the approval of"), "{}", last.explanation);
}

#[test]
fn an_approval_is_for_one_run() {
    let mut log = Stream::new(Settings::default());
    log.add(given("p-1", "boss", "h"));
    log.wait(SECOND_US);
    // A run that failed is tried again; and two observers see the one that did not.
    log.add(Record { status: "error", ..merge("p-1", "c-1") });
    log.add(Record { observer: Some("client"), ..merge("p-1", "c-2") });
    log.add(Record { observer: Some("server"), ..merge("p-1", "c-2") });
    log.add(Record { observer: Some("tap"), call_id: None, ..merge("p-1", "c-2") });
    assert!(log.is_quiet(), "{:#?}", log.alerts);
    log.add(Record { observer: Some("client"), ..merge("p-1", "c-3") });
    log.add(Record { observer: Some("server"), ..merge("p-1", "c-3") });
    let [told] = &log.alerts[..] else { panic!("{:#?}", log.alerts) };
    let why = "ran although its approval was used before, by the call at log index 2 of the same request";
    assert!(told.explanation.contains(why), "{}", told.explanation);
    assert_eq!((told.rule_id.as_str(), told.count), (WRITE, 1));
}

#[test]
fn folding_and_restoring_commute_where_order_is_another() {
    let late = shuffled(&queues(), 9 * MINUTE_US, 3);
    let day = late.iter().position(|record| record.time_us >= START_US + 22 * DAY_US).unwrap();
    let noon =
        late.iter().position(|record| record.time_us >= START_US + 22 * DAY_US + 19 * HOUR_US).unwrap();
    crate::days::commutes(&late, &Settings::default(), &[day, noon + 7, noon + 8]);
    let mut log = Stream::new(Settings::default());
    let ran_us = log.now_us;
    log.add(merge("p-1", "c-1"));
    let bytes = log.engine.snapshot();
    log.engine = Engine::restore(&bytes, Settings::default()).unwrap();
    log.add_at(given("p-1", "boss", "h"), ran_us - SECOND_US);
    assert_eq!(log.states(WRITE), [State::Open, State::Closed]);
}
