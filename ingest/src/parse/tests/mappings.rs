//! Mappings from files: every format is told from all others, its columns are what they should be, and columns and
//! attributes together give the record back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::inverse::{canonical, regenerate};
use super::*;
use crate::mapping::{ALL_RANKS, Mapping, Recognised};
use crate::scan::{self, Kind};
use crate::unescape::unescape;

/// One record of each format, written for this test, with columns that must come of it.
const FIXTURES: &str = include_str!("mappings.jsonl");

pub(super) struct Fixture {
    /// Where only the names of fields are published.
    pub(super) shape: String,
    pub(super) mapping: String,
    pub(super) columns: serde_json::Map<String, Value>,
    pub(super) record: String,
}

pub(super) fn fixtures() -> Vec<Fixture> {
    read_fixtures(FIXTURES)
}

pub(super) fn read_fixtures(text: &str) -> Vec<Fixture> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(default)]
        shape: String,
        mapping: String,
        columns: serde_json::Map<String, Value>,
        #[serde(borrow)]
        record: &'a RawValue,
    }
    let lines = text.lines().map(|line| serde_json::from_str::<Line<'_>>(line).unwrap());
    lines
        .map(|Line { shape, mapping, columns, record }| Fixture {
            shape,
            mapping,
            columns,
            record: record.get().to_string(),
        })
        .collect()
}

#[test]
fn each_format_is_told_from_all_others_and_fills_its_columns() {
    let mappings = Mappings::built_in();
    let mut seen = std::collections::BTreeSet::new();
    let mut unlisted = Vec::new();
    for Fixture { mapping, columns, record, .. } in fixtures() {
        let mut scanner = Scanner::default();
        scanner.value(record.as_bytes()).unwrap();
        let members = scanner.members();
        assert_eq!(
            mappings.recognise(&record, members, ALL_RANKS),
            Recognised::One(mappings.find(&mapping).unwrap()),
            "{record}"
        );
        let others = mappings.list().filter(|about| !about.is_generic && about.name != mapping);
        for other in others {
            let Some(plan) = mappings.plan(mappings.find(other.name).unwrap()) else { continue };
            let holds = plan.signs.iter().any(|signs| {
                signs
                    .iter()
                    .all(|sign| sign.test.passes(crate::mapping::walk::find(&record, members, &sign.path)))
            });
            assert!(!holds, "{} bears the signs of {}: {record}", mapping, other.name);
        }
        assert!(mappings.is_activity(&record));
        let rows = read(&record);
        assert_eq!(rows.count(), 1, "{mapping}: {:?}", rows.rejected);
        assert!(
            rows.text(0, "source").ends_with(&format!("/{mapping}")),
            "{mapping}: {}",
            rows.text(0, "source")
        );
        let filled = filled(&rows, 0);
        for (column, value) in &columns {
            assert_eq!(rows.cell(0, column), *value, "{mapping} {column}: {record}");
        }
        unlisted.push(
            filled
                .into_iter()
                .filter(|(column, _)| !columns.contains_key(column))
                .collect::<serde_json::Map<_, _>>(),
        );
        assert_eq!(regenerate(&rows, 0), canonical(&record), "{mapping}");
        seen.insert(mapping);
    }
    assert!(
        unlisted.iter().all(serde_json::Map::is_empty),
        "columns that their fixture says nothing of, line by line:\n{}",
        serde_json::to_string(&unlisted).unwrap()
    );
    let all: Vec<&str> = mappings.list().map(|about| about.name).skip(2).collect();
    assert_eq!(seen.len(), all.len(), "a mapping without a fixture: {all:?}");
}

/// The columns of a row that say something of its source.
pub(super) fn filled(rows: &Rows, row: usize) -> serde_json::Map<String, Value> {
    let said = |name: &&str| {
        !["event_id", "tenant", "source", "attributes", "redactions", "oversize", "log_index", "ingest_time"]
            .contains(name)
    };
    let draft = rows.draft.as_ref().unwrap();
    let fields = draft
        .entries
        .schema()
        .fields()
        .iter()
        .chain(draft.payloads.schema().fields())
        .map(|field| field.name().clone())
        .collect::<Vec<_>>();
    let names = fields.iter().map(String::as_str).filter(said);
    let cells = names.map(|name| (name.to_string(), rows.cell(row, name)));
    cells.filter(|(_, cell)| !cell.is_null() && !is_derived(cell)).collect()
}

/// Whether it is a session id that the recorder made.
fn is_derived(cell: &Value) -> bool {
    cell.as_str().is_some_and(|text| text.starts_with("derived-"))
}

/// Texts of values that something may break at.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "{}",
            "[null]",
            "{\"a\":{\"b\":[null,{}]}}",
            "9007199254740993",
            "1e999",
            "-0",
            "\"\"",
            "\"-\"",
            "\"string\"",
            "\"{\\\"a\\\":1}\"",
            "\"2026-06-09T12:45:31Z\"",
            "[\"a\",\"b\"]",
            "\"\\u0041\"",
            "12.50",
            "123456789012345678901234567890",
            "\"401\"",
            "\"ok\"",
            "\"allow\"",
            "[{\"method\":\"x\"},{\"method\":\"y\"}]",
            "{\"a\":1,\"a\":2}",
        ])
        .prop_map(str::to_string),
    ]
}

/// `record` with `key: value` in its container number `at`, and what stands at member number `replaced` replaced.
pub(super) fn changed(
    json: &str,
    at: &mut i64,
    key: &str,
    new: &str,
    replaced: &mut i64,
    other: &str,
) -> String {
    let value = scan::value(json).unwrap();
    match value.kind {
        Kind::Object => {
            let mut members = Vec::new();
            *at -= 1;
            let is_here = *at == -1;
            let mut has = false;
            scan::members(value.json, |name, _, value| {
                has |= unescape(name) == key;
                *replaced -= 1;
                let inner = if *replaced == -1 {
                    other.to_string()
                } else {
                    changed(value.json, at, key, new, replaced, other)
                };
                members.push(format!("\"{name}\":{inner}"));
                ControlFlow::Continue(())
            });
            if is_here && !has {
                members.push(format!("{}:{new}", serde_json::to_string(key).unwrap()));
            }
            format!("{{{}}}", members.join(", "))
        }
        Kind::Array => {
            let mut items = Vec::new();
            scan::items(value.json, |_, value| {
                items.push(changed(value.json, at, key, new, replaced, other));
                ControlFlow::Continue(())
            });
            format!("[{}]", items.join(", "))
        }
        _ => value.json.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn whatever_is_added_or_changed_comes_back(
        which in 0usize..28,
        at in 0i64..8,
        key in prop_oneof![any::<String>(), Just("/a/b".to_string()), Just("a/b~c".to_string()), Just("attributes".to_string()), Just("0".to_string()), Just("time_".to_string())],
        new in value(),
        replaced in -1i64..60,
        other in value(),
    ) {
        let fixtures = fixtures();
        let Fixture { mapping, record, .. } = &fixtures[which % fixtures.len()];
        let record = changed(record, &mut at.clone(), &key, &new, &mut replaced.clone(), &other);
        let asked = Mappings::built_in().find(mapping).unwrap();
        let rows = read_with(&record, |context| {
            context.mapping = Some(asked);
        });
        if rows.count() == 1 && rows.cell(0, "redactions").is_null() {
            prop_assert_eq!(regenerate(&rows, 0), canonical(&record), "{}", record);
        } else {
            for (_, code) in rows.codes() {
                prop_assert!(["unmapped", "bad_time", "duplicate_key"].contains(&code), "{}: {:?}", record, rows.rejected);
            }
        }
    }
}

#[test]
fn keys_that_stand_twice_are_refused_where_the_mapping_looks() {
    let fixtures = fixtures();
    let otel = &fixtures.iter().find(|fixture| fixture.mapping == "otel/1").unwrap().record;
    for twice in [
        otel.replacen("\"kind\":", "\"kind\":1,\"kind\":", 1),
        otel.replacen("\"events\":", "\"attributes\":{\"x\":1},\"events\":", 1),
        otel.replacen("\"n\":", "\"n\":1,\"n\":", 1),
        otel.replacen("\"gen_ai.tool.name\":", "\"gen_ai.tool.name\":\"a\",\"gen_ai.tool.n\\u0061me\":", 1),
    ] {
        assert_ne!(twice, *otel);
        assert_eq!(read(&twice).codes(), [(1, "duplicate_key")], "{twice}");
    }
    let kept = otel.replacen("{\"name\":\"exception\"}", "{\"name\":\"exception\",\"name\":\"again\"}", 1);
    assert_ne!(kept, *otel);
    let rows = read(&kept);
    assert_eq!(regenerate(&rows, 0), canonical(&kept), "inside a value that is kept whole they stay");
}

/// Of a record only its top-level keys are bounded; an object inside may have more, and is kept whole.
#[test]
fn an_object_of_many_keys_inside_a_record_comes_back() {
    let keys: Vec<String> = (0..1100).map(|at| format!("\"k{at}\":{at}")).collect();
    let object = format!("{{{}}}", keys.join(","));
    let record = format!(
        r#"{{"session_id":"s","transcript_path":"/t","hook_event_name":"PostToolUse","tool_name":"t","tool_input":{object},"extra":{object}}}"#
    );
    let rows = read(&record);
    assert_eq!((rows.count(), rows.rejected_count), (1, 0), "{:?}", rows.rejected);
    assert_eq!(rows.text(0, "arguments"), object);
    assert_eq!(regenerate(&rows, 0), canonical(&record));
    // Where the mapping looks into an object its keys are attributes, of which there are not so many.
    let wide = format!(
        r#"{{"signal":"span","start_time_unix_nano":1781009999000000000,"attributes":{{"gen_ai.tool.name":"t",{}}}}}"#,
        keys.join(",")
    );
    assert_eq!(read(&wide).codes(), [(1, "too_many_keys")]);
    assert_eq!(read(&object).codes(), [(1, "too_many_keys")]);
}

#[test]
fn a_record_of_several_calls_is_several_events() {
    let call = |tool: &str| format!("{{\"method\":\"tools/call\",\"tool_name\":\"{tool}\"}}");
    let audit = "[{\"primitive_name\":\"a\",\"action\":\"deny\"}]";
    let record = |calls: &[String]| {
        format!("{{\"ai\":{{\"mcp\":{{\"rpc\":[{}],\"audit\":{audit}}}}}}}", calls.join(" , "))
    };
    let body = record(&[call("a"), call("b")]) + &record(&[call("c")]);
    let rows = read_with(&body, |context| context.idempotency_key = Some("k"));
    let tools: Vec<String> = (0..rows.count()).map(|row| rows.text(row, "capability")).collect();
    assert_eq!(tools, ["a", "b", "c"]);
    assert_eq!(
        (rows.text(0, "decision"), rows.text(1, "decision")),
        ("deny".into(), "none".into()),
        "of its own tool"
    );
    let ids: std::collections::BTreeSet<String> = (0..3).map(|row| rows.text(row, "event_id")).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(regenerate(&rows, 1), canonical(&record(&[call("b")])));
    let most = schemas::limits::MAPPING_PARTS_MAX;
    assert_eq!(read(record(&vec![call("a"); most])).count(), most);
    assert_eq!(read(record(&vec![call("a"); most + 1])).codes(), [(1, "too_large")]);
    let bad = record(&[call("a"), "7".to_string()]);
    let rows = read(&bad);
    assert!(
        rows.count() == 2 && rows.text(1, "method").is_empty(),
        "an item that is no call is kept: {:?}",
        rows.rejected
    );
}

#[test]
fn lines_of_pairs_are_records() {
    let body = "INFO request ... protocol=mcp mcp.method.name=tools/call mcp.target=everything gen_ai.tool.name=echo mcp.session.id=s\n\
        2026-02-12T16:09:55.675307Z\tinfo\trequest src.addr=[::1]:56199 http.status=202 protocol=mcp mcp.method=tools/list duration=10ms token=abcdefgh12345\n\
        INFO other a=b\n\
        no pairs at all\n";
    let rows = read(body);
    assert_eq!(rows.codes(), [(3, "bad_json"), (4, "bad_json")]);
    assert_eq!((rows.text(0, "capability"), rows.text(0, "session_id")), ("echo".into(), "s".into()));
    assert_eq!(rows.cell(0, "tags"), serde_json::json!(["arrival_time"]));
    assert_eq!(rows.cell(0, "time"), NOW_US);
    assert_eq!(rows.cell(1, "time"), 1_770_912_595_675_307i64);
    assert_eq!((rows.cell(1, "latency_us"), rows.text(1, "source_ip")), (10_000.into(), "::1".into()));
    assert!(!rows.attributes(1)["token"].contains("abcdefgh"), "redacted like any record");
}

#[test]
fn an_access_log_with_an_http_method_is_no_event_of_ours() {
    let record = "{\"time\":\"2026-05-18T14:23:01Z\",\"method\":\"POST\",\"path\":\"/mcp\"}";
    assert_eq!(read(record).codes(), [(1, "unmapped")]);
    assert_eq!(read(record.replace("POST", "tools/call")).count(), 1);
}

#[test]
fn samples_of_real_producers_come_back() {
    if shared("samples/SOURCES.md").is_none() {
        eprintln!("SKIPPED: the sample folder is not beside the project");
        return;
    }
    let mut seen = BTreeMap::new();
    for (name, mapping) in [
        ("agentgateway-access.log", "agentgateway-log/1"),
        ("chirindo-evidence-receipt.json", "chirindo/1"),
        ("claude-code-otel-logs.jsonl", "claude-code/1"),
        ("envoy-ai-gateway-access.json", "envoy-ai-gateway/1"),
        ("kong-ai-mcp.json", "kong/1"),
        ("kuadrant-mcp-gateway-audit.jsonl", "kuadrant/1"),
        ("lasso-xetrack.json", "lasso/1"),
        ("mcp-http-tap-2026-07-28.jsonl", "mcp-http/1"),
        ("mcp-stdio-tap-2025-11-25.jsonl", "jsonrpc-stdio/1"),
        ("rivano-mcpgw-audit.json", "rivano/1"),
        ("tyk-access.jsonl", "tyk/1"),
    ] {
        let body = String::from_utf8(shared(&format!("samples/{name}")).unwrap()).unwrap();
        let body = body.trim().trim_start_matches('[').trim_end_matches(']').to_string();
        let rows = read(&body);
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!((rows.count(), rows.rejected_count), (lines.len(), 0), "{name}: {:?}", rows.rejected);
        for (row, line) in lines.iter().enumerate() {
            assert!(rows.text(row, "source").ends_with(mapping), "{name}: {}", rows.text(row, "source"));
            let line = line::record(line.as_bytes(), 0).unwrap_or_else(|| (*line).to_string());
            if rows.cell(row, "redactions").is_null() {
                assert_eq!(regenerate(&rows, row), canonical(&line), "{name}");
            } else {
                redacted::check(&line, &rows, row);
            }
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
}

#[test]
fn spans_of_a_real_sdk_come_back_and_others_are_not_recorded() {
    let Some(sample) = shared("samples/otlp-spans-fastmcp-4.1-mcp-sdk-2.3.json") else {
        eprintln!("SKIPPED: the sample folder is not beside the project");
        return;
    };
    let spans = spans(&serde_json::from_slice(&sample).unwrap());
    let (mut tools, mut other) = (0, 0);
    for span in &spans {
        if !Mappings::built_in().is_activity(span) {
            other += 1;
            assert_eq!(read(span).codes(), [(1, "unmapped")], "{span}");
            continue;
        }
        tools += 1;
        let rows = read(span);
        assert_eq!(rows.count(), 1, "{span}: {:?}", rows.rejected);
        assert!(rows.text(0, "source").ends_with("/otel/1"));
        assert_eq!(regenerate(&rows, 0), canonical(span));
    }
    eprintln!("{tools} spans of tools, {other} others");
    assert!(tools > 10, "{tools} of {}", spans.len());
}

/// One call through ContextForge is not four.
#[test]
fn spans_of_the_parts_of_a_call_are_not_recorded() {
    let part = |scope: &str, name: &str, attributes: &str| {
        format!(
            r#"{{"signal":"span","trace_id":"a","span_id":"b","name":"{name}","kind":"SPAN_KIND_INTERNAL","start_time_unix_nano":"1795991633081076000","end_time_unix_nano":"1795991633160741000","status":{{"code":"STATUS_CODE_OK"}},"attributes":{{{attributes}}},"scope":{{"name":"{scope}"}}}}"#
        )
    };
    let tool = r#""mcp.tool.name":"get_ticket","contextforge.runtime":"python""#;
    let resource = r#""resource.uri":"notes://today","gateway.url":"http://localhost:17998/mcp""#;
    let request = r#""http.route":"/rpc","http.request.method":"POST""#;
    for (scope, name, attributes) in [
        ("mcp-gateway", "mcp.client.request", tool),
        ("mcp-gateway", "mcp.client.response", tool),
        ("mcp-gateway", "mcp.client.initialize", r#""contextforge.runtime":"python""#),
        ("mcp-gateway", "tool.lookup", r#""tool.name":"tickets-get-ticket""#),
        ("mcp-gateway", "tool.gateway_call", r#""tool.name":"tickets-get-ticket""#),
        ("mcp-gateway", "resource.read", resource),
        ("fastapi", "POST /rpc", request),
    ] {
        assert!(!Mappings::built_in().is_activity(&part(scope, name, attributes)), "{name}");
    }
    assert!(Mappings::built_in().is_activity(&part("mcp-gateway", "mcp.client.call", tool)));
    assert!(Mappings::built_in().is_activity(&part("other", "call", r#""mcp.tool.name":"get_ticket""#)));
}

/// The spans of an OTLP/JSON export as the collector hands them on.
fn spans(export: &Value) -> Vec<String> {
    let flat = |attributes: &Value| -> serde_json::Map<String, Value> {
        let items = attributes.as_array().into_iter().flatten();
        items
            .map(|item| {
                let (_, value) = item["value"].as_object().unwrap().iter().next().unwrap();
                (item["key"].as_str().unwrap().to_string(), value.clone())
            })
            .collect()
    };
    let mut out = Vec::new();
    for resource in export["resourceSpans"].as_array().unwrap() {
        for scope in resource["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let record = serde_json::json!({
                    "signal": "span", "trace_id": span["traceId"], "span_id": span["spanId"],
                    "parent_span_id": span["parentSpanId"], "name": span["name"], "kind": span["kind"],
                    "start_time_unix_nano": span["startTimeUnixNano"], "end_time_unix_nano": span["endTimeUnixNano"],
                    "status": span["status"], "attributes": flat(&span["attributes"]), "events": span["events"],
                    "resource": flat(&resource["resource"]["attributes"]), "scope": scope["scope"],
                });
                out.push(record.to_string());
            }
        }
    }
    out
}

#[test]
fn two_mappings_that_fit_are_named_and_one_that_is_asked_for_reads() {
    let file = "[[mapping]]\nname = \"mine/1\"\nwhen = { \"/a\" = true }\ncolumns = { time = { arrival = true }, capability = \"/a\" }\n\
        [[mapping]]\nname = \"mine/2\"\nwhen = { \"/a\" = \"x*\" }\ncolumns = { time = { arrival = true }, target = \"/a\" }\n";
    let mappings = Mappings::with(&[("mine.toml".to_string(), file.to_string())]).unwrap();
    let with = |record: &str, name: Option<&str>| {
        let mapping = name.map(|name| mappings.find(name).unwrap());
        let principal = principal();
        let (redactor, sessions) = (Redactor::new([7; 32]), Sessions::new());
        let context = Context {
            collector: "http",
            principal: &principal,
            mappings: &mappings,
            mapping,
            idempotency_key: None,
            line_first: 1,
            now_us: NOW_US,
            seed: [1; 32],
            redactor: &redactor,
            sessions: &sessions,
            countries: None,
        };
        let Parsed { draft, rejected, rejected_count } = parse(record.as_bytes(), &context).unwrap();
        Rows { draft, rejected, rejected_count }
    };
    let refused = with("{\"a\":\"xy\"}", None);
    assert!(refused.detail().contains("both mine/1 and mine/2"), "{}", refused.detail());
    assert_eq!(with("{\"a\":\"xy\"}", Some("mine/2")).text(0, "target"), "xy");
    assert_eq!(with("{\"a\":\"y\"}", None).text(0, "capability"), "y");
    // The user's stands before one built in.
    let kuadrant = fixtures().into_iter().find(|fixture| fixture.mapping == "kuadrant/1").unwrap().record;
    assert!(with(&kuadrant.replacen('{', "{\"a\":1,", 1), None).text(0, "source").ends_with("mine/1"));
    assert_eq!(mappings.find("canonical").unwrap(), Mapping::Canonical);
}
