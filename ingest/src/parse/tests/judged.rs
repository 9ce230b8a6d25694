//! What is said of a record does not depend on what the author of the traffic writes into it, and nothing that is not known to
//! have gone well is said to have.

use serde_json::json;

use super::*;

/// Reads `record` and holds the columns against `wanted`, a JSON object.
fn check(record: &Value, wanted: Value) -> Rows {
    let rows = read(record.to_string());
    assert_eq!(rows.count(), 1, "{record}: {:?}", rows.rejected);
    hold(&rows, &record.to_string(), &wanted);
    rows
}

fn hold(rows: &Rows, record: &str, wanted: &Value) {
    for (column, value) in wanted.as_object().unwrap() {
        let found = match column.as_str() {
            "source" => rows.text(0, "source").splitn(3, '/').nth(2).unwrap_or_default().into(),
            column => rows.cell(0, column),
        };
        assert_eq!(&found, value, "{column} of {record}");
    }
}

#[test]
fn a_message_is_no_event_whatever_its_author_adds() {
    let message = json!({
        "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "delete_rows"},
        "time": "2026-01-01T00:00:00Z", "capability": "get_weather", "decision": "allow", "status": "ok",
        "event_id": "e-1", "timestamp": "2026-01-01T00:00:00Z", "server": "s",
    });
    let wanted = json!({
        "source": "jsonrpc-message/1", "capability": "delete_rows", "decision": "none", "status": "pending",
        "action": "destructive", "tags": ["arrival_time"],
    });
    check(&message, wanted);
    // The signs of any other format change nothing, and cannot get it refused.
    for fixture in mappings::fixtures() {
        let mut both: serde_json::Map<String, Value> = serde_json::from_str(&fixture.record).unwrap();
        both.extend(message.as_object().unwrap().clone());
        check(&both.into(), json!({"source": "jsonrpc-message/1", "capability": "delete_rows"}));
    }
    let asked = read_with(message.to_string(), |context| context.mapping = Some(Mapping::Canonical));
    assert_eq!(asked.text(0, "capability"), "get_weather", "a sender that says so means it");
    let other = read(message.to_string().replace("2.0", "9"));
    assert!(other.detail().contains("for canonical/1 it has `jsonrpc`"), "{}", other.detail());
}

#[test]
fn a_files_signs_stand_before_names_of_columns() {
    let denied = json!({
        "timestamp": "2026-05-18T14:23:01Z", "mcp_method": "tools/call", "mcp_server_name": "real",
        "mcp_tool_name": "delete_rows", "response_code": 403, "server": "s", "capabilityName": "get_weather",
        "decision": "allow", "status": "ok", "time": "2026-01-01T00:00:00Z", "kind": "list",
    });
    let wanted =
        json!({"source": "kuadrant/1", "capability": "delete_rows", "status": "denied", "decision": "deny"});
    check(&denied, wanted);
    let line = "info request protocol=mcp mcp.method.name=tools/call gen_ai.tool.name=delete_rows http.status=403 \
        time=2026-01-01T00:00:00Z kind=list decision=allow status=ok user_id=alice";
    let rows = read(line);
    let wanted = json!({"source": "agentgateway-log/1", "capability": "delete_rows", "status": "denied", "user_id": null});
    hold(&rows, line, &wanted);
    assert_eq!(
        read_with(line, |context| context.mapping = Some(Mapping::Canonical)).codes(),
        [(1, "bad_json")]
    );
    // All of its signs are names of columns.
    let file = "[[mapping]]\nname = \"mine/1\"\nwhen = { \"/timestamp\" = true, \"/server\" = \"gw*\" }\n\
        columns = { time = \"/timestamp\", observer = \"gateway\", server = \"/server\" }\n";
    let mappings = Mappings::with(&[("mine.toml".to_string(), file.to_string())]).unwrap();
    for (server, source) in [("gw-1", "mine/1"), ("other", "simple/1")] {
        let record = format!("{{\"timestamp\":\"2026-05-18T14:23:01Z\",\"server\":\"{server}\",\"x\":1}}");
        let rows = read_by(&mappings, &record);
        hold(&rows, &record, &json!({"source": source}));
    }
}

#[test]
fn a_key_that_stands_twice_inside_leaves_columns_open() {
    let http = |request: &str, response: &str| {
        json!({
            "ts": 1781009999.5, "path": "/mcp", "status": 200, "req_headers": {"mcp-method": "tools/list"},
            "req_body": request, "resp_body": response,
        })
    };
    let fine = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"isError\":false}}";
    let twice = [
        "{\"method\":\"tools/list\",\"m\\u0065thod\":\"tools/call\",\"params\":{\"name\":\"delete_rows\"}}",
        "{\"method\":\"tools/call\",\"params\":{\"name\":\"get_weather\"},\"params\":{\"name\":\"delete_rows\"}}",
        "{\"method\":\"tools/call\",\"params\":{\"name\":\"get_weather\",\"name\":\"delete_rows\"}}",
    ];
    check(
        &http(twice[0], fine),
        json!({"method": null, "kind": "call", "status": "ok", "tags": ["ambiguous"]}),
    );
    for twice in &twice[1..] {
        check(&http(twice, fine), json!({"method": "tools/call", "capability": null, "tags": ["ambiguous"]}));
    }
    let call = "{\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}";
    let both = "{\"result\":{\"isError\":false,\"content\":[],\"isError\":true}}";
    check(&http(call, both), json!({"status": "unknown", "error_class": "unknown", "tags": ["ambiguous"]}));
    // In a value that is kept whole, with what is inside the one that stands twice.
    for result in [
        "{\"isError\":false,\"isError\":true}",
        "{\"isError\":\"true\",\"content\":[],\"isError\":false,\"x\":1}",
    ] {
        let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{result}}}");
        let rows = read(&message);
        hold(&rows, &message, &json!({"status": "unknown", "tags": ["arrival_time", "ambiguous"]}));
        assert_eq!(inverse::regenerate(&rows, 0), inverse::canonical(&message));
    }
    let message = "{\"jsonrpc\":\"2.0\",\"result\":{\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"a\"}},\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"b\"}}}}";
    hold(&read(message), message, &json!({"server": null, "tags": ["arrival_time", "ambiguous"]}));
}

#[test]
fn an_exchange_went_well_only_where_it_says_so() {
    let body = "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}";
    let error = "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32602,\"message\":\"Unknown tool: a\"}}";
    let error_result = "{\"result\":{\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}}";
    for (status, response, wanted) in [
        (200, "{\"result\":{}}", json!({"status": "ok", "error_class": null})),
        (200, error, json!({"status": "error", "error_class": "unknown_capability", "error_code": "-32602"})),
        (200, error_result, json!({"status": "error", "error_class": "tool", "error_message": "no"})),
        (200, &format!("event: message\ndata: {error}\n\n"), json!({"status": "unknown"})),
        (200, &format!("[{error}]"), json!({"status": "unknown"})),
        (200, "", json!({"status": "unknown"})),
        (202, "", json!({"status": "pending"})),
        (200, "{\"result\":{\"resultType\":\"input_required\"}}", json!({"status": "pending"})),
        (403, "", json!({"status": "denied", "decision": "deny", "error_class": "auth"})),
        (500, "{\"result\":{}}", json!({"status": "error"})),
    ] {
        let record = json!({
            "ts": 1781009999.5, "path": "/mcp", "status": status, "resp_body": response, "dur_ms": 3.55,
            "req_headers": {"mcp-method": "tools/list", "mcp-name": "b"}, "req_body": body,
        });
        check(&record, wanted);
        check(&record, json!({"method": "tools/call", "capability": "a", "latency_us": 3550, "tags": null}));
    }
}

#[test]
fn gateways_errors_and_denials_are_seen() {
    let line = |rest: &str| format!("info request protocol=mcp mcp.method.name=tools/call {rest}");
    for (rest, wanted) in [
        ("http.status=200 gen_ai.tool.name=a", json!({"status": "ok", "capability_type": "tool"})),
        ("http.status=200 gen_ai.prompt.name=p", json!({"capability": "p", "capability_type": "prompt"})),
        ("http.status=202", json!({"status": "pending"})),
        (
            "http.status=200 mcp.error.code=-32602 mcp.error.message=\"Unknown tool: a\"",
            json!({"status": "error", "error_code": "-32602", "error_class": "unknown_capability", "error_message": "Unknown tool: a"}),
        ),
        ("http.status=200 gen_ai.tool.name=x y trace.id=t", json!({"capability": "x y", "trace_id": "t"})),
    ] {
        let line = line(rest);
        let rows = read(&line);
        assert_eq!(rows.count(), 1, "{line}: {:?}", rows.rejected);
        hold(&rows, &line, &wanted);
    }
    let span = |more: Value| {
        let mut attributes =
            json!({"protocol": "mcp", "mcp.method.name": "tools/call", "gen_ai.tool.name": "a"});
        attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"signal": "span", "start_time_unix_nano": "0", "end_time_unix_nano": "1795203651806562089", "attributes": attributes})
    };
    check(
        &span(json!({"http.status": 200})),
        json!({"status": "ok", "latency_us": null, "time": 1795203651806562i64, "tags": ["clock_skew"]}),
    );
    check(&span(json!({"http.status": 202})), json!({"status": "pending"}));
    check(&span(json!({})), json!({"status": "unknown"}));
    check(
        &span(json!({"http.status": 200, "mcp.error.code": "-32001"})),
        json!({"status": "error", "error_class": "protocol"}),
    );
}

#[test]
fn verdicts_of_several_calls_are_not_mixed_up() {
    let kong = |audit: Value, error: Value| json!({"started_at": 1779114181123i64, "ai": {"mcp": {"rpc": [{"method": "tools/call", "tool_name": "a", "error": error}], "audit": audit}}});
    let item = |name: &str, action: &str| json!({"primitive_name": name, "action": action});
    check(&kong(json!([item("a", "deny")]), json!("no")), json!({"decision": "deny", "status": "denied"}));
    check(&kong(json!([item("a", "allow")]), json!("no")), json!({"decision": "allow", "status": "error"}));
    check(&kong(json!([item("b", "allow")]), Value::Null), json!({"decision": "none"}));
    let several = json!([item("a", "allow"), item("a", "deny")]);
    check(&kong(several, Value::Null), json!({"decision": "unknown", "status": "unknown"}));
}

#[test]
fn what_was_denied_did_not_go_well() {
    let rivano = |action: &str| json!({"ts": "2024-01-15T14:23:01.234Z", "upstream": "f", "tool": "t", "bytes_in": 1, "action": action, "status": 200});
    for action in ["denied", "DENY", "blocked", "reject"] {
        let wanted = json!({"decision": "deny", "decision_basis": "explicit", "status": "denied"});
        let rows = check(&rivano(action), wanted);
        assert_eq!(rows.cell(0, "tags"), json!(["late", "contradiction"]), "{action}");
        assert_eq!(rows.attributes(0)["status"], "200");
    }
    check(&rivano("deny"), json!({"status": "denied", "tags": ["late"]}));
    check(&rivano("allow"), json!({"status": "ok", "tags": ["late"]}));
    let own = read(event("\"decision\":\"deny\",\"status\":\"ok\""));
    assert_eq!(own.text(0, "status"), "ok", "an event of our own form says it itself");
}

#[test]
fn hosts_decisions_and_failures_are_seen() {
    let codex = |decision: &str| {
        let attributes = json!({"event.name": "codex.tool_decision", "tool_name": "shell", "decision": decision, "source": "User"});
        json!({"signal": "log", "time_unix_nano": 1782094841924000000u64, "attributes": attributes})
    };
    for word in
        ["approved", "approved_with_amendment", "approved_with_network_policy_allow", "approved_for_session"]
    {
        let wanted = json!({"decision": "allow", "status": "pending", "kind": "approval", "approval_status": "approved"});
        check(&codex(word), wanted);
    }
    for (word, approval) in [
        ("denied", "rejected"),
        ("denied_with_network_policy_deny", "rejected"),
        ("abort", "rejected"),
        ("timed_out", "expired"),
    ] {
        let wanted =
            json!({"decision": "deny", "status": "denied", "kind": "call", "approval_status": approval});
        check(&codex(word), wanted);
    }
    let cursor = |event: &str, result: Value| json!({"conversation_id": "c", "hook_event_name": event, "tool_name": "t", "result_json": result});
    check(&cursor("afterMCPExecution", json!("{\"content\":[]}")), json!({"status": "ok"}));
    check(&cursor("afterMCPExecution", json!("{\"isError\":true}")), json!({"status": "error"}));
    check(&cursor("afterMCPExecution", Value::Null), json!({"status": "unknown"}));
    check(&cursor("afterShellExecution", Value::Null), json!({"status": "unknown"}));
    let claude = |event: &str, response: Value| json!({"session_id": "s", "transcript_path": "/t", "hook_event_name": event, "tool_name": "Bash", "tool_response": response});
    check(&claude("PostToolUse", json!({"stdout": ""})), json!({"status": "ok"}));
    check(&claude("PostToolUse", json!([{"type": "text"}])), json!({"status": "ok"}));
    check(&claude("PostToolUse", json!({"isError": true})), json!({"status": "error"}));
    check(&claude("PostToolUse", json!({"success": false})), json!({"status": "error"}));
    check(&claude("PostToolUse", json!({"interrupted": true})), json!({"status": "cancelled"}));
    check(&claude("PostToolUseFailure", Value::Null), json!({"status": "error"}));
}

#[test]
fn a_time_that_nobody_set_is_none() {
    let span = |start: &str, code: &str| {
        json!({
            "signal": "span", "name": "mcp.tool.call", "start_time_unix_nano": start, "end_time_unix_nano": "1781009999000000000",
            "status": {"code": code}, "attributes": {"mcp.server.name": "s", "mcp.tool.name": "t"},
        })
    };
    check(&span("0", ""), json!({"time": 1781009999000000i64, "latency_us": null, "status": "unknown"}));
    check(&span("1781009998000000000", "STATUS_CODE_OK"), json!({"latency_us": 1000000, "status": "ok"}));
}

/// OTLP's times have 64 bits without a sign, and exporters leave them out.
#[test]
fn a_time_of_otlp_is_read_whatever_it_is_and_tagged_where_it_is_odd() {
    let now = 1_781_010_000_000_000i64;
    let far = json!({"time": 18446744073709551i64, "tags": ["clock_skew"]});
    let none = json!({"time": now, "tags": ["arrival_time"]});
    let times = [
        (json!({}), none.clone()),
        (json!({"start_time_unix_nano": 0}), none.clone()),
        (json!({"start_time_unix_nano": u64::MAX}), far.clone()),
        (
            json!({"start_time_unix_nano": 0, "end_time_unix_nano": 1781009999000000000u64}),
            json!({"time": 1781009999000000i64, "tags": null, "latency_us": null}),
        ),
        (
            json!({"start_time_unix_nano": 1u64 << 63, "end_time_unix_nano": u64::MAX}),
            json!({"time": 9223372036854775i64, "tags": ["clock_skew"], "latency_us": 9223372036854775i64}),
        ),
    ];
    for (signs, signal, times) in [
        (json!({"attributes": {"gen_ai.tool.name": "t"}}), "span", &times[..]),
        (json!({"attributes": {"gen_ai.tool.name": "t"}}), "log", &times[..1]),
        (json!({"attributes": {"protocol": "mcp", "mcp.method.name": "tools/call"}}), "span", &times[..]),
        (json!({"name": "mcp.tool.call", "attributes": {"mcp.server.name": "s"}}), "span", &times[..]),
    ] {
        for (given, wanted) in times {
            let mut record = signs.clone();
            let members = record.as_object_mut().unwrap();
            members.insert("signal".to_string(), signal.into());
            members.extend(given.as_object().unwrap().clone());
            check(&record, wanted.clone());
        }
    }
    let logs = [
        json!({"attributes": {"gen_ai.tool.name": "t"}}),
        json!({"attributes": {"protocol": "mcp", "mcp.method.name": "tools/call"}}),
        json!({"attributes": {"event.name": "codex.tool_result", "tool_name": "shell"}}),
        json!({"scope": {"name": "com.anthropic.claude_code.events"}, "attributes": {"event.name": "tool_result", "tool_name": "Bash"}}),
    ];
    for mut log in logs {
        let mut with = |time: Value, observed: Value, wanted: Value| {
            let members = log.as_object_mut().unwrap();
            members.insert("signal".to_string(), "log".into());
            members.insert("time_unix_nano".to_string(), time);
            members.insert("observed_time_unix_nano".to_string(), observed);
            check(&log, wanted);
        };
        let (at, later) = (json!(1781009998000000000u64), json!(1781009999000000000u64));
        with(at, later.clone(), json!({"time": 1781009998000000i64, "tags": null}));
        with(json!(0), later, json!({"time": 1781009999000000i64, "tags": null}));
        with(json!(0), json!(0), none.clone());
        with(json!(u64::MAX), json!(0), far.clone());
    }
}

#[test]
fn parts_of_one_record_have_ids_of_their_own() {
    let file = "[[mapping]]\nname = \"mine/1\"\nwhen = { \"/calls\" = true }\neach = \"/calls\"\n\
        columns = { time = { arrival = true }, event_id = [\"/calls/0/id\", \"/id\"], capability = \"/calls/0/tool\" }\n";
    let mappings = Mappings::with(&[("mine.toml".to_string(), file.to_string())]).unwrap();
    let record =
        "{\"id\":\"r\",\"calls\":[{\"tool\":\"a\"},{\"tool\":\"b\"},{\"tool\":\"c\",\"id\":\"own\"}]}";
    let rows = read_by(&mappings, record);
    let ids: Vec<String> = (0..rows.count()).map(|row| rows.text(row, "event_id")).collect();
    assert_eq!(ids, ["r", "r#1", "own"]);
    assert_eq!(rows.attributes(1)["id"], "\"r\"");
}

#[test]
fn a_record_of_no_end_of_keys_is_refused_before_they_are_kept() {
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|key| format!("\"k{key}\":1")).collect();
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{{}}}}}",
            keys.join(",")
        )
    };
    let most = schemas::limits::EVENT_KEYS_MAX;
    assert_eq!(read(keys(most - 8)).count(), 1);
    for count in [most + 1, 200_000] {
        assert_eq!(read(keys(count)).codes(), [(1, "too_many_keys")], "{count}");
    }
    let mappings = Mappings::built_in();
    let text = keys(200_000);
    let mut scanner = Scanner::default();
    scanner.value(text.as_bytes()).unwrap();
    let plan = mappings.plan(mappings.find("jsonrpc-message").unwrap()).unwrap();
    assert_eq!(plan.walked(&text, scanner.members()), most + 1, "the walk ends there");
}
