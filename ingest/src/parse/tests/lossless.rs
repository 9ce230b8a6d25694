//! The lossless rule: columns and attributes regenerate every key and value of the record.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::Stream;
use serde_json::value::RawValue;

use super::*;

/// What row `row` says of its source, key to JSON text: an independent reading of the columns.
fn regenerate(rows: &Rows, row: usize) -> BTreeMap<String, String> {
    let is_simple = rows.text(row, "source").ends_with("/simple/1");
    let attributes = rows.attributes(row);
    let oversize = rows.cell(row, "oversize");
    let mut out = BTreeMap::new();
    for column in Stream::Events.columns() {
        if ["log_index", "ingest_time", "payload_commitment", "attributes", "oversize"].contains(&column.name)
        {
            continue;
        }
        let cell = match &oversize[column.name] {
            Value::String(whole) if whole.starts_with('[') && rows.cell(row, column.name).is_array() => {
                serde_json::from_str(whole).unwrap()
            }
            Value::String(whole) => Value::from(whole.as_str()),
            _ => rows.cell(row, column.name),
        };
        let mut key = column.name.to_string();
        if is_simple {
            let camel = key.split('_').enumerate().map(|(at, part)| {
                if at == 0 { part.to_string() } else { part[..1].to_uppercase() + &part[1..] }
            });
            key = camel.collect();
            key = match key.as_str() {
                "time" => "timestamp".into(),
                "capability" => "capabilityName".into(),
                "latencyUs" => "latencyMs".into(),
                _ => key,
            };
        }
        let json = match (column.name, &cell) {
            (_, Value::Null) => continue,
            ("time" | "credential_expires", Value::Number(us)) => {
                let us = us.as_i64().unwrap();
                let digits =
                    [0, 3, 6].into_iter().find(|digits| us % 10i64.pow(6 - digits) == 0).unwrap() as usize;
                format!("\"{:.digits$}\"", jiff::Timestamp::from_microsecond(us).unwrap())
            }
            ("latency_us", Value::Number(us)) if is_simple => {
                let us = us.as_i64().unwrap();
                let text = format!("{}.{:03}", us / 1000, us % 1000);
                text.trim_end_matches('0').trim_end_matches('.').to_string()
            }
            ("arguments" | "result", Value::String(text)) => {
                let marked = attributes.get(&key).is_some_and(|mark| mark == "\"string\"");
                if !marked && serde_json::from_str::<&RawValue>(text).is_ok() {
                    text.clone()
                } else {
                    serde_json::to_string(text).unwrap()
                }
            }
            (_, cell) => serde_json::to_string(cell).unwrap(),
        };
        out.insert(key, json);
    }
    for (key, json) in attributes {
        if !(["arguments", "result"].contains(&key.as_str()) && json == "\"string\"") {
            out.insert(key, json);
        }
    }
    out
}

/// Every key and value of `line` is in row `row`.
pub(super) fn check(line: &str, rows: &Rows, row: usize) {
    let source: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
    let regenerated = regenerate(rows, row);
    for (key, value) in source {
        let Some(found) = regenerated.get(&key) else {
            assert_eq!(value.get(), "null", "key {key} of {line} is lost");
            continue;
        };
        let same = match (serde_json::from_str::<String>(value.get()), serde_json::from_str::<String>(found))
        {
            (Ok(left), Ok(right)) => left == right,
            _ => {
                let is_list = value.get().starts_with('[') && Stream::Events.column(&key).is_some();
                found == value.get()
                    || is_list
                        && serde_json::from_str::<Value>(found).unwrap()
                            == serde_json::from_str::<Value>(value.get()).unwrap()
            }
        };
        assert!(same, "key {key} of {line}: {} became {found}", value.get());
    }
}

#[test]
fn corner_cases_come_back() {
    for line in [
        event(""),
        event("\"result\":\"text\",\"arguments\":{\"a\": [1, 2.50]}"),
        event("\"result\":\"{\\\"a\\\":1}\",\"arguments\":\"12\""),
        event("\"result\":\"\\\"quoted\\\"\",\"arguments\":\" null\""),
        event("\"result\":null,\"arguments\":[],\"scopes\":[],\"delegation\":[\"a\",\"\\n\"]"),
        event("\"result\":true,\"arguments\":-1e5"),
        event("\"result\":\"true story\",\"arguments\":\"[not json\""),
        event("\"status\":\"SUCCESS\",\"decision\":\"Allowed\",\"risk\":\"weird\",\"action\":\"\""),
        event("\"kind_\":1,\"K\":\"v\",\"\":\"empty key\",\"nested\":{\"a\":{\"b\":[null]}},\"é\\n\":\"\\u00e9\""),
        event("\"request_id\":7,\"error_code\":-32602,\"attempt\":\"3\",\"latency_us\":-0,\"source_seq\":9223372036854775807"),
        event("\"tenant\":\"other\",\"log_index\":5,\"source\":\"x\",\"tags\":[\"t\"],\"attributes\":{\"a\":1}"),
        event("\"session_id\":null,\"risk\":null,\"user_id\":null"),
        event("\"credential_expires\":1781009131000,\"user_id\":\"\",\"event_id\":\"\""),
        event(&format!("\"user_id\":\"{}\",\"scopes\":{:?}", "u".repeat(300), vec!["s".repeat(3000); 3])),
        "{\"time\":\"2026-06-09T14:45:31.120+02:00\",\"capability\":\"x\"}".to_string(),
        "{\"time\":\"2026-06-09 12:45:31.123456789Z\",\"capability\":\"x\"}".to_string(),
        "{\"time\":1781009131.25,\"capability\":\"x\"}".to_string(),
        "{\"timestamp\":\"2026-06-09T12:45:31Z\",\"server\":\"s\",\"latencyMs\":12.25,\"id\":\"i\",\"time\":5}".to_string(),
        "{\"timestamp\":\"2026-06-09T12:45:31Z\",\"server\":\"s\",\"latencyMs\":0,\"eventId\":\"i\",\"latencyUs\":\"x\"}"
            .to_string(),
    ] {
        let rows = read(&line);
        assert_eq!(rows.count(), 1, "{line}: {:?}", rows.rejected);
        check(&line, &rows, 0);
    }
}

/// Lines as the benchmark corpus has them.
fn corpus_line() -> impl Strategy<Value = String> {
    (0u32..86_400_000, any::<u32>(), "[a-z ]{0,20}", any::<String>(), prop::bool::ANY, 0usize..5).prop_map(
        |(ms, n, word, text, is_call, which)| {
            let at = jiff::Timestamp::from_millisecond(1_780_963_200_000 + i64::from(ms)).unwrap();
            let word_of = |words: [&str; 5]| words[which].to_string();
            let mut event = serde_json::json!({
                "event_id": format!("0197-{n:08x}"), "time": format!("{at:.3}"), "tenant": "acme",
                "environment": "prod", "kind": if is_call { "call" } else { "auth" }, "user_id": format!("u-{n}"),
                "session_id": format!("s-{n}"), "decision": word_of(["allow", "deny", "allowed", "none", "odd"]),
                "status": word_of(["ok", "denied", "success", "timeout", "?"]), "latency_us": n, "request_bytes": 180,
                "capability": word, "target": text,
            });
            if is_call {
                event["arguments"] = serde_json::json!({"path": text, "depth": n, "flag": true});
                event["result"] = Value::from(text);
            }
            event.to_string()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn corpus_lines_come_back(lines in prop::collection::vec(corpus_line(), 1..8)) {
        let rows = read(lines.join("\n"));
        prop_assert_eq!(rows.count(), lines.len());
        for (row, line) in lines.iter().enumerate() {
            check(line, &rows, row);
        }
    }
}
