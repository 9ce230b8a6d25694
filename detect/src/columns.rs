//! Rows of an `events` batch as the engine's records, without copying a byte.

mod rest;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, Int64Type, TimestampMicrosecondType};
use engine::Record;
use schemas::column::Side;
use schemas::control::{Control, Judgement, Verdict};
use schemas::{Column, ColumnType, Stream};

use crate::error::{Error, Result};
use rest::{Cells, Rest};

/// The columns that are fields of the engine's records; `control` only for whether it is null and what verdict it holds.
const EVENT_COLUMNS: [&str; 44] = [
    "log_index",
    "ingest_time",
    "time",
    "kind",
    "session_id",
    "decision",
    "status",
    "control",
    "environment",
    "user_id",
    "agent_id",
    "client",
    "credential_id",
    "source_ip",
    "call_id",
    "method",
    "server",
    "capability",
    "action",
    "risk",
    "approval_id",
    "approval_status",
    "approver",
    "request_hash",
    "error_class",
    "latency_us",
    "observer",
    "source",
    "source_seq",
    "auth_method",
    "country",
    "user_agent",
    "target",
    "policy_id",
    "policy_version",
    "policy_hash",
    "capability_type",
    "tool_hash",
    "workflow",
    "approval_wait_ms",
    "output_action",
    "response_bytes",
    "output_tokens",
    "destinations",
];

/// The other columns of the entry side that a rule in Sigma may name.
static REST_COLUMNS: LazyLock<Vec<&'static Column>> = LazyLock::new(|| {
    let columns = Stream::Events.columns().iter();
    let is_rest = |column: &&Column| {
        column.side == Side::Entry
            && column.kind != ColumnType::Binary
            && !EVENT_COLUMNS.contains(&column.name)
    };
    columns.filter(is_rest).collect()
});

/// All that is read of an events log.
pub(crate) static READ_COLUMNS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    EVENT_COLUMNS.into_iter().chain(REST_COLUMNS.iter().map(|column| column.name)).collect()
});

/// Room for what a record holds that no column has as it is; used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Room<'a> {
    destinations: Vec<&'a str>,
    verdict: Option<Verdict>,
    rest: Rest<'a>,
}

/// One batch of the `events` stream, its columns found by name and checked for their type.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    log_index: &'a Int64Array,
    ingest_time: &'a PrimitiveArray<TimestampMicrosecondType>,
    time: &'a PrimitiveArray<TimestampMicrosecondType>,
    kind: &'a StringArray,
    session_id: &'a StringArray,
    decision: &'a StringArray,
    status: &'a StringArray,
    control: &'a StringArray,
    environment: &'a StringArray,
    user_id: &'a StringArray,
    agent_id: &'a StringArray,
    client: &'a StringArray,
    credential_id: &'a StringArray,
    source_ip: &'a StringArray,
    call_id: &'a StringArray,
    method: &'a StringArray,
    server: &'a StringArray,
    capability: &'a StringArray,
    action: &'a StringArray,
    risk: &'a StringArray,
    approval_id: &'a StringArray,
    approval_status: &'a StringArray,
    approver: &'a StringArray,
    request_hash: &'a StringArray,
    error_class: &'a StringArray,
    latency_us: &'a Int64Array,
    observer: &'a StringArray,
    source: &'a StringArray,
    source_seq: &'a Int64Array,
    auth_method: &'a StringArray,
    country: &'a StringArray,
    user_agent: &'a StringArray,
    target: &'a StringArray,
    policy_id: &'a StringArray,
    policy_version: &'a StringArray,
    policy_hash: &'a StringArray,
    capability_type: &'a StringArray,
    tool_hash: &'a StringArray,
    workflow: &'a StringArray,
    approval_wait_ms: &'a Int64Array,
    output_action: &'a StringArray,
    response_bytes: &'a Int64Array,
    output_tokens: &'a Int64Array,
    destinations: &'a ListArray,
    destination: &'a StringArray,
    /// By field id.
    rest: Arc<[(u16, Cells<'a>)]>,
}

impl<'a> Events<'a> {
    /// # Errors
    /// [`Error::Damaged`] naming the first column that is missing or of another type.
    pub(crate) fn of(log: &str, batch: &'a RecordBatch) -> Result<Events<'a>> {
        let text = |name| text(log, batch, name);
        let (destinations, destination) = texts(log, batch, "destinations")?;
        let rest = REST_COLUMNS.iter().map(|column| Ok((column.id, Cells::of(log, batch, column)?)));
        let mut rest = rest.collect::<Result<Vec<_>>>()?;
        rest.sort_unstable_by_key(|(id, _)| *id);
        Ok(Events {
            log_index: primitive::<Int64Type>(log, batch, "log_index")?,
            ingest_time: primitive(log, batch, "ingest_time")?,
            time: primitive(log, batch, "time")?,
            kind: text("kind")?,
            session_id: text("session_id")?,
            decision: text("decision")?,
            status: text("status")?,
            control: text("control")?,
            environment: text("environment")?,
            user_id: text("user_id")?,
            agent_id: text("agent_id")?,
            client: text("client")?,
            credential_id: text("credential_id")?,
            source_ip: text("source_ip")?,
            call_id: text("call_id")?,
            method: text("method")?,
            server: text("server")?,
            capability: text("capability")?,
            action: text("action")?,
            risk: text("risk")?,
            approval_id: text("approval_id")?,
            approval_status: text("approval_status")?,
            approver: text("approver")?,
            request_hash: text("request_hash")?,
            error_class: text("error_class")?,
            latency_us: primitive(log, batch, "latency_us")?,
            observer: text("observer")?,
            source: text("source")?,
            source_seq: primitive(log, batch, "source_seq")?,
            auth_method: text("auth_method")?,
            country: text("country")?,
            user_agent: text("user_agent")?,
            target: text("target")?,
            policy_id: text("policy_id")?,
            policy_version: text("policy_version")?,
            policy_hash: text("policy_hash")?,
            capability_type: text("capability_type")?,
            tool_hash: text("tool_hash")?,
            workflow: text("workflow")?,
            approval_wait_ms: primitive(log, batch, "approval_wait_ms")?,
            output_action: text("output_action")?,
            response_bytes: primitive(log, batch, "response_bytes")?,
            output_tokens: primitive(log, batch, "output_tokens")?,
            destinations,
            destination,
            rest: rest.into(),
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.log_index.len()
    }

    /// The record in `row`, which is less than [`Events::rows`].
    pub(crate) fn record<'b>(&self, row: usize, room: &'b mut Room<'a>) -> Record<'b> {
        let Room { destinations, verdict, rest } = room;
        destinations.clear();
        if self.destinations.is_valid(row) {
            destinations.extend(items_of(self.destinations, self.destination, row));
        }
        rest.turn(&self.rest, row);
        // What another version of the recorder says of itself is no verdict; that it can be read is for the verifier to say.
        *verdict = value(self.control, row).and_then(|text| match Control::parse(text) {
            Ok(Control::Verdict(verdict)) => Some(verdict),
            _ => None,
        });
        Record {
            index: self.log_index.value(row),
            ingest_time_us: self.ingest_time.value(row),
            time_us: self.time.value(row),
            kind: self.kind.value(row),
            method: value(self.method, row),
            user_id: value(self.user_id, row),
            agent_id: value(self.agent_id, row),
            client: value(self.client, row),
            credential_id: value(self.credential_id, row),
            source_ip: value(self.source_ip, row),
            session_id: self.session_id.value(row),
            call_id: value(self.call_id, row),
            server: value(self.server, row),
            capability: value(self.capability, row),
            action: value(self.action, row),
            risk: value(self.risk, row),
            decision: self.decision.value(row),
            approval_id: value(self.approval_id, row),
            approval_status: value(self.approval_status, row),
            approver: value(self.approver, row),
            request_hash: value(self.request_hash, row),
            status: self.status.value(row),
            error_class: value(self.error_class, row),
            latency_us: number(self.latency_us, row),
            environment: value(self.environment, row),
            observer: value(self.observer, row),
            source: self.source.value(row),
            source_seq: number(self.source_seq, row),
            auth_method: value(self.auth_method, row),
            country: value(self.country, row),
            user_agent: value(self.user_agent, row),
            target: value(self.target, row),
            policy_id: value(self.policy_id, row),
            policy_version: value(self.policy_version, row),
            policy_hash: value(self.policy_hash, row),
            capability_type: value(self.capability_type, row),
            tool_hash: value(self.tool_hash, row),
            workflow: value(self.workflow, row),
            approval_wait_ms: number(self.approval_wait_ms, row),
            output_action: value(self.output_action, row),
            response_bytes: number(self.response_bytes, row),
            output_tokens: number(self.output_tokens, row),
            destinations,
            control: self.control.is_valid(row),
            verdict: verdict.as_ref().map(|verdict| engine::Verdict {
                alert_id: &verdict.alert_id,
                is_true: verdict.verdict == Judgement::True,
                muted_until_us: verdict.muted_until_us,
                by: &verdict.by,
                note: &verdict.note,
            }),
            rest: Some(rest),
        }
    }
}

/// The texts of the list in `row`.
fn items_of<'a>(list: &'a ListArray, items: &'a StringArray, row: usize) -> impl Iterator<Item = &'a str> {
    let offsets = list.value_offsets();
    let range = offsets.get(row).zip(offsets.get(row + 1));
    let range = range.map_or(0..0, |(first, end)| *first as usize..*end as usize);
    range.filter_map(|item| value(items, item))
}

fn number(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

fn value(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// The text column `name` of a batch of `log`.
pub(crate) fn text<'a>(log: &str, batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| wrong(log, batch, name, "a text"))
}

/// The list column `name` of a batch of `log`, and the texts that its lists are of.
fn texts<'a>(log: &str, batch: &'a RecordBatch, name: &str) -> Result<(&'a ListArray, &'a StringArray)> {
    let list = batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
    list.and_then(|list| Some((list, list.values().as_string_opt::<i32>()?)))
        .ok_or_else(|| wrong(log, batch, name, "a list of texts"))
}

/// The integer or time column `name` of a batch of `log`.
pub(crate) fn primitive<'a, T: ArrowPrimitiveType>(
    log: &str,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt::<T>())
        .ok_or_else(|| wrong(log, batch, name, &T::DATA_TYPE.to_string()))
}

fn wrong(log: &str, batch: &RecordBatch, name: &str, expected: &str) -> Error {
    let detail = match batch.column_by_name(name) {
        None => format!("column {name} is missing"),
        Some(column) => format!("column {name} is {}, expected {expected}", column.data_type()),
    };
    Error::Damaged { log: log.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use schemas::rows::{Row, RowsBuilder};
    use schemas::stream::{CONTROL, EVENT_ID, INGEST_TIME, LOG_INDEX, SESSION_ID, SOURCE, TENANT, TIME};
    use sigma::{Fields as _, Value};

    use super::*;

    fn batch() -> RecordBatch {
        let row = Row::new()
            .int(LOG_INDEX, 7)
            .int(INGEST_TIME, 20)
            .text(EVENT_ID, "e")
            .int(TIME, 10)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "s")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        let mut rows = RowsBuilder::entries(Stream::Events);
        rows.push(&row).unwrap();
        rows.push(&row.clone().int(LOG_INDEX, 8).text(CONTROL, "{}")).unwrap();
        // Every optional column that is read, each with its own name as its value.
        let filled = READ_COLUMNS.iter().filter_map(|name| Stream::Events.column(name)).fold(
            row.int(LOG_INDEX, 9),
            |row, column| match column {
                column if column.required || column.id == CONTROL => row,
                column if matches!(column.kind, ColumnType::Int64 | ColumnType::Timestamp) => {
                    row.int(column.id, 99)
                }
                column if column.kind == ColumnType::ListUtf8 => row.texts(column.id, &["one", "two"]),
                column => row.text(column.id, column.name),
            },
        );
        rows.push(&filled).unwrap();
        rows.finish().unwrap()
    }

    #[test]
    fn every_field_of_a_record_is_the_column_of_its_name() {
        let batch = batch();
        let events = Events::of("a/b/events/w", &batch).unwrap();
        assert_eq!(events.rows(), 3);
        let mut none = Room::default();
        let bare = events.record(0, &mut none);
        assert_eq!((bare.index, bare.ingest_time_us, bare.time_us), (7, 20, 10));
        assert_eq!((bare.kind, bare.session_id, bare.decision, bare.status), ("call", "s-1", "allow", "ok"));
        assert_eq!((bare.method, bare.latency_us, bare.control), (None, None, false));
        assert!(bare.destinations.is_empty());
        assert!(events.record(1, &mut Room::default()).control);
        // The record's Debug form says `field: Some("field")` for each optional text.
        let filled = format!("{:?}", events.record(2, &mut Room::default()));
        for name in EVENT_COLUMNS {
            let column = Stream::Events.column(name).unwrap();
            if !column.required && column.kind == ColumnType::Utf8 && column.id != CONTROL {
                assert!(filled.contains(&format!("{name}: Some(\"{name}\")")), "{name} in {filled}");
            }
        }
        assert_eq!(events.record(2, &mut Room::default()).latency_us, Some(99));
        assert_eq!(events.record(2, &mut Room::default()).destinations, ["one", "two"]);
    }

    /// Those that a rule in Sigma may name: without one of them here, a rule that names it would never match, and nobody would know.
    #[test]
    fn every_column_of_the_entry_side_can_be_asked_for() {
        let batch = batch();
        let events = Events::of("a/b/events/w", &batch).unwrap();
        let mut room = Room::default();
        let filled = events.record(2, &mut room);
        let mut asked = 0;
        for column in Stream::Events.columns().iter().filter(|column| column.side == Side::Entry) {
            if column.kind == ColumnType::Binary || column.required || column.id == CONTROL {
                continue;
            }
            let expected = match column.kind {
                ColumnType::Int64 | ColumnType::Timestamp => Value::Number(99),
                ColumnType::ListUtf8 => Value::List(Cow::Owned(vec!["one", "two"])),
                _ => Value::Text(column.name),
            };
            assert_eq!(filled.value(column), expected, "{}", column.name);
            asked += 1;
        }
        assert!(asked > 50, "{asked}");
        let mut room = Room::default();
        let bare = events.record(0, &mut room);
        let target = Stream::Events.column("target").unwrap();
        assert_eq!(bare.value(target), Value::Null);
        let event_id = Stream::Events.column("event_id").unwrap();
        assert_eq!(bare.value(event_id), Value::Text("e"));
    }

    #[test]
    fn a_missing_or_mistyped_column_is_named() {
        let batch = batch();
        for name in READ_COLUMNS.iter().copied() {
            let place = batch.schema().index_of(name).unwrap();
            let mut without = batch.clone();
            without.remove_column(place);
            let error = Events::of("a/b/events/w", &without).unwrap_err().to_string();
            assert!(error.contains(&format!("column {name} is missing")), "{error}");
            let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
            fields[place] =
                Arc::new(arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Boolean, true));
            let mut columns = batch.columns().to_vec();
            columns[place] = Arc::new(arrow::array::BooleanArray::from(vec![None, None, None]));
            let mistyped =
                RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
            let error = Events::of("a/b/events/w", &mistyped).unwrap_err().to_string();
            assert!(error.contains(&format!("column {name} is Boolean")), "{error}");
        }
    }
}
