//! One JSON value to the cell of one column.

use std::sync::LazyLock;

use schemas::Stream;
use schemas::column::ColumnType;
use schemas::vocabulary::{self, UNKNOWN, Vocabulary};

use super::time;
use crate::columns::place;
use crate::mapping::Use;
use crate::rejected::{Code, quoted};
use crate::scan::{self, Kind, Value};
use crate::unescape::unescape;

/// What a column will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// Nothing.
    Absent,
    /// A text.
    Text(&'a str),
    /// A text whose JSON escapes are still in it.
    Escaped(&'a str),
    /// A text that was put together here: its place among the event's own.
    Made(u32),
    /// An integer, or a time in microseconds.
    Int(i64),
    /// JSON text of an array of strings.
    List(&'a str),
}

/// A cell, and the JSON text to keep in `attributes` where the cell alone would not bring the value back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversion<'a> {
    pub(crate) cell: Cell<'a>,
    pub(crate) original: Option<&'a str>,
}

/// Why a value does not fit its column.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) expected: &'static str,
    pub(crate) found: String,
}

/// How a column takes JSON values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Text,
    TextOrNumber,
    Word(&'static Vocabulary),
    Int,
    Time,
    List,
    Json,
    /// No source fills it.
    Closed,
}

/// The mark in `attributes` of a text in `arguments` or `result` that would parse as JSON.
pub(crate) const STRING_MARK: &str = "\"string\"";

/// How the column at `at` takes values.
pub(crate) fn shape(at: usize) -> Shape {
    SHAPES.get(at).copied().unwrap_or(Shape::Closed)
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let columns = Stream::Events.columns().iter();
    let shape = |name: &str, kind| {
        if let Some(vocabulary) = vocabulary::ALL.into_iter().find(|vocabulary| vocabulary.column == name) {
            return Shape::Word(vocabulary);
        }
        match (name, kind) {
            ("event_id" | "request_id" | "error_code", _) => Shape::TextOrNumber,
            ("arguments" | "result", _) => Shape::Json,
            (_, ColumnType::Utf8) => Shape::Text,
            (_, ColumnType::Int64) => Shape::Int,
            (_, ColumnType::Timestamp) => Shape::Time,
            (_, ColumnType::ListUtf8) => Shape::List,
            (_, ColumnType::Binary | ColumnType::ListInt64 | ColumnType::MapUtf8) => Shape::Closed,
        }
    };
    columns.map(|column| shape(column.name, column.kind)).collect()
});

/// Converts the value of `member`, which is not null, for the column at `at`.
#[inline]
pub(crate) fn convert<'a>(at: usize, how: Use, value: Value<'a>) -> Result<Conversion<'a>, Problem> {
    let json = value.json;
    let shape = shape(at);
    let plain = |cell| Ok(Conversion { cell, original: None });
    match (shape, value.kind) {
        // An empty id identifies nothing: the recorder makes one.
        (Shape::Text | Shape::TextOrNumber, Kind::String) if json.len() == 2 && is_id(at) => {
            Ok(Conversion { cell: Cell::Absent, original: Some(json) })
        }
        (Shape::Text | Shape::TextOrNumber, Kind::String) => plain(string(value)),
        (Shape::TextOrNumber, Kind::Number) => {
            Ok(Conversion { cell: Cell::Text(json), original: Some(json) })
        }
        (Shape::Word(vocabulary), Kind::String) => Ok(word(vocabulary, value)),
        (Shape::Int, Kind::Number | Kind::String) => int(how, value),
        (Shape::Time, Kind::Number | Kind::String) => instant(value),
        (Shape::List, Kind::Array) if scan::strings(json, |_, _| {}) => plain(Cell::List(json)),
        (Shape::Json, Kind::String) => {
            let cell = string(value);
            let original = would_parse(value.inside()).then_some(STRING_MARK);
            Ok(Conversion { cell, original })
        }
        (Shape::Json, _) => plain(Cell::Text(json)),
        _ => Err(bad_type(shape.expected(), value.kind, json)),
    }
}

fn is_id(at: usize) -> bool {
    at == place::EVENT_ID || at == place::SESSION_ID
}

impl Shape {
    fn expected(self) -> &'static str {
        match self {
            Shape::Text | Shape::Word(_) => "a string",
            Shape::TextOrNumber => "a string or a number",
            Shape::Int => "an integer of 64 bits",
            Shape::Time => "a time",
            Shape::List => "an array of strings",
            Shape::Json | Shape::Closed => "no value from a source",
        }
    }
}

#[cold]
fn bad_type(expected: &'static str, kind: Kind, json: &str) -> Problem {
    let found = match kind {
        Kind::Number | Kind::String => format!("{} {}", kind.phrase(), quoted(json.trim_matches('"'))),
        Kind::Array if expected == Shape::List.expected() => "an array with other items".to_string(),
        _ => kind.phrase().to_string(),
    };
    Problem { code: Code::BadType, expected, found }
}

fn string(value: Value<'_>) -> Cell<'_> {
    let inside = value.inside();
    if value.escaped { Cell::Escaped(inside) } else { Cell::Text(inside) }
}

/// A word of a vocabulary; a spelling that is not the canonical one is kept beside.
fn word<'a>(vocabulary: &Vocabulary, value: Value<'a>) -> Conversion<'a> {
    let inside = value.inside();
    let decoded = if value.escaped { unescape(inside) } else { inside.into() };
    let canonical = vocabulary.canonical(&decoded).unwrap_or(UNKNOWN);
    let original = (canonical != decoded).then_some(value.json);
    Conversion { cell: Cell::Text(canonical), original }
}

fn int(how: Use, value: Value<'_>) -> Result<Conversion<'_>, Problem> {
    let json = value.json;
    let is_string = value.kind == Kind::String;
    let number = if is_string { value.inside() } else { json };
    let wrong = || bad_type(Shape::Int.expected(), value.kind, json);
    if is_decimal(number)
        && let Ok(value) = number.parse::<i64>()
    {
        let value = if how == Use::Milliseconds { value.checked_mul(1000).ok_or_else(wrong)? } else { value };
        let is_same = !is_string && number != "-0";
        return Ok(Conversion { cell: Cell::Int(value), original: (!is_same).then_some(json) });
    }
    if how == Use::Milliseconds && !is_string && !is_decimal(number) {
        let us = number.parse::<f64>().ok().and_then(|ms| time::to_i64((ms * 1000.0).round()));
        let us = us.ok_or_else(wrong)?;
        let is_same = milliseconds(us) == number;
        return Ok(Conversion { cell: Cell::Int(us), original: (!is_same).then_some(json) });
    }
    Err(wrong())
}

/// Whether `number` is an optional minus and digits without a leading zero.
pub(crate) fn is_decimal(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number).as_bytes();
    match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Microseconds as a decimal number of milliseconds, without trailing zeros.
fn milliseconds(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let (whole, rest) = (us.unsigned_abs() / 1000, us.unsigned_abs() % 1000);
    let fraction = format!("{rest:03}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

fn instant(value: Value<'_>) -> Result<Conversion<'_>, Problem> {
    let json = value.json;
    let found = match value.kind {
        Kind::String if value.escaped => time::from_text(&unescape(value.inside())),
        Kind::String => time::from_text(value.inside()),
        _ => time::from_number(json),
    };
    let time::Instant { us, is_plain } = found.ok_or_else(|| Problem {
        code: Code::BadTime,
        expected: "RFC 3339 with an offset, or an epoch number, of the years 0 to 9999",
        found: quoted(json.trim_matches('"')),
    })?;
    Ok(Conversion { cell: Cell::Int(us), original: (!is_plain).then_some(json) })
}

/// Whether the text that `raw` stands for would parse as JSON.
fn would_parse(raw: &str) -> bool {
    let first = raw.trim_start_matches([' ', '\n', '\r', '\t']).as_bytes().first();
    match first {
        Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'\\') => {
            scan::is_json(&unescape(raw))
        }
        _ => false,
    }
}
