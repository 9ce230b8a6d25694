//! What holds for every corpus, read back with another JSON parser.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Decision, Events, Kind, Options, Season, generate, parse_rfc3339};

/// FNV-1a with 64 bits, enough to notice a changed byte.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn written(options: &Options) -> Vec<u8> {
    let mut bytes = Vec::new();
    generate(options, &mut bytes).unwrap();
    bytes
}

fn parsed(options: &Options) -> Vec<Value> {
    Events::new(options).unwrap().map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or("")
}

pub(crate) fn is_high_risk_write(event: &Value) -> bool {
    ["write", "destructive", "admin"].contains(&text(event, "action"))
        && ["high", "critical"].contains(&text(event, "risk"))
}

/// A high-risk write that was let through without an approval by somebody else.
pub(crate) fn is_unapproved_write(event: &Value) -> bool {
    let approved = text(event, "approval_status") == "approved"
        && !text(event, "approval_id").is_empty()
        && !text(event, "approver").is_empty()
        && event["approver"] != event["user_id"];
    event["kind"] == "call" && is_high_risk_write(event) && event["decision"] == "allow" && !approved
}

fn several() -> Vec<Options> {
    let base = Options { events: 6_000, ..Options::default() };
    vec![
        base.clone(),
        Options { seed: 77, tenants: 5, secret_ratio: 0.1, ..base.clone() },
        Options { sessions: 6_000, ..base.clone() },
        Options { sessions: 1, season: Season::Flat, span_us: 1_000_000, ..base.clone() },
        Options { users: 1, agents: 1, servers: 1, tools: 1, ..base.clone() },
        Options { users: 3_000, agents: 500, servers: 40, tools: 20, ..base },
    ]
}

/// The bytes are part of the benches' results: change the value only together with a note that old figures end here.
#[test]
fn the_default_corpus_is_the_same_on_every_machine() {
    let options = Options { events: 20_000, secret_ratio: 0.02, ..Options::default() };
    assert_eq!(format!("{:016x}", fnv(&written(&options))), GOLDEN);
    assert_ne!(written(&Options { seed: 2, ..options.clone() }), written(&options));
}

const GOLDEN: &str = "be8b34cf532b7cc0";

#[test]
fn the_iterator_and_the_writer_agree() {
    for options in several() {
        let lines: Vec<String> = Events::new(&options).unwrap().collect();
        assert_eq!(lines.join("\n") + "\n", String::from_utf8(written(&options)).unwrap());
    }
}

#[test]
fn counts_are_exact() {
    for events in [0, 1, 2, 19, 20, 21, 999] {
        for sessions in [0, 1.min(events), events / 2, events] {
            let options = Options { events, sessions, ..Options::default() };
            let mut bytes = Vec::new();
            let summary = generate(&options, &mut bytes).unwrap();
            assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count() as u64, events);
            assert_eq!((summary.events, summary.bytes), (events, bytes.len() as u64));
        }
    }
}

#[test]
fn the_summary_counts_what_the_lines_say() {
    for options in several() {
        let summary = generate(&options, &mut std::io::sink()).unwrap();
        let events = parsed(&options);
        for kind in Kind::ALL {
            let found = events.iter().filter(|event| event["kind"] == kind.name()).count();
            assert_eq!(summary.kind(kind), found as u64);
        }
        for decision in Decision::ALL {
            let found = events.iter().filter(|event| event["decision"] == decision.name()).count();
            assert_eq!(summary.decision(decision), found as u64);
        }
        let sessions: BTreeSet<&str> = events.iter().map(|event| text(event, "session_id")).collect();
        assert_eq!(summary.sessions, sessions.len() as u64);
        assert_eq!(summary.tenants.iter().sum::<u64>(), options.events);
        assert_eq!(summary.tenants.len(), options.tenants as usize);
        assert!(summary.tenants.iter().all(|&events| events > 0));
        assert!(summary.first_us >= options.start_us && summary.last_us < options.start_us + options.span_us);
    }
}

#[test]
fn times_never_decrease_and_lie_in_the_span() {
    for options in several() {
        let mut before_us = options.start_us / 1_000 * 1_000;
        for event in parsed(&options) {
            let time_us = parse_rfc3339(text(&event, "time")).unwrap();
            assert!(time_us >= before_us && time_us < options.start_us + options.span_us);
            before_us = time_us;
        }
    }
}

#[test]
fn event_ids_are_unique_uuids_of_version_seven() {
    let mut seen = BTreeSet::new();
    for event in parsed(&Options { events: 30_000, ..Options::default() }) {
        let id = text(&event, "event_id").to_owned();
        assert!(id.len() == 36 && id.as_bytes()[14] == b'7' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert!(seen.insert(id));
    }
}

#[test]
fn required_fields_are_there_and_the_collectors_are_not() {
    for options in several() {
        for event in parsed(&options) {
            for key in ["event_id", "time", "kind", "session_id", "decision", "status", "user_id", "agent_id"]
            {
                assert!(!text(&event, key).is_empty(), "{key}: {event}");
            }
            for key in ["tenant", "log_index", "ingest_time", "control", "payload_commitment", "source"] {
                assert!(event.get(key).is_none(), "{key}: {event}");
            }
        }
    }
}

#[test]
fn words_are_those_of_event_v1() {
    let allowed: [(&str, &[&str]); 10] = [
        ("kind", &["call", "list", "auth", "session", "approval"]),
        ("observer", &["gateway"]),
        ("decision", &["allow", "deny", "require_approval", "constrain", "none"]),
        ("decision_basis", &["explicit"]),
        ("status", &["ok", "error", "denied", "timeout", "cancelled", "pending"]),
        ("action", &["read", "write", "destructive", "execute", "admin"]),
        ("risk", &["low", "medium", "high", "critical"]),
        ("capability_type", &["tool", "resource", "prompt", "server"]),
        ("approval_status", &["requested", "approved", "rejected", "expired"]),
        ("error_class", &["tool", "auth", "policy", "timeout"]),
    ];
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for event in parsed(&Options { events: 40_000, ..Options::default() }) {
        for (key, words) in allowed {
            if let Some(word) = event.get(key) {
                assert!(words.contains(&word.as_str().unwrap()), "{key} = {word}");
                seen.entry(key).or_default().insert(word.to_string());
            }
        }
    }
    for (key, words) in allowed {
        assert_eq!(seen[key].len(), words.len(), "{key}: {:?}", seen[key]);
    }
}

/// Each high-risk write is requested, approved by another and called with the same arguments, once.
#[test]
fn high_risk_writes_are_approved_by_another_for_these_arguments_once() {
    for options in several() {
        let mut requested: BTreeMap<String, (Value, bool)> = BTreeMap::new();
        let mut calls = 0;
        for event in parsed(&options) {
            assert!(!is_unapproved_write(&event), "{event}");
            assert!(event["approver"].is_null() || event["approver"] != event["user_id"]);
            let Some(approval_id) = event["approval_id"].as_str() else { continue };
            match (text(&event, "kind"), text(&event, "approval_status")) {
                ("approval", "requested") => {
                    assert!(requested.insert(approval_id.to_owned(), (event, false)).is_none());
                }
                ("approval", "approved") => requested.get_mut(approval_id).unwrap().1 = true,
                ("approval", _) => assert!(requested.remove(approval_id).is_some()),
                ("call", "approved") => {
                    let (request, approved) = requested.remove(approval_id).unwrap();
                    assert!(approved);
                    for key in ["arguments", "request_hash", "server", "capability", "target", "session_id"] {
                        assert_eq!(request[key], event[key], "{key}");
                    }
                    calls += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(requested.is_empty(), "requests left open: {requested:?}");
        // A server with one tool has a read only; a session of one event has no room.
        if options.sessions < options.events {
            assert_eq!(calls > 0, options.tools > 1);
        }
    }
}

#[test]
fn a_session_has_one_user_one_agent_one_credential_and_ends_once() {
    let mut sessions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in parsed(&Options { events: 6_000, ..Options::default() }) {
        sessions.entry(text(&event, "session_id").to_owned()).or_default().push(event);
    }
    for events in sessions.values() {
        assert_eq!(text(&events[0], "method"), "login");
        for key in ["user_id", "agent_id", "source_ip"] {
            assert!(events.iter().all(|event| event[key] == events[0][key]), "{key}");
        }
        let credentials: BTreeSet<&str> =
            events.iter().filter_map(|event| event["credential_id"].as_str()).collect();
        assert!(credentials.len() <= 1);
        let ends = events.iter().filter(|event| text(event, "method") == "end").count();
        assert!(ends <= 1 && (ends == 1 || events.len() < 5), "{} events, {ends} ends", events.len());
        let last = &events[events.len() - 1];
        assert!(ends == 0 || text(last, "method") == "end", "{last}");
    }
}

#[test]
fn lines_have_the_size_of_real_ones() {
    for (seed, secret_ratio) in [(1, 0.0), (2, 0.0), (3, 0.02)] {
        let options = Options { events: 20_000, seed, secret_ratio, ..Options::default() };
        let average = written(&options).len() / 20_000;
        assert!((700..1_000).contains(&average), "{average} bytes");
    }
}

#[test]
fn secrets_come_at_their_ratio_and_only_then() {
    let looks_secret = |line: &String| {
        [
            "\"aws_access_key_id\"",
            "\"password\"",
            "ghp_",
            "\"authorization\"",
            "postgres://report:",
            "\"api_key\"",
        ]
        .iter()
        .any(|mark| line.contains(mark))
    };
    for (secret_ratio, per_mille) in [(0.0, 0..=0), (0.1, 85..=115), (1.0, 1_000..=1_000)] {
        let options = Options { events: 20_000, secret_ratio, ..Options::default() };
        let carriers: Vec<String> = Events::new(&options)
            .unwrap()
            .filter(|line| line.contains("\"tools/call\"") && line.contains("\"arguments\""))
            .collect();
        let secrets = carriers.iter().filter(|line| looks_secret(line)).count();
        assert!(per_mille.contains(&(secrets * 1_000 / carriers.len())), "{secrets} of {}", carriers.len());
        let summary = generate(&options, &mut std::io::sink()).unwrap();
        assert_eq!(summary.secrets, secrets as u64);
    }
}

#[test]
fn a_few_users_and_tools_do_most_of_the_work() {
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for event in parsed(&Options { events: 30_000, ..Options::default() }) {
        *users.entry(text(&event, "user_id").to_owned()).or_default() += 1;
    }
    let mut counts: Vec<u64> = users.into_values().collect();
    counts.sort_unstable_by(|left, right| right.cmp(left));
    let top: u64 = counts.iter().take(counts.len() / 10).sum();
    assert!(top * 10 > 30_000 * 4, "the top tenth has {top} of 30000");
}

#[test]
fn a_writer_that_fails_is_heard() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = generate(&Options { events: 1, ..Options::default() }, &mut Full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let error = generate(&Options { users: 0, ..Options::default() }, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
