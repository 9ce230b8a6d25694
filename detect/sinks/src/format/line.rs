//! A line of pairs, of bounded length: what CEF and LEEF have in common.
//!
//! Pairs stand in the order in which they are pushed, the most important ones first. A value longer than its own bound is cut at a character and ends in
//! `[cut]`; a pair for which the line has no room is left out; a last pair names the keys of both, so that nothing is ever missing in silence.

use std::borrow::Cow;

use schemas::limits::{SINK_LINE_BYTES_MAX, SINK_LINE_REMARK_BYTES_MAX};

use super::text::{clipped, is_hidden, shown_clipped};

/// How a format spells pairs.
pub(super) trait Spelling {
    /// Between two pairs.
    const SEPARATOR: char;
    /// Control characters that a value may hold, since the format has an escape for them.
    const ESCAPED: &'static [char];
    /// Whether a reader may trim a value, so that a space at either end of it is shown.
    const TRIMMED: bool;
    /// The keys that say which others were cut, with what they are set to beside the names of those.
    const REMARK: &'static [(&'static str, Option<&'static str>)];

    /// A shown value as it stands on the line.
    fn escaped(shown: &str) -> Cow<'_, str>;
}

/// A line under construction.
#[derive(Debug)]
pub(super) struct Line<S> {
    out: String,
    header: usize,
    cut: Vec<&'static str>,
    spelling: std::marker::PhantomData<S>,
}

impl<S: Spelling> Line<S> {
    /// A line that begins with `header`, which is whole.
    pub fn new(header: String) -> Line<S> {
        let length = header.len();
        Line { out: header, header: length, cut: Vec::new(), spelling: std::marker::PhantomData }
    }

    /// A text of at most `bytes_max` bytes. An empty one is left out.
    pub fn text(&mut self, key: &'static str, text: &str, bytes_max: usize) {
        if text.is_empty() {
            return;
        }
        let (value, is_cut) = spelt::<S>(text, bytes_max);
        if is_cut {
            self.cut.push(key);
        }
        self.pair(key, &value);
    }

    /// A text where there is one.
    pub fn text_option(&mut self, key: &'static str, text: Option<&str>, bytes_max: usize) {
        self.text(key, text.unwrap_or_default(), bytes_max);
    }

    /// A number.
    pub fn int(&mut self, key: &'static str, int: i64) {
        self.pair(key, &int.to_string());
    }

    /// A number where there is one.
    pub fn int_option(&mut self, key: &'static str, int: Option<i64>) {
        if let Some(int) = int {
            self.int(key, int);
        }
    }

    /// What a number could not say, so that it is told of as cut.
    pub fn note_cut(&mut self, key: &'static str) {
        self.cut.push(key);
    }

    fn pair(&mut self, key: &'static str, value: &str) {
        let length = self.out.len() + 1 + key.len() + 1 + value.len();
        if length > SINK_LINE_BYTES_MAX - SINK_LINE_REMARK_BYTES_MAX {
            if !self.cut.contains(&key) {
                self.cut.push(key);
            }
            return;
        }
        self.push(key, value);
    }

    fn push(&mut self, key: &str, value: &str) {
        if self.out.len() > self.header {
            self.out.push(S::SEPARATOR);
        }
        self.out.push_str(key);
        self.out.push('=');
        self.out.push_str(value);
    }

    /// The line.
    pub fn finish(mut self) -> String {
        if self.cut.is_empty() {
            return self.out;
        }
        let names = self.cut.join(",");
        // Half of what is kept for it: keys and labels need their room too.
        let (names, _) = clipped(&names, SINK_LINE_REMARK_BYTES_MAX / 2);
        for (key, value) in S::REMARK {
            self.push(key, value.unwrap_or(&names));
        }
        self.out
    }
}

/// A text as the format spells it, and whether it was cut.
fn spelt<S: Spelling>(text: &str, bytes_max: usize) -> (String, bool) {
    let text = if S::TRIMMED { untrimmed(text) } else { Cow::Borrowed(text) };
    let (shown, is_cut) =
        shown_clipped(&text, bytes_max, |character| is_hidden(character) && !S::ESCAPED.contains(&character));
    (S::escaped(&shown).into_owned(), is_cut)
}

/// `text` with a space at its beginning and one at its end shown.
fn untrimmed(text: &str) -> Cow<'_, str> {
    let (front, back) = (text.starts_with(' '), text.len() > 1 && text.ends_with(' '));
    if !front && !back {
        return Cow::Borrowed(text);
    }
    let inner = if front { text.get(1..).unwrap_or_default() } else { text };
    let inner = if back { inner.strip_suffix(' ').unwrap_or(inner) } else { inner };
    let space = |is: bool| if is { "\\u0020" } else { "" };
    Cow::Owned(format!("{}{inner}{}", space(front), space(back)))
}
