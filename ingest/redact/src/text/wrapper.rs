//! What can stand between the sign of an assignment and the quote of its value: a prefix (`N'...'`, `@"..."`), a constructor
//! (`Some("...")`), brackets (`['...', '...']`), three quotes, the mark of a here-document.

use crate::bytes::at;
use crate::text::quotes::{Quotes, end_of_line, is_quote};

/// Longest of them before the quote, in bytes.
const BYTES: usize = schemas::limits::REDACT_WRAPPER_BYTES_MAX;
/// Letters of a prefix: `u`, `rb`.
const PREFIX_LETTERS: usize = 2;
/// Brackets inside each other.
const BRACKETS: usize = 3;
/// Functions that make a value of a text and nothing else. What begins with a capital is a type.
const CONSTRUCTORS: [&[u8]; 10] =
    [b"from", b"new", b"of", b"str", b"string", b"text", b"bytes", b"some", b"just", b"ok"];

/// A value in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted {
    pub start: usize,
    pub end: usize,
}

/// Where the inside of a value begins that has a prefix or a wrapper, and whether it is the first of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// The quote, or the backslashes before it.
    pub quote: usize,
    pub is_list: bool,
    is_set: bool,
}

/// What opens at `start`; none where the value is bare, or begins with its quote.
pub(super) fn open(bytes: &[u8], start: usize) -> Option<Opened> {
    let mut position = start;
    let (mut is_list, mut is_set, mut is_tagged) = (false, false, false);
    for _ in 0..=BRACKETS {
        let rest = bytes.get(position..start + BYTES.min(bytes.len() - start))?;
        let word = rest.iter().take_while(|byte| is_word_byte(**byte)).count();
        let (word, rest) = rest.split_at(word);
        position += word.len();
        match rest.first()? {
            b'(' if word.is_empty() || is_constructor(word) => {}
            b'[' | b'{' if word.is_empty() => {}
            b' ' if word.starts_with(b"!!") => {}
            _ if quote_at(bytes, position).is_some() => {
                let is_prefix = word.len() <= PREFIX_LETTERS && (is_list || is_tagged || !word.is_empty());
                return is_prefix.then_some(Opened { quote: position, is_list, is_set });
            }
            _ => return None,
        }
        is_list |= rest.first() != Some(&b' ');
        is_tagged |= rest.first() == Some(&b' ');
        is_set = rest.first() == Some(&b'{');
        position += 1;
        position +=
            bytes.get(position..)?.iter().take(BYTES).take_while(|byte| byte.is_ascii_whitespace()).count();
    }
    None
}

/// The same in raw JSON, where it errs to the side of yes: something may open at `start`.
pub(crate) fn may_open(bytes: &[u8], start: usize) -> bool {
    let Some(rest) = bytes.get(start..) else { return false };
    match rest {
        [b'[' | b'(' | b'!', ..] | [b'<', b'<', ..] => return true,
        // A set inside a text: an object's own quotes have no backslash.
        [b'{', rest @ ..] => {
            return matches!(rest.trim_ascii_start().first(), Some(b'\\' | b'\'' | b'`'));
        }
        _ => {}
    }
    let word = rest.iter().take(BYTES).take_while(|byte| is_word_byte(**byte)).count();
    let after = rest.get(word..).unwrap_or_default();
    if word > 0 && after.first() == Some(&b'(') {
        return true;
    }
    // A letter of an escape may stand before it.
    let is_prefix = (1..=PREFIX_LETTERS + 1).contains(&word);
    let escapes = after.iter().take_while(|byte| **byte == b'\\').count();
    is_prefix
        && after.get(escapes).is_some_and(|byte| is_quote(*byte))
        && after.get(escapes + 1).is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | b':'))
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'@' | b'$' | b':' | b'.' | b'!' | b'&')
}

/// `Some`, `String::from`, `SecretString`: what is called makes a value of what is inside.
fn is_constructor(word: &[u8]) -> bool {
    let last = word.rsplit(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default();
    last.first().is_some_and(u8::is_ascii_uppercase)
        || CONSTRUCTORS.iter().any(|known| last.eq_ignore_ascii_case(known))
}

/// The quote at `position`, after backslashes or none.
fn quote_at(bytes: &[u8], position: usize) -> Option<u8> {
    let escapes = bytes.get(position..)?.iter().take_while(|byte| **byte == b'\\').count();
    at(bytes, position + escapes).filter(|byte| is_quote(*byte))
}

/// The inside of the quoted value at `start`; three quotes on end are one.
pub(super) fn quoted(bytes: &[u8], quotes: &Quotes<'_>, start: usize) -> Option<Quoted> {
    let quote = at(bytes, start);
    if let Some(delimiter) = bytes.get(start..start + 3).filter(|_| quote.is_some_and(is_quote))
        && delimiter.iter().all(|byte| Some(*byte) == quote)
    {
        let inside = start + 3;
        let rest = bytes.get(inside..)?;
        let len = rest.windows(3).position(|window| window == delimiter);
        let end = len.map_or_else(|| end_of_line(bytes, inside), |len| inside + len);
        return Some(Quoted { start: inside, end });
    }
    quotes.value(start).map(|(start, end)| Quoted { start, end })
}

/// The value, or all of a list from the first to the last, that `opened` begins. What ends in a colon is a prompt, and what
/// is a member's name begins something larger.
pub(super) fn value(bytes: &[u8], quotes: &Quotes<'_>, opened: Opened) -> Option<Quoted> {
    let first = quoted(bytes, quotes, opened.quote)?;
    let text = bytes.get(first.start..first.end)?.trim_ascii_end();
    if matches!(text.last(), Some(b':' | b'?')) {
        return None;
    }
    let (after, last) = if opened.is_list { last_of(bytes, quotes, first) } else { (first.end, first) };
    let is_map = opened.is_set && bytes.get(after..)?.trim_ascii_start().first() == Some(&b':');
    (!is_map).then_some(Quoted { start: first.start, end: last.end })
}

/// The last item of the list whose first is given, and where what follows it begins.
fn last_of(bytes: &[u8], quotes: &Quotes<'_>, first: Quoted) -> (usize, Quoted) {
    let skip = |mut position: usize, fits: fn(u8) -> bool| {
        while at(bytes, position).is_some_and(fits) {
            position += 1;
        }
        position
    };
    let mut last = first;
    loop {
        let closed = skip(last.end, |byte| byte == b'\\' || is_quote(byte));
        let comma = skip(closed, |byte| byte.is_ascii_whitespace());
        if at(bytes, comma) != Some(b',') {
            return (closed, last);
        }
        let next = skip(comma + 1, |byte| byte.is_ascii_whitespace());
        let quote = open(bytes, next).map_or(next, |opened| opened.quote);
        match quoted(bytes, quotes, quote) {
            Some(item) if item.end > last.end => last = item,
            _ => return (closed, last),
        }
    }
}

/// The inside of the here-document whose mark stands at `start`.
pub(super) fn here_document(bytes: &[u8], start: usize) -> Option<Quoted> {
    let mark = bytes.get(start..)?.strip_prefix(b"<<")?;
    let line = end_of_line(bytes, start);
    let is_sign = |byte: &u8| matches!(byte, b'-' | b'~' | b'\'' | b'"' | b'<' | b' ');
    let signs = mark.iter().take_while(|byte| is_sign(byte)).count();
    let word =
        mark.get(signs..)?.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let word = mark.get(signs..signs + word).filter(|word| !word.is_empty())?;
    let inside = line + usize::from(bytes.get(line..)?.starts_with(b"\r")) + 1;
    let mut position = inside;
    while position < bytes.len() {
        let end = end_of_line(bytes, position);
        if bytes.get(position..end)?.trim_ascii() == word {
            return Some(Quoted { start: inside, end: position.saturating_sub(1).max(inside) });
        }
        position = end + 1;
    }
    (inside < bytes.len()).then_some(Quoted { start: inside, end: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::{open, value};
    use crate::text::quotes::Quotes;

    fn inside(text: &str) -> Option<&str> {
        let quotes = Quotes::new(text.as_bytes());
        let found = value(text.as_bytes(), &quotes, open(text.as_bytes(), 0)?)?;
        text.get(found.start..found.end)
    }

    #[test]
    fn wrappers_open_and_code_does_not() {
        for (text, expected) in [
            ("N'ab'", "ab"),
            ("@\"ab\";", "ab"),
            ("rb'ab'", "ab"),
            ("Some(\"ab\")", "ab"),
            ("Some(String(\"ab\"))", "ab"),
            ("String::from('ab')", "ab"),
            ("('''ab''')", "ab"),
            ("!!str 'ab'", "ab"),
            ("['ab']", "ab"),
            ("[ \"ab\", \"cd\" ] x", "ab\", \"cd"),
            ("(u'ab', u'cd', e)", "ab', u'cd"),
            ("{'ab'}", "ab"),
        ] {
            assert_eq!(inside(text), Some(expected), "{text}");
        }
        for text in [
            "'ab'",
            "ab",
            "input('Password: ')",
            "Input('Password: ')",
            "os.environ[\"AB\"]",
            "os.getenv(\"AB\")",
            "{'type': 'string'}",
            "abc'def'",
            "Vec::new()",
            "[]",
        ] {
            assert_eq!(inside(text), None, "{text}");
        }
    }
}
