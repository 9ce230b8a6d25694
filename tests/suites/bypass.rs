use std::collections::BTreeSet;

use serde_json::{Value, json};

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

/// What must not be answered, with the code that says so. Each is on the access log with what was asked.
const REFUSED: &[(&str, &str)] = &[
    ("COPY events TO '/tmp/stolen.parquet'", "statement_not_allowed"),
    ("COPY (SELECT * FROM events) TO STDOUT", "statement_not_allowed"),
    ("SET datafusion.execution.batch_size = 1", "statement_not_allowed"),
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
    ("SELECT * FROM '/etc/passwd'", "plan"),
    ("SELECT * FROM 's3://bucket/file.parquet'", "plan"),
    ("SELECT 1; SELECT 2", "statement_count"),
    ("SELECT * FROM information_schema.tables", "plan"),
    ("SELECT * FROM pg_catalog.pg_class", "plan"),
    ("SELECT * FROM payloads", "plan"),
    ("SELECT * FROM generate_series(1, 1000000000000)", "function_not_allowed"),
    ("SELECT unnest(generate_series(1, 1000000000000))", "plan"),
    ("SELECT repeat('x', 500000000)", "answer_too_large"),
    (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        "recursion_not_allowed",
    ),
    ("SELECT 1 / 0", "execution"),
    ("SELECT CAST('secret value' AS BIGINT)", "execution"),
    ("SELECT version()", "plan"),
    ("SELECT input_file_name() FROM events", "plan"),
    ("SELECT arrow_cast('x', 'Binary')", "plan"),
];

#[test]
fn what_is_refused_is_refused_to_everyone_and_on_the_access_log() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_QUERY_DEADLINE_MS", "2000")]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let auditor = token(&service, "auditor");
    for (query, code) in REFUSED {
        let answer = ask(&service, &auditor, query);
        assert!((400..500).contains(&answer.status), "{query}: {} {}", answer.status, answer.text());
        assert_eq!(answer.json()["code"], *code, "{query}: {}", answer.text());
        assert!(!answer.text().contains("root:"), "{query}");
    }
    // What takes for ever ends at its deadline; nesting and size are refused before they cost anything.
    let cross = "SELECT count(*) FROM events a, (SELECT unnest(string_to_array(repeat('x,', 100000), ',')) AS u) b, \
        (SELECT unnest(string_to_array(repeat('x,', 100000), ',')) AS u) c WHERE b.u <> c.u OR a.log_index < 0";
    let long = format!("SELECT '{}'", "x".repeat(300_000));
    let nested = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    for (query, statuses) in [(cross, [400, 504]), (&long, [413, 413]), (&nested, [400, 413])] {
        let answer = ask(&service, &auditor, query);
        assert!(statuses.contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    let huge = format!("{{\"query\":\"SELECT '{}'\"}}", "x".repeat(10 << 20));
    let bearer = format!("Bearer {auditor}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = request(&service.address, "POST", "/api/v1/sql", &headers, huge.as_bytes());
    assert!(answer.is_err() || answer.unwrap().status == 413);

    let rows = service
        .sql("SELECT statement, decision, status FROM access WHERE action = 'sql' AND phase = 'outcome'");
    let recorded: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row["decision"] == "deny" || row["status"] == "error")
        .filter_map(|row| row["statement"].as_str())
        .collect();
    // An outcome has the statement only where it was refused; what failed later has it in its intent.
    let intents = service.sql("SELECT statement FROM access WHERE action = 'sql' AND phase = 'intent'");
    let intents: BTreeSet<&str> = intents.iter().filter_map(|row| row["statement"].as_str()).collect();
    for (query, _) in REFUSED {
        // What looks like a secret is not written down.
        let shown = query.split(['\'', ';']).next().unwrap();
        let found = recorded.iter().chain(&intents).any(|statement| statement.starts_with(shown));
        assert!(found, "not on the access log: {query}");
    }
}

/// What a client of PostgreSQL may say that HTTP refuses: it lists what it sees, and one text may hold several questions.
const ALLOWED_OVER_PG: &[&str] = &["information_schema", "pg_catalog", "version()", "SELECT 1; SELECT 2"];

#[test]
fn what_is_refused_over_http_is_refused_over_postgresql() {
    if !has("psql", "--version") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service =
        Service::start(home.path(), &[("TACHO_QUERY_DEADLINE_MS", "2000"), ("TACHO_PG", "127.0.0.1:0")]);
    assert_eq!(service.post_events(event("e-1").as_bytes()).status, 200);
    let auditor = token(&service, "auditor");
    let port = service.postgres.as_ref().and_then(|address| address.rsplit_once(':')).unwrap().1;
    for (query, _) in REFUSED {
        let asked = psql(port, &auditor, &["-Atc", query]);
        let said = said(&asked);
        let is_allowed = ALLOWED_OVER_PG.iter().any(|allowed| query.contains(allowed));
        assert_eq!(asked.status.success(), is_allowed, "{query}: {said}");
        assert!(!said.contains("root:"), "{query}");
    }
    let intents = service
        .sql("SELECT statement FROM access WHERE action = 'sql' AND door = 'pg' AND statement IS NOT NULL");
    let intents: BTreeSet<&str> = intents.iter().filter_map(|row| row["statement"].as_str()).collect();
    for (query, _) in REFUSED {
        let shown = query.split(['\'', ';', '=']).next().unwrap();
        let found = intents.iter().any(|statement| statement.starts_with(shown));
        assert!(found, "not on the access log: {query}");
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
    // Each of them is on record with who it was; what the query core refuses, it records itself.
    let actions: BTreeSet<&str> =
        ["ingest", "token_create", "token_list", "token_revoke", "metrics", "sql", "replay", "gates"].into();
    // Some are written behind the answer.
    eventually("every refusal is on the access log", || {
        let rows = service.sql("SELECT DISTINCT action FROM access WHERE decision = 'deny'");
        let recorded: BTreeSet<&str> = rows.iter().filter_map(|row| row["action"].as_str()).collect();
        actions.is_subset(&recorded)
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
    let count = ask(&service, acme, "SELECT count(*) AS n FROM events");
    assert!(count.text().starts_with("{\"n\":0}"), "{}", count.text());
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
