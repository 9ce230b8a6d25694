//! Regular expressions that are made to cost much: they are refused, or answered by the deadline, and the service goes on.

use std::time::{Duration, Instant};

use super::{Log, ask, has, is_alive, port, psql, said, token};
use crate::support::{Service, event, eventually};

/// With the deadline of the service, and what a busy machine may add to it.
const PATIENCE: Duration = Duration::from_secs(12);
const MEMORY_KB_MAX: u64 = 2 << 20;

/// Ways to have a pattern looked for.
const WAYS: &[&str] = &[
    "regexp_like(SUBJECT, PATTERN)",
    "regexp_match(SUBJECT, PATTERN)",
    "SUBJECT ~ PATTERN",
    "SUBJECT !~* PATTERN",
];

/// Subject, pattern, and what the access log says became of it.
const BOMBS: &[(&str, &str, &str)] = &[
    ("event_id", "'((a{1,1000}){1,1000})'", "allow error execution"),
    ("event_id", "'((((a{1,30}){1,30}){1,30}){1,30})'", "allow error execution"),
    ("event_id", "repeat('a?', 500000)", "allow error answer_too_large"),
    ("repeat(substr('x' || event_id, 1, 1), 500000)", "'(x+x+)+y'", "allow ok -"),
    ("repeat(substr('x' || event_id, 1, 1), 500000)", "'^(x|x)*$'", "allow ok -"),
];

fn memory_kb(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn regex_bombs_are_refused_or_answered_by_the_deadline() {
    let home = tempfile::tempdir().unwrap();
    let service =
        Service::start(home.path(), &[("TACHO_QUERY_DEADLINE_MS", "5000"), ("TACHO_PG", "127.0.0.1:0")]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let auditor = token(&service, "auditor");
    let over_pg = has("psql", "--version");
    let mut expected = Vec::new();
    for (at, (subject, pattern, outcome)) in BOMBS.iter().enumerate() {
        for (way, template) in WAYS.iter().enumerate() {
            let mark = format!("case-{at}-{way}");
            let looked = template.replace("SUBJECT", subject).replace("PATTERN", pattern);
            let sql = format!("SELECT {looked} AS found FROM events /* {mark} */");
            let begun = Instant::now();
            let answer = ask(&service, &auditor, &sql);
            assert_ne!(answer.status, 500, "{sql}: {}", answer.text());
            assert_eq!(answer.status == 200, outcome.ends_with("ok -"), "{sql}: {}", answer.text());
            if over_pg {
                let asked = psql(port(&service), &auditor, &["-Atc", &sql]);
                assert_eq!(asked.status.success(), outcome.ends_with("ok -"), "{sql}: {}", said(&asked));
            }
            assert!(begun.elapsed() < PATIENCE, "{sql}: {:?}", begun.elapsed());
            expected.push((mark, *outcome, sql));
        }
    }
    assert!(is_alive(&service, &auditor));
    assert!(memory_kb(&service) < MEMORY_KB_MAX, "{}", memory_kb(&service));
    let log = Log::read(&service);
    for (mark, outcome, sql) in expected {
        for door in ["http", "pg"].iter().filter(|door| over_pg || **door == "http") {
            assert_eq!(log.outcomes(door, &mark), [outcome], "{door}: {sql}");
        }
    }
}

/// A pattern that a row makes is compiled to its end whatever the deadline is; its question ends all the same, and so does
/// what it holds.
#[test]
fn a_pattern_of_a_row_holds_nobody_for_longer_than_itself() {
    let home = tempfile::tempdir().unwrap();
    let service =
        Service::start(home.path(), &[("TACHO_QUERY_DEADLINE_MS", "1000"), ("TACHO_PG", "127.0.0.1:0")]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let auditor = token(&service, "auditor");
    let sql =
        "SELECT event_id ~ repeat(substr(agent_id, 1, 1) || '?', 500000) AS found FROM events /* case-0 */";
    let begun = Instant::now();
    let answer = ask(&service, &auditor, sql);
    assert!(matches!(answer.status, 200 | 400 | 504), "{} {}", answer.status, answer.text());
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    eventually("others are answered again", || is_alive(&service, &auditor));
    if has("psql", "--version") {
        let begun = Instant::now();
        let said = said(&psql(port(&service), &auditor, &["-Atc", sql]));
        assert!(!said.contains("code: internal"), "{said}");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        eventually("others are answered again", || is_alive(&service, &auditor));
    }
    assert!(memory_kb(&service) < MEMORY_KB_MAX, "{}", memory_kb(&service));
    assert_eq!(Log::read(&service).outcomes("http", "case-0").len(), 1);
}
