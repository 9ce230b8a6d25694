//! Why one value of a body was not taken. Codes are stable: scripts depend on them.

use std::fmt;

use schemas::limits::QUOTED_CHARS_MAX;

/// A stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Not a JSON value.
    BadJson,
    /// Not UTF-8.
    BadUtf8,
    /// Half of a surrogate pair.
    BadText,
    /// Over the depth limit.
    TooDeep,
    /// Over the size limit of one value.
    TooLarge,
    /// Over the limit of keys.
    TooManyKeys,
    /// A JSON value, but not an object.
    NotObject,
    /// No mapping knows this shape.
    Unmapped,
    /// One key twice.
    DuplicateKey,
    /// A known key with a value of another type.
    BadType,
    /// A time that is no time.
    BadTime,
    /// Not the protobuf message that it should be.
    BadProtobuf,
    /// An id of OpenTelemetry that is none.
    BadId,
    /// Redaction could not read it, so it must not be kept.
    Unredactable,
}

impl Code {
    /// The code as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Code::BadJson => "bad_json",
            Code::BadUtf8 => "bad_utf8",
            Code::BadText => "bad_text",
            Code::TooDeep => "too_deep",
            Code::TooLarge => "too_large",
            Code::TooManyKeys => "too_many_keys",
            Code::NotObject => "not_object",
            Code::Unmapped => "unmapped",
            Code::DuplicateKey => "duplicate_key",
            Code::BadType => "bad_type",
            Code::BadTime => "bad_time",
            Code::BadProtobuf => "bad_protobuf",
            Code::BadId => "bad_id",
            Code::Unredactable => "unredactable",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The line on which it starts, from 1 (from `Context::line_first`).
    pub line: u64,
    /// Its place among the values of the body, from 0.
    pub position: usize,
    /// Why, for programs.
    pub code: Code,
    /// Why, for people: what is wrong and what to do. What it quotes is redacted and short.
    pub detail: String,
}

/// Why an event is refused, before its place in the body is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Refusal {
        Refusal { code, detail: detail.into() }
    }
}

/// `text`, which must be redacted, quoted and short enough for a message.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((at, _)) => format!("{:?}…", text.get(..at).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
