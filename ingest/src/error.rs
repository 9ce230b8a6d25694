//! The one error of this crate: why a whole request was not taken. Single values are in [`crate::Rejected`].

/// Why a body was not taken. A caller acts on the variant; the text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller is not known: no principal came with the request.
    #[error("no credential was checked for this request; send a token")]
    Unauthenticated,
    /// The caller may not send events.
    #[error("role {role} may not send events; use a token with role collector or admin")]
    Forbidden {
        /// The role it has.
        role: schemas::principal::Role,
    },
    /// The body or what it decompresses to is over a limit.
    #[error("{what} is over the limit of {limit}; send less at once")]
    TooLarge {
        /// Which limit, with its unit.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The content encoding is none that is read here.
    #[error("content encoding {encoding} is not known; send gzip, zstd or identity")]
    UnknownEncoding {
        /// The encoding, quoted.
        encoding: String,
    },
    /// The compressed body is damaged.
    #[error("the gzip body is damaged or cut short at byte {at} of what it decompresses to: {reason}")]
    BadGzip {
        /// Bytes that came out before.
        at: usize,
        /// What the decoder said.
        reason: String,
    },
    /// The same of zstd.
    #[error(
        "the zstd body is damaged, cut short or needs too much memory, at byte {at} of what it decompresses to: {reason}"
    )]
    BadZstd {
        /// Bytes that came out before.
        at: usize,
        /// What the decoder said.
        reason: String,
    },
    /// The content type is none that is read here.
    #[error("content type {kind} is not known; send application/x-protobuf or application/json")]
    UnknownType {
        /// The type, quoted.
        kind: String,
    },
    /// The body is not what its content type says.
    #[error("the body is no OTLP export request: {reason}")]
    BadTelemetry {
        /// What is wrong and where; quotes nothing of the body.
        reason: String,
    },
    /// No record of the request could be taken.
    #[error("none of {count} records can be recorded; the first: {first}")]
    NothingUsable {
        /// How many there were.
        count: u64,
        /// Code and detail of the first.
        first: String,
    },
    /// A signal that is not recorded here.
    #[error("{signal} are not recorded; point only the exporters of traces and logs here")]
    UnknownSignal {
        /// What was sent.
        signal: &'static str,
    },
    /// The body could not be read to its end.
    #[error("the body broke off: {reason}")]
    BrokenBody {
        /// What happened.
        reason: String,
    },
    /// The body did not come in time.
    #[error("the body did not arrive in time; send it faster or in smaller parts")]
    Slow,
    /// A mapping was asked for that does not exist.
    #[error("mapping {name} is not known; known are {known}")]
    UnknownMapping {
        /// What was asked for, quoted.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A mapping file is wrong.
    #[error("mapping file {file}, line {line}: {reason}")]
    BadMapping {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The database of countries cannot be used.
    #[error("country database {file}: {reason}")]
    CountryDatabase {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no value in the body.
    #[error("the body holds no JSON value; send an object, an array of objects or NDJSON")]
    Empty,
    /// Too many bodies are in flight.
    #[error("{what} bytes of request bodies are in flight already; try again")]
    Busy {
        /// Whose budget is used up.
        what: &'static str,
    },
    /// This credential sends faster than it may.
    #[error("this credential sends more than {bytes_s} bytes a second; try again in {retry_after_s} s")]
    TooFast {
        /// What it may send.
        bytes_s: u64,
        /// When it may send again.
        retry_after_s: u64,
    },
    /// The store did not take the events.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The draft does not fit together; a defect of this program.
    #[error("draft: {0}")]
    Draft(#[from] schemas::Error),
    /// A source cannot be read as it is configured, or as the log left it.
    #[error("source: {detail}")]
    Source {
        /// What is wrong.
        detail: String,
    },
    /// A task of this program was stopped.
    #[error("the service is stopping or a worker failed: {reason}; the outcome is unknown, send it again")]
    Worker {
        /// What happened.
        reason: String,
    },
}

impl Error {
    /// Whether the store takes nothing more until the service is restarted: trying on is of no use.
    pub fn is_final(&self) -> bool {
        matches!(self, Error::Store(store::Error::Poisoned { .. } | store::Error::Tampered { .. }))
    }

    /// Whether nothing is wrong but the amount: the same will be taken in a moment.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(
            self,
            Error::Busy { .. } | Error::Store(store::Error::Busy { .. } | store::Error::DiskFull { .. })
        )
    }
}
