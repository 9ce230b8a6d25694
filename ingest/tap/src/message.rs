//! JSON-RPC messages, read as far as they are needed and no further.
//!
//! A key that stands twice means its last value, as it does to most parsers: otherwise a message could be one thing to the
//! server and another to the record. That it stood twice is said.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use schemas::limits::{TAP_BATCH_MESSAGES_MAX, TAP_KEY_BYTES_MAX};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in order.
#[derive(Debug, Clone, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Of the object `json`; none if it is none.
    pub fn of(json: &'a str) -> Option<Members<'a>> {
        serde_json::from_str(json).ok()
    }

    /// The JSON text of the last value under `key`; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.members.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| value.get()).filter(|value| *value != "null")
    }

    /// The value under `key`, if it is a string.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(text)
    }

    /// Each key once, with its last value, in the order of the keys.
    pub fn last_values(&self) -> BTreeMap<&str, &'a str> {
        self.members.iter().map(|(key, value)| (key.as_ref(), value.get())).collect()
    }

    /// The object under `key`.
    pub fn object(&self, key: &str) -> Option<Members<'a>> {
        self.get(key).and_then(Members::of)
    }

    /// Whether a key stands twice.
    pub fn has_repeated(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.members.len());
        self.members.iter().any(|(key, _)| !seen.insert(key.as_ref()))
    }
}

/// The string that `json` is. Half of a surrogate pair becomes a replacement character.
pub fn text(json: &str) -> Option<String> {
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str::<String>(json).ok().or_else(|| {
        let bytes: Result<serde_bytes_of_string::Lossy, _> = serde_json::from_str(json);
        bytes.ok().map(|lossy| lossy.0)
    })
}

/// serde_json gives a string with half a surrogate pair to whoever asks for bytes.
mod serde_bytes_of_string {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Visitor};

    pub(super) struct Lossy(pub(super) String);

    impl<'de> Deserialize<'de> for Lossy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lossy, D::Error> {
            struct Bytes;
            impl Visitor<'_> for Bytes {
                type Value = Lossy;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a string")
                }

                fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Lossy, E> {
                    Ok(Lossy(String::from_utf8_lossy(bytes).into_owned()))
                }
            }
            deserializer.deserialize_bytes(Bytes)
        }
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'a>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_string())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key, value));
                }
                Ok(Members { members })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// What stands for `text` where it is held to be found again: itself, or the hash of a long one.
pub fn key(text: &str) -> Cow<'_, str> {
    if text.len() <= TAP_KEY_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("blake3:{}", blake3::hash(text.as_bytes()).to_hex()))
}

/// The id of a request: a string and a number of the same characters are two ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// A string.
    Text(String),
    /// A number, as it is written.
    Number(String),
    /// The hash of a long one, as it is written.
    Long(String),
}

impl Id {
    /// Of the JSON text `json`.
    pub fn of(json: &str) -> Option<Id> {
        match json.bytes().next()? {
            b'"' | b'-' | b'0'..=b'9' if json.len() > TAP_KEY_BYTES_MAX => {
                Some(Id::Long(key(json).into_owned()))
            }
            b'"' => text(json).map(Id::Text),
            b'-' | b'0'..=b'9' => Some(Id::Number(json.to_string())),
            _ => None,
        }
    }

    /// As an event says it.
    pub fn as_text(&self) -> &str {
        match self {
            Id::Text(text) | Id::Number(text) | Id::Long(text) => text,
        }
    }

    /// The number that some peers make of it: `"1"`, `1` and `1.0` are one id to who converts ids before looking them up.
    pub fn number(&self) -> Option<f64> {
        let (Id::Text(text) | Id::Number(text)) = self else { return None };
        let is_decimal =
            text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
        text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
    }
}

/// One message.
#[derive(Debug, Clone)]
pub enum Message<'a> {
    /// Wants a reply.
    Request {
        /// Its id.
        id: Id,
        /// What is asked for.
        method: String,
        /// With what.
        params: Params<'a>,
    },
    /// Wants none.
    Notification {
        /// What is told.
        method: String,
        /// With what.
        params: Params<'a>,
    },
    /// Answers a request.
    Reply {
        /// Of the request; none where an error belongs to no request.
        id: Option<Id>,
        /// What came of it.
        outcome: Outcome<'a>,
        /// Whether a key of the message or of its result stands twice.
        has_repeated: bool,
    },
}

/// Parameters: the JSON text, and its members if it is an object.
#[derive(Debug, Clone, Default)]
pub struct Params<'a> {
    /// The whole.
    pub json: Option<&'a str>,
    /// Its members.
    pub members: Members<'a>,
    /// `_meta` in it.
    pub meta: Members<'a>,
    /// Whether a key of the message or of the parameters stands twice.
    pub has_repeated: bool,
}

/// JSON text of a reply's `result` or `error`.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// `result`.
    Result(&'a str),
    /// `error`.
    Error(&'a str),
}

/// The messages of a line.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// One, or those of a batch up to the limit of one batch, each with its bytes.
    pub messages: Vec<(Message<'a>, usize)>,
    /// Whether all of the line that was read is JSON-RPC.
    pub is_whole: bool,
    /// Parts of a batch beyond its limit, which were not read.
    pub beyond: usize,
}

/// Reads a line.
pub fn parse(line: &str) -> Parsed<'_> {
    let line = line.trim();
    if !line.starts_with('[') {
        let message = one(line).map(|message| (message, line.len()));
        let is_whole = message.is_some();
        return Parsed { messages: message.into_iter().collect(), is_whole, beyond: 0 };
    }
    let Ok(batch) = serde_json::from_str::<Vec<&RawValue>>(line) else { return Parsed::default() };
    let beyond = batch.len().saturating_sub(TAP_BATCH_MESSAGES_MAX);
    let mut parsed = Parsed { messages: Vec::new(), is_whole: !batch.is_empty(), beyond };
    for part in batch.into_iter().take(TAP_BATCH_MESSAGES_MAX) {
        match one(part.get()) {
            Some(message) => parsed.messages.push((message, part.get().len())),
            None => parsed.is_whole = false,
        }
    }
    parsed
}

fn one(json: &str) -> Option<Message<'_>> {
    let members = Members::of(json)?;
    let id = members.get("id").and_then(Id::of);
    if let Some(method) = members.text("method") {
        let json = members.get("params");
        let inner = json.and_then(Members::of).unwrap_or_default();
        let meta = inner.object("_meta").unwrap_or_default();
        let has_repeated = members.has_repeated() || inner.has_repeated();
        let params = Params { json, members: inner, meta, has_repeated };
        return Some(match id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        });
    }
    let outcome = match (members.get("error"), members.get("result")) {
        (Some(error), _) => Outcome::Error(error),
        (None, Some(result)) => Outcome::Result(result),
        // `"result": null` is a result.
        (None, None) if members.members.iter().any(|(key, _)| key == "result") => Outcome::Result("null"),
        (None, None) => return None,
    };
    let inner = members.object("result").unwrap_or_default();
    let has_repeated = members.has_repeated() || inner.has_repeated();
    Some(Message::Reply { id, outcome, has_repeated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(line: &str) -> (Vec<&'static str>, bool) {
        let Parsed { messages, is_whole, .. } = parse(line);
        let kind = |message: &Message<'_>| match message {
            Message::Request { .. } => "request",
            Message::Notification { .. } => "notification",
            Message::Reply { outcome: Outcome::Result(_), .. } => "result",
            Message::Reply { outcome: Outcome::Error(_), .. } => "error",
        };
        (messages.iter().map(|(message, _)| kind(message)).collect(), is_whole)
    }

    #[test]
    fn messages_are_told_apart() {
        for (line, kind) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request"),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[1]}"#, "request"),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "notification"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, "notification"),
            (r#"{"id":1,"result":null}"#, "result"),
            (r#" {"result":{},"id":1} "#, "result"),
            (r#"{"id":null,"error":{"code":-32700}}"#, "error"),
        ] {
            assert_eq!(kinds(line), (vec![kind], true), "{line}");
        }
        for line in ["", "7", "{}", "{\"id\":1}", "{\"method\":1}", "\u{1}", "[]", "[1", "{\"result\":1} x"] {
            assert_eq!(kinds(line), (vec![], false), "{line}");
        }
        let batch = r#"[{"id":1,"method":"a"},{"id":2,"result":1},3]"#;
        assert_eq!(kinds(batch), (vec!["request", "result"], false));
    }

    #[test]
    fn the_last_of_two_equal_keys_holds_and_odd_texts_are_read() {
        let Parsed { messages, .. } =
            parse(r#"{"id":1,"method":"a","m\u0065thod":"tools/call","params":{"x":1,"x":2}}"#);
        let [(Message::Request { method, params, .. }, _)] = messages.as_slice() else { panic!() };
        assert_eq!((method.as_str(), params.members.get("x")), ("tools/call", Some("2")));
        assert!(params.has_repeated);
        assert_eq!(text(r#""a\u0041\ud83d\ude00""#).unwrap(), "aA\u{1f600}");
        assert!(text(r#""a\ud800b""#).unwrap().starts_with('a'));
        assert_eq!(text("1"), None);
        assert_ne!(Id::of("1"), Id::of("\"1\""));
        assert_eq!(Id::of("\"\\u0031\""), Id::of("\"1\""));
        for line in [r#"{"id":1,"id":2,"result":{}}"#, r#"{"id":1,"result":{"a":1,"a":2}}"#] {
            let Parsed { messages, .. } = parse(line);
            assert!(
                matches!(messages.as_slice(), [(Message::Reply { has_repeated: true, .. }, _)]),
                "{line}"
            );
        }
    }

    #[test]
    fn ids_are_one_number_only_where_they_are_decimal() {
        let number = |json: &str| Id::of(json).unwrap().number();
        for json in ["1", "\"1\"", "1.0", "1e0", "\"1.0\""] {
            assert_eq!(number(json), Some(1.0), "{json}");
        }
        for json in ["\"\"", "\"inf\"", "\"NaN\"", "\"a1\"", "1e999", "\" 1\""] {
            assert_eq!(number(json), None, "{json}");
        }
        let long = format!("\"{}\"", "x".repeat(TAP_KEY_BYTES_MAX));
        let id = Id::of(&long).unwrap();
        assert!(matches!(&id, Id::Long(hash) if hash.len() < 100) && id == Id::of(&long).unwrap());
        assert_ne!(Some(id), Id::of(&long.replacen('x', "y", 1)));
    }
}
