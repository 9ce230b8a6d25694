//! Base64 in text that decodes to text.
//!
//! A run begins where no letter or digit stands before it, and with [`HEAD_CHARACTERS`] characters of the alphabet, one of
//! them a capital, that decode to UTF-8 without control characters, or to ASCII with no more than [`STRANGERS`] other bytes. By the rest of it nobody but the decoder is bothered:
//! identifiers, digests and pictures fail within the first few bytes.
//!
//! The beginning reads the same in raw JSON and in decoded text, however deep: a slash may have backslashes before it, and
//! the letter of an escape is no part of the run after it. So [`may_hold_text`] on raw bytes misses none of [`spans`].

use crate::bytes::{at, before, follows_escape};

/// Characters of base64 by which a run is told from other words; its shortest length.
const HEAD_CHARACTERS: usize = schemas::limits::REDACT_ENCODED_CHARACTERS_MIN;
/// What the head decodes to, in bytes.
const HEAD_BYTES: usize = HEAD_CHARACTERS / 4 * 3;
/// Bytes of a head that may be no text: a letter of another encoding, a mark of the byte order.
const STRANGERS: usize = 2;
/// Bytes looked at at once. Two such words, wherever they are counted from, lie within every head.
const WORD_BYTES: usize = 8;
const BLOCK_BYTES: usize = 2 * WORD_BYTES;
/// Bytes passed over at once where there is nothing.
const STRIDE_BYTES: usize = 64;
const NONE: u8 = 0xff;

/// Both alphabets at once: a run holds the signs of one of them, and where it holds both the decoded text ends.
const SEXTETS: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut index = 0;
    while index < 26 {
        table[b'A' as usize + index] = index as u8;
        table[b'a' as usize + index] = index as u8 + 26;
        index += 1;
    }
    index = 0;
    while index < 10 {
        table[b'0' as usize + index] = index as u8 + 52;
        index += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};

/// True when a run of base64 that is text may begin in `bytes`, be they JSON or text.
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
    while let Some(start) = next_run(bytes, from) {
        let run = Run::decode(bytes, start);
        from = run.end.max(start + 1);
        if let Some(class) = class_of(&crate::bytes::text_of(&run.decoded)) {
            let glued =
                bytes[run.end..].iter().take_while(|byte| sextet(**byte) != NONE || **byte == b'=').count();
            from = run.end + glued;
            spans.push((start, from, class));
        }
    }
    spans
}

/// Where the next run begins, at or after `from`.
///
/// What asks for more than a glance is a capital within a head's reach of two words without a byte that no run has; in raw
/// JSON, where backslashes draw a head out, the first of them will do. Digests, identifiers and times have no such thing.
fn next_run(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut position, mut tested) = (from, from);
    while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
        let end = position + STRIDE_BYTES.min(rest.len());
        if rest.first_chunk::<STRIDE_BYTES>().is_none_or(has_capital) {
            while position < end {
                let block_end = end.min(position + BLOCK_BYTES);
                let block = bytes.get(position..).and_then(|rest| rest.first_chunk::<BLOCK_BYTES>());
                if block.is_none_or(has_capital) && is_dense(bytes, position) {
                    let begin = position.saturating_sub(HEAD_CHARACTERS - 1).max(tested);
                    if let Some(start) = (begin..block_end).find(|start| begins_run(bytes, *start)) {
                        return Some(start);
                    }
                    tested = block_end;
                }
                position = block_end;
            }
        }
        position = end;
    }
    None
}

/// True when one of the bytes is a capital, a backslash, or `@` or `[`. One branch for all of them.
#[inline(always)]
fn has_capital<const LEN: usize>(bytes: &[u8; LEN]) -> bool {
    bytes.iter().fold(0, |seen, byte| seen | u8::from(byte ^ b'@' < 0x1d)) != 0
}

/// Every sign of base64, and the backslash, is this or higher.
const LOW: u64 = b'+' as u64;
const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = ONES << 7;

/// True when two words on end, of those in which a head through the block at `position` can lie, may be parts of a run.
fn is_dense(bytes: &[u8], position: usize) -> bool {
    let window = position.checked_sub(BLOCK_BYTES).and_then(|first| bytes.get(first..)?.first_chunk());
    let dense = |index: usize| match window {
        Some(window) => word_at::<{ 3 * BLOCK_BYTES }>(window, index * WORD_BYTES),
        None => (position + index * WORD_BYTES)
            .checked_sub(BLOCK_BYTES)
            .and_then(|start| bytes.get(start..)?.first_chunk())
            .map(|word| u64::from_le_bytes(*word)),
    };
    // A word that is not whole has no whole part of a run.
    let dense: [bool; 6] = std::array::from_fn(|index| dense(index).is_some_and(|word| !has_stranger(word)));
    (1..dense.len()).fold(false, |found, index| found | dense[index - 1] & dense[index])
}

fn word_at<const LEN: usize>(bytes: &[u8; LEN], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// True when a byte of the word is lower than [`LOW`] or a colon.
#[inline(always)]
fn has_stranger(word: u64) -> bool {
    let colons = word ^ (ONES * b':' as u64);
    let low = word.wrapping_sub(ONES * LOW) & !word;
    let colon = colons.wrapping_sub(ONES) & !colons;
    (low | colon) & HIGH_BITS != 0
}

fn sextet(byte: u8) -> u8 {
    SEXTETS[usize::from(byte)]
}

/// A control character that no text begins with.
fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b) || byte == 0x7f
}

fn begins_run(bytes: &[u8], start: usize) -> bool {
    let runs_in = before(bytes, start).is_some_and(|byte| byte.is_ascii_alphanumeric());
    // A slash, which could have backslashes before it, decodes to no beginning of a text.
    if runs_in && !follows_escape(bytes, start) || at(bytes, start).is_none_or(|byte| sextet(byte) == NONE) {
        return false;
    }
    let mut head = [0; HEAD_BYTES];
    let mut position = start;
    let mut capitals = false;
    let mut utf8 = Utf8::default();
    let (mut is_utf8, mut strangers) = (true, 0);
    for triple in head.chunks_exact_mut(3) {
        let mut bits = 0_u32;
        for _ in 0..4 {
            let Some((sextet, next)) = sextet_at(bytes, position) else { return false };
            capitals |= sextet < 26;
            bits = bits << 6 | u32::from(sextet);
            position = next;
        }
        for (byte, decoded) in triple.iter_mut().zip(&bits.to_be_bytes()[1..]) {
            *byte = *decoded;
            is_utf8 &= !is_control(*decoded) && utf8.accepts(*decoded);
            strangers += usize::from(is_control(*decoded) || !decoded.is_ascii());
            if !is_utf8 && strangers > STRANGERS {
                return false;
            }
        }
    }
    // Strictly: what was counted by the first byte of each character may still be too long or half a pair.
    let text = std::str::from_utf8(&head);
    capitals && (strangers <= STRANGERS || text.err().is_none_or(|error| error.error_len().is_none()))
}

/// The value of the character at `position`, and where the next one is. A slash may have backslashes before it.
fn sextet_at(bytes: &[u8], position: usize) -> Option<(u8, usize)> {
    let byte = at(bytes, position)?;
    let value = sextet(byte);
    if value != NONE {
        return Some((value, position + 1));
    }
    if byte != b'\\' {
        return None;
    }
    let backslashes = bytes[position..].iter().take_while(|byte| **byte == b'\\').count();
    (at(bytes, position + backslashes) == Some(b'/')).then_some((63, position + backslashes + 1))
}

/// Counts the bytes of UTF-8 characters, one by one.
#[derive(Debug, Default)]
struct Utf8 {
    missing: u8,
}

impl Utf8 {
    fn accepts(&mut self, byte: u8) -> bool {
        match (self.missing, byte) {
            (0, 0..=0x7f) => {}
            (0, 0xc2..=0xdf) => self.missing = 1,
            (0, 0xe0..=0xef) => self.missing = 2,
            (0, 0xf0..=0xf4) => self.missing = 3,
            (1.., 0x80..=0xbf) => self.missing -= 1,
            _ => return false,
        }
        true
    }
}

/// A run, decoded.
struct Run {
    decoded: Vec<u8>,
    end: usize,
}

impl Run {
    /// Decodes from `start` to the end of the alphabet, and over line ends where whole lines of fours follow.
    fn decode(bytes: &[u8], start: usize) -> Run {
        let mut decoded = Vec::new();
        let (mut bits, mut count, mut position, mut line) = (0_u32, 0_usize, start, 0);
        loop {
            if let Some((sextet, next)) = sextet_at(bytes, position) {
                bits = bits << 6 | u32::from(sextet);
                count += 1;
                position = next;
                // The byte that this character completes, if it does one.
                let spare = match count % 4 {
                    2 => 4,
                    3 => 2,
                    0 => 0,
                    _ => continue,
                };
                decoded.push((bits >> spare & 0xff) as u8);
                continue;
            }
            let is_padding = at(bytes, position) == Some(b'=');
            let next =
                if count.is_multiple_of(4) && !is_padding { past_break(bytes, position) } else { None };
            let length = count - line;
            match next.filter(|next| is_line(bytes, *next, length)) {
                Some(next) => {
                    line = count;
                    position = next;
                }
                None => {
                    let padding = bytes[position..].iter().take(2).take_while(|byte| **byte == b'=').count();
                    return Run { decoded, end: position + padding };
                }
            }
        }
    }
}

/// True when a line of the alphabet alone stands at `start`, no longer than the one before it.
fn is_line(bytes: &[u8], start: usize, length_max: usize) -> bool {
    let (mut position, mut length) = (start, 0);
    while let Some((_, next)) = sextet_at(bytes, position) {
        (position, length) = (next, length + 1);
        if length > length_max {
            return false;
        }
    }
    let padding = bytes[position..].iter().take(2).take_while(|byte| **byte == b'=').count();
    let end = at(bytes, position + padding);
    // What is shorter is the last of it: in fours, padded, or not padded at all.
    length > 0
        && end.is_none_or(|byte| {
            byte.is_ascii_whitespace() && byte != b' ' || matches!(byte, b'\\' | b'"' | b'\'')
        })
}

/// Past a line end, or the escape of one that the text shows, and the blanks after it.
fn past_break(bytes: &[u8], start: usize) -> Option<usize> {
    let mut position = start;
    loop {
        let backslashes = bytes.get(position..)?.iter().take_while(|byte| **byte == b'\\').count();
        match at(bytes, position + backslashes) {
            Some(b'n' | b'r') if backslashes > 0 => position += backslashes + 1,
            Some(b'\n' | b'\r') if backslashes == 0 => position += 1,
            _ => break,
        }
    }
    let blanks = bytes[position..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (position > start).then_some(position + blanks)
}
