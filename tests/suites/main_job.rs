use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Events, Service, event, shared, whole};

const S1: &str = r#"{
"timestamp": "2026-06-09T12:45:31Z",
"userId": "u-481",
"server": "incident-mcp",
"capabilityType": "tool",
"capabilityName": "create_incident_ticket",
"target": "queue://sev1",
"decision": "allowed",
"status": "success",
"latencyMs": 284
}"#;

#[test]
fn the_record_of_s1_is_the_one_in_its_text() {
    let Some(seed) = shared("seeds/S1.txt") else { return };
    assert!(String::from_utf8(seed).unwrap().contains(S1));
}

#[test]
fn the_record_of_s1_is_taken_byte_for_byte_and_comes_back_in_sql() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let answer = service.post_events(S1.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["accepted"], 1);
    let rows = service.sql(
        "SELECT user_id, server, capability, decision, status, latency_us, target, time FROM events WHERE control IS NULL",
    );
    let expected = json!([{
        "user_id": "u-481", "server": "incident-mcp", "capability": "create_incident_ticket", "decision": "allow",
        "status": "ok", "latency_us": 284_000, "target": "queue://sev1", "time": "2026-06-09T12:45:31Z",
    }]);
    assert_eq!(Value::from(rows), expected);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn records_that_no_mapping_reads_are_refused_by_name_and_spoil_nothing() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let samples =
        ["codex-otel-shape.json", "docker-mcp-gateway-otel.log", "otlp-spans-fastmcp-4.1-mcp-sdk-2.3.json"];
    for (at, name) in samples.iter().enumerate() {
        let Some(sample) = shared(&format!("samples/{name}")) else { return };
        let (before, after) = (event(&format!("before-{at}")), event(&format!("after-{at}")));
        let body = [before.as_bytes(), b"\n", sample.trim_ascii(), b"\n", after.as_bytes(), b"\n"].concat();
        let answer = service.post_events(&body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["accepted"], 2, "{name}: {answer}");
        assert!(answer["rejected_count"].as_u64().unwrap() >= 1, "{name}");
        for refused in answer["rejected"].as_array().unwrap() {
            check_refusal(name, &refused["code"], refused["detail"].as_str().unwrap());
        }
    }
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL");
    assert_eq!(rows[0]["n"], samples.len() as u64 * 2);
}

/// A record that no mapping knows is told what each mapping lacks; a line that is no record, what a record is.
fn check_refusal(name: &str, code: &Value, detail: &str) {
    match code.as_str().unwrap() {
        "unmapped" => {
            for part in ["for canonical/1 it lacks `", "for simple/1 it lacks `", "keys: "] {
                assert!(detail.contains(part), "{name}: {detail}");
            }
        }
        "bad_json" => {
            assert!(name.ends_with(".log"), "{name} is JSON: {detail}");
            let wanted = "not a JSON value: expected ";
            assert!(detail.starts_with(wanted) && detail.contains(" at byte "), "{name}: {detail}");
        }
        code => panic!("{name}: {code}: {detail}"),
    }
}

/// What is promised of an event once it is acknowledged.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
const SIGNED_WITHIN: Duration = Duration::from_secs(2);
/// The machine may be busy with something else: the promise must hold in one of so many trials.
const TRIALS_MAX: usize = 5;
const EVENTS_A_TRIAL: usize = 3;

#[test]
fn an_event_is_answerable_within_a_second_and_signed_within_two() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    // Opening the log and the first query compile what later ones have.
    service.post_events(event("warm").as_bytes());
    service.sql("SELECT count(*) FROM events");
    let mut trials = Vec::new();
    for trial in 0..TRIALS_MAX {
        let (answered, signed) = slowest(&service, trial);
        println!("trial {trial}: the slowest was answered after {answered:?} and signed after {signed:?}");
        trials.push((answered, signed));
        if answered <= ANSWERED_WITHIN && signed <= SIGNED_WITHIN {
            return;
        }
    }
    panic!("promised within {ANSWERED_WITHIN:?} and {SIGNED_WITHIN:?}: {trials:?}");
}

/// Until the slowest of a few events is in an answer, and until it is under a signature.
fn slowest(service: &Service, trial: usize) -> (Duration, Duration) {
    let mut slowest = (Duration::ZERO, Duration::ZERO);
    for at in 0..EVENTS_A_TRIAL {
        let id = format!("timed-{trial}-{at}");
        let answer = service.post_events(event(&id).as_bytes());
        assert_eq!(answer.status, 200);
        let acknowledged = Instant::now();
        let index = answer.json()["first_index"].as_u64().unwrap();
        while service.sql(&format!("SELECT event_id FROM events WHERE event_id = '{id}'")).is_empty() {
            assert!(acknowledged.elapsed() < Duration::from_secs(30), "never answered");
        }
        slowest.0 = slowest.0.max(acknowledged.elapsed());
        let signed = "SELECT signed FROM checkpoints WHERE stream = 'events'";
        while service.sql(signed)[0]["signed"].as_u64().unwrap() <= index {
            assert!(acknowledged.elapsed() < Duration::from_secs(30), "never signed");
            std::thread::sleep(Duration::from_millis(20));
        }
        slowest.1 = slowest.1.max(acknowledged.elapsed());
    }
    slowest
}

#[test]
fn a_retried_delivery_is_recorded_once_and_a_reused_id_is_tagged() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let body = format!("{}\n{}\n", event("x"), event("y"));
    let first = service.post_events(body.as_bytes()).json();
    let again = service.post_events(body.as_bytes()).json();
    assert_eq!((&first["accepted"], &first["duplicates"]), (&json!(2), &json!(0)));
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));
    let other = event("x").replace("get_issue", "delete_repo");
    assert_eq!(service.post_events(other.as_bytes()).json()["accepted"], 1);
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE array_has(tags, 'id_conflict')");
    assert_eq!(rows[0]["n"], 1);
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL");
    assert_eq!(rows[0]["n"], 3);
    // Without an id of its own, the request's key makes one.
    let bare = event("z").replace(r#""event_id":"z","#, "");
    let key = [("idempotency-key", "k-1"), ("content-type", "application/json")];
    assert_eq!(service.send("POST", "/v1/events", &key, bare.as_bytes()).json()["accepted"], 1);
    assert_eq!(service.send("POST", "/v1/events", &key, bare.as_bytes()).json()["duplicates"], 1);
    let Events { received, durable, duplicate, .. } = whole(home.path(), service);
    assert_eq!((received, durable, duplicate), (7, 4, 3));
}

#[test]
fn a_secret_reaches_no_file_and_no_answer() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    // Split so that this file holds none.
    let secret = ["AKIA", "Q3EGRT5XNV7PLW2M"].concat();
    let password = "correct-horse-battery";
    let body = event("s").replace(
        r#"{"number":7}"#,
        &format!(
            r#"{{"note":"use {secret}","password":"{password}","nested":"{{\"password\":\"{password}\"}}"}}"#
        ),
    );
    let answer = service.post_events(body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A secret in a query text goes to the access log.
    service.sql(&format!("SELECT event_id FROM events WHERE target = '{secret}'"));
    let rows = service.sql("SELECT arguments FROM payloads");
    let arguments = rows[0]["arguments"].as_str().unwrap();
    assert!(arguments.contains("<redacted:") && arguments.contains("use "), "{arguments}");
    let rows = service.sql("SELECT redactions FROM events WHERE event_id = 's'");
    assert!(!rows[0]["redactions"].as_array().unwrap().is_empty());
    assert_eq!(service.stop(), Some(0));
    for file in files_below(home.path()) {
        let bytes = std::fs::read(&file).unwrap();
        for needle in [secret.as_bytes(), password.as_bytes()] {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{}", file.display());
        }
    }
}

#[test]
fn tokens_have_roles_and_tenants_and_can_be_revoked() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let create = |role: &str| {
        let body = json!({"role": role, "tenant": "default"}).to_string();
        let answer =
            service.send("POST", "/api/v1/tokens", &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let answer = answer.json();
        (answer["id"].as_str().unwrap().to_string(), answer["token"].as_str().unwrap().to_string())
    };
    let (collector_id, collector) = create("collector");
    let (_, auditor) = create("auditor");
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        crate::support::request(&service.address, method, path, &headers, body.as_bytes()).unwrap().status
    };
    let question = |query: &str| json!({"query": query}).to_string();
    assert_eq!(ask(&collector, "POST", "/v1/events", &event("a")), 200);
    assert_eq!(ask(&collector, "POST", "/api/v1/sql", &question("SELECT 1")), 403);
    assert_eq!(ask(&auditor, "POST", "/v1/events", &event("b")), 403);
    assert_eq!(ask(&auditor, "POST", "/api/v1/sql", &question("SELECT count(*) FROM events")), 200);
    assert_eq!(ask(&auditor, "POST", "/api/v1/sql", &question("SELECT * FROM payloads")), 400);
    assert_eq!(ask(&auditor, "GET", "/metrics", ""), 403);
    assert_eq!(ask(&auditor, "GET", "/api/v1/tokens", ""), 403);
    assert_eq!(ask("tacho_wrong", "POST", "/v1/events", &event("c")), 401);
    let none =
        crate::support::request(&service.address, "POST", "/v1/events", &[], event("d").as_bytes()).unwrap();
    assert_eq!(none.status, 401);
    assert_eq!(service.send("DELETE", &format!("/api/v1/tokens/{collector_id}"), &[], b"").status, 200);
    assert_eq!(ask(&collector, "POST", "/v1/events", &event("e")), 401);
    let rows = service.sql(
        "SELECT count(*) AS n FROM access WHERE action LIKE 'token_%' AND phase = 'outcome' AND decision = 'allow'",
    );
    assert_eq!(rows[0]["n"], 3);
    for path in ["/health", "/ready"] {
        assert_eq!(crate::support::request(&service.address, "GET", path, &[], b"").unwrap().status, 200);
    }
    assert!(service.send("GET", "/metrics", &[], b"").text().contains("tacho_entries_durable_total"));
}

pub fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}
