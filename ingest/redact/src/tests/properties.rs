//! Laws that hold for arbitrary input.

use proptest::prelude::*;
use proptest::sample::select;

use super::{redact_json, redact_text, redactor, samples};

/// Pieces of which texts are made: much of what rules are made of, so that near-misses and clashes are common.
fn piece() -> impl Strategy<Value = String> {
    let fragments: Vec<String> = [
        "password",
        "token",
        "oauth_token",
        "next_token",
        "secret",
        "Authorization",
        "Cookie",
        "api_key",
        "key",
        "pwd",
        "otp",
        "name",
        "value",
        "sig",
        "--password",
        "=",
        ":",
        ": ",
        " = ",
        "==",
        "%3D",
        "\"",
        "'",
        "\\",
        "\\\"",
        "\\n",
        "\n",
        "\t",
        "\r",
        "\u{8}",
        "\u{c}",
        " ",
        ",",
        ";",
        "&",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "<",
        ">",
        "://",
        ":\\/\\/",
        "/",
        "@",
        "a",
        "n",
        "t",
        "b",
        "é",
        "😀",
        "Bearer ",
        "Basic ",
        "bearer",
        "****",
        "[REDACTED]",
        "[REDACTED:x]",
        "<redacted:token:0123456789ab>",
        "<redacted:",
        "null",
        "true",
        "$1",
        "?",
        "eyJ",
        "sk-",
        "AKIA",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "hunter2",
        "0123456789",
        "AbCdEf0123456789xyz",
        "dXNlcjpwYXNzd29yZA==",
        "\\u0041",
        "\\/",
        "`",
        "%",
        ".",
        "_",
        "-",
        "{{x}}",
        "<password>",
        "</",
        "pass",
        "user",
        "login u ",
        "password:\n  ",
        ": |\n",
        "PASSWORD '",
        "%22",
        "curl -u a:",
        "c2VjcmV0X3Rva2VuPWh1bnRlcjIgICAgICAg",
        "Li4uIHBhc3N3b3JkOiBodW50ZXIyIO",
        "LzopOi8/Pz8+Pj5+fn4gcGFzc3dvcmQ9aHVudGVyMi9=",
        "A",
        "+",
        "SSWS ",
        "://user:pw@h",
        "https://h/p?x=1&token=abc",
        "auth",
        "mytoken",
        "admin_key: ",
        "apiKey2",
        "tokens",
        "a9F3kq0Z",
        "tR7bM2xW",
        "\n  ",
        "\r\n ",
        ": >-\n  ",
        "- ",
        "Some(\"",
        "N'",
        "['",
        "\"\"\"",
        "<<EOF\n",
        "name: ",
        "\n  value: ",
        "#password",
        " field",
        " *",
        "PASS=",
        "--pass ",
        "a://u:p/x1",
        "%B4111111111111111^",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    let secrets: Vec<String> = samples::shapes()
        .into_iter()
        .flat_map(|(_, secret, near)| [secret, near])
        .chain(samples::contexts().into_iter().map(|(_, text, _)| text))
        .collect();
    prop_oneof![6 => select(fragments), 1 => select(secrets), 1 => ".{0,6}"]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
}

/// A JSON value in one of many spellings.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        4 => (text(), 0..4_u8).prop_map(|(text, spelling)| spell(&text, spelling)),
        1 => select(vec!["null", "true", "false", "0", "-1.50E+3", "90071992547409931", "\"\\ud800\"", "\"\\udc00x\""]).prop_map(str::to_owned),
    ];
    let space = || select(vec!["", "", "", " ", "\n  ", "\t"]);
    scalar.prop_recursive(4, 24, 5, move |inner| {
        let key = || (text(), 0..4_u8).prop_map(|(text, spelling)| spell(&text, spelling));
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (prop::collection::vec((key(), inner.clone()), 0..5), space(), space()).prop_map(
                |(members, before, after)| {
                    let members: Vec<String> =
                        members.iter().map(|(key, value)| format!("{key}{before}:{after}{value}")).collect();
                    format!("{{{}}}", members.join(&format!("{after},{before}")))
                }
            ),
            (text(), inner.clone())
                .prop_map(|(name, value)| format!("{{\"name\":{},\"value\":{value}}}", spell(&name, 0))),
            (text(), inner.clone())
                .prop_map(|(name, value)| format!("{{\"element\":{},\"text\":{value}}}", spell(&name, 0))),
            inner.prop_map(|value| spell(&value, 0)),
        ]
    })
}

/// A string as JSON: as short as can be, with escaped slashes, with some or all characters as `\u` escapes.
fn spell(text: &str, spelling: u8) -> String {
    let short = serde_json::to_string(text).unwrap();
    match spelling {
        1 => short.replace('/', "\\/"),
        2 | 3 => {
            let every = if spelling == 2 { 5 } else { 1 };
            let units = text.chars().enumerate().map(|(index, character)| {
                if index % every == 0 {
                    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                } else {
                    let quoted = serde_json::to_string(&character).unwrap();
                    quoted[1..quoted.len() - 1].to_owned()
                }
            });
            format!("\"{}\"", units.collect::<String>())
        }
        _ => short,
    }
}

fn configuration() -> ProptestConfig {
    ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(configuration())]

    /// The prefilter's soundness, idempotence, and validity, by the checks inside `redact_json`.
    #[test]
    fn json_laws(json in json()) {
        let redacted = redact_json(&redactor_once(), &json);
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&redacted).is_ok());
    }

    #[test]
    fn text_laws(text in text()) {
        redact_text(&redactor_once(), &text);
    }

    /// A secret planted anywhere, in any spelling and up to three strings deep, is gone.
    #[test]
    fn planted_secrets_do_not_survive(
        (_, secret, _) in select(samples::shapes()),
        before in "([a-z ]{0,9}[ ,(\\n])?",
        after in "([ ,)\\n][a-z ]{0,9})?",
        spellings in prop::collection::vec((0..4_u8, 0..3_u8), 1..4),
        padding in "[a-z ]{0,20}",
    ) {
        let mut json = format!("{before}{secret}{after}");
        for (spelling, place) in spellings {
            let string = spell(&json, spelling);
            json = match place {
                0 => format!("{{\"pad\":\"{padding}\",\"note\":{string}}}"),
                1 => format!("[1,{string},null]"),
                _ => format!("{{{string}:\"{padding}\"}}"),
            };
        }
        let redactor = redactor_once();
        prop_assert!(!redactor.is_clean(json.as_bytes()));
        let redacted = redact_json(&redactor, &json);
        prop_assert!(!unescaped(&redacted).contains(&secret), "{} -> {}", json, redacted);
    }

    /// Values without any rule's literal come back as they were.
    #[test]
    fn json_without_secrets_is_unchanged(words in prop::collection::vec("[a-zA-Z0-9 _.,é😀\\\\\"\n-]{0,12}", 0..8), number in any::<f64>()) {
        let harmless = |word: &String| !word.to_ascii_lowercase().contains(['k', 'p', 's', 't', 'c', 'j', 'r', 'h', 'b', 'u']);
        let words: Vec<String> = words.into_iter().filter(harmless).collect();
        let json = serde_json::to_string_pretty(&serde_json::json!({ "a": words, "n": number, "input_tokens": 5 })).unwrap();
        prop_assert!(redactor_once().is_clean(json.as_bytes()));
        prop_assert_eq!(redact_json(&redactor_once(), &json), json);
    }
}

/// All levels of escapes undone.
fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..6 {
        let inner = text.replace('"', "\\\"").replace("\\\\\"", "\\\"");
        text = serde_json::from_str::<String>(&format!("\"{}\"", inner.replace('\n', "\\n"))).unwrap_or(text);
    }
    text
}

fn redactor_once() -> std::sync::Arc<crate::Redactor> {
    static ONCE: std::sync::OnceLock<std::sync::Arc<crate::Redactor>> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| std::sync::Arc::new(redactor())).clone()
}
