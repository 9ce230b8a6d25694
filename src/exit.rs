//! Exit codes are verdicts, the same for every command.

/// Done, nothing found.
pub const CLEAN: u8 = 0;
/// Ran to its end and found something: refused records, tampering, no such session.
pub const FINDINGS: u8 = 1;
/// Could not run.
pub const COULD_NOT_RUN: u8 = 2;
