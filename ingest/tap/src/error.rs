//! What can go wrong. None of it stops the wrapped server: it runs unobserved, and that is said.

use std::io;
use std::path::PathBuf;

/// Why the tap cannot observe, or cannot keep what it observed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the spool.
    #[error("cannot {what} {path}: {source}; give a directory of your own with --spool", path = path.display())]
    Spool {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The relay did not come up.
    #[error("cannot start the relay: {reason}")]
    Relay {
        /// Why not.
        reason: String,
    },
    /// A recorded exchange that cannot be read.
    #[error("line {line} is no HTTP exchange: {reason}")]
    Exchange {
        /// Its line in the file, from 1.
        line: u64,
        /// What is wrong, and what is expected.
        reason: String,
    },
}

impl Error {
    /// An error of the spool, to be given to `map_err`.
    pub(crate) fn spool(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Spool { what, path, source }
    }
}
