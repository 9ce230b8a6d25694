use proptest::prelude::*;

use super::*;

fn scan(text: &str) -> Result<Scanned, Fault> {
    Scanner::default().value(text.as_bytes())
}

/// Whether the whole of `text` is one value to us.
fn accepts(text: &str) -> bool {
    scan(text).is_ok_and(|scanned| scanned.end == text.len() && !scanned.has_lone_surrogate)
}

fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_string()),
        Just("true".to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        Just(r#""\ud83d\ude00 \u0000 \/ \"""#.to_string()),
    ];
    scalar.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|pairs| {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{} :\t{value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{\n{}\r\n}}", pairs.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn valid_values_are_read_to_their_end(text in json()) {
        let scanned = scan(&text).unwrap();
        prop_assert_eq!(scanned.end, text.len());
    }

    #[test]
    fn mutated_values_are_judged_as_another_parser_judges_them(
        text in json(), at in any::<prop::sample::Index>(), byte in 0x09u8..0x7f, drop in any::<bool>()
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if drop { bytes.remove(at); } else { bytes[at] = byte; }
        if let Ok(text) = String::from_utf8(bytes) {
            let text = text.trim_matches([' ', '\n', '\r', '\t']);
            prop_assert_eq!(accepts(text), serde_json::from_str::<Box<serde_json::value::RawValue>>(text).is_ok()
                && serde_json::from_str::<serde_json::Value>(text).map_or_else(|e| e.to_string().contains("out of range"), |_| true), "{}", text);
        }
    }

    #[test]
    fn any_bytes_end_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(scanned) = Scanner::default().value(&bytes) {
            prop_assert!(scanned.end <= bytes.len() && scanned.end > 0);
        }
    }
}

#[test]
fn numbers_strings_and_literals_follow_the_grammar() {
    for good in ["0", "-0", "1.5e+9", "1E9", "\"\\u0000\"", "true", "{}", "[]", "[[],{}]", "{\"a\":{}}"] {
        assert!(accepts(good), "{good}");
    }
    for bad in [
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "-",
        "tru",
        "nul",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"open",
        "[",
        "{\"a\"",
        "",
    ] {
        assert!(!accepts(bad), "{bad}");
    }
}

#[test]
fn a_mark_in_any_of_eight_places_is_seen() {
    for at in 0..24 {
        for mark in ['"', '\\', '\u{1}'] {
            let mut inside: Vec<char> = "x".repeat(24).chars().collect();
            inside[at] = mark;
            let text = format!("\"{}\"", inside.iter().collect::<String>());
            assert!(!accepts(&text), "{text:?}");
        }
        let inside = format!("{}é{}", "y".repeat(at), "\u{7f}z");
        assert!(accepts(&format!("\"{inside}\"")));
    }
}

#[test]
fn surrogates_must_come_in_pairs() {
    for good in [r#""\ud83d\ude00""#, r#""\uD83D\uDE00x""#, r#""\\ud800""#] {
        assert!(accepts(good), "{good}");
    }
    for lone in [r#""\ud800""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\ud83d\ude00""#, r#""\ud83d\n""#] {
        assert!(scan(lone).unwrap().has_lone_surrogate, "{lone}");
    }
}

#[test]
fn depth_is_counted_without_recursion() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 10_000, 1_000_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let scanned = scan(&arrays).unwrap();
        assert_eq!((scanned.depth, scanned.end), (depth, arrays.len()));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(scan(&objects).unwrap().depth, depth);
        let crossed = format!("{}{}", "[".repeat(depth), "}".repeat(depth));
        assert!(scan(&crossed).is_err());
    }
}

#[test]
fn members_are_noted_up_to_the_limit() {
    let text = r#"{ "a" : "x\n" , "\u0062":[1, {"c":2}], "d":null }, rest"#;
    let mut scanner = Scanner::default();
    let scanned = scanner.value(text.as_bytes()).unwrap();
    assert_eq!(&text[scanned.end..], ", rest");
    let found: Vec<_> = scanner
        .members()
        .iter()
        .map(|m| (m.key.of(text), m.key_escaped, m.value.of(text), m.kind, m.escaped))
        .collect();
    assert_eq!(
        found,
        [
            ("a", false, "\"x\\n\"", Kind::String, true),
            ("\\u0062", true, "[1, {\"c\":2}]", Kind::Array, false),
            ("d", false, "null", Kind::Null, false),
        ]
    );
    let wide: Vec<String> = (0..EVENT_KEYS_MAX + 5).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let scanned = scanner.value(wide.as_bytes()).unwrap();
    assert_eq!((scanned.keys, scanned.end), (EVENT_KEYS_MAX + 5, wide.len()));
    assert_eq!(scanner.members().len(), EVENT_KEYS_MAX);
}

#[test]
fn texts_inside_strings_are_known_for_json_and_lists_for_lists() {
    assert!(is_json(" {\"a\":[1]} ") && is_json("12") && is_json("null") && !is_json("[[["));
    assert!(!is_json("token issued") && !is_json("1 2") && !is_json(""));
    let mut items = Vec::new();
    assert!(strings(r#"[ "a", "b\n" ]"#, |item, escaped| items.push((item.to_string(), escaped))));
    assert_eq!(items, [("a".to_string(), false), ("b\\n".to_string(), true)]);
    assert!(strings("[]", |_, _| {}) && !strings("[\"a\",1]", |_, _| {}));
}
