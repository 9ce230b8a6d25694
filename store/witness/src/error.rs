//! The one error of this crate.

/// Why a witness or a client of witnesses could not begin. What goes wrong later is answered, or kept as the reason of a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy, a key or a certificate is not usable.
    #[error("{what}: {detail}")]
    Settings {
        /// Which.
        what: &'static str,
        /// What is wrong and what to do.
        detail: String,
    },
    /// What was kept cannot be read, or is not what was written: a witness that forgot is no witness.
    #[error("state of {origin}: {detail}")]
    State {
        /// The log.
        origin: String,
        /// What was found.
        detail: String,
    },
}

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "callers have no more use for it")]
    pub(crate) fn settings(what: &'static str, detail: impl ToString) -> Error {
        Error::Settings { what, detail: detail.to_string() }
    }
}
