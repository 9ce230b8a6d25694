//! Events without secrets: nothing reaches the spool that did not pass here.

use redact::Redactor;

/// The event without secrets, and with a note of what was removed; none if it cannot be redacted.
pub(crate) fn redacted(redactor: &Redactor, event: String) -> Option<String> {
    if redactor.is_clean(event.as_bytes()) {
        return Some(event);
    }
    let (text, removed) = {
        let redacted = redactor.redact_json(&event).ok()?;
        (redacted.text.into_owned(), redacted.removed.items())
    };
    if removed.is_empty() {
        return Some(text);
    }
    let mut text = text;
    text.pop().filter(|last| *last == '}')?;
    text.push_str(",\"redacted_by_tap\":");
    text.push_str(&serde_json::to_string(&removed).ok()?);
    text.push('}');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_what_was_removed_is_said() {
        let redactor = Redactor::new([7; 32]);
        let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz123");
        let event = format!(r#"{{"kind":"call","arguments":{{"note":"use {secret}"}}}}"#);
        let text = redacted(&redactor, event).unwrap();
        assert!(!text.contains(&secret), "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(parsed["redacted_by_tap"][0].as_str().unwrap().starts_with("github_token:1"), "{text}");
        let clean = r#"{"kind":"call"}"#.to_string();
        assert_eq!(redacted(&redactor, clean.clone()), Some(clean));
    }
}
