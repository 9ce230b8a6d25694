use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::*;

fn spans(body: &str) -> Result<Vec<Result<Span, Code>>, Error> {
    let mut found = Vec::new();
    split(Signal::Traces, body.as_bytes(), &mut |origin, record| {
        let origin = origin.as_ref().map_err(Clone::clone);
        found.push(match origin.and(record).map_err(|refusal| refusal.code) {
            Ok(Telemetry::Span(span)) => Ok(*span),
            Ok(Telemetry::Log(_)) => panic!("a log record among spans"),
            Err(code) => Err(code),
        });
        Ok(())
    })?;
    Ok(found)
}

fn one(span: &str) -> Result<Span, Code> {
    spans(&format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#))
        .unwrap()
        .pop()
        .unwrap()
}

fn value(json: &str) -> Result<Option<Value>, Code> {
    let span = one(&format!(r#"{{"attributes":[{{"key":"k","value":{json}}}]}}"#))?;
    Ok(span.attributes.into_iter().next().unwrap().value.unwrap_or_default().value)
}

#[test]
fn ids_numbers_and_words_are_read_as_protobuf_json_has_them() {
    let span = one(
        r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","kind":"SPAN_KIND_SERVER",
            "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"flags":256,
            "status":{"code":"STATUS_CODE_ERROR","message":null},"events":null,"nobodyKnows":{"a":[1]}}"#,
    )
    .unwrap();
    assert_eq!((span.trace_id.len(), span.trace_id[1], span.span_id[0]), (16, 0x8e, 0xee));
    assert_eq!((span.kind, span.flags, span.status.unwrap().code), (2, 256, 2));
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    assert_eq!((start, end), (1_544_712_660_000_000_000, 1_544_712_661_000_000_000));
    assert_eq!(one(r#"{"kind":3}"#).unwrap().kind, 3);
    for bad in [
        r#"{"traceId":"xyz"}"#,
        r#"{"traceId":"abc"}"#,
        r#"{"kind":"SERVER"}"#,
        r#"{"startTimeUnixNano":"-1"}"#,
        r#"{"startTimeUnixNano":"18446744073709551616"}"#,
        r#"{"startTimeUnixNano":"+1"}"#,
        r#"{"flags":4294967296}"#,
        r#"{"name":5}"#,
        r#"{"name":"a","name":"b"}"#,
        r#""span""#,
    ] {
        assert_eq!(one(bad), Err(Code::BadType), "{bad}");
    }
}

#[test]
fn values_of_every_kind_are_read() {
    for (json, expected) in [
        (r#"{"stringValue":"a\u00e9\n"}"#, Value::StringValue("aé\n".to_string())),
        (r#"{"boolValue":false}"#, Value::BoolValue(false)),
        (r#"{"intValue":"-9223372036854775808"}"#, Value::IntValue(i64::MIN)),
        (r#"{"intValue":7}"#, Value::IntValue(7)),
        (r#"{"doubleValue":1}"#, Value::DoubleValue(1.0)),
        (r#"{"doubleValue":"-Infinity"}"#, Value::DoubleValue(f64::NEG_INFINITY)),
        (r#"{"bytesValue":"-_8="}"#, Value::BytesValue(vec![0xfb, 0xff])),
        (r#"{"bytesValue":"+/8"}"#, Value::BytesValue(vec![0xfb, 0xff])),
        (r#"{"unknownValue":1,"boolValue":true,"stringValue":null}"#, Value::BoolValue(true)),
    ] {
        assert_eq!(value(json).unwrap(), Some(expected), "{json}");
    }
    assert!(matches!(value(r#"{"doubleValue":"NaN"}"#), Ok(Some(Value::DoubleValue(n))) if n.is_nan()));
    assert_eq!(value("{}").unwrap(), None);
    assert_eq!(value("null").unwrap(), None);
    let Ok(Some(Value::ArrayValue(array))) = value(r#"{"arrayValue":{"values":[{},{"intValue":"1"},null]}}"#)
    else {
        panic!("not an array");
    };
    let int = AnyValue { value: Some(Value::IntValue(1)) };
    assert_eq!(array.values, [AnyValue::default(), int, AnyValue::default()]);
    for bad in [
        r#"{"intValue":"1","boolValue":true}"#,
        r#"{"intValue":1.5}"#,
        r#"{"bytesValue":"a!"}"#,
        r#"{"doubleValue":"1e999"}"#,
        r#"{"boolValue":"true"}"#,
        r#"{"stringValue":"\ud800"}"#,
        "7",
    ] {
        assert_eq!(value(bad), Err(Code::BadType), "{bad}");
    }
}

#[test]
fn a_bad_record_is_refused_alone_and_a_bad_nest_whole() {
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":5},{"name":"c"}]}]},
        {"resource":{"attributes":7},"scopeSpans":[{"spans":[{"name":"d"}]}]}],"resourceLogs":[{}]}"#;
    let found = spans(body).unwrap();
    let names: Vec<Result<&str, Code>> =
        found.iter().map(|span| span.as_ref().map(|span| span.name.as_str()).map_err(|code| *code)).collect();
    assert_eq!(names, [Ok("a"), Err(Code::BadType), Ok("c"), Err(Code::BadType)]);
    for empty in ["{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{"scopeSpans":[{}]}]}"#] {
        assert_eq!(spans(empty).unwrap().len(), 0, "{empty}");
    }
    for bad in ["", "[]", "{", r#"{"resourceSpans":{}}"#, r#"{"resourceSpans":[[]]}"#, "{}{}", "\u{feff}{}"] {
        let refused = spans(bad);
        assert!(matches!(refused, Err(Error::BadTelemetry { .. })), "{bad:?}: {refused:?}");
    }
    let secret = spans(r#"{"resourceSpans":"hunter2hunter2"}"#).unwrap_err().to_string();
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn depth_items_and_records_are_bounded() {
    let nest = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
        format!("{open}{{}}{close}")
    };
    assert!(value(&nest(24)).is_ok());
    assert_eq!(value(&nest(40_000)), Err(Code::TooDeep));
    let unknown = format!(r#"{{"nobodyKnows":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(one(&unknown), Ok(Span::default()), "what is ignored may be as deep as it likes");
    let attributes = |count: usize| format!(r#"{{"attributes":[{}{{}}]}}"#, "{},".repeat(count));
    assert!(one(&attributes(60_000)).is_ok());
    assert_eq!(one(&attributes(OTLP_ITEMS_MAX)), Err(Code::TooManyKeys));
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX));
    assert_eq!(one(&long), Err(Code::TooLarge));
    let many = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(BODY_VALUES_MAX));
    assert!(matches!(spans(&many), Err(Error::BadTelemetry { .. })));
}

#[test]
fn resources_and_scopes_without_records_count_too() {
    let scopes = format!(r#"{{"scopeSpans":[{}{{}}]}}"#, "{},".repeat(BODY_VALUES_MAX / 2));
    let refused = spans(&format!(r#"{{"resourceSpans":[{scopes},{scopes}]}}"#));
    assert!(matches!(refused, Err(Error::TooLarge { limit: BODY_VALUES_MAX, .. })), "{refused:?}");
    assert_eq!(spans(&format!(r#"{{"resourceSpans":[{scopes}]}}"#)).unwrap().len(), 0);
    let two = r#"{"spans":[{},{}]}"#;
    let body = format!(r#"{{"resourceSpans":[{{"schemaUrl":"u","scopeSpans":[{two},{two}]}}]}}"#);
    let mut seen: Vec<Arc<Origin>> = Vec::new();
    split(Signal::Traces, body.as_bytes(), &mut |origin, _| {
        seen.push(origin.clone().unwrap());
        Ok(())
    })
    .unwrap();
    let [a, b, c, d] = &seen[..] else { panic!("{seen:?}") };
    assert!(Arc::ptr_eq(a, b) && Arc::ptr_eq(c, d) && !Arc::ptr_eq(b, c), "read once a scope");
    assert!(Arc::ptr_eq(&a.producer, &d.producer) && a.producer.schema_url == "u", "and once a resource");
}
