//! Numbers with a checksum or a form of their own: cards, accounts, telephones.

use std::ops::Range;

use crate::bytes::at;

/// Most digits of anything that is looked for.
const DIGITS: usize = schemas::limits::REDACT_NUMBER_DIGITS_MAX;

/// Digits from a start on, with single signs between them, and where each ends.
#[derive(Debug)]
pub(crate) struct Digits<'a> {
    pub bytes: &'a [u8],
    pub start: usize,
    /// (value, offset past it).
    pub digits: Vec<(u8, usize)>,
}

impl<'a> Digits<'a> {
    pub(crate) fn read(bytes: &'a [u8], start: usize) -> Digits<'a> {
        let mut digits = Vec::new();
        let (mut position, mut signs) = (start, 0);
        while let Some(byte) = at(bytes, position).filter(|_| digits.len() < DIGITS) {
            match byte {
                b'0'..=b'9' => {
                    digits.push((byte - b'0', position + 1));
                    signs = 0;
                }
                b'+' if position == start => {}
                // `) ` and ` (` are two.
                b' ' | b'-' | b'.' | b'(' | b')' | b'/' if signs < 2 => signs += 1,
                _ => break,
            }
            position += 1;
        }
        Digits { bytes, start, digits }
    }

    /// The text up to the end of the digit at `index`.
    pub(crate) fn text(&self, count: usize) -> &'a [u8] {
        let end =
            count.checked_sub(1).and_then(|last| self.digits.get(last)).map_or(self.start, |(_, end)| *end);
        self.bytes.get(self.start..end).unwrap_or_default()
    }

    /// True when no further digit or letter is glued to so many.
    pub(crate) fn ends_after(&self, count: usize) -> bool {
        let end = self.start + self.text(count).len();
        let next = at(self.bytes, end);
        let after = at(self.bytes, end + 1);
        let is_glued = next.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let goes_on =
            matches!(next, Some(b'-' | b'.')) && after.is_some_and(|byte| byte.is_ascii_alphanumeric());
        !is_glued && !goes_on
    }

    pub(crate) fn values(&self, count: usize) -> Vec<u8> {
        self.digits.iter().take(count).map(|(value, _)| *value).collect()
    }
}

/// Luhn's check: ISO/IEC 7812-1.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let doubled = u32::from(*digit) * if index % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Where a payment card's number ends: 13 to 19 digits of an issuer's range, in one piece or in groups of four (of
/// American Express: 4, 6, 5) with one kind of sign.
pub(crate) fn card(digits: &Digits<'_>) -> Option<usize> {
    (13..=19).rev().find_map(|count| {
        if digits.digits.len() < count || !digits.ends_after(count) {
            return None;
        }
        let values = digits.values(count);
        let text = digits.text(count);
        (is_issued(&values) && luhn(&values) && is_grouped(text, &values))
            .then_some(digits.start + text.len())
    })
}

/// Ranges of the issuers and their lengths: Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay, Maestro.
fn is_issued(digits: &[u8]) -> bool {
    let head =
        |count: usize| digits.iter().take(count).fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let (two, three, four) = (head(2), head(3), head(4));
    match digits.len() {
        13 | 19 if two / 10 == 4 => true,
        16 => {
            two / 10 == 4
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || four == 6011
                || two == 65
                || (644..=649).contains(&three)
                || (3528..=3589).contains(&four)
                || two == 62
        }
        15 => matches!(two, 34 | 37),
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three),
        17..=19 => two == 62 || matches!(two, 50 | 56..=58 | 67),
        _ => false,
    }
}

fn is_grouped(text: &[u8], values: &[u8]) -> bool {
    let groups: Vec<usize> = text.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).collect();
    let signs: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect();
    let is_one_sign = signs.iter().all(|sign| matches!(sign, b' ' | b'-') && Some(sign) == signs.first());
    match groups.split_last() {
        Some((_, [])) => true,
        Some((last, rest)) if is_one_sign => {
            rest.iter().all(|len| *len == 4) && (1..=4).contains(last)
                || values.len() == 15 && groups == [4, 6, 5]
                || values.len() == 14 && groups == [4, 6, 4]
        }
        _ => false,
    }
}

/// Where a telephone number ends: international with a plus sign, or as North America writes it.
pub(crate) fn phone(digits: &Digits<'_>) -> Option<usize> {
    let is_international = at(digits.bytes, digits.start) == Some(b'+');
    let count = digits.digits.len();
    if is_international {
        let starts = digits.digits.first().is_some_and(|(first, _)| *first != 0);
        let count = (8..=15.min(count)).rev().find(|count| digits.ends_after(*count))?;
        return starts.then(|| digits.start + digits.text(count).len());
    }
    let text = digits.text(10);
    let groups: Vec<usize> =
        text.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|len| *len > 0).collect();
    let exchange = digits.digits.get(3).map_or(0, |(digit, _)| *digit);
    let area = digits.digits.first().map_or(0, |(digit, _)| *digit);
    let is_american =
        count == 10 && groups == [3, 3, 4] && area >= 2 && exchange >= 2 && digits.ends_after(10);
    let has_one_sign = !text.contains(&b'/') && !text.windows(2).any(|pair| pair == b"- " || pair == b" -");
    let is_closed = text.starts_with(b"(") == text.contains(&b')');
    (is_american && has_one_sign && is_closed).then(|| digits.start + text.len())
}

/// Lengths of account numbers by country: SWIFT's register.
#[rustfmt::skip]
const ACCOUNTS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22),
    (b"BH", 22), (b"BR", 29), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24), (b"DE", 22), (b"DK", 18),
    (b"DO", 28), (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22),
    (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27), (b"GT", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22),
    (b"IL", 23), (b"IQ", 23), (b"IS", 26), (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28),
    (b"LI", 21), (b"LT", 20), (b"LU", 20), (b"LV", 21), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19),
    (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NL", 18), (b"NO", 15), (b"PK", 24), (b"PL", 28), (b"PS", 29),
    (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"SA", 24), (b"SE", 24), (b"SI", 19), (b"SK", 24),
    (b"SM", 27), (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20),
];

/// An account's number, in one piece or in groups of four.
pub(crate) fn iban(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let country = bytes.get(start..start + 2)?.to_ascii_uppercase();
    let length = ACCOUNTS.iter().find(|(code, _)| code[..] == country[..]).map(|(_, length)| *length)?;
    if !bytes.get(start + 2..start + 4)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (mut characters, mut position) = (Vec::with_capacity(length), start);
    while characters.len() < length {
        match at(bytes, position)? {
            b' ' if !characters.is_empty()
                && characters.len() % 4 == 0
                && before_is_part(bytes, position) => {}
            byte if byte.is_ascii_alphanumeric() => characters.push(byte.to_ascii_uppercase()),
            _ => return None,
        }
        position += 1;
    }
    let ends = !at(bytes, position).is_some_and(|byte| byte.is_ascii_alphanumeric());
    (ends && remainder(&characters) == 1).then_some(start..position)
}

fn before_is_part(bytes: &[u8], position: usize) -> bool {
    crate::bytes::before(bytes, position).is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// The remainder by 97 of the characters as numbers, the first four last: ISO 13616.
fn remainder(characters: &[u8]) -> u32 {
    let turned = characters.iter().skip(4).chain(characters.iter().take(4));
    turned.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}
