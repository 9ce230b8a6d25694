//! Removes secrets from JSON and from plain text before anything is hashed or written.
//!
//! The hot path is [`Redactor::is_clean`]: one pass over the raw bytes that looks for four-byte windows of which every
//! rule needs at least one, and checks the surroundings of each. Only what it cannot clear is parsed.
//!
//! Invariants
//! - A secret that a rule knows does not leave this crate (invariant 3 of the product).
//! - Soundness of the prefilter: `is_clean(x)` implies that redacting `x` changes nothing. Every rule is found through the
//!   same prefilter on the decoded text, so a rule without a window finds nothing in its own tests.
//! - Redaction is idempotent, leaves valid JSON valid, and touches no byte outside the secrets it replaces.
//! - Time grows linearly with the input (times the bounded number of nested JSON levels); the stack does not grow at all
//!   with depth inside one level.
//!
//! It must not know: events, tenants, files, clocks, randomness. Personal data (email, cards) is another rule set.
//!
//! What is replaced becomes `<redacted:CLASS:FINGERPRINT>`, see [`Redactor::new`] for the fingerprint.
#![warn(missing_docs)]

mod bytes;
mod edit;
mod error;
mod json;
mod marker;
mod names;
mod prefilter;
mod redactor;
mod removed;
mod shapes;
mod text;

pub use error::Error;
pub use redactor::Redactor;
pub use removed::{Redacted, Removed};

#[cfg(test)]
mod tests;
