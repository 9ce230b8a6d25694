//! One replacement, in byte offsets of the text it was found in. Edits travel outwards through the levels of nested JSON
//! strings, so that no byte beside a secret is ever rewritten.

use std::borrow::Cow;

use crate::removed::{Redacted, Removed};

/// Replace `start..end` of a text by `replacement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub start: usize,
    pub end: usize,
    pub class: &'static str,
    pub replacement: String,
}

/// Applies sorted, disjoint edits.
pub(crate) fn apply<'a>(text: &'a str, edits: &[Edit]) -> Redacted<'a> {
    let mut removed = Removed::default();
    if edits.is_empty() {
        return Redacted { text: Cow::Borrowed(text), removed };
    }
    let mut out = String::with_capacity(text.len() + 16 * edits.len());
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.start]);
        out.push_str(&edit.replacement);
        removed.count(edit.class);
        at = edit.end;
    }
    out.push_str(&text[at..]);
    Redacted { text: Cow::Owned(out), removed }
}
