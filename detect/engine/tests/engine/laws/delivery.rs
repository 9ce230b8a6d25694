//! Delivery in another order, again, and later than is waited for.
//!
//! An episode of a rule on buckets is named by the bucket that opened it, so that its id says nothing of how the records came. The ids of all
//! other rules hold the log index of the record that opened them, or the clock's reading at which it was seen (`approval_wait_ceiling`): they name
//! an order of arrival, and of them nothing is asked here. What another order changes of them beside the id, by shuffles of the log below:
//! `approval_too_fast` tells nothing where decisions arrive before their requests and no source says how long they waited; `approval_wait` tells of
//! ordinary approvals whose decisions are minutes late; `unapproved_high_risk_write` tells of a write whose approval arrives after it.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Alert, Engine, RULE_IDS, Record, Settings, State};

use crate::counts::{AGENTS, What, burst, records as happenings, with as among, work};
use crate::days::{Chance, DAY_US, HOUR_US, fold, of_tool, with};
use crate::rows::{DAY_US_LAST, month};
use crate::stream::{MINUTE_US, START_US, approval, call, login};

/// Rules that name an episode by a bucket of event time.
const ON_BUCKETS: [&str; 10] = [
    "denial_rate",
    "auth_failure_rate",
    "call_rate",
    "call_rate_sustained",
    "denial_rate_sustained",
    "auth_failure_rate_sustained",
    "quarantine_rate",
    "p95_latency",
    "silent_source",
    "approval_abandoned",
];

/// The defaults with these rules alone, for the time it takes.
fn only(rules: &[&str]) -> Settings {
    let disabled = RULE_IDS.iter().filter(|rule| !rules.contains(rule)).map(|rule| (*rule).to_owned());
    Settings { disabled: disabled.collect(), ..Settings::default() }
}

/// Episodes by rule, entity and id, and the records that each had in the end.
fn episodes(alerts: &[Alert]) -> BTreeMap<(&str, &str, &str), i64> {
    let named = alerts
        .iter()
        .map(|alert| ((alert.rule_id.as_str(), alert.entity.as_str(), alert.alert_id.as_str()), alert.count));
    named.collect()
}

/// The same records, each received up to ten minutes later than it happened, and the index of the log by that.
fn shuffled(records: &[Record<'static>], seed: u64) -> Vec<Record<'static>> {
    let mut chance = Chance(seed);
    let mut late_us = || (chance.share() * 9.9 * MINUTE_US as f64) as i64;
    let late = records.iter().map(|record| {
        // The clock is read when it is read.
        let ingest_time_us = record.ingest_time_us + if record.control { 0 } else { late_us() };
        Record { ingest_time_us, ..*record }
    });
    with(late.collect(), [])
}

/// Takes a log in, one of ten records with another one again that was there before, as a reader who lost his place in it does.
fn fold_with_repeats(settings: Settings, records: &[Record<'_>], seed: u64) -> Vec<Alert> {
    let (mut engine, mut alerts, mut chance) = (Engine::new("acme", settings), Vec::new(), Chance(seed));
    for (at, record) in records.iter().enumerate() {
        engine.observe(record, &mut alerts).unwrap();
        if chance.share() < 0.1 {
            let told = alerts.len();
            let again = records[(chance.share() * (at + 1) as f64) as usize];
            engine.observe(&again, &mut alerts).unwrap();
            assert_eq!((alerts.len(), engine.next_index()), (told, at as i64 + 1), "it changes nothing");
        }
    }
    alerts
}

#[test]
fn what_comes_in_another_order_and_again_makes_the_same_episodes() {
    let records = month();
    let alerts = fold(&mut Engine::new("acme", only(&ON_BUCKETS)), &records);
    let expected: BTreeSet<_> = episodes(&alerts).into_keys().collect();
    let untold = ON_BUCKETS.iter().filter(|rule| expected.iter().all(|(of, _, _)| of != *rule));
    assert_eq!(untold.count(), 0, "{expected:#?}");
    for seed in 1..3 {
        let alerts = fold_with_repeats(only(&ON_BUCKETS), &shuffled(&records, seed), seed);
        let found: BTreeSet<_> = episodes(&alerts).into_keys().collect();
        let differs: Vec<_> = expected.symmetric_difference(&found).collect();
        assert!(differs.is_empty(), "seed {seed}: {differs:#?}");
    }
}

/// Where the ids of `ON_BUCKETS` are not the same: for a count that grows from bucket to bucket. Of several open buckets the first that is unusual
/// names the episode, and which that is goes by how much of each has come: of 24 shuffles of ramps of calls 16 gave it the id of another bucket, of
/// as many of denials 2, of failed logins 5. It is one episode about the same all the same. And an hour that is unusual with its late minutes alone
/// is learnt and not told by the rules on what lasts (`docs/decisions/0030-what-lasts.md`).
#[test]
fn a_ramp_over_buckets_is_one_episode_in_any_order() {
    let ramp = (0..18).flat_map(|bucket| {
        let later = move |(time_us, agent, what)| (time_us + i64::from(bucket) * 5 * MINUTE_US, agent, what);
        burst(20, (20.0 * 1.26_f64.powi(bucket)) as i64, "bob", What::Call).map(later)
    });
    let records = happenings(&among(work(22, &AGENTS, 2), ramp));
    let begins_us = START_US + 20 * DAY_US + 13 * HOUR_US;
    for seed in 0..4 {
        let records = if seed == 0 { records.clone() } else { shuffled(&records, seed) };
        let alerts = fold(&mut Engine::new("acme", only(&["call_rate"])), &records);
        let opened =
            alerts.iter().filter(|alert| alert.state == State::Open && alert.last_seen_us >= begins_us);
        let found: Vec<&Alert> = opened.collect();
        let [alert] = &found[..] else { panic!("seed {seed}: {found:#?}") };
        let after_us = alert.first_seen_us - begins_us;
        assert!(alert.entity == "bob" && (0..90 * MINUTE_US).contains(&after_us), "seed {seed}: {alert:#?}");
    }
}

#[test]
fn what_comes_later_than_is_waited_for_amends_the_episode_that_is_open() {
    let records = month();
    let before = fold(&mut Engine::new("acme", only(&ON_BUCKETS)), &records);
    let person =
        |base: Record<'static>| Record { agent_id: Some("person-5"), user_id: None, source_ip: None, ..base };
    let denied = Record { decision: "deny", status: "denied", ..call() };
    let held = Record { output_action: Some("block"), ..of_tool("send") };
    let slow = Record { latency_us: Some(20_000_000), ..of_tool("read") };
    let gone = Record { server: Some("mail"), agent_id: None, user_id: None, ..approval("late", "expired") };
    // The minutes of the last day at which an incident was, at which more of it comes, and how many.
    let late = [
        ("auth_failure_rate", "person-5", person(login(false)), 542, 560, 20),
        ("denial_rate", "person-5", person(denied), 782, 800, 20),
        ("call_rate", "person-5", person(call()), 962, 980, 50),
        ("quarantine_rate", "github/send", held, 725, 760, 10),
        ("p95_latency", "github/read", slow, 725, 760, 10),
        ("approval_abandoned", "mail", gone, 22 * 60 + 9 - 2 * 1_440, 22 * 60 + 40 - 2 * 1_440, 3),
    ];
    let more = late.iter().flat_map(|(_, _, record, happened, came, number)| {
        let (time_us, ingest_time_us) = (DAY_US_LAST + happened * MINUTE_US, DAY_US_LAST + came * MINUTE_US);
        (0..*number).map(move |one| Record { time_us, ingest_time_us: ingest_time_us + one, ..*record })
    });
    let after = fold(&mut Engine::new("acme", only(&ON_BUCKETS)), &with(records, more));
    let (before, after) = (episodes(&before), episodes(&after));
    assert!(before.keys().eq(after.keys()), "{before:#?} {after:#?}");
    for (rule, entity, _, _, _, number) in late {
        let more: Vec<i64> = before
            .iter()
            .filter(|((of, who, _), _)| (*of, *who) == (rule, entity))
            .map(|(key, count)| after[key] - count)
            .collect();
        assert!(more.contains(&number), "{rule} {entity}: {more:?}");
    }
}
