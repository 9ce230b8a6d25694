//! From a draft to canonical bytes: everything that can be done before, and everything that must be done
//! after, the place in the log is known. Runs on the caller's thread, outside every lock.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use schemas::entry::{self, Encoder};
use schemas::payload::{Committer, RecordView, record_field, record_header};
use schemas::rows::{RowsBuilder, is_assigned};
use schemas::stream::{INGEST_TIME, LOG_INDEX, PAYLOAD_COMMITMENT, SALT_BYTES};
use schemas::tree::leaf_hash;
use schemas::{Error as FormatError, Hash, LogId, Stream};

use crate::cursor::Cursor;
use crate::draft::Draft;
use crate::error::Result;
use crate::keys::random;

/// A draft with its salts, commitments and canonical fields: all but index and ingest time.
#[derive(Debug)]
pub(crate) struct Prepared {
    stream: Stream,
    entries: RecordBatch,
    payloads: RecordBatch,
    salts: Vec<[u8; SALT_BYTES]>,
    fields: Spans,
    records: Spans,
}

/// Byte strings one after the other.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Spans {
    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(row).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }
}

/// A range of a log, ready to be written: what the commit needs and nothing else.
#[derive(Debug)]
pub(crate) struct Filled {
    /// First index.
    pub(crate) first: u64,
    /// Entries.
    pub(crate) count: u32,
    /// As an entry bundle holds them.
    pub(crate) bundle: Vec<u8>,
    /// Payload records, framed.
    pub(crate) records: Vec<u8>,
    /// Leaf hashes.
    pub(crate) leaves: Vec<Hash>,
    /// Schema: the stream's entry schema.
    pub(crate) entries: RecordBatch,
    /// Schema: the stream's payload schema.
    pub(crate) payloads: RecordBatch,
    /// How far its sources have been read with it.
    pub(crate) cursors: Vec<Cursor>,
}

/// Checks a draft and does all that does not depend on its place in the log.
pub(crate) fn prepare(stream: Stream, tenant: &str, draft: &Draft, from_outside: bool) -> Result<Prepared> {
    check(stream, tenant, draft, from_outside)?;
    let rows = draft.entries.num_rows();
    let mut salts = vec![[0u8; SALT_BYTES]; rows];
    let (commitments, records) = commit_payloads(stream, &draft.payloads, &mut salts)?;
    let entries = with_column(stream, &draft.entries, PAYLOAD_COMMITMENT, commitments)?;
    let fields = encode_fields(stream, &entries)?;
    Ok(Prepared { stream, entries, payloads: draft.payloads.clone(), salts, fields, records })
}

impl Prepared {
    pub(crate) fn rows(&self) -> usize {
        self.entries.num_rows()
    }

    /// About how many bytes it takes on disk and in memory.
    pub(crate) fn bytes(&self) -> u64 {
        (self.fields.bytes.len() + self.records.bytes.len() + self.rows() * entry::SEQUENCED_BYTES) as u64
    }

    /// The canonical fields of a row, without index and ingest time.
    pub(crate) fn fields(&self, row: usize) -> &[u8] {
        self.fields.get(row)
    }

    /// The framed payload record of a row, its index still zero; empty for none.
    pub(crate) fn record(&self, row: usize) -> &[u8] {
        self.records.get(row)
    }

    /// The entry columns of the draft with the commitments among them.
    pub(crate) fn entries(&self) -> &RecordBatch {
        &self.entries
    }

    /// Replaces the entry columns, for a change of tags, and encodes them anew.
    pub(crate) fn replace_entries(&mut self, entries: RecordBatch) -> Result<()> {
        self.fields = encode_fields(self.stream, &entries)?;
        self.entries = entries;
        Ok(())
    }

    /// The rows of `keep` as entries `first..` of a log. Nothing here depends on what other threads do.
    pub(crate) fn fill(&self, keep: &[bool], log_id: &LogId, first: u64, ingest_us: i64) -> Result<Filled> {
        let rows: Vec<usize> =
            keep.iter().enumerate().filter_map(|(row, keep)| keep.then_some(row)).collect();
        let mut bundle = Vec::with_capacity(self.fields.bytes.len() + rows.len() * 64);
        let mut records = Vec::with_capacity(self.records.bytes.len());
        let mut leaves = Vec::with_capacity(rows.len());
        let mut payload_rows = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let index = first + at as u64;
            let fields = self.fields.get(*row);
            let length = entry::SEQUENCED_BYTES + fields.len();
            entry::check_length(length)?;
            bundle.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            let start = bundle.len();
            entry::header(log_id, index, ingest_us, &mut bundle);
            bundle.extend_from_slice(fields);
            leaves.push(leaf_hash(bundle.get(start..).unwrap_or_default()));
            let record = self.records.get(*row);
            if let Some((length, rest)) = record.split_at_checked(4) {
                records.extend_from_slice(length);
                records.extend_from_slice(&index.to_be_bytes());
                records.extend_from_slice(rest.get(8..).unwrap_or_default());
                payload_rows.push((*row, index));
            }
        }
        Ok(Filled {
            first,
            count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            bundle,
            records,
            leaves,
            entries: self.entry_batch(keep, rows.len(), first, ingest_us)?,
            payloads: self.payload_batch(&payload_rows)?,
            cursors: Vec::new(),
        })
    }

    fn entry_batch(&self, keep: &[bool], rows: usize, first: u64, ingest_us: i64) -> Result<RecordBatch> {
        let kept = if rows == keep.len() {
            self.entries.clone()
        } else {
            filter_record_batch(&self.entries, &BooleanArray::from(keep.to_vec())).map_err(arrow_error)?
        };
        let first = i64::try_from(first).unwrap_or(i64::MAX);
        let index: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|at| first + at)));
        let time: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from_value(ingest_us, rows).with_timezone("UTC"));
        let mut columns = vec![index, time];
        columns.extend(kept.columns().iter().cloned());
        batch(self.stream.entry_schema(), columns, rows)
    }

    fn payload_batch(&self, rows: &[(usize, u64)]) -> Result<RecordBatch> {
        let kept = if rows.len() == self.payloads.num_rows() {
            self.payloads.clone()
        } else {
            let mut keep = vec![false; self.payloads.num_rows()];
            for (row, _) in rows {
                if let Some(place) = keep.get_mut(*row) {
                    *place = true;
                }
            }
            filter_record_batch(&self.payloads, &BooleanArray::from(keep)).map_err(arrow_error)?
        };
        let index = rows.iter().map(|(_, index)| i64::try_from(*index).unwrap_or(i64::MAX));
        let mut salts = BinaryBuilder::with_capacity(rows.len(), rows.len() * SALT_BYTES);
        for (row, _) in rows {
            salts.append_value(self.salts.get(*row).map_or(&[][..], |salt| salt.as_slice()));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(index))];
        columns.extend(kept.columns().iter().cloned());
        columns.push(Arc::new(salts.finish()));
        batch(self.stream.payload_schema(), columns, rows.len())
    }
}

fn check(stream: Stream, tenant: &str, draft: &Draft, from_outside: bool) -> Result<()> {
    let wrong = |detail: String| FormatError::Schema { stream: stream.name(), detail };
    let expected = stream.entry_columns().filter(|column| !is_assigned(column.id)).count();
    if draft.entries.num_columns() != expected {
        return Err(
            wrong(format!("{} draft columns, expected {expected}", draft.entries.num_columns())).into()
        );
    }
    let payload_columns = stream.payload_columns().count();
    if draft.payloads.num_columns() != payload_columns
        || draft.payloads.num_rows() != draft.entries.num_rows()
    {
        return Err(wrong("payload batch does not lie beside the entries".to_string()).into());
    }
    let rows = draft.entries.num_rows();
    if !draft.idempotent.is_empty() && draft.idempotent.len() != rows {
        return Err(wrong("as many idempotency marks as rows are needed, or none".to_string()).into());
    }
    let named = |name: &str| draft.entries.column_by_name(name);
    let tenants = named("tenant").and_then(|array| array.as_string_opt::<i32>());
    if !tenants.is_some_and(|array| array.iter().all(|found| found == Some(tenant))) {
        return Err(wrong(format!("column tenant is not {tenant:?} in every row")).into());
    }
    if from_outside && named("control").is_none_or(|array| array.null_count() < array.len()) {
        return Err(wrong("column control is the recorder's own".to_string()).into());
    }
    Ok(())
}

/// Draws salts, and makes the commitment and the framed record of every row that has a payload.
fn commit_payloads(
    stream: Stream,
    payloads: &RecordBatch,
    salts: &mut [[u8; SALT_BYTES]],
) -> Result<(ArrayRef, Spans)> {
    let rows = payloads.num_rows();
    let mut commitments = BinaryBuilder::with_capacity(rows, rows * 32);
    let mut records = Spans { bytes: Vec::new(), ends: Vec::with_capacity(rows) };
    if payloads.num_columns() == 0 {
        (0..rows).for_each(|_| {
            commitments.append_null();
            records.end();
        });
        return Ok((Arc::new(commitments.finish()), records));
    }
    random(salts.as_flattened_mut())?;
    let encoder = Encoder::payloads(stream, payloads)?;
    let mut committer = Committer::new();
    let mut scratch = Vec::new();
    for (row, salt) in salts.iter().enumerate() {
        let start = records.bytes.len();
        records.bytes.extend_from_slice(&[0; 4]);
        record_header(0, salt, &mut records.bytes);
        let mut commitment = committer.row(*salt);
        encoder.values(row, &mut scratch, |id, value| {
            commitment.field(id, value);
            record_field(id, value, &mut records.bytes);
        })?;
        match commitment.finish() {
            Some(commitment) => {
                let length = u32::try_from(records.bytes.len() - start - 4).unwrap_or(u32::MAX);
                if let Some(place) = records.bytes.get_mut(start..start + 4) {
                    place.copy_from_slice(&length.to_be_bytes());
                }
                commitments.append_value(commitment.0);
            }
            None => {
                records.bytes.truncate(start);
                commitments.append_null();
            }
        }
        records.end();
    }
    Ok((Arc::new(commitments.finish()), records))
}

fn encode_fields(stream: Stream, entries: &RecordBatch) -> Result<Spans> {
    let rows = entries.num_rows();
    let encoder = Encoder::entries(stream, entries)?;
    let mut spans = Spans { bytes: Vec::with_capacity(rows * 512), ends: Vec::with_capacity(rows) };
    for row in 0..rows {
        let start = spans.bytes.len();
        encoder.fields(row, &mut spans.bytes)?;
        entry::check_length(entry::SEQUENCED_BYTES + spans.bytes.len() - start)?;
        spans.end();
    }
    Ok(spans)
}

/// The draft's columns with one more at the place its id gives it.
fn with_column(stream: Stream, draft: &RecordBatch, id: u16, column: ArrayRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = draft.columns().to_vec();
    let place = stream
        .entry_columns()
        .filter(|column| column.id != LOG_INDEX && column.id != INGEST_TIME)
        .position(|column| column.id == id)
        .unwrap_or(columns.len())
        .min(columns.len());
    columns.insert(place, column);
    let fields: Vec<_> = stream.entry_schema().fields().iter().skip(2).cloned().collect();
    batch(Arc::new(arrow::datatypes::Schema::new(fields)), columns, draft.num_rows())
}

fn batch(schema: arrow::datatypes::SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow_error)
}

/// The payload batch of these records.
pub(crate) fn payload_batch(stream: Stream, records: &[RecordView<'_>]) -> Result<RecordBatch> {
    let mut rows = RowsBuilder::payloads(stream);
    let mut salts = BinaryBuilder::with_capacity(records.len(), records.len() * SALT_BYTES);
    for record in records {
        rows.push_values(record.fields())?;
        salts.append_value(record.salt);
    }
    let index = records.iter().map(|record| i64::try_from(record.index).unwrap_or(i64::MAX));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(index))];
    columns.extend(rows.finish()?.columns().iter().cloned());
    columns.push(Arc::new(salts.finish()));
    batch(stream.payload_schema(), columns, records.len())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
pub(crate) fn arrow_error(error: arrow::error::ArrowError) -> crate::error::Error {
    FormatError::malformed("batch", error.to_string()).into()
}
