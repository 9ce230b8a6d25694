//! Values in quotes: where they close, found without searching the text to its end for each of them.

use std::cell::OnceCell;

use crate::bytes::{at, before};

/// The quotes that open a value.
const QUOTES: [u8; 3] = *b"\"'`";

/// A text, and which of its quotes can close a value.
pub(crate) struct Quotes<'a> {
    bytes: &'a [u8],
    /// By the order of [`QUOTES`]; most texts never ask.
    closers: OnceCell<[Closers; 3]>,
}

/// What is known of one kind of quote in a text.
#[derive(Debug, Default)]
struct Closers {
    /// Past the last one that follows an even number of backslashes.
    last_plain: usize,
    /// From the text's end: each that follows fewer backslashes than all after it, with their number.
    fewest: Vec<(usize, usize)>,
}

impl<'a> Quotes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Quotes<'a> {
        Quotes { bytes, closers: OnceCell::new() }
    }

    /// The inside of the quoted value at `start`. A quote with more backslashes before it than the opening one is part of the
    /// value; a value that is never closed ends with its line.
    pub(crate) fn value(&self, start: usize) -> Option<(usize, usize)> {
        let escapes = self.bytes.get(start..)?.iter().take_while(|byte| **byte == b'\\').count();
        let quote = at(self.bytes, start + escapes).filter(|byte| is_quote(*byte))?;
        let inside = start + escapes + 1;
        let end = if self.is_closed_after(inside, quote, escapes) {
            closing(self.bytes, inside, quote, escapes, Within::Text)
        } else {
            None
        };
        Some((inside, end.unwrap_or_else(|| end_of_line(self.bytes, inside))))
    }

    /// The same of a value that closes before `limit`; one that does not ends there.
    pub(crate) fn value_within(&self, start: usize, limit: usize) -> Option<(usize, usize)> {
        let near = self.bytes.get(..limit.min(self.bytes.len()))?;
        let escapes = near.get(start..)?.iter().take_while(|byte| **byte == b'\\').count();
        let quote = at(near, start + escapes).filter(|byte| is_quote(*byte))?;
        let inside = start + escapes + 1;
        let end = closing(near, inside, quote, escapes, Within::Text);
        Some((inside, end.unwrap_or_else(|| end_of_line(near, inside))))
    }

    fn is_closed_after(&self, inside: usize, quote: u8, escapes: usize) -> bool {
        let closers = self.closers.get_or_init(|| QUOTES.map(|quote| Closers::of(self.bytes, quote)));
        QUOTES.iter().zip(closers).filter(|(known, _)| **known == quote).any(|(_, closers)| {
            if escapes == 0 {
                return closers.last_plain > inside;
            }
            let after = closers.fewest.partition_point(|(position, _)| *position >= inside);
            after
                .checked_sub(1)
                .and_then(|last| closers.fewest.get(last))
                .is_some_and(|(_, fewest)| *fewest <= escapes)
        })
    }
}

impl Closers {
    fn of(bytes: &[u8], quote: u8) -> Closers {
        let mut closers = Closers::default();
        let mut fewest = usize::MAX;
        for (position, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == quote) {
            let backslashes = backslashes_before(bytes, position);
            if backslashes.is_multiple_of(2) {
                closers.last_plain = closers.last_plain.max(position + 1);
            }
            if backslashes < fewest {
                fewest = backslashes;
                closers.fewest.push((position, backslashes));
            }
        }
        closers
    }
}

pub(crate) fn is_quote(byte: u8) -> bool {
    QUOTES.contains(&byte)
}

pub(crate) fn backslashes_before(bytes: &[u8], position: usize) -> usize {
    bytes.get(..position).map_or(0, |head| head.iter().rev().take_while(|byte| **byte == b'\\').count())
}

/// How far a value in quotes may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    Text,
    Line,
}

/// Where a value that began at `inside`, after a quote that followed `escapes` backslashes, closes.
pub(crate) fn closing(
    bytes: &[u8],
    inside: usize,
    quote: u8,
    escapes: usize,
    within: Within,
) -> Option<usize> {
    let mut backslashes = 0;
    for (offset, byte) in bytes.get(inside..)?.iter().enumerate() {
        match *byte {
            b'\\' => backslashes += 1,
            byte if byte == quote && closes(backslashes, escapes) => {
                return Some(inside + offset - backslashes.min(escapes));
            }
            b'\n' | b'\r' if within == Within::Line => return None,
            _ => backslashes = 0,
        }
    }
    None
}

fn closes(backslashes: usize, escapes: usize) -> bool {
    // Without an escaped opening, an even number of backslashes stands for itself.
    if escapes == 0 { backslashes.is_multiple_of(2) } else { backslashes <= escapes }
}

pub(crate) fn end_of_line(bytes: &[u8], start: usize) -> usize {
    let len = bytes
        .get(start..)
        .map_or(0, |rest| rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count());
    start + len
}

/// `end` without the white space before it, not below `start`.
pub(crate) fn trimmed(bytes: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && before(bytes, end).is_some_and(|byte| byte.is_ascii_whitespace()) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::{Quotes, Within, closing, end_of_line};

    /// What is remembered of a text answers as a search through it does.
    #[test]
    fn what_is_remembered_agrees_with_a_search() {
        let pieces: [&[u8]; 6] = [b"\"", b"'", b"\\", b"\\\\\\", b"\n", b"x"];
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..12 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.extend_from_slice(pieces[(state >> 24) as usize % pieces.len()]);
            }
            let quotes = Quotes::new(&text);
            for start in 0..text.len() {
                let escapes = text[start..].iter().take_while(|byte| **byte == b'\\').count();
                let inside = start + escapes + 1;
                let expected = match text.get(start + escapes) {
                    Some(quote @ (b'"' | b'\'')) => Some((
                        inside,
                        closing(&text, inside, *quote, escapes, Within::Text)
                            .unwrap_or_else(|| end_of_line(&text, inside)),
                    )),
                    _ => None,
                };
                assert_eq!(quotes.value(start), expected, "{:?} {start}", String::from_utf8_lossy(&text));
            }
        }
    }
}
