//! Every limit of the formats and the service, in one place, related by constant assertions.
//!
//! A limit is reached by a test (`tests/tidy.rs` lists which). Configurable ones carry their default here;
//! the others are part of the format and never change within a version.

/// Bytes in a SHA-256 or BLAKE3 digest.
pub const HASH_BYTES: usize = 32;
/// Hashes in a full tile and entries in a full entry bundle (C2SP tlog-tiles).
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree per tile level: 2^8 = [`TILE_WIDTH`].
pub const TILE_HEIGHT: u32 = 8;
/// Bytes in one entry: an entry bundle carries its length as u16.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Bytes in the entry header: version, log id, index.
pub const ENTRY_HEADER_BYTES: usize = 1 + 32 + 8;
/// Bytes before each field value in an entry: id and length.
pub const FIELD_HEADER_BYTES: usize = 2 + 2;
/// Characters in one part of an origin.
pub const ORIGIN_PART_BYTES_MAX: usize = 64;
/// Bytes of one field value on the payload side; a longer one is refused with its whole event.
pub const PAYLOAD_VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX;
/// Items in one list or map.
pub const LIST_ITEMS_MAX: usize = 65_535;

/// Bytes of a signed note, as read; a checkpoint is under 500.
pub const NOTE_BYTES_MAX: usize = 64 << 20;
/// Signature lines on one note.
pub const NOTE_SIGNATURES_MAX: usize = 64;
/// Manifests between two that repeat the full file list.
pub const MANIFEST_SNAPSHOT_EVERY: u64 = 256;
/// Changed logs named by one round entry of the root log.
pub const ROUND_LOGS_MAX: usize = 48;

/// Bytes in the body of one write-ahead group.
pub const GROUP_BODY_BYTES_MAX: usize = 256 << 20;
/// Group starts in a write-ahead file are multiples of this.
pub const GROUP_ALIGN_BYTES: usize = 512;
/// Bytes of a write-ahead file, preallocated; a single larger group gets a file of its own size.
pub const WAL_FILE_BYTES: u64 = 64 << 20;
/// Write-ahead files kept for reuse.
pub const WAL_SPARE_FILES_MAX: usize = 4;

/// Rows at which a log is sealed.
pub const SEAL_ROWS: u64 = 65_536;
/// Bytes of entries and payloads at which a log is sealed.
pub const SEAL_BYTES: u64 = 64 << 20;
/// Rows in one segment file: what a busy log may have collected by the time its seal starts.
pub const SEGMENT_ROWS_MAX: u64 = 262_144;
/// Rows in one Parquet row group.
pub const ROW_GROUP_ROWS: usize = 65_536;
/// Age of the oldest unsealed entry at which a log is sealed, in microseconds.
pub const SEAL_AGE_US: i64 = 600 * 1_000_000;
/// The same for a log that has fewer than [`SMALL_LOG_ROWS`] unsealed.
pub const SEAL_AGE_SMALL_US: i64 = 3600 * 1_000_000;
/// A log with fewer unsealed rows waits for [`SEAL_AGE_SMALL_US`].
pub const SMALL_LOG_ROWS: u64 = 1024;
/// Shortest time between two checkpoint signatures of one log, in microseconds.
pub const SIGN_INTERVAL_US: i64 = 1_000_000;
/// Longest time between a change and its round entry in the root log, in microseconds.
pub const ROUND_INTERVAL_US: i64 = 10 * 1_000_000;
/// Time between two heartbeats of the root log, in microseconds.
pub const HEARTBEAT_INTERVAL_US: i64 = 60 * 1_000_000;
/// A wall clock that jumps this far ahead of the monotonic one opens a new clock run, in microseconds.
pub const CLOCK_JUMP_US: i64 = 300 * 1_000_000;

/// Idempotency: how long an event id is remembered, in microseconds.
pub const IDEMPOTENCY_WINDOW_US: i64 = 900 * 1_000_000;
/// Idempotency: how many event ids one log remembers.
pub const IDEMPOTENCY_IDS_MAX: usize = 2_000_000;

/// Bytes appended but not yet durable, over all logs, before an append is told to try later.
pub const QUEUED_BYTES_MAX: u64 = 256 << 20;
/// Bytes durable but not yet sealed, over all logs, before an append is told to try later.
pub const UNSEALED_BYTES_MAX: u64 = 1 << 30;
/// Free bytes below which new events are refused while there is still room to seal.
pub const DISK_FREE_BYTES_MIN: u64 = 1 << 30;

/// Bytes of one HTTP request body, as sent.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes of one HTTP request body, decompressed.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Bytes of one JSON value in a body.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Depth of one JSON value.
pub const JSON_DEPTH_MAX: usize = 64;
/// Keys in one event object.
pub const EVENT_KEYS_MAX: usize = 1024;
/// Values in one body.
pub const BODY_VALUES_MAX: usize = 1_000_000;
/// Rejected values described in one answer; the count is not capped.
pub const REJECTED_LISTED_MAX: usize = 100;
/// Characters of a source's text quoted in an error message.
pub const QUOTED_CHARS_MAX: usize = 80;
/// Bytes of request bodies in flight, for the whole process.
pub const ADMISSION_BYTES: usize = 256 << 20;
/// Bytes of request bodies in flight, for one tenant.
pub const ADMISSION_TENANT_BYTES: usize = 192 << 20;
/// Seconds in the `Retry-After` of a 429 or 503.
pub const RETRY_AFTER_S: u64 = 1;
/// Idle time after which the same caller is in a new derived session, in microseconds.
pub const SESSION_IDLE_US: i64 = 1800 * 1_000_000;
/// Derived sessions remembered per tenant.
pub const SESSIONS_TRACKED_MAX: usize = 100_000;

/// Bytes of one SQL text.
pub const SQL_BYTES_MAX: usize = 64 << 10;
/// Nesting of one SQL text.
pub const SQL_DEPTH_MAX: usize = 64;
/// Items in one IN list.
pub const SQL_IN_LIST_MAX: usize = 10_000;
/// Milliseconds one query may run.
pub const QUERY_DEADLINE_MS: u64 = 60_000;
/// Bytes of memory one query may hold.
pub const QUERY_MEMORY_BYTES: usize = 1 << 30;
/// Rows in one answer.
pub const QUERY_ROWS_MAX: u64 = 5_000_000;
/// Bytes in one answer.
pub const QUERY_OUTPUT_BYTES_MAX: u64 = 1 << 30;
/// Queries running at once.
pub const QUERIES_AT_ONCE: usize = 4;
/// Queries waiting for a place before one is told to try later.
pub const QUERIES_WAITING_MAX: usize = 32;

const _: () = assert!(TILE_WIDTH == 1 << TILE_HEIGHT);
const _: () = assert!(ENTRY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(VALUE_BYTES_MAX <= BODY_BYTES_MAX && BODY_BYTES_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(DECOMPRESSED_BYTES_MAX < GROUP_BODY_BYTES_MAX);
const _: () = assert!(ADMISSION_TENANT_BYTES <= ADMISSION_BYTES);
const _: () = assert!(BODY_BYTES_MAX <= ADMISSION_TENANT_BYTES);
const _: () = assert!(SEAL_ROWS <= SEGMENT_ROWS_MAX && SMALL_LOG_ROWS <= SEAL_ROWS);
const _: () = assert!(SEAL_AGE_US <= SEAL_AGE_SMALL_US);
const _: () = assert!(GROUP_BODY_BYTES_MAX as u64 <= u32::MAX as u64);
const _: () = assert!(QUEUED_BYTES_MAX < UNSEALED_BYTES_MAX);
