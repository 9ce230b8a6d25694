//! Proofs that leave the building: made by the service and the command, checked by `tacho-verify` with the root key alone,
//! and given to nobody who does not see what is in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use schemas::note::VerifierKey;
use schemas::proof::{Document, Proof};
use serde_json::{Value, json};

use crate::support::{Answer, Service, event, eventually, request, run};

const LOG: &str = "/api/v1/logs/default/events/w1";
const ROOT: &str = "/api/v1/logs/_root/root/w1";

pub(super) fn tacho_verify(arguments: &[&str]) -> (Option<i32>, String) {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tacho")).with_file_name("tacho-verify");
    let output = Command::new(program).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn root_key(home: &Path) -> String {
    let (data, keys) = (home.join("data"), home.join("keys"));
    let shown =
        run(&["keys", "show", "--root", "--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()]);
    String::from_utf8(shown.stdout).unwrap().lines().last().unwrap().to_string()
}

/// A token, made at the service's own socket: for any tenant.
pub(super) fn token(role: &str, tenant: &str, home: &Path) -> String {
    let data = home.join("data");
    let made =
        run(&["token", "create", "--role", role, "--tenant", tenant, "--data", data.to_str().unwrap()]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["token"].as_str().unwrap().to_string()
}

pub(super) fn get(service: &Service, token: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    request(&service.address, "GET", path, &[("authorization", bearer.as_str())], b"").unwrap()
}

fn post(service: &Service, events: std::ops::Range<u32>) {
    let body: Vec<String> = events.map(|at| event(&format!("e-{at}"))).collect();
    assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);
}

#[test]
fn a_proof_is_made_by_the_command_and_checked_without_the_service() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_ROLES", "ingest,query")]);
    post(&service, 0..600);
    let url = format!("http://{}", service.address);
    let token_file = home.path().join("keys/admin.token");
    let at = |name: &str| home.path().join(name).display().to_string();
    let prove = |more: &[&str]| {
        let to = ["prove", "--url", &url, "--token-file", token_file.to_str().unwrap()];
        let output = run(&[&to[..], more].concat());
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    // Right after it was taken: the answer waits for the checkpoint.
    let (code, said) = prove(&["e-599", "--out", &at("proof.json")]);
    assert_eq!(code, Some(0), "{said}");
    let key = root_key(home.path());
    let (code, said) = tacho_verify(&["proof", &at("proof.json"), "--key", &key]);
    assert!(code == Some(0) && said.contains("PROVED: entry 600 of log"), "{code:?} {said}");
    assert!(said.contains("known to the root log: size 601"), "{said}");
    assert!(said.contains("event_id: e-599") && said.contains("Does not prove"), "{said}");
    assert_eq!(
        tacho_verify(&["proof", &at("proof.json"), "--key", &key, "--quiet"]),
        (Some(0), String::new())
    );

    let text = std::fs::read_to_string(home.path().join("proof.json")).unwrap();
    let document = Document::parse(text.as_bytes()).unwrap();
    let log_key = document.log_opened.as_ref().unwrap();
    assert!(log_key.index > 0, "the root log's own entry is 0");
    for (name, changed) in [
        ("entry", json!({"index": document.index, "entry": document.log_opened.as_ref().unwrap().entry})),
        ("index", json!({"index": 1})),
        ("origin", json!({"origin": document.origin.replace("events", "alerts")})),
        ("opened", json!({"log_opened": Value::Null})),
        ("round", json!({"round": Value::Null})),
        ("more", json!({"more": 1})),
    ] {
        let mut other: Value = serde_json::from_str(&text).unwrap();
        other.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        std::fs::write(home.path().join("other.json"), other.to_string()).unwrap();
        let (code, said) = tacho_verify(&["proof", &at("other.json"), "--key", &key]);
        assert!(code == Some(1) && said.starts_with("NOT PROVED"), "{name}: {code:?} {said}");
    }
    let stranger =
        VerifierKey::new("other-1/_root/root/w1", &key.parse::<VerifierKey>().unwrap().key_bytes());
    let (code, said) = tacho_verify(&["proof", &at("proof.json"), "--key", &stranger.unwrap().to_string()]);
    assert_eq!(code, Some(1), "another root log: {said}");
    assert_eq!(tacho_verify(&["proof", &at("nothing.json"), "--key", &key]).0, Some(2));
    assert_eq!(tacho_verify(&["proof", &at("proof.json"), "--key", "nonsense"]).0, Some(2));

    // Whoever names a file of what is remembered wants the proof held against it: nothing in it tells nothing.
    let nowhere = ["proof", &at("proof.json"), "--key", &key, "--remember", &at("seen.json")];
    assert_eq!(tacho_verify(&nowhere).0, Some(2), "there is no such file");
    std::fs::write(home.path().join("seen.json"), r#"{"version":1,"roots":[]}"#).unwrap();
    let (code, said) = tacho_verify(&nowhere);
    assert!(code == Some(2) && said.contains("remembers nothing of"), "{code:?} {said}");
    // A remembered root checkpoint is held against the proof, where the proof goes on from it.
    let root = |document: &Document| document.verify(&key.parse().unwrap()).unwrap().root;
    let seen = root(&document);
    let remember = |root: &str| {
        let roots = json!([{"origin": seen.origin.to_string(), "size": seen.size, "root": root}]);
        std::fs::write(home.path().join("seen.json"), json!({"version": 1, "roots": roots}).to_string())
            .unwrap();
    };
    remember(&seen.root.to_base64());
    let remembered =
        |file: &str| tacho_verify(&["proof", &at(file), "--key", &key, "--remember", &at("seen.json")]);
    assert_eq!(remembered("proof.json").0, Some(0));
    let of = |name: &str| serde_json::from_slice::<Value>(&service.send("GET", name, &[], b"").body).unwrap();
    eventually("the root log grows", || {
        let checkpoint = get(&service, &service.token, &format!("{ROOT}/checkpoint")).text();
        checkpoint.lines().nth(1).unwrap().parse::<u64>().unwrap() > seen.size
    });
    assert_eq!(prove(&["--index", "3", "--out", &at("newer.json")]).0, Some(0));
    assert_eq!(remembered("newer.json").0, Some(2), "it does not say");
    let since = seen.size.to_string();
    assert_eq!(prove(&["--index", "3", "--since", &since, "--out", &at("newer.json")]).0, Some(0));
    let (code, said) = remembered("newer.json");
    assert_eq!(code, Some(0), "{said}");
    remember(&schemas::tree::empty_root().to_base64());
    let (code, said) = remembered("newer.json");
    assert!(code == Some(1) && said.contains("remembered at size"), "{code:?} {said}");

    let consistent = of("/api/v1/proofs/consistency?old=256");
    assert_eq!((consistent["old"].as_u64(), consistent["new"].as_u64()), (Some(256), Some(601)));
    assert_eq!(prove(&["e-nobody"]).0, Some(1), "no such event");
    let asked =
        service.sql("SELECT status FROM access WHERE action = 'prove' AND statement LIKE '%event e-nobody'");
    assert_eq!(asked, [json!({"status": "error"})], "who asks for ids is on record, found or not");
    assert_eq!(prove(&["--index", "601"]).0, Some(1), "no such entry");
    let (code, said) = prove(&["--index", "3", "--since", "1000000"]);
    assert!(code == Some(1) && said.contains("no checkpoint of size 1000000"), "at once: {code:?} {said}");
    let alone = prove(&["--stream", "root", "--tenant", "_root", "--index", "0"]);
    let alone = Document::parse(alone.1.trim().as_bytes()).unwrap();
    alone.verify(&key.parse().unwrap()).unwrap();
    let recorded = service.sql("SELECT count(*) AS n FROM access WHERE action = 'prove' AND status = 'ok'");
    assert_eq!(recorded[0]["n"].as_u64(), Some(4), "every proof that left is on the access log");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn tiles_are_for_whoever_asks_and_entries_for_whoever_sees_all_of_them() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("tacho.toml"), "[policy.responder]\ncolumns = { user_id = \"mask\" }\n")
        .unwrap();
    let config = home.path().join("tacho.toml").display().to_string();
    let service = Service::start(home.path(), &[("TACHO_CONFIG", &config), ("TACHO_ROLES", "ingest,query")]);
    post(&service, 0..300);
    eventually("signed", || {
        get(&service, &service.token, &format!("{LOG}/checkpoint")).text().contains("\n301\n")
    });
    let [auditor, responder, collector, operator] =
        ["auditor", "responder", "collector", "operator"].map(|role| token(role, "default", home.path()));
    let elsewhere = token("admin", "acme", home.path());
    let of = |who: &str, path: &str| get(&service, who, path).status;
    for (path, statuses) in [
        // admin, auditor, a role with a policy, collector, operator, another tenant's admin
        (format!("{LOG}/checkpoint"), [200, 200, 200, 403, 403, 404]),
        // Hashes would confirm guesses at what its policy hides.
        (format!("{LOG}/tile/0/000"), [200, 200, 403, 403, 403, 404]),
        (format!("{LOG}/tile/0/001.p/45"), [200, 200, 403, 403, 403, 404]),
        (format!("{LOG}/tile/0/001.p/46"), [404, 404, 403, 403, 403, 404]),
        (format!("{LOG}/tile/0/001"), [404, 404, 403, 403, 403, 404]),
        (format!("{LOG}/tile/1/000.p/1"), [200, 200, 403, 403, 403, 404]),
        (format!("{LOG}/tile/2/000.p/1"), [404, 404, 403, 403, 403, 404]),
        (format!("{LOG}/tile/4294967295/000"), [404, 404, 403, 403, 403, 404]),
        (format!("{LOG}/tile/0/0"), [404, 404, 404, 403, 403, 404]),
        (format!("{LOG}/tile/entries/000"), [200, 200, 403, 403, 403, 404]),
        (format!("{LOG}/tile/entries/001.p/45"), [200, 200, 403, 403, 403, 404]),
        ("/api/v1/logs/default/events/w2/checkpoint".to_string(), [404, 404, 404, 403, 403, 404]),
        (format!("{ROOT}/checkpoint"), [200, 200, 200, 403, 403, 200]),
        (format!("{ROOT}/tile/0/000.p/1"), [200, 200, 200, 403, 403, 200]),
        (format!("{ROOT}/tile/entries/000.p/1"), [200, 403, 403, 403, 403, 403]),
        ("/api/v1/proofs?index=7".to_string(), [200, 200, 403, 403, 403, 404]),
        ("/api/v1/proofs?event_id=e-7".to_string(), [200, 200, 403, 403, 403, 404]),
        ("/api/v1/proofs?index=7&tenant=default".to_string(), [200, 200, 403, 403, 403, 404]),
        ("/api/v1/proofs?index=7&stream=nonsense".to_string(), [404, 404, 404, 403, 403, 404]),
        ("/api/v1/proofs?index=7&event_id=e-7".to_string(), [400, 400, 403, 403, 403, 404]),
        ("/api/v1/proofs?index=seven".to_string(), [400, 400, 400, 403, 403, 400]),
        ("/api/v1/proofs/consistency?old=1&new=301".to_string(), [200, 200, 403, 403, 403, 404]),
        ("/api/v1/proofs/consistency?old=2&new=1".to_string(), [400, 400, 403, 403, 403, 404]),
        ("/api/v1/proofs/consistency?old=1&new=302".to_string(), [404, 404, 403, 403, 403, 404]),
        (
            "/api/v1/proofs/consistency?tenant=_root&stream=root&old=1".to_string(),
            [200, 200, 200, 403, 403, 200],
        ),
    ] {
        let who = [&service.token, &auditor, &responder, &collector, &operator, &elsewhere];
        assert_eq!(who.map(|who| of(who, &path)), statuses, "{path}");
    }
    let headers = |path: &str| get(&service, &auditor, path).headers;
    let tile = headers(&format!("{LOG}/tile/0/000"));
    assert_eq!(tile["content-type"], "application/octet-stream");
    assert!(tile["cache-control"].contains("immutable"), "{tile:?}");
    for path in ["?index=7", "?index=999999", "?index=x", "/consistency?old=1", "/consistency?old=2&new=1"] {
        let kept = headers(&format!("/api/v1/proofs{path}"));
        assert_eq!(kept["cache-control"], "private, no-store", "{path}");
    }
    let checkpoint = headers(&format!("{LOG}/checkpoint"));
    assert_eq!(checkpoint["content-type"], "text/plain; charset=utf-8");
    assert!(checkpoint["cache-control"].contains("no-cache"), "{checkpoint:?}");
    let by_auditor = service.sql(
        "SELECT statement, rows FROM access WHERE action = 'entry_bundle' AND role = 'auditor' AND status = 'ok' ORDER BY log_index",
    );
    assert_eq!(by_auditor.len(), 2, "{by_auditor:?}");
    assert!(by_auditor[0]["statement"].as_str().unwrap().ends_with("tile/entries/000"));
    assert_eq!(by_auditor[1]["rows"].as_u64(), Some(45));
    let refused = service
        .sql("SELECT count(*) AS n FROM access WHERE decision = 'deny' AND role = 'responder' AND action = 'prove'");
    assert!(refused[0]["n"].as_u64() > Some(0), "who was turned away is on record");
    // The same id twice, with other content: which one is meant must be said.
    let other = event("e-7").replace("1200", "7");
    assert_eq!(service.post_events(other.as_bytes()).status, 200);
    let twice = get(&service, &auditor, "/api/v1/proofs?event_id=e-7");
    assert!(twice.status == 409 && twice.text().contains("[8, 301]"), "{}", twice.text());
    let proof = get(&service, &auditor, "/api/v1/proofs?index=301").json();
    Proof::parse(proof["proof"].as_str().unwrap()).unwrap();
    assert_eq!(service.stop(), Some(0));
}
