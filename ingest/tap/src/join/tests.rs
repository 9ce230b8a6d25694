use serde_json::{Value, json};

use super::*;

fn join() -> Join {
    let given = Given { transport: "stdio", program: Some("server".into()), ..Given::default() };
    Join::new(given, b"run", "s-1")
}

/// The events of messages, each `("c" | "s", JSON)`, a millisecond apart, and of the connection's end.
fn events(messages: &[(&str, Value)]) -> Vec<Value> {
    let mut join = join();
    let mut out = Vec::new();
    let mut at = Moment::default();
    for (side, message) in messages {
        at = Moment { wall_us: at.wall_us + 1000, monotonic_us: at.monotonic_us + 1000 };
        let side = if *side == "c" { Side::Client } else { Side::Server };
        join.line(side, message.to_string().as_bytes(), at, &mut out);
    }
    join.end(at, &mut out);
    assert_eq!((join.pending.len(), join.pending_bytes), (0, 0));
    assert!(join.by_id.is_empty() && join.by_progress.is_empty());
    assert_eq!(join.made, out.len() as u64);
    out.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn call(id: Value, name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"x": 1}}})
}

#[test]
fn replies_find_their_requests_by_direction_and_id() {
    let made = events(&[
        ("c", call(json!(1), "first")),
        ("c", call(json!("1"), "second")),
        ("s", json!({"id": 1, "method": "sampling/createMessage", "params": {"messages": []}})),
        ("s", json!({"id": "1", "result": {"content": []}})),
        ("c", json!({"id": 1, "result": {"model": "m-1", "role": "assistant"}})),
        ("s", json!({"id": 1, "error": {"code": -32602, "message": "Unknown tool: first"}})),
    ]);
    let short: Vec<_> = made
        .iter()
        .map(|event| {
            (
                event["method"].clone(),
                event["capability"].clone(),
                event["status"].clone(),
                event["sent_by"].clone(),
            )
        })
        .collect();
    assert_eq!(
        json!(short),
        json!([
            ["tools/call", "second", "ok", "client"],
            ["sampling/createMessage", null, "ok", "server"],
            ["tools/call", "first", "error", "client"],
        ])
    );
    assert_eq!(made[1]["model"], "m-1");
    assert_eq!(made[2]["error_class"], "unknown_capability");
    assert_eq!((made[0]["latency_us"].clone(), made[2]["latency_us"].clone()), (json!(2000), json!(5000)));
    assert_eq!(made[0]["arguments"], json!({"x": 1}));
    assert_eq!(made[0]["session_id"], "s-1");
}

#[test]
fn what_has_no_reply_is_recorded_as_that() {
    let made = events(&[
        ("c", call(json!(1), "reused")),
        ("c", call(json!(1), "answered")),
        ("s", json!({"id": 1, "result": {}})),
        ("s", json!({"id": 1, "result": {"twice": true}})),
        ("c", call(json!(2), "left")),
    ]);
    let outcome = |at: usize| (made[at]["capability"].clone(), made[at]["status"].clone());
    assert_eq!(outcome(0), (json!("reused"), json!("unknown")));
    assert_eq!(outcome(1), (json!("answered"), json!("ok")));
    assert_eq!(
        (made[2]["reply_without_request"].clone(), made[2]["kind"].clone()),
        (json!(true), json!("unknown"))
    );
    assert_eq!(outcome(3), (json!("left"), json!("unknown")));
    assert_eq!(made[3]["unanswered"], "the connection ended");
    let mut ids: Vec<_> = made.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_cancelled_request_is_recorded_once_and_a_late_reply_beside_it() {
    let cancel = json!({"method": "notifications/cancelled", "params": {"requestId": 1, "reason": "slow"}});
    let made = events(&[
        ("c", call(json!(1), "a")),
        ("c", cancel.clone()),
        ("c", cancel),
        ("s", json!({"id": 1, "result": {}})),
        ("c", call(json!(2), "b")),
        ("c", json!({"method": "notifications/cancelled", "params": {"requestId": 2}})),
    ]);
    assert_eq!(made[0]["status"], "cancelled");
    assert_eq!(made[0]["cancel_reason"], "slow");
    // A second cancellation is a notification like any other.
    assert_eq!(made[1]["method"], "notifications/cancelled");
    assert_eq!((made[2]["status"].clone(), made[2]["late_reply"].clone()), (json!("ok"), json!(true)));
    assert_eq!(made[2]["call_id"], made[0]["call_id"]);
    assert_eq!(made.len(), 4);
}

#[test]
fn progress_belongs_to_its_request() {
    let mut asked = call(json!(1), "a");
    asked["params"]["_meta"] = json!({"progressToken": "p", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"});
    let told = |progress: u64| json!({"method": "notifications/progress", "params": {"progressToken": "p", "progress": progress}});
    let made = events(&[
        ("c", asked),
        ("s", told(1)),
        ("s", told(2)),
        ("s", json!({"id": 1, "result": {}})),
        ("s", told(3)),
    ]);
    assert_eq!(made[0]["progress_count"], 2);
    assert_eq!(made[0]["progress_last"]["progress"], 2);
    assert_eq!(made[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(made[0]["span_id"], "00f067aa0ba902b7");
    assert_eq!((made[1]["method"].clone(), made.len()), (json!("notifications/progress"), 2));
}

#[test]
fn a_call_in_rounds_is_one_call() {
    let mut again = call(json!(2), "deploy");
    again["params"]["requestState"] = json!("state-1");
    again["params"]["inputResponses"] = json!({"ok": {"action": "accept"}});
    let made = events(&[
        ("c", call(json!(1), "deploy")),
        (
            "s",
            json!({"id": 1, "result": {"resultType": "input_required", "requestState": "state-1", "inputRequests": {}}}),
        ),
        ("c", again),
        ("s", json!({"id": 2, "result": {"resultType": "complete", "content": []}})),
    ]);
    assert_eq!((made[0]["status"].clone(), made[0]["attempt"].clone()), (json!("pending"), json!(1)));
    assert_eq!((made[1]["status"].clone(), made[1]["attempt"].clone()), (json!("ok"), json!(2)));
    assert_eq!(made[0]["call_id"], made[1]["call_id"]);
    assert!(made[1]["input_responses"].is_object());
}

#[test]
fn batches_are_read_and_their_replies_joined() {
    let made = events(&[
        ("c", json!([call(json!(1), "a"), call(json!(2), "b"), {"method": "notifications/initialized"}])),
        ("s", json!([{"id": 2, "result": {}}, {"id": 1, "result": {}}])),
    ]);
    let names: Vec<_> = made.iter().map(|event| event["capability"].clone()).collect();
    assert_eq!(json!(names), json!([null, "b", "a"]));
    assert_eq!(made[0]["kind"], "session");
}

#[test]
fn both_ends_and_the_tools_are_known_from_what_is_said() {
    let made = events(&[
        (
            "c",
            json!({"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "clientInfo": {"name": "c", "version": "1"}}}),
        ),
        (
            "s",
            json!({"id": 0, "result": {"protocolVersion": "2025-06-18", "serverInfo": {"name": "srv", "version": "2"}}}),
        ),
        ("c", json!({"id": 1, "method": "tools/list"})),
        (
            "s",
            json!({"id": 1, "result": {"tools": [{"name": "rm", "annotations": {"destructiveHint": true}}]}}),
        ),
        ("c", call(json!(2), "rm")),
        ("s", json!({"id": 2, "result": {}})),
    ]);
    let [started, listed, defined, called] = made.as_slice() else { panic!("{made:#?}") };
    assert_eq!((started["client"].clone(), started["server"].clone()), (json!("c/1"), json!("srv")));
    assert_eq!(started["protocol_version"], "2025-06-18");
    assert_eq!(listed["method"], "tools/list");
    assert_eq!(
        (defined["kind"].clone(), defined["capability"].clone()),
        (json!("tool_definition"), json!("rm"))
    );
    assert_eq!(called["tool_hash"], defined["tool_hash"]);
    assert_eq!(called["annotations"], json!({"destructiveHint": true}));
}

#[test]
fn what_waits_is_bounded_in_number_and_bytes() {
    let mut join = join();
    let mut out = Vec::new();
    for id in 0..TAP_PENDING_MAX + 5 {
        join.line(Side::Client, call(json!(id), "a").to_string().as_bytes(), Moment::default(), &mut out);
    }
    assert_eq!((join.pending.len(), out.len()), (TAP_PENDING_MAX, 5));
    let mut long = call(json!("long"), "a");
    long["params"]["arguments"] = json!({"x": "y".repeat(TAP_PENDING_BYTES_MAX)});
    join.line(Side::Client, long.to_string().as_bytes(), Moment::default(), &mut out);
    assert!(join.pending_bytes <= TAP_PENDING_BYTES_MAX && join.pending.is_empty());
    assert!(out.last().unwrap().contains("arguments_left_out"));
    for at in 0..TAP_KNOWN_MAX + 5 {
        join.remember_round(format!("s{at}"), "call".into(), 2);
    }
    assert_eq!((join.rounds.len(), join.rounds_order.len()), (TAP_KNOWN_MAX, TAP_KNOWN_MAX));
}

/// Bytes of every text that a connection holds, as far as a peer chooses their length.
fn held_texts(join: &Join) -> usize {
    let ids: usize = join.by_id.keys().map(|(_, id)| id.as_text().len()).sum();
    let tokens: usize = join.by_progress.keys().map(|(_, token)| token.len()).sum();
    let rounds: usize = join.rounds.iter().map(|(state, (call, _))| state.len() + call.len()).sum();
    let order: usize = join.rounds_order.iter().map(String::len).sum();
    let pending = join.pending.values().map(|pending| {
        let request = &pending.request;
        let columns: usize = request.columns.iter().map(|(_, value)| value.len()).sum();
        let others: usize = request.others.iter().map(|(_, value)| value.len()).sum();
        let texts = [&request.arguments, &request.tool, &request.progress_token, &request.request_state];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let progress = pending.progress_last.as_ref().map_or(0, String::len);
        request.method.len() + request.id.as_text().len() + columns + others + texts + progress
    });
    ids + tokens + rounds + order + pending.sum::<usize>()
}

#[test]
fn long_ids_tokens_states_and_progress_are_not_held_at_their_length() {
    let mut join = join();
    let long = |at: usize| format!("{at}{}", "i".repeat(50_000));
    let at = Moment::default();
    for number in 0..1000 {
        let mut out = Vec::new();
        let asked = json!({"id": long(number), "method": "tools/call", "params": {"name": "t",
            "_meta": {"progressToken": long(number)}, "requestState": long(number)}});
        join.line(Side::Client, asked.to_string().as_bytes(), at, &mut out);
        let told = json!({"method": "notifications/progress", "params": {"progressToken": long(number), "message": long(0)}});
        join.line(Side::Server, told.to_string().as_bytes(), at, &mut out);
        assert!(join.pending_bytes <= TAP_PENDING_BYTES_MAX);
        if number % 3 == 0 {
            let pending = json!({"id": long(number), "result": {"resultType": "input_required", "requestState": long(number)}});
            join.line(Side::Server, pending.to_string().as_bytes(), at, &mut out);
        }
    }
    // Everything that waits is within what is counted; what is known of rounds is short.
    let rounds = TAP_KNOWN_MAX * 2 * (2 * schemas::limits::TAP_KEY_BYTES_MAX);
    assert!(held_texts(&join) <= TAP_PENDING_BYTES_MAX + rounds, "{}", held_texts(&join));
    assert!(held_texts(&join) <= join.pending_bytes + rounds);
    // And a reply still finds its request by such an id, in the same call as the round before.
    let mut out = Vec::new();
    join.line(Side::Client, json!({"id": long(7), "method": "x"}).to_string().as_bytes(), at, &mut out);
    let before = out.len();
    join.line(Side::Server, json!({"id": long(7), "result": {}}).to_string().as_bytes(), at, &mut out);
    let event: Value = serde_json::from_str(&out[before]).unwrap();
    assert_eq!((event["method"].clone(), event["status"].clone()), (json!("x"), json!("ok")));
    assert_eq!(event["request_id_is_hash"], true);
}

#[test]
fn a_batch_beyond_its_limit_is_read_up_to_it_and_the_rest_is_counted() {
    /// Holds one event at a time.
    #[derive(Default)]
    struct Counted(usize);
    impl Out for Counted {
        fn event(&mut self, _event: String) {
            self.0 += 1;
        }
    }
    let mut join = join();
    let mut out = Counted::default();
    let max = schemas::limits::TAP_BATCH_MESSAGES_MAX;
    let batch = format!("[{}]", vec![r#"{"method":"x"}"#; max + 7].join(","));
    join.line(Side::Client, batch.as_bytes(), Moment::default(), &mut out);
    assert_eq!((out.0, join.batched_over, join.unparsed), (max, 7, 0));
}

#[test]
fn a_reply_whose_id_has_another_type_is_joined_if_one_request_alone_can_be_meant() {
    let made = events(&[
        ("c", call(json!(1), "number")),
        ("s", json!({"id": "1", "result": {}})),
        ("c", call(json!("2"), "text")),
        ("s", json!({"id": 2.0, "result": {}})),
        ("c", call(json!(3), "one")),
        ("c", call(json!("3"), "two")),
        ("s", json!({"id": 3.0, "result": {}})),
        ("s", json!({"id": "3", "result": {}})),
        ("c", call(json!("a"), "word")),
        ("s", json!({"id": "b", "result": {}})),
    ]);
    let of = |name: &str| made.iter().find(|event| event["capability"] == name).unwrap();
    for (name, id) in [("number", "1"), ("text", "2.0")] {
        assert_eq!((of(name)["status"].clone(), of(name)["reply_id"].clone()), (json!("ok"), json!(id)));
        assert_eq!(of(name)["reply_id_differs"], true);
    }
    assert_eq!((of("one")["status"].clone(), of("two")["status"].clone()), (json!("unknown"), json!("ok")));
    assert_eq!(
        (of("two")["reply_id_differs"].clone(), of("word")["status"].clone()),
        (Value::Null, json!("unknown"))
    );
    assert_eq!(made.iter().filter(|event| event["reply_without_request"] == true).count(), 2);
}

#[test]
fn what_a_client_lists_is_no_tool_of_the_server() {
    let tools = |hint: bool| json!({"tools": [{"name": "rm", "annotations": {"destructiveHint": hint}}]});
    let made = events(&[
        ("c", json!({"id": 1, "method": "tools/list"})),
        ("s", json!({"id": 1, "result": tools(true)})),
        ("s", json!({"id": 1, "method": "tools/list"})),
        ("c", json!({"id": 1, "result": tools(false)})),
        ("c", call(json!(2), "rm")),
        ("s", json!({"id": 2, "result": {}})),
    ]);
    assert_eq!(made.iter().filter(|event| event["kind"] == "tool_definition").count(), 1, "{made:#?}");
    assert_eq!(made.last().unwrap()["annotations"], json!({"destructiveHint": true}));
}

#[test]
fn parameters_without_a_column_are_kept_and_repeated_keys_of_a_reply_are_said() {
    let mut join = join();
    let mut out = Vec::new();
    let asked = r#"{"id":1,"method":"tools/call","params":{"name":7,"arguments":{},"new":1,"new":[2],"_meta":{"k":"v"}}}"#;
    join.line(Side::Client, asked.as_bytes(), Moment::default(), &mut out);
    let reply = r#"{"id":1,"result":{"content":[],"content":[1]}}"#;
    join.line(Side::Server, reply.as_bytes(), Moment::default(), &mut out);
    let event: Value = serde_json::from_str(&out[0]).unwrap();
    assert_eq!(event["params_other"], json!({"name": 7, "new": [2], "_meta": {"k": "v"}}));
    assert_eq!(
        (event["reply_has_repeated_keys"].clone(), event["request_has_repeated_keys"].clone()),
        (json!(true), json!(true))
    );
}

#[test]
fn long_names_of_either_end_do_not_swell_events() {
    let long = "\u{1}".repeat(1 << 20);
    let made = events(&[
        (
            "c",
            json!({"id": 0, "method": "x", "params": {"_meta": {"io.modelcontextprotocol/clientInfo": {"name": long, "version": long}}}}),
        ),
        ("s", json!({"id": 0, "result": {"_meta": {"io.modelcontextprotocol/serverInfo": {"name": long}}}})),
        ("c", json!({"method": "notifications/initialized"})),
    ]);
    let last = made.last().unwrap();
    assert!(last.to_string().len() < 8 << 10, "{}", last.to_string().len());
    assert_eq!(
        (last["server_cut_from_bytes"].clone(), last["client_cut_from_bytes"].clone()),
        (json!(1 << 20), json!((2 << 20) + 1))
    );
}

#[test]
fn junk_is_counted_and_stops_nothing() {
    let mut join = join();
    let mut out = Vec::new();
    for junk in [&b"\x00\xff\xfe"[..], b"Server listening on port 3000", b"{\"id\":1", b"[]", b"[1]"] {
        join.line(Side::Server, junk, Moment::default(), &mut out);
    }
    assert_eq!((join.unparsed, out.len()), (5, 0));
}

#[test]
fn the_recorded_sample_of_the_stateful_protocol_is_joined() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/samples/mcp-stdio-tap-2025-11-25.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not here", path.display());
        return;
    };
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let side = |line: &Value| if line["dir"] == "c2s" { "c" } else { "s" };
    let messages: Vec<_> = lines.iter().map(|line| (side(line), line["msg"].clone())).collect();
    let made = events(&messages);
    // Ten requests, two notifications, two definitions; the third, trimmed one has no name.
    assert_eq!(made.len(), 14, "{made:#?}");
    let of = |id: &str| made.iter().find(|event| event["request_id"] == id).unwrap();
    assert_eq!((of("3")["status"].clone(), of("3")["capability"].clone()), (json!("ok"), json!("echo")));
    assert_eq!(of("3")["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (of("4")["status"].clone(), of("4")["error_class"].clone()),
        (json!("error"), json!("unknown_capability"))
    );
    assert_eq!(
        (of("5")["status"].clone(), of("5")["error_class"].clone()),
        (json!("error"), json!("validation"))
    );
    assert_eq!(
        (of("10")["error_code"].clone(), of("10")["capability"].clone()),
        (json!("-32602"), json!("demo://no/such"))
    );
    assert_eq!(of("9")["error_class"], "unknown_capability");
    assert_eq!(of("1")["server"], "mcp-servers/everything");
    assert_eq!(of("3")["client"], "audit-tap-probe/0.1.0");
}
