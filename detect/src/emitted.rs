//! How far the alerts log has come: the last alert in it.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Int64Type;
use store::{LogSnapshot, open_segment};

use crate::columns::{primitive, text};
use crate::error::{Error, Result};

const COLUMNS: [&str; 3] = ["evidence_log", "position", "ordinal"];

/// Which event caused the last alert recorded, and which of that event's alerts it is. Ordered as alerts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Emitted {
    pub position: i64,
    pub ordinal: i64,
}

/// The last alert over the events log `evidence_log`, if there is any.
///
/// # Errors
/// [`Error::Entries`], [`Error::Damaged`].
pub(crate) fn last(alerts: &LogSnapshot, evidence_log: &str) -> Result<Option<Emitted>> {
    let log = alerts.origin.to_string();
    for unsealed in alerts.unsealed.iter().rev() {
        if let Some(found) = last_in(&log, &unsealed.entries, evidence_log)? {
            return Ok(Some(found));
        }
    }
    for segment in alerts.segments.iter().rev() {
        let mut found = None;
        for batch in open_segment(&log, alerts.origin.stream(), &segment.entries, &COLUMNS, 0)? {
            let damaged = |error: arrow::error::ArrowError| Error::Damaged {
                log: log.clone(),
                detail: error.to_string(),
            };
            found = last_in(&log, &batch.map_err(damaged)?, evidence_log)?.or(found);
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Rows of the recorder's own (control entries) have no position.
fn last_in(log: &str, batch: &RecordBatch, evidence_log: &str) -> Result<Option<Emitted>> {
    let logs = text(log, batch, "evidence_log")?;
    let positions = primitive::<Int64Type>(log, batch, "position")?;
    let ordinals = primitive::<Int64Type>(log, batch, "ordinal")?;
    let is_alert = |row: &usize| {
        positions.is_valid(*row)
            && ordinals.is_valid(*row)
            && logs.is_valid(*row)
            && logs.value(*row) == evidence_log
    };
    let row = (0..batch.num_rows()).rev().find(is_alert);
    Ok(row.map(|row| Emitted { position: positions.value(row), ordinal: ordinals.value(row) }))
}
