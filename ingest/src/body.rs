//! Splits a body into JSON values: one object, an array of objects, NDJSON, or values one after another.
//!
//! Invariants
//! - Every value of the body is yielded once, in order, whole, or a fault stands in its place.
//! - One bad value does not spoil the rest: after a syntax error the next line starts afresh. Only inside an array that
//!   spans lines is everything after the error unusable, and the fault says so.
//! - Time is linear in the body, however it is broken: values that begin on one line and fail on another may together
//!   read the body once more, after that a value must end on its line.

use std::ops::Range;

use schemas::limits::{EVENT_KEYS_MAX, JSON_DEPTH_MAX, VALUE_BYTES_MAX};

use crate::rejected::Code;
use crate::scan::{Fault, FaultKind, Kind, Scanner};

/// The next thing in a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An object; its members are in the scanner.
    Object(Range<usize>),
    /// Something unusable.
    Bad {
        /// Where it starts.
        start: usize,
        /// Why.
        code: Code,
        /// Why, for people; quotes nothing of the body.
        detail: String,
    },
}

/// What may come next in an array of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A value, or the end of the array.
    Start,
    /// A value.
    AfterComma,
    /// A comma, or the end of the array.
    AfterValue,
}

/// Walks a body.
#[derive(Debug)]
pub(crate) struct Splitter<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The array we are in: where it opened, and what may come next.
    array: Option<(usize, Place)>,
    /// Bytes that failed values may still read past the end of their line.
    retry_bytes: usize,
    line_at: usize,
    line: u64,
}

impl<'a> Splitter<'a> {
    /// Of a whole body, whose first line has the number `line_first`.
    pub(crate) fn new(bytes: &'a [u8], line_first: u64) -> Splitter<'a> {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Splitter { bytes, at, array: None, retry_bytes: bytes.len(), line_at: 0, line: line_first }
    }

    /// The number of the line on which the byte at `offset` stands. Offsets must ascend from call to call.
    pub(crate) fn line(&mut self, offset: usize) -> u64 {
        let passed = self.bytes.get(self.line_at..offset).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line_at = self.line_at.max(offset);
        self.line
    }

    /// The next piece; none at the end of the body.
    pub(crate) fn next(&mut self, scanner: &mut Scanner) -> Option<Piece> {
        loop {
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
                self.at += 1;
            }
            let Some(byte) = self.bytes.get(self.at) else {
                let (open, _) = self.array.take()?;
                let detail = "the body ends inside this array: what came before is taken; close it with `]`";
                return Some(Piece::Bad { start: open, code: Code::BadJson, detail: detail.to_string() });
            };
            match (&mut self.array, byte) {
                (None, b'[') => self.array = Some((self.at, Place::Start)),
                (Some((_, Place::Start | Place::AfterValue)), b']') => self.array = None,
                (Some((_, place @ Place::AfterValue)), b',') => *place = Place::AfterComma,
                (Some((_, Place::AfterValue)), _) => {
                    let fault =
                        Fault { at: 0, kind: FaultKind::Expected("`,` or `]` after a value of the array") };
                    return Some(self.syntax(self.at, fault));
                }
                _ => return Some(self.value(scanner)),
            }
            self.at += 1;
        }
    }

    fn value(&mut self, scanner: &mut Scanner) -> Piece {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let mut window = rest.get(..VALUE_BYTES_MAX).unwrap_or(rest);
        if self.retry_bytes == 0 {
            window = window.get(..line_bytes(window)).unwrap_or(window);
        }
        let scanned = match scanner.value(window) {
            Ok(scanned) => scanned,
            Err(fault) => {
                if fault.at > line_bytes(window) {
                    self.retry_bytes = self.retry_bytes.saturating_sub(fault.at);
                }
                if fault.kind == FaultKind::End
                    && window.len() == VALUE_BYTES_MAX
                    && rest.len() > window.len()
                {
                    let detail =
                        format!("the value is longer than {VALUE_BYTES_MAX} bytes; send less at once");
                    self.resume(start);
                    return Piece::Bad { start, code: Code::TooLarge, detail };
                }
                return self.syntax(start, fault);
            }
        };
        let end = start + scanned.end;
        // Outside an array a number or a word with something else right behind it is a line of some other format.
        let is_scalar = !matches!(scanned.kind, Kind::Object | Kind::Array);
        let follower = self.bytes.get(end).filter(|byte| !byte.is_ascii_whitespace());
        if is_scalar && self.array.is_none() && follower.is_some() {
            let kind = FaultKind::Expected("white space or the end after a value");
            return self.syntax(start, Fault { at: scanned.end, kind });
        }
        self.at = end;
        if let Some((_, place)) = &mut self.array {
            *place = Place::AfterValue;
        }
        let bad = |code, detail| Piece::Bad { start, code, detail };
        if scanned.kind != Kind::Object {
            return bad(
                Code::NotObject,
                format!("an event is a JSON object; this is {}", scanned.kind.phrase()),
            );
        }
        if scanned.depth > JSON_DEPTH_MAX {
            let detail = format!(
                "the value is {} levels deep, {JSON_DEPTH_MAX} are allowed; flatten it or send the inner part as a string",
                scanned.depth
            );
            return bad(Code::TooDeep, detail);
        }
        if scanned.keys > EVENT_KEYS_MAX {
            return bad(
                Code::TooManyKeys,
                format!(
                    "the object has {} keys, {EVENT_KEYS_MAX} are allowed; nest some of them",
                    scanned.keys
                ),
            );
        }
        if scanned.has_lone_surrogate {
            let detail = "an escape names half of a surrogate pair, which no text can hold; escape both halves or neither";
            return bad(Code::BadText, detail.to_string());
        }
        Piece::Object(start..end)
    }

    /// Gives up on the value at `start`, and goes on at the next line where that is possible.
    fn syntax(&mut self, start: usize, fault: Fault) -> Piece {
        let at = fault.at + 1;
        let mut detail = match fault.kind {
            FaultKind::End => {
                "not a JSON value: it ends too early, after byte ".to_string() + &fault.at.to_string()
            }
            FaultKind::Expected(what) => format!("not a JSON value: expected {what} at byte {at} of it"),
            FaultKind::Control => {
                format!(
                    "not a JSON value: bare control character or line end in the string at byte {at} of it"
                )
            }
        };
        if let Some((open, _)) = self.array {
            detail.push_str("; the rest of the array is unusable");
            self.array = None;
            let before = self.bytes.get(open..start).unwrap_or_default();
            if before.contains(&b'\n') {
                self.at = self.bytes.len();
                return Piece::Bad { start, code: Code::BadJson, detail };
            }
        }
        self.resume(start);
        Piece::Bad { start, code: Code::BadJson, detail }
    }

    fn resume(&mut self, start: usize) {
        let rest = self.bytes.get(start..).unwrap_or_default();
        self.at = start + line_bytes(rest);
    }
}

/// Bytes before the first line end.
fn line_bytes(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests;
