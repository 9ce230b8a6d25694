//! The verifier.

/// Wrong roots listed of one log; the rest are counted.
pub const VERIFY_WRONG_ROOTS_LISTED_MAX: usize = 8;
/// Bytes of a file that is not of its declared length, at most, that are still looked into.
pub const VERIFY_ODD_FILE_BYTES_MAX: u64 = 1 << 30;
/// Directories below a log at most: `tile/<L>/x…/x…/….p/<W>` of the largest index is shallower.
pub const VERIFY_DEPTH_MAX: usize = 12;
/// Times a log is listed again because it grew while it was listed.
pub const VERIFY_ATTEMPTS_MAX: usize = 5;
/// Rows of one range at most: bounds what a hostile manifest can make this allocate.
pub const VERIFY_RANGE_ROWS_MAX: u64 = 1 << 24;
/// Findings listed of one range; the rest are counted.
pub const VERIFY_LISTED_MAX: usize = 200;
/// Bytes of a file in which entry 0 is looked for, at most.
pub const VERIFY_FIRST_FILE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of one decompressed column chunk at most: what 32-bit offsets of a string array can hold.
pub const VERIFY_UNCOMPRESSED_BYTES_MAX: i64 = i32::MAX as i64;
/// Times a log is read again because a file went away while it was verified.
pub const VERIFY_RELOADS_MAX: usize = 3;
/// Values inside values at most.
pub const VERIFY_THRIFT_DEPTH_MAX: usize = 16;
/// Elements of a Parquet schema at most: the widest stream has a quarter of this, and readers recurse over them.
pub const VERIFY_SCHEMA_ELEMENTS_MAX: u64 = 1024;
/// Differing leaves remembered with their index; the rest are counted.
pub const VERIFY_DIFFERENT_MAX: usize = 200;
/// Receipts held against a store at once: each is a note of at most some KiB, kept while it is verified.
pub const VERIFY_RECEIPTS_MAX: usize = 10_000;
