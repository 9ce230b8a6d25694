//! From alerts to rows of the `alerts` stream.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use engine::{Alert, BudgetVerdict, Confidence, MODEL_VERSION, Severity, State};
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::CUT;
use schemas::{Column, Error, Result, Stream};
use store::Draft;

use crate::fold::Found;

/// For whom event ids of alerts are unique: the first two parts of [`source`].
const SCOPE: &str = "detect/engine";
/// `kind` of every alert.
const KIND: &str = "alert";
/// `session_id` of an alert that more than one event led to, or that came without any (a closing).
pub(crate) const SESSION_NONE: &str = "_detect";

/// `source` of every alert: who computed it, by which model.
pub(crate) fn source() -> String {
    format!("{SCOPE}/{MODEL_VERSION}")
}

/// One draft of all of `found`, in order. Event ids are marked, so that alerts whose append was not waited for are
/// found instead of recorded twice.
pub(crate) fn draft(tenant: &str, evidence_log: &str, found: &[Found]) -> Result<Draft> {
    let mut rows = RowsBuilder::drafts(Stream::Alerts);
    for found in found {
        rows.push(&row(tenant, evidence_log, found)?)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
    let payloads = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options)
        .map_err(|error| Error::malformed("batch", error.to_string()))?;
    Ok(Draft {
        entries: rows.finish()?,
        payloads,
        idempotent: vec![true; found.len()],
        scope: SCOPE.to_owned(),
    })
}

fn row(tenant: &str, evidence_log: &str, found: &Found) -> Result<Row> {
    let Alert {
        alert_id,
        state,
        sequence,
        rule_id,
        title,
        severity,
        confidence,
        entity_type,
        entity,
        environment,
        first_seen_us,
        last_seen_us,
        count,
        statistic,
        expected,
        observed,
        unit,
        baseline,
        window_us,
        evidence,
        observables,
        explanation,
        query,
        runbook,
        references,
        position,
        ordinal,
        budget_verdict,
        log10_p_milli,
        muted_by,
        muted_until_us,
        mute_note,
    } = &found.alert;
    let mut cells = Cells::default();
    cells.text("event_id", &format!("{alert_id}-{sequence}"))?;
    cells.int("time", *last_seen_us)?;
    cells.text("tenant", tenant)?;
    cells.text("kind", KIND)?;
    cells.text("source", &source())?;
    cells.text("session_id", found.session_id.as_deref().unwrap_or(SESSION_NONE))?;
    cells.text("decision", "none")?;
    cells.text("status", "ok")?;
    cells.text("alert_id", alert_id)?;
    cells.int("sequence", *sequence)?;
    cells.text("state", state_name(*state))?;
    cells.text("rule_id", rule_id)?;
    cells.text("title", title)?;
    cells.text("severity", severity_name(*severity))?;
    cells.text("confidence", confidence_name(*confidence))?;
    cells.text("entity_type", entity_type)?;
    cells.text("entity", entity)?;
    if let Some(environment) = environment {
        cells.text("environment", environment)?;
    }
    cells.int("first_seen", *first_seen_us)?;
    cells.int("last_seen", *last_seen_us)?;
    cells.int("count", *count)?;
    cells.text("statistic", statistic)?;
    cells.int_option("expected", *expected)?;
    cells.int_option("observed", *observed)?;
    cells.text("unit", unit)?;
    cells.text("baseline", baseline)?;
    cells.int_option("window_us", *window_us)?;
    cells.ints("evidence", evidence)?;
    cells.text("evidence_log", evidence_log)?;
    cells.texts("observables", observables)?;
    cells.text("explanation", explanation)?;
    cells.text("query", query)?;
    cells.text("runbook", runbook)?;
    cells.texts("references", references)?;
    cells.int("position", *position)?;
    cells.int("ordinal", *ordinal)?;
    if let Some(verdict) = budget_verdict {
        cells.text("budget_verdict", budget_verdict_name(*verdict))?;
    }
    cells.int_option("log10_p_milli", *log10_p_milli)?;
    if let Some(by) = muted_by {
        cells.text("muted_by", by)?;
    }
    cells.int_option("muted_until", *muted_until_us)?;
    if let Some(note) = mute_note {
        cells.text("mute_note", note)?;
    }
    Ok(cells.finish())
}

/// A row of which every value fits its column; what had to be shortened is listed in `cut`.
#[derive(Debug, Default)]
struct Cells {
    row: Row,
    cut: Vec<&'static str>,
}

impl Cells {
    fn text(&mut self, name: &'static str, value: &str) -> Result<()> {
        let column = column(name)?;
        let kept = clipped(value, column.bytes_max);
        self.note(column, kept.len() < value.len());
        self.row = std::mem::take(&mut self.row).text(column.id, kept);
        Ok(())
    }

    fn texts(&mut self, name: &'static str, items: &[String]) -> Result<()> {
        let column = column(name)?;
        let kept = fitting(items.iter().map(String::len), column.bytes_max);
        self.note(column, kept < items.len());
        self.row = std::mem::take(&mut self.row).texts(column.id, items.get(..kept).unwrap_or_default());
        Ok(())
    }

    fn ints(&mut self, name: &'static str, items: &[i64]) -> Result<()> {
        let column = column(name)?;
        let kept = fitting(items.iter().map(|_| size_of::<i64>()), column.bytes_max);
        self.note(column, kept < items.len());
        self.row = std::mem::take(&mut self.row).ints(column.id, items.get(..kept).unwrap_or_default());
        Ok(())
    }

    fn int(&mut self, name: &'static str, value: i64) -> Result<()> {
        self.int_option(name, Some(value))
    }

    fn int_option(&mut self, name: &'static str, value: Option<i64>) -> Result<()> {
        let column = column(name)?;
        self.row = std::mem::take(&mut self.row).int_option(column.id, value);
        Ok(())
    }

    fn note(&mut self, column: &'static Column, is_cut: bool) {
        if is_cut {
            self.cut.push(column.name);
        }
    }

    fn finish(self) -> Row {
        self.row.texts(CUT, &self.cut)
    }
}

fn column(name: &'static str) -> Result<&'static Column> {
    Stream::Alerts
        .column(name)
        .ok_or_else(|| Error::malformed("alert", format!("stream alerts has no column {name}")))
}

/// The longest beginning of `text` of at most `bytes_max` bytes that ends between two characters.
pub(crate) fn clipped(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

/// How many of the items, of those lengths, a list of at most `bytes_max` encoded bytes holds: a u32 count, then
/// a u32 length before each (`schemas::ColumnType`).
fn fitting(lengths: impl Iterator<Item = usize>, bytes_max: usize) -> usize {
    const LENGTH_BYTES: usize = 4;
    let mut bytes = LENGTH_BYTES;
    lengths
        .take_while(|length| {
            bytes = bytes.saturating_add(LENGTH_BYTES).saturating_add(*length);
            bytes <= bytes_max
        })
        .count()
}

/// Persisted.
pub(crate) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "informational",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// Persisted.
pub(crate) fn state_name(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Updated => "updated",
        State::Closed => "closed",
    }
}

/// Persisted.
pub(crate) fn confidence_name(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    }
}

/// Persisted.
pub(crate) fn budget_verdict_name(verdict: BudgetVerdict) -> &'static str {
    match verdict {
        BudgetVerdict::Within => "within",
        BudgetVerdict::Over => "over",
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use proptest::prelude::*;

    use super::*;

    fn found() -> Found {
        let alert = Alert {
            alert_id: "0123456789abcdef0123456789abcdef".to_owned(),
            state: State::Updated,
            sequence: 3,
            rule_id: "denial_ratio_ceiling".to_owned(),
            title: "Denials".to_owned(),
            severity: Severity::High,
            confidence: Confidence::Medium,
            entity_type: "principal".to_owned(),
            entity: "a-1".to_owned(),
            environment: None,
            first_seen_us: 1,
            last_seen_us: 2,
            count: 4,
            statistic: "denied of decided".to_owned(),
            expected: Some(5),
            observed: None,
            unit: "ppm".to_owned(),
            baseline: "none".to_owned(),
            window_us: Some(6),
            evidence: vec![7, 8],
            observables: vec!["agent_id=a-1".to_owned()],
            explanation: "because".to_owned(),
            query: "SELECT 1".to_owned(),
            runbook: "docs/runbooks/denial_ratio_ceiling.md".to_owned(),
            references: Vec::new(),
            position: 8,
            ordinal: 1,
            budget_verdict: Some(BudgetVerdict::Over),
            log10_p_milli: Some(-5_398),
            muted_by: Some("ann".to_owned()),
            muted_until_us: Some(9),
            mute_note: Some("a drill".to_owned()),
        };
        Found { alert, session_id: None }
    }

    fn text(batch: &RecordBatch, name: &str) -> String {
        batch.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned()
    }

    #[test]
    fn columns_of_the_recorder_are_filled_as_the_stream_says() {
        let draft = draft("acme", "i/acme/events/w1", &[found()]).unwrap();
        let batch = &draft.entries;
        for (name, value) in [
            ("event_id", "0123456789abcdef0123456789abcdef-3"),
            ("tenant", "acme"),
            ("kind", "alert"),
            ("source", &format!("detect/engine/{MODEL_VERSION}")),
            ("session_id", "_detect"),
            ("decision", "none"),
            ("status", "ok"),
            ("evidence_log", "i/acme/events/w1"),
            ("state", "updated"),
            ("severity", "high"),
            ("confidence", "medium"),
            ("budget_verdict", "over"),
            ("muted_by", "ann"),
            ("mute_note", "a drill"),
        ] {
            assert_eq!(text(batch, name), value, "{name}");
        }
        let time = batch.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>();
        assert_eq!(time.value(0), 2);
        let observed = batch.column_by_name("observed").unwrap().as_primitive::<Int64Type>();
        assert!(observed.is_null(0));
        let log10_p = batch.column_by_name("log10_p_milli").unwrap().as_primitive::<Int64Type>();
        assert_eq!(log10_p.value(0), -5_398);
        assert!(batch.column_by_name("environment").unwrap().is_null(0));
        assert!(batch.column_by_name("cut").unwrap().is_null(0));
        assert_eq!((draft.idempotent, draft.payloads.num_rows()), (vec![true], 1));
        assert!(source().starts_with(SCOPE));
    }

    #[test]
    fn the_session_stands_where_one_record_is_the_evidence() {
        let found = Found { session_id: Some("s-9".to_owned()), ..found() };
        let draft = draft("acme", "i/acme/events/w1", &[found]).unwrap();
        assert_eq!(text(&draft.entries, "session_id"), "s-9");
    }

    #[test]
    fn names_are_those_of_the_engine() {
        for severity in
            [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
        {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity_name(severity));
        }
        for state in [State::Open, State::Updated, State::Closed] {
            assert_eq!(serde_json::to_value(state).unwrap(), state_name(state));
        }
        for confidence in [Confidence::Low, Confidence::Medium, Confidence::High] {
            assert_eq!(serde_json::to_value(confidence).unwrap(), confidence_name(confidence));
        }
        for verdict in [BudgetVerdict::Within, BudgetVerdict::Over] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), budget_verdict_name(verdict));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_too_long_is_cut_at_a_character_and_named(
            text in "(a|é|😀){0,700}",
            items in proptest::collection::vec("(a|é|😀){0,300}", 0..40),
            evidence in proptest::collection::vec(any::<i64>(), 0..600),
        ) {
            let mut found = found();
            found.alert.title = text.clone();
            found.alert.references = items.clone();
            found.alert.evidence = evidence.clone();
            let batch = draft("acme", "i/acme/events/w1", &[found]).unwrap().entries;
            let title = batch.column_by_name("title").unwrap().as_string::<i32>().value(0);
            prop_assert!(text.starts_with(title) && title.len() <= 512);
            prop_assert!(title.len() == text.len() || title.len() + 4 > 512);
            let list = batch.column_by_name("references").unwrap().as_list::<i32>().value(0);
            let kept: Vec<String> = list.as_string::<i32>().iter().map(|item| item.unwrap().to_owned()).collect();
            prop_assert_eq!(&kept[..], &items[..kept.len()]);
            let indices = batch.column_by_name("evidence").unwrap().as_list::<i32>().value(0);
            let indices = indices.as_primitive::<Int64Type>().values().to_vec();
            prop_assert_eq!(&indices[..], &evidence[..indices.len()]);
            prop_assert_eq!(indices.len(), evidence.len().min((4096 - 4) / 12));
            let mut cut = Vec::new();
            if title.len() < text.len() { cut.push("title"); }
            if indices.len() < evidence.len() { cut.push("evidence"); }
            if kept.len() < items.len() { cut.push("references"); }
            let named = batch.column_by_name("cut").unwrap();
            prop_assert_eq!(named.is_null(0), cut.is_empty());
            if !cut.is_empty() {
                let named = named.as_list::<i32>().value(0);
                let named: Vec<&str> = named.as_string::<i32>().iter().flatten().collect();
                prop_assert_eq!(named, cut);
            }
        }
    }
}
