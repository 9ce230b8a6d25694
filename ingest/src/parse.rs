//! A body to a draft: split, redact, normalise, append, value by value, in one pass.

use std::borrow::Cow;

use redact::Redactor;
use schemas::limits::{BODY_VALUES_MAX, REJECTED_LISTED_MAX};
use schemas::principal::Principal;
use store::Draft;

use crate::body::{Piece, Splitter};
use crate::draft::{Drafter, check_size};
use crate::error::Error;
use crate::mapping::Mapping;
use crate::normalise::Reader;
use crate::rejected::{Code, Refusal, Rejected};
use crate::scan::{Member, Scanner};
use crate::session::Sessions;

/// What a body is read with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Through what it came: `http`, `file`.
    pub collector: &'a str,
    /// Who sent it: gives the tenant and the scope of event ids.
    pub principal: &'a Principal,
    /// The mapping to use; none to tell it from each record's keys.
    pub mapping: Option<Mapping>,
    /// The request's idempotency key, which makes ids for records without one.
    pub idempotency_key: Option<&'a str>,
    /// Number of the body's first line, 1 for a body of its own.
    pub line_first: u64,
    /// The recorder's clock, microseconds since the epoch.
    pub now_us: i64,
    /// Fresh randomness for the ids of records that have none.
    pub seed: [u8; 32],
    /// The tenant's redactor.
    pub redactor: &'a Redactor,
    /// The tenant's derived sessions.
    pub sessions: &'a Sessions,
}

/// What a body held.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The rows, if there is any.
    pub draft: Option<Draft>,
    /// The first [`REJECTED_LISTED_MAX`] values that were not taken, in order.
    pub rejected: Vec<Rejected>,
    /// How many values were not taken.
    pub rejected_count: u64,
}

impl Parsed {
    /// Rows of the draft.
    pub fn rows(&self) -> usize {
        self.draft.as_ref().map_or(0, |draft| draft.entries.num_rows())
    }

    /// Whether the body held no value at all.
    pub fn is_empty(&self) -> bool {
        self.draft.is_none() && self.rejected_count == 0
    }
}

/// Parses a whole body: one object, an array of objects, NDJSON, or values one after another.
///
/// # Errors
/// [`Error::TooLarge`] when it has more than [`BODY_VALUES_MAX`] values; [`Error::Draft`] for a defect of this crate.
pub fn parse(body: &[u8], context: &Context<'_>) -> Result<Parsed, Error> {
    let text = std::str::from_utf8(body).ok();
    let mut parser = Parser {
        context,
        drafter: Drafter::new(context, (body.len() / ROW_BYTES).min(BODY_VALUES_MAX)),
        reader: Reader::default(),
        rescanner: Scanner::default(),
    };
    let mut scanner = Scanner::default();
    let mut splitter = Splitter::new(body, context.line_first);
    let (mut rejected, mut rejected_count, mut position) = (Vec::new(), 0, 0);
    while let Some(piece) = splitter.next(&mut scanner) {
        if position == BODY_VALUES_MAX {
            return Err(Error::TooLarge { what: "number of values in the body", limit: BODY_VALUES_MAX });
        }
        let (start, outcome) = match piece {
            Piece::Bad { start, code, detail } => (start, Err(Refusal { code, detail })),
            Piece::Object(span) => {
                let start = span.start;
                let value = match text {
                    Some(text) => text.get(span),
                    None => body.get(span).and_then(|bytes| std::str::from_utf8(bytes).ok()),
                };
                let outcome = match value {
                    Some(value) => parser.event(value, scanner.members(), position)?,
                    None => Err(Refusal::new(Code::BadUtf8, "the value is not UTF-8; send UTF-8 or escapes")),
                };
                (start, outcome)
            }
        };
        if let Err(Refusal { code, detail }) = outcome {
            rejected_count += 1;
            if rejected.len() < REJECTED_LISTED_MAX {
                rejected.push(Rejected { line: splitter.line(start), position, code, detail });
            }
        }
        position += 1;
    }
    Ok(Parsed { draft: parser.drafter.finish()?, rejected, rejected_count })
}

/// Bytes of a usual record, to size the builders.
const ROW_BYTES: usize = 512;

struct Parser<'c> {
    context: &'c Context<'c>,
    drafter: Drafter<'c>,
    reader: Reader,
    rescanner: Scanner,
}

impl Parser<'_> {
    /// Redacts, reads and appends one record. The outer error is a defect, the inner one the record's.
    fn event(
        &mut self,
        text: &str,
        members: &[Member],
        position: usize,
    ) -> Result<Result<(), Refusal>, schemas::Error> {
        if self.context.redactor.is_clean(text.as_bytes()) {
            return self.take(text, members, &[], position);
        }
        let redacted = match self.context.redactor.redact_json(text) {
            Ok(redacted) => redacted,
            Err(error) => return Ok(Err(Refusal::new(Code::Unredactable, error.to_string()))),
        };
        let Cow::Owned(clean) = &redacted.text else {
            return self.take(text, members, &[], position);
        };
        // The members point into the text that is gone: they are found anew in what is left of it.
        let mut scanner = std::mem::take(&mut self.rescanner);
        let outcome = match scanner.value(clean.as_bytes()) {
            Ok(scanned) if scanned.end == clean.len() && !scanned.has_lone_surrogate => {
                self.take(clean, scanner.members(), &redacted.removed.items(), position)
            }
            _ => Ok(Err(Refusal::new(
                Code::Unredactable,
                "redaction left no valid JSON; the record is not kept",
            ))),
        };
        self.rescanner = scanner;
        outcome
    }

    fn take(
        &mut self,
        text: &str,
        members: &[Member],
        redactions: &[String],
        position: usize,
    ) -> Result<Result<(), Refusal>, schemas::Error> {
        if let Err(refusal) = check_size(text, members.len()) {
            return Ok(Err(refusal));
        }
        match self.reader.read(text, members, self.context.mapping) {
            Ok(event) => self.drafter.append(&event, redactions, position).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

#[cfg(test)]
mod tests;
