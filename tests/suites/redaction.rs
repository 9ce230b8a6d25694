//! Generated secrets of all kinds, in all places and encodings, through every way in: none of them is in anything that the
//! process leaves behind, however it is decoded. And the commands by which people try redaction and review it.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::main_job::files_below;
use super::search::places::{Place, Planted, percent};
use super::search::random::Random;
use super::search::{MISSED_MAX, Probes, canary, contents, known, planted, search, unpacked};
use crate::support::{Service, run, tacho, verify};

/// Bytes of one body.
const BODY: usize = 256 << 10;

/// Whether an answer quotes the secret: eight characters of it on end, as its own words and numbers are four of many a secret.
fn tells(planted: &Planted, answer: &str) -> bool {
    let windows = |text: &str| -> HashSet<Vec<u8>> { text.as_bytes().windows(8).map(Vec::from).collect() };
    let (own, said) = (windows(&planted.public), windows(answer));
    let pieces = planted.spellings.iter().flat_map(|spelling| windows(spelling));
    pieces.filter(|piece| !own.contains(&piece.to_ascii_lowercase())).any(|piece| said.contains(&piece))
}

#[test]
fn no_generated_secret_is_left_anywhere() {
    let planted = known(planted(20_261_130), MISSED_MAX, str::to_owned);
    let probes = Probes::of(&planted);
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_LOG_LEVEL", "debug")]);
    let canary = json!({
        "time": "2026-11-21T10:00:00Z", "kind": "call", "decision": "allow", "status": "ok",
        "arguments": canary(),
    });
    assert_eq!(service.post_events(canary.to_string().as_bytes()).status, 200);
    let mut body = String::new();
    for planted in &planted {
        body.push_str(&planted.event);
        body.push('\n');
        if body.len() > BODY {
            assert_eq!(service.post_events(body.as_bytes()).status, 200);
            body.clear();
        }
    }
    assert_eq!(service.post_events(body.as_bytes()).status, 200);
    // Other ways in, with every fifth: questions (where what is missed is not asked), refusals, credentials, paths, headers.
    let redactor = redact::Redactor::new([7; 32]);
    let (mut asked_count, mut missed_in_sql) = (0, 0);
    for planted in planted.iter().step_by(5) {
        let text = planted.event.replace('\'', "''");
        asked_count += 1;
        let questions = [
            format!("SELECT count(*) FROM events WHERE target = '{text}'"),
            format!("SELECT nothing FROM nowhere WHERE a = '{text}'"),
        ];
        if questions.iter().any(|sql| planted.leak(&redactor.redact_text(sql).text).is_some()) {
            missed_in_sql += 1;
            continue;
        }
        for query in questions {
            let kind = [("content-type", "application/json")];
            service.send("POST", "/api/v1/sql", &kind, json!({ "query": query }).to_string().as_bytes());
        }
        let refused =
            json!({ "time": planted.event, "kind": "call", (planted.event.clone()): 1 }).to_string();
        for body in [refused.as_str(), &planted.event[..planted.event.len() - 2]] {
            let answer = service.post_events(body.as_bytes()).text();
            assert!(!tells(planted, &answer), "{}: {answer}", planted.kind);
        }
    }
    for planted in planted.iter().filter(|planted| planted.place == Place::Plain).take(60) {
        let secret = percent(&planted.spellings[0]);
        let bearer = format!("Bearer {secret}");
        let _refused = crate::support::request(
            &service.address,
            "GET",
            &format!("/v1/{secret}?token={secret}"),
            &[("authorization", bearer.as_str())],
            b"",
        );
        service.send("POST", &format!("/v1/events?format={secret}"), &[("x-api-key", &secret)], b"{}");
    }
    assert!(missed_in_sql * 10 <= asked_count, "{missed_in_sql} of {asked_count} are missed in SQL");
    let metrics = service.send("GET", "/metrics", &[], b"");
    assert_eq!(metrics.status, 200);
    let [plain, ..] = search(home.path(), &[("/metrics", metrics.body)], &probes, "while the service runs");
    assert!(plain > 0, "the search does not see the write-ahead files");
    assert_eq!(service.stop(), Some(0));
    let sealed = search(home.path(), &[], &probes, "once it is stopped");
    assert!(sealed.iter().all(|seen| *seen > 0), "the search does not see the sealed files: {sealed:?}");
    assert_eq!(verify(home.path()).0, 0);
    println!(
        "{} secrets, {} pieces, none left; {missed_in_sql} of {asked_count} not asked about in SQL, where they are missed",
        planted.len(),
        probes.len()
    );
}

/// Runs the program with something on its standard input.
fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(tacho())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_would_be_removed_is_shown_and_never_what_it_was() {
    let mut random = Random::new(7);
    let secret = random.expand("ghp_{A36}");
    let event = json!({ "arguments": { "note": format!("use {secret} now") }, "password": "Tr0ub4dor" });
    let shown = with_input(&["redaction", "test"], &format!("{event}\n{{\"a\":1}}\n"));
    let out = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    assert!(
        out.contains("1:") && out.contains("github_token in arguments, 40 bytes: has the form of one"),
        "{out}"
    );
    assert!(out.contains("password in password, 9 bytes: is named as one"), "{out}");
    assert!(out.contains("{\"a\":1}") && !out.contains(&secret) && !out.contains("Tr0ub4dor"), "{out}");

    let shown = with_input(&["redaction", "test", "--json", "-"], &format!("a\npostgres://u:{secret}x@h/d"));
    let out: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(out["findings"][0]["line"], 2, "{out}");
    assert!(!out.to_string().contains(&secret), "{out}");
    let clean = with_input(&["redaction", "test"], "nothing to see here");
    assert_eq!((clean.status.code(), text(&clean.stdout).as_str()), (Some(0), "nothing to see here\n"));

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tacho.toml");
    std::fs::write(&file, "[redaction.tenants.acme]\nemail = \"mask\"\n").unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let test = |tenant: &str| {
        let arguments = [&["redaction", "test", "--tenant", tenant], &config[..]].concat();
        text(&with_input(&arguments, "to jane.doe@example.com").stdout)
    };
    assert!(
        test("acme").contains("personal data") && test("acme").contains("j***@example.com"),
        "{}",
        test("acme")
    );
    assert_eq!(test("other"), "to jane.doe@example.com\n");
    assert_eq!(run(&["redaction", "test", "/nowhere"]).status.code(), Some(2));
}

#[test]
fn a_review_is_drawn_at_random_and_its_verdict_is_on_the_access_log() {
    let home = tempfile::tempdir().unwrap();
    let (data, keys) = (home.path().join("data"), home.path().join("keys"));
    let place = ["--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
    let with_place = |command: &[&str]| run(&[command, &place].concat());
    let service = Service::start(home.path(), &[]);
    let body: Vec<String> = (0..40).map(|at| crate::support::event(&format!("e-{at}"))).collect();
    assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);

    let drawn = with_place(&["redaction", "sample", "--rows", "5", "--json"]);
    let said = text(&drawn.stderr);
    assert_eq!(drawn.status.code(), Some(0), "{said}");
    let events: Vec<Value> =
        text(&drawn.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 5);
    let sample = said.split(' ').nth(1).unwrap().to_owned();
    let index = events[2]["log_index"].as_u64().unwrap();

    // In the name of whoever reviews: of a responder here, of the machine's user there.
    let made = service.send(
        "POST",
        "/api/v1/tokens",
        &[("content-type", "application/json")],
        br#"{"role":"responder","tenant":"default"}"#,
    );
    let responder = made.json();
    let bearer = format!("Bearer {}", responder["token"].as_str().unwrap());
    let post = |bearer: &str, path: &str, body: &Value| {
        let headers = [("authorization", bearer), ("content-type", "application/json")];
        crate::support::request(&service.address, "POST", path, &headers, body.to_string().as_bytes())
            .unwrap()
    };
    let path = format!("/api/v1/redaction/samples/{sample}/verdict");
    let secret = Random::new(3).expand("glpat-{A20}");
    let missed =
        json!({ "missed": [{ "log_index": index, "what": "cookie" }], "note": format!("it was {secret}") });
    assert_eq!(post(&bearer, &path, &missed).status, 201);
    let clean = with_place(&["redaction", "verdict", &sample, "--clean"]);
    assert_eq!(text(&clean.stdout), "recorded: clean, 0 of 5 events\n", "{clean:?}");

    let reviews = service.sql(
        "SELECT principal, statement, redactions FROM access WHERE action = 'redaction_review' ORDER BY log_index",
    );
    assert_eq!(reviews.len(), 2, "{reviews:?}");
    assert_eq!(reviews[0]["principal"], responder["id"]);
    let statement = reviews[0]["statement"].as_str().unwrap();
    assert!(statement.contains("\"verdict\":\"missed\"") && statement.contains(&sample), "{statement}");
    assert!(!statement.contains(&secret) && statement.contains("<redacted:gitlab_token:"), "{statement}");
    assert_eq!(reviews[0]["redactions"], json!(["gitlab_token:1:statement"]));
    assert!(reviews[1]["principal"].as_str().unwrap().starts_with("os:"), "{reviews:?}");
    let drawn = service.sql("SELECT statement FROM access WHERE action = 'redaction_sample'");
    assert!(drawn[0]["statement"].as_str().unwrap().contains(&sample), "{drawn:?}");

    // What is not a sample, not in it, or not for this role.
    let other = format!("/api/v1/redaction/samples/{}/verdict", sample.replacen("0-", "1-", 1));
    assert_eq!(post(&bearer, &other, &json!({ "missed": [] })).status, 404);
    let outside = json!({ "missed": [{ "log_index": 999_999 }] });
    assert_eq!(post(&bearer, &path, &outside).json()["code"], "bad_verdict");
    let unknown = json!({ "missed": [], "verdict": "clean" });
    assert_eq!(post(&bearer, &path, &unknown).json()["code"], "request");
    for rows in [0, 501] {
        let answer = post(&bearer, "/api/v1/redaction/samples", &json!({ "rows": rows }));
        assert_eq!(answer.json()["code"], "bad_sample", "{rows}");
    }
    let long = json!({ "missed": [], "note": "x".repeat(13 << 10) });
    assert_eq!(post(&bearer, &path, &long).status, 413);
    let auditor = service.send(
        "POST",
        "/api/v1/tokens",
        &[("content-type", "application/json")],
        br#"{"role":"auditor","tenant":"default"}"#,
    );
    let auditor = format!("Bearer {}", auditor.json()["token"].as_str().unwrap());
    assert_eq!(post(&auditor, "/api/v1/redaction/samples", &json!({ "rows": 1 })).status, 403);
    assert_eq!(service.stop(), Some(0));
    assert_eq!(verify(home.path()).0, 0);
}

#[test]
fn personal_data_is_recorded_as_the_tenant_decides() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tacho.toml");
    std::fs::write(
        &file,
        "[redaction]\nemail = \"pseudonymise\"\ncard = \"mask\"\n[redaction.tenants.acme]\nemail = \"drop\"\n",
    )
    .unwrap();
    let service = Service::start(home.path(), &[("TACHO_CONFIG", file.to_str().unwrap())]);
    let event = |id: &str| {
        json!({
            "event_id": id, "time": "2026-11-21T10:00:00Z", "kind": "call", "decision": "allow", "status": "ok",
            "user_id": "Jane.Doe@example.com", "arguments": { "to": "jane.doe@example.com", "card": "4111 1111 1111 1111" },
        })
    };
    assert_eq!(service.post_events(event("a").to_string().as_bytes()).status, 200);
    let rows = service.sql("SELECT e.user_id, p.arguments, e.redactions FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE e.event_id = 'a'");
    let user = rows[0]["user_id"].as_str().unwrap();
    let arguments = rows[0]["arguments"].as_str().unwrap();
    assert!(user.starts_with("email-") && arguments.contains(user), "{rows:?}");
    assert!(arguments.contains("****1111"), "{arguments}");
    assert_eq!(rows[0]["redactions"], json!(["card:1:arguments", "email:1:arguments", "email:1:user_id"]));
    // Another tenant of the same service has its own policy.
    let place = [home.path().join("data"), home.path().join("keys")];
    let made = run(&[
        "token",
        "create",
        "--role",
        "admin",
        "--tenant",
        "acme",
        "--data",
        place[0].to_str().unwrap(),
        "--keys",
        place[1].to_str().unwrap(),
    ]);
    let token: Value = serde_json::from_slice(&made.stdout).unwrap();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let send = |path: &str, body: &Value| {
        crate::support::request(&service.address, "POST", path, &headers, body.to_string().as_bytes())
            .unwrap()
    };
    assert_eq!(send("/v1/events", &event("b")).status, 200);
    let asked = json!({ "query": "SELECT e.user_id, p.arguments FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE e.event_id = 'b'", "format": "json" });
    let rows = send("/api/v1/sql", &asked).json();
    assert_eq!(rows[0]["user_id"], "<redacted:email>", "{rows}");
    assert!(rows[0]["arguments"].as_str().unwrap().contains("****1111"), "{rows}");
    assert_eq!(service.stop(), Some(0));
    for file in files_below(home.path()) {
        let bytes = [vec![contents(&file)], unpacked(&contents(&file))].concat().concat();
        for personal in ["jane.doe@", "Jane.Doe@", "4111 1111 1111"] {
            let found = bytes.windows(personal.len()).any(|window| window == personal.as_bytes());
            assert!(!found, "{personal} in {}", file.display());
        }
    }
}
