//! Percent-encoding: what a stretch of a URL says once it is decoded, and where that stands in the encoded text.
//!
//! A run is a stretch of the bytes that URLs are made of, with at least one `%XX` in it. It is decoded as a whole and read as
//! text of its own, so that names, signs and values count whichever of them were encoded. Runs read the same in raw JSON and
//! in decoded text: a slash may have backslashes before it, a backslash before anything else ends a run, and the letter of an
//! escape is no part of the run after it.

use crate::bytes::{at, before, follows_escape};
use crate::hexadecimal::nibble;

/// Bytes passed over at once where there is nothing.
const STRIDE_BYTES: usize = 64;

/// A decoded run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Bytes that are no part of a character are question marks.
    pub text: String,
    /// Where each byte of the text begins in the encoded one; last, where the run ends.
    offsets: Vec<usize>,
}

impl Run {
    /// The encoded range of a range of the text.
    pub(crate) fn encoded(&self, start: usize, end: usize) -> (usize, usize) {
        let offset =
            |index: usize| self.offsets.get(index).or(self.offsets.last()).copied().unwrap_or_default();
        (offset(start), offset(end))
    }
}

/// The runs of a text, in order.
pub(crate) fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(percent) = next_percent(bytes, from) {
            let start = run_start(bytes, from, percent);
            let (run, end) = decode(bytes, start);
            from = end.max(percent + 1);
            if run.offsets.len() > 1 {
                return Some(run);
            }
        }
        None
    })
}

/// The next percent sign at or after `from` that two digits follow.
fn next_percent(bytes: &[u8], from: usize) -> Option<usize> {
    let mut position = from;
    while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
        // Without a branch a byte, as most texts have none.
        let len = STRIDE_BYTES.min(rest.len());
        let stride = rest.first_chunk::<STRIDE_BYTES>();
        let may_hold =
            stride.is_none_or(|stride| stride.iter().fold(false, |seen, byte| seen | (*byte == b'%')));
        if may_hold && let Some(found) = (position..position + len).find(|at| escaped(bytes, *at).is_some()) {
            return Some(found);
        }
        position += len;
    }
    None
}

/// The byte that the `%XX` at `position` stands for.
fn escaped(bytes: &[u8], position: usize) -> Option<u8> {
    let digit = |offset: usize| at(bytes, position + offset).filter(u8::is_ascii_hexdigit);
    (at(bytes, position) == Some(b'%')).then(|| Some(nibble(digit(1)?) << 4 | nibble(digit(2)?))).flatten()
}

/// A byte of a URL, and some that are often left in one.
const fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b':'
                | b'/'
                | b'?'
                | b'#'
                | b'['
                | b']'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'%'
                | b'|'
                | b'{'
                | b'}'
        )
}

fn run_start(bytes: &[u8], floor: usize, percent: usize) -> usize {
    let mut start = percent;
    while start > floor {
        match before(bytes, start) {
            Some(b'\\') if at(bytes, start) == Some(b'/') || at(bytes, start) == Some(b'\\') => start -= 1,
            Some(byte) if is_url_byte(byte) => start -= 1,
            _ => break,
        }
    }
    // Backslashes at the start belong to what stands before; so does the letter of an escape.
    while start < percent && at(bytes, start) == Some(b'\\') {
        start += 1;
    }
    if start < percent && follows_escape(bytes, start + 1) { start + 1 } else { start }
}

/// Decodes from `start` to the first byte that is none of a URL's; gives where that is.
fn decode(bytes: &[u8], start: usize) -> (Run, usize) {
    let (mut decoded, mut offsets, mut position) = (Vec::new(), Vec::new(), start);
    while let Some(byte) = at(bytes, position) {
        let (byte, len) = match (escaped(bytes, position), byte) {
            (Some(byte), _) => (byte, 3),
            (None, b'\\') => {
                let backslashes = bytes[position..].iter().take_while(|byte| **byte == b'\\').count();
                if at(bytes, position + backslashes) != Some(b'/') {
                    break;
                }
                (b'/', backslashes + 1)
            }
            (None, byte) if is_url_byte(byte) => (byte, 1),
            _ => break,
        };
        offsets.push(position);
        decoded.push(byte);
        position += len;
    }
    offsets.push(position);
    (Run { text: crate::bytes::text_of(&decoded).into_owned(), offsets }, position)
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_are_decoded_and_their_ranges_found_again() {
        let text = r"see https:\/\/h\/x?a=%C3%A9%22b%2 and \nq%3D1%FF, 100% sure";
        let found: Vec<_> = runs(text.as_bytes()).collect();
        assert_eq!(found[0].text, "https://h/x?a=é\"b%2");
        let quote = found[0].text.find('"').unwrap();
        let (start, end) = found[0].encoded(quote, quote + 2);
        assert_eq!(&text[start..end], "%22b");
        assert_eq!(found[1].text, "q=1?,");
        assert_eq!(found.len(), 2);
        assert_eq!(runs(b"100% of %zz %").count(), 0);
    }
}
