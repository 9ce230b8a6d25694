//! Why a verification could not be run at all. What is wrong with a store is a finding, never an error.

use std::io;
use std::path::PathBuf;

/// The verification could not start or could not finish: exit code 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory or file that everything depends on could not be read.
    #[error("cannot read {path}: {source}; check that it exists and that this user may read it")]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to verify here.
    #[error(
        "no root log below {path}: expected _root/root/<writer> there or below its log/; give a data directory or a copy of its log directory"
    )]
    NoRootLog {
        /// The directory that was given.
        path: PathBuf,
    },
    /// Which root log is meant cannot be told without a key.
    #[error("{count} root logs below {path}: give the verifier key of the one to verify with --key")]
    SeveralRootLogs {
        /// The directory that was given.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// The file of remembered checkpoints cannot be read, parsed or written.
    #[error("the file of remembered checkpoints {path}: {detail}")]
    Remembered {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        detail: String,
    },
    /// A policy of witnesses cannot be parsed, or does not fit.
    #[error("the policy {path}: {detail}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A receipt cannot be parsed, or there are too many.
    #[error("the receipt {path}: {detail}")]
    Receipt {
        /// The file, or the directory of too many.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// No worker thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}
