use serde_json::{Value, json};

use super::*;

fn made(values: &[Value]) -> Vec<Value> {
    let mut exchanges = Exchanges::new();
    let mut out = Vec::new();
    for (at, value) in values.iter().enumerate() {
        exchanges.value(&value.to_string(), at as u64 + 1, &mut out).unwrap();
    }
    exchanges.end(&mut out);
    assert_eq!(exchanges.unparsed(), 0);
    out.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn exchange(headers: Value, request: &Value, status: u16, kind: &str, response: &str) -> Value {
    json!({"ts": 1_795_203_659.5, "dur_ms": 2.5, "client": ["10.0.0.7", 5], "method": "POST", "path": "/mcp?x=1",
        "req_headers": headers, "req_body": request.to_string(), "status": status,
        "resp_headers": {"Content-Type": kind}, "resp_body": response})
}

fn call(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "pay", "arguments": {"sum": 7}}})
}

#[test]
fn a_stream_of_several_messages_and_a_reply_in_a_later_exchange() {
    let headers = json!({"Host": "tools.example", "Mcp-Session-Id": "s-9", "User-Agent": "agent/1", "Authorization": "Bearer abc"});
    let asks =
        json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {"message": "sure?"}});
    let tells = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info"}});
    let answers = json!({"jsonrpc": "2.0", "id": 4, "result": {"content": []}});
    let pretty = serde_json::to_string_pretty(&answers).unwrap().replace('\n', "\r\ndata: ");
    let stream =
        format!(": hello\r\nevent: message\r\nid: 1\r\ndata: {asks}\r\n\r\ndata:{tells}\n\ndata: {pretty}");
    let all = made(&[
        exchange(headers.clone(), &call(4), 200, "text/event-stream; charset=utf-8", &stream),
        exchange(headers, &json!({"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}}), 202, "", ""),
    ]);
    let methods: Vec<_> =
        all.iter().map(|event| (event["method"].clone(), event["status"].clone())).collect();
    assert_eq!(
        json!(methods),
        json!([["notifications/message", "ok"], ["tools/call", "ok"], ["elicitation/create", "ok"]])
    );
    let call = &all[1];
    for (key, value) in [
        ("session_id", json!("s-9")),
        ("server", json!("tools.example/mcp")),
        ("source_ip", json!("10.0.0.7")),
        ("user_agent", json!("agent/1")),
        ("auth_method", json!("bearer")),
        ("latency_us", json!(2500)),
        ("transport", json!("http")),
        ("time", json!("2026-11-20T19:40:59.500Z")),
    ] {
        assert_eq!(call[key], value, "{key}");
    }
    assert!(!format!("{all:?}").contains("abc"), "a credential");
}

#[test]
fn what_http_refuses_is_recorded_and_what_it_does_not_answer_too() {
    let all = made(&[
        exchange(json!({}), &call(1), 403, "text/html", "<h1>no</h1>"),
        exchange(json!({}), &call(2), 504, "", ""),
        exchange(json!({}), &call(3), 200, "text/event-stream", ""),
        exchange(
            json!({}),
            &call(4),
            404,
            "application/json",
            r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32001,"message":"x"}}"#,
        ),
    ]);
    let outcomes: Vec<_> = all
        .iter()
        .map(|event| (event["status"].clone(), event["error_class"].clone(), event["error_code"].clone()))
        .collect();
    assert_eq!(
        json!(outcomes),
        json!([
            ["denied", "auth", "403"],
            ["timeout", "timeout", "504"],
            ["unknown", null, null],
            ["error", null, "-32001"]
        ])
    );
}

#[test]
fn a_credential_without_a_scheme_is_recorded_nowhere() {
    for (value, method) in [
        ("hunter2", Value::Null),
        ("Bearer", Value::Null),
        ("hunter2 x", Value::Null),
        ("BASIC hunter2", json!("basic")),
        ("DPoP hunter2", json!("dpop")),
    ] {
        let all = made(&[exchange(json!({"Authorization": value}), &call(1), 403, "", "")]);
        assert_eq!(all[0]["auth_method"], method, "{value}");
        assert!(!format!("{all:?}").contains("hunter2"), "{value}");
    }
}

#[test]
fn an_at_in_a_path_names_no_other_server() {
    for (url, server) in [
        ("https://u:p@tools.example/mcp", "tools.example/mcp"),
        ("https://tools.example/mcp@bank.example", "tools.example/mcp@bank.example"),
        ("https://u:p@tools.example/x@y/mcp", "tools.example/x@y/mcp"),
        ("https://tools.example", "tools.example"),
    ] {
        let entry = json!({"startedDateTime": "2026-11-20T19:00:59.5+00:00", "time": 1,
            "request": {"url": url, "postData": {"text": call(1).to_string()}}, "response": {"status": 403}});
        let all = made(&[json!({"log": {"entries": [entry]}})]);
        assert_eq!(all[0]["server"], server);
    }
}

#[test]
fn a_request_without_a_body_is_no_message_and_no_junk() {
    let headers = json!({"Mcp-Session-Id": "s"});
    for method in ["GET", "DELETE"] {
        let mut asked = exchange(headers.clone(), &json!(null), 405, "", "");
        (asked["method"], asked["req_body"]) = (json!(method), json!(""));
        assert_eq!(made(&[asked]), Vec::<Value>::new(), "{method}");
    }
}

#[test]
fn a_har_is_read_and_what_is_neither_is_named() {
    let entry = json!({"startedDateTime": "2026-11-20T19:00:59.5+00:00", "time": 2.5,
        "request": {"method": "POST", "url": "https://u:p@tools.example/mcp?k=v", "headers": [{"name": "Host", "value": "x"}],
            "postData": {"mimeType": "application/json", "text": call(1).to_string()}},
        "response": {"status": 200, "headers": [{"name": "content-type", "value": "application/json"}],
            "content": {"encoding": "base64", "text": STANDARD_RESULT}}});
    let all = made(&[json!({"log": {"version": "1.2", "entries": [entry]}})]);
    assert_eq!(
        (all[0]["status"].clone(), all[0]["server"].clone()),
        (json!("ok"), json!("tools.example/mcp"))
    );
    assert_eq!(all[0]["result"], json!({"x": 1}));
    let mut exchanges = Exchanges::new();
    for wrong in ["{}", "[]", "7", r#"{"ts":1e300,"status":200}"#, r#"{"log":{"entries":[{}]}}"#] {
        let error = exchanges.value(wrong, 3, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }
}

/// `{"jsonrpc":"2.0","id":1,"result":{"x":1}}`
const STANDARD_RESULT: &str = "eyJqc29ucnBjIjoiMi4wIiwiaWQiOjEsInJlc3VsdCI6eyJ4IjoxfX0=";

#[test]
fn the_same_exchange_has_the_same_ids_and_another_has_others() {
    let ids = |id: u64| {
        let reply = json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
        let all = made(&[exchange(json!({}), &call(id), 200, "application/json", &reply)]);
        all.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}

#[test]
fn the_recorded_sample_of_the_stateless_protocol_is_read_whole() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/samples/mcp-http-tap-2026-07-28.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not here", path.display());
        return;
    };
    let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = made(&values);
    let methods: Vec<_> = all.iter().map(|event| event["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["server/discover", "tools/list", "tools/list", "tools/call"]);
    let call = &all[3];
    assert_eq!(call["client"], "mcp/0.1.0");
    assert_eq!(call["server"], "probe-http");
    assert_eq!(call["protocol_version"], "2026-07-28");
    assert_eq!(call["mcp_name_header"], "get_weather");
    assert_eq!(call["latency_us"], 5130);
    assert_eq!(call["tool_hash"], all[2]["tool_hash"]);
}
