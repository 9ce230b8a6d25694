//! Statements that would take for ever, or are large or deep: they end by their deadline, or before they cost anything.

use std::time::{Duration, Instant};

use super::{Log, ask, has, is_alive, port, psql, said, token};
use crate::support::{Service, event, eventually, request};

const DEADLINE: Duration = Duration::from_millis(2000);
/// How long after its deadline an answer may still come on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// 1.2e11 rows to look at: no machine is done with them by the deadline.
fn cross_join(mark: &str) -> String {
    let words = "(SELECT unnest(string_to_array(repeat('x,', 5000), ',')) AS u)";
    format!("SELECT count(*) FROM {words} a, {words} b, {words} c WHERE a.u || b.u || c.u = '{mark}'")
}

#[test]
fn what_takes_for_ever_ends_at_its_deadline() {
    let home = tempfile::tempdir().unwrap();
    let service =
        Service::start(home.path(), &[("TACHO_QUERY_DEADLINE_MS", "2000"), ("TACHO_PG", "127.0.0.1:0")]);
    let auditor = token(&service, "auditor");
    let begun = Instant::now();
    let answer = ask(&service, &auditor, &cross_join("case-http"));
    assert_eq!((answer.status, &answer.json()["code"]), (504, &"deadline".into()), "{}", answer.text());
    assert!((DEADLINE..DEADLINE + PATIENCE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let mut expected = vec![("http", "case-http")];
    if has("psql", "--version") {
        let begun = Instant::now();
        let said = said(&psql(port(&service), &auditor, &["-Atc", &cross_join("case-pg")]));
        assert!(said.contains("code: deadline\n"), "{said}");
        assert!((DEADLINE..DEADLINE + PATIENCE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        expected.push(("pg", "case-pg"));
    }
    eventually("others are answered again", || is_alive(&service, &auditor));
    let log = Log::read(&service);
    for (door, mark) in expected {
        assert_eq!(log.outcomes(door, mark), ["allow error deadline"], "{mark}");
    }
}

/// What is too long to be read has no statement on the access log, only that it came.
const UNREAD: &[(&str, &str)] =
    &[("http", "a body that was not read"), ("pg", "a message that was not read")];

#[test]
fn size_and_nesting_are_refused_before_they_cost_anything() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_PG", "127.0.0.1:0")]);
    let auditor = token(&service, "auditor");
    let huge = format!("SELECT 'case-huge{}'", "x".repeat(10 << 20));
    let statements = [
        ("case-long", format!("SELECT 'case-long{}'", "x".repeat(300_000)), "too_large"),
        (
            "case-nested",
            format!("SELECT /* case-nested */ {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
            "too_deep",
        ),
    ];
    for (_, sql, code) in &statements {
        let answer = ask(&service, &auditor, sql);
        assert!((400..500).contains(&answer.status), "{code}: {} {}", answer.status, answer.text());
        assert_eq!(answer.json()["code"], *code);
    }
    let bearer = format!("Bearer {auditor}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    let answer = request(&service.address, "POST", "/api/v1/sql", &headers, huge.as_bytes());
    assert!(answer.is_err() || answer.unwrap().status == 413);
    let over_pg = has("psql", "--version");
    if over_pg {
        let all = statements.iter().map(|(_, sql, code)| (sql, *code)).chain([(&huge, "too_large")]);
        for (sql, code) in all {
            let file = home.path().join("question.sql");
            std::fs::write(&file, format!("{sql};")).unwrap();
            let said = said(&psql(port(&service), &auditor, &["-At", "-f", file.to_str().unwrap()]));
            assert!(said.contains(&format!("code: {code}\n")), "{code}: {said}");
        }
    }
    let log = Log::read(&service);
    for (door, unread) in UNREAD.iter().filter(|(door, _)| over_pg || *door == "http") {
        for (mark, _, code) in &statements {
            assert_eq!(log.outcomes(door, mark), [format!("deny error {code}")], "{door} {mark}");
        }
        assert_eq!(log.outcomes(door, unread), ["deny error too_large"], "{door}");
        assert!(log.outcomes(door, "case-huge").is_empty(), "{door}");
    }
}

/// Not even an admin, who may have plans explained, has a change made under one.
#[test]
fn no_explanation_changes_anything() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_PG", "127.0.0.1:0")]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let over_pg = has("psql", "--version");
    let explained = [
        ("case-0", "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events /* case-0 */"),
        ("case-1", "EXPLAIN INSERT INTO events SELECT * FROM events /* case-1 */"),
        ("case-2", "EXPLAIN ANALYZE DELETE FROM events /* case-2 */"),
        ("case-3", "EXPLAIN ANALYZE COPY events TO '/tmp/case-3.parquet'"),
    ];
    for (_, sql) in explained {
        let answer = ask(&service, &service.token, sql);
        assert_eq!((answer.status, &answer.json()["code"]), (400, &"statement_not_allowed".into()), "{sql}");
        if over_pg {
            let said = said(&psql(port(&service), &service.token, &["-Atc", sql]));
            assert!(said.contains("code: statement_not_allowed\n"), "{sql}: {said}");
        }
    }
    let log = Log::read(&service);
    for (mark, sql) in explained {
        for door in ["http", "pg"].iter().filter(|door| over_pg || **door == "http") {
            assert_eq!(log.outcomes(door, mark), ["deny error statement_not_allowed"], "{door}: {sql}");
        }
    }
    assert_eq!(service.sql("SELECT event_id FROM events WHERE control IS NULL").len(), 1);
}
