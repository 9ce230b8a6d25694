//! The columns of an event under construction, filled row by row without detours.
//!
//! A column that a row does not set costs nothing until the column is next set: nulls are filled in behind. Nothing is
//! appended for a row that is refused, so a row can never be half there.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, RecordBatch, RecordBatchOptions,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schemas::column::{Column, ColumnType, Side};
use schemas::rows::is_assigned;
use schemas::{Error, Stream};

/// Places of columns in `Stream::Events.columns()`; a test holds them to their names.
pub(crate) mod place {
    macro_rules! places {
        ($($name:ident = $at:literal $text:literal),* $(,)?) => {
            $(pub(crate) const $name: usize = $at;)*
            #[cfg(test)]
            pub(crate) const ALL: &[(usize, &str)] = &[$(($at, $text)),*];
        };
    }
    places! {
        EVENT_ID = 2 "event_id",
        TIME = 3 "time",
        TENANT = 4 "tenant",
        KIND = 5 "kind",
        SOURCE = 6 "source",
        SESSION_ID = 7 "session_id",
        DECISION = 8 "decision",
        STATUS = 9 "status",
        CUT = 11 "cut",
        TAGS = 12 "tags",
        REDACTIONS = 13 "redactions",
        USER_ID = 18 "user_id",
        AGENT_ID = 19 "agent_id",
        CLIENT = 20 "client",
        SOURCE_IP = 29 "source_ip",
        COUNTRY = 30 "country",
        CONVERSATION_ID = 32 "conversation_id",
        METHOD = 38 "method",
        SERVER = 39 "server",
        CAPABILITY_TYPE = 41 "capability_type",
        CAPABILITY = 42 "capability",
        ACTION = 44 "action",
        RISK = 45 "risk",
        DECISION_BASIS = 50 "decision_basis",
        LATENCY_US = 63 "latency_us",
        DESTINATIONS = 70 "destinations",
        ARGUMENTS = 71 "arguments",
        ATTRIBUTES = 73 "attributes",
        OVERSIZE = 77 "oversize",
    }
}

/// Columns of an event, those that the store assigns included.
pub(crate) const COLUMNS: usize = 79;

#[derive(Debug)]
enum Values {
    Int64(Int64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Utf8(StringBuilder),
    ListUtf8(ListBuilder<StringBuilder>),
    MapUtf8(MapBuilder<StringBuilder, StringBuilder>),
}

impl Values {
    /// The builder of a column; none for the types that no draft of an event has.
    fn new(column: &Column, rows: usize) -> Option<Values> {
        Some(match column.kind {
            ColumnType::Int64 => Values::Int64(Int64Builder::with_capacity(rows)),
            ColumnType::Timestamp => {
                Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
            ColumnType::Utf8 => Values::Utf8(StringBuilder::with_capacity(rows, rows * 16)),
            ColumnType::ListUtf8 => {
                let element = Field::new("element", DataType::Utf8, false);
                Values::ListUtf8(ListBuilder::new(StringBuilder::new()).with_field(element))
            }
            ColumnType::MapUtf8 => {
                let names = MapFieldNames {
                    entry: "key_value".to_string(),
                    key: "key".to_string(),
                    value: "value".to_string(),
                };
                let map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
                Values::MapUtf8(map.with_values_field(Field::new("value", DataType::Utf8, false)))
            }
            ColumnType::Binary | ColumnType::ListInt64 => return None,
        })
    }

    fn append_nulls(&mut self, count: usize) -> Result<(), Error> {
        match self {
            Values::Int64(b) => b.append_nulls(count),
            Values::Timestamp(b) => b.append_nulls(count),
            Values::Utf8(b) => b.append_nulls(count),
            Values::ListUtf8(b) => b.append_nulls(count),
            Values::MapUtf8(b) => {
                b.append_nulls(count).map_err(|error| Error::malformed("draft", error.to_string()))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Int64(b) => Arc::new(b.finish()),
            Values::Timestamp(b) => Arc::new(b.finish()),
            Values::Utf8(b) => Arc::new(b.finish()),
            Values::ListUtf8(b) => Arc::new(b.finish()),
            Values::MapUtf8(b) => Arc::new(b.finish()),
        }
    }
}

/// A column under construction.
#[derive(Debug)]
struct Growing {
    values: Values,
    /// Rows it has, nulls that are still to be filled in not counted.
    rows: usize,
}

/// Builds the two batches of a draft.
#[derive(Debug)]
pub(crate) struct Columns {
    /// One per column of the stream; none where the store assigns it.
    growing: Vec<Option<Growing>>,
    rows: usize,
}

impl Columns {
    /// With room for `rows` rows in the columns that every row fills.
    pub(crate) fn new(rows: usize) -> Columns {
        let growing = Stream::Events.columns().iter().map(|column| {
            let rows = if column.required { rows } else { 0 };
            let values = Some(column).filter(|column| !is_assigned(column.id));
            Some(Growing { values: values.and_then(|column| Values::new(column, rows))?, rows: 0 })
        });
        Columns { growing: growing.collect(), rows: 0 }
    }

    /// Complete rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Completes the row: what was not set is null.
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// The builder at `place`, filled up to the current row, of which it gets a value now.
    #[inline]
    fn at(&mut self, place: usize) -> Result<&mut Values, Error> {
        let Some(Some(Growing { values, rows })) = self.growing.get_mut(place) else {
            return Err(Error::malformed("draft", format!("no column has place {place}")));
        };
        if *rows < self.rows {
            values.append_nulls(self.rows - *rows)?;
        }
        *rows = self.rows + 1;
        Ok(values)
    }

    /// Sets a text.
    #[inline]
    pub(crate) fn text(&mut self, place: usize, text: &str) -> Result<(), Error> {
        match self.at(place)? {
            Values::Utf8(b) => {
                b.append_value(text);
                Ok(())
            }
            _ => Err(wrong_type(place)),
        }
    }

    /// Sets an integer or a time in microseconds.
    #[inline]
    pub(crate) fn int(&mut self, place: usize, value: i64) -> Result<(), Error> {
        match self.at(place)? {
            Values::Int64(b) => b.append_value(value),
            Values::Timestamp(b) => b.append_value(value),
            _ => return Err(wrong_type(place)),
        }
        Ok(())
    }

    /// Sets a list.
    pub(crate) fn list<'t>(
        &mut self,
        place: usize,
        items: impl Iterator<Item = &'t str>,
    ) -> Result<(), Error> {
        match self.at(place)? {
            Values::ListUtf8(b) => {
                items.for_each(|item| b.values().append_value(item));
                b.append(true);
                Ok(())
            }
            _ => Err(wrong_type(place)),
        }
    }

    /// Sets a map; keys must strictly ascend by bytes.
    pub(crate) fn map<'t>(
        &mut self,
        place: usize,
        pairs: impl Iterator<Item = (&'t str, &'t str)>,
    ) -> Result<(), Error> {
        match self.at(place)? {
            Values::MapUtf8(b) => {
                for (key, value) in pairs {
                    b.keys().append_value(key);
                    b.values().append_value(value);
                }
                b.append(true).map_err(|error| Error::malformed("draft", error.to_string()))
            }
            _ => Err(wrong_type(place)),
        }
    }

    /// The entry batch and the payload batch.
    pub(crate) fn finish(mut self) -> Result<(RecordBatch, RecordBatch), Error> {
        let mut sides: [Vec<ArrayRef>; 2] = [Vec::new(), Vec::new()];
        let [entries, payloads] = &mut sides;
        for (column, growing) in Stream::Events.columns().iter().zip(&mut self.growing) {
            let Some(Growing { values, rows }) = growing else { continue };
            values.append_nulls(self.rows.saturating_sub(*rows))?;
            let array = values.finish();
            if column.side == Side::Entry { entries.push(array) } else { payloads.push(array) }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let [entries, payloads] = sides;
        let batch = |schema: &SchemaRef, arrays| {
            RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
                .map_err(|error| Error::malformed("draft", error.to_string()))
        };
        Ok((batch(&SCHEMAS.0, entries)?, batch(&SCHEMAS.1, payloads)?))
    }
}

#[cold]
fn wrong_type(place: usize) -> Error {
    Error::malformed("draft", format!("column at place {place} has another type"))
}

/// The schemas of the two batches, as `RowsBuilder::drafts` and `RowsBuilder::payloads` make them.
static SCHEMAS: LazyLock<(SchemaRef, SchemaRef)> = LazyLock::new(|| {
    let drafts = Stream::Events.entry_columns().filter(|column| !is_assigned(column.id));
    let schema = |fields: Vec<Field>| Arc::new(Schema::new(fields));
    (
        schema(drafts.map(Column::field).collect()),
        schema(Stream::Events.payload_columns().map(Column::field).collect()),
    )
});

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use schemas::rows::RowsBuilder;

    use super::*;

    #[test]
    fn places_are_where_their_names_are() {
        let columns = Stream::Events.columns();
        assert_eq!(columns.len(), COLUMNS);
        for (at, name) in place::ALL {
            assert_eq!(columns[*at].name, *name);
        }
    }

    #[test]
    fn batches_have_the_schemas_that_the_store_expects() {
        let mut wrong = Columns::new(4);
        assert!(wrong.text(place::TIME, "x").is_err() && wrong.int(0, 1).is_err());
        let mut whole = Columns::new(0);
        for _ in 0..3 {
            for at in [2, 4, 5, 6, 7, 8, 9] {
                whole.text(at, "x").unwrap();
            }
            whole.int(place::TIME, 1).unwrap();
            if whole.rows() == 1 {
                whole.list(place::TAGS, ["late"].into_iter()).unwrap();
                whole.map(place::ATTRIBUTES, [("k", "1")].into_iter()).unwrap();
            }
            whole.end_row();
        }
        let (entries, payloads) = whole.finish().unwrap();
        assert_eq!(entries.schema(), RowsBuilder::drafts(Stream::Events).finish().unwrap().schema());
        assert_eq!(payloads.schema(), RowsBuilder::payloads(Stream::Events).finish().unwrap().schema());
        let tags = entries.column_by_name("tags").unwrap();
        assert!(tags.is_null(0) && tags.is_valid(1) && tags.is_null(2));
        let attributes = payloads.column_by_name("attributes").unwrap();
        assert!(attributes.is_null(0) && attributes.is_valid(1) && attributes.is_null(2));
    }
}
