//! Tests of the whole: what the public door does, on examples and on arbitrary input.

mod encoded;
mod forms;
mod properties;
mod samples;
mod shapes;
mod structure;

use std::time::{Duration, Instant};

use crate::Redactor;

fn redactor() -> Redactor {
    Redactor::new([7; 32])
}

/// Redacts both ways and checks what must always hold; gives the redacted text.
fn redact_text(redactor: &Redactor, text: &str) -> String {
    let redacted = redactor.redact_text(text);
    let borrowed = matches!(redacted.text, std::borrow::Cow::Borrowed(_));
    assert_eq!(borrowed, redacted.removed.is_empty(), "{text}");
    assert!(borrowed || !redactor.is_clean(text.as_bytes()), "cleared but redacted: {text}");
    let again = redactor.redact_text(&redacted.text);
    assert_eq!(again.text, redacted.text, "not idempotent: {text}");
    redacted.text.into_owned()
}

fn redact_json(redactor: &Redactor, json: &str) -> String {
    let redacted = redactor.redact_json(json).unwrap();
    let borrowed = matches!(redacted.text, std::borrow::Cow::Borrowed(_));
    assert_eq!(borrowed, redacted.removed.is_empty(), "{json}");
    assert!(borrowed || !redactor.is_clean(json.as_bytes()), "cleared but redacted: {json}");
    let again = redactor.redact_json(&redacted.text).unwrap();
    assert_eq!(again.text, redacted.text, "not idempotent: {json}");
    redacted.text.into_owned()
}

const NEAR_MISSES: &[&str] = &[
    "sk-",
    "eyJ",
    "AKIA",
    "-----BEGIN ",
    "password=\"",
    "password=\\\"",
    "token: ",
    "://a:",
    "x://a:",
    "Bearer ",
    "hf_ ",
    "eyJhbGciOiJIUzI1NiJ9.",
    "<redacted:token:",
    "{\\\"a\\\":",
    "cookie: ",
    "--token ",
    "a b_",
    ":AA",
    "\\\\",
    "SG.aaaaaaaaaaaaaaaaaaaa.",
    "authorization=digest ",
    "{\"a\":\"",
    "authorization: a& ",
    "\"authorization: a \" ",
    "<password>x",
    "password '",
    "login u password ",
    "password: |\n ",
    "curl -u a ",
    "%22password%22%3A%22",
    "Zm9vIGJhciBiYXogcXV4IGZvbyBiYXI/",
    "Zm9vIGJhciBiYXogcXV4IGZvbyBiYXIg\n",
    "Zm9vIGJhciBiYXogcXV4IGZvbyBiYXI//w==",
    "A\\",
    "aB-",
    "[[\"token\",",
    "key=",
    "key: |\n ",
    "auth='",
    "pat = [\"a\", ",
    "mytoken=\\\"x ",
    "<key>",
    "key is \"",
    "password: Some(",
    "password='''",
    "password=<<A\n",
    "a://u:x1/",
    "- name: key\n value: ",
    "password:\n  - A1\n",
    "api_key_1=a&",
    "authorization: x\n ",
];

/// Both ways over `text`, and the time they took.
#[allow(clippy::disallowed_methods, reason = "the time taken is what is tested")]
fn time_taken(redactor: &Redactor, text: &str) -> Duration {
    let json = serde_json::to_string(text).unwrap();
    let start = Instant::now();
    redactor.redact_text(text);
    redactor.redact_json(&json).unwrap();
    redactor.is_clean(json.as_bytes());
    start.elapsed()
}

/// Near-misses by the million take seconds at most, not the hours of quadratic time.
#[test]
fn large_near_misses_take_linear_time() {
    let redactor = redactor();
    for unit in NEAR_MISSES {
        let taken = time_taken(&redactor, &unit.repeat((4 << 20) / unit.len()));
        assert!(taken < Duration::from_secs(20), "{unit}: {taken:?}");
    }
    let mixed = NEAR_MISSES.concat();
    let taken = time_taken(&redactor, &mixed.repeat((16 << 20) / mixed.len()));
    assert!(taken < Duration::from_secs(60), "all: {taken:?}");
}

/// Twice the text takes twice the time, whatever name stands in it over and over. The shortest of several runs is compared, with
/// room for a busy machine; quadratic time would be four times as much and more.
#[test]
fn names_in_a_row_take_linear_time() {
    let redactor = redactor();
    let names =
        ["key", "auth", "pat", "mytoken", "tokens", "api_key_prod", "password", "Authorization", "Cookie"];
    let tails = [
        "=",
        ": |\n ",
        ":\n  ",
        "='",
        "=\\\"",
        ": [\"",
        " is ",
        ">",
        "=N'",
        " = Some(\"a",
        "=a&",
        "=a;",
        ": a,",
    ];
    let shortest = |text: &str| (0..3).map(|_| time_taken(&redactor, text)).min().unwrap_or_default();
    for name in names {
        for tail in tails {
            let unit = format!("{name}{tail}");
            let text = |len: usize| unit.repeat(len / unit.len());
            // Another process can take the machine away; it does not do so every time.
            let is_linear = |_| {
                let (once, twice) = (shortest(&text(64 << 10)), shortest(&text(128 << 10)));
                twice < once * 3 + Duration::from_millis(60)
            };
            assert!((0..8).any(is_linear), "{unit:?}");
        }
    }
}

/// As many steps a byte, whatever stands there: what looks like a value's beginning must not be searched to the text's end.
#[test]
fn values_that_never_close_cost_what_others_do() {
    let redactor = redactor();
    let lines = |ending: &str| -> String {
        (1..2_900).map(|count| format!("password={}{ending}\n", "\\".repeat(count))).collect()
    };
    let usual = time_taken(&redactor, &lines("x"));
    for attack in [lines("\""), lines("'")] {
        let taken = time_taken(&redactor, &attack);
        assert!(taken < usual * 20 + Duration::from_millis(200), "{taken:?}, usually {usual:?}");
    }
    let mask = format!("password={}{}", "*".repeat(1 << 18), ",a".repeat(1 << 17));
    let usual = time_taken(&redactor, &mask.replace('*', "x"));
    let taken = time_taken(&redactor, &mask);
    assert!(taken < usual * 20 + Duration::from_millis(200), "{taken:?}, usually {usual:?}");
}
