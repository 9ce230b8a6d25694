//! Whom a signal is about, with identifiers of bounded length.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Longest identifier kept as it is, in bytes.
pub(crate) const IDENTIFIER_BYTES_MAX: usize = schemas::limits::ENGINE_IDENTIFIER_BYTES_MAX;
/// How much of a longer one is kept in front of its hash, in bytes.
const PREFIX_BYTES_MAX: usize = schemas::limits::ENGINE_PREFIX_BYTES_MAX;

/// Level of the lattice an entity lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Tenant,
    Principal,
    PrincipalTool,
    Tool,
    Source,
    Credential,
    Group,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Tenant => "tenant",
            Level::Principal => "principal",
            Level::PrincipalTool => "principal_tool",
            Level::Tool => "tool",
            Level::Source => "source",
            Level::Credential => "credential",
            Level::Group => "group",
        }
    }
}

/// One part of an entity: a column of `events` and its value there (`None` = null).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub column: String,
    pub value: Option<String>,
    /// The value was too long and stands as prefix and hash: it cannot be searched for.
    pub hashed: bool,
}

/// An entity: its level, its injective key in state, and its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entity {
    pub level: Level,
    pub key: String,
    pub name: String,
    pub parts: Vec<Part>,
}

impl Entity {
    pub fn new(level: Level, parts: &[(&str, Option<&str>)]) -> Entity {
        let values: Vec<Option<&str>> = parts.iter().map(|(_, value)| *value).collect();
        Entity {
            level,
            key: entity_key(parts),
            name: name_of(&values),
            parts: parts.iter().map(part).collect(),
        }
    }

    /// The tenant as a whole; it has no column, a log holds one tenant.
    pub fn tenant(tenant: &str) -> Entity {
        Entity {
            level: Level::Tenant,
            key: String::new(),
            name: bounded(tenant).into_owned(),
            parts: Vec::new(),
        }
    }

    pub fn observables(&self) -> Vec<String> {
        let known =
            self.parts.iter().filter_map(|part| part.value.as_ref().map(|value| (&part.column, value)));
        known.map(|(column, value)| format!("{column}={value}")).collect()
    }
}

fn part((column, value): &(&str, Option<&str>)) -> Part {
    let hashed = value.is_some_and(|value| value.len() > IDENTIFIER_BYTES_MAX);
    Part { column: (*column).to_owned(), value: value.map(|value| bounded(value).into_owned()), hashed }
}

fn name_of(values: &[Option<&str>]) -> String {
    let names: Vec<Cow<'_, str>> =
        values.iter().map(|value| value.map_or(Cow::Borrowed("unknown"), bounded)).collect();
    names.join("/")
}

/// Injective key of an entity in the state of one rule: column, length and value of each part, so that no
/// choice of identifiers makes two entities share a key.
pub(crate) fn entity_key(parts: &[(&str, Option<&str>)]) -> String {
    let mut key = String::with_capacity(64);
    for (column, value) in parts {
        push_part(&mut key, column, *value);
    }
    key
}

/// One part more of such a key. Rules make one with every record, so it does without the machinery of formatting.
pub(crate) fn push_part(key: &mut String, column: &str, value: Option<&str>) {
    key.push_str(column);
    if let Some(value) = value {
        let value = bounded(value);
        key.push('=');
        push_number(key, value.len());
        key.push(':');
        key.push_str(&value);
    }
    key.push(';');
}

fn push_number(key: &mut String, number: usize) {
    if number >= 10 {
        push_number(key, number / 10);
    }
    key.push(char::from(b'0' + (number % 10) as u8));
}

/// The identifier itself up to 128 bytes, else its first bytes and a 128-bit hash of all of it.
pub(crate) fn bounded(identifier: &str) -> Cow<'_, str> {
    if identifier.len() <= IDENTIFIER_BYTES_MAX {
        return Cow::Borrowed(identifier);
    }
    let digest = blake3::hash(identifier.as_bytes()).to_hex();
    let prefix = &identifier[..identifier.floor_char_boundary(PREFIX_BYTES_MAX)];
    Cow::Owned(format!("{prefix}...blake3:{}", &digest.as_str()[..32]))
}

/// Text from a record made fit for a sentence: control characters escaped, so that no identifier can forge a
/// line of its own in a terminal or a log.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_identifiers_are_hashed_and_stay_distinct() {
        let (one, two) = ("é".repeat(500_000), format!("{}x", "é".repeat(500_000)));
        assert!(bounded(&one).len() <= IDENTIFIER_BYTES_MAX);
        assert_ne!(bounded(&one), bounded(&two));
        assert_eq!(bounded(&"a".repeat(128)), "a".repeat(128));
    }

    #[test]
    fn keys_cannot_be_forged_by_separators() {
        let one = entity_key(&[("server", Some("a;capability=1:b")), ("capability", Some("c"))]);
        let two = entity_key(&[("server", Some("a")), ("capability", Some("b;capability=1:c"))]);
        assert_ne!(one, two);
        assert_ne!(entity_key(&[("server", None)]), entity_key(&[("server", Some(""))]));
    }

    #[test]
    fn a_key_is_column_length_and_value() {
        let long = "x".repeat(120);
        for value in ["", "a", "nine chars", &long] {
            let key = entity_key(&[("tool", Some(value)), ("server", None)]);
            assert_eq!(key, format!("tool={}:{value};server;", value.len()));
        }
    }

    #[test]
    fn sentences_hold_no_control_characters() {
        assert_eq!(printable("a\n\u{1b}[31mb"), "a\\n\\u{1b}[31mb");
    }
}
