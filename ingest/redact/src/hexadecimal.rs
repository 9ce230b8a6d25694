//! Hexadecimal digits that are text.
//!
//! A run counts when its first [`HEAD_CHARACTERS`] digits, or those after the first, are printable ASCII. That reads the same
//! in raw JSON and in decoded text, at whatever offset: of each such head two whole words of eight digits are looked at, and
//! the one digit that an escape (`\b`, `\f`) can add before a run is the one that may be passed over.

use crate::bytes::at;

/// Digits by which text is told from numbers and digests; a run's shortest length.
const HEAD_CHARACTERS: usize = schemas::limits::REDACT_HEXADECIMAL_CHARACTERS_MIN;
/// Digits looked at at once.
const WORD_CHARACTERS: usize = 8;

/// True when a run of digits that is text may be in `bytes`, be they JSON or text.
pub(crate) fn may_hold_text(bytes: &[u8]) -> bool {
    next_run(bytes, 0).is_some()
}

/// The runs whose text has a class by `class_of`: start, end and class.
pub(crate) fn spans(
    bytes: &[u8],
    mut class_of: impl FnMut(&str) -> Option<&'static str>,
) -> Vec<(usize, usize, &'static str)> {
    let mut spans = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = next_run(bytes, from) {
        from = end;
        let decoded: Vec<u8> =
            bytes[start..end].chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect();
        if let Some(class) = class_of(&crate::bytes::text_of(&decoded)) {
            spans.push((start, end, class));
        }
    }
    spans
}

/// Where the next run begins and ends, at or after `from`.
fn next_run(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut position = from;
    while let Some(rest) = bytes.get(position..) {
        let two: &[u8; 2 * WORD_CHARACTERS] = rest.first_chunk()?;
        if !is_text(two) || !two.iter().all(u8::is_ascii_hexdigit) {
            position += WORD_CHARACTERS;
            continue;
        }
        let is_digit = |byte: &&u8| byte.is_ascii_hexdigit();
        let start = position - bytes[from..position].iter().rev().take_while(is_digit).count();
        let end = position + rest.iter().take_while(is_digit).count();
        if let Some(start) = (start..=start + 1).find(|start| has_head(bytes, *start)) {
            return Some((start, end));
        }
        position = end.max(position + WORD_CHARACTERS);
    }
    None
}

const ONES: u64 = u64::MAX / 0xff;

/// True when every second byte of both words, from the first or from the next, is one of `01234567`: the first digit of a
/// byte of text.
#[inline(always)]
fn is_text(two: &[u8; 2 * WORD_CHARACTERS]) -> bool {
    let word = |from: usize| {
        two.get(from..).and_then(|rest| rest.first_chunk()).map_or(u64::MAX, |word| u64::from_le_bytes(*word))
    };
    let odd = |word: u64| (word & (ONES * 0xf8)) ^ (ONES * 0x30);
    let both = odd(word(0)) | odd(word(WORD_CHARACTERS));
    both & 0x00ff_00ff_00ff_00ff == 0 || both & 0xff00_ff00_ff00_ff00 == 0
}

/// True when the digits at `start` begin a text.
fn has_head(bytes: &[u8], start: usize) -> bool {
    (0..HEAD_CHARACTERS / 2).all(|index| {
        let digit = |offset: usize| at(bytes, start + 2 * index + offset).filter(u8::is_ascii_hexdigit);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return false };
        matches!(nibble(high) << 4 | nibble(low), 0x20..=0x7e)
    })
}

/// The value of a hexadecimal digit.
pub(crate) const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD_CHARACTERS, may_hold_text, spans};

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn text_is_found_at_every_offset_and_numbers_are_not() {
        let encoded = hex("password=Hunter2");
        for lead in 0..40 {
            for before in ["", "\\n", "\\b", "x", "0x", "f"] {
                for digits in [encoded.clone(), encoded.to_uppercase()] {
                    let text = format!("{}{before}{digits} end", ".".repeat(lead));
                    assert!(may_hold_text(text.as_bytes()), "{text}");
                    let mut seen = Vec::new();
                    let found = spans(text.as_bytes(), |decoded| {
                        seen.push(decoded.to_owned());
                        Some("x")
                    });
                    assert_eq!(seen, ["password=Hunter2"], "{text}");
                    assert_eq!(found.len(), 1);
                    assert!(text[found[0].1..].starts_with(" end"), "{text}");
                }
            }
        }
        let short = hex(&"a".repeat(HEAD_CHARACTERS / 2 - 1));
        for text in [
            short.as_str(),
            "dd98b7f70ea0482aad7f999cb3e4cf12dd98b7f70ea0482aad7f999cb3e4cf12",
            "2026030200082620260302000826202603020008262",
            "00000000000000000000000000000000",
            "",
            "6162",
        ] {
            assert!(!may_hold_text(text.as_bytes()), "{text}");
        }
    }
}
