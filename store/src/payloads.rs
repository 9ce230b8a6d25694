//! The payload rows of some entries: sealed ones from their Parquet files, the rest from memory. That each is what its entry commits to is
//! for the caller to check.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::PageIndexPolicy;
use schemas::entry::Encoder;
use schemas::layout::FileKind;
use schemas::stream::SALT_BYTES;

use crate::bundle;
use crate::entries::ReadError;
use crate::snapshot::DataFile;
use crate::state::{LogState, lock};

type Result<T> = std::result::Result<T, ReadError>;

/// What is stored of the payload side of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PayloadRow {
    /// The row salt: it never leaves the store.
    pub(crate) salt: [u8; SALT_BYTES],
    /// Field id and canonical value, ascending, without nulls.
    pub(crate) fields: Vec<(u16, Vec<u8>)>,
}

/// Rows by index.
type Found = HashMap<u64, PayloadRow>;

/// The payload rows of those of `wanted`, which are all durable, that have one.
pub(crate) fn payloads(log: &LogState, wanted: &BTreeSet<u64>) -> Result<Found> {
    let mut before: Option<u64> = None;
    loop {
        let manifest = lock(&log.view).manifest;
        match of_snapshot(log, wanted) {
            // A file that a later manifest no longer names may have gone while it was looked for.
            Err(ReadError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && before != Some(manifest) =>
            {
                before = Some(manifest);
                tracing::debug!(log = %log.origin, manifest, "a payload file has gone: reading again");
            }
            other => return other,
        }
    }
}

fn of_snapshot(log: &LogState, wanted: &BTreeSet<u64>) -> Result<Found> {
    let snapshot = log.snapshot();
    let mut found = Found::new();
    for segment in snapshot.segments.iter() {
        let here = wanted.range(segment.first..segment.last).next().is_some();
        if let Some(file) = segment.payloads.as_ref().filter(|_| here) {
            of_file(log, file, wanted, &mut found)?;
        }
    }
    for unsealed in &snapshot.unsealed {
        let end = unsealed.first + unsealed.entries.num_rows() as u64;
        if wanted.range(unsealed.first..end).next().is_some() {
            take(log, &unsealed.payloads, wanted, &mut found)?;
        }
    }
    Ok(found)
}

fn damaged(log: &LogState, detail: impl Into<String>) -> ReadError {
    ReadError::Damaged { log: log.origin.to_string(), detail: detail.into() }
}

fn of_file(log: &LogState, file: &DataFile, wanted: &BTreeSet<u64>, found: &mut Found) -> Result<()> {
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(()) };
    let path = &file.path;
    let wrong = |error: String| damaged(log, format!("{}: {error}", file.file.path));
    let handle = File::open(path).map_err(|source| ReadError::Read { path: path.clone(), source })?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load(&handle, options).map_err(|error| wrong(error.to_string()))?;
    schemas::segment::check_schema(log.origin.stream(), FileKind::Payload, metadata.schema())
        .map_err(|error| wrong(error.to_string()))?;
    let selection = bundle::pages(metadata.metadata(), &(*first..*last + 1));
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, metadata);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["log_index"]);
    let asked = wanted.clone();
    let is_wanted = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        let indices = batch.column(0).as_primitive::<Int64Type>();
        Ok(BooleanArray::from_unary(indices, |index| {
            u64::try_from(index).is_ok_and(|index| asked.contains(&index))
        }))
    });
    let reader = builder
        .with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    for batch in reader {
        take(log, &batch.map_err(|error| wrong(error.to_string()))?, wanted, found)?;
    }
    Ok(())
}

/// Takes the wanted rows of a batch.
fn take(log: &LogState, batch: &RecordBatch, wanted: &BTreeSet<u64>, found: &mut Found) -> Result<()> {
    let wrong = |error: schemas::Error| damaged(log, error.to_string());
    let encoder = Encoder::payloads(log.origin.stream(), batch).map_err(wrong)?;
    let indices = batch.column_by_name("log_index").and_then(|array| array.as_primitive_opt::<Int64Type>());
    let salts = batch.column_by_name("salt").and_then(|array| array.as_binary_opt::<i32>());
    let (Some(indices), Some(salts)) = (indices, salts) else {
        return Err(damaged(log, "payloads without log_index or salt"));
    };
    let mut scratch = Vec::new();
    for row in 0..batch.num_rows() {
        let index = u64::try_from(indices.value(row)).ok().filter(|index| wanted.contains(index));
        let Some(index) = index else { continue };
        let salt = salts.value(row).try_into();
        let salt = salt.map_err(|_| damaged(log, format!("entry {index}: a salt of another length")))?;
        let mut fields = Vec::new();
        encoder.values(row, &mut scratch, |id, value| fields.push((id, value.to_vec()))).map_err(wrong)?;
        if found.insert(index, PayloadRow { salt, fields }).is_some() {
            return Err(damaged(log, format!("entry {index} has two payload rows")));
        }
    }
    Ok(())
}
