//! One replacement, in byte offsets of the text it was found in. Edits travel outwards through the levels of nested JSON
//! strings, so that no byte beside a secret is ever rewritten.

use std::borrow::Cow;

use crate::finding::Why;
use crate::removed::{Redacted, Removed};

/// Replace `start..end` of a text by `replacement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub start: usize,
    pub end: usize,
    pub class: &'static str,
    pub why: Why,
    pub replacement: String,
}

/// Applies sorted, disjoint edits.
pub(crate) fn apply<'a>(text: &'a str, edits: &[Edit]) -> Redacted<'a> {
    apply_within(text, edits, |_| None)
}

/// The same, and says by `place` where each was.
pub(crate) fn apply_within<'a, 'p>(
    text: &'a str,
    edits: &[Edit],
    place: impl Fn(&Edit) -> Option<&'p str>,
) -> Redacted<'a> {
    let mut removed = Removed::default();
    if edits.is_empty() {
        return Redacted { text: Cow::Borrowed(text), removed };
    }
    let mut out = String::with_capacity(text.len() + 16 * edits.len());
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.start]);
        out.push_str(&edit.replacement);
        removed.count(edit.class, place(edit));
        at = edit.end;
    }
    out.push_str(&text[at..]);
    Redacted { text: Cow::Owned(out), removed }
}

/// The edits that do at once what `first` does, and then `second` to its result. Both are sorted and disjoint.
pub(crate) fn compose(first: Vec<Edit>, second: Vec<Edit>) -> Vec<Edit> {
    let mut composed = Vec::with_capacity(first.len() + second.len());
    let mut first = first.into_iter().peekable();
    // What is added to an offset of the result to give one of the original, as wide as the edits passed so far made it.
    let mut shift = 0_isize;
    for mut edit in second {
        let (start, end) = (edit.start, edit.end);
        edit.start = start.saturating_add_signed(shift);
        while let Some(inner) = first.peek() {
            let inner_start = inner.start.saturating_add_signed(-shift);
            if inner_start >= end {
                break;
            }
            let inner_end = inner_start + inner.replacement.len();
            shift += inner.end as isize - inner.start as isize - inner.replacement.len() as isize;
            let Some(inner) = first.next() else { break };
            if inner_end <= start {
                edit.start = start.saturating_add_signed(shift);
                composed.push(inner);
            } else {
                edit.start = edit.start.min(inner.start);
                edit.end = inner.end;
            }
        }
        edit.end = end.saturating_add_signed(shift).max(edit.start);
        composed.push(edit);
    }
    composed.extend(first);
    composed
}

#[cfg(test)]
mod tests {
    use super::{Edit, Why, apply, compose};

    fn edit(start: usize, end: usize, replacement: &str) -> Edit {
        Edit { start, end, class: "x", why: Why::Name, replacement: replacement.into() }
    }

    #[test]
    fn composed_edits_do_what_both_do_in_turn() {
        let text = "0123456789";
        let first = vec![edit(1, 3, "abcdef"), edit(5, 6, ""), edit(7, 9, "Z")];
        let once = apply(text, &first).text.into_owned();
        assert_eq!(once, "0abcdef346Z9");
        for second in [
            vec![edit(0, 1, "S")],
            vec![edit(11, 12, "E")],
            vec![edit(1, 7, "M")],
            vec![edit(0, 8, "M"), edit(8, 9, "N")],
            vec![edit(7, 9, "M"), edit(10, 12, "N")],
            vec![edit(0, 12, "")],
        ] {
            let twice = apply(&once, &second).text.into_owned();
            assert_eq!(apply(text, &compose(first.clone(), second.clone())).text, twice, "{second:?}");
        }
    }
}
