//! Entries that a given-up writer had acknowledged and not sealed: its write-ahead files still have them, so they are recorded
//! again in the successor. Nothing that was acknowledged is lost while a copy of it is here.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use schemas::Stream;
use schemas::control::Control;
use schemas::limits::{CARRIED_BYTES_MAX, CARRIED_ROWS_MAX};
use schemas::rows::{Row, RowsBuilder, is_assigned};

use crate::control::{no_payloads, stream_of};
use crate::draft::Draft;
use crate::error::Result;
use crate::prepare::arrow_error;
use crate::snapshot::Unsealed;

/// Drafts of the rows of `unsealed` that are carried over, in order, but for the first `skipped` of them.
pub(crate) fn drafts(stream: Stream, unsealed: &[Unsealed], mut skipped: usize) -> Result<Vec<Draft>> {
    let mut drafts = Vec::new();
    for batch in unsealed {
        let mut rows = carried(&batch.entries);
        let passed = skipped.min(rows.len());
        skipped -= passed;
        rows.drain(..passed);
        // A stack: the first rows on top.
        let mut chunks: Vec<&[u32]> = rows.chunks(CARRIED_ROWS_MAX).rev().collect();
        while let Some(rows) = chunks.pop() {
            let draft = draft(stream, batch, rows)?;
            let bytes = draft.entries.get_array_memory_size() + draft.payloads.get_array_memory_size();
            if bytes > CARRIED_BYTES_MAX && rows.len() > 1 {
                let (first, rest) = rows.split_at(rows.len() / 2);
                chunks.extend([rest, first]);
            } else {
                drafts.push(draft);
            }
        }
    }
    Ok(drafts)
}

/// How many rows are carried over.
pub(crate) fn count(unsealed: &[Unsealed]) -> u64 {
    unsealed.iter().map(|batch| carried(&batch.entries).len() as u64).sum()
}

/// Whether a control entry is: those that the store writes by itself are about the log that it stood in.
pub(crate) fn is_carried(control: &Control) -> bool {
    stream_of(control).is_some()
}

fn carried(entries: &RecordBatch) -> Vec<u32> {
    let controls = entries.column_by_name("control").and_then(|column| column.as_string_opt::<i32>());
    let rows = u32::try_from(entries.num_rows()).unwrap_or(u32::MAX);
    let is_wanted = |row: &u32| {
        let control = controls.filter(|controls| controls.is_valid(*row as usize));
        let control = control.map(|controls| controls.value(*row as usize));
        control.is_none_or(|text| Control::parse(text).is_ok_and(|control| is_carried(&control)))
    };
    (0..rows).filter(is_wanted).collect()
}

fn draft(stream: Stream, batch: &Unsealed, rows: &[u32]) -> Result<Draft> {
    let wanted = UInt32Array::from(rows.to_vec());
    let empty = RowsBuilder::drafts(stream).finish()?;
    let mut columns = Vec::new();
    for column in stream.entry_columns().filter(|column| !is_assigned(column.id)) {
        let array = batch.entries.column_by_name(column.name);
        let array =
            array.ok_or_else(|| schemas::Error::malformed("unsealed rows", column.name.to_string()))?;
        columns.push(take(array, &wanted, None).map_err(arrow_error)?);
    }
    let entries = RecordBatch::try_new(empty.schema(), columns).map_err(arrow_error)?;
    Ok(Draft {
        entries,
        payloads: payloads(stream, batch, rows)?,
        // Whatever was told of them then stands: none of them is taken for another's repetition.
        idempotent: Vec::new(),
        scope: String::new(),
    })
}

/// The payloads row by row beside the entries.
fn payloads(stream: Stream, batch: &Unsealed, rows: &[u32]) -> Result<RecordBatch> {
    if stream.payload_columns().next().is_none() {
        return no_payloads(stream, rows.len());
    }
    let indices = |batch: &RecordBatch| {
        let column =
            batch.column_by_name("log_index").and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.map(|column| column.values().to_vec()).unwrap_or_default()
    };
    let places: HashMap<i64, u32> = indices(&batch.payloads).into_iter().zip(0..).collect();
    let of_rows = indices(&batch.entries);
    let wanted: UInt32Array =
        rows.iter().map(|row| places.get(of_rows.get(*row as usize)?).copied()).collect();
    let mut none = RowsBuilder::payloads(stream);
    none.push(&Row::new())?;
    let schema = none.finish()?.schema();
    let mut columns = Vec::new();
    for column in stream.payload_columns() {
        let array = batch.payloads.column_by_name(column.name);
        let array =
            array.ok_or_else(|| schemas::Error::malformed("unsealed payloads", column.name.to_string()))?;
        columns.push(take(array, &wanted, None).map_err(arrow_error)?);
    }
    RecordBatch::try_new(schema, columns).map_err(arrow_error)
}
