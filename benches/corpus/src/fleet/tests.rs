//! What the demo relies on, over many seeds and hours.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::parse_rfc3339;
use crate::tests::is_unapproved_write;

const NOON: &str = "2026-03-04T12:00:00.5Z";

fn scripts() -> Vec<(u64, Script, Vec<Value>)> {
    let noon_us = parse_rfc3339(NOON).unwrap();
    (0..12)
        .map(|seed| {
            // Also at night and across midnight.
            let now_us = noon_us + seed * 7 * HOUR_US;
            let script = Script::new(seed, now_us).unwrap();
            let events = script.events().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            (now_us, script, events)
        })
        .collect()
}

fn time_us(event: &Value) -> u64 {
    parse_rfc3339(event["time"].as_str().unwrap()).unwrap()
}

#[test]
fn two_hours_of_twelve_agents_in_order_up_to_now() {
    for (now_us, _, events) in scripts() {
        assert!((2_000..4_000).contains(&events.len()), "{}", events.len());
        assert!(events.is_sorted_by_key(time_us));
        assert!(time_us(&events[0]) >= now_us - SPAN_US - 1_000);
        let last_us = time_us(&events[events.len() - 1]);
        assert!(last_us < now_us && last_us > now_us - MINUTE_US);
        let agents: BTreeSet<&str> = events.iter().filter_map(|event| event["agent_id"].as_str()).collect();
        assert_eq!(agents.len(), 12, "{agents:?}");
        let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["event_id"].as_str()).collect();
        assert_eq!(ids.len(), events.len());
    }
}

#[test]
fn the_same_seed_and_time_give_the_same_script() {
    let now_us = parse_rfc3339(NOON).unwrap();
    let script = Script::new(4, now_us).unwrap();
    assert_eq!(script.events(), Script::new(4, now_us).unwrap().events());
    assert_ne!(script.secret(), Script::new(5, now_us).unwrap().secret());
    assert!(Script::new(4, SPAN_US - 1).is_err() && Script::new(4, TIME_US_MAX).is_err());
}

#[test]
fn twelve_logins_fail_from_one_address_and_the_next_succeeds() {
    for (_, script, events) in scripts() {
        let logins: Vec<&Value> = events
            .iter()
            .filter(|event| event["source_ip"] == "198.51.100.23" && event["method"] == "login")
            .collect();
        assert_eq!(logins.len(), 13);
        let (failed, success) = (&logins[..12], logins[12]);
        assert!(failed.iter().all(|event| event["kind"] == "auth" && event["status"] == "denied"));
        assert!(time_us(failed[11]) - time_us(failed[0]) < 60_000_000);
        let users: BTreeSet<&str> = failed.iter().filter_map(|event| event["user_id"].as_str()).collect();
        assert!(users.len() > 3);
        assert_eq!(success["status"], "ok");
        assert_eq!(success["session_id"], script.incident_session());
        assert_eq!(success["credential_id"], script.incident_credential());
    }
}

#[test]
fn the_credential_is_revoked_and_used_two_minutes_later() {
    for (_, script, events) in scripts() {
        let with_credential: Vec<&Value> =
            events.iter().filter(|event| event["credential_id"] == script.incident_credential()).collect();
        let revoked = with_credential.iter().position(|event| event["method"] == "revoke").unwrap();
        assert_eq!(with_credential[revoked]["kind"], "auth");
        let used = with_credential[revoked + 1];
        assert_eq!((&used["method"], &used["decision"]), (&"tools/call".into(), &"allow".into()));
        assert_eq!(time_us(used) - time_us(with_credential[revoked]), 2 * MINUTE_US);
        assert_eq!(used["session_id"], script.incident_session());
    }
}

#[test]
fn one_write_is_unapproved_and_it_is_the_refund() {
    for (now_us, script, events) in scripts() {
        let unapproved: Vec<&Value> = events.iter().filter(|event| is_unapproved_write(event)).collect();
        assert_eq!(unapproved.len(), 1);
        let refund = unapproved[0];
        for (key, value) in [
            ("server", "payments-mcp"),
            ("capability", "issue_refund"),
            ("action", "write"),
            ("risk", "critical"),
            ("decision", "allow"),
            ("status", "ok"),
            ("session_id", script.incident_session()),
            ("agent_id", script.incident_agent()),
        ] {
            assert_eq!(refund[key], value, "{key}");
        }
        assert!(refund.get("approval_id").is_none() && refund.get("approver").is_none());
        assert!(now_us - time_us(refund) < 10 * MINUTE_US);
    }
}

#[test]
fn the_session_reads_the_runbook_and_is_denied_before_it_writes() {
    for (_, script, events) in scripts() {
        let session: Vec<&Value> =
            events.iter().filter(|event| event["session_id"] == script.incident_session()).collect();
        let place = |found: &dyn Fn(&Value) -> bool| session.iter().position(|event| found(event)).unwrap();
        let runbook =
            place(&|event| event["result"].to_string().contains("ignore all previous instructions"));
        let denied = place(&|event| event["decision"] == "deny");
        let refund = place(&|event| event["capability"] == "issue_refund");
        assert!(runbook < denied && denied < refund);
        assert_eq!(session[runbook]["method"], "resources/read");
    }
}

#[test]
fn more_than_a_fifth_of_the_agents_calls_are_denied_and_nobody_elses() {
    for (now_us, script, events) in scripts() {
        let agents: BTreeSet<&str> = events.iter().filter_map(|event| event["agent_id"].as_str()).collect();
        for agent in agents {
            let recent: Vec<&Value> = events
                .iter()
                .filter(|event| event["agent_id"] == agent && event["kind"] == "call")
                .filter(|event| time_us(event) + DENIALS_WINDOW_US >= now_us)
                .collect();
            let denied = recent.iter().filter(|event| event["decision"] == "deny").count();
            let is_burst = recent.len() >= 20 && denied * 5 > recent.len();
            assert_eq!(is_burst, agent == script.incident_agent(), "{agent}: {denied} of {}", recent.len());
        }
    }
}

#[test]
fn the_secret_is_in_one_argument_of_the_incident() {
    for (_, script, events) in scripts() {
        assert!(script.secret().starts_with("AKIA") && script.secret().len() == 20);
        for text in [script.secret(), script.password()] {
            let carriers: Vec<usize> =
                (0..events.len()).filter(|&place| script.events()[place].contains(text)).collect();
            assert_eq!(carriers.len(), 1);
            let carrier = &events[carriers[0]];
            assert!(carrier["arguments"].to_string().contains(text));
            assert_eq!(carrier["session_id"], script.incident_session());
            assert_eq!(carrier["arguments"]["password"], script.password());
        }
    }
}

#[test]
fn the_story_is_in_order_and_each_sentence_has_its_event() {
    for (_, script, events) in scripts() {
        assert_eq!(script.story().len(), 9);
        assert!(script.story().is_sorted_by_key(|beat| beat.time_us));
        for beat in script.story() {
            assert!(!beat.what.contains(script.secret()) && !beat.what.contains(script.password()));
            let event = events.iter().find(|event| event["event_id"] == beat.event_id.as_str()).unwrap();
            assert_eq!(time_us(event), beat.time_us / 1_000 * 1_000);
        }
    }
}
