//! Rows to Arrow: builders that take canonical value bytes, so that whatever is read back from the
//! write-ahead files or made by the recorder itself passes the same checks as what is hashed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema};

use crate::column::{Column, ColumnType};
use crate::entry::{FieldReader, value};
use crate::stream::{LOG_INDEX, Stream};
use crate::{Error, Result};

/// One row under construction: field id to canonical value bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    fields: BTreeMap<u16, Vec<u8>>,
}

impl Row {
    /// A row without values.
    pub fn new() -> Row {
        Row::default()
    }

    /// Sets an integer or a time in microseconds.
    pub fn int(mut self, id: u16, value: i64) -> Row {
        self.fields.insert(id, value.to_be_bytes().to_vec());
        self
    }

    /// Sets an integer or a time where there is one.
    pub fn int_option(self, id: u16, value: Option<i64>) -> Row {
        match value {
            Some(value) => self.int(id, value),
            None => self,
        }
    }

    /// Sets a text.
    pub fn text(mut self, id: u16, value: &str) -> Row {
        self.fields.insert(id, value.as_bytes().to_vec());
        self
    }

    /// Sets a text where there is one.
    pub fn text_option(self, id: u16, value: Option<&str>) -> Row {
        match value {
            Some(value) => self.text(id, value),
            None => self,
        }
    }

    /// Sets bytes.
    pub fn bytes(mut self, id: u16, value: &[u8]) -> Row {
        self.fields.insert(id, value.to_vec());
        self
    }

    /// Sets a list of texts; an empty list is left null.
    pub fn texts<S: AsRef<str>>(mut self, id: u16, items: &[S]) -> Row {
        if !items.is_empty() {
            let mut out = Vec::new();
            value::list(items.iter().map(|item| item.as_ref().as_bytes()), &mut out);
            self.fields.insert(id, out);
        }
        self
    }

    /// Sets a list of integers; an empty list is left null.
    pub fn ints(mut self, id: u16, items: &[i64]) -> Row {
        if !items.is_empty() {
            let bytes: Vec<[u8; 8]> = items.iter().map(|item| item.to_be_bytes()).collect();
            let mut out = Vec::new();
            value::list(bytes.iter().map(<[u8; 8]>::as_slice), &mut out);
            self.fields.insert(id, out);
        }
        self
    }
}

/// Builds one column from canonical value bytes.
#[derive(Debug)]
pub struct ColumnBuilder {
    column: &'static Column,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Int64(Int64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Utf8(StringBuilder),
    Binary(BinaryBuilder),
    ListUtf8(ListBuilder<StringBuilder>),
    ListInt64(ListBuilder<Int64Builder>),
    MapUtf8(MapBuilder<StringBuilder, StringBuilder>),
}

impl ColumnBuilder {
    /// An empty builder for `column`.
    pub fn new(column: &'static Column) -> ColumnBuilder {
        let values = match column.kind {
            ColumnType::Int64 => Values::Int64(Int64Builder::new()),
            ColumnType::Timestamp => {
                Values::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            ColumnType::Utf8 => Values::Utf8(StringBuilder::new()),
            ColumnType::Binary => Values::Binary(BinaryBuilder::new()),
            ColumnType::ListUtf8 => {
                Values::ListUtf8(ListBuilder::new(StringBuilder::new()).with_field(Field::new(
                    "element",
                    DataType::Utf8,
                    false,
                )))
            }
            ColumnType::ListInt64 => {
                Values::ListInt64(ListBuilder::new(Int64Builder::new()).with_field(Field::new(
                    "element",
                    DataType::Int64,
                    false,
                )))
            }
            ColumnType::MapUtf8 => {
                let names = MapFieldNames {
                    entry: "key_value".to_string(),
                    key: "key".to_string(),
                    value: "value".to_string(),
                };
                Values::MapUtf8(
                    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
                        .with_values_field(Field::new("value", DataType::Utf8, false)),
                )
            }
        };
        ColumnBuilder { column, values }
    }

    /// The column being built.
    pub fn column(&self) -> &'static Column {
        self.column
    }

    /// Appends a null.
    pub fn append_null(&mut self) {
        match &mut self.values {
            Values::Int64(b) => b.append_null(),
            Values::Timestamp(b) => b.append_null(),
            Values::Utf8(b) => b.append_null(),
            Values::Binary(b) => b.append_null(),
            Values::ListUtf8(b) => b.append_null(),
            Values::ListInt64(b) => b.append_null(),
            Values::MapUtf8(b) => {
                // A map builder refuses only unequal counts of keys and values; here there are none.
                let appended = b.append(false);
                debug_assert!(appended.is_ok(), "no keys and no values were pending");
            }
        }
    }

    /// Appends the value that `bytes` encode.
    ///
    /// # Errors
    /// [`Error::Malformed`] when they do not encode a value of the column's type, [`Error::TooLarge`] past its
    /// cap. Nothing was appended then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let column = self.column;
        if bytes.len() > column.bytes_max {
            return Err(Error::TooLarge {
                what: column.name,
                actual: bytes.len() as u64,
                limit: column.bytes_max as u64,
            });
        }
        match &mut self.values {
            Values::Int64(b) => b.append_value(value::int(column.name, bytes)?),
            Values::Timestamp(b) => b.append_value(value::int(column.name, bytes)?),
            Values::Utf8(b) => b.append_value(value::text(column.name, bytes)?),
            Values::Binary(b) => b.append_value(bytes),
            Values::ListUtf8(b) => {
                let items: Vec<&str> = value::items(column.name, bytes)?
                    .map(|item| value::text(column.name, item?))
                    .collect::<Result<_>>()?;
                items.into_iter().for_each(|item| b.values().append_value(item));
                b.append(true);
            }
            Values::ListInt64(b) => {
                let items: Vec<i64> = value::items(column.name, bytes)?
                    .map(|item| value::int(column.name, item?))
                    .collect::<Result<_>>()?;
                items.into_iter().for_each(|item| b.values().append_value(item));
                b.append(true);
            }
            Values::MapUtf8(b) => {
                for (key, text) in value::pairs(column.name, bytes)? {
                    b.keys().append_value(key);
                    b.values().append_value(text);
                }
                b.append(true).map_err(|error| Error::malformed(column.name, error.to_string()))?;
            }
        }
        Ok(())
    }

    /// The finished array; the builder is empty again.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Int64(b) => Arc::new(b.finish()),
            Values::Timestamp(b) => Arc::new(b.finish()),
            Values::Utf8(b) => Arc::new(b.finish()),
            Values::Binary(b) => Arc::new(b.finish()),
            Values::ListUtf8(b) => Arc::new(b.finish()),
            Values::ListInt64(b) => Arc::new(b.finish()),
            Values::MapUtf8(b) => Arc::new(b.finish()),
        }
    }
}

/// Builds a batch of some columns of a stream, row by row.
#[derive(Debug)]
pub struct RowsBuilder {
    schema: Arc<Schema>,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl RowsBuilder {
    /// All columns of a segment file.
    pub fn entries(stream: Stream) -> RowsBuilder {
        RowsBuilder::of(stream.entry_columns())
    }

    /// The columns of a segment file that the caller of the store fills: see [`is_assigned`].
    pub fn drafts(stream: Stream) -> RowsBuilder {
        RowsBuilder::of(stream.entry_columns().filter(|column| !is_assigned(column.id)))
    }

    /// The payload columns without `log_index` and `salt`.
    pub fn payloads(stream: Stream) -> RowsBuilder {
        RowsBuilder::of(stream.payload_columns())
    }

    fn of(columns: impl Iterator<Item = &'static Column>) -> RowsBuilder {
        let columns: Vec<ColumnBuilder> = columns.map(ColumnBuilder::new).collect();
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.column.field()).collect::<Vec<_>>()));
        RowsBuilder { schema, columns, rows: 0 }
    }

    /// Rows appended so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends `row`.
    ///
    /// # Errors
    /// As [`ColumnBuilder::append`]; also when a required value is missing or the row names a field that this
    /// builder does not have.
    pub fn push(&mut self, row: &Row) -> Result<()> {
        self.append(row.fields.iter().map(|(id, bytes)| Ok((*id, bytes.as_slice()))))
    }

    /// Appends the row of these canonical values, ascending by id.
    ///
    /// # Errors
    /// As [`RowsBuilder::push`].
    pub fn push_values<'a>(&mut self, values: impl Iterator<Item = Result<(u16, &'a [u8])>>) -> Result<()> {
        self.append(values)
    }

    /// Appends the row whose canonical fields `reader` yields, with `log_index` in front where this builder has
    /// that column.
    ///
    /// # Errors
    /// As [`RowsBuilder::push`].
    pub fn push_fields(&mut self, log_index: i64, reader: FieldReader<'_>) -> Result<()> {
        let index = log_index.to_be_bytes();
        let has_index = self.columns.first().is_some_and(|first| first.column.id == LOG_INDEX);
        let front = has_index.then_some(Ok((LOG_INDEX, index.as_slice())));
        self.append(front.into_iter().chain(reader))
    }

    fn append<'a>(&mut self, fields: impl Iterator<Item = Result<(u16, &'a [u8])>>) -> Result<()> {
        let mut fields = fields.peekable();
        for builder in &mut self.columns {
            let column = builder.column;
            match fields.peek() {
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok((id, bytes))) if *id == column.id => {
                    builder.append(bytes)?;
                    fields.next();
                }
                _ if column.required => {
                    return Err(Error::malformed(
                        "row",
                        format!("required column {} is missing", column.name),
                    ));
                }
                _ => builder.append_null(),
            }
        }
        match fields.next() {
            None => {
                self.rows += 1;
                Ok(())
            }
            Some(Ok((id, _))) => {
                Err(Error::malformed("row", format!("field id {id} is unknown or out of order")))
            }
            Some(Err(error)) => Err(error),
        }
    }

    /// The batch of all rows appended; the builder is empty again.
    ///
    /// # Errors
    /// [`Error::Malformed`] after a failed append: the columns are then of unequal length.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| Error::malformed("batch", error.to_string()))
    }
}

/// Whether the store itself assigns the column with this id: a draft batch has none of them.
pub fn is_assigned(id: u16) -> bool {
    use crate::stream::{INGEST_TIME, PAYLOAD_COMMITMENT};
    matches!(id, LOG_INDEX | INGEST_TIME | PAYLOAD_COMMITMENT)
}
