//! The same log, the same alerts: R35.

use std::collections::BTreeSet;

use engine::{Engine, RULE_IDS, Record};

use super::outputs::NOON_US;
use super::{access, approvals, at, name, outputs, shipped};
use crate::days::{Chance, DAY_US, HOUR_US, fold, with};
use crate::stream::{MINUTE_US, SECOND_US, START_US, call, login, revoke};

/// The last day of the weeks.
pub const DAY_US_LAST: i64 = START_US + 24 * DAY_US;

/// Weeks of tools as R29 has them, by a gateway that numbers what it sends and by a tap. Three numbers never come; two days before the end the
/// tap says nothing for two hours; at the last noon `read` is slow, and for an hour of the afternoon `list` fails.
fn tools() -> impl Iterator<Item = Record<'static>> {
    let (mut chance, mut sent) = (Chance(3), 0);
    let silent = NOON_US - 2 * DAY_US..NOON_US - 2 * DAY_US + 2 * HOUR_US;
    outputs::outputs().into_iter().filter_map(move |record| {
        let is_gate = !matches!(record.capability, Some("list" | "query"));
        let is_lost = is_gate && (60_000..60_003).contains(&sent);
        sent += i64::from(is_gate);
        let is_broken = record.capability == Some("list")
            && (NOON_US + 4 * HOUR_US..NOON_US + 5 * HOUR_US).contains(&record.time_us);
        let status = if is_broken { "error" } else { record.status };
        let is_slow = record.capability == Some("read") && record.time_us >= NOON_US;
        let latency_us = Some((if is_slow { 9e6 } else { 2e5 } * chance.lognormal(0.4)) as i64);
        let of_tap = Record { latency_us, status, source: "tap/1", ..record };
        let of_gate =
            Record { source: "gate/1", source_seq: Some(sent), observer: Some("gateway"), ..of_tap };
        let is_there = if is_gate { !is_lost } else { !silent.contains(&record.time_us) };
        is_there.then_some(if is_gate { of_gate } else { of_tap })
    })
}

/// Weeks in which twelve people come in every working hour, mistype one time in twelve and make two calls. On the last day a credential is used
/// after it was revoked; one comes at night from elsewhere; and one fails, is denied and calls: each many times within five minutes, and once a
/// minute for an hour.
fn people() -> impl Iterator<Item = Record<'static>> {
    let mut chance = Chance(4);
    let from = Record { source_ip: Some("203.0.113.7"), country: Some("NL"), user_id: None, ..call() };
    let of = move |base: Record<'static>, person: i64| Record {
        agent_id: Some(name("person-", person)),
        source_ip: from.source_ip,
        country: from.country,
        user_id: None,
        ..base
    };
    let usual = (0..25 * 10 * 12).flat_map(move |number: i64| {
        let hour_us = START_US + (number / 120 * 24 + 8 + number / 12 % 10) * HOUR_US;
        let time_us = hour_us + (chance.share() * 50.0 * MINUTE_US as f64) as i64;
        let bases = [login(chance.share() > 1.0 / 12.0), call(), call()];
        (0..).zip(bases).map(move |(minute, base)| at(time_us + minute * MINUTE_US, of(base, number % 12)))
    });
    let hour_us = |hour: i64| DAY_US_LAST + hour * HOUR_US;
    let some = move |base: Record<'static>, hour: i64, number: i64, apart_us: i64| {
        (0..number).map(move |one| at(hour_us(hour) + one * apart_us, of(base, 5)))
    };
    let denied = Record { decision: "deny", status: "denied", ..call() };
    let used = Record { credential_id: Some("k"), ..call() };
    let elsewhere = Record { source_ip: Some("192.0.2.66"), country: Some("XX"), ..of(call(), 3) };
    usual
        .chain([at(hour_us(3), elsewhere), at(hour_us(7), revoke("k")), at(hour_us(8), used)])
        .chain(some(login(false), 9, 40, 7 * SECOND_US))
        .chain(some(login(false), 10, 60, MINUTE_US))
        .chain(some(denied, 13, 40, 7 * SECOND_US))
        .chain(some(denied, 14, 60, MINUTE_US))
        .chain(some(call(), 16, 1_500, SECOND_US / 5))
        .chain(some(call(), 17, 60, MINUTE_US))
}

/// Weeks in which about everything happens that other rows have, and the readings of the clock that a log of the service has.
pub fn month() -> Vec<Record<'static>> {
    let moved = |records: Vec<Record<'static>>, days: i64| {
        records.into_iter().map(move |record| at(record.time_us + days * DAY_US, record))
    };
    let reading = |quarter: i64| at(START_US + quarter * 15 * MINUTE_US, Record { control: true, ..call() });
    let access = moved(access::logins(), 25).chain(moved(access::writes(), 26));
    let all = tools().chain(people()).chain(approvals::queues()).chain(access);
    with(all.chain((0..28 * 96).map(reading)).collect(), [])
}

#[test]
fn r35_the_same_log_gives_the_same_alerts_bit_for_bit_whatever_restarts_lie_between() {
    let records = month();
    let setup = shipped();
    let mut whole = Engine::new("acme", setup.clone());
    let alerts = fold(&mut whole, &records);
    let told: BTreeSet<&str> = alerts.iter().map(|alert| alert.rule_id.as_str()).collect();
    let untold: Vec<&str> = RULE_IDS.into_iter().filter(|rule| !told.contains(rule)).collect();
    assert!(untold.is_empty(), "a log in which every rule fires: {untold:?}");
    assert!(told.len() >= RULE_IDS.len() + 5, "and some in Sigma: {told:?}");
    // Twenty restarts at any record, and twenty right after one that told of something, in one fold: so it is the same log once more as well, and
    // what one restart changed the next would carry on.
    let mut chance = Chance(35);
    let mut any = |most: usize| (chance.share() * most as f64) as usize;
    let mut restarts: BTreeSet<usize> = (0..20).map(|_| any(records.len())).collect();
    restarts.extend((0..20).map(|_| alerts[any(alerts.len())].position as usize + 1));
    let (mut engine, mut again, mut from) = (Engine::new("acme", setup.clone()), Vec::new(), 0);
    for restart in restarts {
        again.extend(fold(&mut engine, &records[from..restart]));
        let bytes = engine.snapshot();
        engine = Engine::restore(&bytes, setup.clone()).unwrap();
        assert!(engine.snapshot() == bytes, "the snapshot at {restart} is another one after it was read");
        from = restart;
    }
    again.extend(fold(&mut engine, &records[from..]));
    let differs = alerts.iter().zip(&again).find(|(one, other)| one != other);
    assert!(differs.is_none() && alerts.len() == again.len(), "{differs:#?}");
    assert!(engine.snapshot() == whole.snapshot(), "the last snapshots differ");
}
