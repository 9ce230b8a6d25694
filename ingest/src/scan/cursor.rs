//! A place in the bytes of a JSON text, and the tokens of RFC 8259 from there.

use super::Kind;

/// Why the bytes are not a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset of the first byte that does not fit.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The bytes end inside the value.
    End,
    /// Something else must stand here.
    Expected(&'static str),
    /// A control character stands bare in a string.
    Control,
}

/// A place in `bytes`.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    has_lone_surrogate: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0, has_lone_surrogate: false }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn has_lone_surrogate(&self) -> bool {
        self.has_lone_surrogate
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn bump(&mut self) {
        self.at += 1;
    }

    /// Passes over white space.
    #[inline]
    pub(crate) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The fault that `what` should stand here.
    #[cold]
    pub(crate) fn expected(&self, what: &'static str) -> Fault {
        let kind = if self.at < self.bytes.len() { FaultKind::Expected(what) } else { FaultKind::End };
        Fault { at: self.at, kind }
    }

    /// Reads a key with its quotes; gives the offset of its first byte inside them and whether it has escapes.
    #[inline]
    pub(super) fn key(&mut self) -> Result<(usize, bool), Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        self.at += 1;
        let start = self.at;
        Ok((start, self.string()?))
    }

    /// Reads `:` and the white space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Fault> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:` after a key"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Reads a value that is neither object nor array; gives what it is and whether it is a string with escapes.
    #[inline]
    pub(super) fn scalar(&mut self) -> Result<(Kind, bool), Fault> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok((Kind::String, self.string()?))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| (Kind::Number, false)),
            Some(b't') => self.word(b"true").map(|()| (Kind::Bool, false)),
            Some(b'f') => self.word(b"false").map(|()| (Kind::Bool, false)),
            Some(b'n') => self.word(b"null").map(|()| (Kind::Null, false)),
            _ => Err(self.expected("a JSON value")),
        }
    }

    /// Reads the rest of a string after its opening quote, with the closing one; whether it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<bool, Fault> {
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if let Some(chunk) = rest.first_chunk::<8>() {
                let marks = marks(u64::from_le_bytes(*chunk));
                if marks == 0 {
                    self.at += 8;
                    continue;
                }
                self.at += (marks.trailing_zeros() / 8) as usize;
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(Fault { at: self.at, kind: FaultKind::Control }),
                Some(_) => self.at += 1,
                None => return Err(self.expected("`\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let unit = self.unit()?;
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                match unit {
                    0xd800..=0xdbff if rest.starts_with(b"\\u") => {
                        let after_high = self.at;
                        self.at += 1;
                        if !(0xdc00..=0xdfff).contains(&self.unit()?) {
                            self.has_lone_surrogate = true;
                            self.at = after_high;
                        }
                    }
                    0xd800..=0xdfff => self.has_lone_surrogate = true,
                    _ => {}
                }
            }
            _ => return Err(self.expected("an escape of JSON after `\\`")),
        }
        Ok(())
    }

    /// Reads `u` and four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit << 4 | digit.ok_or_else(|| self.expected("four hexadecimal digits after `\\u`"))?;
        }
        self.at += 1;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        for byte in word {
            if self.peek() != Some(*byte) {
                return Err(self.expected("true, false or null"));
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// Sets the top bit of the first byte (lowest in `word`) that ends a run of plain characters: a quote, a backslash or a
/// control character. Bits above the first one may be wrong; the trick is "determine if a word has a zero byte" from
/// Anderson's Bit Twiddling Hacks.
#[inline]
fn marks(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(quote) | zero(backslash) | control) & TOPS
}
