//! The store: write-ahead groups, seals, what may wait.

/// Bytes in the body of one write-ahead group.
pub const GROUP_BODY_BYTES_MAX: usize = 256 << 20;
/// Bytes of the entries and payload records of one append: with what a group may hold beside it, under
/// [`GROUP_BODY_BYTES_MAX`].
pub const RANGE_BYTES_MAX: u64 = 128 << 20;
/// Group starts in a write-ahead file are multiples of this.
pub const GROUP_ALIGN_BYTES: usize = 512;
/// Bytes that a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
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
/// Write-ahead files before small logs are carried forward and others sealed.
pub const STORE_FILES_MAX: usize = 4;
/// A log with no more unsealed bytes than this is carried forward instead of sealed.
pub const STORE_CARRY_BYTES_MAX: u64 = 1 << 20;
/// Bytes that may wait for the signer's hashing before the commit waits for it.
pub const STORE_INBOX_BYTES_MAX: u64 = 64 << 20;
/// Bytes to which statistics of byte arrays are truncated.
pub const STORE_STATISTICS_BYTES_MAX: usize = 64;
/// Rows up to which small unsealed batches are merged.
pub const STORE_MERGE_ROWS_MAX: usize = 8192;
/// File and group numbers over this were not counted up to; the ones after a number must have room.
pub const STORE_NUMBER_MAX: u64 = u64::MAX / 2;
/// Bytes of a file that a backup has in memory at once while it copies it.
pub const COPY_BYTES: usize = 1 << 20;
/// Memory that deriving a key from a passphrase takes, in KiB.
pub const SEED_MEMORY_KIB: u32 = 64 << 10;
/// Passes over it.
pub const SEED_PASSES: u32 = 3;
/// Bytes of a file with a seed, wrapped or not.
pub const SEED_FILE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of who and why in an adoption.
pub const ADOPTION_TEXT_BYTES_MAX: usize = 1024;
/// Times a log is copied again because a file of it went away meanwhile.
pub const BACKUP_ATTEMPTS_MAX: u32 = 8;
/// Bytes that a program which unwraps or wraps a seed may print.
pub const CUSTODY_OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// Rows of one append of entries that are recorded again in a successor.
pub const CARRIED_ROWS_MAX: usize = 4096;
/// Runs of missing entries in one log of given-up write-ahead files, beyond which its rows are read no further.
pub const REPLAY_GAPS_MAX: usize = 16;
/// Bytes in memory of one append of entries that are recorded again: with what their encoding adds, under [`RANGE_BYTES_MAX`].
pub const CARRIED_BYTES_MAX: usize = 32 << 20;
/// How often a program that unwraps or wraps a seed is looked at, in milliseconds.
pub const CUSTODY_POLL_MS: u64 = 10;
/// How often a log is asked whether a checkpoint covers what somebody waits for.
pub const STORE_COVERED_LOOK_MS: u64 = 25;
/// Bytes of a filter of event ids, for each entry: about one question in a thousand reads a segment in vain.
pub const EVENT_ID_FILTER_BYTES_ENTRY: usize = 2;
/// Bytes of all filters of event ids together. Of what is sealed past that, each question by id reads all.
pub const EVENT_ID_FILTERS_BYTES_MAX: usize = 64 << 20;
