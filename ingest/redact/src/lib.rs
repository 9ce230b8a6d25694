//! Removes secrets from JSON and from plain text before anything is hashed or written.
//!
//! The hot path is [`Redactor::is_clean`]: one pass over the raw bytes that looks for four-byte windows of which every
//! rule needs at least one, and checks the surroundings of each, and one that looks for the beginnings of base64 that is
//! text. Only what these cannot clear is parsed.
//!
//! Invariants
//! - A secret that a rule knows does not leave this crate (invariant 3 of the product).
//! - Soundness of the prefilter: `is_clean(x)` implies that redacting `x` changes nothing. Every rule is found through the
//!   same prefilter on the decoded text, so a rule without a window finds nothing in its own tests.
//! - Redaction is idempotent, leaves valid JSON valid, and touches no byte outside the secrets it replaces.
//! - Time grows linearly with the input (times the bounded number of nested JSON and base64 levels); the stack does not
//!   grow at all with depth inside one level.
//!
//! What it cannot see
//! - A password that neither a name nor a known shape gives away: `mysql -phunter2`, `sshpass -p hunter2`, `-u` and its
//!   value as two elements of an array, `IDENTIFIED BY 'hunter2'`, `SET PASSWORD FOR u = ...` beyond its line, prose.
//! - Items of a YAML list under a secret's name, more than one bare word on the line below it; XML attributes' siblings
//!   (`<password type="x">hunter2`) and `CDATA`; `pass` without a user beside it.
//! - URL encoding of more than one round, percent-encoded letters of a name, HTML entities.
//! - Base64 of less than 24 characters, without a capital among the first 24, glued to a word before it, of UTF-16 or
//!   compressed text, inside base64 inside base64; other encodings: hexadecimal, base32, quoted-printable.
//! - A secret cut in two by the sender, over two strings or two events.
//!
//! It must not know: events, tenants, files, clocks, randomness. Personal data (email, cards) is another rule set.
//!
//! What is replaced becomes `<redacted:CLASS:FINGERPRINT>`, see [`Redactor::new`] for the fingerprint.
#![warn(missing_docs)]

mod bytes;
mod edit;
mod encoded;
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
