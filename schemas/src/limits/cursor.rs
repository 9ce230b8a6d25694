//! Cursors: where sources have been read up to.

/// Bytes of one part of a cursor's name: collector, source or partition.
pub const CURSOR_PART_BYTES_MAX: usize = 256;
/// Bytes of a cursor's value.
pub const CURSOR_VALUE_BYTES_MAX: usize = 512;
/// Cursors that one append moves.
pub const CURSORS_APPEND_MAX: usize = 64;
/// Cursors of one log: every manifest names all of them.
pub const CURSORS_LOG_MAX: usize = 1024;
