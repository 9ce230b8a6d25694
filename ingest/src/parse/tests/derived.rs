//! What the recorder adds: ids, sessions, kinds, decisions, tags, cuts.

use serde_json::json;

use super::*;

#[test]
fn ids_come_from_the_source_the_request_or_the_recorder() {
    let body = event("\"event_id\":\"e-1\"") + "\n" + &event("") + "\nbad\n" + &event("\"event_id\":\"\"");
    let rows = read(&body);
    assert_eq!(rows.text(0, "event_id"), "e-1");
    assert_eq!(rows.draft.as_ref().unwrap().idempotent, [true, false, false]);
    let made: uuid::Uuid = rows.text(1, "event_id").parse().unwrap();
    assert_eq!(made.get_version_num(), 7);
    assert_eq!(made.get_timestamp().unwrap().to_unix().0 as i64, NOW_US / 1_000_000);
    assert_ne!(rows.text(1, "event_id"), rows.text(2, "event_id"));
    assert_eq!(rows.attributes(2)["event_id"], "\"\"");

    let keyed = |body: &str, key| read_with(body, |context| context.idempotency_key = Some(key));
    let (first, again, other) = (keyed(&body, "k1"), keyed(&body, "k1"), keyed(&body, "k2"));
    assert_eq!(first.draft.as_ref().unwrap().idempotent, [true; 3]);
    assert_eq!(first.text(0, "event_id"), "e-1");
    let id = first.text(1, "event_id");
    assert!(id.starts_with("idem-") && id.len() == 5 + 32, "{id}");
    assert_eq!(id, again.text(1, "event_id"));
    assert_ne!(id, first.text(2, "event_id"));
    assert_ne!(id, other.text(1, "event_id"));
    let moved = keyed(&body.replace("bad\n", ""), "k1");
    assert_ne!(moved.text(2, "event_id"), first.text(2, "event_id"), "the position counts refused values");
}

/// Which observations are of one call, only their sender knows.
#[test]
fn a_call_id_is_the_source_s_or_none() {
    let ids = "\"request_id\":7,\"trace_id\":\"286cb6c44380a45e1f77f29ce4d146fd\",\"capability\":\"x\",\"event_id\":\"e\"";
    let rows = read(event(ids) + "\n" + &event("\"call_id\":\"c-1\""));
    assert_eq!((rows.cell(0, "call_id"), rows.text(1, "call_id")), (Value::Null, "c-1".to_string()));
    let simple = "{\"timestamp\":1781009131,\"server\":\"s\",\"requestId\":\"7\"}";
    let message = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}";
    for record in [simple, message] {
        assert_eq!(read(record).cell(0, "call_id"), Value::Null, "{record}");
    }
}

#[test]
fn the_tenant_and_the_source_are_the_recorders() {
    let reserved = [
        "tenant",
        "log_index",
        "ingest_time",
        "control",
        "payload_commitment",
        "cut",
        "tags",
        "redactions",
        "source",
        "attributes",
        "oversize",
        "raw",
    ];
    let members: Vec<String> = reserved.iter().map(|key| format!("\"{key}\":\"evil\"")).collect();
    let rows = read(event(&members.join(",")));
    assert_eq!(rows.text(0, "tenant"), "acme");
    assert_eq!(rows.text(0, "source"), "http/t-0123456789ab/canonical/1");
    assert_eq!(rows.draft.as_ref().unwrap().scope, "http/t-0123456789ab");
    for key in reserved {
        assert_eq!(rows.attributes(0)[key], "\"evil\"", "{key}");
    }
    for column in ["control", "cut", "tags", "redactions", "oversize", "raw"] {
        assert_eq!(rows.cell(0, column), Value::Null, "{column}");
    }
}

#[test]
fn kinds_follow_from_methods() {
    for (member, kind) in [
        ("\"method\":\"tools/call\"", "call"),
        ("\"method\":\"prompts/get\"", "call"),
        ("\"method\":\"server/discover\"", "list"),
        ("\"method\":\"initialize\"", "session"),
        ("\"method\":\"revoke\"", "auth"),
        ("\"method\":\"end\"", "session"),
        ("\"method\":\"no/such\"", "unknown"),
        ("\"capability\":\"x\"", "call"),
        ("\"kind\":\"Tool-Call\"", "call"),
        ("\"kind\":\"mystery\"", "unknown"),
        ("\"kind\":null,\"method\":\"tools/list\"", "list"),
    ] {
        let rows = read(format!("{{\"time\":1781009131,{member}}}"));
        assert_eq!(rows.text(0, "kind"), kind, "{member}");
    }
}

#[test]
fn actions_and_risks_follow_from_names_and_annotations() {
    for (members, action, risk) in [
        ("\"capability\":\"get_user\"", "read", "low"),
        ("\"capability\":\"create_ticket\"", "write", "medium"),
        ("\"capability\":\"drop_table\"", "destructive", "high"),
        ("\"capability\":\"runQuery\"", "execute", "high"),
        ("\"capability\":\"grant_role\"", "admin", "high"),
        ("\"capability\":\"frobnicate\"", "unknown", "unknown"),
        ("\"capability\":\"get_user\",\"action\":\"write\"", "write", "medium"),
        ("\"capability\":\"get_user\",\"risk\":\"severe\"", "read", "critical"),
        ("\"capability\":\"frobnicate\",\"annotations\":{\"destructiveHint\":true}", "destructive", "high"),
        ("\"capability\":\"frobnicate\",\"annotations\":{\"destructiveHint\":false}", "unknown", "unknown"),
        ("\"capability\":\"delete_x\",\"annotations\":{\"readOnlyHint\":true}", "destructive", "high"),
        ("\"capability\":\"delete_x\",\"capability_type\":\"resource\"", "read", "low"),
    ] {
        let rows = read(event(members));
        assert_eq!(
            (rows.text(0, "action").as_str(), rows.text(0, "risk").as_str()),
            (action, risk),
            "{members}"
        );
    }
}

#[test]
fn decisions_and_outcomes_fill_each_other() {
    for (members, decision, basis, status) in [
        ("", "none", Value::Null, "unknown"),
        ("\"status\":\"ok\"", "none", Value::Null, "ok"),
        ("\"status\":\"denied\"", "deny", json!("inferred"), "denied"),
        ("\"decision\":\"deny\"", "deny", json!("explicit"), "denied"),
        ("\"decision\":\"allowed\",\"status\":\"failure\"", "allow", json!("explicit"), "error"),
        ("\"decision\":\"deny\",\"decision_basis\":\"inferred\"", "deny", json!("inferred"), "denied"),
        ("\"decision\":\"perhaps\"", "unknown", json!("explicit"), "unknown"),
    ] {
        let rows = read(event(members));
        let found = (rows.text(0, "decision"), rows.cell(0, "decision_basis"), rows.text(0, "status"));
        assert_eq!(found, (decision.to_string(), basis, status.to_string()), "{members}");
    }
}

#[test]
fn sessions_are_the_sources_the_conversations_or_derived() {
    let rows = read(event("\"session_id\":\"s\",\"conversation_id\":\"c\""));
    assert_eq!(rows.text(0, "session_id"), "s");
    let rows = read(event("\"session_id\":\"\",\"conversation_id\":\"c\""));
    assert_eq!(
        (rows.text(0, "session_id"), rows.attributes(0)["session_id"].as_str()),
        ("c".to_string(), "\"\"")
    );
    let line = |user: &str, minute: u32| {
        format!("{{\"time\":\"2026-06-09T12:{minute:02}:00Z\",\"kind\":\"call\",\"user_id\":\"{user}\"}}\n")
    };
    let rows = read(line("u", 0) + &line("u", 20) + &line("v", 20) + &line("u", 55));
    let ids: Vec<String> = (0..4).map(|row| rows.text(row, "session_id")).collect();
    assert!(ids[0].starts_with("derived-") && ids[0].len() == 24, "{}", ids[0]);
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0] != ids[2] && ids[0] != ids[3]);
}

#[test]
fn a_session_of_a_long_conversation_is_short_and_kept_whole_once() {
    let long = |last: &str| format!("{}{last}", "c".repeat(9 << 20));
    let rows = read(event(&format!("\"conversation_id\":\"{}\"", long("1"))));
    let cap = schemas::Stream::Events.column("session_id").unwrap().bytes_max;
    assert_eq!(rows.text(0, "session_id").len(), cap);
    let payloads = &rows.draft.as_ref().unwrap().payloads;
    let encoder = schemas::entry::Encoder::payloads(schemas::Stream::Events, payloads).unwrap();
    encoder.values(0, &mut Vec::new(), |_, _| {}).expect("every value can be read again");
    let other = read(event(&format!("\"conversation_id\":\"{}\"", long("2"))));
    assert_ne!(
        rows.text(0, "session_id"),
        other.text(0, "session_id"),
        "a hash of the whole keeps them apart"
    );
}

#[test]
fn clocks_that_are_off_are_tagged() {
    for (time_us, tags) in [
        (NOW_US, Value::Null),
        (NOW_US + 300_000_000, Value::Null),
        (NOW_US + 300_000_001, json!(["clock_skew"])),
        (NOW_US - 86_400_000_000, Value::Null),
        (NOW_US - 86_400_000_001, json!(["late"])),
    ] {
        let rows = read(format!("{{\"time\":{time_us},\"kind\":\"call\"}}"));
        assert_eq!((rows.cell(0, "time"), rows.cell(0, "tags")), (json!(time_us), tags));
    }
}

#[test]
fn what_is_too_long_is_cut_and_kept_whole_beside() {
    let user = "é".repeat(200);
    let target = "t".repeat(5000);
    let scopes: Vec<String> = (0..1000).map(|n| format!("scope-{n}")).collect();
    let scopes = serde_json::to_string(&scopes).unwrap();
    let rows = read(event(&format!(
        "\"user_id\":\"x{user}\",\"target\":\"{target}\",\"scopes\":{scopes},\"client\":\"{}\"",
        "c".repeat(256)
    )));
    assert_eq!(
        rows.text(0, "user_id"),
        format!("x{}", "é".repeat(127)),
        "255 bytes: the next character has two"
    );
    assert_eq!(rows.text(0, "target"), "t".repeat(2048));
    assert_eq!(rows.text(0, "client").len(), 256);
    assert_eq!(rows.cell(0, "cut"), json!(["scopes", "target", "user_id"]));
    assert_eq!(rows.cell(0, "tags"), json!(["oversize"]));
    assert_eq!(
        rows.cell(0, "oversize"),
        json!({"scopes": scopes, "target": target, "user_id": format!("x{user}")})
    );
    let kept = rows.cell(0, "scopes");
    let kept = kept.as_array().unwrap();
    assert!(kept.len() > 250 && kept[kept.len() - 1] == format!("scope-{}", kept.len() - 1));
}

#[test]
fn long_event_ids_stay_different() {
    let id = |tail: &str| event(&format!("\"event_id\":\"{}{tail}\"", "i".repeat(300)));
    let rows = read(id("a") + &id("b"));
    assert_ne!(rows.text(0, "event_id"), rows.text(1, "event_id"));
    assert_eq!(rows.text(0, "event_id").len(), 256);
    assert_eq!(rows.cell(0, "cut"), json!(["event_id"]));
}

#[test]
fn a_mapping_that_is_asked_for_is_the_only_one() {
    let forced = |mapping| read_with(event(""), |context| context.mapping = Some(mapping));
    assert_eq!(forced(Mapping::Canonical).count(), 1);
    let refused = forced(Mapping::Simple);
    assert_eq!(refused.codes(), [(1, "unmapped")]);
    assert!(!refused.detail().contains("canonical/1"), "{}", refused.detail());
}

#[test]
fn lines_count_from_where_the_caller_says() {
    let rows = read_with("\nx\n", |context| context.line_first = 100);
    assert_eq!(rows.codes(), [(101, "bad_json")]);
}

#[test]
fn destinations_are_found_among_the_arguments() {
    let record = |tool: &str, arguments: Value| {
        json!({
            "timestamp": "2026-06-09T12:45:31Z", "mcp_method": "tools/call", "mcp_server_name": "s",
            "mcp_tool_name": tool, "mcp_tool_params": arguments.to_string(),
        })
        .to_string()
    };
    let rows = read(record("send", json!({"to": "a@x.example", "body": "hi"})));
    let found = rows.cell(0, "destinations");
    let item = found[0].as_str().unwrap();
    assert!(item.starts_with("send:to:recipient:") && !item.contains("a@x"), "{found}");
    assert_eq!(read(record("send", json!({"body": "hi"}))).cell(0, "destinations"), Value::Null);
    let own = event("\"capability\":\"send\",\"arguments\":{\"to\":\"a\"},\"destinations\":[\"mine\"]");
    assert_eq!(
        read(own).cell(0, "destinations"),
        json!(["mine"]),
        "an event that says them itself is believed"
    );
    let silent =
        event("\"capability\":\"send\",\"arguments\":{\"to\":\"a@x.example\"},\"destinations\":null");
    let rows = read(silent);
    assert_eq!(rows.cell(0, "destinations"), found, "of an event of our own form too");
    assert_eq!(rows.cell(0, "attributes")["destinations"], "null");
    // What the column cannot hold is kept whole beside.
    let paths: Vec<String> = (0..64).map(|n| format!("p{n}")).collect();
    let rows = read(record(&"t".repeat(500), json!({"path": paths})));
    assert!(rows.cell(0, "destinations").as_array().unwrap().len() < 64);
    assert_eq!(rows.cell(0, "cut"), json!(["destinations"]));
    let whole = rows.cell(0, "oversize")["destinations"].as_str().unwrap().to_string();
    assert_eq!(serde_json::from_str::<Vec<String>>(&whole).unwrap().len(), 64);
}
