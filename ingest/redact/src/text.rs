//! Redaction of decoded text: shapes, assignments and URL passwords, with nested JSON handed to `json` and base64 to
//! `encoded`.

pub(crate) mod assignment;
mod opaque;
mod quotes;
pub(crate) mod unseparated;
pub(crate) mod wrapper;

use std::ops::ControlFlow;

use crate::edit::{Edit, apply, compose};
use crate::finding::Why;
use crate::json::json_edits;
use crate::marker::{is_inert, marker_len};
use crate::names::Name;
use crate::prefilter::Hit;
use crate::redactor::Redactor;
use crate::shapes::{RULE_COUNT, Span};
use crate::{encoded, hexadecimal, percent, personal};
use quotes::Quotes;

/// Levels of JSON inside JSON strings that are parsed; deeper ones are treated as text.
pub(crate) const NESTED_LEVELS_MAX: usize = schemas::limits::REDACT_NESTED_LEVELS_MAX;

/// Levels of encodings inside each other that are decoded.
pub(crate) const ENCODED_LEVELS: usize = schemas::limits::REDACT_ENCODED_LEVELS_MAX;

/// Class of the password in `scheme://user:password@host`.
const URL_PASSWORD_CLASS: &str = "url_password";
/// Ranks after the shapes: a URL's password, then whatever a name gives away, then what is inside base64.
const URL_PASSWORD_RANK: usize = RULE_COUNT + 1;
const NAME_RANK: usize = RULE_COUNT + 2;
const ENCODED_RANK: usize = RULE_COUNT + 3;

/// Shortest password of a URL that was cut off, in bytes.
const PASSWORD_BYTES: usize = schemas::limits::REDACT_CUT_PASSWORD_BYTES_MIN;

/// Passes over a text until nothing more is found; two are the rule.
const PASSES_MAX: usize = schemas::limits::REDACT_PASSES_MAX;

/// Replacements in one text; one of more is replaced as a whole.
const EDITS: usize = schemas::limits::REDACT_EDITS_MAX;

/// How deep a text stands in others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Level {
    /// JSON strings.
    strings: usize,
    /// Base64, hexadecimal digits, percent-encoding.
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
        return personal_edits(redactor, text, Vec::new());
    }
    for rank in found.ranks() {
        redactor.rules.matchers.find(rank, text, &mut spans);
    }
    for start in &found.urls {
        if let Some((start, end)) = url_password(text.as_bytes(), *start) {
            spans.push(Span::new(start, end, URL_PASSWORD_CLASS, URL_PASSWORD_RANK));
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
            spans.push(Span::new(start, end, class, NAME_RANK));
            done = end;
        }
    }
    spans.retain(|span| {
        !is_inert(&text.as_bytes()[span.start..span.end]) && !found.starts_inside_marker(span)
    });
    let merged = merge(spans);
    if let Some(first) = merged.first().filter(|_| merged.len() > EDITS) {
        let (class, why) = (first.class, why(first));
        return vec![Edit {
            start: 0,
            end: text.len(),
            class,
            why,
            replacement: redactor.marker(class, text),
        }];
    }
    let edits = merged
        .into_iter()
        .map(|span| Edit {
            start: span.start,
            end: span.end,
            class: span.class,
            why: why(&span),
            replacement: span
                .replacement
                .unwrap_or_else(|| redactor.marker(span.class, &text[span.start..span.end])),
        })
        .collect();
    personal_edits(redactor, text, edits)
}

/// The edits with those of personal data that stands beside them.
fn personal_edits(redactor: &Redactor, text: &str, mut edits: Vec<Edit>) -> Vec<Edit> {
    if !redactor.policies.is_active() {
        return edits;
    }
    let is_free = |range: &std::ops::Range<usize>| {
        let next = edits.partition_point(|edit| edit.end <= range.start);
        edits.get(next).is_none_or(|edit| range.end <= edit.start)
    };
    let mut found = personal::find(text.as_bytes(), &redactor.policies);
    found.retain(|found| is_free(&found.range));
    edits.extend(found.into_iter().map(|found| Edit {
        start: found.range.start,
        end: found.range.end,
        class: found.class.name(),
        why: Why::Personal,
        replacement: redactor.replacement(found.class, text.get(found.range).unwrap_or_default()),
    }));
    edits.sort_by_key(|edit| edit.start);
    edits
}

fn why(span: &Span) -> Why {
    match span.rank {
        URL_PASSWORD_RANK => Why::UrlPassword,
        NAME_RANK => Why::Name,
        ENCODED_RANK => Why::Encoding,
        _ => Why::Shape,
    }
}

/// What stands in an encoding. Of base64 and hexadecimal digits with a secret in them the whole goes, with the class of the
/// first; of a URL no more than the secret.
fn encoded_spans(redactor: &Redactor, text: &str, level: Level) -> Vec<Span> {
    if level.encodings == ENCODED_LEVELS {
        return Vec::new();
    }
    let bytes = text.as_bytes();
    let inner = Level { encodings: level.encodings + 1, ..level };
    let class = |decoded: &str| first_edits(redactor, decoded, inner).first().map(|edit| edit.class);
    let mut found = encoded::spans(bytes, class);
    found.extend(hexadecimal::spans(bytes, class));
    let span = |(start, end, class)| {
        // Nothing is left of what is to be dropped, not even of its encoding.
        let replacement = redactor.policies.drops(class).then(|| format!("<redacted:{class}>"));
        Span { start, end, class, rank: ENCODED_RANK, replacement }
    };
    let mut spans: Vec<Span> = found.into_iter().map(span).collect();
    for run in percent::runs(bytes) {
        for edit in first_edits(redactor, &run.text, inner) {
            let (start, end) = run.encoded(edit.start, edit.end);
            let replacement = Some(edit.replacement);
            spans.push(Span { start, end, class: edit.class, rank: ENCODED_RANK, replacement });
        }
    }
    spans
}

/// What the prefilter found in a text.
#[derive(Debug, Default)]
struct Found {
    /// One bit a rank.
    shapes: [u64; RANK_WORDS],
    /// Names and where they end.
    names: Vec<(&'static Name, usize)>,
    urls: Vec<usize>,
    /// Our own markers, start and end.
    markers: Vec<(usize, usize)>,
}

/// Words of a set of ranks.
const RANK_WORDS: usize = RULE_COUNT / 64 + 1;

impl Found {
    fn scan(redactor: &Redactor, text: &str) -> Found {
        let bytes = text.as_bytes();
        let mut found = Found::default();
        let _all_seen = redactor.rules.prefilter.scan(bytes, |hit| {
            match hit {
                Hit::Shape { rank } => {
                    if let Some(word) = found.shapes.get_mut(rank / 64) {
                        *word |= 1 << (rank % 64);
                    }
                }
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
        self.shapes == [0; RANK_WORDS] && self.names.is_empty() && self.urls.is_empty()
    }

    fn ranks(&self) -> impl Iterator<Item = usize> + '_ {
        (0..=RULE_COUNT)
            .filter(|rank| self.shapes.get(rank / 64).is_some_and(|word| word & (1 << (rank % 64)) != 0))
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

/// Spans that touch become one, named after the best rank. A replacement of its own is kept by a span that takes in all
/// others.
fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start, span.rank));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => {
                let is_same = (span.start, span.end) == (last.start, last.end);
                if is_same && last.replacement.is_none() && span.replacement.is_some() {
                    // The decoded secret is the same wherever it is found; its encoded spelling is not.
                    (last.class, last.replacement) = (span.class, span.replacement);
                } else {
                    if span.end > last.end {
                        (last.end, last.replacement) = (span.end, None);
                    }
                    if span.rank < last.rank && last.replacement.is_none() {
                        (last.rank, last.class) = (span.rank, span.class);
                    }
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
    let colon = authority.iter().position(|byte| *byte == b':')?;
    match authority.iter().rposition(|byte| *byte == b'@') {
        Some(host) if colon < host => Some((authority_start + colon + 1, authority_start + host)),
        Some(_) => None,
        None if unencoded_end(bytes, authority_start + colon + 1, authority_start + len).is_some() => {
            unencoded_end(bytes, authority_start + colon + 1, authority_start + len)
                .map(|end| (authority_start + colon + 1, end))
        }
        // Cut before the host came: what follows the colon is no port.
        None if is_cut_off(bytes, authority_start + len) && is_no_port(&authority[colon + 1..]) => {
            Some((authority_start + colon + 1, authority_start + len))
        }
        None => None,
    }
}

/// How far past its authority a URL is searched for the sign before its host, in bytes.
pub(crate) const URL_REACH_BYTES: usize = schemas::limits::REDACT_URL_REACH_BYTES_MAX;

/// Where a password that begins at `start` ends if nobody encoded it and one of its signs ended the authority at `end`.
fn unencoded_end(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let first =
        bytes.get(start..end).filter(|first| !first.is_empty() && !first.iter().all(u8::is_ascii_digit))?;
    if first.contains(&b']') {
        return None;
    }
    let rest = bytes.get(end..)?;
    let is_end = |byte: &u8| {
        !matches!(byte, b'/' | b'?' | b'#') && ends_authority(*byte) || matches!(byte, b'<' | b'>')
    };
    let len = rest.iter().take(URL_REACH_BYTES).take_while(|byte| !is_end(byte)).count();
    let rest = rest.get(..len)?;
    let is_host =
        |index: &usize| rest.get(index + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'[');
    let host = (0..len).filter(|index| rest.get(*index) == Some(&b'@')).find(is_host)?;
    is_no_port(bytes.get(start..end + host)?).then_some(end + host)
}

/// True for what stands after a colon and is neither a port nor a placeholder for one.
pub(crate) fn is_no_port(value: &[u8]) -> bool {
    let has = |fits: fn(&u8) -> bool| value.iter().any(fits);
    value.len() >= PASSWORD_BYTES
        && has(u8::is_ascii_alphabetic)
        && (has(u8::is_ascii_digit) || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
        && value.iter().all(|byte| !matches!(byte, b'{' | b'}' | b'<' | b'>' | b'[' | b']' | b':'))
}

/// True where a text ends, or where a mark says that more of it was there.
pub(crate) fn is_cut_off(bytes: &[u8], end: usize) -> bool {
    let head = bytes.get(..end).unwrap_or_default();
    if head.ends_with(b"...") || head.ends_with("\u{2026}".as_bytes()) {
        return true;
    }
    let rest = bytes.get(end..).unwrap_or_default().trim_ascii_start();
    let marks: [&[u8]; 6] =
        [b"...", "\u{2026}".as_bytes(), b"[truncated", b"(truncated", b"[cut", b"<truncated"];
    rest.is_empty() || marks.iter().any(|mark| rest.starts_with(mark))
}
