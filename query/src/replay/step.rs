//! Rows of the steps query, in order, with the alerts that come between them.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};

use super::Cursor;
use super::alert::Alert;
use crate::Result;
use crate::format::value;

/// The count in the one row of a count query.
pub(super) fn count(batches: &[RecordBatch]) -> i64 {
    let column =
        batches.first().and_then(|batch| batch.columns().first().filter(|column| !column.is_empty()));
    column.and_then(|column| column.as_primitive_opt::<Int64Type>()).map_or(0, |counts| counts.value(0))
}

/// One event of the session.
pub(super) struct Step<'a> {
    batch: &'a RecordBatch,
    row: usize,
    names: &'a HashMap<String, usize>,
    pub(super) time_us: i64,
    pub(super) log_index: i64,
}

impl Step<'_> {
    /// The value of a column as text; `None` where it is null or this role does not see it.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let column = self.names.get(name).and_then(|at| self.batch.columns().get(*at));
        match column.filter(|column| column.is_valid(self.row)) {
            Some(column) => value::text(column.as_ref(), self.row).map(Some),
            None => Ok(None),
        }
    }

    /// Appends the value as JSON; false where it is null or not seen.
    pub(super) fn json(&self, name: &str, out: &mut Vec<u8>) -> Result<bool> {
        let column = self.names.get(name).and_then(|at| self.batch.columns().get(*at));
        match column.filter(|column| column.is_valid(self.row)) {
            Some(column) => value::json(column.as_ref(), self.row, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// When it happened.
    pub(super) fn time(&self) -> String {
        value::rfc3339(i128::from(self.time_us), 1_000_000)
    }
}

/// What there is to show next.
pub(super) enum Item<'a> {
    Step(Step<'a>, Vec<&'a Alert>),
    Alert(&'a Alert),
}

/// Where a replay is.
pub(super) struct Steps {
    names: HashMap<String, usize>,
    alerts: Vec<Alert>,
    /// The next alert to show between steps.
    next_alert: usize,
    /// Alerts by the log index of their evidence.
    evidence: HashMap<i64, Vec<usize>>,
    last: Option<Cursor>,
    seen: u64,
    limit: u64,
}

impl Steps {
    /// Steps of a page that begins after `after`. Alerts come in order of time.
    pub(super) fn new(schema: &SchemaRef, alerts: Vec<Alert>, after: Option<Cursor>, limit: u64) -> Steps {
        let names =
            schema.fields().iter().enumerate().map(|(at, field)| (field.name().clone(), at)).collect();
        let mut evidence: HashMap<i64, Vec<usize>> = HashMap::new();
        for (at, alert) in alerts.iter().enumerate() {
            for index in &alert.evidence {
                evidence.entry(*index).or_default().push(at);
            }
        }
        // Alerts up to where the page before ended were shown there.
        let next_alert =
            after.map_or(0, |cursor| alerts.partition_point(|alert| alert.time_us <= cursor.time_us));
        Steps { names, alerts, next_alert, evidence, last: None, seen: 0, limit }
    }

    /// Shows the rows of `batch`, each after the alerts that are older.
    pub(super) fn each(
        &mut self,
        batch: &RecordBatch,
        mut show: impl FnMut(Item<'_>) -> Result<()>,
    ) -> Result<()> {
        let missing = |name: &str| crate::Error::Internal(format!("steps without column {name}"));
        let time =
            batch.column_by_name("time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let index = batch.column_by_name("log_index").and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (time, index) =
            (time.ok_or_else(|| missing("time"))?, index.ok_or_else(|| missing("log_index"))?);
        for row in 0..batch.num_rows() {
            let (time_us, log_index) = (time.value(row), index.value(row));
            while let Some(alert) = self.alerts.get(self.next_alert).filter(|alert| alert.time_us < time_us) {
                show(Item::Alert(alert))?;
                self.next_alert += 1;
            }
            let about = self.evidence.get(&log_index).map_or(&[][..], Vec::as_slice);
            let about = about.iter().filter_map(|at| self.alerts.get(*at)).collect();
            show(Item::Step(Step { batch, row, names: &self.names, time_us, log_index }, about))?;
            self.last = Some(Cursor { time_us, log_index });
            self.seen += 1;
        }
        Ok(())
    }

    /// Shows the alerts after the last step, if this is the last page.
    pub(super) fn rest(&mut self, mut show: impl FnMut(&Alert) -> Result<()>) -> Result<()> {
        if self.next().is_none() {
            for alert in self.alerts.get(self.next_alert..).unwrap_or_default() {
                show(alert)?;
            }
        }
        Ok(())
    }

    /// Where the next page begins, if this one is full.
    pub(super) fn next(&self) -> Option<Cursor> {
        self.last.filter(|_| self.seen >= self.limit)
    }
}
