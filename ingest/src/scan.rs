//! One pass over the bytes of a JSON value: checks it against RFC 8259, finds its end, and notes the members of a
//! top-level object.
//!
//! Invariants
//! - Accepts exactly the values of RFC 8259 (tested against another parser), of any depth, without recursion: a value
//!   that is too deep or has too many keys still has an end, so that what follows it is not lost.
//! - Bytes over 0x7f are taken as parts of strings; whether they are UTF-8 is for the caller to check.
//! - A fault says where and what was expected, never what was found: the text is not redacted yet.

use std::borrow::Cow;
use std::ops::ControlFlow;

use schemas::limits::EVENT_KEYS_MAX;

use crate::unescape::unescape;

mod cursor;
mod nest;

pub(crate) use cursor::{Cursor, Fault, FaultKind};
use nest::Nest;

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Number,
    Bool,
    Null,
    Object,
    Array,
}

impl Kind {
    /// With its article, for messages.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
            Kind::Object => "an object",
            Kind::Array => "an array",
        }
    }
}

/// A range of bytes of the value, from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        Span { start: saturate(start), end: saturate(end) }
    }

    /// The text of this span.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

fn saturate(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// A value as it stands in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    /// Its text; of a string with its quotes.
    pub(crate) json: &'a str,
    /// What it is.
    pub(crate) kind: Kind,
    /// Whether it is a string with escapes.
    pub(crate) escaped: bool,
}

impl<'a> Value<'a> {
    /// A string without its quotes.
    pub(crate) fn inside(self) -> &'a str {
        self.json.get(1..self.json.len().saturating_sub(1)).unwrap_or_default()
    }

    /// The text that a string, a number or a boolean stands for.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::String if self.escaped => Some(unescape(self.inside())),
            Kind::String => Some(Cow::Borrowed(self.inside())),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.json)),
            Kind::Null | Kind::Object | Kind::Array => None,
        }
    }
}

/// One member of a top-level object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// The key, without its quotes.
    pub(crate) key: Span,
    /// Whether the key has escapes.
    pub(crate) key_escaped: bool,
    /// The whole value; of a string with its quotes.
    pub(crate) value: Span,
    /// What the value is.
    pub(crate) kind: Kind,
    /// Whether a string value has escapes.
    pub(crate) escaped: bool,
}

impl Member {
    /// The value, in the text that was scanned.
    #[inline]
    pub(crate) fn value<'a>(&self, text: &'a str) -> Value<'a> {
        Value { json: self.value.of(text), kind: self.kind, escaped: self.escaped }
    }
}

/// A complete value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Bytes of the value.
    pub(crate) end: usize,
    /// What it is.
    pub(crate) kind: Kind,
    /// Levels of objects and arrays, 0 for a scalar.
    pub(crate) depth: usize,
    /// Keys of a top-level object; only the first [`EVENT_KEYS_MAX`] are noted as members.
    pub(crate) keys: usize,
    /// Whether an escape names half of a surrogate pair: such a text has no UTF-8.
    pub(crate) has_lone_surrogate: bool,
}

/// Reads values; keeps its memory between them.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    members: Vec<Member>,
    nest: Nest,
}

impl Scanner {
    /// The members of the last value, if it was an object.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Reads the value at the first byte of `bytes`; what follows it is not looked at.
    pub(crate) fn value(&mut self, bytes: &[u8]) -> Result<Scanned, Fault> {
        self.members.clear();
        self.nest.clear();
        let mut cursor = Cursor::new(bytes);
        let mut keys = 0;
        let kind = if cursor.peek() == Some(b'{') {
            self.nest.push(true);
            cursor.bump();
            keys = self.object(&mut cursor)?;
            Kind::Object
        } else {
            skip(&mut cursor, &mut self.nest)?.0
        };
        Ok(Scanned {
            end: cursor.at(),
            kind,
            depth: self.nest.deepest(),
            keys,
            has_lone_surrogate: cursor.has_lone_surrogate(),
        })
    }

    /// Reads the members after `{`, and `}`; gives the number of keys.
    fn object(&mut self, cursor: &mut Cursor<'_>) -> Result<usize, Fault> {
        cursor.space();
        if cursor.peek() == Some(b'}') {
            cursor.bump();
            return Ok(0);
        }
        let mut keys = 0;
        loop {
            let (key_start, key_escaped) = cursor.key()?;
            let key = Span::new(key_start, cursor.at().saturating_sub(1));
            cursor.colon()?;
            let start = cursor.at();
            let (kind, escaped) = skip(cursor, &mut self.nest)?;
            keys += 1;
            if keys <= EVENT_KEYS_MAX {
                let value = Span::new(start, cursor.at());
                self.members.push(Member { key, key_escaped, value, kind, escaped });
            }
            cursor.space();
            match cursor.peek() {
                Some(b',') => {
                    cursor.bump();
                    cursor.space();
                }
                Some(b'}') => {
                    cursor.bump();
                    return Ok(keys);
                }
                _ => return Err(cursor.expected("`,` or `}`")),
            }
        }
    }
}

/// Whether `text` is one JSON value of any depth, white space around it allowed: what a reader would parse.
pub(crate) fn is_json(text: &str) -> bool {
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.space();
    if skip(&mut cursor, &mut Nest::default()).is_err() {
        return false;
    }
    cursor.space();
    cursor.peek().is_none()
}

/// Calls `each` with every item of the JSON array `json`, without quotes, and whether it has escapes. False as soon as
/// an item is not a string.
pub(crate) fn strings<'a>(json: &'a str, mut each: impl FnMut(&'a str, bool)) -> bool {
    let mut cursor = Cursor::new(json.as_bytes());
    cursor.bump();
    loop {
        cursor.space();
        match cursor.peek() {
            Some(b']') => return true,
            Some(b',') => cursor.bump(),
            Some(b'"') => {
                cursor.bump();
                let start = cursor.at();
                let Ok(escaped) = cursor.string() else { return false };
                each(Span::new(start, cursor.at().saturating_sub(1)).of(json), escaped);
            }
            _ => return false,
        }
    }
}

/// The whole of the checked JSON text `json`.
pub(crate) fn value(json: &str) -> Option<Value<'_>> {
    next(json, &mut Cursor::new(json.as_bytes()), &mut Nest::default())
}

/// Calls `each` with every member of the checked JSON object `json`: its key without quotes, whether that has escapes, and
/// its value. Ends early where `each` says so.
pub(crate) fn members<'a>(json: &'a str, mut each: impl FnMut(&'a str, bool, Value<'a>) -> ControlFlow<()>) {
    let mut cursor = Cursor::new(json.as_bytes());
    let mut nest = Nest::default();
    loop {
        cursor.bump();
        cursor.space();
        let Ok((key_start, key_escaped)) = cursor.key() else { return };
        let key = Span::new(key_start, cursor.at().saturating_sub(1)).of(json);
        if cursor.colon().is_err() {
            return;
        }
        let Some(value) = next(json, &mut cursor, &mut nest) else { return };
        if each(key, key_escaped, value).is_break() || cursor.peek() != Some(b',') {
            return;
        }
    }
}

/// Calls `each` with every item of the checked JSON array `json`, until it says to end.
pub(crate) fn items<'a>(json: &'a str, mut each: impl FnMut(usize, Value<'a>) -> ControlFlow<()>) {
    let mut cursor = Cursor::new(json.as_bytes());
    let mut nest = Nest::default();
    for at in 0.. {
        cursor.bump();
        cursor.space();
        let Some(value) = next(json, &mut cursor, &mut nest) else { return };
        if each(at, value).is_break() || cursor.peek() != Some(b',') {
            return;
        }
    }
}

/// The value at the cursor, and the cursor past it and the space behind.
fn next<'a>(json: &'a str, cursor: &mut Cursor<'_>, nest: &mut Nest) -> Option<Value<'a>> {
    let start = cursor.at();
    let (kind, escaped) = skip(cursor, nest).ok()?;
    let value = Value { json: Span::new(start, cursor.at()).of(json), kind, escaped };
    cursor.space();
    Some(value)
}

/// Passes over one value; gives what it is and whether it is a string with escapes.
fn skip(cursor: &mut Cursor<'_>, nest: &mut Nest) -> Result<(Kind, bool), Fault> {
    let kind = match cursor.peek() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        _ => return cursor.scalar(),
    };
    let floor = nest.depth();
    'value: loop {
        match cursor.peek() {
            Some(b'{') => {
                nest.push(true);
                cursor.bump();
                cursor.space();
                if cursor.peek() != Some(b'}') {
                    cursor.key()?;
                    cursor.colon()?;
                    continue 'value;
                }
            }
            Some(b'[') => {
                nest.push(false);
                cursor.bump();
                cursor.space();
                if cursor.peek() != Some(b']') {
                    continue 'value;
                }
            }
            _ => {
                cursor.scalar()?;
                cursor.space();
            }
        }
        // After a value, or before the end of an empty container: close what closes, until a comma asks for more.
        loop {
            match (cursor.peek(), nest.is_object()) {
                (Some(b','), is_object) => {
                    cursor.bump();
                    cursor.space();
                    if is_object {
                        cursor.key()?;
                        cursor.colon()?;
                    }
                    continue 'value;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    cursor.bump();
                    nest.pop();
                    if nest.depth() == floor {
                        return Ok((kind, false));
                    }
                    cursor.space();
                }
                (_, true) => return Err(cursor.expected("`,` or `}`")),
                (_, false) => return Err(cursor.expected("`,` or `]`")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
