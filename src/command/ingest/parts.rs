//! A file of events in parts that one request may carry, cut between values.
//!
//! Invariants
//! - No part is over `BODY_BYTES_MAX` bytes or `BODY_VALUES_MAX` values, and not much more than one is ever held.
//! - A value stays whole, on however many lines it stands. What is no value is passed on by lines: the service judges it.
//! - A file of one part is sent as it is. In a longer one arrays are sent as their values, brackets and commas between them
//!   made blanks, so that lines keep their numbers. Where an array breaks off, its rest is unusable; the beginning of that is
//!   sent for the service to say so.

use std::io::{ErrorKind, Read};

use anyhow::{Result, bail};
use schemas::limits::{BODY_BYTES_MAX, BODY_VALUES_MAX};
use serde::de::IgnoredAny;

/// Bytes asked for at once.
const READ_BYTES: usize = schemas::limits::PROGRAM_READ_BYTES;
/// Of the rest of an array that breaks off, how much is shown to the service.
const BROKEN_BYTES: usize = schemas::limits::PROGRAM_BROKEN_BYTES_MAX;

/// Whole values, and the number of the line that the part begins on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub first_line: u64,
    pub bytes: Vec<u8>,
}

/// Where we are in an array of the file.
#[derive(Debug, Clone, Copy)]
struct Array {
    /// Whether a line has ended since it opened.
    spans_lines: bool,
    /// Whether a comma must come before the next value.
    after_value: bool,
}

/// What begins at a place.
enum Value {
    /// A value of so many bytes.
    Whole(usize),
    /// One that ends beyond the buffer.
    Torn,
    /// None.
    Bad,
}

/// Cuts what it reads.
#[derive(Debug)]
pub(super) struct Parts<R> {
    reader: R,
    part_bytes: usize,
    buffer: Vec<u8>,
    at_end: bool,
    /// Up to here the buffer is whole values, so many of them.
    cut: usize,
    values: usize,
    array: Option<Array>,
    first_line: u64,
}

impl<R: Read> Parts<R> {
    /// Of about `part_bytes` bytes each, if values are shorter.
    pub(super) fn new(reader: R, part_bytes: usize) -> Parts<R> {
        let (buffer, array) = (Vec::new(), None);
        Parts { reader, part_bytes, buffer, at_end: false, cut: 0, values: 0, array, first_line: 1 }
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    /// When the input cannot be read, or a value does not fit into a request.
    pub(super) fn next(&mut self) -> Result<Option<Part>> {
        let is_first = self.buffer.is_empty() && self.first_line == 1;
        self.fill(self.part_bytes + 1)?;
        if is_first && self.at_end && self.buffer.len() <= self.part_bytes {
            self.cut = self.buffer.len();
            return Ok(self.take());
        }
        if is_first && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.cut = 3;
        }
        loop {
            self.skip_structure();
            if self.values == 0 {
                self.take();
            }
            let is_full = self.cut >= self.part_bytes || self.values == BODY_VALUES_MAX;
            let has_rest = self.cut < self.buffer.len();
            if self.values > 0 && (is_full || !has_rest) {
                return Ok(self.take());
            }
            if !has_rest {
                if !self.at_end {
                    self.fill(self.part_bytes)?;
                    continue;
                }
                return Ok(if self.array.is_some() { self.broken() } else { None });
            }
            match self.value() {
                Value::Whole(len) if self.values == 0 && len > BODY_BYTES_MAX => return self.too_long(),
                Value::Whole(len) if self.cut + len > BODY_BYTES_MAX => return Ok(self.take()),
                Value::Whole(len) => {
                    self.cut += len;
                    self.values += 1;
                    if let Some(array) = &mut self.array {
                        array.after_value = true;
                    }
                }
                _ if self.values > 0 => return Ok(self.take()),
                Value::Bad => return Ok(self.broken()),
                Value::Torn if self.at_end && self.array.is_some() => return Ok(self.broken()),
                Value::Torn if self.at_end => {
                    self.cut = self.buffer.len();
                    return Ok(self.take());
                }
                Value::Torn if self.buffer.len() > BODY_BYTES_MAX => return self.too_long(),
                Value::Torn => self.fill((2 * self.buffer.len()).min(BODY_BYTES_MAX + 1))?,
            }
        }
    }

    /// Reads until the buffer has `len` bytes or the input ends.
    fn fill(&mut self, len: usize) -> Result<()> {
        while self.buffer.len() < len && !self.at_end {
            let held = self.buffer.len();
            self.buffer.resize(held + (len - held).min(READ_BYTES), 0);
            let read = match self.reader.read(self.buffer.get_mut(held..).unwrap_or_default()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
                read => read.inspect(|read| self.at_end = *read == 0),
            };
            self.buffer.truncate(held + read.as_ref().copied().unwrap_or(0));
            read?;
        }
        Ok(())
    }

    /// Passes over white space, and over the brackets and commas of arrays, which become white space.
    fn skip_structure(&mut self) {
        while let Some(byte) = self.buffer.get_mut(self.cut) {
            match (*byte, &mut self.array) {
                (b'\n', Some(array)) => array.spans_lines = true,
                (b' ' | b'\t' | b'\r' | b'\n', _) => {}
                (b'[', array @ None) => *array = Some(Array { spans_lines: false, after_value: false }),
                (b',', Some(array)) if array.after_value => array.after_value = false,
                (b']', array @ Some(_)) => *array = None,
                _ => return,
            }
            if matches!(*byte, b'[' | b',' | b']') {
                *byte = b' ';
            }
            self.cut += 1;
        }
    }

    /// The value at the cut; after what is none, and no array of more lines either, the next line starts afresh.
    fn value(&mut self) -> Value {
        let lacks_comma = self.array.is_some_and(|array| array.after_value);
        match value(self.buffer.get(self.cut..).unwrap_or_default(), self.at_end) {
            Value::Torn => Value::Torn,
            Value::Whole(len) if !lacks_comma => Value::Whole(len),
            _ if self.array.is_some_and(|array| array.spans_lines) => Value::Bad,
            _ => self.line(),
        }
    }

    /// The rest of the line at the cut, to be passed on as it is.
    fn line(&mut self) -> Value {
        let rest = self.buffer.get(self.cut..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let Some(len) = end.or_else(|| self.at_end.then_some(rest.len())) else { return Value::Torn };
        self.array = None;
        Value::Whole(len)
    }

    /// Takes what is whole out of the buffer; none if that is nothing but white space.
    fn take(&mut self) -> Option<Part> {
        let rest = self.buffer.split_off(self.cut);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let first_line = self.first_line;
        self.first_line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
        (self.cut, self.values) = (0, 0);
        (!is_blank).then_some(Part { first_line, bytes })
    }

    /// Gives up the rest of the array, and with it the file's.
    fn broken(&mut self) -> Option<Part> {
        let shown = self.buffer.iter().take(BROKEN_BYTES).take_while(|byte| **byte != b'\n');
        let bytes = std::iter::once(b'[').chain(shown.copied()).collect();
        (self.at_end, self.array) = (true, None);
        self.buffer.clear();
        Some(Part { first_line: self.first_line, bytes })
    }

    fn too_long(&self) -> Result<Option<Part>> {
        bail!("the value on line {} is over {BODY_BYTES_MAX} bytes", self.first_line)
    }
}

/// The value at the first byte of `bytes`, which is none of an array's own.
fn value(bytes: &[u8], at_end: bool) -> Value {
    if matches!(bytes.first(), Some(b'{' | b'[' | b'"')) {
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
        return match values.next() {
            Some(Ok(_)) => Value::Whole(values.byte_offset()),
            Some(Err(error)) if error.is_eof() => Value::Torn,
            _ => Value::Bad,
        };
    }
    let end = bytes.iter().position(|byte| byte.is_ascii_whitespace() || b",]}[{\"".contains(byte));
    let Some(len) = end.or_else(|| at_end.then_some(bytes.len())) else { return Value::Torn };
    match serde_json::from_slice::<IgnoredAny>(bytes.get(..len).unwrap_or(bytes)) {
        Ok(_) => Value::Whole(len),
        Err(_) => Value::Bad,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::{Part, Parts};

    fn parts(text: &str, part_bytes: usize) -> Vec<(u64, String)> {
        let mut parts = Parts::new(text.as_bytes(), part_bytes);
        let mut all = Vec::new();
        while let Some(Part { first_line, bytes }) = parts.next().unwrap() {
            all.push((first_line, String::from_utf8(bytes).unwrap()));
        }
        all
    }

    /// The words of all parts, each with the line it is said to stand on.
    fn words(text: &str, part_bytes: usize) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        for (first_line, part) in parts(text, part_bytes) {
            for (line, content) in part.lines().enumerate() {
                all.extend(
                    content.split_whitespace().map(|word| (first_line + line as u64, word.to_string())),
                );
            }
        }
        all
    }

    #[test]
    fn values_stay_whole_and_keep_their_lines() {
        let lines = "{\"a\":1}\n{\"b\":2}\n\n{\"c\":[3,\n4]}\n";
        let pretty = "{\n  \"a\": {\"x\": [1,\n 2]}\n}\n{\n  \"b\": \"}{,\"\n}\n";
        let torn = "{\"a\":1}\n{\"torn\":\nno json {\"x\":1}\n\"open\n{\"d\":4}\n7\n";
        for text in [lines, pretty, torn] {
            for part_bytes in 1..text.len() {
                assert_eq!(words(text, part_bytes), words(text, 1000), "{part_bytes}");
            }
        }
        assert_eq!(parts(pretty, 3).len(), 2, "values are not cut");
        let plain = "  {\"a\":1},\n {\"b\":[1,2]} ,{\"c\":\"]\"}\n \n{\"d\":4}";
        let array = format!("[{}", plain.replacen("}\n \n", "}\n]\n", 1));
        let blank = format!(" {}", plain.replace("},", "} ").replace("} ,", "}  "));
        for part_bytes in 1..array.len() {
            assert_eq!(words(&array, part_bytes), words(&blank, 1000), "{part_bytes}");
        }
    }

    #[test]
    fn an_array_that_breaks_off_is_sent_as_one() {
        for rest in ["", "\noops,\n{\"c\":3}]", " {\"c\":\n"] {
            let text = format!("[{{\"a\":1}},\n{{\"b\":2}},{rest}");
            let all = parts(&text, 10);
            let (last, whole) = all.split_last().unwrap();
            assert!(last.1.starts_with('['), "{all:?}");
            let whole: String = whole.iter().map(|(_, part)| part.as_str()).collect();
            assert!(whole.contains("{\"a\":1}") && whole.contains("{\"b\":2}"), "{all:?}");
        }
    }
}
