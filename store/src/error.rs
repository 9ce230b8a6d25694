//! The one error of the store.

use std::path::PathBuf;

/// Why the store did not do as asked. A caller acts on the variant; the text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is wrong but the amount: try again after a moment.
    #[error("store is at its limit of {what}; try again")]
    Busy {
        /// Which limit.
        what: &'static str,
    },
    /// This draft cannot be stored as it is; others can.
    #[error("draft refused: {0}")]
    Refused(#[from] schemas::Error),
    /// The source has been read past where this append goes on from, or never was read up to there: nothing was
    /// written. Read the cursor again and go on from it.
    #[error("cursor {name} is at {found:?}, not where this append goes on from; go on from there")]
    CursorMoved {
        /// Its name.
        name: String,
        /// Its position in the log.
        found: Option<String>,
    },
    /// A write or sync failed: what is on disk is unknown, so nothing more is written. Restart to recover.
    #[error("store stopped writing after a failure: {reason}; restart it to recover")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The log is damaged below a signed size, or rolled back: it is served read-only and never repaired by
    /// itself.
    #[error("log {log} is read-only: {reason}")]
    Tampered {
        /// The log, or `wal`.
        log: String,
        /// What was found.
        reason: String,
    },
    /// Free space is down to what sealing needs.
    #[error("disk is nearly full: {free} bytes free, {needed} kept for sealing; free some space")]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes kept.
        needed: u64,
    },
    /// Another process holds the data directory.
    #[error("data directory {0} is in use by another process; talk to it with --url, or stop it")]
    Locked(PathBuf),
    /// The keys do not belong to this data, or are missing or unsafe.
    #[error("keys: {0}")]
    Keys(String),
    /// The operating system said no.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
