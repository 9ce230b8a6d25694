//! What a caller hands to a log, and what it gets back.

use arrow::array::RecordBatch;
use schemas::Origin;

/// Rows to append: one contiguous range of the log, or nothing of it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The stream's entry columns but `log_index`, `ingest_time` and `payload_commitment`, which the store
    /// assigns (`schemas::rows::RowsBuilder::drafts`).
    pub entries: RecordBatch,
    /// The stream's payload columns but `log_index` and `salt`, row by row beside `entries`; a row of nulls has
    /// no payload. A stream without payload columns has a batch without columns and the same row count.
    pub payloads: RecordBatch,
    /// Which rows carry an event id of the source, so that a second delivery is found; empty for none.
    pub idempotent: Vec<bool>,
    /// For whom event ids are unique: `<collector>/<credential>`, the first two parts of column `source`.
    pub scope: String,
}

/// What became of a draft, once it is on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The log.
    pub origin: Origin,
    /// Index of the first new entry; where there is none, the durable size.
    pub first_index: u64,
    /// New entries, contiguous from `first_index`.
    pub count: u64,
    /// Rows that were in the log already: `(row of the draft, index)`. Below 0 it is in the logs that were written in its place
    /// before: -1 is the last entry of these.
    pub duplicates: Vec<(usize, i64)>,
    /// Durable size of the log when the answer was made.
    pub tree_size: u64,
}
