//! Any input has an answer: rows and refusals, never a panic, and never a row that the store could not encode.

use proptest::prelude::*;

use super::*;

const SEED: &str = r#"{"event_id":"e","time":"2026-06-09T12:45:31.120Z","kind":"call","user_id":"u\n","scopes":["a","b"],"latency_us":12,"arguments":{"a":[1,{"b":null}]},"result":"text","x":1.5e9}"#;

/// JSON values that a careless or hostile producer might put anywhere.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "{}",
            "[\"a\",\"b\"]",
            "[1]",
            "\"\"",
            "\"2026-06-09T12:45:31Z\"",
            "1e999",
            "-0",
            "\"\\ud800\"",
            "\"allowed\"",
            "\"9223372036854775808\"",
            "{\"destructiveHint\":true}",
            "\"{}\"",
        ])
        .prop_map(str::to_string),
        (1usize..80).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
        (200usize..9000).prop_map(|length| format!("\"{}\"", "é".repeat(length))),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let names: Vec<String> = schemas::Stream::Events
        .columns()
        .iter()
        .map(|column| column.name.to_string())
        .chain(["timestamp", "capabilityName", "latencyMs", "userId", "id", "annotations"].map(String::from))
        .collect();
    prop_oneof![3 => prop::sample::select(names), 1 => "[a-z\u{e9}\"]{0,4}"]
}

proptest! {
    #[test]
    fn bytes_of_a_line_may_change(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut bytes = SEED.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let rows = read(&bytes);
        prop_assert!(rows.count() as u64 + rows.rejected_count >= 1);
    }

    #[test]
    fn members_may_be_anything(members in prop::collection::vec((key(), value()), 0..12), more in any::<bool>()) {
        let members: Vec<String> =
            members.iter().map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap())).collect();
        let body = if more { event(&members.join(",")) } else { format!("{{{}}}", members.join(",")) };
        let rows = read(&body);
        prop_assert_eq!(rows.count() as u64 + rows.rejected_count, 1, "{}", body);
        let alone = [body.clone(), SEED.to_string(), body].join("\n");
        prop_assert_eq!(read(&alone).count(), 2 * rows.count() + 1);
    }
}
