//! Formats of which no record is published, only the names of their fields: records written from these names, which have every
//! one of them, and the columns that must come of them.

use std::collections::BTreeSet;

use super::mappings::{Fixture, filled, read_fixtures};
use super::*;
use crate::mapping::{ALL_RANKS, Recognised};

/// Records by shape, with all columns that they give.
const FIXTURES: &str = include_str!("shapes.jsonl");

/// What a producer says of its record.
struct Shape {
    name: &'static str,
    /// Sample file that lists the fields, and where in it.
    sample: (&'static str, &'static str),
    /// Where they stand in a record.
    place: &'static str,
    fields: &'static str,
}

const fn shape(
    name: &'static str,
    sample: (&'static str, &'static str),
    place: &'static str,
    fields: &'static str,
) -> Shape {
    Shape { name, sample, place, fields }
}

const SHAPES: [Shape; 11] = [
    shape(
        "azure-apim",
        ("azure-apim-mcp-log-fields.json", ""),
        "",
        "ApiType AuthenticationMethod ClientName ClientVersion CorrelationId Error ErrorType McpServerEndpoint Method OperationName
         ProtocolVersion Region ServerName ServerVersion SessionId TimeGenerated ToolCount ToolName TransportType",
    ),
    shape(
        "cloudflare-portal",
        ("cloudflare-mcp-portal-logs-fields.json", ""),
        "",
        "ClientCountry ClientIP ColoCode Datetime Error Method PortalAUD PortalID PromptGetName ResourceReadURI ServerAUD ServerID
         ServerResponseDurationMs ServerURL SessionID Success ToolCallName UserEmail UserID",
    ),
    shape(
        "codex-decision",
        ("codex-otel-shape.json", "/codex.tool_decision"),
        "/attributes",
        "tool_name call_id decision source",
    ),
    shape(
        "codex-result",
        ("codex-otel-shape.json", "/codex.tool_result"),
        "/attributes",
        "tool_name call_id arguments duration_ms success output mcp_server mcp_server_origin",
    ),
    shape(
        "codex-result-lengths",
        ("codex-otel-shape.json", "/codex.tool_result (another stored variant, possibly newer or a fork)"),
        "/attributes",
        "tool_name arguments_length duration_ms success output_length output_line_count tool_origin mcp_tool",
    ),
    shape(
        "contextforge-audit",
        ("contextforge-shapes.json", "/audit_trails"),
        "",
        "id timestamp correlation_id request_id action resource_type resource_id resource_name user_id user_email team_id client_ip
         user_agent request_path request_method old_values new_values changes data_classification requires_review success
         error_message context auth_method acting_as delegation_chain",
    ),
    shape(
        "contextforge-log",
        ("contextforge-shapes.json", "/structured_log_entries"),
        "",
        "id timestamp correlation_id request_id level component message logger user_id user_email client_ip user_agent request_path
         request_method duration_ms operation_type is_security_event security_severity threat_indicators context error_details
         performance_metrics hostname process_id thread_id version environment trace_id span_id",
    ),
    shape(
        "contextforge-siem",
        ("contextforge-shapes.json", "/siem_envelope"),
        "",
        "schema_version event_id timestamp event_type severity category description source actor threat context action_taken _meta
         metadata",
    ),
    shape(
        "cursor-before",
        ("cursor-hooks.jsonl", "/0"),
        "",
        "conversation_id generation_id model hook_event_name cursor_version workspace_roots user_email tool_name tool_input url",
    ),
    shape(
        "cursor-after",
        ("cursor-hooks.jsonl", "/1"),
        "",
        "conversation_id generation_id model hook_event_name cursor_version workspace_roots user_email tool_name tool_input
         result_json duration",
    ),
    shape(
        "docker-audit",
        ("docker-mcp-gateway-audit-shape.json", ""),
        "",
        "actor_type actor_id actor_name org_id org_name trigger target_type server_name tool_name prompt_name catalog_name
         working_set server_type server_source transport result outcome_reason reason policy_id policy_version policy_source
         client_name client_version session_id trace_id timestamp",
    ),
];

/// A server on this machine has a command where another has an address.
const INSTEAD: [(&str, &str, &str, &str); 1] = [("cursor-before-command", "cursor-before", "url", "command")];

/// What every event of Codex has besides.
const CODEX: &str = "event.timestamp conversation.id app.version auth_mode user.account_id user.email terminal.type model slug";

impl Shape {
    fn fields(&self) -> BTreeSet<&str> {
        self.fields.split_whitespace().collect()
    }
}

/// The fields that a record of the shape `name` must have, and where.
fn wanted(name: &str) -> (&'static str, BTreeSet<&'static str>) {
    let instead = INSTEAD.iter().find(|(other, ..)| *other == name);
    let of = instead.map_or(name, |(_, of, ..)| *of);
    let shape = SHAPES.iter().find(|shape| shape.name == of).unwrap_or_else(|| panic!("no shape {name}"));
    let mut fields = shape.fields();
    if let Some((_, _, from, to)) = instead {
        assert!(fields.remove(from));
        fields.insert(to);
    }
    if name.starts_with("codex-") {
        fields.extend(CODEX.split_whitespace());
    }
    (shape.place, fields)
}

#[test]
fn records_written_from_published_fields_fill_the_columns_they_must() {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for Fixture { shape, mapping, columns, record } in read_fixtures(FIXTURES) {
        let (place, fields) = wanted(&shape);
        let value: Value = serde_json::from_str(&record).unwrap();
        let keys = value.pointer(place).unwrap().as_object().unwrap().keys().map(String::as_str);
        // What wraps the fields has names of its own.
        let keys: BTreeSet<&str> = keys.filter(|key| *key != "event.name").collect();
        assert_eq!(keys, fields, "{shape}");
        let mappings = Mappings::built_in();
        let mut scanner = Scanner::default();
        scanner.value(record.as_bytes()).unwrap();
        assert_eq!(
            mappings.recognise(&record, scanner.members(), ALL_RANKS),
            Recognised::One(mappings.find(&mapping).unwrap()),
            "{record}"
        );
        let rows = read(&record);
        assert_eq!(rows.count(), 1, "{shape}: {:?}", rows.rejected);
        for (name, must) in &columns {
            let is = rows.cell(0, name);
            if is != *must {
                wrong.push(format!("{shape} {name}: must be {must} and is {is} of {record}"));
            }
        }
        let unlisted = filled(&rows, 0).into_iter().filter(|(name, _)| !columns.contains_key(name));
        wrong.extend(unlisted.map(|(name, is)| format!("{shape} {name}: is {is} and nothing says so")));
        assert_eq!(inverse::regenerate(&rows, 0), inverse::canonical(&record), "{shape}");
        seen.insert(shape);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let all = SHAPES.iter().map(|shape| shape.name).chain(INSTEAD.iter().map(|(name, ..)| *name));
    assert_eq!(seen, all.map(str::to_string).collect(), "a shape without a record");
}

#[test]
fn the_fields_are_those_that_the_samples_list() {
    for shape in &SHAPES {
        let (file, place) = shape.sample;
        let Some(sample) = shared(&format!("samples/{file}")) else {
            eprintln!("SKIPPED: the sample folder is not beside the project");
            return;
        };
        let values: Vec<Value> =
            serde_json::Deserializer::from_slice(&sample).into_iter().map(Result::unwrap).collect();
        let whole = if file.ends_with(".jsonl") { Value::from(values) } else { values[0].clone() };
        let listed = match whole.pointer(place).unwrap_or_else(|| panic!("{file}{place}")) {
            Value::Object(fields) => fields.keys().cloned().collect::<BTreeSet<_>>(),
            Value::Array(fields) => fields.iter().map(|name| name.as_str().unwrap().to_string()).collect(),
            other => panic!("{other}"),
        };
        let listed: BTreeSet<&str> =
            listed.iter().map(String::as_str).filter(|name| !["_note", "_hook"].contains(name)).collect();
        assert_eq!(listed, shape.fields(), "{}", shape.name);
    }
}

#[test]
fn what_contextforge_exports_for_other_tools_is_refused_and_not_guessed_at() {
    for line in [
        "CEF:0|IBM|ContextForge|1.0.7|BRUTE_FORCE|12 failed logins|9|src=203.0.113.7 suser=ann msg=x cs1=corr-7 cs1Label=CorrelationID",
        "LEEF:2.0|IBM|ContextForge|1.0.7|BRUTE_FORCE|\tsrc=203.0.113.7\tusrName=ann\tmsg=x\tseverity=9\tcat=authentication",
        "<134>1 2026-06-09T12:59:58Z gateway-1 mcpgateway 71 brute_force - 12 failed logins",
    ] {
        let rows = read(line);
        assert_eq!((rows.count(), rows.rejected_count), (0, 1), "{line}");
        assert!(matches!(rows.rejected[0].code, Code::Unmapped | Code::BadJson), "{}", rows.detail());
    }
}
