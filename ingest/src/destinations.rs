//! Where a call sends things: recipients, addresses, paths and accounts among its arguments, as keyed fingerprints.
//!
//! One item is `tool:argument:class:fingerprint`; a URL gives one for itself and one for its host. Equal values of a tenant have
//! equal fingerprints, and nobody without its key can guess them.

use std::ops::ControlFlow;

use redact::Redactor;
use schemas::limits::{DESTINATIONS_DEPTH_MAX, DESTINATIONS_MAX};

use crate::scan::{self, Kind, Value};
use crate::unescape::unescape;

/// Names of arguments, in lower case, and the class of what they hold.
const CLASSES: [(&str, &[&str]); 4] = [
    ("recipient", &["to", "cc", "bcc", "recipient", "recipients", "email", "emails", "channel", "phone"]),
    ("url", &["url", "urls", "uri", "href", "endpoint", "webhook", "webhook_url", "callback_url"]),
    ("path", &["path", "paths", "file", "filename", "file_path", "filepath", "directory", "folder"]),
    ("account", &["account", "account_id", "account_number", "iban", "wallet", "beneficiary"]),
];

/// The destinations among `arguments`, JSON text already redacted, of a call of `tool`: what the column `destinations` of its
/// event holds, at most [`DESTINATIONS_MAX`] items. None where the text is no object.
pub fn of(tool: &str, arguments: &str, redactor: &Redactor) -> Vec<String> {
    let mut found = Found { tool, redactor, items: Vec::new() };
    if arguments.starts_with('{') {
        found.members(arguments, 0);
    }
    found.items
}

struct Found<'a> {
    tool: &'a str,
    redactor: &'a Redactor,
    items: Vec<String>,
}

impl Found<'_> {
    fn members(&mut self, object: &str, depth: usize) {
        scan::members(object, |key, escaped, value| {
            let key = if escaped { unescape(key) } else { key.into() };
            self.value(&key, value, depth);
            if self.items.len() < DESTINATIONS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }

    fn value(&mut self, key: &str, value: Value<'_>, depth: usize) {
        match value.kind {
            Kind::Object if depth < DESTINATIONS_DEPTH_MAX => self.members(value.json, depth + 1),
            Kind::Array if depth < DESTINATIONS_DEPTH_MAX => scan::items(value.json, |_, item| {
                self.value(key, item, depth + 1);
                if self.items.len() < DESTINATIONS_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            }),
            Kind::String | Kind::Number => {
                let Some(text) = value.text().filter(|text| !text.is_empty()) else { return };
                match class(key, &text) {
                    Some("url") => {
                        self.item(key, "url", &text);
                        if let Some(host) = host(&text) {
                            self.item(key, "host", &host.to_ascii_lowercase());
                        }
                    }
                    Some(class) => self.item(key, class, &text),
                    None => {}
                }
            }
            _ => {}
        }
    }

    fn item(&mut self, key: &str, class: &str, text: &str) {
        self.items.push(format!("{}:{key}:{class}:{}", self.tool, self.redactor.fingerprint(class, text)));
    }
}

fn class(key: &str, text: &str) -> Option<&'static str> {
    if host(text).is_some() {
        return Some("url");
    }
    let named = CLASSES.iter().find(|(_, keys)| keys.iter().any(|known| known.eq_ignore_ascii_case(key)));
    named.map(|(class, _)| *class)
}

/// The host of a URL with a scheme.
fn host(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    let authority = rest.split(['/', '?', '#']).next().filter(|_| is_scheme)?;
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(address),
        None => host.split(':').next().unwrap_or(host),
    };
    Some(host).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(arguments: &str) -> Vec<String> {
        let items = of("send", arguments, &Redactor::new([7; 32]));
        items.iter().map(|item| item.rsplit_once(':').unwrap().0.to_string()).collect()
    }

    #[test]
    fn arguments_that_name_a_destination_are_found() {
        let arguments = r#"{"to":["a@x.example","b@x.example"],"body":"see https","link":"https://User@Evil.example:8443/a?b","opt":{"file_path":"/etc/passwd"},"account":42,"n":1,"cc":""}"#;
        assert_eq!(
            classes(arguments),
            [
                "send:to:recipient",
                "send:to:recipient",
                "send:link:url",
                "send:link:host",
                "send:file_path:path",
                "send:account:account"
            ]
        );
        assert!(classes("[\"a\"]").is_empty() && classes("text").is_empty());
    }

    #[test]
    fn fingerprints_are_the_tenant_s_and_hide_the_value() {
        let of = |url: &str, key| of("t", &format!("{{\"url\":\"{url}\"}}"), &Redactor::new([key; 32]));
        let (one, again, other) =
            (of("https://a.example/1", 1), of("https://a.example/1", 1), of("https://a.example/1", 2));
        assert!(one == again && one != other && !one.join(" ").contains("a.example"));
        let same_host = of("https://A.example/2", 1);
        assert!(one[0] != same_host[0] && one[1] == same_host[1]);
    }

    #[test]
    fn they_are_bounded() {
        let many: Vec<String> = (0..DESTINATIONS_MAX + 5).map(|n| format!("\"p{n}\"")).collect();
        assert_eq!(
            classes(&format!("{{\"path\":[{}],\"to\":\"x\"}}", many.join(","))).len(),
            DESTINATIONS_MAX
        );
        let deep = "{\"a\":".repeat(DESTINATIONS_DEPTH_MAX + 1)
            + "{\"to\":\"x\"}"
            + &"}".repeat(DESTINATIONS_DEPTH_MAX + 1);
        assert!(classes(&deep).is_empty());
        assert_eq!(classes(&deep[5..deep.len() - 1]).len(), 1);
    }
}
