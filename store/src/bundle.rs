//! The canonical entries of a range: sealed ones encoded again from the columns of their Parquet files, the rest from
//! memory. What is read here is checked by its caller against the tree, leaf by leaf, and by nothing less.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
    RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use schemas::entry::Encoder;
use schemas::layout::FileKind;

use crate::entries::ReadError;
use crate::snapshot::Segment;
use crate::state::{LogState, lock};

type Result<T> = std::result::Result<T, ReadError>;
/// Entries by index.
type Found = BTreeMap<u64, Vec<u8>>;

const LOG_INDEX: &str = "log_index";

/// The entries of `range`, all of which are durable, in order.
pub(crate) fn entries(log: &LogState, range: &Range<u64>) -> Result<Vec<Vec<u8>>> {
    let mut before: Option<u64> = None;
    loop {
        let (manifest, sealed) = {
            let view = lock(&log.view);
            (view.manifest, view.sealed)
        };
        match of_snapshot(log, range) {
            // A file that a later manifest no longer names may have gone while it was looked for.
            Err(ReadError::Read { path, source }) if source.kind() == std::io::ErrorKind::NotFound => {
                if before == Some(manifest) {
                    return Err(ReadError::Read { path, source });
                }
                before = Some(manifest);
                tracing::debug!(log = %log.origin, manifest, sealed, "a segment has gone: reading again");
            }
            other => return other,
        }
    }
}

fn of_snapshot(log: &LogState, range: &Range<u64>) -> Result<Vec<Vec<u8>>> {
    let snapshot = log.snapshot();
    let mut found = Found::new();
    for segment in snapshot.segments.iter().filter(|segment| overlaps(segment, range)) {
        of_segment(log, segment, range, &mut found)?;
    }
    for unsealed in &snapshot.unsealed {
        let start = range.start.saturating_sub(unsealed.first);
        let end = range.end.saturating_sub(unsealed.first).min(unsealed.entries.num_rows() as u64);
        if start < end {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            encode(log, &unsealed.entries.slice(place(start), place(end - start)), range, &mut found)?;
        }
    }
    if !found.keys().copied().eq(range.clone()) {
        let missing = range.clone().find(|index| !found.contains_key(index)).unwrap_or(range.end);
        return Err(damaged(log, format!("entry {missing} is missing")));
    }
    Ok(found.into_values().collect())
}

fn overlaps(segment: &Arc<Segment>, range: &Range<u64>) -> bool {
    segment.first < range.end && range.start < segment.last
}

fn damaged(log: &LogState, detail: String) -> ReadError {
    ReadError::Damaged { log: log.origin.to_string(), detail }
}

/// Reads of a segment file the pages that may hold the range, wherever in it they are: the page index is a hint, and
/// what it hides is missed by the caller.
fn of_segment(log: &LogState, segment: &Segment, range: &Range<u64>, found: &mut Found) -> Result<()> {
    let stream = log.origin.stream();
    let path = &segment.entries.path;
    let wrong = |error: String| damaged(log, format!("{}: {error}", segment.entries.file.path));
    let file = File::open(path).map_err(|source| ReadError::Read { path: path.clone(), source })?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load(&file, options).map_err(|error| wrong(error.to_string()))?;
    schemas::segment::check_schema(stream, FileKind::Segment, metadata.schema())
        .map_err(|error| wrong(error.to_string()))?;
    let selection = pages(metadata.metadata(), range);
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), [LOG_INDEX]);
    let wanted = range.clone();
    let is_wanted = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        let indices = batch.column(0).as_primitive::<Int64Type>();
        Ok(BooleanArray::from_unary(indices, |index| {
            u64::try_from(index).is_ok_and(|index| wanted.contains(&index))
        }))
    });
    let reader = builder
        .with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    for batch in reader {
        encode(log, &batch.map_err(|error| wrong(error.to_string()))?, range, found)?;
    }
    Ok(())
}

/// The rows of the pages whose smallest and largest log index leave room for one of the range; none when the file has
/// no page index.
pub(crate) fn pages(metadata: &ParquetMetaData, range: &Range<u64>) -> Option<RowSelection> {
    let schema = metadata.file_metadata().schema_descr();
    let column = schema.columns().iter().position(|column| column.path().string() == LOG_INDEX)?;
    let (first, last) = (i64::try_from(range.start).ok()?, i64::try_from(range.end).ok()?);
    let mut ranges = Vec::new();
    let mut start = 0;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows()).ok()?;
        let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(number)?.get(column)? else {
            return None;
        };
        let locations = metadata.offset_index()?.get(number)?.get(column)?.page_locations();
        let starts = locations.iter().map(|page| usize::try_from(page.first_row_index).ok());
        let starts = starts.collect::<Option<Vec<usize>>>()?;
        let bounds = index.min_values_iter().zip(index.max_values_iter());
        for (page, (min, max)) in bounds.enumerate() {
            let from = starts.get(page).copied()?;
            let to = starts.get(page + 1).copied().unwrap_or(rows);
            if from > to || to > rows {
                return None;
            }
            if *min? < last && first <= *max? {
                ranges.push(start + from..start + to);
            }
        }
        start += rows;
    }
    Some(RowSelection::from_consecutive_ranges(ranges.into_iter(), start))
}

/// Takes the entries of a batch that are of the range.
fn encode(log: &LogState, batch: &RecordBatch, range: &Range<u64>, found: &mut Found) -> Result<()> {
    let wrong = |error: schemas::Error| damaged(log, error.to_string());
    let encoder = Encoder::entries(log.origin.stream(), batch).map_err(wrong)?;
    for row in 0..batch.num_rows() {
        let index = encoder.log_index(row).and_then(|index| u64::try_from(index).ok());
        let Some(index) = index.filter(|index| range.contains(index)) else { continue };
        let mut entry = Vec::new();
        encoder.entry(&log.keys.log_id, row, &mut entry).map_err(wrong)?;
        if found.insert(index, entry).is_some() {
            return Err(damaged(log, format!("entry {index} is there twice")));
        }
    }
    Ok(())
}
