//! The program: commands and telemetry.

/// Bytes of a file asked for at once.
pub const PROGRAM_READ_BYTES: usize = 1 << 20;
/// Of the rest of an array that breaks off, how much is shown to the service.
pub const PROGRAM_BROKEN_BYTES_MAX: usize = 4 << 10;
/// How often a body that was told "try later" is tried again.
pub const PROGRAM_TRIES_MAX: u32 = 60;
/// Bytes in the path of a Unix socket.
pub const PROGRAM_SOCKET_PATH_BYTES_MAX: usize = 107;
/// Bytes of an error answer that are read to say why a gate has no number.
pub const PROGRAM_PROBLEM_BYTES_MAX: usize = 64 << 10;
