//! Evidence that leaves the building: exported by the command from a running service, checked by `tacho-verify` with the root key
//! alone, given to nobody who does not see what is in it, and without the secrets that the recorder takes out.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemas::evidence::archive::{Method, parse_tail};
use serde_json::{Value, json};

use crate::support::{Service, event, eventually, request, run};

fn tacho_verify(arguments: &[&str]) -> (Option<i32>, String) {
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

fn token(role: &str, tenant: &str, home: &Path) -> String {
    let data = home.join("data");
    let made =
        run(&["token", "create", "--role", role, "--tenant", tenant, "--data", data.to_str().unwrap()]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["token"].as_str().unwrap().to_string()
}

/// The contents of every file of a bundle, one after the other.
fn contents(bundle: &[u8]) -> Vec<(String, Vec<u8>)> {
    let members = parse_tail(&bundle[bundle.len().saturating_sub(4096)..], bundle.len() as u64).unwrap();
    let read = members.into_iter().map(|member| {
        let packed = &bundle[member.data_offset() as usize..][..member.packed as usize];
        let mut plain = Vec::new();
        match member.method {
            Method::Stored => plain = packed.to_vec(),
            Method::Deflated => {
                flate2::read::DeflateDecoder::new(packed).read_to_end(&mut plain).unwrap();
            }
        }
        (member.name, plain)
    });
    read.collect()
}

fn has(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|bytes| bytes == needle.as_bytes())
}

fn post(service: &Service, events: std::ops::Range<u32>) {
    let body: Vec<String> = events
        .map(|at| {
            let mut value: Value = serde_json::from_str(&event(&format!("e-{at}"))).unwrap();
            value["session_id"] = json!(format!("s-{}", at % 7));
            value["time"] = json!("2026-11-21T10:00:00Z");
            value["arguments"] = json!({"number": at, "word": "carol"});
            value["result"] = json!("it went well");
            value.to_string()
        })
        .collect();
    assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);
}

#[test]
fn twenty_bundles_of_each_kind_are_exported_and_checked_without_the_service() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    post(&service, 0..500);
    let secret = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
    let mut leaked: Value = serde_json::from_str(&event("e-secret")).unwrap();
    leaked["session_id"] = json!("s-3");
    leaked["arguments"] = json!({"token": secret, "text": format!("use {secret}")});
    assert_eq!(service.post_events(leaked.to_string().as_bytes()).status, 200);
    let url = format!("http://{}", service.address);
    let token_file = home.path().join("keys/admin.token");
    let to = ["--url", &url, "--token-file", token_file.to_str().unwrap()];
    let export = |name: &str, more: &[&str]| {
        let out = home.path().join(name);
        let output = run(&[&["export", "evidence", "--out", out.to_str().unwrap()], &to[..], more].concat());
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let key = root_key(home.path());
    let check = |name: &str| tacho_verify(&[home.path().join(name).to_str().unwrap(), "--key", &key]);
    let withheld: [&[&str]; 5] = [
        &[],
        &["--withhold", "arguments"],
        &["--withhold", "arguments,result"],
        &["--disclose", "result"],
        &["--withhold", "all"],
    ];
    let mut verified = 0;
    for at in 0..20u32 {
        let held = withheld[at as usize % withheld.len()];
        let session = format!("s-{}", at % 7);
        let range = format!("{}..{}", at * 20 + 1, at * 20 + 2 + at * 5);
        let sql = format!("SELECT log_index, event_id FROM events WHERE log_index % 20 = {at} -- {secret}");
        let kinds: [(&str, Vec<&str>); 4] = [
            (
                "session",
                if at % 2 == 0 {
                    vec!["--session", &session]
                } else {
                    vec!["--session", &session, "--complete"]
                },
            ),
            ("range", vec!["--range", &range]),
            ("time", vec!["--range", "2026-11-21T09:59:59Z..2126-11-21T10:00:00Z"]),
            ("sql", vec!["--sql", &sql]),
        ];
        for (kind, question) in kinds {
            if kind == "time" && at % 5 != 0 {
                continue;
            }
            let name = format!("{kind}-{at}.zip");
            let (code, said) = export(&name, &[&question[..], held].concat());
            assert_eq!(code, Some(0), "{name}: {said}");
            let (code, said) = check(&name);
            assert!(code == Some(0) && said.contains("VERIFIED: "), "{name}: {code:?} {said}");
            let is_complete = said.contains("complete from first to last");
            assert_eq!(
                is_complete,
                kind == "range" || kind == "time" || question.contains(&"--complete"),
                "{said}"
            );
            let files = contents(&std::fs::read(home.path().join(&name)).unwrap());
            for (file, contents) in &files {
                assert!(!has(contents, secret), "{name} {file} has the secret");
                if file.ends_with(".csv") {
                    let shows = |word: &str| has(contents, word);
                    assert_eq!(shows("carol"), held.is_empty(), "{name}: arguments");
                    assert!(shows("(withheld)") || held.is_empty(), "{name}");
                }
            }
            verified += 1;
        }
    }
    println!("evidence: {verified} bundles of the program verified offline");
    // What is there is not written over, and nothing is left of what was not made.
    let before = std::fs::read(home.path().join("range-3.zip")).unwrap();
    let (code, said) = export("range-3.zip", &["--range", "0..1"]);
    assert!(code == Some(2) && said.contains("--out"), "{code:?} {said}");
    assert_eq!(std::fs::read(home.path().join("range-3.zip")).unwrap(), before);
    assert_eq!(export("none.zip", &["--session", "s-nobody"]).0, Some(1), "no such session");
    assert_eq!(export("none.zip", &["--range", "0..100000"]).0, Some(1), "the log is not so long");
    for wrong in [
        &["--range", "5..5"][..],
        &["--range", "5"],
        &["--range", "2026-11-21T10:00:00Z..2026-11-21T09:00:00Z"],
        &["--sql", "SELECT event_id FROM events"],
        &["--sql", "SELECT log_index FROM events; DROP TABLE events"],
        &["--session", "s-1", "--withhold", "user_id"],
        &["--session", "s-1", "--stream", "root", "--tenant", "_root"],
        &[],
    ] {
        assert_eq!(export("none.zip", wrong).0, Some(2), "{wrong:?}");
    }
    let left: Vec<String> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("none") || name.contains(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // The stream of who asked what, in which every export is, before and after.
    assert_eq!(export("access.zip", &["--stream", "access", "--range", "0..40"]).0, Some(0));
    let (code, said) = check("access.zip");
    assert_eq!(code, Some(0), "{said}");
    let recorded = service.sql(
        "SELECT count(*) FILTER (WHERE phase = 'intent') AS before, count(*) FILTER (WHERE status = 'ok') AS after FROM access WHERE action = 'evidence'",
    );
    assert!(recorded[0]["after"].as_u64() >= Some(verified), "{recorded:?}");
    assert!(recorded[0]["before"].as_u64() >= recorded[0]["after"].as_u64(), "{recorded:?}");
    let statements = service.sql("SELECT statement FROM access WHERE action = 'evidence'");
    assert!(!statements.iter().any(|row| row["statement"].as_str().unwrap_or_default().contains(secret)));
    // Another installation's key, none at all, and a memory that a bundle has nothing for.
    let other = tempfile::tempdir().unwrap();
    let stranger = Service::start(other.path(), &[]);
    let their_key = root_key(other.path());
    assert_eq!(stranger.stop(), Some(0));
    let path = home.path().join("range-3.zip").display().to_string();
    let (code, said) = tacho_verify(&[&path, "--key", &their_key]);
    let name = |key: &str| key.split('+').next().unwrap().to_string();
    assert!(code == Some(1) && said.contains(&name(&key)) && said.contains(&name(&their_key)), "{said}");
    assert!(tacho_verify(&[&path]).1.contains("IDENTITY NOT ESTABLISHED"));
    assert_eq!(tacho_verify(&[&path]).0, Some(2));
    assert_eq!(tacho_verify(&[&path, "--key", &key, "--remember", "seen.json"]).0, Some(2));
    let (code, said) = tacho_verify(&[&path, "--key", &key, "--json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, report["verdict"].as_str(), report["complete"].as_bool()),
        (Some(0), Some("verified"), Some(true))
    );
    let mut damaged = before;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(home.path().join("damaged.zip"), damaged).unwrap();
    let (code, said) = check("damaged.zip");
    assert!(code == Some(1) && said.contains("TAMPERED"), "{code:?} {said}");
    assert_eq!(service.stop(), Some(0));
    // The directory itself, with nobody serving it.
    let data = home.path().join("data").display().to_string();
    let keys = home.path().join("keys").display().to_string();
    let out = home.path().join("here.zip").display().to_string();
    let here =
        run(&["export", "evidence", "--data", &data, "--keys", &keys, "--session", "s-3", "--out", &out]);
    assert_eq!(here.status.code(), Some(0), "{here:?}");
    assert_eq!(check("here.zip").0, Some(0));
}

#[test]
fn evidence_is_for_whom_no_policy_hides_anything_and_payloads_for_whom_reads_them() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("tacho.toml"), "[policy.responder]\ncolumns = { user_id = \"mask\" }\n")
        .unwrap();
    let config = home.path().join("tacho.toml").display().to_string();
    let service = Service::start(home.path(), &[("TACHO_CONFIG", &config)]);
    post(&service, 0..40);
    eventually("signed", || {
        let asked = [("content-type", "application/json")];
        service.send("POST", "/api/v1/evidence", &asked, br#"{"range":"0..41"}"#).status == 200
    });
    let [auditor, responder, collector, operator] =
        ["auditor", "responder", "collector", "operator"].map(|role| token(role, "default", home.path()));
    let elsewhere = token("admin", "acme", home.path());
    let ask = |who: &str, body: &str| {
        let bearer = format!("Bearer {who}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        request(&service.address, "POST", "/api/v1/evidence", &headers, body.as_bytes()).unwrap()
    };
    for (body, statuses) in [
        // admin, auditor, a role with a policy, collector, operator, another tenant's admin
        (r#"{"range":"3..9"}"#, [200, 200, 403, 403, 403, 404]),
        (r#"{"session":"s-3"}"#, [200, 200, 403, 403, 403, 404]),
        (r#"{"sql":"SELECT log_index FROM events LIMIT 3"}"#, [200, 200, 403, 403, 403, 404]),
        (r#"{"range":"3..9","disclose":["arguments"]}"#, [200, 403, 403, 403, 403, 404]),
        (r#"{"range":"3..9","tenant":"default"}"#, [200, 200, 403, 403, 403, 404]),
        (r#"{"range":"3..9","stream":"nonsense"}"#, [404, 404, 404, 403, 403, 404]),
        (r#"{"range":"0..1","stream":"root","tenant":"_root"}"#, [400, 400, 400, 403, 403, 400]),
        (r#"{"range":"3..9","session":"s-3"}"#, [400, 400, 403, 403, 403, 404]),
        (r#"{"range":"3..9","more":1}"#, [400, 400, 400, 403, 403, 400]),
        (r#"{"range":"3..9","lateness_s":7}"#, [400, 400, 403, 403, 403, 404]),
        (r#"{}"#, [400, 400, 403, 403, 403, 404]),
    ] {
        let who = [&service.token, &auditor, &responder, &collector, &operator, &elsewhere];
        assert_eq!(who.map(|who| ask(who, body).status), statuses, "{body}");
    }
    let answer = ask(&auditor, r#"{"range":"3..30"}"#);
    assert_eq!(answer.headers["content-type"], "application/zip");
    assert!(answer.headers["cache-control"].contains("no-store"), "{:?}", answer.headers);
    let files = contents(&answer.body);
    let all: Vec<u8> = files.iter().flat_map(|(_, contents)| contents.clone()).collect();
    assert!(!has(&all, "carol") && has(&all, "(withheld)"), "an auditor takes no payloads away");
    std::fs::write(home.path().join("auditor.zip"), &answer.body).unwrap();
    let path = home.path().join("auditor.zip").display().to_string();
    let (code, said) = tacho_verify(&[&path, "--key", &root_key(home.path())]);
    assert!(code == Some(0) && said.contains("Withheld, and fixed all the same: arguments"), "{said}");
    let refused = service
        .sql("SELECT count(*) AS n FROM access WHERE decision = 'deny' AND role = 'responder' AND action = 'evidence'");
    assert!(refused[0]["n"].as_u64() > Some(0), "who was turned away is on record");
    assert_eq!(service.stop(), Some(0));
}
