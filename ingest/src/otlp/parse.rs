//! An export request to a draft: split, written as JSON, told apart, redacted, mapped, appended, record by record.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use schemas::limits::{BODY_VALUES_MAX, EVENT_KEYS_MAX, JSON_DEPTH_MAX, OTLP_TEXT_BYTES_MAX};
use store::Draft;

use super::{Form, Origin, Producer, Signal, Telemetry, json, record, wire};
use crate::admit::Reservation;
use crate::error::Error;
use crate::mapping::{ALL_RANKS, Recognised};
use crate::measure::Tally;
use crate::parse::{self, Context};
use crate::rejected::{Code, Refusal};
use crate::scan::Scanner;

/// What a request held.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The rows, if there is any.
    pub(super) draft: Option<Draft>,
    /// Why the first of the records that are refused is.
    pub(super) first: Option<Refusal>,
    /// Records that no mapping recognises.
    pub(super) not_recorded: u64,
}

/// What becomes of a record.
enum Fate {
    Appended,
    NotRecorded,
    Refused(Refusal),
}

/// Parses a whole request. What its records take beyond the body is reserved as it grows. `id_key` is the tenant's: ids of
/// log records are digests under it, so that nobody can guess at what redaction took out. `tally` counts what there is as it
/// is found.
pub(super) fn parse(
    (signal, form): (Signal, Form),
    body: &[u8],
    context: &Context<'_>,
    id_key: &[u8; 32],
    reservation: &mut Reservation,
    tally: &mut Tally,
) -> Result<Parsed, Error> {
    let mut parser = Parser {
        inner: parse::Parser::new(context, ROWS, None),
        context,
        id_key,
        scanner: Scanner::default(),
        producer: None,
        scope: None,
        seen: HashMap::new(),
        text_bytes: 0,
        kept_bytes: 0,
    };
    let (mut count, mut not_recorded, mut first) = (0, 0, None);
    let mut each = |origin: &Result<Arc<Origin>, Refusal>, decoded: Result<Telemetry, Refusal>| {
        if count == BODY_VALUES_MAX {
            return Err(Error::TooLarge { what: "number of records in the request", limit: BODY_VALUES_MAX });
        }
        tally.received += 1;
        let fate = match (origin, decoded) {
            (Ok(origin), Ok(telemetry)) => parser.take(origin, &telemetry, count)?,
            (Err(refusal), _) => Fate::Refused(refusal.clone()),
            (_, Err(refusal)) => Fate::Refused(refusal),
        };
        reservation.grow_to(body.len().saturating_add(parser.kept_bytes))?;
        count += 1;
        match fate {
            Fate::Appended => {}
            Fate::NotRecorded => not_recorded += 1,
            Fate::Refused(refusal) => {
                tally.refuse(refusal.code);
                first.get_or_insert(refusal);
            }
        }
        Ok(())
    };
    match form {
        Form::Protobuf => wire::split(signal, body, &mut each)?,
        Form::Json => json::split(signal, body, &mut each)?,
    }
    tally.received += parser.inner.more;
    Ok(Parsed { draft: parser.inner.drafter.finish()?, first, not_recorded })
}

/// Rows there is room for before the first: of an agent's telemetry few records are tool activity.
const ROWS: usize = 64;

struct Parser<'c> {
    inner: parse::Parser<'c>,
    context: &'c Context<'c>,
    id_key: &'c [u8; 32],
    scanner: Scanner,
    /// What the last record belongs to as text, or why there is none: records of one come one after another.
    producer: Option<(Arc<Producer>, Result<record::Text, Refusal>)>,
    scope: Option<(Arc<Origin>, Result<record::Text, Refusal>)>,
    /// How often a log record of this digest came in this request: two that are the same are two.
    seen: HashMap<[u8; 16], u32>,
    /// Bytes of all records' texts.
    text_bytes: usize,
    /// Bytes of the texts of those that are recorded.
    kept_bytes: usize,
}

impl Parser<'_> {
    /// Appends one record, if it is one that is recorded.
    fn take(&mut self, origin: &Arc<Origin>, telemetry: &Telemetry, position: usize) -> Result<Fate, Error> {
        let record::Text { json: text, has_repeats } = match self.text(origin, telemetry) {
            Ok(text) => text,
            Err(refusal) => return Ok(Fate::Refused(refusal)),
        };
        self.inner.drafter.doubt(has_repeats);
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        if self.text_bytes > OTLP_TEXT_BYTES_MAX {
            let what = "bytes of the records with their resources, as JSON";
            return Err(Error::TooLarge { what, limit: OTLP_TEXT_BYTES_MAX });
        }
        let mut scanner = std::mem::take(&mut self.scanner);
        let fate = self.append(&text, &mut scanner, telemetry, position);
        self.scanner = scanner;
        fate
    }

    fn append(
        &mut self,
        text: &str,
        scanner: &mut Scanner,
        telemetry: &Telemetry,
        position: usize,
    ) -> Result<Fate, Error> {
        if let Err(refusal) = scanned(scanner, text) {
            return Ok(Fate::Refused(refusal));
        }
        let members = scanner.members();
        if self.context.mappings.recognise(text, members, ALL_RANKS) == Recognised::None {
            return Ok(Fate::NotRecorded);
        }
        let id = match telemetry {
            Telemetry::Span(span) => match check_ids(span) {
                Ok(()) => span_id(span),
                Err(refusal) => return Ok(Fate::Refused(refusal)),
            },
            Telemetry::Log(_) => self.log_id(text),
        };
        self.kept_bytes = self.kept_bytes.saturating_add(text.len());
        self.inner.drafter.know(id);
        Ok(match self.inner.event(text, members, position)? {
            Ok(()) => Fate::Appended,
            Err(refusal) => Fate::Refused(refusal),
        })
    }

    fn text(&mut self, origin: &Arc<Origin>, telemetry: &Telemetry) -> Result<record::Text, Refusal> {
        let producer = of_same(&mut self.producer, &origin.producer, record::of_producer)?;
        let scope = of_same(&mut self.scope, origin, record::of_scope)?;
        record::of(telemetry, producer, scope)
    }

    /// The digest of the whole record, and which of those of the request with that digest it is.
    fn log_id(&mut self, text: &str) -> String {
        let digest = blake3::keyed_hash(self.id_key, text.as_bytes());
        let short: [u8; 16] = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        let times = self.seen.entry(short).or_insert(0);
        *times += 1;
        let digits = record::hex(&short);
        if *times == 1 { format!("log-{digits}") } else { format!("log-{digits}-{times}") }
    }
}

/// What `make` makes of `of`, which is made once for all records of it in a row.
fn of_same<'k, T>(
    known: &'k mut Option<(Arc<T>, Result<record::Text, Refusal>)>,
    of: &Arc<T>,
    make: impl FnOnce(&T) -> Result<record::Text, Refusal>,
) -> Result<&'k record::Text, Refusal> {
    let same = known.take().filter(|(known, _)| Arc::ptr_eq(known, of));
    let (_, text) = known.insert(same.unwrap_or_else(|| (Arc::clone(of), make(of))));
    text.as_ref().map_err(|refusal| refusal.clone())
}

/// Where a span stands in its trace: the same, however often it is sent.
fn span_id(span: &Span) -> String {
    format!("{}-{}", record::hex(&span.trace_id), record::hex(&span.span_id))
}

/// A span without its ids could not be told from another.
fn check_ids(span: &Span) -> Result<(), Refusal> {
    for (name, id, bytes) in [("trace", &span.trace_id, 16), ("span", &span.span_id, 8)] {
        if id.len() != bytes || id.iter().all(|byte| *byte == 0) {
            let detail = format!(
                "the {name} id has {} bytes or is zero; OpenTelemetry's have {bytes} and are not",
                id.len()
            );
            return Err(Refusal::new(Code::BadId, detail));
        }
    }
    Ok(())
}

fn scanned(scanner: &mut Scanner, text: &str) -> Result<(), Refusal> {
    match scanner.value(text.as_bytes()) {
        Ok(scanned) if scanned.end == text.len() && !scanned.has_lone_surrogate => {
            if scanned.depth > JSON_DEPTH_MAX {
                return Err(wire::too_deep());
            }
            if scanned.keys > EVENT_KEYS_MAX {
                return Err(wire::too_many());
            }
            Ok(())
        }
        _ => Err(Refusal::new(Code::BadText, "the record is no JSON text")),
    }
}

#[cfg(test)]
mod tests;
