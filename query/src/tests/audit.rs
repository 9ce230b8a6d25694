//! What the access log says.

use std::sync::atomic::Ordering;

use schemas::principal::Role;

use super::fixture::{World, ask, ask_as, principal};
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
