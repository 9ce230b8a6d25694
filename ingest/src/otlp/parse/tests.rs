use std::sync::LazyLock;

use redact::Redactor;
use serde_json::{Value, json};

use super::*;
use crate::admit::Admission;
use crate::mapping::Mappings;
use crate::parse::tests::inverse::{canonical, regenerate};
use crate::parse::tests::{NOW_US, Rows, principal, shared};
use crate::session::Sessions;

struct Read {
    rows: Rows,
    rejected: u64,
    first: Option<Refusal>,
    not_recorded: u64,
    ids: Vec<String>,
}

fn try_read(signal: Signal, body: &str, budget: usize) -> Result<(Parsed, Tally), Error> {
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new([7; 32]));
    let (principal, sessions) = (principal(), Sessions::new());
    let context = Context {
        collector: "otlp",
        principal: &principal,
        mappings: Mappings::built_in(),
        mapping: None,
        idempotency_key: None,
        line_first: 1,
        now_us: NOW_US,
        seed: [1; 32],
        redactor: &REDACTOR,
        sessions: &sessions,
        countries: None,
    };
    let admission = Admission::new(budget, budget);
    let mut reservation = admission.reserve("acme", body.len())?;
    let mut tally = Tally::default();
    let parsed =
        parse((signal, Form::Json), body.as_bytes(), &context, &[3; 32], &mut reservation, &mut tally)?;
    Ok((parsed, tally))
}

fn read(signal: Signal, body: &str) -> Read {
    let (Parsed { draft, first, not_recorded }, tally) = try_read(signal, body, 256 << 20).unwrap();
    let rejected = tally.refused.total();
    if let Some(draft) = &draft {
        assert!(draft.idempotent.iter().all(|has_id| *has_id), "every record can be sent again");
        assert_eq!(draft.scope, "otlp/t-0123456789ab");
    }
    let rows = Rows::of(draft);
    assert_eq!(tally.received, rows.count() as u64 + rejected + not_recorded);
    let ids = (0..rows.count()).map(|row| rows.text(row, "event_id")).collect();
    Read { rows, rejected, first, not_recorded, ids }
}

fn spans(spans: &[&str]) -> String {
    let spans = spans.join(",");
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"svc"}}}}]}},
            "scopeSpans":[{{"scope":{{"name":"lib"}},"spans":[{spans}]}}]}}]}}"#
    )
}

fn span(id: &str, attributes: &[(&str, &str)]) -> String {
    let attributes: Vec<Value> =
        attributes.iter().map(|(key, text)| json!({"key": key, "value": {"stringValue": text}})).collect();
    json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "name": "n", "kind": 2,
        "startTimeUnixNano": "1795203651658566355", "endTimeUnixNano": "1795203651662507773",
        "attributes": attributes})
    .to_string()
}

fn logs(records: &[Value]) -> String {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string()
}

const TOOL: (&str, &str) = ("gen_ai.tool.name", "search");

#[test]
fn tool_activity_is_recorded_and_the_rest_is_counted() {
    let good = span("eee19b7ec3c1b174", &[TOOL]);
    let other = span("eee19b7ec3c1b175", &[("http.request.method", "GET")]);
    let bad = span("0000000000000000", &[TOOL]);
    let read = read(Signal::Traces, &spans(&[&good, &other, &bad, "{\"name\":7}"]));
    assert_eq!((read.rows.count(), read.rejected, read.not_recorded), (1, 2, 1));
    assert_eq!(read.first.unwrap().code, Code::BadId);
    assert_eq!(read.ids, ["5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174"]);
    for (column, value) in [
        ("source", json!("otlp/t-0123456789ab/otel/1")),
        ("capability", json!("search")),
        ("server", json!("svc")),
        ("time", json!(1_795_203_651_658_566i64)),
        ("tenant", json!("acme")),
        ("status", json!("ok")),
    ] {
        assert_eq!(read.rows.cell(0, column), value, "{column}");
    }
    assert_eq!(read.rows.attributes(0)["scope"], "{\"name\":\"lib\"}");
    assert!(read.rows.text(0, "session_id").starts_with("derived-"));
}

#[test]
fn a_log_record_is_known_by_all_of_it_and_twins_are_two() {
    let record = |text: &str| {
        json!({"timeUnixNano": "1795203651658566355", "body": {"stringValue": text},
            "attributes": [{"key": "gen_ai.tool.name", "value": {"stringValue": "Bash"}}]})
    };
    let batch = logs(&[record("a"), record("b"), record("a")]);
    let first = read(Signal::Logs, &batch);
    assert_eq!(first.ids.len(), 3);
    assert_eq!(format!("{}-2", first.ids[0]), first.ids[2]);
    assert_ne!(first.ids[0], first.ids[1]);
    assert_eq!(read(Signal::Logs, &batch).ids, first.ids, "a retry has the same ids");
    let mut named = record("a");
    named["attributes"]
        .as_array_mut()
        .unwrap()
        .push(json!({"key": "log.record.uid", "value": {"stringValue": "01ARZ3"}}));
    assert_eq!(read(Signal::Logs, &logs(&[named])).ids, ["01ARZ3"]);
}

#[test]
fn secrets_are_gone_before_anything_else_sees_the_record() {
    let token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let secret = span(
        "eee19b7ec3c1b174",
        &[
            TOOL,
            ("gen_ai.tool.call.arguments", &format!(r#"{{"header":"Authorization: Bearer {token}"}}"#)),
            ("password", "correct horse battery"),
            ("http.request.header.authorization", "Basic dXNlcjpodW50ZXIyaHVudGVyMg=="),
            ("user.id", token),
        ],
    );
    let read = read(Signal::Traces, &spans(&[&secret]));
    assert_eq!((read.rows.count(), read.rejected), (1, 0), "{:?}", read.first);
    let all: Vec<String> = ["arguments", "attributes", "user_id", "redactions"]
        .map(|name| read.rows.cell(0, name).to_string())
        .into();
    let all = all.join("\n");
    for part in ["16C7e42F", "correct horse", "dXNlcjpodW50", "hunter2"] {
        assert!(!all.contains(part), "{part} in {all}");
    }
    assert!(read.rows.cell(0, "redactions").as_array().is_some_and(|list| !list.is_empty()));
    assert_eq!(read.ids, ["5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174"], "ids are no secrets");
}

#[test]
fn what_a_request_becomes_is_bounded() {
    let resource = "x".repeat(4 << 20);
    let small = span("eee19b7ec3c1b174", &[TOOL]);
    let many: Vec<&str> = std::iter::repeat_n(small.as_str(), 30).collect();
    let body = spans(&many).replace("\"svc\"", &format!("\"{resource}\""));
    let refused = try_read(Signal::Traces, &body, 256 << 20);
    assert!(matches!(refused, Err(Error::TooLarge { limit: OTLP_TEXT_BYTES_MAX, .. })));
    let refused = try_read(Signal::Traces, &body, 16 << 20);
    assert!(matches!(refused, Err(Error::Busy { .. })), "its growth counts against the budget");
    let empty = "{},".repeat(BODY_VALUES_MAX / 2);
    let scope = format!(r#"{{"spans":[{empty}{{}}]}}"#);
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{scope},{scope}]}}]}}"#);
    let refused = try_read(Signal::Traces, &body, 256 << 20);
    assert!(matches!(refused, Err(Error::TooLarge { limit: BODY_VALUES_MAX, .. })));
}

#[test]
fn a_long_attribute_is_kept_whole() {
    let (long, name) = ("word ".repeat(2 << 20), "name ".repeat(1 << 18));
    let body =
        spans(&[&span("eee19b7ec3c1b174", &[TOOL, ("gen_ai.tool.call.result", &long), ("user.id", &name)])]);
    let read = read(Signal::Traces, &body);
    assert_eq!((read.rows.count(), read.rejected), (1, 0), "{:?}", read.first);
    assert_eq!(read.rows.text(0, "result").len(), long.len());
    assert_eq!(read.rows.cell(0, "cut"), json!(["user_id"]));
    assert_eq!(read.rows.cell(0, "oversize")["user_id"].as_str().map(str::len), Some(name.len()));
}

/// SDKs append attributes without looking whether there is one of that name.
#[test]
fn an_attribute_that_is_there_twice_is_recorded_and_tagged() {
    let twice = span(
        "eee19b7ec3c1b174",
        &[
            TOOL,
            ("user.id", "ann"),
            ("user.id", "bob"),
            ("password", "correct horse battery"),
            ("password", "another battery staple"),
        ],
    );
    let read = read(Signal::Traces, &spans(&[&twice, &span("eee19b7ec3c1b175", &[TOOL])]));
    assert_eq!((read.rows.count(), read.rejected), (2, 0), "{:?}", read.first);
    assert_eq!(read.rows.text(0, "user_id"), "bob");
    let tags = |row| read.rows.cell(row, "tags");
    assert_eq!((tags(0), tags(1)), (json!(["clock_skew", "ambiguous"]), json!(["clock_skew"])));
    let repeated = &read.rows.attributes(0)["attributes_repeated"];
    assert!(repeated.starts_with(r#"[{"user.id":"ann"},{"password":"<redacted:"#), "{repeated}");
}

#[test]
fn a_record_that_is_refused_for_its_resource_is_refused_once_for_all() {
    let resource = r#""attributes":[{"key":"k","value":{"stringValueStrindex":1}}]"#;
    let tool = span("eee19b7ec3c1b174", &[TOOL]);
    let body = format!(
        r#"{{"resourceSpans":[{{"resource":{{{resource}}},"scopeSpans":[{{"spans":[{tool},{tool}]}},{{"spans":[{tool}]}}]}}]}}"#
    );
    let read = read(Signal::Traces, &body);
    assert_eq!((read.rows.count(), read.rejected, read.first.unwrap().code), (0, 3, Code::BadType));
}

/// What is rendered of a resource and of a scope is rendered once for all their records in a row.
#[test]
fn the_text_of_a_resource_is_made_once() {
    let made = std::cell::Cell::new(0);
    let make = |_: &u8| {
        made.set(made.get() + 1);
        Err(Refusal::new(Code::BadType, "no"))
    };
    let (mut known, one, other) = (None, Arc::new(1), Arc::new(1));
    for of in [&one, &one, &other, &other, &one] {
        assert_eq!(of_same(&mut known, of, make).unwrap_err().code, Code::BadType);
    }
    assert_eq!(made.get(), 3);
}

/// The texts that the records of a request become.
fn texts(signal: Signal, body: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut each = |origin: &Result<Arc<Origin>, Refusal>, telemetry: Result<Telemetry, Refusal>| {
        let origin = origin.as_ref().unwrap();
        let (producer, scope) = (record::of_producer(&origin.producer), record::of_scope(origin));
        found.push(record::of(&telemetry.unwrap(), &producer.unwrap(), &scope.unwrap()).unwrap().json);
        Ok(())
    };
    json::split(signal, body.as_bytes(), &mut each).unwrap();
    found
}

/// Spans of fastmcp and the MCP SDK, as their own exporter writes them.
#[test]
fn a_real_export_is_recorded() {
    let Some(sample) = shared("samples/otlp-spans-fastmcp-4.1-mcp-sdk-2.3.json") else {
        eprintln!("SKIPPED: the sample is not beside the project");
        return;
    };
    let sample = String::from_utf8(sample).unwrap();
    let read = read(Signal::Traces, &sample);
    assert_eq!(read.rejected, 0, "{:?}", read.first);
    assert!(read.rows.count() >= 4);
    let mappings = Mappings::built_in();
    let texts: Vec<String> =
        texts(Signal::Traces, &sample).into_iter().filter(|text| mappings.is_activity(text)).collect();
    assert_eq!(texts.len(), read.rows.count());
    for (row, text) in texts.iter().enumerate() {
        assert!(read.rows.cell(row, "redactions").is_null(), "{text}");
        assert_eq!(regenerate(&read.rows, row), canonical(text), "what came in comes back");
    }
    let rows = 0..read.rows.count();
    let find = |tool: &str, observer: &str| {
        let is_it = |row: &usize| {
            read.rows.text(*row, "capability") == tool && read.rows.text(*row, "observer") == observer
        };
        rows.clone().find(is_it).unwrap_or_else(|| panic!("no {tool} of the {observer}"))
    };
    let weather = find("get_weather", "server");
    for (column, value) in [
        ("method", "tools/call"),
        ("server", "probe"),
        ("status", "ok"),
        ("kind", "call"),
        ("action", "read"),
        ("protocol_version", "2026-07-28"),
    ] {
        assert_eq!(read.rows.text(weather, column), value, "{column}");
    }
    assert!(read.rows.text(weather, "session_id").starts_with("derived-"), "not the id of a request");
    let failed = find("delete_rows", "server");
    assert_eq!(read.rows.text(failed, "status"), "error");
    assert_eq!(read.rows.text(failed, "error_class"), "tool");
    assert!(read.rows.text(failed, "error_message").contains("permission denied"));
    assert!(read.rows.attributes(failed)["events"].contains("fastmcp.exceptions.ToolError"));
    assert_eq!(read.rows.text(find("delete_rows", "client"), "agent_id"), "probe-mcp-server");
}
