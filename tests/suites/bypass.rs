//! What must not be had by any way round, and that each try is on the access log as what it was.

mod large;
mod log;
mod patterns;
mod tenants;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::log::Log;
use super::postgres::{has, psql, said};
use crate::support::{Answer, Service, event, eventually, request};

/// A token of a role, made over HTTP.
fn token(service: &Service, role: &str) -> String {
    let body = json!({"role": role, "tenant": "default"}).to_string();
    let made =
        service.send("POST", "/api/v1/tokens", &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["token"].as_str().unwrap().to_string()
}

fn ask(service: &Service, token: &str, query: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let body = json!({"query": query, "format": "ndjson"}).to_string();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    request(&service.address, "POST", "/api/v1/sql", &headers, body.as_bytes()).unwrap()
}

fn port(service: &Service) -> &str {
    service.postgres.as_ref().and_then(|address| address.rsplit_once(':')).unwrap().1
}

/// Whether the service answers.
fn is_alive(service: &Service, token: &str) -> bool {
    ask(service, token, "SELECT 1 AS one").text().starts_with("{\"one\":1}")
}

/// What is not let through, with the code that says so. `#` is where the mark of a case stands; else it follows in a
/// comment.
const DENIED: &[(&str, &str)] = &[
    ("COPY events TO '/tmp/stolen.parquet'", "statement_not_allowed"),
    ("COPY (SELECT * FROM events) TO STDOUT", "statement_not_allowed"),
    ("SET datafusion.execution.batch_size = '#'", "statement_not_allowed"),
    ("EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events", "forbidden"),
    ("EXPLAIN SELECT * FROM events", "forbidden"),
    ("INSERT INTO events VALUES (1)", "statement_not_allowed"),
    ("UPDATE events SET user_id = 'x'", "statement_not_allowed"),
    ("DELETE FROM events", "statement_not_allowed"),
    ("CREATE TABLE mine AS SELECT * FROM events", "statement_not_allowed"),
    ("CREATE VIEW mine AS SELECT * FROM events", "statement_not_allowed"),
    ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "statement_not_allowed"),
    ("DROP TABLE events", "statement_not_allowed"),
    ("PREPARE p AS INSERT INTO events VALUES (1)", "statement_not_allowed"),
    ("SELECT * INTO mine FROM events", "statement_not_allowed"),
    ("WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x", "statement_not_allowed"),
    ("SELECT 1; SELECT 2", "statement_count"),
    ("SELECT * FROM information_schema.tables", "plan"),
    ("SELECT * FROM pg_catalog.pg_class", "plan"),
    ("SELECT * FROM generate_series(1, 1000000000000)", "function_not_allowed"),
    (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        "recursion_not_allowed",
    ),
];

/// What may be asked, and comes to nothing: there is no such table or function for who asks, or it fails.
const FAILING: &[(&str, &str)] = &[
    ("SELECT * FROM '/etc/passwd'", "plan"),
    ("SELECT * FROM 's3://bucket/file.parquet'", "plan"),
    ("SELECT * FROM payloads", "plan"),
    ("SELECT unnest(generate_series(1, 1000000000000))", "plan"),
    ("SELECT repeat('x', 500000000)", "answer_too_large"),
    ("SELECT 1 / 0", "execution"),
    ("SELECT CAST('secret value' AS BIGINT)", "execution"),
    ("SELECT version()", "plan"),
    ("SELECT input_file_name() FROM events", "plan"),
    ("SELECT arrow_cast('x', 'Binary')", "plan"),
];

/// Where PostgreSQL's door has a code of its own, or none as its clients may say it: it lists what they see, and one text
/// may hold several questions.
const OTHERWISE_OVER_PG: &[(&str, Option<&str>)] = &[
    ("SET datafusion.execution.batch_size = '#'", Some("unknown_setting")),
    ("SELECT 1; SELECT 2", None),
    ("SELECT * FROM information_schema.tables", None),
    ("SELECT * FROM pg_catalog.pg_class", None),
    ("SELECT version()", None),
];

/// A statement that is only one case's.
struct Case {
    mark: String,
    sql: String,
    code: &'static str,
    code_over_pg: Option<&'static str>,
    decision: &'static str,
}

fn cases() -> Vec<Case> {
    let denied = DENIED.iter().map(|(query, code)| (*query, *code, "deny"));
    let failing = FAILING.iter().map(|(query, code)| (*query, *code, "allow"));
    let case = |(at, (query, code, decision)): (usize, (&str, &'static str, &'static str))| {
        let mark = format!("case-{at:02}");
        let sql = match query.contains('#') {
            true => query.replace('#', &mark),
            false => format!("{query} /* {mark} */"),
        };
        let otherwise = OTHERWISE_OVER_PG.iter().find(|(other, _)| *other == query);
        let code_over_pg = otherwise.map_or(Some(code), |(_, code)| *code);
        Case { mark, sql, code, code_over_pg, decision }
    };
    denied.chain(failing).enumerate().map(case).collect()
}

#[test]
fn what_is_refused_is_refused_to_everyone_and_on_the_access_log() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let auditor = token(&service, "auditor");
    for Case { sql, code, .. } in cases() {
        let answer = ask(&service, &auditor, &sql);
        assert!((400..500).contains(&answer.status), "{sql}: {} {}", answer.status, answer.text());
        assert_eq!(answer.json()["code"], code, "{sql}: {}", answer.text());
        assert!(!answer.text().contains("root:"), "{sql}");
    }
    let log = Log::read(&service);
    for Case { mark, sql, code, decision, .. } in cases() {
        assert_eq!(log.outcomes("http", &mark), [format!("{decision} error {code}")], "{sql}");
    }
}

#[test]
fn what_is_refused_over_http_is_refused_over_postgresql() {
    if !has("psql", "--version") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_PG", "127.0.0.1:0")]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let auditor = token(&service, "auditor");
    for Case { sql, code_over_pg, .. } in cases() {
        let asked = psql(port(&service), &auditor, &["-Atc", &sql]);
        let said = said(&asked);
        assert_eq!(asked.status.success(), code_over_pg.is_none(), "{sql}: {said}");
        if let Some(code) = code_over_pg {
            assert!(said.contains(&format!("code: {code}\n")), "{sql}: {said}");
        }
        assert!(!said.contains("root:"), "{sql}");
    }
    let log = Log::read(&service);
    for Case { mark, sql, code_over_pg, decision, .. } in cases() {
        let expected = match code_over_pg {
            Some(code) => format!("{decision} error {code}"),
            None => "allow ok -".to_string(),
        };
        assert_eq!(log.outcomes("pg", &mark), [expected], "{sql}");
    }
}

#[test]
fn roles_and_tenants_stay_within_themselves() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let (auditor, collector, operator) =
        (token(&service, "auditor"), token(&service, "collector"), token(&service, "operator"));
    let send = |token: &str, method: &str, path: &str, body: &[u8]| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        request(&service.address, method, path, &headers, body).unwrap().status
    };
    let question = br#"{"query":"SELECT 1"}"#;
    let admin = br#"{"role":"admin","tenant":"default"}"#;
    for (token, method, path, body, expected) in [
        (&auditor, "POST", "/v1/events", event("e-2").as_bytes(), 403),
        (&auditor, "POST", "/api/v1/tokens", admin, 403),
        (&auditor, "GET", "/api/v1/tokens", b"", 403),
        (&auditor, "DELETE", "/api/v1/tokens/t-000000000000", b"", 403),
        (&auditor, "GET", "/metrics", b"", 403),
        (&collector, "POST", "/api/v1/sql", question, 403),
        (&collector, "GET", "/api/v1/sessions/s-1/replay", b"", 403),
        (&collector, "GET", "/api/v1/gates", b"", 403),
        (&collector, "GET", "/metrics", b"", 403),
        (&operator, "POST", "/api/v1/sql", question, 403),
        (&operator, "POST", "/v1/events", event("e-3").as_bytes(), 403),
        (&operator, "GET", "/metrics", b"", 200),
        (&auditor, "POST", "/api/v1/sql", question, 200),
    ] {
        assert_eq!(send(token, method, path, body), expected, "{method} {path}");
    }
    // Each of them is on record for what it tried, with the role that it had; what the query core refuses, it records itself.
    let expected: BTreeSet<String> = [
        "auditor ingest",
        "auditor token_create",
        "auditor token_list",
        "auditor token_revoke",
        "auditor metrics",
        "collector sql",
        "collector replay",
        "collector gates",
        "collector metrics",
        "operator sql",
        "operator ingest",
    ]
    .map(String::from)
    .into();
    // Some are written behind the answer.
    eventually("every refusal is on the access log, and no other", || {
        let rows = service.sql(
            "SELECT role || ' ' || action AS what FROM access WHERE decision = 'deny' AND error_code = 'forbidden'",
        );
        let recorded: Vec<String> =
            rows.iter().map(|row| row["what"].as_str().unwrap().to_string()).collect();
        recorded.len() == expected.len() && recorded.into_iter().collect::<BTreeSet<_>>() == expected
    });
    // Another tenant's admin: made by who sits at the machine, sees nothing of this one.
    let (data, keys) = (home.path().join("data"), home.path().join("keys"));
    let made = crate::support::run(&[
        "token",
        "create",
        "--role",
        "admin",
        "--tenant",
        "acme",
        "--data",
        data.to_str().unwrap(),
        "--keys",
        keys.to_str().unwrap(),
    ]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let acme = made["token"].as_str().unwrap();
    let count = ask(&service, acme, "SELECT count(*) AS n FROM events /* case-of-acme */");
    assert!(count.text().starts_with("{\"n\":0}"), "{}", count.text());
    // That it asked is in its own log, and not in this tenant's.
    let id = made["id"].as_str().unwrap();
    let asked = format!(
        "SELECT tenant FROM access WHERE principal = '{id}' AND phase = 'intent' AND statement LIKE '%case-of-acme */'"
    );
    let own = ask(&service, acme, &asked);
    assert!(own.text().starts_with("{\"tenant\":\"acme\"}\n{\"$end\":{\"rows\":1"), "{}", own.text());
    assert_eq!(
        service.sql(&format!("SELECT * FROM access WHERE principal = '{id}' AND action = 'sql'")).len(),
        0
    );
    let tokens = request(
        &service.address,
        "GET",
        "/api/v1/tokens",
        &[("authorization", &format!("Bearer {acme}"))],
        b"",
    );
    let tokens = tokens.unwrap().json();
    assert!(tokens.as_array().unwrap().iter().all(|token| token["tenant"] == "acme"), "{tokens}");
    let gate = request(
        &service.address,
        "GET",
        "/metrics/tool-call-p95-ms",
        &[("authorization", &format!("Bearer {acme}"))],
        b"",
    );
    assert_eq!(gate.unwrap().status, 503, "no source of its own");
}
