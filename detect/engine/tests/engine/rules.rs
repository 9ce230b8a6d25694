//! Each rule fires, does not fire just below, collapses a flood to one episode, and closes.

use engine::{Alert, Record, Settings, Severity, State};

use crate::stream::{MINUTE_US, SECOND_US, START_US, Stream, approval, call, login, revoke, write};

fn stream() -> Stream {
    Stream::new(Settings::default())
}

/// An episode as it must look: one id, sequences 0.., updates at powers of two, closed once at the end.
pub fn assert_one_episode(alerts: &[&Alert], count: i64) {
    assert_eq!(alerts.first().map(|alert| alert.state), Some(State::Open));
    assert_eq!(alerts.last().map(|alert| (alert.state, alert.count)), Some((State::Closed, count)));
    let sequences: Vec<i64> = alerts.iter().map(|alert| alert.sequence).collect();
    assert_eq!(sequences, (0..alerts.len() as i64).collect::<Vec<_>>());
    assert!(alerts.iter().all(|alert| alert.alert_id == alerts[0].alert_id && alert.alert_id.len() == 32));
    assert!(alerts.len() <= 3 + count.ilog2() as usize, "{} alerts for {count} offences", alerts.len());
    assert!(alerts.iter().all(|alert| alert.evidence.is_sorted() && alert.evidence.len() <= 32));
}

mod unapproved_high_risk_write {
    use super::*;

    const RULE: &str = "unapproved_high_risk_write";

    #[test]
    fn one_is_enough() {
        let mut log = stream();
        log.add(write());
        let [alert] = &log.alerts[..] else { panic!("{:#?}", log.alerts) };
        assert_eq!(
            (alert.rule_id.as_str(), alert.state, alert.severity),
            (RULE, State::Open, Severity::Critical)
        );
        assert_eq!(
            (alert.entity_type.as_str(), alert.entity.as_str()),
            ("principal_tool", "a-1/github/merge")
        );
        assert_eq!(
            (alert.evidence.as_slice(), alert.count, alert.position, alert.ordinal),
            (&[0][..], 1, 0, 0)
        );
        assert_eq!(alert.observables, ["agent_id=a-1", "server=github", "capability=merge"]);
        assert_eq!(alert.environment.as_deref(), Some("production"));
        assert!(alert.query.contains("agent_id = 'a-1' AND server = 'github'"), "{}", alert.query);
    }

    #[test]
    fn what_does_not_count() {
        let mut log = stream();
        for record in [
            Record { action: Some("execute"), ..write() },
            Record { risk: Some("medium"), ..write() },
            Record { risk: None, ..write() },
            Record { decision: "deny", ..write() },
            Record { status: "denied", ..write() },
            Record { status: "pending", ..write() },
            Record { decision: "require_approval", status: "error", ..write() },
            Record { kind: "output", ..write() },
            Record { control: true, ..write() },
            Record {
                approval_id: Some("p"),
                approval_status: Some("approved"),
                approver: Some("boss"),
                ..write()
            },
        ] {
            log.add(record);
        }
        assert!(log.is_quiet(), "{:#?}", log.alerts);
    }

    #[test]
    fn what_counts() {
        for record in [
            Record { action: Some("destructive"), decision: "none", ..write() },
            Record { action: Some("admin"), risk: Some("critical"), decision: "constrain", ..write() },
            Record { decision: "require_approval", ..write() },
            Record { status: "error", ..write() },
            Record { agent_id: None, user_id: None, server: None, ..write() },
            Record { approval_id: Some("p"), ..write() },
            Record { approval_id: Some("p"), approval_status: Some("requested"), ..write() },
            Record {
                approval_id: Some("p"),
                approval_status: Some("approved"),
                approver: Some("u-1"),
                ..write()
            },
            Record {
                approval_id: Some("p"),
                approval_status: Some("approved"),
                approver: Some(" A-1"),
                ..write()
            },
        ] {
            let mut log = stream();
            log.add(record);
            assert_eq!(log.states(RULE), [State::Open], "{record:?}");
        }
    }

    #[test]
    fn the_log_is_asked_for_the_approval() {
        let asks = Record { approval_id: Some("p"), request_hash: Some("h"), ..write() };
        let fires = |approvals: &[Record<'_>], record: Record<'_>| {
            let mut log = stream();
            for approval in approvals {
                log.add(*approval);
                log.wait(SECOND_US);
            }
            log.add(record);
            !log.is_quiet()
        };
        let (requested, approved) = (approval("p", "requested"), approval("p", "approved"));
        assert!(!fires(&[requested, approved], asks));
        assert!(!fires(&[approved, requested], asks), "a decision stands whatever the order");
        assert!(fires(&[requested], asks));
        assert!(fires(&[approval("q", "approved")], asks));
        assert!(fires(&[approved, approval("p", "expired")], asks));
        assert!(!fires(&[approval("p", "rejected"), approved], asks), "asked again and granted");
        assert!(fires(&[Record { request_hash: Some("other"), ..approved }], asks));
        assert!(fires(&[Record { request_hash: Some("other"), ..requested }, approved], asks));
        assert!(!fires(&[Record { request_hash: Some("h"), ..approved }], asks));
        assert!(fires(&[Record { approver: Some("u-1"), ..approved }], asks), "approved by who acts");
        let claims = Record { approval_status: Some("approved"), ..asks };
        assert!(!fires(&[], claims));
        assert!(fires(&[approval("p", "rejected")], claims), "the log contradicts the call");
    }

    #[test]
    fn observations_of_one_call_are_one_call() {
        let mut log = stream();
        let gateway = Record {
            call_id: Some("c"),
            approval_id: Some("p"),
            approval_status: Some("approved"),
            ..write()
        };
        let server = Record { call_id: Some("c"), decision: "none", agent_id: None, ..write() };
        log.add(gateway);
        log.add(server);
        assert!(log.is_quiet());
        log.add(Record { agent_id: Some("a-2"), ..server });
        assert_eq!(log.states(RULE), [State::Open], "the call of another agent is no cover");
        log.add(Record { capability: Some("delete"), ..server });
        assert_eq!(log.of(RULE).count(), 2, "nor is it one for another tool");
        log.add(gateway);
        for _ in 0..4 {
            log.add(server);
        }
        assert_eq!(log.of(RULE).count(), 3, "an approval covers four observations, not a fifth");
    }

    #[test]
    fn a_flood_is_one_episode_that_closes() {
        let mut log = stream();
        for _ in 0..1_000 {
            log.add(write());
            log.wait(SECOND_US);
        }
        log.wait(-SECOND_US);
        log.tick(45 * MINUTE_US);
        assert_eq!(log.of(RULE).filter(|alert| alert.state == State::Closed).count(), 0);
        log.tick(1);
        let alerts: Vec<&Alert> = log.of(RULE).collect();
        assert_one_episode(&alerts, 1_000);
        assert_eq!(alerts.last().unwrap().evidence.len(), 32);
        log.add(write());
        let reopened = log.alerts.last().unwrap();
        assert_eq!(reopened.state, State::Open);
        assert_ne!(reopened.alert_id, log.alerts[0].alert_id);
    }
}

mod auth_failure_burst {
    use super::*;

    const RULE: &str = "auth_failure_burst";

    fn fail(log: &mut Stream, count: i64, spread_us: i64) {
        for failure in 0..count {
            log.now_us = START_US + failure * spread_us / (count - 1).max(1);
            log.add(login(false));
        }
    }

    #[test]
    fn ten_in_a_minute() {
        let mut log = stream();
        fail(&mut log, 10, MINUTE_US);
        assert_eq!(log.states(RULE), [State::Open]);
        let alert = &log.alerts[0];
        assert_eq!(
            (alert.severity, alert.count, alert.observed, alert.expected),
            (Severity::High, 10, Some(10), Some(10))
        );
        assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("source", "192.0.2.1"));
        assert_eq!(alert.evidence, (0..10).collect::<Vec<_>>());
        assert!(alert.explanation.contains("1 user"), "{}", alert.explanation);
    }

    #[test]
    fn just_below() {
        let mut log = stream();
        fail(&mut log, 9, SECOND_US);
        log.wait(MINUTE_US);
        log.add(login(false));
        assert_eq!(log.of(RULE).count(), 0, "nine in a minute and one after it");
        let mut log = stream();
        fail(&mut log, 10, MINUTE_US + 1);
        assert_eq!(log.of(RULE).count(), 0, "ten in a little more than a minute");
        let mut log = stream();
        for address in 0..100 {
            log.add(Record { source_ip: Some(&format!("192.0.2.{address}")), ..login(false) });
        }
        for _ in 0..20 {
            log.add(Record { status: "error", ..revoke("k") });
            log.add(Record { status: "pending", ..login(false) });
        }
        assert_eq!(log.of(RULE).count(), 0);
    }

    #[test]
    fn order_of_arrival_does_not_matter_and_users_are_counted() {
        let mut log = stream();
        log.now_us += 10 * MINUTE_US;
        for second in [40, 3, 17, 8, 22, 59, 1, 33, 12, 27] {
            let user = format!("u-{}", second % 7);
            log.add_at(Record { user_id: Some(&user), ..login(false) }, START_US + second * SECOND_US);
        }
        assert_eq!(log.states(RULE), [State::Open]);
        assert!(log.alerts[0].explanation.contains("4 distinct users"), "{}", log.alerts[0].explanation);
        assert_eq!(log.alerts[0].first_seen_us, START_US + SECOND_US);
    }

    #[test]
    fn a_success_within_ten_minutes_is_critical() {
        let mut log = stream();
        fail(&mut log, 10, SECOND_US);
        log.wait(10 * MINUTE_US);
        log.add(Record { source_ip: Some("198.51.100.1"), ..login(true) });
        assert_eq!(log.states(RULE), [State::Open], "a success elsewhere says nothing");
        log.add(login(true));
        assert_eq!(log.states(RULE), [State::Open, State::Updated]);
        assert_eq!(log.alerts.last().unwrap().severity, Severity::Critical);
        assert!(log.alerts.last().unwrap().explanation.contains("succeeded"));

        let mut log = stream();
        fail(&mut log, 10, SECOND_US);
        log.wait(10 * MINUTE_US + 1);
        log.add(login(true));
        assert!(log.of(RULE).all(|alert| alert.severity == Severity::High), "too late");
    }

    #[test]
    fn a_flood_is_one_episode_that_closes() {
        let mut log = stream();
        fail(&mut log, 500, 100 * SECOND_US);
        log.tick(10 * MINUTE_US + 1);
        assert_one_episode(&log.of(RULE).collect::<Vec<_>>(), 500);
    }

    #[test]
    fn without_an_address_the_client_stands() {
        let mut log = stream();
        for _ in 0..10 {
            log.add(Record { source_ip: None, ..login(false) });
        }
        assert_eq!(log.alerts[0].observables, ["client=client/1"]);
    }
}

mod revoked_credential_use {
    use super::*;

    const RULE: &str = "revoked_credential_use";

    fn used(credential: &str) -> Record<'_> {
        Record { credential_id: Some(credential), ..call() }
    }

    #[test]
    fn a_use_after_the_revocation() {
        let mut log = stream();
        log.add(used("k"));
        log.add(revoke("k"));
        log.add(used("k"));
        log.add(used("other"));
        log.add_at(used("k"), log.now_us - 1);
        assert!(log.is_quiet(), "the same microsecond and before are not after");
        log.wait(1);
        log.add(used("k"));
        let [alert] = &log.alerts[..] else { panic!("{:#?}", log.alerts) };
        assert_eq!((alert.rule_id.as_str(), alert.severity), (RULE, Severity::Critical));
        assert_eq!(alert.evidence, [1, 5]);
        assert_eq!(alert.observables, ["credential_id=k"]);
    }

    #[test]
    fn a_refused_use_is_less_and_rises_when_accepted() {
        let mut log = stream();
        log.add(revoke("k"));
        log.wait(SECOND_US);
        log.add(Record { status: "denied", ..used("k") });
        assert_eq!(log.alerts[0].severity, Severity::Medium);
        log.add(Record { credential_id: Some("k"), ..login(false) });
        log.add(Record { error_class: Some("auth"), status: "error", ..used("k") });
        assert_eq!(log.alerts.last().unwrap().severity, Severity::Medium);
        log.add(Record { credential_id: Some("k"), ..login(true) });
        assert_eq!(log.alerts.last().unwrap().severity, Severity::Critical, "a login does not resurrect it");
        log.add(used("k"));
        assert!(log.of(RULE).all(|alert| alert.alert_id == log.alerts[0].alert_id));
    }

    #[test]
    fn what_does_not_count() {
        let mut log = stream();
        log.add(Record { status: "error", ..revoke("failed") });
        log.add(Record { decision: "deny", ..revoke("denied") });
        log.add(revoke("k"));
        log.wait(SECOND_US);
        for credential in ["failed", "denied"] {
            log.add(used(credential));
        }
        log.add(revoke("k"));
        log.add(Record { kind: "output", ..used("k") });
        log.add(Record { kind: "session", method: Some("end"), ..used("k") });
        assert!(log.is_quiet(), "{:#?}", log.alerts);
    }

    #[test]
    fn a_revocation_that_arrives_after_the_use() {
        let mut log = stream();
        log.add(used("k"));
        log.wait(5 * MINUTE_US);
        log.add_at(revoke("k"), START_US - SECOND_US);
        let [alert] = &log.alerts[..] else { panic!("{:#?}", log.alerts) };
        assert_eq!((alert.severity, alert.evidence.as_slice()), (Severity::Critical, &[0, 1][..]));
        assert_eq!((alert.first_seen_us, alert.last_seen_us), (START_US, START_US));
        log.add_at(revoke("k"), START_US - SECOND_US);
        assert_eq!(log.alerts.len(), 1, "the same use is not judged twice");
    }

    #[test]
    fn a_flood_is_one_episode_that_closes() {
        let mut log = stream();
        log.add(revoke("k"));
        log.wait(1);
        for _ in 0..300 {
            log.add(used("k"));
        }
        log.tick(45 * MINUTE_US + 1);
        assert_one_episode(&log.of(RULE).collect::<Vec<_>>(), 300);
    }
}

#[test]
fn a_disabled_rule_is_silent() {
    let mut log = Stream::new(Settings {
        disabled: ["unapproved_high_risk_write".to_owned()].into(),
        ..Settings::default()
    });
    log.add(write());
    assert!(log.is_quiet());
}

#[test]
fn alerts_of_one_record_are_ordered() {
    let mut log = Stream::new(Settings { ceiling_chance_ppm: 1_000_000, ..Settings::default() });
    for _ in 0..20 {
        log.add(Record { credential_id: Some("k"), latency_us: Some(1), ..call() });
    }
    log.add(revoke("k"));
    log.wait(1);
    log.add(Record { credential_id: Some("k"), ..write() });
    let order: Vec<(&str, i64)> =
        log.alerts.iter().map(|alert| (alert.rule_id.as_str(), alert.ordinal)).collect();
    assert_eq!(order, [("unapproved_high_risk_write", 0), ("revoked_credential_use", 1)]);
    let json = serde_json::to_string(&log.alerts).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Alert>>(&json).unwrap(), log.alerts);
}
