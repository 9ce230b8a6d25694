//! `tacho ingest --format http-exchange`: recorded Streamable HTTP becomes the same events as traffic that was tapped.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Service, run, whole};

/// Seconds since the epoch at which the first exchange was recorded, and as the log has them.
const BEGIN_S: f64 = 1_795_203_659.5;
const BEGIN: &str = "2026-11-20T19:40:59.500";
/// What the recording has and no file may get: a password among arguments, and whose credential it was.
const PASSWORD: &str = "hunter2xyz";
const CREDENTIAL: &str = "Zm9sbG93bWU0NTY3";

/// Whether an exchange is one of a session.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Session,
    Nothing,
}

/// The exchange `second` seconds after the first; `answer` is its status, the kind of its body, and that.
fn exchange(second: u32, within: In, request: &Value, answer: (u16, &str, &str)) -> Value {
    let mut headers = json!({"Host": "tools.example", "User-Agent": "agent/1",
        "Authorization": format!("Bearer {CREDENTIAL}")});
    if within == In::Session {
        headers["Mcp-Session-Id"] = json!("s-9");
        headers["MCP-Protocol-Version"] = json!("2025-11-25");
    }
    let (status, kind, body) = answer;
    json!({"ts": BEGIN_S + f64::from(second), "dur_ms": 2.5, "client": ["10.0.0.7", 50000], "method": "POST",
        "path": "/mcp?x=1", "req_headers": headers, "req_body": request.to_string(), "status": status,
        "resp_headers": {"Content-Type": kind}, "resp_body": body})
}

fn pay(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "create_payment", "arguments": {"sum": 7, "password": PASSWORD}}})
}

/// The first message of a session, and what it is answered.
fn initialize() -> (Value, String) {
    let version = "2025-11-25";
    let asks = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "desk", "version": "1.2"}}});
    let answers = json!({"jsonrpc": "2.0", "id": 0, "result": {
        "protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "till", "version": "3"}}});
    (asks, answers.to_string())
}

/// A stream in which the server first asks something itself, tells something, and then replies on several lines.
fn stream() -> String {
    let asks =
        json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {"message": "sure?"}});
    let tells = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info"}});
    let replies =
        json!({"jsonrpc": "2.0", "id": 4, "result": {"content": [{"type": "text", "text": "paid"}]}});
    let replies = serde_json::to_string_pretty(&replies).unwrap().replace('\n', "\r\ndata: ");
    format!(": hello\r\nevent: message\r\nid: 1\r\ndata: {asks}\r\n\r\ndata:{tells}\n\ndata: {replies}\n\n")
}

/// A call of the protocol without sessions, which fails in the tool.
fn weather() -> (Value, String) {
    let asks = json!({"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {
        "name": "get_weather", "arguments": {"at": "Rome"}, "_meta": {
            "io.modelcontextprotocol/clientInfo": {"name": "mcp", "version": "0.1"},
            "io.modelcontextprotocol/protocolVersion": "2026-07-28"}}});
    let fails = json!({"jsonrpc": "2.0", "id": 6, "result": {
        "isError": true, "content": [{"type": "text", "text": "no such place"}]}});
    (asks, format!("data: {fails}\n\n"))
}

/// The recording: six exchanges with one line between them that is none.
fn recording() -> String {
    let sse = "text/event-stream; charset=utf-8";
    let (first, its_answer) = initialize();
    let (last, its_stream) = weather();
    let accepted = json!({"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}});
    let lines = [
        exchange(0, In::Session, &first, (200, "application/json", &its_answer)),
        exchange(1, In::Session, &pay(4), (200, sse, &stream())),
        // The reply to what the server asked comes in an exchange of its own.
        exchange(2, In::Session, &accepted, (202, "", "")),
        exchange(3, In::Nothing, &pay(5), (403, "text/html", "<h1>no</h1>")),
        json!({"no": 1}),
        exchange(4, In::Nothing, &last, (200, sse, &its_stream)),
    ];
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Loads a recording into the service on `<home>/data`, or into the directory where none runs.
fn load(home: &Path, name: &str, content: &str) -> Output {
    let file = home.join(name);
    std::fs::write(&file, content).unwrap();
    let (data, keys) = (home.join("data"), home.join("keys"));
    run(&[
        "ingest",
        "--format",
        "http-exchange",
        file.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--keys",
        keys.to_str().unwrap(),
    ])
}

fn expect(output: &Output, code: i32, said: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(code) && text.contains(said), "{said}: {output:?}");
}

#[test]
fn recorded_exchanges_become_events_once_however_often_they_are_loaded() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let recording = recording();
    let loaded = load(home.path(), "recorded.jsonl", &recording);
    expect(&loaded, 1, "accepted 6, duplicates 0, refused 1");
    let told = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(told.contains("recorded.jsonl: line 5 is no HTTP exchange"), "{told}");
    expect(&load(home.path(), "again.jsonl", &recording), 1, "accepted 0, duplicates 6, refused 1");

    let rows = service.sql(
        "SELECT kind, method, capability, status, decision, decision_basis, error_class, error_code, request_id, latency_us \
         FROM events WHERE control IS NULL ORDER BY log_index",
    );
    let row = |what: [&str; 3], outcome: [Value; 5], request: Value, latency: Value| {
        let [kind, method, capability] = what;
        let [status, decision, basis, class, code] = outcome;
        let capability = if capability.is_empty() { Value::Null } else { json!(capability) };
        json!({"kind": kind, "method": method, "capability": capability, "status": status, "decision": decision,
            "decision_basis": basis, "error_class": class, "error_code": code, "request_id": request,
            "latency_us": latency})
    };
    let went = |status: &str, class: Value| [json!(status), json!("none"), json!(null), class, json!(null)];
    let well = || went("ok", json!(null));
    let denied = [json!("denied"), json!("deny"), json!("inferred"), json!("auth"), json!("403")];
    let wanted = json!([
        row(["session", "initialize", ""], well(), json!("0"), json!(2500)),
        row(["unknown", "notifications/message", ""], well(), json!(null), json!(null)),
        row(["call", "tools/call", "create_payment"], well(), json!("4"), json!(2500)),
        // From the end of the exchange that asked to the start of the one that answered.
        row(["call", "elicitation/create", ""], well(), json!("1"), json!(997_500)),
        row(["call", "tools/call", "create_payment"], denied, json!("5"), json!(2500)),
        row(["call", "tools/call", "get_weather"], went("error", json!("tool")), json!("6"), json!(2500)),
    ]);
    assert_eq!(Value::from(rows), wanted);
    who_called_and_with_what(&service);
    whole(home.path(), service);
}

/// Headers and bodies of the recording, by their columns.
fn who_called_and_with_what(service: &Service) {
    // Each column has one value in all rows, or one in the session and one without.
    for (column, session, others) in [
        ("observer", "tap", "tap"),
        ("transport", "http", "http"),
        ("source_ip", "10.0.0.7", "10.0.0.7"),
        ("user_agent", "agent/1", "agent/1"),
        ("auth_method", "bearer", "bearer"),
        ("server", "till", "tools.example/mcp"),
        ("client", "desk/1.2", "mcp/0.1"),
    ] {
        let of = |condition: &str| {
            let query = format!(
                "SELECT DISTINCT {column} AS v FROM events WHERE control IS NULL AND {column} IS NOT NULL AND {condition}"
            );
            service.sql(&query).iter().map(|row| row["v"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(of("session_id = 's-9'"), [session], "{column}");
        assert_eq!(of("session_id <> 's-9'"), [others], "{column}");
    }
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE session_id = 's-9'");
    assert_eq!(rows[0]["n"], 4);
    let times = service.sql("SELECT CAST(min(time) AS VARCHAR) AS t FROM events WHERE control IS NULL");
    assert!(times[0]["t"].as_str().unwrap().replace(' ', "T").starts_with(BEGIN), "{times:?}");
    let rows = service.sql(
        "SELECT e.capability, p.arguments, p.result, p.error_message, p.attributes, e.redactions FROM events e \
         JOIN payloads p ON e.log_index = p.log_index WHERE e.method = 'tools/call' ORDER BY e.log_index",
    );
    let text = |row: usize, column: &str| rows[row][column].as_str().unwrap_or_default().to_string();
    assert!(text(0, "result").contains("paid"), "{rows:?}");
    assert!(text(0, "arguments").contains("<redacted:"), "{rows:?}");
    assert!(!rows[0]["redactions"].as_array().unwrap().is_empty(), "{rows:?}");
    assert!(text(1, "error_message").contains("<h1>no</h1>"), "{rows:?}");
    assert!(text(2, "error_message").contains("no such place"), "{rows:?}");
    assert_eq!(rows[1]["attributes"]["http_status"], "\"403\"", "{rows:?}");
    for table in ["events", "payloads"] {
        let everything = Value::from(service.sql(&format!("SELECT * FROM {table}"))).to_string();
        for secret in [PASSWORD, CREDENTIAL] {
            assert!(!everything.contains(secret), "{secret} is in {table}");
        }
    }
}

#[test]
fn a_browser_s_archive_is_loaded_into_a_directory() {
    let home = tempfile::tempdir().unwrap();
    let (asks, fails) = weather();
    let entry = |second: u32, request: &Value, response: Value| {
        json!({"startedDateTime": format!("2026-11-20T19:41:{second:02}.5+00:00"), "time": 2.5, "request": {"method": "POST",
            "url": "https://ann:pass@tools.example/mcp?key=v", "headers": [{"name": "Accept", "value": "*/*"}],
            "postData": {"mimeType": "application/json", "text": request.to_string()}}, "response": response})
    };
    let headers = |kind: &str| json!([{"name": "Content-Type", "value": kind}]);
    let archive = json!({"log": {"version": "1.2", "entries": [
        entry(1, &asks, json!({"status": 200, "headers": headers("text/event-stream"), "content": {"text": fails}})),
        entry(2, &pay(8), json!({"status": 504, "headers": headers("text/plain"), "content": {"text": ""}})),
    ]}});
    let pretty = serde_json::to_string_pretty(&archive).unwrap();
    expect(&load(home.path(), "browser.har", &pretty), 0, "accepted 2, duplicates 0, refused 0");
    expect(&load(home.path(), "browser.har", &pretty), 0, "accepted 0, duplicates 2, refused 0");
    let service = Service::start(home.path(), &[]);
    let rows = service.sql(
        "SELECT capability, server, status, error_class FROM events WHERE control IS NULL ORDER BY log_index",
    );
    let row = |capability: &str, status: &str, class: &str| json!({"capability": capability, "server": "tools.example/mcp", "status": status, "error_class": class});
    let wanted = json!([row("get_weather", "error", "tool"), row("create_payment", "timeout", "timeout")]);
    assert_eq!(Value::from(rows), wanted);
    whole(home.path(), service);
}
