//! The one error of delivery.

use std::path::PathBuf;

/// Why a sink cannot be built or cannot go on. A caller acts on the variant; the text is for people. No variant holds a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration of a sink is wrong.
    #[error("sink {sink}: {detail}")]
    Settings {
        /// Its name.
        sink: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// A file of the sink's own, or one that its configuration names, cannot be used.
    #[error("{action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A stored file of the log could not be read, or is not what its manifest promises.
    #[error(transparent)]
    Entries(#[from] store::ReadError),
    /// A row is not what its stream's schema promises.
    #[error("entry {index} of {log} cannot be read: {detail}; verify the store")]
    Row {
        /// The log.
        log: String,
        /// Its index there.
        index: i64,
        /// What was found.
        detail: String,
    },
    /// The sink's own files are not what this program writes.
    #[error("{path} is damaged: {detail}; delete it to begin at the end of the log, or restore it")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no room for another dead letter: the sink stands still in this tenant, and nothing is passed over.
    #[error(
        "sink {sink} has no room for dead letters of tenant {tenant}: mend what refuses them, then `tacho sinks replay {sink}` or `tacho sinks discard {sink}`"
    )]
    Full {
        /// Its name.
        sink: String,
        /// The tenant.
        tenant: String,
    },
    /// The sink has nothing to do with this tenant.
    #[error(
        "sink {sink} has no place in a log of tenant {tenant}: it does not take part there, or nothing was recorded"
    )]
    Tenant {
        /// Its name.
        sink: String,
        /// The tenant.
        tenant: String,
    },
    /// Too much is to be sent again already.
    #[error(
        "sink {sink} has as many ranges of tenant {tenant} to send again as it may: wait, or give them up with `tacho sinks discard {sink}`"
    )]
    Ranges {
        /// Its name.
        sink: String,
        /// The tenant.
        tenant: String,
    },
    /// A bug of ours.
    #[error("delivery failed unexpectedly: {0}; report it")]
    Panicked(String),
    /// There is no such sink.
    #[error("there is no sink {0}; `tacho sinks list` shows those there are")]
    Unknown(String),
    /// The sinks were shut down.
    #[error("the sinks have been shut down; start the service again")]
    Closed,
}

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
