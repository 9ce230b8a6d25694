//! Sets of bytes that the rules speak of.

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// `A-Z a-z 0-9`
    Alphanumeric,
    /// `A-Z a-z 0-9 _ -`
    Word,
    /// `A-Z a-z 0-9 _ ~ . -`
    Unreserved,
    /// `A-Z 0-9`
    Upper,
    /// `0-9 a-f`
    Hex,
    /// `0-9 a-f A-F`
    HexAnyCase,
    /// `A-Z a-z 0-9 + / = _ -`
    Base64,
    /// Any byte.
    Any,
}

impl Set {
    pub const fn contains(self, byte: u8) -> bool {
        match self {
            Set::Alphanumeric => byte.is_ascii_alphanumeric(),
            Set::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Set::Unreserved => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'.' | b'-'),
            Set::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Set::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Set::HexAnyCase => byte.is_ascii_hexdigit(),
            Set::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'),
            Set::Any => true,
        }
    }

    /// True when the byte, or the same letter in the other case, is in the set.
    pub const fn contains_either_case(self, byte: u8) -> bool {
        self.contains(byte.to_ascii_lowercase()) || self.contains(byte.to_ascii_uppercase())
    }

    /// The set as an expression has it.
    pub const fn expression(self) -> &'static str {
        match self {
            Set::Alphanumeric => "[0-9A-Za-z]",
            Set::Word => "[0-9A-Za-z_-]",
            Set::Unreserved => "[0-9A-Za-z_~.-]",
            Set::Upper => "[0-9A-Z]",
            Set::Hex => "[0-9a-f]",
            Set::HexAnyCase => "[0-9a-fA-F]",
            Set::Base64 => "[0-9A-Za-z+/=_-]",
            Set::Any => "(?s:.)",
        }
    }
}

/// A byte of a URL's scheme.
pub(crate) fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// The byte at `at`, none past the end.
pub(crate) fn at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The byte before `at`, none at the start.
pub(crate) fn before(bytes: &[u8], at: usize) -> Option<u8> {
    at.checked_sub(1).and_then(|index| bytes.get(index)).copied()
}

/// True when `at` follows a letter that is the second half of an escape such as `\n`: in raw JSON, or in text that shows an
/// escape, such a letter is no part of the word after it.
pub(crate) fn follows_escape(bytes: &[u8], at: usize) -> bool {
    matches!(before(bytes, at), Some(b'n' | b't' | b'r' | b'b' | b'f'))
        && at.checked_sub(1).is_some_and(|letter| before(bytes, letter) == Some(b'\\'))
}

/// True when a token may start at `at`: nothing alphanumeric runs into it.
pub(crate) fn token_boundary(bytes: &[u8], at: usize) -> bool {
    !before(bytes, at).is_some_and(|byte| byte.is_ascii_alphanumeric()) || follows_escape(bytes, at)
}

/// The bytes as text of the same length: what is no part of a character becomes question marks.
pub(crate) fn text_of(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text.into()
}
