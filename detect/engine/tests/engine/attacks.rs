//! What somebody who writes records could try against the engine.

use engine::{Engine, Error, Record, Settings, State};

use crate::stream::{MINUTE_US, SECOND_US, START_US, Stream, approval, call, login, revoke, write};

#[test]
fn a_flood_of_identities_does_not_flush_a_victim() {
    let mut log = Stream::new(Settings { entities_max: 256, ..Settings::default() });
    let denied = Record { decision: "deny", status: "denied", ..call() };
    (0..10).for_each(|_| log.add(Record { agent_id: Some("victim"), ..denied }));
    (0..9).for_each(|_| log.add(Record { source_ip: Some("victim"), ..login(false) }));
    for flood in 0..5_000 {
        let id = format!("flood-{flood}");
        log.add(Record { agent_id: Some(&id), ..denied });
        log.add(Record { source_ip: Some(&id), ..login(false) });
        log.add(Record { server: Some(&id), latency_us: Some(1), agent_id: None, user_id: None, ..call() });
    }
    (0..10).for_each(|_| log.add(Record { agent_id: Some("victim"), ..denied }));
    log.add(Record { source_ip: Some("victim"), ..login(false) });
    assert_eq!(log.states("denial_ratio_ceiling"), [State::Open]);
    assert_eq!(log.states("auth_failure_burst"), [State::Open]);
    assert!(log.engine.evicted() > 10_000);
}

#[test]
fn a_flood_of_episodes_hides_none_and_drops_none() {
    let settings = Settings { episodes_open_max: 64, ..Settings::default() };
    let mut log = Stream::new(settings);
    (0..8).for_each(|_| log.add(Record { agent_id: Some("victim"), ..write() }));
    for flood in 0..1_000 {
        log.add(Record { agent_id: Some(&format!("flood-{flood}")), ..write() });
    }
    log.add(Record { agent_id: Some("late"), ..write() });
    let opened = log.alerts.iter().filter(|alert| alert.state == State::Open).count();
    assert_eq!(opened, 1_002, "each agent has its alert");
    assert!(log.engine.episodes_open() <= 64);
    let victim = |alert: &&engine::Alert| alert.entity.starts_with("victim");
    assert!(
        log.alerts.iter().filter(victim).all(|alert| alert.state != State::Closed),
        "more evidence stays"
    );
    log.tick(46 * MINUTE_US);
    let closed = log.alerts.iter().filter(|alert| alert.state == State::Closed).count();
    assert_eq!(closed, 1_002, "and each is closed once");
    assert!(log.alerts.iter().any(|alert| alert.explanation.contains("closed early")));
}

#[test]
fn a_forgotten_approval_is_no_approval() {
    let mut settings = Settings::default();
    settings.unapproved_high_risk_write.approvals_max = 16;
    let mut log = Stream::new(settings);
    log.add(approval("rejected", "rejected"));
    log.add(Record { request_hash: Some("h"), ..approval("good", "approved") });
    for flood in 0..64 {
        log.add(approval(&format!("flood-{flood}"), "approved"));
    }
    assert!(log.is_quiet());
    let claims = Record { approval_status: Some("approved"), ..write() };
    log.add(Record { approval_id: Some("good"), capability: Some("1"), ..write() });
    log.add(Record { approval_id: Some("rejected"), capability: Some("2"), ..claims });
    log.add(Record { approval_id: Some("good"), request_hash: Some("x"), capability: Some("3"), ..claims });
    assert_eq!(log.alerts.len(), 3);
    log.tick(8 * 24 * 60 * MINUTE_US);
    log.alerts.clear();
    log.add(Record { approval_id: Some("new"), capability: Some("4"), ..claims });
    assert!(log.is_quiet(), "after the horizon the word of the call counts again");
}

#[test]
fn an_event_from_the_future_moves_nothing() {
    let mut log = Stream::new(Settings::default());
    log.add(write());
    log.add_at(call(), i64::MAX);
    log.add_at(call(), START_US + 1_000 * MINUTE_US);
    assert_eq!(log.engine.watermark_us(), START_US);
    assert_eq!(log.states("unapproved_high_risk_write"), [State::Open]);
    // Dated ahead one by one, failures stay in the minute in which they were received.
    for failure in 0..10 {
        log.add_at(login(false), START_US + failure * 10 * MINUTE_US);
    }
    assert_eq!(log.states("auth_failure_burst"), [State::Open]);
    log.add_at(Record { agent_id: Some("a-2"), ..write() }, i64::MAX);
    assert_eq!(log.alerts.last().unwrap().last_seen_us, START_US + 5 * MINUTE_US, "clamped");
}

#[test]
fn a_late_event_does_not_turn_the_clock_back() {
    let mut log = Stream::new(Settings::default());
    log.add(call());
    log.add_at(call(), START_US - 1_000 * MINUTE_US);
    log.add_at(call(), i64::MIN);
    assert_eq!(log.engine.watermark_us(), START_US);
}

#[test]
fn a_revocation_dated_ahead_counts_from_its_receipt() {
    let mut log = Stream::new(Settings::default());
    log.add_at(revoke("k"), START_US + 1_000 * MINUTE_US);
    log.wait(SECOND_US);
    log.add(Record { credential_id: Some("k"), ..call() });
    assert_eq!(log.states("revoked_credential_use"), [State::Open]);
}

#[test]
fn huge_identifiers_do_not_enter_the_state() {
    let huge = "x".repeat(1 << 20);
    let mut log = Stream::new(Settings::default());
    let record = Record {
        user_id: Some(&huge),
        agent_id: Some(&huge),
        client: Some(&huge),
        credential_id: Some(&huge),
        call_id: Some(&huge),
        server: Some(&huge),
        capability: Some(&huge),
        approval_id: Some(&huge),
        approver: Some(&huge),
        request_hash: Some(&huge),
        environment: Some(&huge),
        latency_us: Some(9_000_000),
        ..write()
    };
    for _ in 0..25 {
        log.add(Record { approval_status: Some("approved"), kind: "approval", ..record });
        log.add(record);
        log.add(Record { kind: "auth", status: "error", ..record });
    }
    log.add(Record { kind: "auth", method: Some("revoke"), ..record });
    log.wait(1);
    log.add(record);
    assert!(log.engine.snapshot().len() < 64 << 10, "{} bytes", log.engine.snapshot().len());
    let bytes = serde_json::to_vec(&log.alerts).unwrap().len();
    assert!(log.alerts.len() >= 4 && bytes < log.alerts.len() * 4_096, "{bytes} bytes");
    assert!(log.alerts.iter().all(|alert| !alert.query.contains("xxx")), "a prefix is nothing to search for");
}

#[test]
fn extreme_numbers_do_not_overflow() {
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for (skew, window) in [(0, 15), (86_400, 30 * 86_400)] {
        let mut settings = Settings { skew_max_s: skew, ..Settings::default() };
        settings.denial_ratio_ceiling.window_s = window;
        settings.p95_latency_ceiling.window_s = window;
        let mut engine = Engine::new("acme", settings.clone());
        let (mut alerts, mut index) = (Vec::new(), 0);
        for time_us in extremes {
            for ingest_time_us in extremes {
                for latency_us in extremes.map(Some) {
                    let base =
                        Record { time_us, ingest_time_us, latency_us, credential_id: Some("k"), ..write() };
                    let auth = Record { time_us, ingest_time_us, ..login(false) };
                    let revocation = Record { time_us, ingest_time_us, ..revoke("k") };
                    let granted = Record { time_us, ingest_time_us, ..approval("p", "approved") };
                    for record in [base, auth, revocation, granted] {
                        engine.observe(&Record { index, ..record }, &mut alerts).unwrap();
                        index += 1;
                    }
                }
            }
        }
        let restored = Engine::restore(&engine.snapshot(), settings).unwrap();
        assert_eq!(restored.snapshot(), engine.snapshot());
    }
}

#[test]
fn unvalidated_settings_are_useless_but_safe() {
    let settings: Settings = serde_json::from_str(
        r#"{"buckets":0,"quiet_windows":-1,"entities_max":0,"episodes_open_max":0,"skew_max_s":-9223372036854775808,
            "auth_failure_burst":{"failures_min":0,"window_s":-1},"denial_ratio_ceiling":{"window_s":-9223372036854775808},
            "revoked_credential_use":{"credentials_max":0,"uses_max":0},"p95_latency_ceiling":{"calls_min":0,"latency_max_us":-1}}"#,
    )
    .unwrap();
    assert!(settings.validate().is_err());
    let mut engine = Engine::new("acme", settings);
    for index in 0..200 {
        let record = Record { index, time_us: index, ingest_time_us: index, latency_us: Some(1), ..write() };
        engine.observe(&Record { credential_id: Some("k"), ..record }, &mut Vec::new()).unwrap();
        // The same index again is ignored.
        engine.observe(&Record { index, ..login(false) }, &mut Vec::new()).unwrap();
    }
}

#[test]
fn gaps_are_refused_and_repeats_ignored() {
    let mut engine = Engine::new("acme", Settings::default());
    let mut alerts = Vec::new();
    let found = engine.observe(&Record { index: 3, ..write() }, &mut alerts);
    assert_eq!(found, Err(Error::Gap { expected: 0, found: 3 }));
    engine.observe(&Record { index: 0, ..write() }, &mut alerts).unwrap();
    let snapshot = engine.snapshot();
    engine.observe(&Record { index: 0, ..write() }, &mut alerts).unwrap();
    engine.observe(&Record { index: -1, time_us: i64::MAX, ..write() }, &mut alerts).unwrap();
    assert_eq!((alerts.len(), engine.next_index()), (1, 1));
    assert_eq!(engine.snapshot(), snapshot);
    assert_eq!(Engine::starting_at("acme", Settings::default(), 77).next_index(), 77);
}

#[test]
fn sql_and_sentences_survive_hostile_names() {
    let mut log = Stream::new(Settings::default());
    log.add(Record { agent_id: Some("'; DROP TABLE events; --\n\u{1b}[2J"), ..write() });
    let alert = &log.alerts[0];
    assert!(alert.query.contains("agent_id = '''; DROP TABLE events; --\n"), "{}", alert.query);
    assert!(!alert.explanation.chars().any(char::is_control));
}

#[test]
fn failures_spread_over_the_past_are_a_burst() {
    // A year of them, one every two minutes; and as many as are no burst beside those that are dated back a little.
    let mut log = Stream::new(Settings::default());
    log.add(call());
    (0..40).for_each(|number| log.add_at(login(false), START_US - number * 120 * MINUTE_US));
    assert_eq!(log.states("auth_failure_burst").first(), Some(&State::Open));
    let mut log = Stream::new(Settings::default());
    for number in 0..30 {
        log.wait(9 * SECOND_US);
        log.add(login(false));
        if number >= 20 {
            log.add_at(login(false), START_US - 5 * MINUTE_US);
        }
    }
    assert_eq!(log.states("auth_failure_burst").first(), Some(&State::Open));
    // However they are spread: six a minute for ten minutes are none, and many more are.
    for (each, is_burst) in [(1, false), (3, true)] {
        let mut log = Stream::new(Settings::default());
        for number in 0..60_i64 {
            log.wait(10 * SECOND_US);
            for more in 0..each {
                let back_us = (number * 7 + more * 29) % 60 * 10 * SECOND_US;
                log.add_at(login(false), log.now_us - if each == 1 { 0 } else { back_us });
            }
        }
        assert_eq!(log.of("auth_failure_burst").count() > 0, is_burst, "{each}");
    }
}

#[test]
fn failures_that_are_waited_for_long_are_kept_no_longer_than_so_many_windows() {
    let mut settings = Settings { lateness_s: 86_400, ..Settings::default() };
    settings.disabled = engine::RULE_IDS.iter().map(|rule| (*rule).to_owned()).collect();
    settings.disabled.remove("auth_failure_burst");
    let mut log = Stream::new(settings);
    log.add(call());
    // One every two minutes through a day that is past, the last ones first.
    (0..720).for_each(|number| log.add_at(login(false), START_US - number * 120 * SECOND_US));
    assert!(log.is_quiet());
    let kept = log.engine.state_as_json().to_string().matches("placed_us").count();
    assert_eq!(kept, 160, "ten of each of sixteen windows");
}

#[test]
fn a_use_that_is_dated_before_the_revocation_is_told_when_it_comes_long_after() {
    let mut log = Stream::new(Settings::default());
    let used = Record { credential_id: Some("k"), ..call() };
    log.add(revoke("k"));
    log.wait(9 * MINUTE_US);
    log.add(call());
    log.add_at(used, START_US - MINUTE_US);
    assert!(log.is_quiet(), "late ones are waited for");
    log.wait(2 * MINUTE_US);
    log.add(call());
    log.add_at(used, START_US - MINUTE_US);
    let alert = log.of("revoked_credential_use").next().expect("no alert");
    assert_eq!((alert.severity, alert.confidence), (engine::Severity::Medium, engine::Confidence::Low));
    assert!(alert.explanation.contains("late, or dated back"), "{}", alert.explanation);
    log.add(used);
    let last = log.of("revoked_credential_use").last().unwrap();
    assert_eq!((last.severity, last.confidence), (engine::Severity::Critical, engine::Confidence::High));
}
