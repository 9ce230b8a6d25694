//! A body to a draft: split, redact, normalise, append, value by value, in one pass.

use std::borrow::Cow;
use std::collections::HashSet;

use redact::Redactor;
use schemas::limits::{BODY_VALUES_MAX, DECOMPRESSED_BYTES_MAX, REJECTED_LISTED_MAX};
use schemas::principal::Principal;
use store::Draft;

use crate::body::{Piece, Splitter};
use crate::columns::place;
use crate::country::Countries;
use crate::draft::{Drafter, Position, check_size};
use crate::error::Error;
use crate::explain::Noted;
use crate::line;
use crate::mapping::{ALL_RANKS, Mapping, Mappings, Recognised};
use crate::measure::Tally;
use crate::normalise::{Event, Reader};
use crate::rejected::{Code, Refusal, Rejected};
use crate::scan::{Member, Scanner};
use crate::session::Sessions;

mod parts;

pub(crate) use parts::{ParsedParts, Parts, Refused, parse_parts};

/// What a body is read with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Through what it came: `http`, `file`.
    pub collector: &'a str,
    /// Who sent it: gives the tenant and the scope of event ids.
    pub principal: &'a Principal,
    /// The mappings in force.
    pub mappings: &'a Mappings,
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
    /// Where countries of addresses are looked up that records do not name.
    pub countries: Option<&'a Countries>,
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
    parse_noting(body, context, None, &mut Tally::default())
}

/// The same; notes for every row where it came from, and counts what there is as it is found.
pub(crate) fn parse_noting<'c>(
    body: &[u8],
    context: &'c Context<'c>,
    noted: Option<&'c mut Vec<Noted>>,
    tally: &mut Tally,
) -> Result<Parsed, Error> {
    let text = std::str::from_utf8(body).ok();
    let mut parser = Parser::new(context, (body.len() / ROW_BYTES).min(BODY_VALUES_MAX), noted);
    let mut scanner = Scanner::default();
    let mut splitter = Splitter::new(body, context.line_first);
    let (mut rejected, mut position) = (Vec::new(), 0);
    while let Some(piece) = splitter.next(&mut scanner) {
        if position == BODY_VALUES_MAX {
            return Err(Error::TooLarge { what: "number of values in the body", limit: BODY_VALUES_MAX });
        }
        tally.received += 1;
        let (start, outcome) = match piece {
            Piece::Bad { start, code, detail } => {
                let taken = match line::record(body, start).filter(|_| code == Code::BadJson) {
                    Some(json) => parser.line(&json, position)?,
                    None => None,
                };
                (start, taken.unwrap_or(Err(Refusal { code, detail })))
            }
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
            tally.refuse(code);
            if rejected.len() < REJECTED_LISTED_MAX {
                rejected.push(Rejected { line: splitter.line(start), position, code, detail });
            }
        }
        position += 1;
    }
    tally.received += parser.more;
    Ok(Parsed { draft: parser.drafter.finish()?, rejected, rejected_count: tally.refused.total() })
}

/// Bytes of a usual record, to size the builders.
const ROW_BYTES: usize = 512;

/// Takes records one by one.
pub(crate) struct Parser<'c> {
    context: &'c Context<'c>,
    pub(crate) drafter: Drafter<'c>,
    reader: Reader,
    rescanner: Scanner,
    /// Bytes of records that were taken apart into several events: each has what they share again.
    part_bytes: usize,
    /// Events of such records beyond one each.
    pub(crate) more: u64,
    /// Where rows came from, if anybody asks.
    noted: Option<&'c mut Vec<Noted>>,
}

impl<'c> Parser<'c> {
    /// With room for `rows` rows.
    pub(crate) fn new(
        context: &'c Context<'c>,
        rows: usize,
        noted: Option<&'c mut Vec<Noted>>,
    ) -> Parser<'c> {
        Parser {
            context,
            drafter: Drafter::new(context, rows),
            reader: Reader::default(),
            rescanner: Scanner::default(),
            part_bytes: 0,
            more: 0,
            noted,
        }
    }
}

impl Parser<'_> {
    /// Takes a line of pairs as the record `json`, if it is one of a mapping.
    fn line(&mut self, json: &str, position: usize) -> Result<Option<Result<(), Refusal>>, schemas::Error> {
        let mut scanner = Scanner::default();
        if !scanner.value(json.as_bytes()).is_ok_and(|scanned| scanned.end == json.len()) {
            return Ok(None);
        }
        let mapping = match self.context.mapping {
            Some(asked @ Mapping::File(_)) => Some(asked),
            // Lines of pairs are other programs'.
            Some(Mapping::Canonical | Mapping::Simple) => return Ok(None),
            None => match self.context.mappings.recognise(json, scanner.members(), ALL_RANKS) {
                Recognised::None => return Ok(None),
                Recognised::One(mapping) => Some(mapping),
                Recognised::Several(_) => None,
            },
        };
        self.event_of(mapping, json, scanner.members(), position).map(Some)
    }

    fn note(&mut self, mapping: Mapping) {
        if let Some(noted) = &mut self.noted {
            noted.push(Noted { mapping, origins: self.reader.origins.clone() });
        }
    }

    /// Redacts, reads and appends one record. The outer error is a defect, the inner one the record's.
    pub(crate) fn event(
        &mut self,
        text: &str,
        members: &[Member],
        position: usize,
    ) -> Result<Result<(), Refusal>, schemas::Error> {
        self.event_of(self.context.mapping, text, members, position)
    }

    /// The same for a record of `mapping`, if that is known.
    fn event_of(
        &mut self,
        mapping: Option<Mapping>,
        text: &str,
        members: &[Member],
        position: usize,
    ) -> Result<Result<(), Refusal>, schemas::Error> {
        if self.context.redactor.is_clean(text.as_bytes()) {
            return self.take(mapping, text, members, &[], position);
        }
        let redacted = match self.context.redactor.redact_json(text) {
            Ok(redacted) => redacted,
            Err(error) => return Ok(Err(Refusal::new(Code::Unredactable, error.to_string()))),
        };
        let Cow::Owned(clean) = &redacted.text else {
            return self.take(mapping, text, members, &[], position);
        };
        // The members point into the text that is gone: they are found anew in what is left of it.
        let mut scanner = std::mem::take(&mut self.rescanner);
        let outcome = match scanner.value(clean.as_bytes()) {
            Ok(scanned) if scanned.end == clean.len() && !scanned.has_lone_surrogate => {
                self.take(mapping, clean, scanner.members(), &redacted.removed.items(), position)
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
        mapping: Option<Mapping>,
        text: &str,
        members: &[Member],
        redactions: &[String],
        position: usize,
    ) -> Result<Result<(), Refusal>, schemas::Error> {
        if let Err(refusal) = check_size(text, members.len()) {
            return Ok(Err(refusal));
        }
        let Context { mappings, now_us, .. } = *self.context;
        let mapping = match self.reader.recognise(text, members, mapping, mappings) {
            Ok(mapping) => mapping,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(plan) = mappings.plan(mapping) {
            match plan.parts(text, members) {
                Ok(None) => {}
                Ok(Some(parts)) => return self.take_parts(&parts, mapping, redactions, position),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        match self.reader.read(text, members, mapping, mappings, now_us) {
            Ok(event) => {
                self.note(mapping);
                self.drafter.append(&event, redactions, Position { value: position, part: 0 }).map(Ok)
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Reads and appends the events of one record, all or none.
    fn take_parts(
        &mut self,
        parts: &[String],
        mapping: Mapping,
        redactions: &[String],
        position: usize,
    ) -> Result<Result<(), Refusal>, schemas::Error> {
        let Context { mappings, now_us, .. } = *self.context;
        self.part_bytes = parts.iter().map(String::len).fold(self.part_bytes, usize::saturating_add);
        if self.part_bytes > DECOMPRESSED_BYTES_MAX {
            let detail = format!(
                "the events of such records in one body are over {DECOMPRESSED_BYTES_MAX} bytes; send less at once"
            );
            return Ok(Err(Refusal::new(Code::TooLarge, detail)));
        }
        let mut scanner = Scanner::default();
        let (mut events, mut origins) = (Vec::with_capacity(parts.len()), Vec::new());
        let mut ids = HashSet::new();
        for part in parts {
            if scanner.value(part.as_bytes()).is_err() {
                return Ok(Err(Refusal::new(Code::BadJson, "a part of the record is no JSON value")));
            }
            match self.reader.read(part, scanner.members(), mapping, mappings, now_us) {
                Ok(mut event) => {
                    own_id(&mut event, events.len(), &mut ids);
                    origins.push(self.reader.origins.clone());
                    events.push(event);
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        for (part, (event, origins)) in events.iter().zip(origins).enumerate() {
            if let Some(noted) = &mut self.noted {
                noted.push(Noted { mapping, origins });
            }
            self.drafter.append(event, redactions, Position { value: position, part })?;
        }
        self.more += (parts.len() as u64).saturating_sub(1);
        Ok(Ok(()))
    }
}

/// Gives part number `part` of a record an id of its own where another part has the one that it has.
fn own_id(event: &mut Event<'_>, part: usize, ids: &mut HashSet<String>) {
    let Some(id) = event.text(place::EVENT_ID).map(Cow::into_owned) else { return };
    if !ids.contains(&id) {
        ids.insert(id);
        return;
    }
    let id = format!("{id}#{part}");
    let made = event.make(id);
    event.put(place::EVENT_ID, made);
}

#[cfg(test)]
pub(crate) mod tests;
