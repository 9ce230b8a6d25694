//! When and from where people and agents work: R23, R25.

use engine::{Record, Severity, State};

use super::{episodes, of, told};
use crate::days::with;
use crate::sessions::{Act, Chance, act, at, sorted};
use crate::stream::{MINUTE_US, call};
use crate::{new_network, off_hours};

const HOURS: &str = "off_hours";
const NETWORK: &str = "new_network";

/// The records of what somebody did, for as long as the test runs.
fn records(all: Vec<Act>) -> Vec<Record<'static>> {
    let kept = |text: String| -> &'static str { String::leak(text) };
    let of = |act: Act| Record {
        time_us: act.time_us,
        ingest_time_us: act.time_us,
        agent_id: Some(kept(act.agent)),
        session_id: kept(act.session),
        workflow: act.workflow,
        capability: Some(kept(act.tool)),
        source_ip: act.ip.map(kept),
        ..act.base
    };
    with(sorted(all).into_iter().map(of).collect(), [])
}

/// Weeks of people who begin between 8 and 18 o'clock, of `nia`, who begins between 20 and 4, and of a robot that does at every hour but
/// the one after four. Then on a Friday one of the people, `nia` and the robot begin at night, and on a Monday `nia` in the morning and by day.
pub(super) fn hours() -> Vec<Record<'static>> {
    let mut chance = Chance(7);
    let mut all = off_hours::people(0..47, 1);
    let mut begins = |who: &str, time_us: i64, records: i64| {
        all.extend((0..records).map(|minute| act(time_us + minute * MINUTE_US, who, "s", "read")));
    };
    for day in 0..47 {
        if ![2, 3].contains(&(day % 7)) {
            (0..4).for_each(|shift| begins("nia", at(day, 20 + 2 * shift) + chance.below(90) * MINUTE_US, 3));
        }
        (5..28).for_each(|hour| begins("robot", at(day, hour) + chance.below(25) * MINUTE_US, 1));
    }
    for (who, day, hour) in [
        ("person-4", 43, 10),
        ("person-3", 43, 3),
        ("nia", 43, 2),
        ("robot", 43, 4),
        ("nia", 46, 6),
        ("nia", 46, 13),
    ] {
        begins(who, at(day, hour), 20);
    }
    begins("clock", at(48, 12), 1);
    records(all)
}

#[test]
fn r23_a_session_at_an_hour_that_is_not_its_own_is_told_and_the_hour_of_others_is_not_the_measure() {
    let alerts = told(&hours());
    // At two `nia` is at work, though all others sleep; the robot works round the clock, so that none of its hours says anything. What the row
    // asks and is not told: that `nia` begins at 13 o'clock. That is the statistic, and no slip of it: of some 120 starts a few were alone in their hour, so
    // that about one in twenty of the next is at an hour that she never had, and nearly all of those are hours of her peers.
    let expected = [(HOURS, "person-3", Severity::Low), (HOURS, "nia", Severity::Low)];
    let since = of(&alerts, [HOURS]).filter(|alert| alert.first_seen_us >= at(43, 0));
    assert_eq!(episodes(since), expected, "{alerts:#?}");
    let opened: Vec<_> = of(&alerts, [HOURS]).filter(|alert| alert.state == State::Open).collect();
    let told_us: Vec<i64> =
        opened.iter().map(|alert| alert.first_seen_us).filter(|at_us| *at_us >= at(43, 0)).collect();
    assert_eq!(told_us, [at(43, 3), at(46, 6)], "with the first record of the session");
}

fn office() -> Record<'static> {
    Record { country: Some("NL"), user_agent: Some("Mozilla/5.0 (Windows) Firefox/130"), ..call() }
}

/// Seven weeks of people in an office and at home, and of one who roams. Then `person-1` is elsewhere in the office's network, `person-2` in
/// another one, `person-3` in another country, and `person-4` in both with another client.
pub(super) fn networks() -> Vec<Record<'static>> {
    let abroad = Record { country: Some("JP"), ..office() };
    let thief = Record { country: Some("XX"), user_agent: Some("curl/8.1"), ..call() };
    let mut all = new_network::people(0..50, 1);
    all.extend((0..50).map(|day| {
        act(at(day, 10), "roams", "s", "read").with(office()).from(&format!("100.{}.{}.7", day + 1, day * 3))
    }));
    for (who, day, ip, base) in [
        ("person-1", 44, "203.0.113.253", office()),
        ("person-2", 45, "192.0.2.2", office()),
        ("person-3", 46, "203.0.113.77", abroad),
        ("person-4", 47, "192.0.2.66", thief),
    ] {
        all.extend(
            (0..5).map(|minute| act(at(day, 16) + minute * MINUTE_US, who, "t", "read").with(base).from(ip)),
        );
    }
    all.push(act(at(51, 12), "clock", "c", "read"));
    records(all)
}

#[test]
fn r25_a_network_or_a_region_that_a_principal_never_had_is_told() {
    let alerts = told(&networks());
    // A network alone is the least that is told, and it takes weeks of a principal's past: after thirty days of this log it was not told.
    let expected = [
        (NETWORK, "person-2", Severity::Low),
        (NETWORK, "person-3", Severity::Medium),
        (NETWORK, "person-4", Severity::Medium),
    ];
    // Nobody who roams, and none in the weeks before.
    assert_eq!(episodes(of(&alerts, [NETWORK])), expected, "{alerts:#?}");
    let opened: Vec<_> = of(&alerts, [NETWORK]).filter(|alert| alert.state == State::Open).collect();
    let named: [&[&str]; 3] =
        [&["network 192.0.2.0/24"], &["country JP"], &["network 192.0.2.0/24", "country XX", "client curl"]];
    for ((alert, day), named) in opened.iter().zip(45..).zip(named) {
        assert_eq!(alert.first_seen_us, at(day, 16), "with the first record");
        assert_eq!(alert.observed, i64::try_from(named.len()).ok());
        assert!(named.iter().all(|words| alert.explanation.contains(words)), "{}", alert.explanation);
    }
}
