//! What of a text may stand in a line, and how much of it.

use std::borrow::Cow;
use std::fmt::Write as _;

use schemas::limits::SINK_CUT_MARK;

/// Whether a terminal, a line reader or a person's eye would obey or miss this character instead of seeing it: C0 and C1 controls, separators of
/// lines and paragraphs, and Unicode's `Default_Ignorable_Code_Point` (17.0) with the interlinear marks, which holds everything that
/// turns the direction of text.
pub(crate) fn is_hidden(character: char) -> bool {
    // Nearly every character is one of these.
    let is_plain = matches!(character, ' '..='~');
    !is_plain
        && matches!(character,
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// `character` as it is shown where it cannot stand: `\u202e`, beyond four digits `\u{e0001}`.
pub(crate) fn push_shown(character: char, out: &mut String) {
    let code = u32::from(character);
    // A `String` takes whatever it is given.
    let _infallible =
        if code > 0xffff { write!(out, "\\u{{{code:x}}}") } else { write!(out, "\\u{code:04x}") };
}

/// `text` with every character that `is_shown` shown.
pub(crate) fn visible(text: &str, is_shown: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_shown(character) {
            push_shown(character, &mut out);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// At most `bytes_max` bytes of `text`: all of it, or its beginning up to a character with a mark that says so. The second is whether it was cut.
pub(crate) fn clipped(text: &str, bytes_max: usize) -> (Cow<'_, str>, bool) {
    if text.len() <= bytes_max {
        return (Cow::Borrowed(text), false);
    }
    let room = bytes_max.saturating_sub(SINK_CUT_MARK.len());
    let kept = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
    (Cow::Owned(format!("{kept}{SINK_CUT_MARK}")), true)
}

/// [`visible`], then [`clipped`], without first making a long text longer.
pub(crate) fn shown_clipped(
    text: &str,
    bytes_max: usize,
    is_shown: impl Fn(char) -> bool,
) -> (Cow<'_, str>, bool) {
    // What is shown is never shorter than what it stands for.
    let beyond = bytes_max.saturating_add(1);
    let enough = text.get(..text.ceil_char_boundary(beyond)).unwrap_or(text);
    match visible(enough, is_shown) {
        Cow::Borrowed(shown) => clipped(shown, bytes_max),
        Cow::Owned(shown) => {
            let (text, is_cut) = clipped(&shown, bytes_max);
            (Cow::Owned(text.into_owned()), is_cut)
        }
    }
}

/// `text` as one part of a URI's path: everything but unreserved characters as `%XX`.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                // A `String` takes whatever it is given.
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_says_so_and_ends_between_characters() {
        assert_eq!(clipped("abcdefgh", 8), (Cow::Borrowed("abcdefgh"), false));
        let (text, is_cut) = clipped("éééééééééé", 12);
        assert!(is_cut && text.len() <= 12);
        assert_eq!(text, format!("ééé{SINK_CUT_MARK}"));
    }

    proptest! {
        #[test]
        fn nothing_hides_and_nothing_is_longer_than_it_may_be(
            text in any::<String>(), bytes_max in SINK_CUT_MARK.len()..400usize,
        ) {
            let (shown, is_cut) = shown_clipped(&text, bytes_max, |character| is_hidden(character) || character == '|');
            prop_assert!(!shown.contains(is_hidden) && !shown.contains('|') && shown.len() <= bytes_max);
            let whole = visible(&text, |character| is_hidden(character) || character == '|');
            prop_assert_eq!(is_cut, whole.len() > bytes_max);
            let kept = shown.strip_suffix(SINK_CUT_MARK).filter(|_| is_cut).unwrap_or(&shown);
            prop_assert!(whole.starts_with(kept));
        }

        #[test]
        fn a_part_of_a_path_comes_back(text in any::<String>()) {
            let encoded = percent_encoded(&text);
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            let mut bytes = Vec::new();
            let mut rest = encoded.as_bytes();
            while let [byte, tail @ ..] = rest {
                rest = tail;
                match (byte, tail) {
                    (b'%', [high, low, tail @ ..]) => {
                        let hex = [*high, *low];
                        bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                        rest = tail;
                    }
                    (byte, _) => bytes.push(*byte),
                }
            }
            prop_assert_eq!(bytes, text.as_bytes());
        }
    }
}
