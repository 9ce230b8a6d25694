//! Redaction of decoded text: shapes, assignments and URL passwords, with nested JSON handed to `json` and base64 to
//! `encoded`.

pub(crate) mod assignment;
mod quotes;
pub(crate) mod unseparated;

use std::ops::ControlFlow;

use crate::edit::{Edit, apply, compose};
use crate::encoded;
use crate::json::json_edits;
use crate::marker::{is_inert, marker_len};
use crate::names::Name;
use crate::prefilter::Hit;
use crate::redactor::Redactor;
use crate::shapes::{SHAPES, Span};
use quotes::Quotes;

/// Levels of JSON inside JSON strings that are parsed; deeper ones are treated as text.
pub(crate) const NESTED_LEVELS_MAX: usize = schemas::limits::REDACT_NESTED_LEVELS_MAX;

/// Levels of base64 inside base64 that are decoded.
const ENCODED_LEVELS: usize = schemas::limits::REDACT_ENCODED_LEVELS_MAX;

/// Class of the password in `scheme://user:password@host`.
const URL_PASSWORD_CLASS: &str = "url_password";
/// Ranks after the shapes: a URL's password, then whatever a name gives away, then what is inside base64.
const URL_PASSWORD_RANK: usize = SHAPES.len() + 1;
const NAME_RANK: usize = SHAPES.len() + 2;
const ENCODED_RANK: usize = SHAPES.len() + 3;

/// Passes over a text until nothing more is found; two are the rule.
const PASSES_MAX: usize = schemas::limits::REDACT_PASSES_MAX;

/// How deep a text stands in others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Level {
    /// JSON strings.
    strings: usize,
    /// Base64.
    encodings: usize,
}

/// Edits of a text that may be JSON itself.
pub(crate) fn string_edits(redactor: &Redactor, text: &str, level: Level) -> Vec<Edit> {
    if let Some(edits) = nested_edits(redactor, text, level) {
        return edits;
    }
    // What stands beside a secret may only then be seen to belong to it, or be seen at all.
    let mut edits = text_edits(redactor, text, level);
    for _ in 1..PASSES_MAX {
        if edits.is_empty() {
            break;
        }
        let redacted = apply(text, &edits).text;
        let more = first_edits(redactor, &redacted, level);
        if more.is_empty() {
            break;
        }
        edits = compose(edits, more);
    }
    edits
}

/// What one pass finds.
fn first_edits(redactor: &Redactor, text: &str, level: Level) -> Vec<Edit> {
    nested_edits(redactor, text, level).unwrap_or_else(|| text_edits(redactor, text, level))
}

/// Edits of a text that is JSON itself; none when it is not, or stands too deep.
fn nested_edits(redactor: &Redactor, text: &str, level: Level) -> Option<Vec<Edit>> {
    let may_be_json = matches!(text.trim_ascii_start().as_bytes().first(), Some(b'{' | b'[' | b'"'));
    if !may_be_json || level.strings >= NESTED_LEVELS_MAX {
        return None;
    }
    json_edits(redactor, text, Level { strings: level.strings + 1, ..level }).ok()
}

/// Edits of a plain text.
pub(crate) fn text_edits(redactor: &Redactor, text: &str, level: Level) -> Vec<Edit> {
    let found = Found::scan(redactor, text);
    let mut spans = encoded_spans(redactor, text, level);
    if found.is_empty() && spans.is_empty() {
        return Vec::new();
    }
    for rank in found.ranks() {
        redactor.matchers.find(rank, text, &mut spans);
    }
    for start in &found.urls {
        if let Some((start, end)) = url_password(text.as_bytes(), *start) {
            spans.push(Span { start, end, class: URL_PASSWORD_CLASS, rank: URL_PASSWORD_RANK });
        }
    }
    let quotes = Quotes::new(text.as_bytes());
    let mut done = 0;
    for (name, name_end) in &found.names {
        // Names inside a value already taken are part of that secret; our own marker names its class.
        if *name_end < done || found.is_inside_marker(*name_end) {
            continue;
        }
        if let Some((start, end, class)) = assignment::value(text.as_bytes(), &quotes, name, *name_end) {
            spans.push(Span { start, end, class, rank: NAME_RANK });
            done = end;
        }
    }
    spans.retain(|span| {
        !is_inert(&text.as_bytes()[span.start..span.end]) && !found.starts_inside_marker(span)
    });
    merge(spans)
        .into_iter()
        .map(|span| Edit {
            start: span.start,
            end: span.end,
            class: span.class,
            replacement: redactor.marker(span.class, &text[span.start..span.end]),
        })
        .collect()
}

/// Base64 in which there is a secret, each with the class of the first.
fn encoded_spans(redactor: &Redactor, text: &str, level: Level) -> Vec<Span> {
    if level.encodings == ENCODED_LEVELS {
        return Vec::new();
    }
    let inner = Level { encodings: level.encodings + 1, ..level };
    let class = |decoded: &str| first_edits(redactor, decoded, inner).first().map(|edit| edit.class);
    encoded::spans(text.as_bytes(), class)
        .into_iter()
        .map(|(start, end, class)| Span { start, end, class, rank: ENCODED_RANK })
        .collect()
}

/// What the prefilter found in a text.
#[derive(Debug, Default)]
struct Found {
    shapes: u128,
    /// Names and where they end.
    names: Vec<(&'static Name, usize)>,
    urls: Vec<usize>,
    /// Our own markers, start and end.
    markers: Vec<(usize, usize)>,
}

const _: () = assert!(SHAPES.len() < 128, "one bit a shape");

impl Found {
    fn scan(redactor: &Redactor, text: &str) -> Found {
        let bytes = text.as_bytes();
        let mut found = Found::default();
        let _all_seen = redactor.prefilter.scan(bytes, |hit| {
            match hit {
                Hit::Shape { rank } => found.shapes |= 1 << rank,
                Hit::Name { name, end } => found.names.push((name, end)),
                Hit::Url { start } => found.urls.push(start),
                Hit::Marker { start } => {
                    if let Some(len) = marker_len(&bytes[start..]) {
                        found.markers.push((start, start + len));
                    }
                }
                // The text is decoded: an escape in it is what it looks like.
                Hit::Escape => {}
            }
            ControlFlow::Continue(())
        });
        found
    }

    fn is_empty(&self) -> bool {
        self.shapes == 0 && self.names.is_empty() && self.urls.is_empty()
    }

    fn ranks(&self) -> impl Iterator<Item = usize> + '_ {
        (0..=SHAPES.len()).filter(|rank| self.shapes & (1 << rank) != 0)
    }

    /// The marker that starts last at or before `offset`.
    fn marker_before(&self, offset: usize) -> Option<(usize, usize)> {
        let next = self.markers.partition_point(|(start, _)| *start <= offset);
        next.checked_sub(1).and_then(|index| self.markers.get(index)).copied()
    }

    fn is_inside_marker(&self, offset: usize) -> bool {
        self.marker_before(offset).is_some_and(|(_, end)| offset < end)
    }

    /// True when a span begins within a marker, unless it starts with the whole of it and goes on.
    fn starts_inside_marker(&self, span: &Span) -> bool {
        self.marker_before(span.start)
            .is_some_and(|(start, end)| span.start < end && (span.start > start || span.end <= end))
    }
}

/// Spans that touch become one, named after the best rank.
fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start, span.rank));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => {
                last.end = last.end.max(span.end);
                if span.rank < last.rank {
                    last.rank = span.rank;
                    last.class = span.class;
                }
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// A byte that ends the authority of a URL in text.
pub(crate) fn ends_authority(byte: u8) -> bool {
    byte.is_ascii_control() || matches!(byte, b' ' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'\\')
}

/// Start and end of the password after the `://` at `start`.
fn url_password(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let authority_start = start + 3;
    let authority = bytes.get(authority_start..)?;
    let len = authority.iter().take_while(|byte| !ends_authority(**byte)).count();
    let authority = authority.get(..len)?;
    let host = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority.iter().position(|byte| *byte == b':').filter(|colon| *colon < host)?;
    Some((authority_start + colon + 1, authority_start + host))
}
