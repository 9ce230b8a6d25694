//! Collectors that read: files that grow, and what all of them share.

/// Bytes that a reader takes at once, but for one line or record that is longer.
pub const PULL_BATCH_BYTES: usize = 1 << 20;
/// Lines or records that a reader takes at once.
pub const PULL_BATCH_PARTS_MAX: usize = 5_000;
/// Places that one notice of refused lines or records names; the count is not capped.
pub const PULL_PLACES_MAX: usize = 100;
/// Milliseconds before a batch that the store or the admission had no room for is tried again.
pub const PULL_RETRY_MS: u64 = 200;
/// Bytes of one line of a followed file, unless configured.
pub const TAIL_LINE_BYTES_MAX: usize = 1 << 20;
/// Milliseconds between two looks at files that had nothing new, and at their directory.
pub const TAIL_POLL_MS: u64 = 250;
/// Milliseconds without a new byte after which a file that was rotated away has ended, and a last line without a line
/// end is one.
pub const TAIL_LINGER_MS: u64 = 5_000;
/// Bytes at the start of a file by which it is known again.
pub const TAIL_HEAD_BYTES: u64 = 1024;
/// Files that one tail follows at once.
pub const TAIL_FILES_MAX: usize = 512;
/// Seconds before a collector that failed begins again.
pub const COLLECTOR_RESTART_S: u64 = 5;
