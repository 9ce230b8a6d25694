//! Canonical bytes: the entry that a leaf hashes.
//!
//! ```text
//! entry  = version (1) | log id (32) | index u64 BE (8) | field*
//! field  = id u16 BE | length u16 BE | value          ids strictly ascending, nulls absent
//! value  = i64 BE | UTF-8 | bytes | list | map
//! list   = count u32 BE | (length u32 BE | bytes)*    map = the same, keys and values in turn
//! ```

use arrow::array::{
    Array, AsArray, BinaryArray, Int64Array, ListArray, MapArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;

use crate::column::{Column, ColumnType, Side};
use crate::limits::{ENTRY_BYTES_MAX, ENTRY_HEADER_BYTES};
use crate::origin::LogId;
use crate::stream::{INGEST_TIME, LOG_INDEX, Stream};
use crate::{Error, Result};

pub mod value;

/// Version byte of the entry format.
pub const VERSION: u8 = 1;

/// Reads the columns of a batch and writes their canonical fields, row by row.
#[derive(Debug)]
pub struct Encoder<'a> {
    columns: Vec<EncoderColumn<'a>>,
    log_index: Option<&'a Int64Array>,
    ingest_time: Option<&'a TimestampMicrosecondArray>,
}

#[derive(Debug)]
struct EncoderColumn<'a> {
    column: &'static Column,
    values: Values<'a>,
}

#[derive(Debug)]
enum Values<'a> {
    Int64(&'a Int64Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Utf8(&'a StringArray),
    Binary(&'a BinaryArray),
    ListUtf8(&'a ListArray, &'a StringArray),
    ListInt64(&'a ListArray, &'a Int64Array),
    MapUtf8(&'a MapArray, &'a StringArray, &'a StringArray),
}

impl<'a> Encoder<'a> {
    /// Over the entry-side columns of `batch`, which may be all of a segment's or a draft's.
    ///
    /// # Errors
    /// [`Error::Schema`] when a column is unknown, out of order, of another type, or null where it is required.
    pub fn entries(stream: Stream, batch: &'a RecordBatch) -> Result<Encoder<'a>> {
        Encoder::of(stream, batch, Side::Entry)
    }

    /// Over the payload-side columns of `batch`; `log_index` and `salt` are passed over.
    ///
    /// # Errors
    /// As [`Encoder::entries`].
    pub fn payloads(stream: Stream, batch: &'a RecordBatch) -> Result<Encoder<'a>> {
        Encoder::of(stream, batch, Side::Payload)
    }

    fn of(stream: Stream, batch: &'a RecordBatch, side: Side) -> Result<Encoder<'a>> {
        let wrong = |detail: String| Error::Schema { stream: stream.name(), detail };
        let mut encoder = Encoder { columns: Vec::new(), log_index: None, ingest_time: None };
        let mut last_id = 0;
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if side == Side::Payload && matches!(field.name().as_str(), "log_index" | "salt") {
                continue;
            }
            let column = stream
                .column(field.name())
                .filter(|column| column.side == side)
                .ok_or_else(|| wrong(format!("unknown column {:?}", field.name())))?;
            if column.id <= last_id {
                return Err(wrong(format!("column {} is out of order", column.name)));
            }
            last_id = column.id;
            let values = Values::of(column.kind, array.as_ref())
                .ok_or_else(|| wrong(format!("column {} has type {}", column.name, array.data_type())))?;
            if column.required && array.null_count() > 0 {
                return Err(wrong(format!("column {} has {} nulls", column.name, array.null_count())));
            }
            match (&values, column.id) {
                (Values::Int64(array), LOG_INDEX) => encoder.log_index = Some(array),
                (Values::Timestamp(array), INGEST_TIME) => encoder.ingest_time = Some(array),
                _ if array.null_count() == array.len() => {}
                _ => encoder.columns.push(EncoderColumn { column, values }),
            }
        }
        Ok(encoder)
    }

    /// Appends to `out` the fields of `row` but `log_index` and `ingest_time`: what a draft already knows.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a value passes its column's cap, [`Error::Malformed`] on a null item or a map
    /// whose keys do not ascend.
    pub fn fields(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        for EncoderColumn { column, values } in &self.columns {
            if values.is_null(row) {
                continue;
            }
            out.extend_from_slice(&column.id.to_be_bytes());
            let length_at = out.len();
            out.extend_from_slice(&[0, 0]);
            values.write(column, row, out)?;
            let length = out.len() - length_at - 2;
            check_cap(column, length)?;
            let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            if let Some(place) = out.get_mut(length_at..length_at + 2) {
                place.copy_from_slice(&length);
            }
        }
        Ok(())
    }

    /// Appends the whole entry of `row`, index and ingest time from the batch's own columns.
    ///
    /// # Errors
    /// As [`Encoder::fields`]; [`Error::Malformed`] when the batch has no `log_index` or `ingest_time`.
    pub fn entry(&self, log_id: &LogId, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let (Some(index), Some(time)) = (self.log_index, self.ingest_time) else {
            return Err(Error::malformed("batch", "no log_index or ingest_time column"));
        };
        let index = u64::try_from(index.value(row))
            .map_err(|_| Error::malformed("log_index", format!("row {row} is negative")))?;
        let start = out.len();
        header(log_id, index, time.value(row), out);
        self.fields(row, out)?;
        check_length(out.len() - start)
    }

    /// The log index of `row`, where the batch has that column.
    pub fn log_index(&self, row: usize) -> Option<i64> {
        self.log_index.map(|array| array.value(row))
    }

    /// Calls `each` with the id and canonical value bytes of every non-null field of `row`, ascending; `scratch`
    /// is overwritten. For payload commitments, whose fields have no u16 length.
    ///
    /// # Errors
    /// As [`Encoder::fields`].
    pub fn values(&self, row: usize, scratch: &mut Vec<u8>, mut each: impl FnMut(u16, &[u8])) -> Result<()> {
        for EncoderColumn { column, values } in &self.columns {
            if values.is_null(row) {
                continue;
            }
            let value = if let Values::Utf8(array) = values {
                array.value(row).as_bytes()
            } else {
                scratch.clear();
                values.write(column, row, scratch)?;
                scratch.as_slice()
            };
            check_cap(column, value.len())?;
            each(column.id, value);
        }
        Ok(())
    }
}

impl<'a> Values<'a> {
    fn of(kind: ColumnType, array: &'a dyn Array) -> Option<Values<'a>> {
        if *array.data_type() != kind.data_type() {
            return None;
        }
        Some(match kind {
            ColumnType::Int64 => Values::Int64(array.as_primitive_opt::<Int64Type>()?),
            ColumnType::Timestamp => Values::Timestamp(array.as_primitive_opt()?),
            ColumnType::Utf8 => Values::Utf8(array.as_string_opt()?),
            ColumnType::Binary => Values::Binary(array.as_binary_opt()?),
            ColumnType::ListUtf8 => {
                let list = array.as_list_opt::<i32>()?;
                Values::ListUtf8(list, list.values().as_string_opt()?)
            }
            ColumnType::ListInt64 => {
                let list = array.as_list_opt::<i32>()?;
                Values::ListInt64(list, list.values().as_primitive_opt()?)
            }
            ColumnType::MapUtf8 => {
                let map = array.as_map_opt()?;
                Values::MapUtf8(map, map.keys().as_string_opt()?, map.values().as_string_opt()?)
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Values::Int64(array) => array.is_null(row),
            Values::Timestamp(array) => array.is_null(row),
            Values::Utf8(array) => array.is_null(row),
            Values::Binary(array) => array.is_null(row),
            Values::ListUtf8(array, _) | Values::ListInt64(array, _) => array.is_null(row),
            Values::MapUtf8(array, _, _) => array.is_null(row),
        }
    }

    fn write(&self, column: &Column, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Values::Int64(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Values::Timestamp(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Values::Utf8(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::Binary(array) => out.extend_from_slice(array.value(row)),
            Values::ListUtf8(list, items) => {
                let range = span(list.value_offsets(), row);
                no_nulls(column, *items, range.clone())?;
                value::list(range.map(|at| items.value(at).as_bytes()), out);
            }
            Values::ListInt64(list, items) => {
                let range = span(list.value_offsets(), row);
                no_nulls(column, *items, range.clone())?;
                let items: Vec<[u8; 8]> = range.map(|at| items.value(at).to_be_bytes()).collect();
                value::list(items.iter().map(<[u8; 8]>::as_slice), out);
            }
            Values::MapUtf8(map, keys, values) => {
                let range = span(map.value_offsets(), row);
                no_nulls(column, *keys, range.clone())?;
                no_nulls(column, *values, range.clone())?;
                value::map(column.name, range.map(|at| (keys.value(at), values.value(at))), out)?;
            }
        }
        Ok(())
    }
}

/// What is over its column's cap could be written and not be read again.
fn check_cap(column: &Column, length: usize) -> Result<()> {
    if length > column.bytes_max {
        return Err(Error::TooLarge {
            what: column.name,
            actual: length as u64,
            limit: column.bytes_max as u64,
        });
    }
    Ok(())
}

fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| offsets.get(i).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn no_nulls(column: &Column, items: &dyn Array, range: std::ops::Range<usize>) -> Result<()> {
    if items.null_count() > 0 && range.into_iter().any(|at| items.is_null(at)) {
        return Err(Error::malformed(column.name, "a null item"));
    }
    Ok(())
}

/// Writes the header and the `ingest_time` field: all of an entry that is known only once it is sequenced.
pub fn header(log_id: &LogId, index: u64, ingest_time_us: i64, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&log_id.0);
    out.extend_from_slice(&index.to_be_bytes());
    out.extend_from_slice(&INGEST_TIME.to_be_bytes());
    out.extend_from_slice(&8u16.to_be_bytes());
    out.extend_from_slice(&ingest_time_us.to_be_bytes());
}

/// Bytes that [`header`] writes.
pub const SEQUENCED_BYTES: usize = ENTRY_HEADER_BYTES + 2 + 2 + 8;

/// Refuses an entry that no entry bundle can hold.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check_length(length: usize) -> Result<()> {
    if length > ENTRY_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "bytes of an entry",
            actual: length as u64,
            limit: ENTRY_BYTES_MAX as u64,
        });
    }
    Ok(())
}

/// An entry split into its header and its fields; nothing of the fields is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// The log the entry belongs to.
    pub log_id: LogId,
    /// Its index.
    pub index: u64,
    fields: &'a [u8],
}

impl<'a> EntryView<'a> {
    /// Splits `entry`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is too short or of another version.
    pub fn parse(entry: &'a [u8]) -> Result<EntryView<'a>> {
        let short = || Error::malformed("entry", format!("{} bytes, shorter than its header", entry.len()));
        check_length(entry.len())?;
        let (version, rest) = entry.split_first().ok_or_else(short)?;
        if *version != VERSION {
            return Err(Error::malformed("entry", format!("version {version}, expected {VERSION}")));
        }
        let (log_id, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (index, fields) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        Ok(EntryView { log_id: LogId(*log_id), index: u64::from_be_bytes(*index), fields })
    }

    /// The fields in order.
    pub fn fields(&self) -> FieldReader<'a> {
        FieldReader { rest: self.fields, last_id: LOG_INDEX }
    }

    /// The value bytes of the field with this id, if it is not null.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a field before it is.
    pub fn field(&self, id: u16) -> Result<Option<&'a [u8]>> {
        for field in self.fields() {
            let (found, value) = field?;
            if found == id {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// Reads `(id, value bytes)` in strictly ascending id order.
#[derive(Debug, Clone)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
    last_id: u16,
}

impl<'a> FieldReader<'a> {
    /// Over the fields of an entry without its header, as [`Encoder::fields`] writes them.
    pub fn of(fields: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: fields, last_id: LOG_INDEX }
    }
}

impl<'a> Iterator for FieldReader<'a> {
    type Item = Result<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = (|| {
            let (id, rest) = self.rest.split_first_chunk::<2>()?;
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            Some((u16::from_be_bytes(*id), value, rest))
        })();
        let Some((id, value, rest)) = field else {
            self.rest = &[];
            return Some(Err(Error::malformed("entry", "it ends inside a field")));
        };
        if id <= self.last_id {
            self.rest = &[];
            let detail = format!("field id {id} follows {}", self.last_id);
            return Some(Err(Error::malformed("entry", detail)));
        }
        (self.rest, self.last_id) = (rest, id);
        Some(Ok((id, value)))
    }
}

#[cfg(test)]
mod tests;
