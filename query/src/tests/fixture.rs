//! A small world: tenants with logs of any size, half of them sealed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, new_null_array};
use async_trait::async_trait;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schemas::layout::{self, FileKind, FileName};
use schemas::manifest::File;
use schemas::principal::{Principal, Role};
use schemas::rows::{Row, RowsBuilder};
use schemas::{Origin, Stream};
use store::{DataFile, Draft, LogSnapshot, Segment, Unsealed};
use tempfile::TempDir;

use crate::format::Encoded;
use crate::{Answer, Error, Format, Journal, Options, Query, Request, Result, Snapshots};

/// 2026-11-20T00:00:00Z.
pub const START_US: i64 = 1_795_132_800_000_000;

/// Field id of a column.
pub fn id(stream: Stream, name: &str) -> u16 {
    stream.column(name).unwrap_or_else(|| panic!("no column {name}")).id
}

/// Event number `i`: one a second, ten a session.
pub fn event(i: i64) -> Row {
    let id = |name| id(Stream::Events, name);
    let (kind, status) = match i % 13 {
        0 => ("auth", if i % 2 == 0 { "error" } else { "ok" }),
        5 => ("approval", "ok"),
        _ => ("call", "ok"),
    };
    let decision = if i % 11 == 0 { "deny" } else { "allow" };
    let action = ["read", "write", "destructive"][(i % 3) as usize];
    let mut row = Row::new()
        .int(id("log_index"), i)
        .int(id("ingest_time"), START_US + i * 1_000_000 + 5)
        .text(id("event_id"), &format!("e{i:07}"))
        .int(id("time"), START_US + i * 1_000_000)
        .text(id("tenant"), "default")
        .text(id("kind"), kind)
        .text(id("source"), "http/t-1/json/1")
        .text(id("session_id"), &format!("s{:06}", i / 10))
        .text(id("decision"), decision)
        .text(id("status"), status)
        .text(id("environment"), "prod")
        .text(id("user_id"), &format!("user{}", i % 7))
        .text(id("agent_id"), &format!("agent{}", i % 5))
        .text(id("client"), "cli/1")
        .text(id("server"), ["github", "jira"][(i % 2) as usize])
        .text(id("request_id"), &format!("r{i}"))
        .int(id("latency_us"), 1000 + (i * 37) % 5000)
        .int(id("response_bytes"), i % 900)
        .int(id("input_tokens"), i % 100)
        .int(id("output_tokens"), i % 50)
        .texts(id("scopes"), &["repo", "issues"]);
    if kind == "call" {
        row = row
            .text(id("capability_type"), "tool")
            .text(id("capability"), &format!("tool{}", i % 20))
            .text(id("target"), &format!("repo/{}", i % 50))
            .text(id("action"), action);
    }
    if kind == "approval" {
        row = row.text(id("approver"), "boss").int(id("approval_wait_ms"), i % 1000);
    }
    row
}

/// Record number `index` of the events log: how many minutes before `now_us`, then columns as `name=value`; `received` is
/// the minutes before it that it was received, if not at once.
fn record(now_us: i64, index: i64, line: &str) -> Row {
    let mut words = line.split_whitespace();
    let ago_us = |minutes: &str| now_us - (minutes.parse::<f64>().unwrap() * 60e6) as i64;
    let time_us = ago_us(words.next().unwrap());
    let mut cells = BTreeMap::from([
        ("kind", "call"),
        ("decision", "allow"),
        ("status", "ok"),
        ("source", "http/t-1/json/1"),
        ("session_id", "s1"),
    ]);
    cells.extend(words.map(|word| word.split_once('=').unwrap()));
    let received_us = cells.remove("received").map_or(time_us + 5, ago_us);
    let mut row = Row::new()
        .int(id(Stream::Events, "log_index"), index)
        .int(id(Stream::Events, "time"), time_us)
        .int(id(Stream::Events, "ingest_time"), received_us)
        .text(id(Stream::Events, "event_id"), &format!("e{index}"))
        .text(id(Stream::Events, "tenant"), "default");
    for (name, value) in cells {
        row = match value.parse() {
            Ok(number) => row.int(id(Stream::Events, name), number),
            Err(_) => row.text(id(Stream::Events, name), value),
        };
    }
    row
}

/// The arguments of event number `i`.
pub fn arguments(i: i64) -> String {
    format!(r#"{{"note":"value {i}","needle":"{}"}}"#, if i % 1000 == 7 { "haystack" } else { "hay" })
}

/// Entries `range` of the events log.
pub fn events(range: std::ops::Range<i64>) -> RecordBatch {
    let mut builder = RowsBuilder::entries(Stream::Events);
    for i in range {
        builder.push(&event(i)).unwrap();
    }
    builder.finish().unwrap()
}

/// Payload rows for the entries of `range`.
pub fn payloads(range: std::ops::Range<i64>) -> RecordBatch {
    let mut builder = RowsBuilder::payloads(Stream::Events);
    let column = |name| id(Stream::Events, name);
    for i in range.clone() {
        let row =
            Row::new().text(column("arguments"), &arguments(i)).text(column("result"), r#"{"ok":true}"#);
        builder.push(&row).unwrap();
    }
    let values = builder.finish().unwrap();
    let schema = Stream::Events.payload_schema();
    let rows = values.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "log_index" => Arc::new(range.clone().collect::<Int64Array>()) as Arc<dyn Array>,
            "salt" => Arc::new(arrow::array::BinaryArray::from_iter_values((0..rows).map(|_| [7u8; 16]))),
            name => match values.column_by_name(name) {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), rows),
            },
        })
        .collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Writes a sealed file of a log below `dir`, as the store does.
pub fn seal(
    dir: &Path,
    origin: &Origin,
    kind: FileKind,
    first: u64,
    last: u64,
    rows: &RecordBatch,
) -> DataFile {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_max_row_group_row_count(Some(schemas::limits::ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(
            schemas::segment::metadata(origin, first, last)
                .into_iter()
                .map(|(key, value)| KeyValue::new(key.to_string(), value))
                .collect(),
        ))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options).unwrap();
    writer.write(rows).unwrap();
    let bytes = writer.into_inner().unwrap();
    let blake3 = schemas::manifest::digest(&bytes);
    let name = FileName { kind, date: layout::date(START_US), first, last, digest: blake3[..16].to_string() };
    let path = dir.join(layout::origin_dir(origin)).join(name.path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let times = rows
        .column_by_name("time")
        .map(|c| c.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values().to_vec());
    let times = times.unwrap_or_else(|| vec![START_US]);
    DataFile {
        path,
        file: File {
            path: name.path(),
            rows: rows.num_rows() as u64,
            bytes: bytes.len() as u64,
            blake3,
            time_min_us: *times.iter().min().unwrap(),
            time_max_us: *times.iter().max().unwrap(),
        },
    }
}

/// The world.
pub struct World {
    pub dir: TempDir,
    logs: Mutex<HashMap<(String, Stream), LogSnapshot>>,
    /// Logs of one earlier writer that cannot be read: the writer, and why.
    pub damaged: Mutex<HashMap<(String, Stream), [String; 2]>>,
    /// What the access log took, oldest first.
    pub journal: Mutex<Vec<(String, Draft)>>,
    /// Whether the access log refuses.
    pub refusing: AtomicBool,
}

impl Snapshots for World {
    fn snapshot(&self, tenant: &str, stream: Stream) -> Option<LogSnapshot> {
        self.logs.lock().unwrap().get(&(tenant.to_string(), stream)).cloned()
    }

    fn damaged_predecessors(&self, tenant: &str, stream: Stream) -> Vec<(String, String)> {
        let damaged = self.damaged.lock().unwrap();
        let of_it = damaged.get(&(tenant.to_string(), stream)).cloned();
        of_it.into_iter().map(|[writer, why]| (writer, why)).collect()
    }
}

#[async_trait]
impl Journal for World {
    async fn append(&self, tenant: &str, draft: Draft) -> store::Result<()> {
        if self.refusing.load(Ordering::Relaxed) {
            return Err(store::Error::Poisoned { reason: "test".to_string() });
        }
        assert_eq!(draft.payloads.num_rows(), draft.entries.num_rows());
        assert_eq!(draft.payloads.num_columns(), 0);
        self.journal.lock().unwrap().push((tenant.to_string(), draft));
        Ok(())
    }
}

impl World {
    pub fn empty() -> Arc<World> {
        Arc::new(World {
            dir: tempfile::tempdir().unwrap(),
            logs: Mutex::default(),
            damaged: Mutex::default(),
            journal: Mutex::default(),
            refusing: AtomicBool::new(false),
        })
    }

    /// Tenant `default` with events in sealed files of `per_file` rows and an unsealed rest.
    pub fn with_events(sealed: i64, per_file: i64, unsealed: i64) -> Arc<World> {
        let world = World::empty();
        world.add_events("default", sealed, per_file, unsealed);
        world
    }

    /// Tenant `default` with records of the events log, one a line: minutes before `now_us`, then columns as
    /// `name=value`.
    pub fn with_records(now_us: i64, lines: &[&str]) -> Arc<World> {
        let mut builder = RowsBuilder::entries(Stream::Events);
        for (index, line) in (0..).zip(lines) {
            builder.push(&record(now_us, index, line)).unwrap();
        }
        let world = World::empty();
        world.add_unsealed("default", Stream::Events, builder.finish().unwrap());
        world
    }

    pub fn add_events(&self, tenant: &str, sealed: i64, per_file: i64, unsealed: i64) {
        let origin = Origin::new("test-1", tenant, Stream::Events, "w1").unwrap();
        let mut segments = Vec::new();
        let mut first = 0;
        while first < sealed {
            let last = (first + per_file).min(sealed);
            let (a, b) = (first as u64, last as u64);
            segments.push(Arc::new(Segment {
                first: a,
                last: b,
                entries: seal(self.dir.path(), &origin, FileKind::Segment, a, b, &events(first..last)),
                payloads: Some(seal(
                    self.dir.path(),
                    &origin,
                    FileKind::Payload,
                    a,
                    b,
                    &payloads(first..last),
                )),
            }));
            first = last;
        }
        let rest = sealed..sealed + unsealed;
        let unsealed = vec![Unsealed {
            first: sealed as u64,
            entries: events(rest.clone()),
            payloads: payloads(rest.clone()),
        }];
        self.put(LogSnapshot {
            origin,
            sealed: sealed as u64,
            signed: sealed as u64,
            durable: rest.end as u64,
            manifest: 1,
            checkpoint: "".into(),
            segments: Arc::new(segments),
            unsealed,
        });
    }

    /// Tenant `default` with one session of `calls` calls, all sealed in files of 65,536 rows.
    pub fn with_session(session: &str, calls: i64) -> Arc<World> {
        let world = World::empty();
        let origin = Origin::new("test-1", "default", Stream::Events, "w1").unwrap();
        let mut segments = Vec::new();
        for first in (0..calls).step_by(65_536) {
            let last = (first + 65_536).min(calls);
            let mut builder = RowsBuilder::entries(Stream::Events);
            for i in first..last {
                builder.push(&event(i).text(id(Stream::Events, "session_id"), session)).unwrap();
            }
            let (entries, payloads) = (builder.finish().unwrap(), payloads(first..last));
            let (a, b) = (first as u64, last as u64);
            segments.push(Arc::new(Segment {
                first: a,
                last: b,
                entries: seal(world.dir.path(), &origin, FileKind::Segment, a, b, &entries),
                payloads: Some(seal(world.dir.path(), &origin, FileKind::Payload, a, b, &payloads)),
            }));
        }
        world.put(LogSnapshot {
            origin,
            sealed: calls as u64,
            signed: calls as u64,
            durable: calls as u64,
            manifest: 1,
            checkpoint: "".into(),
            segments: Arc::new(segments),
            unsealed: Vec::new(),
        });
        world
    }

    /// A log that is all in memory.
    pub fn add_unsealed(&self, tenant: &str, stream: Stream, rows: RecordBatch) {
        let origin = Origin::new("test-1", tenant, stream, "w1").unwrap();
        let payloads = RecordBatch::new_empty(stream.payload_schema());
        self.put(LogSnapshot {
            origin,
            sealed: 0,
            signed: 0,
            durable: rows.num_rows() as u64,
            manifest: 0,
            checkpoint: "".into(),
            segments: Arc::default(),
            unsealed: vec![Unsealed { first: 0, entries: rows, payloads }],
        });
    }

    pub fn put(&self, log: LogSnapshot) {
        let key = (log.origin.tenant().to_string(), log.origin.stream());
        self.logs.lock().unwrap().insert(key, log);
    }

    pub fn options() -> Options {
        let (clock, ids) = (AtomicI64::new(START_US), AtomicU64::new(1));
        Options::new(
            Arc::new(move || clock.fetch_add(1000, Ordering::Relaxed)),
            Arc::new(move || format!("q-{}", ids.fetch_add(1, Ordering::Relaxed))),
            Arc::new(redact::Redactor::new([1; 32])),
        )
    }

    pub fn query(self: &Arc<World>) -> Query {
        self.query_with(World::options())
    }

    pub fn query_with(self: &Arc<World>, options: Options) -> Query {
        Query::over(Arc::clone(self) as _, Arc::clone(self) as _, options).unwrap()
    }

    /// The entries of the access log as maps of column to text.
    pub fn entries(&self) -> Vec<BTreeMap<String, String>> {
        let journal = self.journal.lock().unwrap();
        let mut all = Vec::new();
        for (_, draft) in journal.iter() {
            let batch = &draft.entries;
            let mut entry = BTreeMap::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if column.is_valid(0) {
                    let text = crate::format::value::text(column.as_ref(), 0).unwrap();
                    entry.insert(field.name().clone(), text);
                }
            }
            all.push(entry);
        }
        all
    }
}

/// How many refusals an entry stands for: one, or those that it sums.
pub fn counted(entry: &BTreeMap<String, String>) -> u64 {
    entry["detail"].split_once(" more refusals ").map_or(1, |(number, _)| number.parse().unwrap())
}

/// Somebody of tenant `default`.
pub fn principal(role: Role) -> Principal {
    Principal {
        id: format!("t-{role}"),
        role,
        tenant: "default".to_string(),
        source_ip: Some("192.0.2.1".to_string()),
        door: "http",
    }
}

/// All rows of an answer.
pub async fn rows(mut answer: Answer) -> Result<Vec<RecordBatch>> {
    let mut all = Vec::new();
    while let Some(batch) = answer.next().await {
        all.push(batch?);
    }
    Ok(all)
}

/// The answer as NDJSON without its last line, or the error.
pub async fn ask_as(query: &Query, role: Role, sql: &str) -> Result<Vec<String>> {
    let request = Request { sql: sql.to_string(), ..Request::default() };
    let answer = query.sql(&principal(role), request).await?;
    let mut encoded = Encoded::new(answer, Format::Ndjson)?;
    let mut text = String::new();
    while let Some(chunk) = encoded.next().await {
        text.push_str(std::str::from_utf8(&chunk?).unwrap());
    }
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    let last = lines.pop().unwrap();
    if last.starts_with("{\"$error\"") {
        return Err(Error::Internal(last));
    }
    assert_eq!(last, format!("{{\"$end\":{{\"rows\":{}}}}}", lines.len()));
    Ok(lines)
}

/// As an admin.
pub async fn ask(query: &Query, sql: &str) -> Result<Vec<String>> {
    ask_as(query, Role::Admin, sql).await
}
