//! Assignments in text: `password=...`, `pwd: ...`, `"token": "..."`, `--secret ...`, `&sig=...`, `Authorization: Bearer ...`.

use crate::bytes::{at, before, follows_escape};
use crate::marker::inert_len;
use crate::names::{self, Name, Place};

/// Schemes of an `Authorization` header of which one word follows.
const ONE_WORD_SCHEMES: &[&str] = &["bearer", "basic", "token", "bot", "apikey", "api-key", "negotiate"];

/// The value that belongs to `name`, which ends at `name_end`: start, end and class.
pub(crate) fn value(bytes: &[u8], name: &Name, name_end: usize) -> Option<(usize, usize, &'static str)> {
    let next = skip_closers(bytes, name_end);
    let start = match after_separator(bytes, next) {
        Some(_) if at(bytes, next) == Some(b':') && name.place == Place::Parameter => return None,
        Some(start) => start,
        None if at(bytes, name_end).is_some_and(is_blank) => {
            flag_start(bytes, name_end)?;
            let start = skip_blanks(bytes, name_end);
            // The next flag is not this one's value.
            if at(bytes, start) == Some(b'-') {
                return None;
            }
            start
        }
        None => return None,
    };
    let (start, end) = extent(bytes, start, name_end, name)?;
    (start < end).then_some((start, end, name.class))
}

/// Where the name that ends at `end` begins as a flag: after one or two dashes that follow no word.
pub(crate) fn flag_start(bytes: &[u8], end: usize) -> Option<usize> {
    let run = names::name_start(bytes, end);
    let name = bytes.get(run..end)?;
    let mut start = run + name.iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
    if follows_escape(bytes, start + 1) {
        start += 1;
    }
    bytes.get(start..end)?.starts_with(b"-").then_some(start)
}

/// Where the value begins when `next` is a separator: `=`, `:`, `==`, `:=`, `=>`, `%3D` or `%3A`. `://` separates nothing.
pub(crate) fn after_separator(bytes: &[u8], next: usize) -> Option<usize> {
    let rest = bytes.get(next..)?;
    let len = match rest {
        [b':', b'/', b'/', ..] => return None,
        [b'=', b'=' | b'>', ..] | [b':', b'=', ..] => 2,
        [b'=' | b':', ..] => 1,
        [b'%', b'3', b'D' | b'd' | b'A' | b'a', ..] => 3,
        _ => return None,
    };
    Some(skip_blanks(bytes, next + len))
}

/// The value of these goes on after its first word.
fn takes_the_line(name: &Name) -> bool {
    matches!(name.class, "cookie" | "authorization")
}

/// The length of a bare `true`, `false`, `null` or `none` at the start: there is nothing to hide in it.
pub(crate) fn literal_len(bytes: &[u8], name: &Name) -> Option<usize> {
    if takes_the_line(name) {
        return None;
    }
    let len = bytes.iter().take(6).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let known = bytes.get(..len).is_some_and(|word| {
        [&b"true"[..], b"false", b"null", b"none"].iter().any(|known| word.eq_ignore_ascii_case(known))
    });
    (known
        && bytes
            .get(len)
            .is_none_or(|byte| matches!(byte, b',' | b'}' | b']' | b')' | b' ' | b'\t' | b'\n' | b'\r')))
    .then_some(len)
}

/// Quotes, brackets and blanks between a name and its separator.
fn skip_closers(bytes: &[u8], mut position: usize) -> usize {
    while at(bytes, position)
        .is_some_and(|byte| is_blank(byte) || matches!(byte, b'\\' | b'"' | b'\'' | b']' | b'`'))
    {
        position += 1;
    }
    position
}

fn skip_blanks(bytes: &[u8], mut position: usize) -> usize {
    while at(bytes, position).is_some_and(is_blank) {
        position += 1;
    }
    position
}

/// White space within a line.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn extent(bytes: &[u8], start: usize, name_end: usize, name: &Name) -> Option<(usize, usize)> {
    if literal_len(bytes.get(start..)?, name).is_some() {
        return None;
    }
    if let Some(quoted) = quoted(bytes, start) {
        return Some(quoted);
    }
    match name.class {
        "cookie" => Some((start, end_of_header(bytes, start, name_end))),
        "authorization" => Some(authorization(bytes, start)),
        _ => {
            let end = end_of_word(bytes, start);
            let is_value = !is_placeholder(bytes.get(start..end)?);
            is_value.then_some((start, end))
        }
    }
}

/// The inside of a quoted value. A quote with more backslashes before it than the opening one is part of the value; a value
/// that is never closed ends with its line.
fn quoted(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let escapes = bytes.get(start..)?.iter().take_while(|byte| **byte == b'\\').count();
    let quote = at(bytes, start + escapes).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
    let inside = start + escapes + 1;
    let mut backslashes = 0;
    let mut position = inside;
    while let Some(byte) = at(bytes, position) {
        match byte {
            b'\\' => backslashes += 1,
            byte if byte == quote && closes(backslashes, escapes) => {
                return Some((inside, position - backslashes.min(escapes)));
            }
            _ => backslashes = 0,
        }
        position += 1;
    }
    Some((inside, end_of_line(bytes, inside)))
}

fn closes(backslashes: usize, escapes: usize) -> bool {
    // Without an escaped opening, an even number of backslashes stands for itself.
    if escapes == 0 { backslashes.is_multiple_of(2) } else { backslashes <= escapes }
}

/// After a scheme of one word, that word; after any other, the line; without a scheme, the word.
fn authorization(bytes: &[u8], start: usize) -> (usize, usize) {
    let scheme_end = end_of_word(bytes, start);
    let credential = skip_blanks(bytes, scheme_end);
    let scheme = &bytes[start..scheme_end];
    let one_word = ONE_WORD_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    if one_word && credential > scheme_end {
        return (credential, end_of_word(bytes, credential));
    }
    let digest = scheme.eq_ignore_ascii_case(b"digest") || scheme.starts_with(b"AWS4-");
    if digest && credential > scheme_end {
        return (credential, end_of_line(bytes, credential));
    }
    (start, scheme_end)
}

/// A bare value ends at white space, a quote, `&` or `;`; at a comma or closing bracket only where more of the sentence
/// follows, since either may be part of a password.
fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let mut position = start;
    while let Some(byte) = at(bytes, position) {
        let ends = match byte {
            b'"' | b'\'' | b'`' | b'&' | b';' => true,
            b',' | b')' | b']' | b'}' => closes_sentence(bytes, position, start),
            byte => byte.is_ascii_whitespace(),
        };
        if ends {
            break;
        }
        position += 1;
    }
    // A backslash before the quote belongs to the quote.
    while position > start && before(bytes, position) == Some(b'\\') && at(bytes, position).is_some() {
        position -= 1;
    }
    position
}

fn closes_sentence(bytes: &[u8], position: usize, start: usize) -> bool {
    let next = at(bytes, position + 1);
    let mask_ends = inert_len(&bytes[start..]).is_some_and(|len| start + len == position + 1);
    !mask_ends
        && next.is_none_or(|next| {
            next.is_ascii_whitespace() || matches!(next, b',' | b')' | b']' | b'}' | b'"' | b'\'' | b';')
        })
}

fn end_of_line(bytes: &[u8], start: usize) -> usize {
    let len = bytes
        .get(start..)
        .map_or(0, |rest| rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count());
    start + len
}

/// The line's end, or the quote that closes a header quoted as a whole: `-H 'Cookie: a=b'`.
fn end_of_header(bytes: &[u8], start: usize, name_end: usize) -> usize {
    let end = end_of_line(bytes, start);
    match before(bytes, names::name_start(bytes, name_end)).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))
    {
        None => end,
        Some(quote) => {
            start + bytes[start..end].iter().take_while(|byte| **byte != quote && **byte != b'\\').count()
        }
    }
}

/// A stand-in for a value: `$1`, `?`, `%s`, `${NAME}`, `{{name}}`, or the opening of something larger.
fn is_placeholder(value: &[u8]) -> bool {
    match value {
        [b'?'] | [b'%', b's'] | [b'{' | b'[' | b'(' | b'|' | b'>'] | b"{}" | b"[]" | b"()" => true,
        [b'$', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => true,
        [b'$', b'{', inner @ .., b'}'] | [b'{', b'{', inner @ .., b'}', b'}'] => {
            inner.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b' '))
        }
        _ => false,
    }
}
