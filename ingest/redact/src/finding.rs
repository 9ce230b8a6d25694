//! What redaction found and why, for people who want to know; the hot path does not ask.

use std::fmt;

/// Why something is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its own form says what it is.
    Shape,
    /// It stands between user and host of a URL.
    UrlPassword,
    /// A name by it says so.
    Name,
    /// One of the others, once base64, hexadecimal digits or percent-encoding is undone.
    Encoding,
    /// A policy for personal data.
    Personal,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Why::Shape => "has the form of one",
            Why::UrlPassword => "stands between user and host of a URL",
            Why::Name => "is named as one",
            Why::Encoding => "is one once it is decoded",
            Why::Personal => "is personal data that the policy does not keep",
        })
    }
}

/// One thing that redaction removes; never the thing itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Class, as in the marker.
    pub class: &'static str,
    /// Why.
    pub why: Why,
    /// The member of the record that it is in; none in plain text.
    pub place: Option<String>,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}
