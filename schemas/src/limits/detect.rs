//! The detector.

/// Longest identifier kept as it is, in bytes.
pub const ENGINE_IDENTIFIER_BYTES_MAX: usize = 128;
/// How much of a longer one is kept in front of its hash, in bytes.
pub const ENGINE_PREFIX_BYTES_MAX: usize = 48;
/// Log indices kept from the beginning and from the end of an episode, each.
pub const ENGINE_EVIDENCE_MAX: usize = 16;
/// Distinct users counted per source.
pub const ENGINE_USERS_MAX: usize = 64;
/// See its user.
pub const ENGINE_COUNT_MAX: i64 = 10_000_000;
/// How many offending records a window remembers by index.
pub const ENGINE_RECENT_MAX: usize = 16;
