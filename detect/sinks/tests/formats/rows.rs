//! Rows to alerts and events: everything is read, and nothing unknown becomes something known.

use arrow::array::RecordBatch;
use schemas::Stream;
use sinks::{ALERT_COLUMNS, Alert, BudgetVerdict, EVENT_COLUMNS, Error, Event, Value};

use crate::fixture::{self, Cell, batch};

/// The cells of an alert, as the detector writes them.
fn cells(alert: &Alert) -> Vec<(&'static str, Cell)> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let mut cells = vec![
        ("log_index", Cell::Int(alert.log_index as i64)),
        ("ingest_time", Cell::Int(alert.ingest_time_us)),
        ("event_id", text(&alert.event_id)),
        ("time", Cell::Int(alert.time_us)),
        ("tenant", text(&alert.tenant)),
        ("kind", text(&alert.kind)),
        ("source", text(&alert.source)),
        ("session_id", text(&alert.session_id)),
        ("decision", text(&alert.decision)),
        ("status", text(&alert.status)),
        ("tags", Cell::Texts(alert.tags.clone())),
        ("alert_id", text(&alert.alert_id)),
        ("sequence", Cell::Int(alert.sequence)),
        ("state", text(alert.state.word())),
        ("rule_id", text(&alert.rule_id)),
        ("title", text(&alert.title)),
        ("severity", text(alert.severity.word())),
        ("confidence", text(alert.confidence.word())),
        ("entity_type", text(&alert.entity_type)),
        ("entity", text(&alert.entity)),
        ("first_seen", Cell::Int(alert.first_seen_us)),
        ("last_seen", Cell::Int(alert.last_seen_us)),
        ("count", Cell::Int(alert.count)),
        ("statistic", text(&alert.statistic)),
        ("unit", text(&alert.unit)),
        ("baseline", text(&alert.baseline)),
        ("evidence_log", text(&alert.evidence_log)),
        ("observables", Cell::Texts(alert.observables.clone())),
        ("explanation", text(&alert.explanation)),
        ("query", text(&alert.query)),
        ("runbook", text(&alert.runbook)),
        ("references", Cell::Texts(alert.references.clone())),
        ("position", Cell::Int(alert.position)),
        ("ordinal", Cell::Int(alert.ordinal)),
    ];
    let ints = [("expected", alert.expected), ("observed", alert.observed), ("window_us", alert.window_us)];
    cells.extend(ints.into_iter().filter_map(|(name, int)| int.map(|int| (name, Cell::Int(int)))));
    cells.extend(alert.muted_until_us.map(|until_us| ("muted_until", Cell::Int(until_us))));
    let texts =
        [("environment", &alert.environment), ("muted_by", &alert.muted_by), ("mute_note", &alert.mute_note)];
    cells.extend(
        texts.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, text(value)))),
    );
    cells
}

/// What a row of this stream can say of the alert, whether or not it has the columns of the budget.
fn without_budget(alert: Alert) -> Alert {
    Alert { budget_verdict: None, log10_p_milli: None, evidence: Vec::new(), ..alert }
}

fn with(cells: &[(&'static str, Cell)], name: &'static str, cell: Cell) -> Vec<(&'static str, Cell)> {
    let others = cells.iter().filter(|(known, _)| *known != name).cloned();
    others.chain([(name, cell)]).collect()
}

#[test]
fn every_column_of_an_alert_is_read() {
    for (name, alert) in fixture::alerts() {
        let batch = batch(Stream::Alerts, &cells(&alert));
        let read = Alert::read(&alert.log, &batch).unwrap();
        assert_eq!(read, [Some(without_budget(alert))], "{name}");
    }
    let optional = ["budget_verdict", "log10_p_milli", "muted_by", "muted_until", "mute_note"];
    let entry = Stream::Alerts.entry_columns().map(|column| column.name);
    let mut expected: Vec<&str> = entry.filter(|name| !optional.contains(name)).collect();
    expected.extend(optional);
    assert_eq!(ALERT_COLUMNS.to_vec(), expected);
    let entry: Vec<&str> = Stream::Events.entry_columns().map(|column| column.name).collect();
    assert_eq!(*EVENT_COLUMNS, entry);
    assert!(!EVENT_COLUMNS.contains(&"arguments") && !EVENT_COLUMNS.contains(&"result"));
}

/// The batch without columns of these names, and with these texts in one more.
fn reshaped(batch: &RecordBatch, name: &str, column: arrow::array::ArrayRef) -> RecordBatch {
    let mut columns: Vec<(String, arrow::array::ArrayRef)> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() != name {
            columns.push((field.name().clone(), column.clone()));
        }
    }
    columns.push((name.to_owned(), column));
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn columns_of_the_budget_are_read_where_there_are_any() {
    let batch = batch(Stream::Alerts, &cells(&fixture::statistic()));
    let verdicts = |word: &str| std::sync::Arc::new(arrow::array::StringArray::from(vec![word]));
    let over = reshaped(&batch, "budget_verdict", verdicts("over"));
    let both = std::sync::Arc::new(arrow::array::Int64Array::from(vec![-4_100]));
    let both = reshaped(&over, "log10_p_milli", both);
    let read = Alert::read("l", &both).unwrap().remove(0).unwrap();
    assert_eq!((read.budget_verdict, read.log10_p_milli), (Some(BudgetVerdict::Over), Some(-4_100)));
    let read = Alert::read("l", &reshaped(&batch, "budget_verdict", verdicts("maybe")));
    assert!(matches!(read, Err(Error::Row { .. })), "{read:?}");
}

#[test]
fn a_word_that_nobody_knows_is_an_error_and_never_another_word() {
    let good = cells(&fixture::statistic());
    for name in ["state", "severity", "confidence"] {
        let batch = batch(Stream::Alerts, &with(&good, name, Cell::Text("Severe".to_owned())));
        match Alert::read("acme/alerts", &batch) {
            Err(Error::Row { log, index: 41, detail }) => {
                assert!(
                    log == "acme/alerts" && detail.contains(name) && detail.contains("Severe"),
                    "{detail}"
                );
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    for name in ["alert_id", "state", "severity", "count", "first_seen", "rule_id", "position"] {
        let cells: Vec<_> = good.iter().filter(|(known, _)| *known != name).cloned().collect();
        let read = Alert::read("l", &batch(Stream::Alerts, &cells));
        assert!(matches!(&read, Err(Error::Row { detail, .. }) if detail.contains(name)), "{name}: {read:?}");
    }
    let batch = batch(Stream::Alerts, &good);
    let wrong = std::sync::Arc::new(arrow::array::StringArray::from(vec!["7"]));
    let read = Alert::read("l", &reshaped(&batch, "count", wrong));
    assert!(matches!(&read, Err(Error::Row { detail, .. }) if detail.contains("Utf8")), "{read:?}");
}

#[test]
fn an_entry_of_the_recorder_is_none_and_is_passed() {
    let control = r#"{"control":"heartbeat"}"#.to_owned();
    let alert =
        batch(Stream::Alerts, &with(&cells(&fixture::sigma()), "control", Cell::Text(control.clone())));
    assert_eq!(Alert::read("l", &alert).unwrap(), [None]);
    let mut event = vec![("control", Cell::Text(control)), ("log_index", Cell::Int(7))];
    for name in ["ingest_time", "time"] {
        event.push((name, Cell::Int(1)));
    }
    for name in ["event_id", "tenant", "kind", "source", "session_id", "decision", "status"] {
        event.push((name, Cell::Text("x".to_owned())));
    }
    assert_eq!(Event::read("l", &batch(Stream::Events, &event)).unwrap(), [None]);
}

#[test]
fn an_event_has_its_columns_in_order_and_no_null() {
    let (_, call) = fixture::events().remove(0);
    let names: Vec<&str> = call.columns().map(|(name, _)| name).collect();
    assert!(names.contains(&"latency_us") && !names.contains(&"kind") && !names.contains(&"country"));
    assert_eq!(call.text("server"), Some("weather"));
    assert_eq!(call.int("latency_us"), Some(12_400));
    assert_eq!((call.text("latency_us"), call.int("server"), call.text("nothing")), (None, None, None));
    let tags = call.columns().find(|(name, _)| *name == "tags").map(|(_, value)| value.clone());
    assert_eq!(tags, Some(Value::Texts(vec!["late".to_owned()])));
}
