//! An alert read back from its row of the alerts log.

use std::sync::LazyLock;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use engine::{Alert, BudgetVerdict, Confidence, Severity, State};
use schemas::Stream;

use crate::columns::{primitive, text};
use crate::draft::{budget_verdict_name, confidence_name, severity_name, state_name};
use crate::error::{Error, Result};

/// What is read of the alerts log: the columns that the detector sets, and the index to find them by.
pub(crate) static COLUMNS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let drafted = schemas::rows::RowsBuilder::drafts(Stream::Alerts).finish();
    let fields: Vec<String> = drafted.map_or_else(
        |_| Vec::new(),
        |drafted| drafted.schema().fields().iter().map(|field| field.name().clone()).collect(),
    );
    let columns = Stream::Alerts.entry_columns().map(|column| column.name);
    columns.filter(|name| *name == "log_index" || fields.iter().any(|field| field == name)).collect()
});

/// One row of a batch of `log`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded<'a> {
    pub log: &'a str,
    pub batch: &'a RecordBatch,
    pub row: usize,
}

impl Recorded<'_> {
    /// The alert, with what was cut as it was cut.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn alert(self) -> Result<Alert> {
        Ok(Alert {
            alert_id: self.text("alert_id")?,
            state: self.state()?,
            sequence: self.int("sequence")?,
            rule_id: self.text("rule_id")?,
            title: self.text("title")?,
            severity: self.severity()?,
            confidence: self.word(
                "confidence",
                &[Confidence::Low, Confidence::Medium, Confidence::High],
                confidence_name,
            )?,
            entity_type: self.text("entity_type")?,
            entity: self.text("entity")?,
            environment: self.text_option("environment")?,
            first_seen_us: self.time("first_seen")?,
            last_seen_us: self.time("last_seen")?,
            count: self.int("count")?,
            statistic: self.text("statistic")?,
            expected: self.int_option("expected")?,
            observed: self.int_option("observed")?,
            unit: self.text("unit")?,
            baseline: self.text("baseline")?,
            window_us: self.int_option("window_us")?,
            evidence: self.ints("evidence")?,
            observables: self.texts("observables")?,
            explanation: self.text("explanation")?,
            query: self.text("query")?,
            runbook: self.text("runbook")?,
            references: self.texts("references")?,
            position: self.int("position")?,
            ordinal: self.int("ordinal")?,
            budget_verdict: self.word_option(
                "budget_verdict",
                &[BudgetVerdict::Within, BudgetVerdict::Over],
                budget_verdict_name,
            )?,
            log10_p_milli: self.int_option("log10_p_milli")?,
            muted_by: self.text_option("muted_by")?,
            muted_until_us: self.time_option("muted_until")?,
            mute_note: self.text_option("mute_note")?,
        })
    }

    pub(crate) fn state(self) -> Result<State> {
        self.word("state", &[State::Open, State::Updated, State::Closed], state_name)
    }

    pub(crate) fn severity(self) -> Result<Severity> {
        let all =
            [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        self.word("severity", &all, severity_name)
    }

    pub(crate) fn text(self, name: &str) -> Result<String> {
        Ok(text(self.log, self.batch, name)?.value(self.row).to_owned())
    }

    pub(crate) fn text_option(self, name: &str) -> Result<Option<String>> {
        let column = text(self.log, self.batch, name)?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row).to_owned()))
    }

    pub(crate) fn int(self, name: &str) -> Result<i64> {
        Ok(primitive::<Int64Type>(self.log, self.batch, name)?.value(self.row))
    }

    pub(crate) fn int_option(self, name: &str) -> Result<Option<i64>> {
        let column = primitive::<Int64Type>(self.log, self.batch, name)?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    fn time(self, name: &str) -> Result<i64> {
        Ok(primitive::<TimestampMicrosecondType>(self.log, self.batch, name)?.value(self.row))
    }

    fn time_option(self, name: &str) -> Result<Option<i64>> {
        let column = primitive::<TimestampMicrosecondType>(self.log, self.batch, name)?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    fn ints(self, name: &str) -> Result<Vec<i64>> {
        let items = self.list(name)?;
        let items =
            items.map(|items| items.as_primitive_opt::<Int64Type>().map(|items| items.values().to_vec()));
        items.unwrap_or_else(|| Some(Vec::new())).ok_or_else(|| self.damaged(name))
    }

    fn texts(self, name: &str) -> Result<Vec<String>> {
        let Some(items) = self.list(name)? else { return Ok(Vec::new()) };
        let items = items.as_string_opt::<i32>().ok_or_else(|| self.damaged(name))?;
        Ok(items.iter().flatten().map(str::to_owned).collect())
    }

    fn list(self, name: &str) -> Result<Option<arrow::array::ArrayRef>> {
        let column = self.batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
        let column = column.ok_or_else(|| self.damaged(name))?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    fn word<T: Copy>(self, column: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T> {
        let word = self.text(column)?;
        all.iter().copied().find(|one| name(*one) == word).ok_or_else(|| self.damaged(column))
    }

    fn word_option<T: Copy>(self, column: &str, all: &[T], name: fn(T) -> &'static str) -> Result<Option<T>> {
        match self.text_option(column)? {
            Some(_) => self.word(column, all, name).map(Some),
            None => Ok(None),
        }
    }

    fn damaged(self, column: &str) -> Error {
        let detail = format!("column {column} does not hold what the detector writes");
        Error::Damaged { log: self.log.to_owned(), detail }
    }
}
