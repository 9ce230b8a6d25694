//! Where personal data is. One pass; what is looked at of each candidate is bounded.

use std::ops::Range;

use super::identity;
use super::number::{self, Digits};
use super::{Class, Policies};
use crate::bytes::{at, before, follows_escape, token_boundary};
use crate::marker::inert_len;

/// Longest local part of an email address, in bytes.
const LOCAL_BYTES: usize = schemas::limits::REDACT_EMAIL_LOCAL_BYTES_MAX;
/// Longest domain, in bytes.
const DOMAIN_BYTES: usize = schemas::limits::REDACT_EMAIL_DOMAIN_BYTES_MAX;
/// Longest address of the internet protocol, in bytes.
const ADDRESS_BYTES: usize = schemas::limits::REDACT_ADDRESS_BYTES_MAX;

/// Personal data found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub range: Range<usize>,
    pub class: Class,
}

/// All that the policies look for, in order.
pub(crate) fn find(bytes: &[u8], policies: &Policies) -> Vec<Found> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(next) = next(bytes, from, policies) {
        from = next.range.end;
        found.push(next);
    }
    found
}

/// The first of it. In raw JSON it finds no less than in the text that is decoded from it: none of the signs within is one
/// that JSON escapes, and the letter of an escape is passed over where it would run into a number.
pub(crate) fn first(bytes: &[u8], policies: &Policies) -> Option<Found> {
    next(bytes, 0, policies)
}

fn next(bytes: &[u8], from: usize, policies: &Policies) -> Option<Found> {
    let mut position = from;
    while let Some(byte) = at(bytes, position) {
        let found = match byte {
            b'<' => {
                if let Some(len) = inert_len(bytes.get(position..).unwrap_or_default()) {
                    position += len;
                    continue;
                }
                None
            }
            b'@' => email(bytes, from, position).map(|range| (range, Class::Email)),
            b'+' | b'(' | b'0'..=b'9' => numbered(bytes, position, policies),
            b'A'..=b'Z' | b'a'..=b'z' | b':' => lettered(bytes, position, policies),
            _ => None,
        };
        match found.filter(|(_, class)| policies.looks_for(*class)) {
            Some((range, class)) => return Some(Found { range, class }),
            None => position += 1,
        }
    }
    None
}

fn is_local_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

fn email(bytes: &[u8], floor: usize, sign: usize) -> Option<Range<usize>> {
    let head = bytes.get(floor..sign)?;
    let len = head.iter().rev().take(LOCAL_BYTES + 1).take_while(|byte| is_local_byte(**byte)).count();
    // The letter of an escape is no part of it.
    let len = len - usize::from(follows_escape(bytes, sign - len + 1));
    let local = head.get(head.len() - len..)?;
    let start = sign - len + local.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    if len > LOCAL_BYTES || start >= sign || before(bytes, sign) == Some(b'.') {
        return None;
    }
    let domain = bytes.get(sign + 1..)?;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let len = domain.iter().take(DOMAIN_BYTES).take_while(is_part).count();
    let domain = domain.get(..len)?;
    let len = domain.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
    let domain = domain.get(..len)?;
    let top = domain.rsplit(|byte| *byte == b'.').next()?;
    let is_domain = domain.contains(&b'.')
        && !domain.starts_with(b".")
        && top.len() >= 2
        && (top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--"));
    is_domain.then_some(start..sign + 1 + len)
}

/// What begins with a digit, a plus sign or a parenthesis.
fn numbered(bytes: &[u8], start: usize, policies: &Policies) -> Option<(Range<usize>, Class)> {
    let begins = at(bytes, start).is_some_and(|byte| byte.is_ascii_digit())
        || at(bytes, start + 1).is_some_and(|byte| byte.is_ascii_digit() || byte == b'(');
    let is_open = at(bytes, start) == Some(b'(') && at(bytes, start + 1) == Some(b'(');
    if !begins
        || is_open
        || !token_boundary(bytes, start) && !follows_track_mark(bytes, start)
        || matches!(before(bytes, start), Some(b'.' | b'+' | b'_' | b'#' | b'%'))
    {
        return None;
    }
    if policies.looks_for(Class::IpAddress)
        && let Some(range) = address(bytes, start)
    {
        return Some((range, Class::IpAddress));
    }
    let digits = Digits::read(bytes, start);
    type Test = fn(&Digits<'_>) -> Option<usize>;
    let tests: [(Class, Test); 3] =
        [(Class::Card, number::card), (Class::NationalId, identity::number), (Class::Phone, number::phone)];
    tests
        .into_iter()
        .filter(|(class, _)| policies.looks_for(*class))
        .find_map(|(class, test)| test(&digits).map(|end| (start..end, class)))
}

/// A card's number follows the mark of the first track of its stripe: `%B4111...^`.
fn follows_track_mark(bytes: &[u8], start: usize) -> bool {
    start.checked_sub(2).and_then(|mark| bytes.get(mark..start)).is_some_and(|mark| mark == b"%B")
}

/// What begins with a letter or a colon.
fn lettered(bytes: &[u8], start: usize, policies: &Policies) -> Option<(Range<usize>, Class)> {
    if !token_boundary(bytes, start) {
        return None;
    }
    type Test = fn(&[u8], usize) -> Option<Range<usize>>;
    let tests: [(Class, Test); 3] =
        [(Class::Iban, number::iban), (Class::NationalId, identity::lettered), (Class::IpAddress, address)];
    tests
        .into_iter()
        .filter(|(class, _)| policies.looks_for(*class))
        .find_map(|(class, test)| test(bytes, start).map(|range| (range, class)))
}

/// An address of version 4 or 6 that stands alone.
fn address(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    if before(bytes, start).is_some_and(|byte| is_part(&&byte)) && !follows_escape(bytes, start) {
        return None;
    }
    let run = bytes.get(start..)?.iter().take(ADDRESS_BYTES + 1).take_while(is_part).count();
    // A sentence may end behind it.
    let len =
        bytes.get(start..start + run)?.iter().rposition(u8::is_ascii_hexdigit).map_or(0, |last| last + 1);
    let follows = at(bytes, start + run).filter(|_| len == run);
    if len > ADDRESS_BYTES
        || follows.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*'))
    {
        return None;
    }
    let text = std::str::from_utf8(bytes.get(start..start + len)?).ok()?;
    // With a port behind it, or without.
    let parsed = |text: &str| text.parse::<core::net::IpAddr>().is_ok().then_some(text.len());
    let len = parsed(text).or_else(|| {
        text.rsplit_once(':').and_then(|(host, _)| host.contains('.').then(|| parsed(host)).flatten())
    })?;
    // `::` and `::1` tell nothing of anybody.
    (len > "::1".len()).then_some(start..start + len)
}

/// What a member's key says that its whole value is. Read in raw JSON, [`identity::may_be_named`] finds no less.
pub(crate) fn whole_value(key: &str, value: &str) -> Option<Class> {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || b" -./()+".contains(&byte));
    if identity::is_phones_name(key) && is_number && (7..=15).contains(&digits) {
        return Some(Class::Phone);
    }
    let is_short = value.len() <= LOCAL_BYTES
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -./".contains(&byte));
    (identity::is_persons_name(key) && is_short && digits >= 5).then_some(Class::NationalId)
}
