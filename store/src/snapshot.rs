//! What a reader sees: one log at one moment, immutable.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use schemas::Origin;
use schemas::manifest::File;

/// One log at one moment: entries `0..durable`, the first `sealed` of them in files, the rest in memory.
#[derive(Debug, Clone)]
pub struct LogSnapshot {
    /// The log.
    pub origin: Origin,
    /// S: entries in segment files.
    pub sealed: u64,
    /// C: entries under a signed checkpoint, `sealed <= signed`.
    pub signed: u64,
    /// D: entries on stable storage, `signed <= durable`.
    pub durable: u64,
    /// Newest manifest, 0 for none.
    pub manifest: u64,
    /// The newest signed checkpoint note, empty before the first.
    pub checkpoint: Arc<str>,
    /// Segments in index order, together exactly `0..sealed`.
    pub segments: Arc<Vec<Arc<Segment>>>,
    /// Entries `sealed..durable` in index order.
    pub unsealed: Vec<Unsealed>,
}

/// One sealed segment and its payload sibling, as a signed manifest names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// First log index.
    pub first: u64,
    /// One past the last log index.
    pub last: u64,
    /// The entries.
    pub entries: DataFile,
    /// The payloads, where any row has one.
    pub payloads: Option<DataFile>,
}

/// A Parquet file on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Absolute path.
    pub path: PathBuf,
    /// What the manifest says of it.
    pub file: File,
}

/// A run of durable entries that are not sealed yet.
#[derive(Debug, Clone)]
pub struct Unsealed {
    /// First log index.
    pub first: u64,
    /// Schema: the stream's `entry_schema()`.
    pub entries: RecordBatch,
    /// Schema: the stream's `payload_schema()`; only rows that have a payload, ascending `log_index`.
    pub payloads: RecordBatch,
}
