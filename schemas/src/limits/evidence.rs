//! Evidence bundles: what one may hold, and so what reading or making one may cost.

/// Entries of one bundle.
pub const EVIDENCE_ENTRIES_MAX: u64 = 100_000;
/// Hashes of what lies between the entries of one bundle.
pub const EVIDENCE_HASHES_MAX: usize = 2_000_000;
/// Tiles of hashes, 8 KiB each, that are kept while one is made.
pub const EVIDENCE_TILES_MAX: usize = 4_096;
/// Bytes of all files of a bundle together, unpacked: what a reader may be made to hold.
pub const EVIDENCE_FILES_BYTES_MAX: u64 = 512 << 20;
/// Bytes of a bundle as it is on disk: deflate makes nothing much larger.
pub const EVIDENCE_BUNDLE_BYTES_MAX: u64 = EVIDENCE_FILES_BYTES_MAX + (1 << 20);
/// Bytes of `bundle.json`.
pub const EVIDENCE_MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of the central directory of a bundle, end record included: fifteen files of short names.
pub const EVIDENCE_DIRECTORY_BYTES_MAX: u64 = 4 << 10;
/// Bytes of the request for one: a statement and names.
pub const EVIDENCE_REQUEST_BYTES_MAX: usize = 256 << 10;
/// Bundles that are made at one time: each reads files, hashes and fills a temporary file.
pub const EVIDENCE_AT_ONCE: usize = 2;
/// Rows that are put into the views at once.
pub const EVIDENCE_VIEW_ROWS: usize = 1_024;
/// Bytes of values that are put into the Parquet view at once.
pub const EVIDENCE_VIEW_BYTES: usize = 16 << 20;
/// How much later than it happened an event may have been recorded and be in a bundle over a time, in microseconds, where
/// nothing else is asked for: an hour.
pub const EVIDENCE_LATENESS_US: i64 = 3_600 * 1_000_000;
/// The longest that may be asked for: thirty days.
pub const EVIDENCE_LATENESS_LONGEST_US: i64 = 30 * 86_400 * 1_000_000;
