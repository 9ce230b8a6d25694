//! A store in a temporary directory, events that trip rules, and alerts read back as the engine says them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{concat_batches, filter_record_batch, is_null};
use arrow::datatypes::{Int64Type, Schema, TimestampMicrosecondType};
use detect::{Detector, Handle, Options};
use engine::{Alert, Settings};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use serde_json::{Value, json};
use store::clock::SystemClock;
use store::{Clock, Draft, Keys, LogSnapshot, Store};
use tempfile::TempDir;

/// 2026-03-04T12:00:00Z
pub const NOON_US: i64 = 1_772_625_600_000_000;
pub const SECOND_US: i64 = 1_000_000;

/// When logs are opened: before the first event of [`busy`]. A log's entry 0 is dated by its opening and moves the
/// engine's clock; opened at noon, all of `busy` would be late and no episode would ever close in it.
const OPENED_US: i64 = NOON_US - 7_300 * SECOND_US;

/// Real time of a fixed day, so that tests do not depend on today. It can be moved ahead as if one had waited: wall
/// and monotonic clock together, for the wall clock alone would be a step, which the store records.
#[derive(Debug)]
struct FixedDay {
    started_us: i64,
    waited_us: AtomicI64,
    real: SystemClock,
}

impl FixedDay {
    fn starting_at(started_us: i64) -> Arc<FixedDay> {
        Arc::new(FixedDay { started_us, waited_us: AtomicI64::new(0), real: SystemClock::new() })
    }

    fn wait_until(&self, wall_us: i64) {
        self.waited_us.fetch_add(wall_us - self.wall_us(), Ordering::SeqCst);
    }
}

impl Clock for FixedDay {
    fn wall_us(&self) -> i64 {
        self.started_us + self.monotonic_us()
    }

    fn monotonic_us(&self) -> i64 {
        self.waited_us.load(Ordering::SeqCst) + self.real.monotonic_us()
    }
}

pub struct Place {
    pub dir: TempDir,
    pub store: Store,
    clock: Arc<FixedDay>,
}

pub fn small() -> store::Options {
    store::Options {
        wal_file_bytes: 1 << 20,
        sign_interval_us: 20_000,
        // Tests say when to seal; two hours pass at once in them.
        seal_age_us: i64::MAX,
        seal_age_small_us: i64::MAX,
        ..store::Options::default()
    }
}

fn open(dir: &Path, options: store::Options, clock: &Arc<FixedDay>) -> Store {
    let keys = Keys::load_or_create(&dir.join("keys")).unwrap();
    Store::open(&dir.join("data"), keys, options, clock.clone()).unwrap()
}

impl Place {
    /// A store in which the logs of `tenants` have been open for two hours, empty.
    pub async fn new(tenants: &[&str]) -> Place {
        Place::with(small(), tenants).await
    }

    pub async fn with(options: store::Options, tenants: &[&str]) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let clock = FixedDay::starting_at(OPENED_US);
        let store = open(dir.path(), options, &clock);
        for tenant in tenants {
            for stream in [Stream::Events, Stream::Alerts] {
                store.log(tenant, stream).await.unwrap();
            }
        }
        clock.wait_until(NOON_US);
        Place { dir, store, clock }
    }

    /// Closes the store and opens it again, as another process would.
    pub async fn reopened(self) -> Place {
        let Place { dir, store, clock } = self;
        store.close().await.unwrap();
        drop(store);
        let clock = FixedDay::starting_at(clock.wall_us());
        let store = open(dir.path(), small(), &clock);
        Place { dir, store, clock }
    }

    /// Small chunks and frequent state files, so that there are many points to stop at.
    pub fn options(&self) -> Options {
        Options {
            snapshot_every: 10,
            chunk_records_max: 7,
            chunk_alerts_max: 3,
            discover_every: Duration::from_millis(2),
            clock_every: Duration::from_millis(2),
            ..Options::new(self.dir.path().join("states"))
        }
    }

    pub fn start(&self) -> Handle {
        Detector::start(self.store.clone(), self.options()).unwrap()
    }

    /// Lets so many microseconds pass.
    pub fn wait(&self, microseconds: i64) {
        self.clock.wait_until(self.clock.wall_us() + microseconds);
    }

    /// Waits until it is so.
    pub async fn eventually(&self, is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it becomes so");
    }

    /// Size of the events log once it has not grown for a while.
    pub async fn settled(&self, tenant: &str) -> u64 {
        let (mut size, mut since) = (self.durable(tenant), 0);
        while since < 50 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = self.durable(tenant);
            (size, since) = (now, if now == size { since + 1 } else { 0 });
        }
        size
    }

    pub async fn append(&self, tenant: &str, events: &[Value]) {
        let log = self.store.log(tenant, Stream::Events).await.unwrap();
        for chunk in events.chunks(500) {
            log.append(draft(tenant, chunk)).await.unwrap();
        }
    }

    pub fn durable(&self, tenant: &str) -> u64 {
        self.store.snapshot(tenant, Stream::Events).unwrap().durable
    }

    /// Waits until all that is in the events log now is judged.
    pub async fn judged(&self, handle: &Handle, tenant: &str) {
        let last = self.durable(tenant) - 1;
        let waited = tokio::time::timeout(Duration::from_secs(60), handle.wait_for(tenant, last)).await;
        waited.expect("the detector keeps up").unwrap();
    }

    /// What one fold over the whole events log says.
    pub fn expected(&self, tenant: &str) -> Vec<Alert> {
        self.expected_under(tenant, Settings::default())
    }

    pub fn expected_under(&self, tenant: &str, settings: Settings) -> Vec<Alert> {
        let snapshot = self.store.snapshot(tenant, Stream::Events).unwrap();
        detect::fold(snapshot, settings).unwrap()
    }

    /// Rows of the alerts log, as they would be appended.
    pub fn alert_rows(&self, tenant: &str) -> RecordBatch {
        let all = batches(&self.store.snapshot(tenant, Stream::Alerts).unwrap());
        let all = concat_batches(&all[0].schema(), &all).unwrap();
        let is_alert = is_null(all.column_by_name("control").unwrap()).unwrap();
        let columns = RowsBuilder::drafts(Stream::Alerts).finish().unwrap().schema();
        let places: Vec<usize> =
            columns.fields().iter().map(|field| all.schema().index_of(field.name()).unwrap()).collect();
        filter_record_batch(&all, &is_alert).unwrap().project(&places).unwrap()
    }

    /// Appends `rows`, which may be of another place, to the alerts log.
    pub async fn append_alerts(&self, tenant: &str, rows: &RecordBatch) {
        self.append_alerts_as(tenant, rows, true).await;
    }

    /// Appends `rows` though they are there already.
    pub async fn append_alerts_again(&self, tenant: &str, rows: &RecordBatch) {
        self.append_alerts_as(tenant, rows, false).await;
    }

    async fn append_alerts_as(&self, tenant: &str, rows: &RecordBatch, is_idempotent: bool) {
        let evidence_log = self.store.snapshot(tenant, Stream::Events).unwrap().origin.to_string();
        let at = rows.schema().index_of("evidence_log").unwrap();
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(StringArray::from(vec![evidence_log; rows.num_rows()]));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let draft = Draft {
            entries: RecordBatch::try_new(rows.schema(), columns).unwrap(),
            payloads: RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options)
                .unwrap(),
            idempotent: vec![is_idempotent; rows.num_rows()],
            scope: "detect/engine".to_owned(),
        };
        self.store.log(tenant, Stream::Alerts).await.unwrap().append(draft).await.unwrap();
    }

    /// What the alerts log holds.
    pub fn recorded(&self, tenant: &str) -> Vec<Alert> {
        let Some(snapshot) = self.store.snapshot(tenant, Stream::Alerts) else { return Vec::new() };
        batches(&snapshot)
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).filter_map(|row| alert(batch, row)))
            .collect()
    }
}

/// The event as a draft row: keys are columns, what is not said is filled with harmless words.
fn row(tenant: &str, event: &Value) -> Row {
    let mut full = json!({
        "tenant": tenant, "kind": "call", "source": "http/t-1/canonical/1", "session_id": "derived-1",
        "decision": "allow", "status": "ok",
    });
    full.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
    full.as_object().unwrap().iter().fold(Row::new(), |row, (key, value)| {
        let column = Stream::Events.entry_columns().find(|column| column.name == key);
        let Some(column) = column else { return row };
        match value {
            Value::String(text) if column.name == "time" => {
                row.int(column.id, i64::try_from(corpus::parse_rfc3339(text).unwrap()).unwrap())
            }
            Value::String(text) => row.text(column.id, text),
            Value::Number(number) => row.int(column.id, number.as_i64().unwrap()),
            Value::Array(items) => {
                row.texts(column.id, &items.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>())
            }
            other => panic!("{key} is {other}"),
        }
    })
}

pub fn draft(tenant: &str, events: &[Value]) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for event in events {
        entries.push(&row(tenant, event)).unwrap();
        payloads.push(&Row::new()).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: Vec::new(),
        scope: "http/t-1".to_owned(),
    }
}

/// Up to a bit over two hours, from 100 s after the logs were opened on. In 360 of them every kind of emission occurs:
/// openings, updates, closings, several of one record.
pub fn busy(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let time_us = NOON_US - 7_200 * SECOND_US + i64::try_from(number).unwrap() * 20 * SECOND_US;
            let mut event = json!({
                "event_id": format!("e-{number}"), "time": time_us, "agent_id": format!("a-{}", number % 3),
                "user_id": "u-1", "session_id": format!("s-{}", number % 5), "server": "github",
                "capability": "merge", "method": "tools/call", "action": "read", "risk": "low",
                "environment": "prod", "latency_us": 1_000 * (number % 7_000),
            });
            let (kind, special) = match number % 40 {
                0..=11 if number >= 40 => ("auth", json!({
                    "kind": "auth", "method": "login", "source_ip": "198.51.100.23", "status": "error",
                    // A burst needs more than one every five seconds.
                    "time": NOON_US - 7_200 * SECOND_US + i64::try_from(number / 40 * 40).unwrap() * 20 * SECOND_US
                        + i64::try_from(number % 40).unwrap() * SECOND_US,
                })),
                // The second is the first event after the failures have been quiet for ten minutes: it closes their
                // episode and opens or updates its own.
                13 | 31 => ("write", json!({"action": "write", "risk": "critical"})),
                14 => ("revoke", json!({
                    "kind": "auth", "method": "revoke", "credential_id": format!("c-{}", number / 80),
                })),
                17 | 18 => ("use", json!({"credential_id": format!("c-{}", number / 80)})),
                20..=29 => ("deny", json!({"decision": "deny", "status": "denied", "agent_id": "a-1"})),
                _ => ("call", json!({})),
            };
            assert!(!kind.is_empty());
            event.as_object_mut().unwrap().extend(special.as_object().unwrap().clone());
            event
        })
        .collect()
}

/// All rows of a log, sealed and unsealed.
pub fn batches(snapshot: &LogSnapshot) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for segment in snapshot.segments.iter() {
        let file = std::fs::File::open(&segment.entries.path).unwrap();
        all.extend(
            ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap),
        );
    }
    all.extend(snapshot.unsealed.iter().map(|batch| batch.entries.clone()));
    all
}

pub fn text(batch: &RecordBatch, row: usize, name: &str) -> Option<String> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn int(batch: &RecordBatch, row: usize, name: &str) -> Option<i64> {
    let column = batch.column_by_name(name).unwrap();
    if !column.is_valid(row) {
        return None;
    }
    match column.as_primitive_opt::<Int64Type>() {
        Some(column) => Some(column.value(row)),
        None => Some(column.as_primitive::<TimestampMicrosecondType>().value(row)),
    }
}

fn texts(batch: &RecordBatch, row: usize, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap().as_list::<i32>();
    if !column.is_valid(row) {
        return Vec::new();
    }
    column.value(row).as_string::<i32>().iter().map(|item| item.unwrap().to_owned()).collect()
}

/// The row as the engine's alert; none for control entries.
fn alert(batch: &RecordBatch, row: usize) -> Option<Alert> {
    if text(batch, row, "control").is_some() {
        return None;
    }
    assert!(texts(batch, row, "cut").is_empty() && texts(batch, row, "tags").is_empty());
    let text = |name| text(batch, row, name);
    let int = |name| int(batch, row, name);
    let word = |name: &str| Value::String(self::text(batch, row, name).unwrap());
    let evidence = batch.column_by_name("evidence").unwrap().as_list::<i32>().value(row);
    assert_eq!(
        text("event_id").unwrap(),
        format!("{}-{}", text("alert_id").unwrap(), int("sequence").unwrap())
    );
    Some(Alert {
        alert_id: text("alert_id").unwrap(),
        state: serde_json::from_value(word("state")).unwrap(),
        sequence: int("sequence").unwrap(),
        rule_id: text("rule_id").unwrap(),
        title: text("title").unwrap(),
        severity: serde_json::from_value(word("severity")).unwrap(),
        confidence: serde_json::from_value(word("confidence")).unwrap(),
        entity_type: text("entity_type").unwrap(),
        entity: text("entity").unwrap(),
        environment: text("environment"),
        first_seen_us: int("first_seen").unwrap(),
        last_seen_us: int("last_seen").unwrap(),
        count: int("count").unwrap(),
        statistic: text("statistic").unwrap(),
        expected: int("expected"),
        observed: int("observed"),
        unit: text("unit").unwrap(),
        baseline: text("baseline").unwrap(),
        window_us: int("window_us"),
        evidence: evidence.as_primitive::<Int64Type>().values().to_vec(),
        observables: texts(batch, row, "observables"),
        explanation: text("explanation").unwrap(),
        query: text("query").unwrap(),
        runbook: text("runbook").unwrap(),
        references: texts(batch, row, "references"),
        position: int("position").unwrap(),
        ordinal: int("ordinal").unwrap(),
        budget_verdict: text("budget_verdict")
            .map(|_| serde_json::from_value(word("budget_verdict")).unwrap()),
        log10_p_milli: int("log10_p_milli"),
        muted_by: text("muted_by"),
        muted_until_us: int("muted_until"),
        mute_note: text("mute_note"),
    })
}
