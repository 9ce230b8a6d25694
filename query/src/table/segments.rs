//! Table `segments`: the sealed files that answers come from.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schemas::layout::FileKind;
use store::{DataFile, Segment};

use super::{Documented, schema, time_type};
use crate::source::Snapshot;

/// The columns.
pub(super) fn columns() -> Vec<Documented> {
    use DataType::{Int64, Utf8};
    vec![
        Documented::new("log", Utf8, "Origin of the log."),
        Documented::new("kind", Utf8, "segments or payloads."),
        Documented::new("path", Utf8, "Path below the log."),
        Documented::new("first", Int64, "First log index."),
        Documented::new("last", Int64, "One past the last log index."),
        Documented::new("rows", Int64, "Rows in the file."),
        Documented::new("bytes", Int64, "Length of the file."),
        Documented::new("blake3", Utf8, "BLAKE3 digest of the file, hexadecimal."),
        Documented::new("time_min", time_type(), "Least time in the file."),
        Documented::new("time_max", time_type(), "Greatest time in the file."),
    ]
}

/// A sealed file with the log and the segment it belongs to.
struct Row<'a> {
    log: String,
    kind: FileKind,
    segment: &'a Segment,
    file: &'a DataFile,
}

/// One row for each file.
pub(super) fn rows(snapshot: &Snapshot) -> Result<RecordBatch, ArrowError> {
    let mut rows = Vec::new();
    for log in snapshot.logs() {
        for segment in log.segments.iter() {
            let files =
                [(FileKind::Segment, Some(&segment.entries)), (FileKind::Payload, segment.payloads.as_ref())];
            rows.extend(files.into_iter().filter_map(|(kind, file)| {
                Some(Row { log: log.origin.to_string(), kind, segment, file: file? })
            }));
        }
    }
    let text = |of: fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let count = |of: fn(&Row<'_>) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| i64::try_from(of(row)).ok()).collect::<Int64Array>())
    };
    let time = |of: fn(&Row<'_>) -> i64| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(of(row))).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let arrays = vec![
        text(|row| row.log.clone()),
        text(|row| row.kind.dir().to_string()),
        text(|row| row.file.file.path.clone()),
        count(|row| row.segment.first),
        count(|row| row.segment.last),
        count(|row| row.file.file.rows),
        count(|row| row.file.file.bytes),
        text(|row| row.file.file.blake3.clone()),
        time(|row| row.file.file.time_min_us),
        time(|row| row.file.file.time_max_us),
    ];
    RecordBatch::try_new(schema(&columns()), arrays)
}
