//! What earlier writers recorded leaves the building as what the present one does: proved offline with the first root key and with
//! the newest, through rotations and adoptions, and served as tiles under its own name.

use std::path::PathBuf;

use schemas::checkpoint::Checkpoint;
use schemas::note::VerifierKey;
use schemas::proof::Document;
use schemas::tree::{Hash, leaf_hash, root};
use serde_json::{Value, json};

use super::proofs::{get, tacho_verify, token};
use super::successors::{Home, copy, post};
use crate::support::{Answer, Service, event, eventually, run, service_log};

/// The present writer of a home.
fn writer(home: &Home) -> String {
    let key = home.root_key();
    key.split('+').next().unwrap().rsplit('/').next().unwrap().to_string()
}

/// A proof that the command takes away, and its file.
fn prove(home: &Home, service: &Service, name: &str, what: &[&str]) -> (Document, PathBuf) {
    let (url, out) = (format!("http://{}", service.address), home.path(name));
    let token = home.path("keys/admin.token").display().to_string();
    let file = out.display().to_string();
    let mut arguments = vec!["prove"];
    arguments.extend(what);
    arguments.extend(["--url", &url, "--token-file", &token, "--out", &file]);
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{what:?}: {output:?}");
    (Document::parse(&std::fs::read(&out).unwrap()).unwrap(), out)
}

/// Checks a proof offline, as whoever has this key does.
fn checked(file: &std::path::Path, key: &str) -> (Option<i32>, String) {
    tacho_verify(&["proof", &file.display().to_string(), "--key", key])
}

fn assert_proved(file: &std::path::Path, key: &str, event_id: &str) -> String {
    let (code, said) = checked(file, key);
    assert!(code == Some(0) && said.contains(&format!("event_id: {event_id}\n")), "{key}: {code:?} {said}");
    said
}

/// The same proof with something of it changed, which must prove nothing to anybody with one of these keys.
fn assert_refused(home: &Home, document: &Document, keys: &[&str], why: &str) {
    let file = home.path("changed.json");
    std::fs::write(&file, serde_json::to_string(document).unwrap()).unwrap();
    for key in keys {
        let (code, said) = checked(&file, key);
        assert!(code == Some(1) && said.starts_with("NOT PROVED"), "{why}, {key}: {code:?} {said}");
    }
}

fn asked(service: &Service, path: &str) -> Answer {
    service.send("GET", path, &[], b"")
}

#[test]
fn entries_from_before_rotations_are_proved_from_the_first_key_and_from_the_newest() {
    let home = Home::new();
    home.record("a", 120);
    let first = home.root_key();
    home.told(&["keys", "rotate"]);
    home.record("b", 30);
    let second = home.root_key();
    let middle = writer(&home);
    // Before one rotation.
    let service = home.start();
    let (document, file) = prove(&home, &service, "before-one.json", &["a-3"]);
    assert_eq!(document.successors.len(), 1);
    for key in [&first, &second] {
        assert_proved(&file, key, "a-3");
    }
    assert_eq!(service.stop(), Some(0));
    home.told(&["keys", "rotate"]);
    home.record("c", 5);
    let newest = home.root_key();
    let keys = [first.as_str(), &second, &newest];

    // Before two, and one; all of the time since.
    let service = home.start();
    let (document, file) = prove(&home, &service, "a.json", &["a-3"]);
    for (at, key) in keys.iter().enumerate() {
        let said = assert_proved(&file, key, "a-3");
        assert_eq!(said.matches("goes on from").count(), at, "{said}");
    }
    let (of_middle, file) = prove(&home, &service, "b.json", &["b-29"]);
    assert_eq!((of_middle.successors.len(), checked(&file, &first).0), (1, Some(1)));
    assert_proved(&file, &second, "b-29");
    assert_proved(&file, &newest, "b-29");
    let (of_newest, file) = prove(&home, &service, "c.json", &["c-4"]);
    assert!(of_newest.successors.is_empty());
    assert_proved(&file, &newest, "c-4");
    // The last entry of a log, and one of the root log, by their places.
    let (ended, _) = prove(&home, &service, "end.json", &["--writer", "w1", "--index", "121"]);
    let parsed: Vec<VerifierKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
    for key in &parsed {
        let proved = ended.verify(key).unwrap();
        assert!(String::from_utf8_lossy(&proved.entry).contains("\"succession\""));
    }
    let root = ["--tenant", "_root", "--stream", "root", "--index", "1", "--writer"];
    for (writer, successors) in [("w1", 2), (middle.as_str(), 1)] {
        let (of_root, file) = prove(&home, &service, "root.json", &[&root[..], &[writer]].concat());
        assert_eq!(of_root.successors.len(), successors);
        assert_eq!(checked(&file, &newest).0, Some(0));
    }
    // From an older size of each root log that had come so far.
    let (since, _) = prove(&home, &service, "since.json", &["a-3", "--since", "3"]);
    for (key, at) in parsed.iter().zip(0..) {
        let proved = since.verify(key).unwrap();
        let (tenant, writer) = (proved.root.origin.tenant(), proved.root.origin.writer());
        let path = format!("/api/v1/proofs/consistency?tenant={tenant}&stream=root&old=3&writer={writer}");
        let consistent = asked(&service, &path).json();
        let old = Hash::from_base64(consistent["old_root"].as_str().unwrap()).unwrap();
        assert!(since.extends(&proved, 3, &old).unwrap(), "{at}");
        assert!(since.extends(&proved, 3, &leaf_hash(b"")).is_err(), "{at}");
    }

    // What is no proof to anybody.
    let other = Home::new();
    other.record("a", 120);
    let stranger = other.root_key();
    other.told(&["keys", "rotate"]);
    let other_service = other.start();
    let (theirs, _) = prove(&other, &other_service, "theirs.json", &["a-3"]);
    assert_eq!(checked(&home.path("a.json"), &stranger).0, Some(1));
    assert_eq!(checked(&home.path("a.json"), &other.root_key()).0, Some(1));
    let mut changed = document.clone();
    changed.successors.remove(0);
    assert_refused(&home, &changed, &keys, "a step left out");
    changed.successors.clear();
    assert_refused(&home, &changed, &keys[1..], "no step");
    let mut changed = document.clone();
    changed.successors[0] = theirs.successors[0].clone();
    assert_refused(&home, &changed, &keys, "the predecessor of another installation");
    assert_refused(&home, &changed, &[&other.root_key()], "to those of the other installation too");
    let mut changed = document.clone();
    let hashes = &document.round.as_ref().unwrap().hashes;
    changed.successors[1].hashes.clone_from(hashes);
    assert_refused(&home, &changed, &keys, "hashes where none are to be");
    let text = serde_json::to_string(&document).unwrap();
    let successors = text.find("\"successors\"").unwrap();
    for at in (successors..text.len()).step_by(41) {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = Document::parse(&changed) else { continue };
        assert!(parsed.iter().all(|key| changed.verify(key).is_err()), "byte {at}");
    }
    assert_eq!(service.stop(), Some(0), "{}", service_log(home.dir.path()));
}

#[test]
fn earlier_logs_are_addressed_by_their_writers_and_served_as_tiles() {
    let home = Home::new();
    std::fs::write(home.path("tacho.toml"), "[policy.responder]\ncolumns = { user_id = \"mask\" }\n")
        .unwrap();
    home.record("a", 300);
    home.told(&["keys", "rotate"]);
    let config = home.path("tacho.toml").display().to_string();
    let service = home.start_with(&[("TACHO_CONFIG", &config)]);
    let now = writer(&home);
    // The same id in both logs, with other content: each is named.
    let again = event("a-7").replace("1200", "7");
    assert_eq!(service.post_events(again.as_bytes()).status, 200);
    let ambiguous = asked(&service, "/api/v1/proofs?event_id=a-7");
    let index = service.sql("SELECT log_index FROM events WHERE event_id = 'a-7' AND log_index >= 0");
    let index = index[0]["log_index"].as_u64().unwrap();
    let expected = format!("[8] of writer w1, [{index}] of writer {now}");
    assert!(ambiguous.status == 409 && ambiguous.text().contains(&expected), "{}", ambiguous.text());
    for (writer, at) in [("w1", 8), (now.as_str(), index)] {
        let by_id = asked(&service, &format!("/api/v1/proofs?event_id=a-7&writer={writer}"));
        assert_eq!(by_id.status, 200, "{}", by_id.text());
        assert_eq!(by_id.json()["index"].as_u64(), Some(at));
        let by_place = asked(&service, &format!("/api/v1/proofs?index={at}&writer={writer}")).json();
        assert_eq!(by_place["entry"], by_id.json()["entry"]);
    }
    for (path, status, code) in [
        ("event_id=a-7&writer=w2", 404, "not_found"),
        ("event_id=nobody", 404, "not_found"),
        ("event_id=nobody&writer=w1", 404, "not_found"),
        ("index=302&writer=w1", 404, "not_found"),
        ("index=7&writer=../w1", 404, "not_found"),
        ("index=7&writer=w1&since=1000000", 404, "not_found"),
        ("index=7&writer=w1&witnessed=true", 409, "not_witnessed"),
    ] {
        let answer = asked(&service, &format!("/api/v1/proofs?{path}"));
        assert!(answer.status == status && answer.text().contains(code), "{path}: {}", answer.text());
    }
    // A bundle of rows that are in an earlier log, or in both, is refused by name.
    for request in [
        json!({"sql": "SELECT log_index FROM events WHERE event_id = 'a-7'"}),
        json!({"sql": "SELECT log_index FROM events WHERE event_id = 'a-9'"}),
        json!({"range": "2020-01-01T00:00:00Z..2100-01-01T00:00:00Z"}),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = service.send("POST", "/api/v1/evidence", &headers, request.to_string().as_bytes());
        assert!(
            answer.status == 409 && answer.text().contains("earlier_log"),
            "{request}: {}",
            answer.text()
        );
    }

    // Its tree, from its own tiles and entries.
    let log = "/api/v1/logs/default/events/w1";
    let proof = asked(&service, "/api/v1/proofs?index=8&writer=w1");
    let document = Document::parse(proof.text().as_bytes()).unwrap();
    let checkpoint = asked(&service, &format!("{log}/checkpoint"));
    assert!(checkpoint.headers["cache-control"].contains("no-cache"));
    let opened = log_key(&document);
    let checkpoint = Checkpoint::open(&checkpoint.body, &opened).unwrap();
    assert_eq!(checkpoint.size, 302, "entry 0, the events, and the last entry");
    let (mut leaves, mut hashes) = (Vec::new(), Vec::new());
    for tile in ["000", "001.p/46"] {
        let bundle = asked(&service, &format!("{log}/tile/entries/{tile}"));
        assert_eq!((bundle.status, bundle.headers["cache-control"].as_str()), (200, "private, no-store"));
        leaves.extend(split(&bundle.body).iter().map(|entry| leaf_hash(entry)));
        let tile = asked(&service, &format!("{log}/tile/0/{tile}"));
        assert!(tile.headers["cache-control"].contains("immutable"));
        hashes.extend(tile.body.chunks(32).map(|hash| Hash(hash.try_into().unwrap())));
    }
    assert!(leaves == hashes && root(&leaves) == checkpoint.root);
    assert_eq!(asked(&service, &format!("{log}/tile/1/000.p/1")).body, root(&leaves[..256]).0);
    let consistent = asked(&service, "/api/v1/proofs/consistency?writer=w1&old=256").json();
    assert_eq!(consistent["old_root"], root(&leaves[..256]).to_base64());
    assert_eq!(consistent["new"].as_u64(), Some(302));

    // Who may is as with the present log.
    let who = ["auditor", "responder", "collector"].map(|role| token(role, "default", home.dir.path()));
    let elsewhere = token("admin", "acme", home.dir.path());
    for (path, statuses) in [
        (format!("{log}/checkpoint"), [200, 200, 403, 404]),
        (format!("{log}/tile/0/000"), [200, 403, 403, 404]),
        (format!("{log}/tile/entries/000"), [200, 403, 403, 404]),
        (format!("{log}/tile/0/001"), [404, 403, 403, 404]),
        ("/api/v1/proofs?index=7&writer=w1".to_string(), [200, 403, 403, 404]),
        ("/api/v1/proofs/consistency?old=1&writer=w1".to_string(), [200, 403, 403, 404]),
        ("/api/v1/logs/_root/root/w1/checkpoint".to_string(), [200, 200, 403, 200]),
        ("/api/v1/logs/_root/root/w1/tile/0/000.p/3".to_string(), [200, 200, 403, 200]),
        ("/api/v1/logs/_root/root/w1/tile/entries/000.p/3".to_string(), [403, 403, 403, 403]),
        ("/api/v1/proofs?tenant=_root&stream=root&writer=w1&index=0".to_string(), [403, 403, 403, 403]),
        ("/api/v1/logs/default/events/w9/checkpoint".to_string(), [404, 404, 403, 404]),
    ] {
        let asked = [&who[0], &who[1], &who[2], &elsewhere].map(|who| get(&service, who, &path).status);
        assert_eq!(asked, statuses, "{path}");
    }
    let by_auditor = service.sql(
        "SELECT statement FROM access WHERE role = 'auditor' AND status = 'ok' AND action IN ('prove', 'entry_bundle') \
         ORDER BY log_index",
    );
    let statements: Vec<&str> = by_auditor.iter().map(|row| row["statement"].as_str().unwrap()).collect();
    assert!(
        statements.len() == 2 && statements.iter().all(|said| said.contains("/default/events/w1 ")),
        "{statements:?}"
    );

    // A changed byte below it gives errors, and no wrong tile or proof.
    let tile = home.path("data/log/default/events/w1/tile/0/000");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[32 * 100] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    for path in [
        format!("{log}/tile/0/000"),
        format!("{log}/tile/entries/000"),
        "/api/v1/proofs?index=8&writer=w1".to_string(),
    ] {
        let answer = asked(&service, &path);
        assert!(answer.status == 500 && answer.text().contains("damaged"), "{path}: {}", answer.text());
    }
    assert_eq!(
        asked(&service, &format!("/api/v1/proofs?index={index}")).status,
        200,
        "the present log is whole"
    );
    assert_eq!(service.stop(), Some(0), "{}", service_log(home.dir.path()));
}

/// The key of the log, which the root log names.
fn log_key(document: &Document) -> VerifierKey {
    use base64::Engine as _;
    let opened = document.log_opened.as_ref().unwrap();
    let entry = base64::engine::general_purpose::STANDARD.decode(&opened.entry).unwrap();
    match schemas::control::Control::of_root_entry(&entry).unwrap() {
        Some(schemas::control::Control::LogOpened(opened)) => opened.key.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Entries of a bundle.
fn split(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

#[test]
fn entries_from_before_a_restored_copy_was_adopted_are_proved_as_far_as_they_are_kept() {
    let home = Home::new();
    home.record("a", 60);
    let first = home.root_key();
    // What is sealed after the last round that the root log has sealed: on record, and tied to the root log by nothing.
    let service = home.start();
    post(&service, "b", 60);
    eventually("a segment of it", || {
        service.sql("SELECT sealed FROM checkpoints WHERE stream = 'events'")[0]["sealed"].as_u64() > Some(62)
    });
    let backup = home.path("backup").display().to_string();
    home.told(&["backup", &backup]);
    // This is lost, and was signed.
    post(&service, "c", 9);
    assert_eq!(service.stop(), Some(0), "{}", service_log(home.dir.path()));

    let restored = Home::new();
    copy(&home.path("keys"), &restored.path("keys"));
    std::fs::copy(&home.machine, &restored.machine).unwrap();
    let (data, keys) =
        (restored.path("data").display().to_string(), restored.path("keys").display().to_string());
    home.told(&["restore", &backup, "--to", &data, "--keys", &keys]);
    restored.told(&["adopt", "--reason", "the disk of the first died"]);
    restored.record("d", 3);
    let second = restored.root_key();
    restored.told(&["keys", "rotate"]);
    restored.record("e", 3);
    let newest = restored.root_key();

    let service = restored.start();
    let (document, file) = prove(&restored, &service, "a.json", &["a-3"]);
    assert_eq!(document.successors.len(), 2);
    for key in [&first, &second, &newest] {
        assert_proved(&file, key, "a-3");
    }
    let (_, said) = checked(&file, &newest);
    assert!(said.contains("are lost: "), "{said}");
    assert!(!checked(&file, &first).1.contains("are lost"), "the first key does not say so");
    let (_, file) = prove(&restored, &service, "d.json", &["d-1"]);
    for key in [&second, &newest] {
        assert_proved(&file, key, "d-1");
    }
    assert_eq!(checked(&file, &first).0, Some(1));
    let mut changed = document.clone();
    changed.successors.clear();
    assert_refused(&restored, &changed, &[&second, &newest], "no step");
    changed.successors = vec![document.successors[1].clone()];
    assert_refused(&restored, &changed, &[&first, &second, &newest], "a step left out");

    // Kept, and not known to its root log: no proof of it, and it says so.
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE event_id = 'b-0'");
    assert_eq!(rows, [json!({"n": 1})]);
    for path in ["event_id=b-0", "writer=w1&index=63"] {
        let answer = asked(&service, &format!("/api/v1/proofs?{path}"));
        assert!(answer.status == 409 && answer.text().contains("not_provable"), "{path}: {}", answer.text());
    }
    let lost = asked(&service, "/api/v1/proofs?event_id=c-0");
    assert_eq!(lost.status, 404, "{}", lost.text());
    let problem: Value = asked(&service, "/api/v1/proofs?event_id=b-0").json();
    assert!(problem["detail"].as_str().unwrap().contains("at its end"), "{problem}");
    assert_eq!(service.stop(), Some(0), "{}", service_log(restored.dir.path()));
}

#[test]
fn what_a_damaged_earlier_log_held_is_not_left_out_of_answers() {
    let home = Home::new();
    home.record("a", 40);
    home.told(&["keys", "rotate"]);
    home.record("b", 5);
    let manifests = std::fs::read_dir(home.path("data/log/default/events/w1/manifest")).unwrap();
    let newest = manifests.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let service = home.start();
    let ask = |path: &str, body: Value| {
        service.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    };
    let whole = json!({"sql": "SELECT event_id FROM events WHERE event_id = 'a-3'"});
    let range = json!({"range": "2020-01-01T00:00:00Z..2100-01-01T00:00:00Z"});
    for answer in [
        ask("/api/v1/sql", json!({"query": "SELECT count(*) AS n FROM events"})),
        ask("/api/v1/evidence", whole),
        ask("/api/v1/evidence", range),
    ] {
        let said = answer.text();
        assert!(
            answer.status == 409 && said.contains("earlier_log_damaged") && said.contains("w1"),
            "{said}"
        );
    }
    for path in ["event_id=a-3", "event_id=nobody", "writer=w1&event_id=a-3"] {
        let answer = asked(&service, &format!("/api/v1/proofs?{path}"));
        assert!(answer.status == 500 && answer.text().contains("damaged"), "{path}: {}", answer.text());
    }
    for path in ["checkpoint", "tile/0/000.p/40", "tile/entries/000.p/40"] {
        let answer = asked(&service, &format!("/api/v1/logs/default/events/w1/{path}"));
        assert!(answer.status == 500 && answer.text().contains("damaged"), "{path}: {}", answer.text());
    }
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE log_index >= 0 AND event_id LIKE 'b-%'");
    assert_eq!(rows, [json!({"n": 5})]);
    post(&service, "c", 2);
    assert_eq!(service.stop(), Some(0), "{}", service_log(home.dir.path()));
}
