//! Table `checkpoints`: how far each log is sealed, signed and durable, and under which root.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schemas::checkpoint::Checkpoint;
use schemas::note::Note;
use store::LogSnapshot;

use super::{Documented, schema};
use crate::source::Snapshot;

/// The columns.
pub(super) fn columns() -> Vec<Documented> {
    use DataType::{Int64, Utf8};
    vec![
        Documented::new("origin", Utf8, "The log."),
        Documented::new("stream", Utf8, "Its stream."),
        Documented::new("sealed", Int64, "Entries in sealed files."),
        Documented::new("signed", Int64, "Entries under a signed checkpoint."),
        Documented::new("durable", Int64, "Entries on stable storage."),
        Documented::new("manifest", Int64, "Number of the newest manifest."),
        Documented::new("root", Utf8, "Root hash of the newest signed checkpoint, base64."),
        Documented::new("note", Utf8, "The newest signed checkpoint."),
    ]
}

/// The root that a checkpoint note names; none before the first note.
fn root(note: &str) -> Option<String> {
    let note = Note::parse(note.as_bytes()).ok()?;
    Checkpoint::parse(note.unverified_text()).ok().map(|checkpoint| checkpoint.root.to_base64())
}

/// One row for each log.
pub(super) fn rows(snapshot: &Snapshot) -> Result<RecordBatch, ArrowError> {
    let logs: Vec<&LogSnapshot> = snapshot.logs().map(AsRef::as_ref).collect();
    let text = |of: fn(&LogSnapshot) -> Option<String>| -> ArrayRef {
        Arc::new(logs.iter().map(|log| of(log)).collect::<StringArray>())
    };
    let count = |of: fn(&LogSnapshot) -> u64| -> ArrayRef {
        Arc::new(logs.iter().map(|log| i64::try_from(of(log)).ok()).collect::<Int64Array>())
    };
    let arrays = vec![
        text(|log| Some(log.origin.to_string())),
        text(|log| Some(log.origin.stream().to_string())),
        count(|log| log.sealed),
        count(|log| log.signed),
        count(|log| log.durable),
        count(|log| log.manifest),
        text(|log| root(&log.checkpoint)),
        text(|log| (!log.checkpoint.is_empty()).then(|| log.checkpoint.to_string())),
    ];
    RecordBatch::try_new(schema(&columns()), arrays)
}
