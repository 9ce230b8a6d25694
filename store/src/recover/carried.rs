//! Entries that a given-up writer had acknowledged and not sealed: its write-ahead files still have them, so they are recorded
//! again in the successor. Nothing that was acknowledged is lost while a copy of it is here.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use schemas::Stream;
use schemas::limits::CARRIED_ROWS_MAX;
use schemas::rows::{Row, RowsBuilder, is_assigned};

use crate::control::no_payloads;
use crate::draft::Draft;
use crate::error::Result;
use crate::prepare::arrow_error;
use crate::snapshot::Unsealed;

/// Drafts of the rows of `unsealed` that are no control entries, in order, but for the first `skipped` of them.
pub(crate) fn drafts(stream: Stream, unsealed: &[Unsealed], mut skipped: usize) -> Result<Vec<Draft>> {
    let mut drafts = Vec::new();
    for batch in unsealed {
        let mut rows = events(&batch.entries);
        let passed = skipped.min(rows.len());
        skipped -= passed;
        rows.drain(..passed);
        for rows in rows.chunks(CARRIED_ROWS_MAX) {
            drafts.push(draft(stream, batch, rows)?);
        }
    }
    Ok(drafts)
}

/// How many rows are no control entries.
pub(crate) fn count(unsealed: &[Unsealed]) -> u64 {
    unsealed.iter().map(|batch| events(&batch.entries).len() as u64).sum()
}

fn events(entries: &RecordBatch) -> Vec<u32> {
    let control = entries.column_by_name("control");
    let rows = u32::try_from(entries.num_rows()).unwrap_or(u32::MAX);
    (0..rows).filter(|row| control.is_none_or(|control| control.is_null(*row as usize))).collect()
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
