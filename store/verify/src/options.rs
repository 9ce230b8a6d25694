//! What a caller decides before a verification.

use std::path::PathBuf;

use schemas::note::VerifierKey;

use crate::witnessed::Within;

/// Where the root log's verifier key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a whole run")]
pub enum Identity {
    /// From outside the store: the only way to know whose store it is.
    Key(VerifierKey),
    /// From entry 0 of the root log, on purpose: the store is believed to be who it says it is.
    TrustStoreKey,
    /// From entry 0 of the root log, and the report says that identity is not established.
    None,
}

/// What to verify and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// A data directory, which has `log/`, or a copy of that log directory itself.
    pub directory: PathBuf,
    /// Whose store it should be.
    pub identity: Identity,
    /// A file of root checkpoints seen before; made when it is missing, rewritten after a clean run.
    pub remember: Option<PathBuf>,
    /// Files of checkpoints that clients kept, and directories of such files.
    pub receipts: Vec<PathBuf>,
    /// A policy file (C2SP tlog-policy) of the witnesses that must have cosigned the root log.
    pub policy: Option<PathBuf>,
    /// Since when enough of them must have.
    pub witnessed_within: Option<Within>,
    /// Threads, at least 1.
    pub jobs: usize,
    /// Whether the write-ahead files of a data directory are checked too.
    pub write_ahead: bool,
}

impl Options {
    /// Everything in `directory` under `identity`, on every core.
    pub fn new(directory: impl Into<PathBuf>, identity: Identity) -> Options {
        Options {
            directory: directory.into(),
            identity,
            remember: None,
            receipts: Vec::new(),
            policy: None,
            witnessed_within: None,
            jobs: cores(),
            write_ahead: true,
        }
    }
}

/// Threads that this machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Sealed entries verified.
    pub entries: u64,
    /// Sealed entries known so far; grows once, after the root log is read.
    pub entries_total: u64,
}
