use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Service, request, run, shared, tacho};

/// What scripts read where there is no number.
const NO_ANSWER: &str = "2147483647";

/// The published script, as it is printed; `None` where its page or what it needs is not here.
fn published_script() -> Option<String> {
    let page = String::from_utf8(shared("seeds/S0.txt")?).unwrap();
    let first = page.find("# mcp-go-no-go.sh\n").expect("the script begins");
    let last = "echo \"PASS: production gate clear\"\n";
    let end = page[first..].find(last).expect("the script ends") + first + last.len();
    for tool in ["bash", "curl"] {
        if Command::new(tool).arg("--version").output().is_err() {
            println!("SKIPPED: the published go/no-go script needs {tool}");
            return None;
        }
    }
    Some(page[first..end].to_string())
}

/// The script's exit code and what it said.
fn decide(script: &str, home: &Path, api: &str) -> (Option<i32>, String) {
    let file = home.join("mcp-go-no-go.sh");
    std::fs::write(&file, script).unwrap();
    let output = Command::new("bash").arg(file).env("API", api).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap().trim().to_string())
}

fn with_credentials(service: &Service) -> String {
    format!("http://gate:{}@{}", service.token, service.address)
}

/// `minutes` before now.
fn ago(minutes: f64) -> String {
    let now = jiff::Timestamp::now();
    let before = jiff::SignedDuration::from_millis((minutes * 60_000.0) as i64);
    (now - before).to_string()
}

fn call(minutes: f64, more: &Value) -> Value {
    let mut event = json!({"time": ago(minutes), "kind": "call", "user_id": "u-1", "agent_id": "a-1",
        "server": "db", "capability": "rows", "decision": "allow", "status": "ok", "latency_us": 20_000});
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

fn send(service: &Service, events: &[Value]) {
    let body: Vec<String> = events.iter().map(Value::to_string).collect();
    let answer = service.post_events(body.join("\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["rejected_count"], 0, "{}", answer.text());
}

/// A service with an hour of healthy calls, one of them a high-risk write that somebody else approved.
fn healthy(home: &Path) -> Service {
    let service = Service::start(home, &[]);
    let mut events: Vec<Value> = (0..30).map(|i| call(f64::from(i) / 3.0, &json!({}))).collect();
    events.push(
        json!({"time": ago(9.0), "kind": "approval", "approval_id": "ap-1", "approval_status": "requested",
        "decision": "require_approval", "status": "pending"}),
    );
    events.push(
        json!({"time": ago(4.0), "kind": "approval", "approval_id": "ap-1", "approval_status": "approved",
        "approver": "boss", "decision": "allow", "status": "ok"}),
    );
    events.push(call(3.0, &json!({"action": "write", "risk": "high", "approval_id": "ap-1"})));
    send(&service, &events);
    service
}

#[test]
fn the_published_script_passes_on_health_and_blocks_on_each_condition() {
    let Some(script) = published_script() else { return };
    let slow: Vec<Value> = (0..4).map(|_| call(1.0, &json!({"latency_us": 5_100_000}))).collect();
    let waited = [
        json!({"time": ago(25.4), "kind": "approval", "approval_id": "ap-2", "approval_status": "requested",
            "decision": "require_approval", "status": "pending"}),
        json!({"time": ago(5.0), "kind": "approval", "approval_id": "ap-2", "approval_status": "approved",
            "approver": "boss", "decision": "allow", "status": "ok"}),
    ];
    // Two of three waited 20.4 minutes, so that the median is one of them.
    let mut waits = waited.to_vec();
    waits.extend(waited.map(|mut event| {
        event["approval_id"] = "ap-3".into();
        event
    }));
    let conditions = [
        (vec![], Some(0), "PASS: production gate clear"),
        (
            vec![call(2.0, &json!({"action": "write", "risk": "high"}))],
            Some(1),
            "BLOCK: unapproved high-risk write detected",
        ),
        (waits, Some(1), "BLOCK: approval queue latency exceeded"),
        (slow, Some(1), "BLOCK: tool latency SLO breach"),
    ];
    for (more, code, said) in conditions {
        let home = tempfile::tempdir().unwrap();
        let service = healthy(home.path());
        if !more.is_empty() {
            send(&service, &more);
        }
        let decided = decide(&script, home.path(), &with_credentials(&service));
        assert_eq!(decided, (code, said.to_string()));
    }
}

#[test]
fn the_published_script_blocks_where_there_is_no_answer() {
    let Some(script) = published_script() else { return };
    let home = tempfile::tempdir().unwrap();
    let service = healthy(home.path());
    let blocked = (Some(1), "BLOCK: unapproved high-risk write detected".to_string());
    let address = &service.address;
    for (api, why) in [
        (format!("http://gate:wrong@{address}"), "wrong token"),
        (format!("http://{address}"), "no token"),
        (format!("{}/api", with_credentials(&service)), "a folder too many"),
    ] {
        assert_eq!(decide(&script, home.path(), &api), blocked, "{why}");
    }
    let collector = service.send(
        "POST",
        "/api/v1/tokens",
        &[("content-type", "application/json")],
        br#"{"role":"collector","tenant":"default"}"#,
    );
    let collector = collector.json()["token"].as_str().unwrap().to_string();
    let as_collector = format!("http://gate:{collector}@{address}");
    assert_eq!(decide(&script, home.path(), &as_collector), blocked, "a role that may not");
    let address = service.address.clone();
    let api = with_credentials(&service);
    assert_eq!(service.stop(), Some(0));
    let (code, said) = decide(&script, home.path(), &api);
    assert!(code != Some(0) && !said.contains("PASS"), "nobody at {address}: {code:?} {said}");

    let silent = tempfile::tempdir().unwrap();
    let service = Service::start(silent.path(), &[]);
    assert_eq!(
        decide(&script, silent.path(), &with_credentials(&service)),
        blocked,
        "no source in the window"
    );
}

/// The service answers while it is still opening its store: what it opens first is a pipe that nobody writes to yet.
#[test]
fn the_published_script_blocks_while_the_service_is_recovering() {
    let Some(script) = published_script() else { return };
    let home = tempfile::tempdir().unwrap();
    let token = {
        let service = healthy(home.path());
        let token = service.token.clone();
        assert_eq!(service.stop(), Some(0));
        token
    };
    let tokens = home.path().join("keys/tokens.json");
    let kept = std::fs::read(&tokens).unwrap();
    std::fs::remove_file(&tokens).unwrap();
    let made = Command::new("mkfifo").arg("-m").arg("600").arg(&tokens).status().unwrap();
    assert!(made.success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = Command::new(tacho())
        .args(["serve", "--listen", &port.to_string(), "--data"])
        .arg(home.path().join("data"))
        .arg("--keys")
        .arg(home.path().join("keys"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = port.to_string();
    let started = Instant::now();
    while request(&address, "GET", "/ready", &[], b"").is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "nobody listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ready = request(&address, "GET", "/ready", &[], b"").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text());
    let api = format!("http://gate:{token}@{address}");
    let blocked = (Some(1), "BLOCK: unapproved high-risk write detected".to_string());
    assert_eq!(decide(&script, home.path(), &api), blocked);
    std::fs::OpenOptions::new().write(true).open(&tokens).unwrap().write_all(&kept).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"), "{line}");
    let decided = decide(&script, home.path(), &api);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(decided, (Some(0), "PASS: production gate clear".to_string()));
}

#[test]
fn every_non_answer_has_its_status_its_reason_and_a_number_that_blocks() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let gate = "/metrics/tool-call-p95-ms";
    let bearer = format!("Bearer {}", service.token);
    let token = [("authorization", bearer.as_str())];
    for (method, path, headers, status, reason) in [
        ("GET", gate, &[][..], 401, "unauthenticated"),
        ("GET", gate, &[("authorization", "Bearer tacho_x")], 401, "unauthenticated"),
        ("GET", "/metrics/nothing", &token, 404, "not_found"),
        ("GET", "/metrics/tool-call-p95-ms/", &token, 404, "not_found"),
        ("GET", "//metrics/tool-call-p95-ms", &token, 404, "not_found"),
        ("GET", "/metrics/tool-call-p95-ms?window=soon", &token, 400, "window"),
        ("GET", "/metrics/tool-call-p95-ms?windows=5m", &token, 400, "request"),
        ("POST", gate, &token, 405, "method_not_allowed"),
        ("GET", gate, &token, 503, "no_source"),
    ] {
        let answer = request(&service.address, method, path, headers, b"").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (status, NO_ANSWER), "{method} {path}");
        assert!(answer.headers["tacho-gate-reason"].starts_with(reason), "{path}: {:?}", answer.headers);
    }
    send(&service, &[call(1.0, &json!({"latency_us": 1_234_001}))]);
    let answer = service.send("GET", gate, &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "1235"));
    // A window can leave out what the gate's own has.
    let answer = service.send("GET", "/metrics/tool-call-p95-ms?window=30s", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (503, NO_ANSWER));
    // Prometheus' own page is no gate.
    assert!(service.send("GET", "/metrics", &[], b"").text().contains("tacho_"));
}

fn gate_command(home: &Path, more: &[&str]) -> Output {
    let (data, keys) = (home.join("data"), home.join("keys"));
    run(&[&["gate", "--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()], more].concat())
}

#[test]
fn the_command_says_pass_block_or_no_answer_by_its_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let service = healthy(home.path());
    let young = gate_command(home.path(), &[]);
    assert_eq!(young.status.code(), Some(2), "no baseline yet: {young:?}");
    assert!(String::from_utf8_lossy(&young.stdout).contains("of the last seven days"), "{young:?}");
    // Three days with this hour; and the next, should it begin meanwhile.
    let days: Vec<Value> = [1.0, 2.0, 3.0]
        .into_iter()
        .flat_map(|day| [0.0, 1.0].map(|later| day * 1440.0 - later))
        .flat_map(|minutes| (0..20).map(move |_| call(minutes, &json!({}))))
        .collect();
    send(&service, &days);
    let passed = gate_command(home.path(), &["--json"]);
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");
    let answer: Value = serde_json::from_slice(&passed.stdout).unwrap();
    assert_eq!((answer["verdict"].as_str(), answer["gates"].as_array().unwrap().len()), (Some("pass"), 6));
    send(&service, &[call(1.0, &json!({"action": "admin", "risk": "critical"}))]);
    let blocked = gate_command(home.path(), &[]);
    assert_eq!(blocked.status.code(), Some(1), "{blocked:?}");
    assert!(String::from_utf8_lossy(&blocked.stdout).contains("verdict: block"), "{blocked:?}");
    // Who asked is on the access log.
    let asked = service.sql("SELECT DISTINCT action FROM access WHERE action = 'gates'");
    assert_eq!(asked.len(), 1);
    assert_eq!(service.stop(), Some(0));
    let nobody = run(&["gate", "--url", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(2));
}

#[test]
fn thresholds_are_settings() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_GATES_TOOL_CALL_P95_MS_BLOCK", "2500.5")]);
    send(&service, &[call(1.0, &json!({"latency_us": 2_501_000}))]);
    let answer = service.send("GET", "/api/v1/gates", &[], b"").json();
    let gates = answer["gates"].as_array().unwrap();
    let latency = gates.iter().find(|gate| gate["gate"] == "tool-call-p95-ms").unwrap();
    assert_eq!((&latency["block"], &latency["verdict"]), (&json!(2500.5), &json!("block")));
    let wrong = Command::new(tacho())
        .args(["config", "check"])
        .env("TACHO_GATES_TOOL_CALL_P95_MS_TARGET", "9000")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("0 <= target <= block"), "{wrong:?}");
}
