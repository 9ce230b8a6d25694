use std::time::Duration;

use serde_json::json;

use super::super::main_job::files_below;
use crate::support::{Answer, Service, request};

fn with(service: &Service, token: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    request(&service.address, method, path, &headers, body).unwrap()
}

fn make(service: &Service, new: &serde_json::Value) -> (String, String) {
    let answer = service.send(
        "POST",
        "/api/v1/tokens",
        &[("content-type", "application/json")],
        new.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    (made["id"].as_str().unwrap().to_string(), made["token"].as_str().unwrap().to_string())
}

const SQL: &[u8] = br#"{"query":"SELECT 1"}"#;

/// What no one may do, and that each try is on record, without the secret.
#[test]
fn no_way_around_and_every_refusal_is_on_record() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let ask = |token: &str| with(&service, token, "POST", "/api/v1/sql", SQL);
    assert_eq!(request(&service.address, "POST", "/api/v1/sql", &[], SQL).unwrap().status, 401);

    let (auditor, auditor_token) = make(&service, &json!({"role": "auditor", "tenant": "default"}));
    assert_eq!(ask(&auditor_token).status, 200);
    let (brief, brief_token) =
        make(&service, &json!({"role": "auditor", "tenant": "default", "expires_s": 1}));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(ask(&brief_token).status, 401, "expired");
    let (gone, gone_token) = make(&service, &json!({"role": "auditor", "tenant": "default"}));
    assert_eq!(ask(&gone_token).status, 200);
    assert_eq!(service.send("DELETE", &format!("/api/v1/tokens/{gone}"), &[], b"").status, 200);
    assert_eq!(ask(&gone_token).status, 401, "revoked at once");
    let forged = format!("{}x", &auditor_token[..auditor_token.len() - 1]);
    assert_eq!(ask(&forged).status, 401, "wrong secret");
    assert_eq!(ask("tacho_0123456789ab_nothing").status, 401, "unknown");
    assert_eq!(ask("nonsense-credential").status, 401, "malformed");

    // Escalation: a lesser role makes no token, sees none, revokes none, reads no metrics; another tenant is no one's.
    let admin = json!({"role": "admin", "tenant": "default"}).to_string();
    for (method, path, body) in [
        ("POST", "/api/v1/tokens", admin.as_bytes()),
        ("GET", "/api/v1/tokens", b"".as_slice()),
        ("DELETE", "/api/v1/tokens/t-0123456789ab", b""),
        ("GET", "/metrics", b""),
    ] {
        let answer = with(&service, &auditor_token, method, path, body);
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (403, Some("forbidden")),
            "{method} {path}"
        );
    }
    let elsewhere = json!({"role": "auditor", "tenant": "acme"}).to_string();
    let answer = with(&service, &service.token, "POST", "/api/v1/tokens", elsewhere.as_bytes());
    assert_eq!(answer.status, 403, "{}", answer.text());

    assert_eq!(service.stop(), Some(0));
    let service = Service::start(home.path(), &[]);
    let rows = service.sql(
        "SELECT action, decision, error_code, principal, role, source_ip, door, detail FROM access \
         WHERE error_code IN ('no_credential','expired_token','revoked_token','wrong_secret','unknown_token',\
         'malformed_credential','forbidden') ORDER BY time",
    );
    let found = |code: &str, principal: &str| {
        let found = rows.iter().find(|row| row["error_code"] == code && row["principal"] == principal);
        found.unwrap_or_else(|| panic!("{code} of {principal} is not in {rows:#?}"))
    };
    for (code, principal) in [
        ("no_credential", "unknown"),
        ("expired_token", brief.as_str()),
        ("revoked_token", &gone),
        ("wrong_secret", &auditor),
        ("unknown_token", "unknown"),
        ("malformed_credential", "unknown"),
    ] {
        let row = found(code, principal);
        assert_eq!((&row["action"], &row["decision"]), (&json!("login"), &json!("deny")), "{row}");
        assert_eq!((&row["source_ip"], &row["door"]), (&json!("127.0.0.1"), &json!("http")), "{row}");
        assert!(row["role"].is_null(), "a failed login has no role: {row}");
    }
    assert_eq!(found("forbidden", &auditor)["role"], "auditor");
    for action in ["token_create", "token_list", "token_revoke", "metrics"] {
        assert!(
            rows.iter().any(|row| row["action"] == action && row["error_code"] == "forbidden"),
            "{action}: {rows:#?}"
        );
    }
    let first = service.sql(&format!(
        "SELECT count(*) AS n FROM access WHERE action = 'login' AND decision = 'allow' AND principal = '{auditor}'"
    ));
    assert_eq!(first[0]["n"], 1, "the first use of a token from a place is recorded once");
    assert_eq!(service.stop(), Some(0));

    let secrets = [&auditor_token, &brief_token, &gone_token, &forged].map(|token| token[20..].to_string());
    for file in files_below(home.path()) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets.iter().map(String::as_str).chain(["nonsense-credential"]) {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
                "{secret} is in {}",
                file.display()
            );
        }
    }
}

/// Who guesses at a token waits, others do not; a flood leaves a few entries and its count.
#[test]
fn who_fails_too_often_is_locked_out_and_a_flood_is_summed() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let (id, token) = make(&service, &json!({"role": "auditor", "tenant": "default"}));
    let ask = |token: &str| with(&service, token, "POST", "/api/v1/sql", SQL);
    assert_eq!(ask(&token).status, 200);
    let forged = format!("{}x", &token[..token.len() - 1]);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(ask(&forged).status);
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    let locked = ask(&token);
    assert_eq!((locked.status, locked.json()["code"].as_str()), (429, Some("locked_out")), "unchecked");
    let wait: u64 = locked.headers["retry-after"].parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert!(locked.headers["content-type"].starts_with("application/problem+json"));
    let bearer = format!("Bearer {token}");
    // The lock is of this network: another loopback address is another.
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let port = service.address.rsplit_once(':').unwrap().1;
    let elsewhere = crate::support::request_from(
        "127.0.0.2",
        &format!("127.0.0.1:{port}"),
        "POST",
        "/api/v1/sql",
        &headers,
        SQL,
    );
    assert_eq!(elsewhere.unwrap().status, 200, "the same token from another place");

    // Strangers: a hundred failures, whatever they name, lock out those who have never logged in from here.
    for at in 0..400u32 {
        ask(&format!("tacho_{at:012x}_guess"));
    }
    assert_eq!(ask("tacho_ffffffffffff_guess").status, 429);
    assert_eq!(service.send("GET", "/metrics", &[], b"").status, 200, "who logged in before is no stranger");
    assert_eq!(service.stop(), Some(0));

    let service = Service::start(home.path(), &[]);
    let rows = service
        .sql("SELECT error_code, principal, detail FROM access WHERE action = 'login' AND decision = 'deny'");
    assert!(rows.len() < 40, "{} entries of 413 refusals", rows.len());
    let counted: u64 = rows
        .iter()
        .map(|row| row["detail"].as_str().unwrap())
        .map(|detail| detail.split_once(" more ").map_or(1, |(number, _)| number.parse().unwrap()))
        .sum();
    assert_eq!(counted, 12 + 1 + 400 + 1, "{rows:#?}");
    let wrong =
        rows.iter().filter(|row| row["principal"] == id.as_str() && row["error_code"] == "wrong_secret");
    assert_eq!(wrong.count(), 5, "the first ones, one by one");
    assert_eq!(service.stop(), Some(0));
}

/// Errors of these routes are problems with a code, whatever is sent.
#[test]
fn errors_of_token_routes_are_problems() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let json = ("content-type", "application/json");
    let long = format!(r#"{{"role":"auditor","tenant":"{}"}}"#, "a".repeat(5000));
    for (header, body, status, code) in [
        (json, "{", 400, "request"),
        (json, r#"{"role":"root","tenant":"a"}"#, 400, "request"),
        (json, r#"{"role":"auditor","tenant":"default","x":1}"#, 400, "request"),
        (json, r#"{"role":"auditor","tenant":"default","expires_s":0}"#, 400, "bad_token"),
        (json, r#"{"role":"auditor","tenant":"default","expires_s":18446744073709551615}"#, 400, "bad_token"),
        (json, r#"{"role":"auditor","tenant":"default","expires_s":1,"expires_days":1}"#, 400, "bad_token"),
        (json, &long, 413, "too_large"),
        (("content-type", "text/plain"), "{}", 415, "media_type"),
        (("x-none", "1"), "{}", 415, "media_type"),
    ] {
        let answer = service.send("POST", "/api/v1/tokens", &[header], body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["code"], code, "{body}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{body}");
    }
    for (method, path, status) in [
        ("DELETE", "/api/v1/tokens/t-none", 404),
        ("DELETE", "/api/v1/tokens/%ff", 404),
        ("PUT", "/api/v1/tokens", 405),
        ("GET", "/api/v1/nothing", 404),
    ] {
        let answer = service.send(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
    }
    assert_eq!(service.stop(), Some(0));
}

/// With a store that takes nothing more, no token is made; one is revoked all the same, and that is on record when the store takes
/// entries again.
#[test]
fn what_is_not_on_record_is_not_made_or_is_made_up_for() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let (id, token) = make(&service, &json!({"role": "auditor", "tenant": "default"}));
    assert_eq!(service.stop(), Some(0));

    let service = Service::start(home.path(), &[("TACHO_STORE_DISK_FREE_BYTES_MIN", "1000000000000000")]);
    let json = [("content-type", "application/json")];
    let new = json!({"role": "auditor", "tenant": "default"}).to_string();
    let answer = service.send("POST", "/api/v1/tokens", &json, new.as_bytes());
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (503, Some("not_recorded")),
        "{}",
        answer.text()
    );
    let listed = service.send("GET", "/api/v1/tokens", &[], b"").json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "the admin's and the first: {listed}");
    let answer = service.send("DELETE", &format!("/api/v1/tokens/{id}"), &[], b"");
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (503, Some("not_recorded")),
        "{}",
        answer.text()
    );
    assert_eq!(with(&service, &token, "POST", "/api/v1/sql", SQL).status, 401, "revoked it is");
    service.stop();

    let service = Service::start(home.path(), &[]);
    let rows = service.sql("SELECT control FROM access WHERE control LIKE '%token_revoked%'");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0]["control"].as_str().unwrap().contains(&id), "{rows:?}");
    assert_eq!(service.stop(), Some(0));
    let service = Service::start(home.path(), &[]);
    assert_eq!(
        service.sql("SELECT control FROM access WHERE control LIKE '%token_revoked%'").len(),
        1,
        "once"
    );
    assert_eq!(service.stop(), Some(0));
}
