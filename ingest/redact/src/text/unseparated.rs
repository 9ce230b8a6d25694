//! Values that stand by their name without a separator: in markup, in SQL, on the line below, in the file of ftp's
//! passwords.

use crate::bytes::at;
use crate::names::{NAME_BYTES_MAX, Name, name_start};
use crate::text::is_cut_off;
use crate::text::quotes::{Quotes, end_of_line, trimmed};

/// Most white space between two words of a line `login NAME password VALUE`, in bytes.
const GAP_BYTES: usize = schemas::limits::REDACT_GAP_BYTES_MAX;
/// How far before a name such a line can begin, in raw JSON, where white space is longer: as an escape in the innermost of
/// nested strings. The word itself has nothing to escape.
const LOGIN_REACH_BYTES: usize = 2 * GAP_BYTES * (2 << crate::text::NESTED_LEVELS_MAX) + NAME_BYTES_MAX + 16;
const LOGIN: &[u8] = b"login";

/// `<password>VALUE</password>`, the name ending at `name_end`; or `<password>VALUE` where the text was cut off.
pub(crate) fn element(bytes: &[u8], name_end: usize) -> Option<(usize, usize)> {
    let start = inside_of_element(bytes, name_end)?;
    let rest = bytes.get(start..)?;
    let Some(len) = rest.iter().position(|byte| matches!(byte, b'<' | b'>')) else {
        let len = rest.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        let is_value = is_word_start(rest) && is_cut_off(bytes, start + len);
        return is_value.then_some((start, start + len));
    };
    let end = start + len;
    let closing = bytes.get(end..)?.strip_prefix(b"<")?.iter().find(|byte| **byte != b'\\');
    if closing != Some(&b'/') {
        return None;
    }
    let start = start + bytes.get(start..end)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    Some((start, trimmed(bytes, start, end)))
}

/// The same in raw JSON, where it errs to the side of yes.
pub(crate) fn may_be_element(bytes: &[u8], name_end: usize) -> bool {
    let Some(rest) = inside_of_element(bytes, name_end).and_then(|start| bytes.get(start..)) else {
        return false;
    };
    match rest.iter().position(|byte| matches!(byte, b'<' | b'>')) {
        Some(0) => false,
        Some(len) => {
            rest.get(len + 1..).is_some_and(|rest| rest.iter().find(|byte| **byte != b'\\') == Some(&b'/'))
                || is_word_start(rest)
        }
        None => is_word_start(rest),
    }
}

/// Something that could be a value begins at once.
fn is_word_start(rest: &[u8]) -> bool {
    !matches!(rest, [] | [b' ' | b'"' | b',' | b')' | b'.' | b';', ..] | [b'\\', b'"' | b'n', ..])
}

/// Where the inside of an element begins whose tag is the name that ends at `name_end`.
fn inside_of_element(bytes: &[u8], name_end: usize) -> Option<usize> {
    if at(bytes, name_end) != Some(b'>') {
        return None;
    }
    let head = bytes.get(name_end.saturating_sub(NAME_BYTES_MAX)..name_end)?;
    let tag = head
        .iter()
        .rev()
        .find(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')));
    (tag == Some(&b'<')).then_some(name_end + 1)
}

/// `PASSWORD 'VALUE'`: the blanks after the name end at `start`. The quote may be missing where the text was cut off.
pub(super) fn sql(bytes: &[u8], quotes: &Quotes<'_>, name: &Name, start: usize) -> Option<(usize, usize)> {
    if name.class != "password" || at(bytes, start) != Some(b'\'') {
        return None;
    }
    let (start, end) = quotes.value(start)?;
    if at(bytes, end) == Some(b'\'') {
        return Some((start, end));
    }
    let len = bytes.get(start..end)?.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
    is_cut_off(bytes, start + len).then_some((start, start + len))
}

/// Where what is said begins in `the password is VALUE`, the name ending at `name_end`.
pub(crate) fn is_said(bytes: &[u8], name_end: usize) -> Option<usize> {
    let verbs: [&[u8]; 5] = [b" is ", b" was ", b" is: ", b" are ", b" is now "];
    let rest = bytes.get(name_end..)?;
    verbs.iter().find(|verb| rest.starts_with(verb)).map(|verb| name_end + verb.len())
}

/// True for the `password` of `login NAME password VALUE`.
pub(super) fn follows_login(bytes: &[u8], name: &Name, name_end: usize) -> bool {
    if name.words != ["password"] {
        return false;
    }
    let Some(head) = bytes.get(..name_end.saturating_sub(b"password".len())) else { return false };
    let back = |head: &[u8], max: usize, fits: fn(u8) -> bool| {
        let len = head.iter().rev().take(max + 1).take_while(|byte| fits(**byte)).count();
        (1..=max).contains(&len).then(|| head.len() - len)
    };
    let is_space = |byte: u8| byte.is_ascii_whitespace();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'+');
    let found = back(head, GAP_BYTES, is_space)
        .and_then(|end| back(&head[..end], NAME_BYTES_MAX, is_word))
        .and_then(|end| back(&head[..end], GAP_BYTES, is_space));
    let login = found.and_then(|end| head.get(end.checked_sub(LOGIN.len())?..end));
    login.is_some_and(|word| word.eq_ignore_ascii_case(LOGIN))
}

/// The same in raw JSON, where it errs to the side of yes.
pub(crate) fn may_follow_login(bytes: &[u8], name: &Name, name_end: usize) -> bool {
    name.words == ["password"]
        && bytes
            .get(name_end.saturating_sub(LOGIN_REACH_BYTES)..name_end)
            .is_some_and(|head| head.windows(LOGIN.len()).any(|word| word.eq_ignore_ascii_case(LOGIN)))
}

/// Words that stand alone on the line below a condition.
const CONTROL_FLOW: [&[u8]; 8] =
    [b"return", b"break", b"continue", b"pass", b"raise", b"yield", b"else", b"fallthrough"];

/// YAML's value below its key, when nothing but perhaps the mark of a block stands at `start`, where it would be.
pub(super) fn below(bytes: &[u8], quotes: &Quotes<'_>, start: usize) -> Option<(usize, usize)> {
    let is_block = matches!(at(bytes, start), Some(b'|' | b'>'));
    let mark = bytes.get(start..)?.iter().take(3).take_while(|byte| b"|>+-0123456789".contains(byte)).count();
    let mark_end = start + if is_block { mark } else { 0 };
    let line = past_line_end(bytes, mark_end + indentation(bytes, mark_end))?;
    let first = line + indentation(bytes, line);
    if first == line || trimmed(bytes, first, end_of_line(bytes, first)) == first {
        return None;
    }
    if is_block {
        return Some((first, end_of_block(bytes, first, first - line)));
    }
    if let Some(quoted) = quotes.value(first) {
        return Some(quoted);
    }
    if let Some(items) = list_below(bytes, first, first - line) {
        return Some(items);
    }
    // One word, and not the first of a mapping or list: of more words it may be prose. One that ends a branch of a program
    // is code, and its "key" a condition.
    let end = trimmed(bytes, first, end_of_line(bytes, first));
    let word = bytes.get(first..end)?;
    if CONTROL_FLOW.contains(&word.strip_suffix(b";").unwrap_or(word)) {
        return None;
    }
    let is_structure = matches!(word, [b'-' | b'#' | b'{' | b'[' | b'<' | b'|' | b'>', ..] | [.., b':']);
    let is_marker = crate::marker::inert_len(word).is_some();
    ((is_marker || !is_structure) && !word.iter().any(u8::is_ascii_whitespace)).then_some((first, end))
}

/// Where a value begins that stands below its key, and how far it is indented: at `start` nothing does but perhaps the mark of
/// a block. Of a list, the first item.
pub(super) fn first_below(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let is_block = matches!(at(bytes, start), Some(b'|' | b'>'));
    let mark = bytes.get(start..)?.iter().take(3).take_while(|byte| b"|>+-0123456789".contains(byte)).count();
    let mark_end = start + if is_block { mark } else { 0 };
    let line = past_line_end(bytes, mark_end + indentation(bytes, mark_end))?;
    let first = line + indentation(bytes, line);
    let item = if bytes.get(first..)?.starts_with(b"- ") { first + 2 } else { first };
    (first > line).then_some((item, first - line))
}

/// Where the list ends whose first item begins at `item`, after its sign.
pub(super) fn list_end(bytes: &[u8], item: usize, indented: usize) -> Option<usize> {
    let first = item.checked_sub(2).filter(|first| bytes.get(*first..item) == Some(b"- "))?;
    list_below(bytes, first, indented).map(|(_, end)| end)
}

/// The items of YAML's list whose first line's text begins at `first`: words each, of which one is no plain name.
fn list_below(bytes: &[u8], first: usize, indented: usize) -> Option<(usize, usize)> {
    let item = |start: usize| -> Option<(usize, usize)> {
        let end = trimmed(bytes, start, end_of_line(bytes, start));
        let value = bytes.get(start..end)?.strip_prefix(b"- ")?;
        let is_word =
            !value.is_empty() && !value.iter().any(u8::is_ascii_whitespace) && !value.ends_with(b":");
        is_word.then_some((start + 2, end))
    };
    let is_name = |(start, end): (usize, usize)| {
        let value = bytes.get(start..end).unwrap_or_default();
        value.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'"' | b'\''))
    };
    let (start, mut end) = item(first)?;
    let mut is_secret = !is_name((start, end));
    while let Some(line) = past_line_end(bytes, end_of_line(bytes, end)) {
        let next = line + indentation(bytes, line);
        match item(next).filter(|_| next - line == indented) {
            Some(found) => {
                is_secret |= !is_name(found);
                end = found.1;
            }
            None => break,
        }
    }
    is_secret.then_some((start, end))
}

/// Most bytes of white space between the halves of a pair.
const PAIR_GAP: usize = 2 * NAME_BYTES_MAX;

/// Where the value begins of a pair whose other half names it: `name: DB_PASSWORD` and `value: ...` on the line below,
/// `key="Password" value="..."`. The name ends at `name_end`.
pub(super) fn paired(bytes: &[u8], name_end: usize) -> Option<usize> {
    let rest = bytes.get(name_end..bytes.len().min(name_end + PAIR_GAP))?;
    let gap = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || b"\"'\\,;".contains(byte)).count();
    let key = name_end + gap;
    let len =
        bytes.get(key..)?.iter().take(NAME_BYTES_MAX).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if gap == 0 || !ends_with_word(bytes.get(key..key + len)?, b"value") {
        return None;
    }
    let start = name_start(bytes, name_end);
    let start = start + bytes.get(start..name_end)?.iter().take_while(|byte| **byte == b' ').count();
    let head = bytes.get(..start)?.trim_ascii_end();
    let head = head.strip_suffix(b"\"").or_else(|| head.strip_suffix(b"'")).unwrap_or(head);
    let head = head.strip_suffix(b"\\").unwrap_or(head);
    let near = head.get(head.len().saturating_sub(PAIR_GAP)..)?.trim_ascii_end();
    let near = near.strip_suffix(b":").or_else(|| near.strip_suffix(b"="))?.trim_ascii_end();
    let near = near.trim_ascii_end();
    let near = near.strip_suffix(b"\"").or_else(|| near.strip_suffix(b"'")).unwrap_or(near);
    (ends_with_word(near, b"name") || ends_with_word(near, b"key")).then_some(())?;
    let mut next = key + len;
    while matches!(at(bytes, next), Some(b'"' | b'\'' | b'\\' | b' ')) {
        next += 1;
    }
    crate::text::assignment::after_separator(bytes, next)
}

fn ends_with_word(text: &[u8], word: &[u8]) -> bool {
    text.len()
        .checked_sub(word.len())
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

/// The same in raw JSON, where it errs to the side of yes: what may be the value's key follows the name.
pub(crate) fn may_be_paired(bytes: &[u8], name_end: usize) -> bool {
    let mut position = name_end;
    loop {
        match at(bytes, position) {
            Some(b'\\') if matches!(at(bytes, position + 1), Some(b'n' | b't' | b'r')) => position += 2,
            Some(b'\\' | b'"' | b'\'' | b' ' | b'\t' | b'\n' | b'\r' | b',' | b';') => position += 1,
            _ => break,
        }
    }
    // The last letter of an escape may be the key's first.
    let start = position.saturating_sub(1).max(name_end);
    let key = bytes.get(start..).unwrap_or_default().iter().take(NAME_BYTES_MAX + 1);
    let len = key.take_while(|byte| byte.is_ascii_alphabetic()).count();
    let len = if len == 0 {
        let key = bytes.get(position..).unwrap_or_default().iter().take(NAME_BYTES_MAX);
        return ends_with_word(
            bytes
                .get(position..position + key.take_while(|byte| byte.is_ascii_alphabetic()).count())
                .unwrap_or_default(),
            b"value",
        );
    } else {
        len
    };
    position > name_end && ends_with_word(bytes.get(start..start + len).unwrap_or_default(), b"value")
}

fn past_line_end(bytes: &[u8], line_end: usize) -> Option<usize> {
    match bytes.get(line_end..)? {
        [b'\r', b'\n', ..] => Some(line_end + 2),
        [b'\n' | b'\r', ..] => Some(line_end + 1),
        _ => None,
    }
}

fn indentation(bytes: &[u8], line: usize) -> usize {
    bytes.get(line..).map_or(0, |rest| rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count())
}

/// The end of the lines that follow `first` and are indented as far.
fn end_of_block(bytes: &[u8], first: usize, indented: usize) -> usize {
    let mut end = end_of_line(bytes, first);
    let mut next = end;
    while let Some(line) = past_line_end(bytes, next) {
        next = end_of_line(bytes, line);
        let is_empty = trimmed(bytes, line, next) == line;
        if !is_empty && indentation(bytes, line) < indented {
            break;
        }
        if !is_empty {
            end = next;
        }
    }
    trimmed(bytes, first, end)
}
