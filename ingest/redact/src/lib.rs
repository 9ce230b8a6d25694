//! Removes secrets from JSON and from plain text before anything is hashed or written.
//!
//! Two rule sets: secrets, which always go, and personal data, which goes where a tenant's [`Policies`] say so.
//!
//! The hot path is [`Redactor::is_clean`]: one pass over the raw bytes that looks for four-byte windows of which every
//! rule needs at least one, and checks the surroundings of each, and passes that look for the beginnings of base64, of
//! hexadecimal digits and of percent-encoding that is text. Only what these cannot clear is parsed.
//!
//! Invariants
//! - A secret that a rule knows does not leave this crate (invariant 3 of the product).
//! - Soundness of the prefilter: `is_clean(x)` implies that redacting `x` changes nothing. Every rule is found through the
//!   same prefilter on the decoded text, so a rule without a window finds nothing in its own tests.
//! - Redaction is idempotent, leaves valid JSON valid, and touches no byte outside the secrets it replaces.
//! - Time grows linearly with the input (times the bounded number of nested JSON and base64 levels): what a rule refuses it has
//!   not read to its end. The stack does not grow at all with depth inside one level; memory is bounded by tokens and
//!   replacements (`REDACT_TOKENS_MAX`, `REDACT_EDITS_MAX`), past which a value is refused and a text replaced as a whole.
//!
//! What it cannot see
//! - A password that neither a name nor a known form gives away: `-u` and its value as two elements of an array, a password
//!   without a digit in prose, `SET PASSWORD FOR u = ...` beyond its line.
//! - A token without letters of its maker's own, without a name beside it: thirty-two hexadecimal digits are a digest as well.
//! - Items of a YAML list that are plain names in small letters, more than one bare word on the line below a secret's name; XML
//!   attributes' siblings (`<password type="x">hunter2`) and `CDATA`; `pass` in small letters without a user beside it.
//! - UUIDs and one-time codes under names that are only likely (`tokens`, `tokenProd`); what is typed into a field and has blanks.
//! - The second argument of a look-up (`getenv("DB_PASSWORD", "hunter2")`); a password in a URL that begins with a port's digits.
//! - More than three encodings inside each other, HTML entities.
//! - Base64 of less than 24 characters, without a capital among the first 24, glued to a word before it, of UTF-16 or
//!   compressed text; hexadecimal digits of less than 12 characters of plain ASCII; base32, quoted-printable.
//! - A secret cut in two by the sender, over two strings or two events; the end alone of one whose beginning was cut off.
//!
//! It must not know: events, tenants, files, clocks, randomness.
//!
//! What is replaced becomes `<redacted:CLASS:FINGERPRINT>`, see [`Redactor::new`] for the fingerprint.
#![warn(missing_docs)]

mod bytes;
mod edit;
mod encoded;
mod error;
mod finding;
mod hexadecimal;
mod json;
mod marker;
mod names;
mod percent;
mod personal;
mod prefilter;
mod random;
mod redactor;
mod removed;
mod shapes;
mod text;

pub use error::Error;
pub use finding::{Finding, Why};
pub use personal::{Class, Policies, Policy};
pub use redactor::Redactor;
pub use removed::{Redacted, Removed};

#[cfg(test)]
mod tests;
