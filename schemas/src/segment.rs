//! What a Parquet file of the store must look like before any value in it counts.

use arrow::datatypes::Schema;

use crate::column::FIELD_ID_KEY;
use crate::layout::FileKind;
use crate::origin::Origin;
use crate::stream::Stream;
use crate::{Error, Result};

/// Version of the data file format, the value of [`FORMAT_KEY`].
pub const FORMAT: &str = "1";
/// Parquet key-value metadata: format version.
pub const FORMAT_KEY: &str = "tachograph.format";
/// Parquet key-value metadata: origin of the log.
pub const ORIGIN_KEY: &str = "tachograph.origin";
/// Parquet key-value metadata: `<first>-<last>`.
pub const RANGE_KEY: &str = "tachograph.range";

/// The key-value metadata that a file of `origin` over `first..last` has, all of it, in order.
pub fn metadata(origin: &Origin, first: u64, last: u64) -> [(&'static str, String); 3] {
    [
        (FORMAT_KEY, FORMAT.to_string()),
        (ORIGIN_KEY, origin.to_string()),
        (RANGE_KEY, format!("{first}-{last}")),
    ]
}

/// Checks that `schema`, as a Parquet reader gives it, has exactly the columns of the stream: name, field id,
/// type and nullability of each, in order, none missing, extra or twice.
///
/// # Errors
/// [`Error::Schema`] naming the first column that differs.
pub fn check_schema(stream: Stream, kind: FileKind, schema: &Schema) -> Result<()> {
    let expected = match kind {
        FileKind::Segment => stream.entry_schema(),
        FileKind::Payload => stream.payload_schema(),
    };
    check_columns(stream, &expected, schema)
}

/// [`check_schema`] against any columns of the stream.
///
/// # Errors
/// As [`check_schema`].
pub fn check_columns(stream: Stream, expected: &Schema, schema: &Schema) -> Result<()> {
    let wrong = |detail: String| Err(Error::Schema { stream: stream.name(), detail });
    if schema.fields().len() != expected.fields().len() {
        return wrong(format!("{} columns, expected {}", schema.fields().len(), expected.fields().len()));
    }
    for (found, expected) in schema.fields().iter().zip(expected.fields()) {
        let (id, expected_id) = (found.metadata().get(FIELD_ID_KEY), expected.metadata().get(FIELD_ID_KEY));
        if found.name() != expected.name() || id != expected_id {
            return wrong(format!(
                "column {:?} with field id {}, expected {:?} with {}",
                found.name(),
                id.map_or("none", String::as_str),
                expected.name(),
                expected_id.map_or("none", String::as_str),
            ));
        }
        if found.data_type() != expected.data_type() || found.is_nullable() != expected.is_nullable() {
            return wrong(format!(
                "column {} is {}{}, expected {}{}",
                found.name(),
                found.data_type(),
                if found.is_nullable() { "" } else { " not null" },
                expected.data_type(),
                if expected.is_nullable() { "" } else { " not null" },
            ));
        }
    }
    Ok(())
}
