//! Values under names that are only likely to mean a secret: what of them looks random. A text can be all names like these, so
//! no more is looked at than tells whether it does.

use crate::bytes::at;
use crate::random;
use crate::text::assignment::{past_line, skip_blanks};
use crate::text::quotes::{Quotes, end_of_line, is_quote};
use crate::text::{unseparated, wrapper};

/// The value at `start` as far as it looks random. No more of it is looked at than tells whether it does: a text can be all
/// names like these.
pub(super) fn opaque(
    bytes: &[u8],
    quotes: &Quotes<'_>,
    start: usize,
    is_colon: bool,
) -> Option<(usize, usize)> {
    if let Some((first, indented)) = unseparated::first_below(bytes, start).filter(|_| is_colon) {
        let (start, end) = random_part(bytes, inside_of_quote(bytes, first), Lines::Indented(indented))?;
        return Some((start, unseparated::list_end(bytes, first, indented).unwrap_or(end).max(end)));
    }
    if let Some(opened) = wrapper::open(bytes, start) {
        let (first, end) = random_part(bytes, inside_of_quote(bytes, opened.quote), Lines::Any)?;
        let end = if opened.is_list { wrapper::value(bytes, quotes, opened)?.end.max(end) } else { end };
        return Some((first, end));
    }
    if bytes.get(start..).is_some_and(|rest| rest.starts_with(b"<<")) {
        let inside = past_line(bytes, end_of_line(bytes, start));
        let (first, end) = random_part(bytes, inside, Lines::Any)?;
        // Only now is the mark looked for that ends it.
        let document = wrapper::here_document(bytes, start)?;
        return Some((first, end.min(document.end)));
    }
    let encoded = matches!(bytes.get(start..start + 3), Some([b'%', b'2', b'2' | b'7']));
    let first = if encoded { start + 3 } else { inside_of_quote(bytes, start) };
    random_part(bytes, first, if first > start { Lines::Any } else { Lines::One })
}

/// Past the quotes at `start`, if there are any.
fn inside_of_quote(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let escapes = rest.iter().take_while(|byte| **byte == b'\\').count();
    let quotes =
        rest.get(escapes..).unwrap_or_default().iter().take(3).take_while(|byte| is_quote(**byte)).count();
    if quotes == 0 { start } else { start + escapes + quotes }
}

/// Which lines a value may go on over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Any,
    /// Those that are indented as far.
    Indented(usize),
}

/// Most bytes by which a value is judged, without white space.
const JUDGED_BYTES: usize = schemas::limits::REDACT_JUDGED_BYTES_MAX;
/// The same with white space.
pub(super) const JUDGED_REACH: usize = 4 * JUDGED_BYTES;

/// As much of the value at `start` as looks random, judged by its beginning; what stands on several lines counts as one.
pub(super) fn random_part(bytes: &[u8], start: usize, lines: Lines) -> Option<(usize, usize)> {
    let mut joined = Vec::new();
    let mut position = start;
    while joined.len() < JUDGED_BYTES && position < start + JUDGED_REACH {
        match at(bytes, position).filter(|byte| random::is_random_byte(*byte)) {
            Some(byte) => {
                joined.push(byte);
                position += 1;
            }
            None => match next_line(bytes, position, lines) {
                Some(next) => position = next,
                None => break,
            },
        }
    }
    if !random::looks_random(&joined) {
        return None;
    }
    let mut end = start;
    let mut position = start;
    loop {
        let run = bytes.get(position..)?.iter().take_while(|byte| random::is_random_byte(**byte)).count();
        position += run;
        end = if run > 0 { position } else { end };
        match next_line(bytes, position, lines) {
            Some(next) => position = next,
            None => return Some((start, end)),
        }
    }
}

/// Where the next line begins whose value belongs to that before it; one at `position` must have ended.
fn next_line(bytes: &[u8], position: usize, lines: Lines) -> Option<usize> {
    if lines == Lines::One || !matches!(at(bytes, position), Some(b'\n' | b'\r')) {
        return None;
    }
    let line = past_line(bytes, position);
    let next = skip_blanks(bytes, line);
    let is_part =
        at(bytes, next).is_some_and(|byte| random::is_random_byte(byte) || matches!(byte, b'\n' | b'\r'));
    let fits = match lines {
        Lines::Indented(indented) => {
            next - line >= indented || matches!(at(bytes, next), Some(b'\n' | b'\r'))
        }
        _ => true,
    };
    (is_part && fits && next > position).then_some(next)
}
