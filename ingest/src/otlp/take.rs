//! A request from its headers to what was recorded of it.
//!
//! As for other events: from the moment the body is whole the work runs in a task of its own.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use schemas::principal::Principal;

use super::parse::{Parsed, parse};
use super::{Form, Signal, framing};
use crate::admit::Reservation;
use crate::encoding::Encoding;
use crate::error::Error;
use crate::http::{Ingest, encoding, receive};
use crate::measure::{self, Outcome, Tally};
use crate::parse::Context;
use crate::rejected::quoted;
use crate::rim;

/// Through what these records come: part of `source`, and of the scope of their ids.
const COLLECTOR: &str = "otlp";

/// What is said of a request that was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Records that were refused; the others are on record, or are no tool activity.
    pub(super) rejected: u64,
    /// Why the first of them was.
    pub(super) message: String,
}

/// How a message is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// It is the body.
    Http,
    /// It is in a frame of the body.
    Grpc,
}

/// Takes an export request. Everything of it is on stable storage, or refused, when it is answered.
pub(super) async fn take(
    ingest: Ingest,
    principal: Option<Principal>,
    signal: Signal,
    carrier: Carrier,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Taken, Form), Error> {
    let principal = principal.ok_or(Error::Unauthenticated)?;
    if !principal.role.writes_events() {
        return Err(Error::Forbidden { role: principal.role });
    }
    let form = form(carrier, headers)?;
    let (of_body, of_message) = match carrier {
        Carrier::Http => (encoding(headers)?, None),
        Carrier::Grpc => (Encoding::Identity, Some(framing::encoding(headers)?)),
    };
    let (body, reservation) = receive::body(&ingest.shared, &principal, of_body, headers, body).await?;
    let request = Request { principal, signal, form, of_message };
    let task = tokio::spawn(ingest.record(request, body, reservation));
    let taken = task.await.map_err(|error| Error::Worker { reason: error.to_string() })??;
    Ok((taken, form))
}

/// What a request is, beside its body.
#[derive(Debug)]
struct Request {
    principal: Principal,
    signal: Signal,
    form: Form,
    /// In a frame, compressed so.
    of_message: Option<Encoding>,
}

impl Ingest {
    async fn record(
        self,
        request: Request,
        body: Vec<u8>,
        mut reservation: Reservation,
    ) -> Result<Taken, Error> {
        let tenant = request.principal.tenant.clone();
        let ingest = self.clone();
        // What a compressed frame becomes is not known before, and its decompression is work as well.
        let is_compressed = request.of_message.is_some() && framing::is_compressed(&body);
        let bytes = if is_compressed { usize::MAX } else { body.len() };
        let (parsed, refused, reservation) = self
            .work(&tenant, bytes, move || {
                let body = match request.of_message {
                    Some(encoding) => {
                        ingest.unframed(&request.principal, body, encoding, &mut reservation)?
                    }
                    None => body,
                };
                let tenant = ingest.tenant(&request.principal.tenant);
                let context = Context {
                    collector: COLLECTOR,
                    principal: &request.principal,
                    mappings: &ingest.shared.options.mappings,
                    mapping: None,
                    idempotency_key: None,
                    line_first: 1,
                    now_us: ingest.shared.options.clock.wall_us(),
                    seed: rim::seed()?,
                    redactor: &tenant.redactor,
                    sessions: &tenant.sessions,
                    countries: ingest.shared.options.countries.as_deref(),
                };
                let key = (ingest.shared.options.redaction_key)(&request.principal.tenant);
                let id_key = blake3::derive_key("tachograph otlp log record ids v1", &key);
                let shape = (request.signal, request.form);
                let mut tally = Tally::default();
                let parsed = parse(shape, &body, &context, &id_key, &mut reservation, &mut tally);
                Ok((measure::split(parsed, &tally)?, tally.refused, reservation))
            })
            .await?;
        let Parsed { draft, first, not_recorded } = parsed;
        let rejected = refused.total();
        let others = Outcome { refused, not_recorded, ..Outcome::default() };
        let first = first.map(|refusal| format!("{}: {}", refusal.code, refusal.detail)).unwrap_or_default();
        match draft {
            Some(draft) => {
                self.append(&tenant, draft, others).await?;
            }
            None => {
                measure::events(&others);
                if rejected > 0 && not_recorded == 0 {
                    return Err(Error::NothingUsable { count: rejected, first });
                }
            }
        }
        drop(reservation);
        measure::request("ok");
        Ok(Taken { rejected, message: first })
    }

    /// The message in a frame. The frame has been counted and paid for; here the message is, for what it is longer.
    fn unframed(
        &self,
        principal: &Principal,
        frame: Vec<u8>,
        encoding: Encoding,
        reservation: &mut Reservation,
    ) -> Result<Vec<u8>, Error> {
        let (sent, mut unwrapped) = (frame.len(), 0);
        let options = &self.shared.options;
        let bytes_max = options.decompressed_bytes_max;
        let message = framing::message(frame, encoding, bytes_max, reservation, &mut unwrapped);
        let more = unwrapped.saturating_sub(sent);
        measure::body(0, more);
        self.shared.rates.pay(&principal.id, more, options.clock.monotonic_us());
        message
    }
}

fn form(carrier: Carrier, headers: &HeaderMap) -> Result<Form, Error> {
    let value = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let value = value.unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match (carrier, kind.as_str()) {
        (Carrier::Http, "application/x-protobuf" | "application/protobuf") => Ok(Form::Protobuf),
        (Carrier::Http, "application/json") => Ok(Form::Json),
        (Carrier::Grpc, "application/grpc" | "application/grpc+proto") => Ok(Form::Protobuf),
        _ => Err(Error::UnknownType { kind: quoted(&kind) }),
    }
}
