//! Bad input: refused with its line and code, and nothing around it is harmed.

use schemas::limits::{JSON_DEPTH_MAX, QUOTED_CHARS_MAX};

use super::*;

/// Reads `bad` between two good lines: it is refused with `code`, they are taken.
fn refused(bad: impl AsRef<[u8]>, code: &str) -> Rows {
    let good = event("");
    let body = [good.as_bytes(), b"\n", bad.as_ref(), b"\n", good.as_bytes(), b"\n"].concat();
    let rows = read(&body);
    let shown = String::from_utf8_lossy(bad.as_ref()).chars().take(200).collect::<String>();
    assert_eq!(rows.codes(), [(2, code)], "{shown}: {:?}", rows.rejected);
    assert_eq!((rows.count(), rows.rejected_count), (2, 1), "{shown}");
    assert!(rows.detail().len() < 400, "{}", rows.detail());
    rows
}

#[test]
fn broken_json_and_other_shapes() {
    for bad in ["{", "}", "{\"a\":1,}", "nonsense", "{\"time\":\"2026", "{'a':1}", "{\"a\":01}", "\u{0}"] {
        refused(bad, "bad_json");
    }
    for bad in ["7", "\"text\"", "null", "true"] {
        refused(bad, "not_object");
    }
}

#[test]
fn invalid_utf8_spoils_its_line_alone() {
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"] {
        let bad = [b"{\"time\":\"2026-06-09T12:45:31Z\",\"kind\":\"", bytes, b"\"}"].concat();
        refused(bad, "bad_utf8");
    }
    refused(b"\xff\xff", "bad_json");
}

#[test]
fn wrong_types_are_named() {
    for (member, expected, found) in [
        ("\"user_id\":5", "a string", "a number \"5\""),
        ("\"user_id\":{}", "a string", "an object"),
        ("\"latency_us\":\"fast\"", "an integer", "a string \"fast\""),
        ("\"latency_us\":1.5", "an integer", "a number \"1.5\""),
        ("\"latency_us\":1e3", "an integer", "\"1e3\""),
        ("\"latency_us\":9223372036854775808", "an integer of 64 bits", "9223372036854775808"),
        ("\"latency_us\":\"007\"", "an integer", "007"),
        ("\"input_tokens\":true", "an integer", "a boolean"),
        ("\"scopes\":\"a b\"", "an array of strings", "a string"),
        ("\"scopes\":[\"a\",1]", "an array of strings", "other items"),
        ("\"status\":true", "a string", "a boolean"),
        ("\"method\":[]", "a string", "an array"),
    ] {
        let rows = refused(event(member), "bad_type");
        let key = member.split('"').nth(1).unwrap();
        let detail = rows.detail();
        assert!(
            detail.contains(&format!("\"{key}\"")) && detail.contains(expected) && detail.contains(found),
            "{detail}"
        );
    }
}

#[test]
fn times_that_are_none() {
    for time in [
        "\"2026-06-09\"",
        "\"yesterday\"",
        "\"\"",
        "1e300",
        "\"10000-01-01T00:00:00Z\"",
        "\"-0001-01-01T00:00:00Z\"",
    ] {
        refused(format!("{{\"time\":{time},\"kind\":\"call\"}}"), "bad_time");
    }
    refused("{\"time\":true,\"kind\":\"call\"}", "bad_type");
    refused(event("\"credential_expires\":\"soon\""), "bad_time");
}

#[test]
fn the_first_and_the_last_year_are_taken() {
    let line = |time: &str| format!("{{\"time\":\"{time}\",\"kind\":\"call\"}}\n");
    let rows = read(line("0000-01-01T00:00:00Z") + &line("9999-12-31T23:59:59.999999Z"));
    assert_eq!(rows.cell(0, "time"), -62_167_219_200_000_000i64);
    assert_eq!(rows.cell(1, "time"), 253_402_300_799_999_999i64);
    assert_eq!(
        (rows.cell(0, "tags"), rows.cell(1, "tags")),
        (serde_json::json!(["late"]), serde_json::json!(["clock_skew"]))
    );
}

#[test]
fn a_key_that_stands_twice() {
    for twice in [
        "\"kind\":\"list\"",
        "\"x\":1,\"x\":1",
        "\"x\":1,\"\\u0078\":2",
        "\"k\\u0069nd\":\"list\"",
        "\"tenant\":1,\"tenant\":1",
    ] {
        refused(event(twice), "duplicate_key");
    }
    let rows = read(event("\"arguments\":{\"a\":1,\"a\":2}"));
    assert_eq!(rows.text(0, "arguments"), "{\"a\":1,\"a\":2}", "further inside it is text");
}

#[test]
fn lone_surrogates_and_nul() {
    refused(event("\"user_id\":\"\\ud800\""), "bad_text");
    refused(event("\"arguments\":{\"a\":[\"\\udfff\"]}"), "bad_text");
    let rows = read(event("\"user_id\":\"a\\u0000b\",\"result\":\"\\ud83d\\ude00\""));
    assert_eq!((rows.text(0, "user_id"), rows.text(0, "result")), ("a\0b".to_string(), "😀".to_string()));
}

#[test]
fn depth_width_and_length() {
    for (deep, depth) in [("[", 10_000), ("[", JSON_DEPTH_MAX), ("{\"a\":", JSON_DEPTH_MAX)] {
        let closing = if deep == "[" { "]" } else { "}" };
        let inner = if deep == "[" { "" } else { "1" };
        let value = format!("{}{inner}{}", deep.repeat(depth), closing.repeat(depth));
        refused(event(&format!("\"arguments\":{value}")), "too_deep");
    }
    let wide: Vec<String> = (0..1100).map(|n| format!("\"k{n}\":{n}")).collect();
    refused(event(&wide.join(",")), "too_many_keys");
    refused(event(&format!("\"x\":\"{}\"", "y".repeat(16 << 20))), "too_large");
    refused(event(&format!("\"x\":\"{}\"", "y".repeat((16 << 20) - 100))), "too_large");
    let rows = read(event(&format!("\"result\":\"{}\"", "z".repeat(10 << 20))));
    assert_eq!(rows.text(0, "result").len(), 10 << 20);
}

#[test]
fn numbers_past_two_to_the_53rd_keep_every_digit() {
    let rows = read(event(
        "\"big\":9007199254740993,\"arguments\":{\"n\":123456789012345678901234567890,\"f\":0.10000000000000000001},\"source_seq\":9007199254740993",
    ));
    assert_eq!(rows.attributes(0)["big"], "9007199254740993");
    assert_eq!(
        rows.text(0, "arguments"),
        "{\"n\":123456789012345678901234567890,\"f\":0.10000000000000000001}"
    );
    assert_eq!(rows.cell(0, "source_seq"), 9_007_199_254_740_993i64);
}

#[test]
fn a_million_empty_lines_cost_nothing_and_count() {
    let rows = read("\r\n".repeat(1_000_000) + "x\n" + &event(""));
    assert_eq!(rows.codes(), [(1_000_001, "bad_json")]);
    assert_eq!(rows.count(), 1);
    assert_eq!(read("\n".repeat(1_000_000)).rejected_count, 0);
}

#[test]
fn what_is_listed_is_capped_and_what_is_counted_is_not() {
    let rows = read("x\n".repeat(1000) + &event(""));
    assert_eq!((rows.rejected.len(), rows.rejected_count, rows.count()), (REJECTED_LISTED_MAX, 1000, 1));
}

#[test]
fn quotes_in_messages_are_short() {
    let long = "k".repeat(10_000);
    for bad in [
        format!("{{\"{long}\":1}}"),
        event(&format!("\"{long}\":1,\"{long}\":2")),
        event(&format!("\"latency_us\":\"{long}\"")),
        format!("{{\"time\":\"{long}\",\"kind\":\"call\"}}"),
    ] {
        let rows = read(&bad);
        assert!(rows.detail().matches('k').count() < QUOTED_CHARS_MAX + 20, "{}", rows.detail());
    }
}

#[test]
fn too_many_values_refuse_the_body() {
    let principal = principal();
    let context = Context {
        collector: "file",
        mappings: Mappings::built_in(),
        principal: &principal,
        mapping: None,
        idempotency_key: None,
        line_first: 1,
        now_us: NOW_US,
        seed: [0; 32],
        redactor: &Redactor::new([0; 32]),
        sessions: &Sessions::new(),
        countries: None,
    };
    assert!(parse("1 ".repeat(BODY_VALUES_MAX).as_bytes(), &context).is_ok());
    let error = parse("1 ".repeat(BODY_VALUES_MAX + 1).as_bytes(), &context).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: BODY_VALUES_MAX, .. }), "{error}");
}
