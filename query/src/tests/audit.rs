//! What the access log says.

use std::sync::atomic::Ordering;

use schemas::limits::QUERY_REFUSED_RECORDED_MAX;
use schemas::principal::Role;

use super::fixture::{World, ask, ask_as, counted, principal};
use crate::{Access, Error, Request, Status};

#[tokio::test]
async fn a_query_is_an_intent_and_an_outcome() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let sql = "SELECT event_id FROM events WHERE user_id = 'AKIAIOSFODNN7EXAMPLE' OR log_index < 3";
    ask_as(&query, Role::Auditor, sql).await.unwrap();
    query.finished().await;
    let entries = world.entries();
    assert_eq!(entries.len(), 2, "{entries:#?}");
    let (intent, outcome) = (&entries[0], &entries[1]);
    for (column, expected) in [
        ("phase", "intent"),
        ("event_id", "q-1-intent"),
        ("kind", "query"),
        ("action", "sql"),
        ("principal", "t-auditor"),
        ("session_id", "t-auditor"),
        ("role", "auditor"),
        ("tenant", "default"),
        ("source", "http/t-auditor/sql/1"),
        ("source_ip", "192.0.2.1"),
        ("door", "http"),
        ("decision", "allow"),
        ("status", "pending"),
        ("snapshot", r#"{"events":[100,100,110],"alerts":[0,0,0],"access":[0,0,0]}"#),
    ] {
        assert_eq!(intent[column], expected, "{column}");
    }
    assert!(!intent["statement"].contains("AKIAIOSFODNN7EXAMPLE"), "{}", intent["statement"]);
    assert!(intent["redactions"].contains(":1"), "{}", intent["redactions"]);
    for (column, expected) in [
        ("phase", "outcome"),
        ("query_id", "q-1"),
        ("decision", "allow"),
        ("status", "ok"),
        ("rows", "3"),
        ("bytes", "92"),
    ] {
        assert_eq!(outcome[column], expected, "{column}");
    }
    assert!(outcome["duration_us"].parse::<i64>().unwrap() > 0);
}

#[tokio::test]
async fn failures_refusals_and_departures_are_told_apart() {
    let world = World::with_events(20_000, 10_000, 10);
    let query = world.query();
    ask(&query, "SELECT 1 / 0").await.unwrap_err();
    ask(&query, "DROP TABLE events").await.unwrap_err();
    let request = Request { sql: "SELECT * FROM events".to_string(), ..Request::default() };
    let mut answer = query.sql(&principal(Role::Admin), request).await.unwrap();
    answer.next().await.unwrap().unwrap();
    drop(answer);
    query.finished().await;
    let seen: Vec<String> = world
        .entries()
        .iter()
        .map(|entry| {
            let code = entry.get("error_code").map_or("-", String::as_str);
            format!(
                "{} {} {} {} {code}",
                entry["query_id"], entry["phase"], entry["decision"], entry["status"]
            )
        })
        .collect();
    let expected = [
        "q-1 intent allow pending -",
        "q-1 outcome allow error execution",
        "q-2 outcome deny error statement_not_allowed",
        "q-3 intent allow pending -",
        "q-3 outcome allow cancelled -",
    ];
    assert_eq!(seen, expected);
    assert_eq!(world.entries()[2]["statement"], "DROP TABLE events");
}

#[tokio::test]
async fn nothing_is_answered_when_it_cannot_be_recorded() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    world.refusing.store(true, Ordering::Relaxed);
    for sql in ["SELECT 1", "DROP TABLE events"] {
        let error = ask(&query, sql).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("unaudited", 503), "{sql}");
    }
}

#[tokio::test]
async fn other_actions_are_recorded_and_long_texts_cut() {
    let world = World::empty();
    let query = world.query();
    let who = principal(Role::Admin);
    let long = "é".repeat(10_000);
    let access =
        Access { statement: Some(&long), ..Access::outcome(&who, "q-77", "token_create", Status::Ok) };
    query.access().record(access).await.unwrap();
    let error = Error::Forbidden("x".repeat(5000));
    query.access().record(Access::refusal(&who, "q-78", "login", &error)).await.unwrap();
    let entries = world.entries();
    assert_eq!(entries[0]["action"], "token_create");
    assert_eq!(entries[0]["statement"].len(), 16_384);
    assert_eq!(entries[0]["cut"], r#"["statement"]"#);
    assert_eq!(entries[1]["cut"], r#"["detail"]"#);
    assert_eq!(entries[1]["decision"], "deny");
}

#[tokio::test]
async fn whatever_is_refused_before_planning_is_on_the_log() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let many = format!("SELECT 1 FROM events{}", ", events".repeat(100));
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    let refused = [
        ("SELEC 1", "syntax"),
        ("SELECT 1 FROM events WHERE )", "syntax"),
        ("SELECT 'open", "syntax"),
        ("", "statement_count"),
        ("SELECT 1; SELECT 2", "statement_count"),
        (many.as_str(), "too_many_tables"),
        (&long, "too_large"),
        ("EXPLAIN SELECT 1", "forbidden"),
        ("SELECT * FROM information_schema.tables", "plan"),
        ("SELECT * FROM read_parquet('x')", "function_not_allowed"),
    ];
    for (sql, code) in refused {
        assert_eq!(ask_as(&query, Role::Auditor, sql).await.unwrap_err().code(), code, "{sql}");
    }
    query.finished().await;
    let entries = world.entries();
    let seen: Vec<(&str, &str, &str, &str)> = entries
        .iter()
        .map(|entry| {
            let of = |name: &str| entry.get(name).map_or("-", String::as_str);
            (of("phase"), of("decision"), of("status"), of("error_code"))
        })
        .collect();
    let expected: Vec<_> = refused.iter().map(|(_, code)| ("outcome", "deny", "error", *code)).collect();
    assert_eq!(seen, expected);
    assert_eq!(entries[0]["statement"], "SELEC 1");
}

/// However often someone asks for what is refused, the disk does not fill, no refusal is forgotten, and all else is on record
/// as ever.
#[tokio::test]
async fn a_flood_of_refusals_is_a_few_entries_and_their_sum() {
    const ALLOWED: usize = QUERY_REFUSED_RECORDED_MAX as usize + 5;
    let world = World::with_events(10, 10, 0);
    let query = world.query();
    for number in 0..2_000 {
        let (sql, code) = match number % 4 {
            3 => (format!("SELEKT {number}"), "syntax"),
            _ => (format!("DROP TABLE events_{number}"), "statement_not_allowed"),
        };
        assert_eq!(ask_as(&query, Role::Auditor, &sql).await.unwrap_err().code(), code);
    }
    for _ in 0..ALLOWED {
        ask_as(&query, Role::Auditor, "SELECT 1").await.unwrap();
    }
    ask_as(&query, Role::Responder, "DROP TABLE events").await.unwrap_err();
    query.finished().await;
    let entries = world.entries();
    let of = |role: &str, decision: &str| {
        let is_so = |entry: &&_| {
            let entry: &std::collections::BTreeMap<String, String> = entry;
            entry["role"] == role && entry["decision"] == decision
        };
        entries.iter().filter(is_so).collect::<Vec<_>>()
    };
    let refused = of("auditor", "deny");
    assert_eq!(refused.len(), QUERY_REFUSED_RECORDED_MAX as usize + 1, "entries for 2,000 refusals");
    assert_eq!(refused.iter().map(|entry| counted(entry)).sum::<u64>(), 2_000);
    let sum = refused.last().unwrap();
    for (column, expected) in [
        ("event_id", format!("{}-outcome", sum["query_id"]).as_str()),
        ("principal", "t-auditor"),
        ("action", "sql"),
        ("door", "http"),
        ("source_ip", "192.0.2.1"),
        ("status", "error"),
        ("error_code", "several"),
    ] {
        assert_eq!(sum[column], expected, "{column}");
    }
    assert!(sum["detail"].starts_with("1980 more refusals between 2026-11-20T00:00:"), "{}", sum["detail"]);
    assert!(sum["detail"].ends_with(": statement_not_allowed 1485, syntax 495"), "{}", sum["detail"]);
    assert!(!sum.contains_key("statement"));
    assert_eq!(of("auditor", "allow").len(), 2 * ALLOWED, "an intent and an outcome each");
    let other = of("responder", "deny");
    assert_eq!((other.len(), other[0]["statement"].as_str()), (1, "DROP TABLE events"));
    query.finished().await;
    assert_eq!(world.entries().len(), entries.len(), "a sum is recorded once");
}
