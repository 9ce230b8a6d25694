//! Alerts that concern a session: the newest entry of each.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use crate::Result;
use crate::format::value;

/// One alert, as its newest entry says.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) rule_id: String,
    pub(super) title: String,
    pub(super) severity: String,
    pub(super) explanation: String,
    /// When it was first raised.
    pub(super) time_us: i64,
    /// Log indices of events.
    pub(super) evidence: Vec<i64>,
}

/// The alerts in `batches`, whose rows are in order of time.
pub(super) fn read(batches: &[RecordBatch]) -> Result<Vec<Alert>> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut alert = read_row(batch, row)?;
            match places.get(&alert.id).and_then(|at| alerts.get_mut(*at)) {
                Some(known) => {
                    alert.time_us = known.time_us;
                    alert.evidence.extend(known.evidence.iter().copied());
                    alert.evidence.sort_unstable();
                    alert.evidence.dedup();
                    *known = alert;
                }
                None => {
                    places.insert(alert.id.clone(), alerts.len());
                    alerts.push(alert);
                }
            }
        }
    }
    Ok(alerts)
}

fn read_row(batch: &RecordBatch, row: usize) -> Result<Alert> {
    let text = |name: &str| {
        batch.column_by_name(name).map_or(Ok(String::new()), |column| value::text(column.as_ref(), row))
    };
    let time =
        batch.column_by_name("time").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let evidence = batch
        .column_by_name("evidence")
        .and_then(|column| column.as_list_opt::<i32>())
        .filter(|lists| lists.is_valid(row))
        .map(|lists| lists.value(row));
    let evidence = evidence.as_ref().and_then(|list| list.as_primitive_opt::<Int64Type>());
    Ok(Alert {
        id: text("alert_id")?,
        state: text("state")?,
        rule_id: text("rule_id")?,
        title: text("title")?,
        severity: text("severity")?,
        explanation: text("explanation")?,
        time_us: time.map_or(0, |times| times.value(row)),
        evidence: evidence.map_or_else(Vec::new, |list| list.values().to_vec()),
    })
}
