//! The one error of this crate.

/// Why some bytes, text or batch is not what the format says.
///
/// The variants differ only where a caller acts differently; the message says what, where and what was
/// expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input does not follow the format: wrong bytes, wrong order, trailing data, bad text.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// The thing that was being read, for example `entry` or `manifest`.
        what: &'static str,
        /// Where in it and what was expected.
        detail: String,
    },
    /// The input follows the format but is larger than a limit of `limits.rs`.
    #[error("{what} is {actual}, over the limit of {limit}")]
    TooLarge {
        /// The thing that is too large, with its unit.
        what: &'static str,
        /// Its size.
        actual: u64,
        /// The limit that it passes.
        limit: u64,
    },
    /// Two things that must be equal are not: a hash, a root, a signature.
    #[error("{what} does not match: {detail}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// Expected and found.
        detail: String,
    },
    /// A batch or file does not have the columns that the stream's schema names.
    #[error("schema of stream {stream}: {detail}")]
    Schema {
        /// The stream whose schema was expected.
        stream: &'static str,
        /// The column and what is wrong with it.
        detail: String,
    },
}

impl Error {
    /// A [`Error::Malformed`] with formatted detail.
    pub fn malformed(what: &'static str, detail: impl Into<String>) -> Error {
        Error::Malformed { what, detail: detail.into() }
    }

    /// A [`Error::Mismatch`] with formatted detail.
    pub fn mismatch(what: &'static str, detail: impl Into<String>) -> Error {
        Error::Mismatch { what, detail: detail.into() }
    }
}
