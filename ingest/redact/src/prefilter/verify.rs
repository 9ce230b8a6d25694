//! What is around a window: does the anchor stand there, and could a secret follow?
//!
//! The first part ([`hit`]) is the same for raw and for decoded text. The second decides about raw bytes only and may err
//! to one side: it must never clear what the rules would replace after decoding.

use super::Hit;
use super::windows::Target;
use crate::bytes::{at, before, is_scheme_byte, token_boundary};
use crate::marker::{inert_len, marker_len};
use crate::names::{self, NUMBERED, Name, Place, SEPARATORS, TERMINATORS};
use crate::random;
use crate::shapes::{Anchor, RULE_COUNT};
use crate::text::{assignment, unseparated, wrapper};

/// The hit that a target's anchor at `start` is, if it stands there and its surroundings fit.
pub(super) fn hit(bytes: &[u8], target: &Target, start: usize) -> Option<Hit> {
    let rest = bytes.get(start..)?;
    match target {
        Target::Shape { rank, anchor } => {
            anchor_stands(bytes, anchor, start).then_some(Hit::Shape { rank: *rank })
        }
        Target::DiscordBot => {
            let run = rest.iter().take(30).take_while(|byte| is_word(**byte)).count();
            let fits = (23..=28).contains(&run) && rest.get(run) == Some(&b'.');
            (fits && token_boundary(bytes, start)).then_some(Hit::Shape { rank: RULE_COUNT })
        }
        Target::Suffix { .. } if !begins_suffix(bytes, start) => None,
        Target::Name { word } | Target::Suffix { word } => {
            let is_end = |len: usize| rest.get(len).is_some_and(|byte| TERMINATORS.contains(byte));
            let mut len = word.len();
            if !rest.get(..len)?.eq_ignore_ascii_case(word.as_bytes()) {
                return None;
            }
            if !is_end(len) && NUMBERED.contains(word) {
                len += names::number_len(rest.get(len..)?);
            }
            if !is_end(len) {
                return None;
            }
            let end = start + len;
            names::name_ending_at(bytes, end).map(|name| Hit::Name { name, end })
        }
        Target::Url => {
            let stands = rest.starts_with(b"://") && before(bytes, start).is_some_and(is_scheme_byte);
            stands.then_some(Hit::Url { start })
        }
        Target::Marker => rest.starts_with(b"<redacted:").then_some(Hit::Marker { start }),
        Target::UnicodeEscape => Some(Hit::Escape),
        Target::SlashEscape => {
            // Any number of backslashes: each level of strings in strings doubles them.
            let slash = |from: usize| {
                let backslashes = rest.get(from..)?.iter().take_while(|byte| **byte == b'\\').count();
                (rest.get(from + backslashes) == Some(&b'/')).then_some(from + backslashes + 1)
            };
            slash(1).and_then(slash).map(|_| Hit::Escape)
        }
    }
}

/// A word that may follow a name does, after a sign or in camel case.
fn begins_suffix(bytes: &[u8], start: usize) -> bool {
    before(bytes, start).is_some_and(|byte| {
        SEPARATORS.contains(&byte)
            || byte.is_ascii_lowercase() && at(bytes, start).is_some_and(|byte| byte.is_ascii_uppercase())
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn anchor_stands(bytes: &[u8], anchor: &Anchor, start: usize) -> bool {
    let literal = anchor.literal.as_bytes();
    let Some(found) = bytes.get(start..start + literal.len()) else { return false };
    let same = if anchor.any_case { found.eq_ignore_ascii_case(literal) } else { found == literal };
    same && (!anchor.boundary || token_boundary(bytes, start))
        && bytes.get(start + literal.len()..).is_some_and(|rest| {
            let fits = |byte: &u8| {
                if anchor.any_case {
                    anchor.body.contains_either_case(*byte)
                } else {
                    anchor.body.contains(*byte)
                }
            };
            rest.len() >= anchor.body_bytes_min && rest.iter().take(anchor.body_bytes_min).all(fits)
        })
}

/// `scheme://user:password@host`, perhaps cut before its host: true unless the authority ends before both a colon and an at
/// sign were seen, and what follows the colon is a port.
pub(super) fn url_may_hold_password(bytes: &[u8], start: usize) -> bool {
    let Some(authority) = bytes.get(start + 3..) else { return false };
    let mut colon = None;
    for (offset, byte) in authority.iter().enumerate() {
        match byte {
            b':' => colon = colon.or(Some(offset)),
            b'@' if colon.is_some() => return true,
            byte if crate::text::ends_authority(*byte) => {
                return colon.is_some_and(|colon| {
                    crate::text::is_no_port(&authority[colon + 1..offset])
                        || may_be_unencoded(authority, offset)
                });
            }
            _ => {}
        }
    }
    colon.is_some_and(|colon| crate::text::is_no_port(&authority[colon + 1..]))
}

/// A password that nobody encoded may go on past `end`, where the authority seems to: a sign before a host follows. Every
/// slash may have backslashes before it, which do not count.
fn may_be_unencoded(authority: &[u8], end: usize) -> bool {
    let rest = authority.get(end..).unwrap_or_default().iter().filter(|byte| **byte != b'\\');
    let mut reach = rest.take(crate::text::URL_REACH_BYTES).take_while(|byte| !matches!(byte, b' ' | b'"'));
    reach.any(|byte| *byte == b'@')
}

/// A name ends at `end`: true unless what follows shows that no value does, or that there is nothing left to hide in it.
pub(super) fn name_may_hold_secret(bytes: &[u8], name: &Name, end: usize) -> bool {
    if is_class_of_marker(bytes, end) {
        return false;
    }
    let next = skip_closers(bytes, end);
    // Before the separator: where decoded text has none within the line, raw text may have one beyond it.
    if may_stand_unseparated(bytes, name, end, next) {
        return true;
    }
    if let Some(value) = assignment::after_separator(bytes, next) {
        let equals = at(bytes, next) != Some(b':');
        let counts = match name.place {
            Place::Everywhere => true,
            Place::Parameter => equals,
            Place::BesideUser => names::stands_after(bytes, name, end, &names::USER_LEADS),
            Place::Opaque => may_look_random(bytes, value),
        };
        if counts && !value_is_inert(bytes, value, name) {
            return true;
        }
    }
    is_flag(bytes, end)
        || matches!(name.place, Place::Everywhere | Place::Opaque)
            && (is_pair(bytes, end, name) || is_label(bytes, end) || unseparated::may_be_paired(bytes, end))
}

/// A value that looks random may begin at `position`, after quotes, white space and escapes of them, a prefix or a wrapper. What
/// stands on the lines below it may belong to it.
fn may_look_random(bytes: &[u8], position: usize) -> bool {
    let mut start = skip_closers(bytes, position);
    // A key may end in a colon of its own.
    if at(bytes, start) == Some(b':') {
        start = skip_closers(bytes, start + 1);
    }
    // The mark of a YAML block.
    if matches!(at(bytes, start), Some(b'|' | b'>')) {
        let mark = bytes.get(start..).unwrap_or_default().iter().take(3);
        start += mark.take_while(|byte| b"|>+-0123456789".contains(byte)).count();
        start = skip_closers(bytes, start);
    }
    // The sign before an item of a YAML list.
    if bytes.get(start..).is_some_and(|rest| rest.starts_with(b"- ")) {
        start = skip_closers(bytes, start + 2);
    }
    if wrapper::may_open(bytes, start) {
        return true;
    }
    // The last letter of an escape may be the value's first.
    if start > position && before(bytes, start).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        start -= 1;
    }
    let mut found = 0;
    while let Some(byte) = at(bytes, start) {
        if random::is_random_byte(byte) {
            found += 1;
            start += 1;
        } else {
            let next = skip_closers(bytes, start);
            // Nothing but the end of a line, or a backslash, joins what stands on either side.
            let between = bytes.get(start..next).unwrap_or_default();
            if !between.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r')) {
                return false;
            }
            start = next;
        }
        if found >= random::BYTES_MIN {
            return true;
        }
    }
    false
}

/// The name may have a value without a separator: as a flag, an XML element, in SQL or after a login.
fn may_stand_unseparated(bytes: &[u8], name: &Name, end: usize, next: usize) -> bool {
    match bytes.get(end..) {
        Some([b'>', ..]) => unseparated::may_be_element(bytes, end),
        Some([b' ' | b'\t', ..] | [b'\\', b'\\' | b't', ..]) => {
            let is_quoted = || bytes.get(end..next).is_some_and(|closers| closers.contains(&b'\''));
            is_flag(bytes, end)
                || unseparated::is_said(bytes, end).is_some()
                || name.class == "password"
                    && (is_quoted() || unseparated::may_follow_login(bytes, name, end))
        }
        _ => false,
    }
}

/// The name is the class within our own marker.
fn is_class_of_marker(bytes: &[u8], end: usize) -> bool {
    const OPENING_BYTES: usize = b"<redacted:".len();
    names::name_start(bytes, end)
        .checked_sub(OPENING_BYTES)
        .and_then(|start| bytes.get(start..))
        .is_some_and(|rest| marker_len(rest).is_some())
}

/// Passes over quotes, brackets, white space and escapes of them.
fn skip_closers(bytes: &[u8], mut position: usize) -> usize {
    loop {
        match at(bytes, position) {
            Some(b'\\') if matches!(at(bytes, position + 1), Some(b'n' | b't' | b'r')) => position += 2,
            Some(b'\\' | b'"' | b'\'' | b']' | b'`' | b' ' | b'\t' | b'\n' | b'\r' | b'*') => position += 1,
            Some(b'%') if assignment::encoded_closer(bytes, position) => position += 3,
            _ => return position,
        }
    }
}

/// A value in quotes that is empty, a marker or a mask; or a bare `true`, `false`, `null`.
fn value_is_inert(bytes: &[u8], position: usize, name: &Name) -> bool {
    let Some(rest) = bytes.get(position..) else { return true };
    if assignment::literal_len(rest, name).is_some() {
        return true;
    }
    let opening = rest.iter().take_while(|byte| **byte == b'\\').count();
    if rest.get(opening) != Some(&b'"') {
        return false;
    }
    let Some(inside) = rest.get(opening + 1..) else { return false };
    let inert = inert_len(inside).unwrap_or(0);
    let Some(closing) = inside.get(inert..inert + opening + 1) else { return false };
    let is_closing = |closing: &[u8]| {
        closing.iter().take(opening).all(|byte| *byte == b'\\') && closing.last() == Some(&b'"')
    };
    // Three quotes on end are one, and open.
    let third = inside.get(inert + opening + 1..inert + 2 * (opening + 1));
    is_closing(closing) && !third.is_some_and(is_closing)
}

/// The name is a command's flag: `--password`.
fn is_flag(bytes: &[u8], end: usize) -> bool {
    assignment::flag_start(bytes, end).is_some()
}

/// The name is a whole string that is a pair's first half: an array's element, or the value of a member such as `name`.
fn is_pair(bytes: &[u8], end: usize, name: &Name) -> bool {
    let mut start = names::name_start(bytes, end);
    let counts_as_element =
        bytes.get(start..end).is_some_and(|spelled| names::counts_as_element(name, spelled));
    if before(bytes, start) != Some(b'"') {
        return false;
    }
    start -= 1;
    while before(bytes, start) == Some(b'\\') {
        start -= 1;
    }
    let Some(previous) = skip_back(bytes, start) else { return false };
    match at(bytes, previous) {
        Some(b'[' | b',') => counts_as_element,
        Some(b':') => {
            let Some(quote) = skip_back(bytes, previous) else { return false };
            let key_end = skip_quote_back(bytes, quote);
            names::is_name_key(&bytes[names::name_start(bytes, key_end)..key_end])
        }
        _ => false,
    }
}

/// The name is in the label of a form's field: a string of some bytes more, the value of a member such as `element`.
fn is_label(bytes: &[u8], end: usize) -> bool {
    let mut floor = end.saturating_sub(2 * names::NAME_BYTES_MAX);
    let mut start = end;
    while start > floor {
        start -= 1;
        if at(bytes, start) != Some(b'"') {
            continue;
        }
        let quote = skip_quote_back(bytes, start);
        // A quote without an escape before it begins the string.
        if quote == start {
            floor = start;
        }
        let Some(previous) = skip_back(bytes, quote).filter(|previous| at(bytes, *previous) == Some(b':'))
        else {
            continue;
        };
        let Some(key) = skip_back(bytes, previous) else { continue };
        let key_end = skip_quote_back(bytes, key);
        if bytes.get(names::name_start(bytes, key_end)..key_end).is_some_and(names::is_name_key) {
            return true;
        }
    }
    false
}

/// The last byte before `position` that is no white space, nor an escape of it.
fn skip_back(bytes: &[u8], mut position: usize) -> Option<usize> {
    loop {
        let byte = before(bytes, position)?;
        position -= 1;
        let escaped = matches!(byte, b'n' | b't' | b'r') && before(bytes, position) == Some(b'\\');
        if !escaped && !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\\') {
            return Some(position);
        }
    }
}

/// The end of a string whose closing quote stands at `quote`, its own escapes passed over.
fn skip_quote_back(bytes: &[u8], quote: usize) -> usize {
    let mut end = quote;
    while before(bytes, end) == Some(b'\\') {
        end -= 1;
    }
    end
}
