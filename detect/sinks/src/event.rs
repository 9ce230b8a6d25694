//! A row of the `events` stream, as it is delivered: the entry side, never a payload.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use schemas::{Column, ColumnType, Stream};

use crate::Result;
use crate::rows::{Cells, Table};

/// The columns to read, for `store::Entries`: every entry column of the stream, in its order.
pub static COLUMNS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Stream::Events.entry_columns().map(|column| column.name).collect());

/// A value that is not null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An integer in the column's unit.
    Int(i64),
    /// Microseconds UTC.
    Time(i64),
    /// A text; bytes are one of hex digits.
    Text(String),
    /// A list with at least one text.
    Texts(Vec<String>),
}

/// One record of what an agent did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Origin of the log that the row is in.
    pub log: String,
    /// Index there.
    pub log_index: u64,
    /// When it was recorded, microseconds UTC.
    pub ingest_time_us: i64,
    /// When it began, at its observer, microseconds UTC.
    pub time_us: i64,
    /// The source's id of it, or the recorder's.
    pub event_id: String,
    /// Whose it is.
    pub tenant: String,
    /// One of `schemas::vocabulary::KIND`.
    pub kind: String,
    /// Collector, credential, mapping and its version.
    pub source: String,
    /// The session.
    pub session_id: String,
    /// The policy decision.
    pub decision: String,
    /// The outcome.
    pub status: String,
    /// Every other entry column that has a value, in the stream's order.
    columns: Vec<(&'static str, Value)>,
}

/// Columns that are fields of [`Event`], or only the writer's.
const APART: [&str; 11] = [
    "log_index",
    "ingest_time",
    "time",
    "event_id",
    "tenant",
    "kind",
    "source",
    "session_id",
    "decision",
    "status",
    "control",
];

impl Event {
    /// The rows of a batch of the log `log`, in order. An entry of the recorder's own is `None`, as in [`crate::Alert::read`].
    ///
    /// # Errors
    /// [`crate::Error::Row`] for a row without what every event has.
    pub fn read(log: &str, batch: &RecordBatch) -> Result<Vec<Option<Event>>> {
        let schema = batch.schema();
        let table = Table::new(log, batch, &schema);
        table.rows().map(|cells| Event::row(log, &cells?)).collect()
    }

    fn row(log: &str, cells: &Cells<'_>) -> Result<Option<Event>> {
        if cells.text_option("control")?.is_some() {
            return Ok(None);
        }
        let text = |name: &str| cells.text(name).map(str::to_owned);
        let mut columns = Vec::new();
        for column in Stream::Events.entry_columns().filter(|column| !APART.contains(&column.name)) {
            columns.extend(value(cells, column)?.map(|value| (column.name, value)));
        }
        let event = Event {
            log: log.to_owned(),
            log_index: cells.index()?,
            ingest_time_us: cells.int("ingest_time")?,
            time_us: cells.int("time")?,
            event_id: text("event_id")?,
            tenant: text("tenant")?,
            kind: text("kind")?,
            source: text("source")?,
            session_id: text("session_id")?,
            decision: text("decision")?,
            status: text("status")?,
            columns,
        };
        Ok(Some(event))
    }

    /// Every entry column that is no field of its own and has a value, in the stream's order.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.columns.iter().map(|(name, value)| (*name, value))
    }

    fn column(&self, name: &str) -> Option<&Value> {
        self.columns().find(|(column, _)| *column == name).map(|(_, value)| value)
    }

    /// A column of text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.column(name) {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Int(_) | Value::Time(_) | Value::Texts(_)) | None => None,
        }
    }

    /// A column of integers or times.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.column(name) {
            Some(Value::Int(int) | Value::Time(int)) => Some(*int),
            Some(Value::Text(_) | Value::Texts(_)) | None => None,
        }
    }
}

fn value(cells: &Cells<'_>, column: &Column) -> Result<Option<Value>> {
    let name = column.name;
    Ok(match column.kind {
        ColumnType::Int64 => cells.int_option(name)?.map(Value::Int),
        ColumnType::Timestamp => cells.int_option(name)?.map(Value::Time),
        ColumnType::Utf8 => cells.text_option(name)?.map(|text| Value::Text(text.to_owned())),
        ColumnType::Binary => cells.hex_option(name)?.map(Value::Text),
        ColumnType::ListUtf8 => Some(cells.texts(name)?).filter(|texts| !texts.is_empty()).map(Value::Texts),
        ColumnType::ListInt64 | ColumnType::MapUtf8 => {
            return Err(cells.error(format!("column {name} is of a type that no event has")));
        }
    })
}
