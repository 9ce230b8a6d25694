//! Clients that ask for a change and do not wait for the answer.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::eventually;
use crate::support::{Service, signal};

/// Sends a request and goes away `pause_ms` later.
fn ask_and_go(service: &Service, method: &str, path: &str, body: &str, pause_ms: u64) {
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        service.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(pause_ms));
}

const NEW: &str = r#"{"role":"auditor","tenant":"default"}"#;

/// The tokens but the first, which the service made for itself.
fn made(service: &Service) -> Vec<Value> {
    let listed = service.send("GET", "/api/v1/tokens", &[], b"").json();
    listed.as_array().unwrap()[1..].to_vec()
}

/// By whom a change of each of these tokens was made, as the recorder has it.
fn changed_by(service: &Service, change: &str) -> Vec<(String, String)> {
    let rows = service.sql("SELECT control FROM access WHERE control IS NOT NULL");
    let controls = rows.iter().map(|row| row["control"].as_str().unwrap());
    let controls = controls.map(|text| serde_json::from_str::<Value>(text).unwrap());
    let text = |control: &Value, name: &str| control[name].as_str().unwrap().to_string();
    let changes = controls.filter(|control| control["control"] == change);
    changes.map(|control| (text(&control, "id"), text(&control, "by"))).collect()
}

/// Whatever was changed is on record as who changed it, though they had gone; also where the service is told to end meanwhile.
#[test]
fn a_change_is_on_record_though_who_asked_has_gone() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let count = 30;
    let id_of = |token: &Value| token["id"].as_str().unwrap().to_string();
    let tokens = || made(&service);
    // What was not even begun when the client went is not made: some go at once, some a little later.
    for at in 0..count {
        ask_and_go(&service, "POST", "/api/v1/tokens", NEW, at as u64);
    }
    eventually("what was begun is made", || {
        let known = tokens().len();
        std::thread::sleep(std::time::Duration::from_millis(300));
        known > 0 && tokens().len() == known
    });
    let all_on_record = |change: &str, tokens: &[Value]| {
        let by = changed_by(&service, change);
        tokens.iter().all(|token| by.iter().any(|(id, by)| *id == id_of(token) && by.starts_with("t-")))
    };
    eventually("all that were made are on record", || all_on_record("token_created", &tokens()));
    assert!(tokens().iter().all(|token| token["revoked"].is_null()), "none had to be taken back");

    for _ in tokens().len()..count {
        assert_eq!(
            service
                .send("POST", "/api/v1/tokens", &[("content-type", "application/json")], NEW.as_bytes())
                .status,
            201
        );
    }
    let all = tokens();
    let (first, second) = all.split_at(count / 2);
    let revoked =
        || -> Vec<Value> { tokens().into_iter().filter(|token| !token["revoked"].is_null()).collect() };
    for (token, pause_ms) in first.iter().zip(0..) {
        ask_and_go(&service, "DELETE", &format!("/api/v1/tokens/{}", id_of(token)), "", 2 * pause_ms);
    }
    eventually("all that were revoked are on record", || {
        let known = revoked();
        std::thread::sleep(std::time::Duration::from_millis(300));
        !known.is_empty() && revoked().len() == known.len() && all_on_record("token_revoked", &known)
    });

    for token in second {
        ask_and_go(&service, "DELETE", &format!("/api/v1/tokens/{}", id_of(token)), "", 0);
    }
    signal(&service.child, "TERM");
    assert_eq!(service.stop(), Some(0));
    let service = Service::start(home.path(), &[]);
    let by = changed_by(&service, "token_revoked");
    for token in made(&service).iter().filter(|token| !token["revoked"].is_null()) {
        let whose: Vec<_> = by.iter().filter(|(id, _)| *id == id_of(token)).collect();
        assert!(whose.len() == 1 && whose[0].1.starts_with("t-"), "{token}: {whose:?}");
    }
    assert_eq!(service.stop(), Some(0));
}

/// A token that was right once is no guess: whoever goes on with it is told no, and locks no one out.
#[test]
fn a_token_that_is_over_is_no_guess() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let json = [("content-type", "application/json")];
    let make = |new: &Value| service.send("POST", "/api/v1/tokens", &json, new.to_string().as_bytes()).json();
    let brief = make(&json!({"role": "auditor", "tenant": "default", "expires_s": 1}));
    let gone = make(&json!({"role": "auditor", "tenant": "default"}));
    let revoke = format!("/api/v1/tokens/{}", gone["id"].as_str().unwrap());
    assert_eq!(service.send("DELETE", &revoke, &[], b"").status, 200);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        crate::support::request(&service.address, "GET", "/metrics", &headers, b"").unwrap().status
    };
    for token in [&brief, &gone] {
        let token = token["token"].as_str().unwrap();
        let statuses: Vec<u16> = (0..60).map(|_| ask(token)).collect();
        assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    }
    // The network is not locked out either: a stranger's first try there is heard.
    let fresh = make(&json!({"role": "operator", "tenant": "default"}));
    assert_eq!(ask(fresh["token"].as_str().unwrap()), 200);
    // With another secret it is one.
    let forged = format!("{}x", brief["token"].as_str().unwrap().split_at(30).0);
    let statuses: Vec<u16> = (0..12).map(|_| ask(&forged)).collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(service.stop(), Some(0));
}
