//! The one public door.

use std::fmt;

use crate::edit::apply;
use crate::encoded;
use crate::error::Error;
use crate::json::json_edits;
use crate::marker;
use crate::prefilter::Prefilter;
use crate::removed::Redacted;
use crate::shapes::Matchers;
use crate::text::{Level, string_edits};

/// All rules, compiled once. Share it in an `Arc`.
pub struct Redactor {
    fingerprint_key: [u8; 32],
    pub(crate) prefilter: Prefilter,
    pub(crate) matchers: Matchers,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        formatter.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// `fingerprint_key` is the tenant's. A fingerprint is the first 12 hexadecimal digits of keyed BLAKE3 over the class
    /// name, a zero byte and the secret's bytes, so one secret can be followed through a tenant's log without being known.
    pub fn new(fingerprint_key: [u8; 32]) -> Redactor {
        Redactor { fingerprint_key, prefilter: Prefilter::new(), matchers: Matchers::new() }
    }

    /// True when no rule can match anywhere in `bytes`, be they JSON or text: then redacting them would change nothing.
    /// False means that they must go through [`Self::redact_json`] or [`Self::redact_text`]. Two passes, no allocation.
    pub fn is_clean(&self, bytes: &[u8]) -> bool {
        self.prefilter.is_clean(bytes) && !encoded::may_hold_text(bytes)
    }

    /// Redacts one complete JSON value. Outside the replaced strings (and the numbers under a secret's name, which become
    /// strings) the result is the input byte for byte; it is borrowed when nothing was replaced.
    pub fn redact_json<'a>(&self, json: &'a str) -> Result<Redacted<'a>, Error> {
        Ok(apply(json, &json_edits(self, json, Level::default())?))
    }

    /// Redacts plain text: SQL, an error message, a header's value. Text that is itself JSON is treated as JSON.
    pub fn redact_text<'a>(&self, text: &'a str) -> Redacted<'a> {
        apply(text, &string_edits(self, text, Level::default()))
    }

    /// The fingerprint of `text` as one of `class`, by the tenant's key: equal values have equal ones.
    pub fn fingerprint(&self, class: &str, text: &str) -> String {
        marker::fingerprint(&self.fingerprint_key, class, text.as_bytes())
    }

    pub(crate) fn marker(&self, class: &str, secret: &str) -> String {
        marker::marker(&self.fingerprint_key, class, secret.as_bytes())
    }
}
