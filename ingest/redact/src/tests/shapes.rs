//! Every shape is found wherever it stands, and not when it only looks like one.

use super::{redact_json, redact_text, redactor, samples};
use crate::shapes::RULES;

#[test]
fn every_shape_is_found_at_every_offset() {
    let redactor = redactor();
    for (class, secret, _) in samples::shapes() {
        for lead in ["", " ", "  ", "(x)", "é", "key: ", "\n", "a\tb\n"] {
            let text = format!("{lead}{secret} z");
            let redacted = redact_text(&redactor, &text);
            assert!(!redacted.contains(&secret), "{text:?}");
            assert!(redacted.contains(&format!("<redacted:{class}:")), "{text:?} -> {redacted}");
            assert!(
                redacted.ends_with("> z") && redacted.starts_with(lead.trim_end()),
                "{text:?} -> {redacted}"
            );
            let json = serde_json::to_string(&serde_json::json!({ "note": text, (text.clone()): [1, text] }))
                .unwrap();
            let redacted = redact_json(&redactor, &json);
            assert!(!redacted.contains(&secret), "{json} -> {redacted}");
            let removed = redactor.redact_json(&json).unwrap().removed;
            assert_eq!(removed.items(), [format!("{class}:1:note"), format!("{class}:2:other")], "{json}");
        }
        // What is glued to a secret goes with it, or makes it something else.
        let glued = format!("{secret}Zz9");
        let redacted = redact_text(&redactor, &glued);
        assert!(redacted == glued || !redacted.contains("Zz9"), "{glued} -> {redacted}");
        // At the very end of the text.
        assert!(!redact_text(&redactor, &format!("see {secret}")).contains(&secret));
    }
}

#[test]
fn near_misses_are_left_alone() {
    let redactor = redactor();
    for (_, secret, near_miss) in samples::shapes() {
        for text in [format!("see {near_miss} z"), format!("Xx9{}", secret.trim_start_matches("abc"))] {
            // No boundary is asked of these, or a second one stands inside.
            if text.starts_with("Xx9")
                && ["Q~", ":AA", "xoxe.", "atlasv1", "-us12", "access_token$"]
                    .iter()
                    .any(|inside| secret.contains(inside))
            {
                continue;
            }
            assert_eq!(redact_text(&redactor, &text), text);
        }
    }
    for text in [
        "sk-learn-is-a-library-for-classification",
        "risk-assessment-of-the-quarterly-report-2026",
        "bearer authentication is used",
        "basic knowledge of things",
        "Basic authentication",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "https://host:8080/path@x and repo://github/x",
        "mail user@example.com: hello",
        "the token expired; password rotation is due",
        "tokens: 12, token_count=5 input_tokens=3 next_page_token=abc",
        "SELECT token, password FROM users WHERE password = $1 AND secret = ?",
        "git@github.com:owner/repo.git",
        "token=[REDACTED:token] password=**** secret=\"\" pwd=null",
        "discord.com/channels/1/2",
        "if (password == null) return",
    ] {
        assert_eq!(redact_text(&redactor, text), text);
    }
}

#[test]
fn only_the_secret_part_is_replaced() {
    let redactor = redactor();
    for (class, text, secret) in samples::contexts() {
        let redacted = redact_text(&redactor, &text);
        let (head, tail) = text.split_once(&secret).unwrap();
        assert!(redacted.starts_with(&format!("{head}<redacted:{class}:")), "{text} -> {redacted}");
        assert!(redacted.ends_with(&format!(">{tail}")), "{text} -> {redacted}");
        for lead in ["", "x ", "\n", "\t"] {
            let json = serde_json::to_string(&[format!("{lead}{text}")]).unwrap();
            let redacted = redact_json(&redactor, &json);
            assert!(!redacted.contains(&secret) && redacted.contains(class), "{json} -> {redacted}");
        }
    }
}

#[test]
fn every_row_has_a_sample() {
    let mut classes: Vec<&str> = samples::shapes().iter().map(|(class, ..)| *class).collect();
    classes.extend(samples::contexts().iter().map(|(class, ..)| *class));
    let mut samples: Vec<String> = samples::shapes().into_iter().map(|(_, secret, _)| secret).collect();
    samples.extend(samples::contexts().into_iter().map(|(_, text, _)| text));
    for rule in RULES.iter() {
        assert!(classes.contains(&rule.class), "{}", rule.class);
        for anchor in &rule.anchors {
            let literal = anchor.literal.to_ascii_lowercase();
            let sampled = samples.iter().any(|sample| sample.to_ascii_lowercase().contains(&literal));
            assert!(sampled, "{literal}");
        }
    }
}

#[test]
fn one_secret_has_one_fingerprint_wherever_it_is_found() {
    let redactor = redactor();
    let (_, secret, _) = samples::shapes().into_iter().find(|(class, ..)| *class == "github_token").unwrap();
    let marker = redact_text(&redactor, &secret);
    assert_eq!(redact_text(&redactor, &format!("token={secret}")), format!("token={marker}"));
    let json = format!("{{\"token\":\"{secret}\"}}");
    assert_eq!(redact_json(&redactor, &json), format!("{{\"token\":\"{marker}\"}}"));
    assert_ne!(marker, crate::Redactor::new([8; 32]).redact_text(&secret).text);
}
