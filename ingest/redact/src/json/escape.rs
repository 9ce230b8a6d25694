//! JSON string escapes: decoding for matching, and carrying edits of the decoded text back to the raw one.

use std::borrow::Cow;

use crate::edit::Edit;

/// The text of a raw JSON string (without its quotes). A lone surrogate, which no text can hold, becomes U+FFFD: only for
/// matching, the raw bytes stay.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(plain) = rest.bytes().position(|byte| byte == b'\\') {
        text.push_str(&rest[..plain]);
        let (character, len) = escape(&rest[plain..]);
        text.push(character);
        rest = &rest[plain + len..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character of the escape that `raw` starts with, and the escape's length. The string was validated, so every other
/// form is one of the short ones.
fn escape(raw: &str) -> (char, usize) {
    let bytes = raw.as_bytes();
    match bytes.get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'u') => unicode_escape(bytes),
        Some(same) if same.is_ascii() => (char::from(*same), 2),
        _ => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn unicode_escape(bytes: &[u8]) -> (char, usize) {
    let Some(first) = code_unit(bytes, 0) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let Some(character) = char::from_u32(first) {
        return (character, 6);
    }
    match code_unit(bytes, 6) {
        Some(second @ 0xDC00..=0xDFFF) if first < 0xDC00 => {
            let scalar = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// The value of `\uXXXX` at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Edits of the decoded text as edits of the JSON text whose string content `raw` begins at `base`. They must be sorted and
/// disjoint.
pub(super) fn escaped_edits(raw: &str, base: usize, edits: Vec<Edit>) -> impl Iterator<Item = Edit> {
    let mut cursor = Cursor { raw, raw_at: 0, text_at: 0 };
    edits.into_iter().map(move |edit| Edit {
        start: base + cursor.raw_offset(edit.start),
        end: base + cursor.raw_offset(edit.end),
        class: edit.class,
        why: edit.why,
        replacement: encode(edit.replacement),
    })
}

/// A position in a raw string and the same in its text.
struct Cursor<'a> {
    raw: &'a str,
    raw_at: usize,
    text_at: usize,
}

impl Cursor<'_> {
    /// The raw offset of a text offset; these must not decrease from call to call.
    fn raw_offset(&mut self, text_offset: usize) -> usize {
        while self.text_at < text_offset {
            let rest = &self.raw[self.raw_at..];
            let plain =
                rest.bytes().take(text_offset - self.text_at).take_while(|byte| *byte != b'\\').count();
            self.raw_at += plain;
            self.text_at += plain;
            if self.text_at < text_offset {
                if self.raw_at >= self.raw.len() {
                    break;
                }
                let (character, len) = escape(&self.raw[self.raw_at..]);
                self.raw_at += len;
                self.text_at += character.len_utf8();
            }
        }
        self.raw_at
    }
}

/// A replacement as the content of a JSON string. Markers hold neither quotes nor backslashes, but one that stands for a
/// number in a nested value carries its own quotes.
fn encode(replacement: String) -> String {
    if replacement.contains(['"', '\\']) {
        replacement.replace('\\', "\\\\").replace('"', "\\\"")
    } else {
        replacement
    }
}

#[cfg(test)]
mod tests {
    use super::{Edit, decode, escaped_edits};
    use crate::finding::Why;

    #[test]
    fn decodes_as_a_json_parser_does() {
        for raw in [r"plain", r"a\nb\t\r\b\f\/\\\x", r#"\"\u0041\u00e9\u20ac\ud83d\ude00é"#] {
            let quoted = format!("\"{}\"", raw.replace("\\x", ""));
            let expected: String = serde_json::from_str(&quoted).unwrap();
            assert_eq!(decode(&raw.replace("\\x", "")), expected);
        }
        assert_eq!(decode(r"a\ud800b\udc00\ud800\u0041"), "a\u{fffd}b\u{fffd}\u{fffd}A");
    }

    #[test]
    fn edits_find_their_raw_range() {
        let raw = r"é\u00e9\ud83d\ude00\nAB\ud800C";
        let text = decode(raw).into_owned();
        let edit = |start, end| Edit { start, end, class: "x", why: Why::Name, replacement: "\"r\"".into() };
        let (ab, c) = (text.find("AB").unwrap(), text.find('C').unwrap());
        let edits: Vec<Edit> = escaped_edits(raw, 100, vec![edit(ab, ab + 2), edit(c, c + 1)]).collect();
        assert_eq!(&raw[edits[0].start - 100..edits[0].end - 100], "AB");
        assert_eq!(&raw[edits[1].start - 100..edits[1].end - 100], "C");
        assert_eq!(edits[0].replacement, "\\\"r\\\"");
    }
}
