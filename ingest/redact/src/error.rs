//! What can go wrong: only the input.

/// Why a JSON value could not be redacted. The caller must not write the value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is not one complete JSON value.
    #[error(
        "the value to redact is not valid JSON at line {line}, column {column}: send one complete JSON value"
    )]
    Invalid {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, in bytes from 1.
        column: usize,
    },
    /// Arrays and objects are nested deeper than the bound.
    #[error("the value to redact nests deeper than {depth_max} levels: flatten it or send it as a string")]
    TooDeep {
        /// The bound, in levels.
        depth_max: usize,
    },
    /// It is made of more parts, or holds more secrets, than are kept at once.
    #[error("the value to redact has too many parts or too many secrets: send it in smaller events")]
    TooLarge,
}
