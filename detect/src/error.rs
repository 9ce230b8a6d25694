//! The one error of the runner.

use std::path::PathBuf;

/// Why detection did not go on. A caller acts on the variant; the text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The engine refused a setting or a record.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// An alert does not fit its stream.
    #[error("alert cannot be recorded: {0}")]
    Draft(#[from] schemas::Error),
    /// A stored file could not be read, which may pass, or is not what the log's manifest and schema promise.
    #[error(transparent)]
    Entries(#[from] store::ReadError),
    /// What was read is not what the log's manifest and schema promise.
    #[error("log {log} is damaged: {detail}; verify the store before trusting its alerts")]
    Damaged {
        /// The log.
        log: String,
        /// What was found.
        detail: String,
    },
    /// The alerts log speaks of events that the events log does not have.
    #[error(
        "log {log} ends at {durable} but an alert was recorded for its entry {position}; restore events and alerts from one backup"
    )]
    Ahead {
        /// The events log.
        log: String,
        /// Its durable size.
        durable: u64,
        /// The event that the last alert names.
        position: i64,
    },
    /// The state files cannot be listed; they may be later.
    #[error("read {path}: {source}; check the disk")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The directory for state files cannot be used.
    #[error("snapshot directory {path}: {source}; give one that can be written")]
    SnapshotDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A state of other rules stays beside what is told under these.
    #[error("state file {path} of other rules, settings or model stays: {source}; delete it")]
    StaleState {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// This tenant's detection has ended for good; the others go on.
    #[error("detection for tenant {tenant} has stopped: {reason}")]
    Stopped {
        /// The tenant.
        tenant: String,
        /// Why.
        reason: String,
    },
    /// A bug of ours: folding panicked.
    #[error("detection failed unexpectedly: {0}; report it, with the log")]
    Panicked(String),
    /// The runner was shut down.
    #[error("the detector has been shut down; start it again")]
    Closed,
}

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the same may go well in a while, without a new start.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Error::Entries(store::ReadError::Read { .. }) | Error::StateDir { .. } | Error::StaleState { .. }
        )
    }
}
