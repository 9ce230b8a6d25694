//! What can be set about a store.

use schemas::limits;

/// Settings of one writer. The defaults are those of `schemas::limits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Name of this writer, part of every origin. [`crate::Store::open`] takes that of the keys.
    pub writer: String,
    /// Bytes of a write-ahead file.
    pub wal_file_bytes: u64,
    /// Rows at which a log is sealed.
    pub seal_rows: u64,
    /// Bytes at which a log is sealed.
    pub seal_bytes: u64,
    /// Age at which a log is sealed, microseconds.
    pub seal_age_us: i64,
    /// The same for a log with few rows, microseconds.
    pub seal_age_small_us: i64,
    /// Shortest time between two signatures of one log, microseconds.
    pub sign_interval_us: i64,
    /// Longest time between a change and its round in the root log, microseconds.
    pub round_interval_us: i64,
    /// Time between two heartbeats of the root log, microseconds.
    pub heartbeat_interval_us: i64,
    /// Bytes queued for the disk before an append is told to try later.
    pub queued_bytes_max: u64,
    /// Bytes not yet sealed before an append is told to try later.
    pub unsealed_bytes_max: u64,
    /// Free bytes below which new entries are refused.
    pub disk_free_bytes_min: u64,
    /// How many event ids one log remembers.
    pub idempotency_ids_max: usize,
    /// For how long, microseconds.
    pub idempotency_window_us: i64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            writer: "w1".to_string(),
            wal_file_bytes: limits::WAL_FILE_BYTES,
            seal_rows: limits::SEAL_ROWS,
            seal_bytes: limits::SEAL_BYTES,
            seal_age_us: limits::SEAL_AGE_US,
            seal_age_small_us: limits::SEAL_AGE_SMALL_US,
            sign_interval_us: limits::SIGN_INTERVAL_US,
            round_interval_us: limits::ROUND_INTERVAL_US,
            heartbeat_interval_us: limits::HEARTBEAT_INTERVAL_US,
            queued_bytes_max: limits::QUEUED_BYTES_MAX,
            unsealed_bytes_max: limits::UNSEALED_BYTES_MAX,
            disk_free_bytes_min: limits::DISK_FREE_BYTES_MIN,
            idempotency_ids_max: limits::IDEMPOTENCY_IDS_MAX,
            idempotency_window_us: limits::IDEMPOTENCY_WINDOW_US,
        }
    }
}
