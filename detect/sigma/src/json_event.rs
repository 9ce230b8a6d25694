//! An event as a JSON object of column names: for examples beside rules, and for events that somebody brings in a file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemas::{Column, ColumnType, Stream};
use serde_json::{Map, Value as Json};

use crate::column::{Fields, Value};
use crate::nearest::nearest;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Text(String),
    Number(i64),
    List(Vec<String>),
}

/// One event read from JSON. Timestamps are microseconds UTC or RFC 3339.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonEvent {
    cells: BTreeMap<u16, Cell>,
}

impl JsonEvent {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<JsonEvent, String> {
        let value: Json = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
        match value {
            Json::Object(object) => JsonEvent::of(&object),
            _ => Err("no JSON object: write one event a line".to_owned()),
        }
    }

    /// Reads an object; keys must be columns of `events`.
    pub(crate) fn of(object: &Map<String, Json>) -> Result<JsonEvent, String> {
        let mut event = JsonEvent::default();
        for (key, json) in object {
            let Some(column) = Stream::Events.column(key) else {
                let near = nearest(key, Stream::Events.columns().iter().map(|column| column.name));
                let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                return Err(format!("`{key}` is no column of `events`{hint}"));
            };
            if let Some(cell) = cell(column, json).map_err(|what| format!("`{key}`: {what}"))? {
                event.cells.insert(column.id, cell);
            }
        }
        Ok(event)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.cells.get(&Stream::Events.column(name)?.id) {
            Some(Cell::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Sets a number column if the event has none.
    pub(crate) fn set_missing_number(&mut self, name: &str, number: i64) {
        if let Some(column) = Stream::Events.column(name) {
            self.cells.entry(column.id).or_insert(Cell::Number(number));
        }
    }
}

fn cell(column: &Column, json: &Json) -> Result<Option<Cell>, String> {
    let cell = match (column.kind, json) {
        (_, Json::Null) => return Ok(None),
        (ColumnType::Int64 | ColumnType::Timestamp, Json::Number(number)) => {
            Cell::Number(number.as_i64().ok_or("no whole number of 64 bits")?)
        }
        (ColumnType::Timestamp, Json::String(text)) => {
            // Exports of other programs leave the zone out; the columns are UTC.
            let zoned = text.parse::<jiff::Timestamp>();
            let time = zoned.or_else(|error| format!("{text}Z").parse().map_err(|_| error));
            Cell::Number(time.map_err(|error| error.to_string())?.as_microsecond())
        }
        (ColumnType::Utf8, Json::String(text)) => Cell::Text(text.clone()),
        (ColumnType::ListUtf8, Json::Array(items)) => {
            let items =
                items.iter().map(|item| item.as_str().map(str::to_owned).ok_or("a list of texts is wanted"));
            Cell::List(items.collect::<Result<_, _>>()?)
        }
        // No rule sees these.
        (ColumnType::MapUtf8 | ColumnType::Binary | ColumnType::ListInt64, _) => return Ok(None),
        (ColumnType::Int64, _) => return Err("a number is wanted".to_owned()),
        (ColumnType::Timestamp, _) => return Err("microseconds or RFC 3339 are wanted".to_owned()),
        (ColumnType::Utf8, _) => return Err("a text is wanted".to_owned()),
        (ColumnType::ListUtf8, _) => return Err("a list of texts is wanted".to_owned()),
    };
    Ok(Some(cell))
}

impl Fields for JsonEvent {
    fn value(&self, column: &'static Column) -> Value<'_> {
        match self.cells.get(&column.id) {
            None => Value::Null,
            Some(Cell::Text(text)) => Value::Text(text),
            Some(Cell::Number(number)) => Value::Number(*number),
            Some(Cell::List(items)) => Value::List(Cow::Owned(items.iter().map(String::as_str).collect())),
        }
    }
}
