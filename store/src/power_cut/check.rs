//! The one whole-store check that every test of this module ends in.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use schemas::checkpoint::Checkpoint;
use schemas::entry::Encoder;
use schemas::layout::FileKind;
use schemas::tree::{CompactRange, Hash, leaf_hash};
use schemas::{LogId, Origin, Stream};

use super::disk::SimDisk;
use super::draft::Event;
use super::image::write_out;
use super::model::Model;
use super::rig::numbered;
use crate::disk::Disk;
use crate::segment_file::decode;
use crate::snapshot::LogSnapshot;
use crate::state::{LogState, Shared, lock};

/// One log, read back whole.
#[derive(Debug)]
pub(super) struct Read {
    /// Index to event, control entries left out.
    pub(super) events: BTreeMap<u64, Event>,
    /// Index to text of control entries.
    pub(super) controls: BTreeMap<u64, String>,
    /// By index.
    pub(super) ingest_us: Vec<i64>,
    /// `roots[n]` is the root of the first `n` entries.
    pub(super) roots: Vec<Hash>,
}

/// Reads an open log from its segments and its unsealed rows.
pub(super) fn read(disk: &SimDisk, log: &Arc<LogState>) -> Read {
    read_snapshot(disk, &log.snapshot(), &log.keys.log_id)
}

/// Reads a log as far as a snapshot of it goes.
pub(super) fn read_snapshot(disk: &SimDisk, snapshot: &LogSnapshot, id: &LogId) -> Read {
    let stream = snapshot.origin.stream();
    let file = |kind, path: &Path| decoded(kind, stream, disk.read(&disk.relative(path)).unwrap());
    let mut entries: Vec<RecordBatch> = Vec::new();
    let mut payloads: Vec<RecordBatch> = Vec::new();
    for segment in snapshot.segments.iter() {
        entries.extend(file(FileKind::Segment, &segment.entries.path));
        payloads.extend(segment.payloads.iter().flat_map(|payload| file(FileKind::Payload, &payload.path)));
    }
    for unsealed in &snapshot.unsealed {
        entries.push(unsealed.entries.clone());
        payloads.push(unsealed.payloads.clone());
    }
    let arguments: BTreeMap<i64, String> = payloads.iter().flat_map(arguments).collect();
    let mut found = Read {
        events: BTreeMap::new(),
        controls: BTreeMap::new(),
        ingest_us: Vec::new(),
        roots: vec![CompactRange::new().root()],
    };
    let mut tree = CompactRange::new();
    for batch in &entries {
        take_in((&snapshot.origin, id), batch, &arguments, &mut tree, &mut found);
    }
    assert_eq!(tree.size(), snapshot.durable, "{}: durable size", snapshot.origin);
    found
}

thread_local! {
    /// Files by digest: the checks of one run read the same ones again and again.
    static DECODED: RefCell<HashMap<blake3::Hash, Vec<RecordBatch>>> = RefCell::default();
}

fn decoded(kind: FileKind, stream: Stream, bytes: Vec<u8>) -> Vec<RecordBatch> {
    DECODED.with_borrow_mut(|known| {
        if known.len() > 1000 {
            known.clear();
        }
        let batches = known.entry(blake3::hash(&bytes));
        batches.or_insert_with(|| decode(kind, stream, bytes, None).unwrap()).clone()
    })
}

fn arguments(batch: &RecordBatch) -> Vec<(i64, String)> {
    let index = batch.column_by_name("log_index").unwrap().as_primitive::<Int64Type>();
    let Some(column) = batch.column_by_name("arguments") else { return Vec::new() };
    let texts = column.as_string::<i32>();
    (0..batch.num_rows()).map(|row| (index.value(row), texts.value(row).to_string())).collect()
}

fn take_in(
    (origin, id): (&Origin, &LogId),
    batch: &RecordBatch,
    arguments: &BTreeMap<i64, String>,
    tree: &mut CompactRange,
    found: &mut Read,
) {
    let encoder = Encoder::entries(origin.stream(), batch).unwrap();
    let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
    let times = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
    let mut entry = Vec::new();
    for row in 0..batch.num_rows() {
        let index = tree.size();
        let log_index = i64::try_from(index).unwrap();
        assert_eq!(encoder.log_index(row), Some(log_index), "{origin}");
        entry.clear();
        encoder.entry(id, row, &mut entry).unwrap();
        tree.push(leaf_hash(&entry));
        found.roots.push(tree.root());
        found.ingest_us.push(times("ingest_time").value(row));
        if text("control").is_valid(row) {
            found.controls.insert(index, text("control").value(row).to_string());
            continue;
        }
        let event = Event {
            id: text("event_id").value(row).to_string(),
            time_us: times("time").value(row),
            payload: arguments.get(&log_index).cloned(),
        };
        found.events.insert(index, event);
    }
}

/// Holds the open store against what it has promised.
pub(super) fn check(disk: &SimDisk, shared: &Shared, model: &Model) {
    assert_eq!(shared.tampered.get(), None, "the store is read-only");
    assert_eq!(shared.poisoned.get(), None, "the store has stopped writing");
    let mut logs = BTreeMap::new();
    for log in shared.all_logs() {
        let found = read(disk, &log);
        check_log(&log, &found);
        check_cursor(&log, &found, model);
        logs.insert((log.origin.tenant().to_string(), log.origin.stream()), found);
    }
    for (name, promised) in &model.logs {
        let Some(found) = logs.get(name) else {
            assert!(promised.acknowledged.is_empty(), "{name:?} is gone, and had acknowledged entries");
            assert!(promised.shown.is_empty(), "{name:?} is gone, and had shown checkpoints");
            continue;
        };
        for (index, event) in &promised.acknowledged {
            assert_eq!(found.events.get(index), Some(event), "{name:?}: acknowledged index {index}");
        }
        for (size, root) in &promised.shown {
            let again = usize::try_from(*size).ok().and_then(|size| found.roots.get(size));
            assert_eq!(again, Some(root), "{name:?}: the checkpoint of size {size} was shown");
        }
        check_once(name, found);
    }
}

/// No event is recorded twice.
fn check_once(name: &super::model::Name, found: &Read) {
    let mut ids: Vec<&str> = found.events.values().map(|event| event.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        panic!("{name:?}: {} is recorded twice", pair[0]);
    }
}

/// Of the numbered source the log has what lies before the cursor, each once and in order: the cursor is never ahead of
/// its durable records and never behind acknowledged ones; and so at every size that a manifest may name.
fn check_cursor(log: &LogState, found: &Read, model: &Model) {
    let cursors = lock(&log.view).cursors.clone();
    let at = |size: u64| -> u64 {
        cursors.at(size).get(numbered().as_str()).map_or(0, |value| value.parse().unwrap())
    };
    let read: Vec<(u64, &str)> = found
        .events
        .iter()
        .filter_map(|(index, event)| Some((*index, event.id.strip_prefix("n-")?)))
        .collect();
    for (number, (index, id)) in (0u64..).zip(&read) {
        assert_eq!(*id, number.to_string(), "{}: index {index} of the numbered source", log.origin);
    }
    let name = (log.origin.tenant().to_string(), log.origin.stream());
    let durable = lock(&log.view).durable;
    assert_eq!(at(durable), read.len() as u64, "{}: the cursor and what is durable", log.origin);
    let promised = model.logs.get(&name).map_or(0, |promised| promised.pulled);
    assert!(at(durable) >= promised, "{}: cursor {} is behind {promised}", log.origin, at(durable));
    let sealed = lock(&log.view).sealed;
    let below = read.iter().filter(|(index, _)| *index < sealed).count() as u64;
    assert_eq!(at(sealed), below, "{}: the cursor and what is sealed", log.origin);
}

/// Sizes in order, the signed root that of the entries, entry 0 the log's own, times rising but at a clock run.
fn check_log(log: &LogState, found: &Read) {
    let (sealed, signed, durable, checkpoint) = {
        let view = lock(&log.view);
        (view.sealed, view.signed, view.durable, Arc::clone(&view.checkpoint))
    };
    assert!(sealed <= signed && signed <= durable, "{}: {sealed} <= {signed} <= {durable}", log.origin);
    if !checkpoint.is_empty() {
        let checkpoint = Checkpoint::open(checkpoint.as_bytes(), log.keys.checkpoint.verifier()).unwrap();
        let size = usize::try_from(checkpoint.size).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (signed, found.roots[size]), "{}", log.origin);
    }
    if durable > 0 {
        let opened =
            found.controls.get(&0).unwrap_or_else(|| panic!("{}: entry 0 is no control", log.origin));
        assert!(opened.contains("log_opened"), "{}: {opened}", log.origin);
    }
    for (index, pair) in (1..).zip(found.ingest_us.windows(2)) {
        let is_run = found.controls.get(&index).is_some_and(|text| text.contains("clock_run"));
        assert!(pair[0] <= pair[1] || is_run, "{}: ingest_time steps back at {index}", log.origin);
    }
}

/// A directory in memory where the machine has one: the verifier wants real files and nothing of a disk, and thousands of images
/// written to one took three quarters of a run.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// Verifies an image as an auditor would: from its files and the root log's key.
pub(super) fn verify_image(disk: &SimDisk, root_key: &str) -> verify::Report {
    let report = verified(disk, root_key).unwrap();
    assert_eq!(report.exit_code(), 0, "{:#?}\n{:#?}", report.findings, report.unreadable);
    report
}

/// Verifies what a process or a power cut left, before anybody has opened it: nobody has tampered with it. There may be no root
/// log yet, or a succession that is not finished.
pub(super) fn verify_left(disk: &SimDisk, root_key: &str) {
    match verified(disk, root_key) {
        Ok(report) => assert!(report.findings.is_empty(), "as it was left: {:#?}", report.findings),
        Err(verify::Error::NoRootLog { .. }) => {}
        Err(error) => panic!("as it was left: {error}"),
    }
}

fn verified(disk: &SimDisk, root_key: &str) -> Result<verify::Report, verify::Error> {
    let dir = scratch();
    write_out(disk, dir.path());
    let identity = verify::Identity::Key(root_key.parse().unwrap());
    let options = verify::Options { jobs: 1, ..verify::Options::new(dir.path(), identity) };
    verify::run(&options, &|_| {})
}
