//! The format: entries, notes, manifests.

use super::VALUE_BYTES_MAX;

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
