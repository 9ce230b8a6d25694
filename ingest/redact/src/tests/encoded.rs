//! Secrets inside base64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::{redact_json, redact_text, redactor, samples};

fn secret_text() -> String {
    format!(
        "# größe: ok\n[default]\nAWS_SECRET_ACCESS_KEY={}\nregion = eu\n",
        "aB3dE5fG7hJ9kL2mN4pQ".repeat(2)
    )
}

/// Lines of `width` characters, each ended by `line_end`.
fn wrapped(encoded: &str, width: usize, line_end: &str) -> String {
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(line_end) + line_end
}

#[test]
fn a_secret_in_base64_goes_with_the_whole_of_it() {
    let redactor = redactor();
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        for pad in ["", "?", "??"] {
            let encoded = engine.encode(format!("{pad}{}~~~>>>???", secret_text()));
            let begin = encoded[..30].to_owned();
            let wide = wrapped(&encoded, 60, "\n");
            let crlf = wrapped(&encoded, 76, "\r\n");
            let indented = wrapped(&encoded, 64, "\n    ");
            for text in [
                encoded.clone(),
                wide,
                crlf,
                format!("data:\n    {indented}"),
                format!("data:text/plain;base64,{encoded}"),
                format!("see /srv/some-thing/{encoded} and more"),
                format!("see:\\t{encoded}"),
                format!("é{encoded}"),
            ] {
                let redacted = redact_text(&redactor, &text);
                assert!(
                    !redacted.contains(&begin) && !redacted.contains(&encoded[20..]),
                    "{text} -> {redacted}"
                );
                assert!(redacted.contains("<redacted:aws_secret_access_key:"), "{text} -> {redacted}");
                let mut json = text;
                for _ in 0..3 {
                    json = serde_json::to_string(&serde_json::json!({ "contents": [{ "blob": json }] }))
                        .unwrap();
                    for spelled in [json.clone(), json.replace('/', "\\/")] {
                        assert!(!redactor.is_clean(spelled.as_bytes()), "{spelled}");
                        assert!(!redact_json(&redactor, &spelled).contains(&begin), "{spelled}");
                    }
                }
            }
        }
    }
}

#[test]
fn base64_in_base64_and_json_in_base64_are_looked_into() {
    let redactor = redactor();
    let once = STANDARD.encode(secret_text());
    let twice = STANDARD.encode(format!("{{\"data\":\"{once}\"}}"));
    assert!(redact_text(&redactor, &twice).starts_with("<redacted:"));
    let thrice = STANDARD.encode(format!("{{\"data\":\"{twice}\"}}"));
    assert!(redact_text(&redactor, &thrice).starts_with("<redacted:"));
    let deeper = STANDARD.encode(format!("{{\"data\":\"{thrice}\"}}"));
    assert_eq!(redact_text(&redactor, &deeper), deeper, "the bound");
    let json = STANDARD.encode(r#"{"user":"somebody","otp":123456}"#);
    assert!(redact_text(&redactor, &json).starts_with("<redacted:otp:"));
    for (_, secret, _) in samples::shapes() {
        let text = STANDARD.encode(format!("the key is\t{secret}"));
        assert!(redact_text(&redactor, &text).starts_with("<redacted:"), "{secret}");
    }
}

#[test]
fn text_around_base64_stays() {
    let redactor = redactor();
    let encoded = wrapped(&STANDARD.encode(secret_text()), 60, "\n");
    let redacted = redact_text(&redactor, &format!("before\n{encoded}\nafter it"));
    assert!(redacted.starts_with("before\n<redacted:") && redacted.ends_with(">\n\nafter it"), "{redacted}");
}

#[test]
fn base64_without_a_secret_and_what_resembles_it_is_left_alone() {
    let redactor = redactor();
    let harmless = STANDARD.encode("Nothing to see here; please go on. ".repeat(4));
    for text in [
        harmless.as_str(),
        "019cabdf-f19c-7574-b9d1-4978b060578d",
        "dd98b7f70ea0482aad7f999cb3e4cf12dd98b7f70ea0482aad7f999cb3e4cf12",
        "/srv/app/docs/runbooks/GettingStartedWithDeployments/index",
        "createIssueCommentReactionsForPullRequestReviews",
    ] {
        assert_eq!(redact_text(&redactor, text), text);
    }
    for clean in [
        "\"019cabdf-f19c-7574-b9d1-4978b060578d\"",
        "\"2026-03-02T00:08:26.268Z\"",
        "\"createIssueCommentReactionsForPullRequestReviews\"",
        "\"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk\"",
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
    ] {
        assert!(redactor.is_clean(clean.as_bytes()), "{clean}");
    }
}

#[test]
fn bytes_that_are_no_text_hide_nothing_beside_them() {
    let redactor = redactor();
    let (_, secret, _) = samples::shapes().into_iter().find(|(class, ..)| *class == "github_token").unwrap();
    for stranger in [&b"\xfc"[..], b"\xff\xfe", b"\x00", b"\xe2\x82"] {
        for lead in ["Gr", "some words that go before it, as many as a head has: "] {
            let bytes = [lead.as_bytes(), stranger, b" and then the token ", secret.as_bytes()].concat();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let encoded = [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)];
            // Of hexadecimal digits the head must be plain.
            for text in encoded.into_iter().chain((lead.len() > 12).then_some(hex)) {
                assert!(redact_text(&redactor, &text).starts_with("<redacted:github_token:"), "{text}");
            }
        }
    }
}
