use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use proptest::prelude::*;
use prost::Message as _;

use super::super::{Signal, json, wire};
use super::*;

fn some(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_string(), value: some(value), key_strindex: 0 }
}

fn text_of(record: &Telemetry, origin: &Origin) -> Result<String, Refusal> {
    Ok(of(record, &of_producer(&origin.producer)?, &of_scope(origin)?)?.json)
}

/// The texts of all records of a body, or why there is none.
fn texts(signal: Signal, is_json: bool, body: &[u8]) -> Vec<Result<String, String>> {
    let mut found = Vec::new();
    let mut each = |origin: &Result<Arc<Origin>, Refusal>, record: Result<Telemetry, Refusal>| {
        let text = origin.clone().and_then(|origin| text_of(&record?, &origin));
        found.push(text.map_err(|refusal| refusal.code.to_string()));
        Ok(())
    };
    let split = if is_json { json::split } else { wire::split };
    split(signal, body, &mut each).unwrap();
    found
}

#[test]
fn every_field_of_a_span_is_there() {
    let list = ArrayValue { values: vec![AnyValue::default(), some(Value::BoolValue(true)).unwrap()] };
    let map = KeyValueList { values: vec![pair("inner", Value::StringValue("a \"quoted\"\u{1}\n".into()))] };
    let span = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        trace_state: "a=b".into(),
        parent_span_id: (9..=16).collect(),
        flags: 257,
        name: "tools/call search".into(),
        kind: 3,
        start_time_unix_nano: u64::MAX,
        end_time_unix_nano: 1,
        attributes: vec![
            pair("int", Value::IntValue(i64::MIN)),
            pair("whole", Value::DoubleValue(1.0)),
            pair("large", Value::DoubleValue(1e300)),
            pair("nan", Value::DoubleValue(f64::NAN)),
            pair("bytes", Value::BytesValue(vec![0, 255])),
            pair("list", Value::ArrayValue(list)),
            pair("map", Value::KvlistValue(map)),
            KeyValue { key: "empty".into(), value: None, key_strindex: 0 },
        ],
        dropped_attributes_count: 1,
        events: vec![span::Event {
            time_unix_nano: 5,
            name: "exception".into(),
            attributes: vec![pair("k", Value::BoolValue(false))],
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 3,
        links: vec![span::Link {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            trace_state: "c=d".into(),
            attributes: vec![pair("k", Value::IntValue(1))],
            dropped_attributes_count: 4,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Some(Status { message: "why".into(), code: 2 }),
    };
    let producer = Producer {
        resource: Resource {
            attributes: vec![pair("service.name", Value::StringValue("s".into()))],
            dropped_attributes_count: 6,
            entity_refs: vec![opentelemetry_proto::tonic::common::v1::EntityRef {
                schema_url: "u1".into(),
                r#type: "service".into(),
                id_keys: vec!["a".into(), "b".into()],
                description_keys: vec!["c".into()],
            }],
        },
        schema_url: "u2".into(),
    };
    let origin = Origin {
        producer: Arc::new(producer),
        scope: InstrumentationScope {
            name: "lib".into(),
            version: "1".into(),
            attributes: vec![pair("k", Value::IntValue(2))],
            dropped_attributes_count: 7,
        },
        scope_schema_url: "u3".into(),
    };
    let text = text_of(&Telemetry::Span(Box::new(span)), &origin).unwrap();
    let expected = concat!(
        r#"{"signal":"span","trace_id":"0102030405060708090a0b0c0d0e0f10","span_id":"0102030405060708","#,
        r#""parent_span_id":"090a0b0c0d0e0f10","trace_state":"a=b","flags":257,"name":"tools/call search","#,
        r#""kind":"CLIENT","start_time_unix_nano":18446744073709551615,"end_time_unix_nano":1,"#,
        r#""status":{"code":"ERROR","message":"why"},"attributes":{"int":-9223372036854775808,"whole":1.0,"#,
        r#""large":1e300,"nan":"NaN","bytes":"AP8=","list":[null,true],"#,
        r#""map":{"inner":"a \"quoted\"\u0001\n"},"empty":null},"dropped_attributes_count":1,"#,
        r#""events":[{"name":"exception","time_unix_nano":5,"attributes":{"k":false},"dropped_attributes_count":2}],"#,
        r#""dropped_events_count":3,"links":[{"trace_id":"01010101010101010101010101010101","#,
        r#""span_id":"0202020202020202","trace_state":"c=d","flags":1,"attributes":{"k":1},"#,
        r#""dropped_attributes_count":4}],"dropped_links_count":5,"value_types":{"attributes":{"nan":"double","bytes":"bytes"}},"#,
        r#""resource":{"service.name":"s"},"#,
        r#""resource_dropped_attributes_count":6,"resource_schema_url":"u2","resource_entity_refs":["#,
        r#"{"type":"service","schema_url":"u1","id_keys":["a","b"],"description_keys":["c"]}],"#,
        r#""scope":{"name":"lib","version":"1","attributes":{"k":2},"dropped_attributes_count":7},"#,
        r#""scope_schema_url":"u3"}"#,
    );
    assert_eq!(text, expected);
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[test]
fn every_field_of_a_log_record_is_there() {
    let log = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: some(Value::StringValue("said".into())),
        attributes: vec![pair("k", Value::DoubleValue(-0.0))],
        dropped_attributes_count: 3,
        flags: 4,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        event_name: "tool_result".into(),
    };
    let text = text_of(&Telemetry::Log(Box::new(log)), &Origin::default()).unwrap();
    let expected = concat!(
        r#"{"signal":"log","trace_id":"abababababababababababababababab","span_id":"cdcdcdcdcdcdcdcd","flags":4,"#,
        r#""event_name":"tool_result","time_unix_nano":1,"observed_time_unix_nano":2,"severity_number":17,"#,
        r#""severity_text":"ERROR","body":"said","attributes":{"k":-0.0},"dropped_attributes_count":3}"#,
    );
    assert_eq!(text, expected);
    let bare = text_of(&Telemetry::Span(Box::default()), &Origin::default()).unwrap();
    assert_eq!(bare, r#"{"signal":"span"}"#);
}

#[test]
fn what_a_text_could_be_mistaken_for_has_its_type_beside_it() {
    let bytes = || Value::BytesValue(b"\xfb\xff".to_vec());
    let base64 = || Value::StringValue("+/8=".into());
    let map = KeyValueList { values: vec![pair("a/b", bytes()), pair("c", base64())] };
    let values = [Value::StringValue("NaN".into()), Value::DoubleValue(f64::NAN), Value::KvlistValue(map)];
    let list = ArrayValue { values: values.into_iter().map(|value| some(value).unwrap()).collect() };
    let log = LogRecord {
        body: some(bytes()),
        attributes: vec![
            pair("list", Value::ArrayValue(list)),
            pair("twice", bytes()),
            pair("twice", base64()),
            pair("plain", Value::DoubleValue(1.5)),
        ],
        ..LogRecord::default()
    };
    let resource = Resource { attributes: vec![pair("r", bytes())], ..Resource::default() };
    let scope = InstrumentationScope {
        attributes: vec![pair("s", Value::DoubleValue(f64::INFINITY))],
        ..Default::default()
    };
    let producer = Arc::new(Producer { resource, schema_url: String::new() });
    let origin = Origin { producer, scope, scope_schema_url: String::new() };
    let text = text_of(&Telemetry::Log(Box::new(log)), &origin).unwrap();
    let expected = concat!(
        r#"{"signal":"log","body":"+/8=","attributes":{"list":["NaN","NaN",{"a/b":"+/8=","c":"+/8="}],"twice":"+/8=","plain":1.5},"#,
        r#""attributes_repeated":[{"twice":"+/8="}],"value_types":{"body":"bytes","attributes":{"list":{"1":"double","2":{"a/b":"bytes"}}},"#,
        r#""attributes_repeated":{"0":{"twice":"bytes"}}},"resource":{"r":"+/8="},"resource_value_types":{"resource":{"r":"bytes"}},"#,
        r#""scope":{"attributes":{"s":"Infinity"},"value_types":{"attributes":{"s":"double"}}}}"#,
    );
    assert_eq!(text, expected);
}

#[test]
fn of_a_key_that_stands_twice_the_last_value_holds_and_all_are_kept() {
    let list = vec![
        pair("k", Value::IntValue(1)),
        pair("other", Value::BoolValue(true)),
        pair("k", Value::IntValue(2)),
        pair("k", Value::IntValue(3)),
    ];
    let event = span::Event { attributes: list.clone(), ..span::Event::default() };
    let span = Span { attributes: list.clone(), events: vec![event], ..Span::default() };
    let resource = Resource { attributes: vec![list[0].clone(), list[0].clone()], ..Resource::default() };
    let producer = Producer { resource, schema_url: String::new() };
    let (of_resource, none) = (of_producer(&producer).unwrap(), Text::default());
    assert!(of_resource.has_repeats);
    let text = of(&Telemetry::Span(Box::new(span)), &of_resource, &none).unwrap();
    let kept = r#""attributes":{"other":true,"k":3},"attributes_repeated":[{"k":1},{"k":2}]"#;
    let expected = format!(
        r#"{{"signal":"span",{kept},"events":[{{{kept}}}],"resource":{{"k":1}},"resource_repeated":[{{"k":1}}]}}"#
    );
    assert_eq!((text.json, text.has_repeats), (expected, true));
    let log = Telemetry::Log(Box::new(LogRecord { attributes: list[..2].to_vec(), ..LogRecord::default() }));
    assert!(!of(&log, &none, &none).unwrap().has_repeats);
}

#[test]
fn what_is_too_deep_or_an_index_is_refused() {
    let nested = |levels: usize| {
        (0..levels).fold(AnyValue { value: Some(Value::IntValue(1)) }, |inner, _| AnyValue {
            value: Some(Value::ArrayValue(ArrayValue { values: vec![inner] })),
        })
    };
    let text = |body: AnyValue| {
        let log = LogRecord { body: Some(body), ..LogRecord::default() };
        text_of(&Telemetry::Log(Box::new(log)), &Origin::default())
    };
    assert!(text(nested(OTLP_VALUE_DEPTH_MAX)).is_ok());
    assert_eq!(text(nested(OTLP_VALUE_DEPTH_MAX + 1)).unwrap_err().code, Code::TooDeep);
    let index = AnyValue { value: Some(Value::StringValueStrindex(1)) };
    assert_eq!(text(index).unwrap_err().code, Code::BadType);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,12}", "\\PC{0,8}", any::<String>()]
}

fn number() -> impl Strategy<Value = f64> {
    // What the other crate writes for the others is null; they have a test of their own.
    any::<f64>().prop_filter("finite", |number| number.is_finite())
}

fn value_of() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        1 => Just(None),
        4 => text().prop_map(|text| Some(Value::StringValue(text))),
        1 => any::<bool>().prop_map(|is_so| Some(Value::BoolValue(is_so))),
        2 => any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        2 => number().prop_map(|number| Some(Value::DoubleValue(number))),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    leaf.prop_map(|value| AnyValue { value }).prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let map = prop::collection::vec((text(), inner), 0..4);
        prop_oneof![
            list.prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            map.prop_map(|list| AnyValue {
                value: Some(Value::KvlistValue(KeyValueList {
                    values: list.into_iter().map(keyed).collect()
                })),
            }),
        ]
    })
}

fn keyed((key, value): (String, AnyValue)) -> KeyValue {
    KeyValue { key, value: Some(value), key_strindex: 0 }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec((text(), value_of()).prop_map(keyed), 0..5)
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=most)
}

prop_compose! {
    fn event()(time_unix_nano: u64, name in text(), attributes in attributes(), count: u32) -> span::Event {
        span::Event { time_unix_nano, name, attributes, dropped_attributes_count: count }
    }
}

prop_compose! {
    fn link()(trace_id in bytes(16), span_id in bytes(8), trace_state in text(), attributes in attributes(),
              count: u32, flags: u32) -> span::Link {
        span::Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count: count, flags }
    }
}

prop_compose! {
    fn span_of()(ids in (bytes(16), bytes(8), bytes(8)), names in (text(), text()), flags: u32, kind in 0..6i32,
                 times: (u64, u64), attributes in attributes(), counts: (u32, u32, u32),
                 events in prop::collection::vec(event(), 0..3), links in prop::collection::vec(link(), 0..3),
                 status in prop::option::of((text(), 0..3i32))) -> Span {
        Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: names.0,
            name: names.1,
            flags,
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes,
            dropped_attributes_count: counts.0,
            events,
            dropped_events_count: counts.1,
            links,
            dropped_links_count: counts.2,
            status: status.map(|(message, code)| Status { message, code }),
        }
    }
}

prop_compose! {
    fn log_of()(ids in (bytes(16), bytes(8)), names in (text(), text()), numbers: (u64, u64, u32, u32),
                severity in 0..25i32, body in prop::option::of(value_of()), attributes in attributes()) -> LogRecord {
        LogRecord {
            trace_id: ids.0,
            span_id: ids.1,
            event_name: names.0,
            severity_text: names.1,
            time_unix_nano: numbers.0,
            observed_time_unix_nano: numbers.1,
            dropped_attributes_count: numbers.2,
            flags: numbers.3,
            severity_number: severity,
            body,
            attributes,
        }
    }
}

prop_compose! {
    fn resource_and_scope()(of_resource in attributes(), of_scope in attributes(), names in (text(), text()),
                            counts: (u32, u32)) -> (Resource, InstrumentationScope) {
        (
            Resource { attributes: of_resource, dropped_attributes_count: counts.0, entity_refs: Vec::new() },
            InstrumentationScope {
                name: names.0,
                version: names.1,
                attributes: of_scope,
                dropped_attributes_count: counts.1,
            },
        )
    }
}

/// The record of each encoding is the same. The JSON is another crate's, written from the same messages.
fn same(signal: Signal, protobuf: &[u8], json: &[u8]) -> Result<(), TestCaseError> {
    let (one, other) = (texts(signal, false, protobuf), texts(signal, true, json));
    prop_assert_eq!(&one, &other, "{}", String::from_utf8_lossy(json));
    prop_assert!(!one.is_empty());
    for text in one.into_iter().flatten() {
        prop_assert!(crate::scan::is_json(&text), "{text}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn spans_are_the_same_in_protobuf_and_json(
        spans in prop::collection::vec(span_of(), 1..3),
        (resource, scope) in resource_and_scope(),
        urls in (text(), text()),
    ) {
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: urls.0 }];
        let of_resource = ResourceSpans { resource: Some(resource), scope_spans, schema_url: urls.1 };
        let request = ExportTraceServiceRequest { resource_spans: vec![of_resource] };
        same(Signal::Traces, &request.encode_to_vec(), &serde_json::to_vec(&request).unwrap())?;
    }

    #[test]
    fn log_records_are_the_same_in_protobuf_and_json(
        log_records in prop::collection::vec(log_of(), 1..3),
        (resource, scope) in resource_and_scope(),
        urls in (text(), text()),
    ) {
        let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, schema_url: urls.0 }];
        let of_resource = ResourceLogs { resource: Some(resource), scope_logs, schema_url: urls.1 };
        let request = ExportLogsServiceRequest { resource_logs: vec![of_resource] };
        same(Signal::Logs, &request.encode_to_vec(), &serde_json::to_vec(&request).unwrap())?;
    }

    /// Whatever bytes come, there is an answer.
    #[test]
    fn no_bytes_break_the_splitters(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for signal in [Signal::Traces, Signal::Logs] {
            wire::split(signal, &bytes, &mut |_, _| Ok(())).ok();
            json::split(signal, &bytes, &mut |_, _| Ok(())).ok();
        }
    }

    /// The same of messages with a few bytes changed.
    #[test]
    fn no_damage_breaks_the_splitters(span in span_of(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let scope_spans = vec![ScopeSpans { scope: None, spans: vec![span], schema_url: String::new() }];
        let of_resource = ResourceSpans { resource: None, scope_spans, schema_url: String::new() };
        let request = ExportTraceServiceRequest { resource_spans: vec![of_resource] };
        let mut each = |origin: &Result<Arc<Origin>, Refusal>, record: Result<Telemetry, Refusal>| {
            if let (Ok(origin), Ok(record)) = (origin, record)
                && let Ok(text) = text_of(&record, origin)
            {
                assert!(crate::scan::is_json(&text), "{text}");
            }
            Ok(())
        };
        for (is_json, mut bytes) in [(false, request.encode_to_vec()), (true, serde_json::to_vec(&request).unwrap())] {
            let length = bytes.len();
            if let Some(slot) = bytes.get_mut(at.index(length.max(1))) {
                *slot = byte;
            }
            bytes.truncate(length.saturating_sub(cut.index(4)));
            let split = if is_json { json::split } else { wire::split };
            split(Signal::Traces, &bytes, &mut each).ok();
        }
    }
}
