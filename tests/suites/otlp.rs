use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use super::identity::{Authority, tls, with_tls};
use crate::support::{Answer, Events, Service, events, request, run, verify, whole};

pub(super) const PORTS: [(&str, &str); 2] =
    [("TACHO_OTLP", "127.0.0.1:0"), ("TACHO_OTLP_GRPC", "127.0.0.1:0")];
/// As in `agent.py`.
const SECRET: &[u8] = b"16C7e42F292c6912E7710c838347Ae178B4a";

/// A token with this role.
pub(super) fn token(service: &Service, role: &str) -> String {
    let body = json!({"role": role, "tenant": "default"}).to_string();
    let made =
        service.send("POST", "/api/v1/tokens", &[("content-type", "application/json")], body.as_bytes());
    made.json()["token"].as_str().unwrap_or_else(|| panic!("no token: {}", made.text())).to_string()
}

/// A script of `tests/interop/otlp`, run by a Python with the packages of `tests/interop/otlp.txt`.
pub(super) fn python(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Option<Output> {
    let Some(python) = std::env::var_os("TACHO_OTLP_PYTHON") else {
        println!("SKIPPED: no Python with fastmcp and OpenTelemetry's exporters (TACHO_OTLP_PYTHON)");
        return None;
    };
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/otlp").join(script);
    let output = Command::new(python).arg(script).args(arguments).envs(environment.iter().copied()).output();
    Some(output.unwrap())
}

pub(super) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn files_with(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle)
        {
            found.push(path);
        }
    }
    found
}

/// An agent and its MCP server, both with OpenTelemetry's SDK, over `protocol`: who called what, on which target, with which
/// decision and outcome.
fn agent(protocol: &str, compression: &str) {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &PORTS);
    let collector = token(&service, "collector");
    let endpoint = match protocol {
        "http" => format!("http://{}", service.ports["otlp"]),
        _ => service.ports["otlp_grpc"].clone(),
    };
    let environment = [
        ("OTLP_PROTOCOL", protocol),
        ("OTLP_ENDPOINT", &endpoint),
        ("OTLP_TOKEN", &collector),
        ("OTLP_COMPRESSION", compression),
    ];
    let Some(output) = python("agent.py", &[], &environment) else { return };
    assert!(output.status.success() && said(&output).contains("agent: done"), "{}", said(&output));
    let rows = service.sql(
        "SELECT server, capability, target, decision, status, error_class, count(*) AS n FROM events \
         WHERE observer = 'server' AND kind = 'call' GROUP BY server, capability, target, decision, status, error_class \
         ORDER BY capability",
    );
    let expected = json!([
        {"server": "weather", "capability": "delete_rows", "target": null, "decision": "none", "status": "error", "error_class": "tool", "n": 1},
        {"server": "weather", "capability": "get_weather", "target": null, "decision": "none", "status": "ok", "error_class": null, "n": 3},
        {"server": "weather", "capability": "notes://today", "target": "notes://today", "decision": "none", "status": "ok", "error_class": null, "n": 1},
    ]);
    assert_eq!(json!(rows), expected);
    let rows = service.sql(
        "SELECT agent_id, capability, status FROM events WHERE observer = 'client' AND capability LIKE '%_rows'",
    );
    assert_eq!(
        json!(rows),
        json!([{"agent_id": "travel-agent", "capability": "delete_rows", "status": "error"}])
    );
    let rows = service.sql(
        "SELECT user_id, agent_id, session_id, call_id, action, environment FROM events WHERE capability = 'search'",
    );
    assert_eq!(rows.len(), 1, "{rows:?}");
    let payloads = service.sql("SELECT arguments FROM payloads WHERE arguments LIKE '%query%'");
    let arguments = payloads[0]["arguments"].as_str().unwrap();
    assert!(arguments.contains("\"query\": \"x\"") && arguments.contains("<redacted:"), "{arguments}");
    for (column, value) in [
        ("user_id", "u-9"),
        ("agent_id", "agent-7"),
        ("session_id", "conversation-1"),
        ("call_id", "call-1"),
        ("action", "read"),
        ("environment", "test"),
    ] {
        assert_eq!(rows[0][column], value, "{column}");
    }
    let rows = service.sql("SELECT user_id, status, call_id FROM events WHERE capability = 'Bash'");
    assert_eq!(json!(rows), json!([{"user_id": "u-9", "status": "ok", "call_id": "use-1"}]));
    // Both ends of a call are in one trace.
    let rows = service.sql(
        "SELECT count(DISTINCT trace_id) AS n FROM events WHERE capability = 'get_weather' AND observer IN ('client', 'server')",
    );
    assert_eq!(rows[0]["n"], 3);
    let Events { durable, duplicate, refused, not_recorded, .. } =
        events(&service.send("GET", "/metrics", &[], b"").text());
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL");
    assert_eq!((rows[0]["n"].as_u64(), duplicate, refused), (Some(durable), 0, 0));
    assert!(not_recorded >= 1, "the model call");
    println!("received: Told over {protocol}: {durable} durable, {not_recorded} not recorded");
    assert_eq!(service.stop(), Some(0));
    assert_eq!(files_with(home.path(), SECRET), Vec::<PathBuf>::new());
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn an_agent_tells_of_its_calls_over_http() {
    agent("http", "gzip");
}

#[test]
fn an_agent_tells_of_its_calls_over_grpc() {
    agent("grpc", "gzip");
}

#[test]
fn an_agent_need_not_compress() {
    agent("grpc", "none");
}

/// The ports have the certificate of the HTTP port, and a client that trusts another authority than its own sends them nothing.
#[test]
fn exporters_speak_tls() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    let settings =
        [&with_tls(home.path())[..], &PORTS.map(|(name, value)| (name, value.to_string()))].concat();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let service = Service::start(home.path(), &settings);
    let ca = home.path().join("ca.pem").display().to_string();
    for (protocol, endpoint) in [
        ("http", format!("https://{}", service.ports["otlp"])),
        ("http", format!("https://{}", service.address)),
        ("grpc", service.ports["otlp_grpc"].clone()),
    ] {
        let environment = [
            ("OTLP_PROTOCOL", protocol),
            ("OTLP_ENDPOINT", &endpoint),
            ("OTLP_TOKEN", &service.token),
            ("OTLP_CA", &ca),
        ];
        let Some(output) = python("agent.py", &[], &environment) else { return };
        assert!(output.status.success() && said(&output).contains("agent: done"), "{}", said(&output));
    }
    // Who trusts another authority goes away before it has said anything.
    for port in [&service.ports["otlp"], &service.ports["otlp_grpc"], &service.address] {
        let asked = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let refused = tls::exchange(port, tls::client(&Authority::new(), None), asked).unwrap_err();
        assert!(refused.to_string().contains("invalid peer certificate"), "{port}: {refused}");
    }
    // Who speaks without TLS is turned away.
    let mut plain = TcpStream::connect(&service.ports["otlp_grpc"]).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.shutdown(std::net::Shutdown::Write).unwrap();
    plain.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_port_for_telemetry_is_opt_in_and_not_beyond_loopback() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    assert!(!service.ports.contains_key("otlp") && !service.ports.contains_key("otlp_grpc"));
    let data = home.path().join("other").display().to_string();
    for flags in [
        &["--otlp", "0.0.0.0:0"][..],
        &["--otlp-grpc", "0.0.0.0:0"],
        &["--otlp", "127.0.0.1:0", "--roles", "query"],
    ] {
        let asked = [&["serve", "--data", &data, "--listen", "127.0.0.1:0"], flags].concat();
        let refused = run(&asked);
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(2), "{text}");
        assert!(text.contains("--allow-plaintext") || text.contains("roles"), "{text}");
    }
}

/// Calls of a real gRPC client that are wrong in every way.
#[test]
fn hostile_calls_are_told_and_harm_nothing() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &PORTS);
    let (collector, auditor) = (token(&service, "collector"), token(&service, "auditor"));
    let environment = [("OTLP_TOKEN", collector.as_str()), ("OTLP_WRONG_ROLE", auditor.as_str())];
    let Some(output) = python("hostile.py", &[&service.ports["otlp_grpc"]], &environment) else { return };
    assert!(output.status.success() && said(&output).contains("hostile: done"), "{}", said(&output));
    let denied = "SELECT count(*) AS n FROM access WHERE error_code = 'forbidden' AND detail LIKE '%may not send events%'";
    assert!(service.sql(denied)[0]["n"].as_u64() > Some(0), "a wrong role is on record");
    let Events { durable, refused, .. } = whole(home.path(), service);
    assert_eq!((durable, refused), (7, 2));
}

/// One span of a tool as OTLP/JSON.
fn span(id: u64, more: &Value) -> Value {
    json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("{id:016x}"), "kind": 3,
        "startTimeUnixNano": "1795203651658566355", "endTimeUnixNano": "1795203651662507773",
        "attributes": [{"key": "gen_ai.tool.name", "value": {"stringValue": "search"}}, more]})
}

fn export(spans: &[Value]) -> Vec<u8> {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string().into_bytes()
}

fn post(service: &Service, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let kind = ("content-type", "application/json");
    service.send("POST", path, &[&[kind], headers].concat(), body)
}

/// The same without Python: what curl would send.
#[test]
fn json_is_taken_once_and_told_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &PORTS);
    let plain = json!({"key": "n", "value": {"intValue": "9223372036854775807"}});
    let good: Vec<Value> = (1..=20).map(|id| span(id, &plain)).collect();
    for _ in 0..2 {
        let answer = post(&service, "/v1/traces", &[], &export(&good));
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    }
    let kept = service.sql("SELECT attributes FROM payloads WHERE attributes IS NOT NULL LIMIT 1");
    assert!(kept[0].to_string().contains("9223372036854775807"), "{kept:?}");
    let nest = (0..40).fold(json!({"intValue": 1}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
    let deep = span(30, &json!({"key": "deep", "value": nest}));
    let mixed =
        post(&service, "/v1/traces", &[], &export(&[deep.clone(), span(31, &plain), json!({"name": 7})]));
    let partial = &mixed.json()["partialSuccess"];
    assert_eq!((mixed.status, partial["rejectedSpans"].as_str()), (200, Some("2")), "{partial}");
    assert!(partial["errorMessage"].as_str().unwrap().starts_with("too_deep"), "{partial}");
    let large = json!({"key": "large", "value": {"stringValue": "x".repeat(10 << 20)}});
    assert_eq!(post(&service, "/v1/traces", &[], &export(&[span(32, &large)])).status, 200);
    let bomb = zstd_bomb();
    for (path, headers, body, status, code) in [
        ("/v1/traces", &[][..], &b"{"[..], 400, 3),
        ("/v1/traces", &[], export(&[deep]).as_slice(), 400, 3),
        ("/v1/logs", &[("content-encoding", "zstd")], bomb.as_slice(), 413, 8),
        ("/v1/logs", &[("content-encoding", "br")], b"{}", 415, 12),
        ("/v1/metrics", &[], b"{}", 404, 12),
    ] {
        let answer = post(&service, path, headers, body);
        assert_eq!(
            (answer.status, answer.json()["code"].as_i64()),
            (status, Some(code)),
            "{}",
            answer.text()
        );
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let protobuf = [("content-type", "application/x-protobuf")];
    let stranger = request(&service.ports["otlp"], "POST", "/v1/traces", &protobuf, b"").unwrap();
    assert_eq!((stranger.status, stranger.body[..2].to_vec()), (401, vec![0x08, 16]), "a google.rpc.Status");
    assert_eq!(stranger.headers["content-type"], "application/x-protobuf");
    let other = request(&service.ports["otlp"], "GET", "/api/v1/sql", &[], b"").unwrap();
    assert_eq!(other.status, 401, "only who is let in learns that there is nothing else");
    let bearer = format!("Bearer {}", service.token);
    let other = request(&service.ports["otlp"], "GET", "/api/v1/sql", &[("authorization", &bearer)], b"");
    assert_eq!(other.unwrap().status, 404, "this port takes telemetry and answers no questions");
    let Events { durable, duplicate, refused, .. } = whole(home.path(), service);
    assert_eq!((durable, duplicate, refused), (22, 20, 3));
}

/// A frame that stands for 200 MiB of zeros, as zstd writes it: blocks of one repeated byte.
fn zstd_bomb() -> Vec<u8> {
    let mut bomb = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58];
    let blocks = 1600;
    for at in 0..blocks {
        // Size of the block, its kind, and whether it is the last: three bytes, then the byte to repeat.
        let header: u32 = (128 << 10) << 3 | 1 << 1 | u32::from(at == blocks - 1);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb
}
