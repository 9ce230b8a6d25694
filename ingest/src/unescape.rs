//! The text of a JSON string that was checked by [`crate::scan`].

use std::borrow::Cow;

/// The text that `raw`, the inside of a valid JSON string, stands for.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    unescape_into(raw, &mut out);
    Cow::Owned(out)
}

/// Appends to `out` the text that `raw` stands for. An escape without a character, which the scan refuses, becomes
/// U+FFFD.
pub(crate) fn unescape_into(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escape.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (character, after) = code_point(chars.as_str());
                out.push(character);
                rest = after;
                continue;
            }
            Some(character) => out.push(character),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// The character whose `\u` escape, or pair of them, continues with `digits`; and what follows it.
fn code_point(digits: &str) -> (char, &str) {
    let Some((high, after_high)) = unit(digits) else {
        return (char::REPLACEMENT_CHARACTER, digits);
    };
    if let Some(character) = char::from_u32(high) {
        return (character, after_high);
    }
    let pair = after_high.strip_prefix("\\u").and_then(unit).and_then(|(low, after)| {
        let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        let high = high.checked_sub(0xd800).filter(|high| *high < 0x400)?;
        Some((char::from_u32(0x10000 + (high << 10 | low))?, after))
    });
    pair.unwrap_or((char::REPLACEMENT_CHARACTER, after_high))
}

fn unit(digits: &str) -> Option<(u32, &str)> {
    let (digits, after) = digits.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(text in any::<String>(), tail in "[\\u{0}-\\u{1f}\"\\\\]{0,8}") {
            let text = text + &tail;
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&json[1..json.len() - 1]), text.as_str());
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            prop_assert_eq!(unescape(&escaped), text.as_str());
        }
    }

    #[test]
    fn plain_text_is_borrowed_and_slashes_are_plain() {
        assert!(matches!(unescape("plain é"), Cow::Borrowed("plain é")));
        assert_eq!(unescape("a\\/b\\ud83d\\ude00\\b\\f"), "a/b😀\u{8}\u{c}");
    }
}
