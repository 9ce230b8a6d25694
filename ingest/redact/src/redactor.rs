//! The one public door.

use std::fmt;
use std::sync::LazyLock;

use crate::edit::{Edit, apply, apply_within};
use crate::error::Error;
use crate::finding::Finding;
use crate::json::json_edits_and_members;
use crate::marker;
use crate::personal::{self, Class, Policies};
use crate::prefilter::Prefilter;
use crate::removed::Redacted;
use crate::shapes::Matchers;
use crate::text::{ENCODED_LEVELS, Level, string_edits};
use crate::{encoded, hexadecimal, percent};

/// A tenant's redaction: the rules, which are the same for all and compiled once, and its key.
pub struct Redactor {
    fingerprint_key: [u8; 32],
    pub(crate) policies: Policies,
    pub(crate) rules: &'static Rules,
}

/// All rules, compiled.
pub(crate) struct Rules {
    pub prefilter: Prefilter,
    pub matchers: Matchers,
}

static RULES: LazyLock<Rules> =
    LazyLock::new(|| Rules { prefilter: Prefilter::new(), matchers: Matchers::new() });

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
        Redactor { fingerprint_key, policies: Policies::default(), rules: &RULES }
    }

    /// The same, and with personal data treated as `policies` say.
    #[must_use]
    pub fn with_policies(self, policies: Policies) -> Redactor {
        Redactor { policies, ..self }
    }

    /// True when no rule can match anywhere in `bytes`, be they JSON or text: then redacting them would change nothing.
    /// False means that they must go through [`Self::redact_json`] or [`Self::redact_text`]. A few passes; nothing is allocated but for what is percent-encoded.
    pub fn is_clean(&self, bytes: &[u8]) -> bool {
        self.is_clean_within(bytes, 0)
    }

    /// The same within so many encodings; as many of them are undone as redaction undoes.
    fn is_clean_within(&self, bytes: &[u8], encodings: usize) -> bool {
        self.rules.prefilter.is_clean(bytes)
            && self.holds_nothing_personal(bytes)
            && (encodings == ENCODED_LEVELS
                || !encoded::may_hold_text(bytes)
                    && !hexadecimal::may_hold_text(bytes)
                    && percent::runs(bytes)
                        .all(|run| self.is_clean_within(run.text.as_bytes(), encodings + 1)))
    }

    /// Redacts one complete JSON value; of an object, what was removed is counted by its members. Outside the replaced strings (and the numbers under a secret's name, which become
    /// strings) the result is the input byte for byte; it is borrowed when nothing was replaced.
    pub fn redact_json<'a>(&self, json: &'a str) -> Result<Redacted<'a>, Error> {
        let (edits, members) = json_edits_and_members(self, json)?;
        Ok(apply_within(json, &edits, |edit| members.name_at(edit.start)))
    }

    /// Redacts plain text: SQL, an error message, a header's value. Text that is itself JSON is treated as JSON.
    pub fn redact_text<'a>(&self, text: &'a str) -> Redacted<'a> {
        apply(text, &string_edits(self, text, Level::default()))
    }

    /// The fingerprint of `text` as one of `class`, by the tenant's key: equal values have equal ones.
    pub fn fingerprint(&self, class: &str, text: &str) -> String {
        marker::fingerprint(&self.fingerprint_key, class, text.as_bytes())
    }

    /// What [`Self::redact_json`] would remove, and why.
    pub fn findings_in_json(&self, json: &str) -> Result<Vec<Finding>, Error> {
        let (edits, members) = json_edits_and_members(self, json)?;
        Ok(edits.iter().map(|edit| finding(edit, members.name_at(edit.start).map(str::to_owned))).collect())
    }

    /// What [`Self::redact_text`] would remove, and why.
    pub fn findings_in_text(&self, text: &str) -> Vec<Finding> {
        string_edits(self, text, Level::default()).iter().map(|edit| finding(edit, None)).collect()
    }

    fn holds_nothing_personal(&self, bytes: &[u8]) -> bool {
        if !self.policies.is_active() {
            return true;
        }
        let by_name = [Class::Phone, Class::NationalId].iter().any(|class| self.policies.looks_for(*class));
        personal::first(bytes, &self.policies).is_none() && !(by_name && personal::may_be_named(bytes))
    }

    /// What takes the place of personal data.
    pub(crate) fn replacement(&self, class: Class, value: &str) -> String {
        personal::replacement(&self.fingerprint_key, self.policies.of(class), class, value)
    }

    pub(crate) fn marker(&self, class: &str, secret: &str) -> String {
        marker::marker(&self.fingerprint_key, class, secret.as_bytes())
    }
}

fn finding(edit: &Edit, place: Option<String>) -> Finding {
    Finding { class: edit.class, why: edit.why, place, start: edit.start, end: edit.end }
}
