//! `POST /v1/events`: a body is admitted, read, parsed, appended, and answered once it is on stable storage.
//!
//! From the moment the body is whole the work runs in a task of its own: a client that goes away changes nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use redact::{Policies, Redactor};
use schemas::Stream;
use schemas::limits;
use schemas::principal::Principal;
use store::clock::SystemClock;
use store::{Clock, Receipt, Store};

use crate::admit::{Admission, Reservation};
use crate::country::Countries;
use crate::encoding::Encoding;
use crate::error::Error;
use crate::mapping::{Mapping, Mappings};
use crate::measure::{self, Outcome, Refusals, Tally};
use crate::parse::{Context, Parsed, parse_noting};
use crate::rate::Rates;
use crate::rim;
use crate::session::Sessions;
use crate::turns::Turns;

/// The request header that asks for a receipt.
pub const RECEIPT: &str = "tachograph-receipt";
/// What it asks for: the checkpoint that covers what was taken.
pub const RECEIPT_CHECKPOINT: &str = "checkpoint";

pub(crate) mod answer;
pub(crate) mod receive;

/// Gives the redaction key of a tenant, 32 bytes that stay the same for as long as fingerprints are to be compared.
pub type RedactionKey = Arc<dyn Fn(&str) -> [u8; 32] + Send + Sync>;

/// Gives what is done with a tenant's personal data.
pub type PersonalData = Arc<dyn Fn(&str) -> Policies + Send + Sync>;

/// How events are taken in.
#[derive(Clone)]
pub struct Options {
    /// The redaction key of each tenant.
    pub redaction_key: RedactionKey,
    /// The mappings in force.
    pub mappings: Arc<Mappings>,
    /// What is done with each tenant's personal data.
    pub personal_data: PersonalData,
    /// Where countries of addresses are looked up that records do not name.
    pub countries: Option<Arc<Countries>>,
    /// The clock against which times are early or late.
    pub clock: Arc<dyn Clock>,
    /// Bytes of a body as sent.
    pub body_bytes_max: usize,
    /// Bytes of a body once it is decompressed.
    pub decompressed_bytes_max: usize,
    /// Bytes of bodies in flight.
    pub admission_bytes: usize,
    /// Bytes of bodies in flight for one tenant.
    pub admission_tenant_bytes: usize,
    /// Bytes of bodies a second that one credential may send; 0 for as many as it likes.
    pub rate_bytes_s: u64,
    /// Bytes up to which a body is parsed where it was received; longer ones go to a thread of their own.
    pub inline_bytes_max: usize,
    /// Long bodies parsed at once.
    pub parsers_max: usize,
    /// Longest pause between two parts of a body.
    pub part_timeout: Duration,
    /// Longest time for a whole body.
    pub body_timeout: Duration,
}

impl Options {
    /// The limits of `schemas::limits` and the machine's clock, with these redaction keys; personal data is kept.
    pub fn new(redaction_key: RedactionKey) -> Options {
        Options {
            redaction_key,
            mappings: Arc::clone(Mappings::built_in()),
            personal_data: Arc::new(|_tenant| Policies::default()),
            countries: None,
            clock: Arc::new(SystemClock::new()),
            body_bytes_max: limits::BODY_BYTES_MAX,
            decompressed_bytes_max: limits::DECOMPRESSED_BYTES_MAX,
            admission_bytes: limits::ADMISSION_BYTES,
            admission_tenant_bytes: limits::ADMISSION_TENANT_BYTES,
            rate_bytes_s: 0,
            inline_bytes_max: 64 << 10,
            parsers_max: 2,
            part_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(300),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The function of keys has nothing to show, and keys stay out of logs.
        f.debug_struct("Options")
            .field("body_bytes_max", &self.body_bytes_max)
            .field("decompressed_bytes_max", &self.decompressed_bytes_max)
            .field("admission_bytes", &self.admission_bytes)
            .field("admission_tenant_bytes", &self.admission_tenant_bytes)
            .field("rate_bytes_s", &self.rate_bytes_s)
            .field("inline_bytes_max", &self.inline_bytes_max)
            .field("parsers_max", &self.parsers_max)
            .field("part_timeout", &self.part_timeout)
            .field("body_timeout", &self.body_timeout)
            .finish_non_exhaustive()
    }
}

/// The door for events; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingest {
    pub(crate) shared: Arc<Shared>,
}

/// What all doors and collectors of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) options: Options,
    pub(crate) admission: Admission,
    pub(crate) rates: Rates,
    pub(crate) parsers: Turns,
    /// One per tenant that has sent something: as many as there are credentials at most.
    tenants: Mutex<HashMap<String, Arc<Tenant>>>,
}

/// What is kept for a tenant between requests.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) redactor: Redactor,
    pub(crate) sessions: Sessions,
}

/// What a request asks for beside its body.
#[derive(Debug, Clone)]
struct Request {
    principal: Principal,
    mapping: Option<Mapping>,
    idempotency_key: Option<String>,
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// Mapping to use instead of telling it from each record.
    format: Option<String>,
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(events))]
struct Document;

/// The paths and schemas of this door; errors that every path can give are for whoever serves it to add.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = <Document as utoipa::OpenApi>::openapi();
    document.merge(<crate::otlp::Document as utoipa::OpenApi>::openapi());
    document
}

/// The routes; the door before them puts a [`Principal`] into the extensions of each request.
pub fn router(state: Ingest) -> Router {
    Router::new().route("/v1/events", post(events)).with_state(state)
}

impl Ingest {
    /// Over `store`.
    pub fn new(store: Store, options: Options) -> Ingest {
        let admission = Admission::new(options.admission_bytes, options.admission_tenant_bytes);
        let parsers = Turns::new(options.parsers_max);
        let rates = Rates::new(options.rate_bytes_s);
        let tenants = Mutex::new(HashMap::new());
        Ingest { shared: Arc::new(Shared { store, options, admission, rates, parsers, tenants }) }
    }

    /// The mappings in force.
    pub fn mappings(&self) -> &Mappings {
        &self.shared.options.mappings
    }

    /// What is in flight.
    pub fn admission(&self) -> &Admission {
        &self.shared.admission
    }

    /// What is kept for `tenant`. Two first requests may both make it; one of them is kept.
    pub(crate) fn tenant(&self, tenant: &str) -> Arc<Tenant> {
        let lock = || self.shared.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(tenant) {
            return Arc::clone(known);
        }
        let options = &self.shared.options;
        let redactor =
            Redactor::new((options.redaction_key)(tenant)).with_policies((options.personal_data)(tenant));
        let new = Arc::new(Tenant { redactor, sessions: Sessions::new() });
        Arc::clone(lock().entry(tenant.to_string()).or_insert(new))
    }

    /// Parses and appends a whole body; `reservation` is held until the end.
    async fn take(self, request: Request, body: Vec<u8>, reservation: Reservation) -> Result<Taken, Error> {
        let tenant = request.principal.tenant.clone();
        let (parsed, refused) = self.parse(request, body).await?;
        let Parsed { draft, rejected, rejected_count } = parsed;
        let others = Outcome { refused, ..Outcome::default() };
        let Some(draft) = draft else {
            measure::events(&others);
            return if rejected_count == 0 {
                Err(Error::Empty)
            } else {
                Ok(Taken { receipt: None, checkpoint: None, rejected, rejected_count })
            };
        };
        let receipt = self.append(&tenant, draft, others).await;
        drop(reservation);
        Ok(Taken { receipt: Some(receipt?), checkpoint: None, rejected, rejected_count })
    }

    /// Appends a draft and counts what became of it, and of `others` beside it; answers once it is on stable storage.
    pub(crate) async fn append(
        &self,
        tenant: &str,
        draft: store::Draft,
        others: Outcome,
    ) -> Result<Receipt, Error> {
        let rows = draft.entries.num_rows() as u64;
        let appended =
            async { self.shared.store.log(tenant, Stream::Events).await?.append(draft).await }.await;
        let appended = appended.map_err(Error::from);
        let mut outcome = others;
        match &appended {
            Ok(receipt) => {
                (outcome.durable, outcome.duplicate) = (receipt.count, receipt.duplicates.len() as u64);
            }
            Err(error) => outcome.refused.add(answer::code(error), rows),
        }
        measure::events(&outcome);
        appended
    }

    /// The checkpoint that covers a receipt, if it is signed in time: what was acknowledged is on record without it.
    async fn covering(&self, tenant: &str, receipt: &Receipt) -> Option<Arc<str>> {
        let log = self.shared.store.existing(tenant, Stream::Events)?;
        let patience = Duration::from_millis(limits::INGEST_RECEIPT_WAIT_MS);
        log.covered(receipt.tree_size, patience).await
    }

    /// What a body holds; what is refused of it is counted by code, for whoever knows what becomes of the rest.
    async fn parse(&self, request: Request, body: Vec<u8>) -> Result<(Parsed, Refusals), Error> {
        let ingest = self.clone();
        let tenant = request.principal.tenant.clone();
        self.work(&tenant, body.len(), move || {
            let tenant = ingest.tenant(&request.principal.tenant);
            let context = Context {
                collector: request.principal.door,
                principal: &request.principal,
                mappings: &ingest.shared.options.mappings,
                mapping: request.mapping,
                idempotency_key: request.idempotency_key.as_deref(),
                line_first: 1,
                now_us: ingest.shared.options.clock.wall_us(),
                seed: rim::seed()?,
                redactor: &tenant.redactor,
                sessions: &tenant.sessions,
                countries: ingest.shared.options.countries.as_deref(),
            };
            let mut tally = Tally::default();
            let parsed = measure::split(parse_noting(&body, &context, None, &mut tally), &tally)?;
            Ok((parsed, tally.refused))
        })
        .await
    }

    /// Does the work of a body of `bytes` bytes: here if that is short, and elsewhere if it would hold up other requests.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        tenant: &str,
        bytes: usize,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if bytes <= self.shared.options.inline_bytes_max {
            return work();
        }
        let stopped = |reason: String| Error::Worker { reason };
        let turn = self.shared.parsers.take(tenant).await;
        // The parser holds its turn: it goes on when this future is dropped.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| stopped(error.to_string()))?
    }
}

/// What became of a body that held values.
#[derive(Debug)]
struct Taken {
    /// None where no value was usable.
    receipt: Option<Receipt>,
    /// What covers it, where that was asked for.
    checkpoint: Option<Arc<str>>,
    rejected: Vec<crate::Rejected>,
    rejected_count: u64,
}

/// Send events: a sequence of JSON values, or an array. Answered once they are on stable storage.
#[utoipa::path(post, path = "/v1/events", tag = "ingest", params(
        Parameters,
        ("idempotency-key" = Option<String>, Header, description = "Makes the whole body one that is taken once."),
        ("content-encoding" = Option<String>, Header, description = "gzip, zstd or identity."),
        ("tachograph-receipt" = Option<String>, Header, description = "`checkpoint`: wait for the signed checkpoint that covers the answer, and put it in."),
    ),
    request_body(content((String = "application/x-ndjson"), (serde_json::Value = "application/json"))),
    responses(
        (status = 200, description = "They are on record; values that were refused are named.", body = answer::Accepted),
        (status = 408, description = "The body did not arrive in time.", body = answer::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The same key or event id with another content.", body = answer::Problem, content_type = "application/problem+json"),
))]
async fn events(
    State(ingest): State<Ingest>,
    principal: Option<Extension<Principal>>,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let principal = principal.map(|Extension(principal)| principal);
    let parameters = parameters.map(|Query(parameters)| parameters.format).map_err(|error| error.to_string());
    match handle(ingest, principal, parameters, &headers, body).await {
        Ok(taken) => answer::taken(taken),
        Err(error) => answer::problem(&error),
    }
}

async fn handle(
    ingest: Ingest,
    principal: Option<Principal>,
    format: Result<Option<String>, String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Taken, Error> {
    let principal = principal.ok_or(Error::Unauthenticated)?;
    if !principal.role.writes_events() {
        return Err(Error::Forbidden { role: principal.role });
    }
    let mapping = match format {
        Ok(format) => format.map(|format| ingest.shared.options.mappings.find(&format)).transpose()?,
        Err(reason) => {
            return Err(Error::UnknownMapping { name: reason, known: "one at a time".to_string() });
        }
    };
    let encoding = encoding(headers)?;
    let (body, reservation) = receive::body(&ingest.shared, &principal, encoding, headers, body).await?;
    // Escaped, so that any bytes are a key and no two keys become one.
    let idempotency_key = headers.get("idempotency-key").map(|key| key.as_bytes().escape_ascii().to_string());
    let idempotency_key = idempotency_key.filter(|key| !key.is_empty());
    let tenant = principal.tenant.clone();
    let request = Request { principal, mapping, idempotency_key };
    let task = tokio::spawn(ingest.clone().take(request, body, reservation));
    let taken = task.await.map_err(|error| Error::Worker { reason: error.to_string() })??;
    let checkpoint = match (&taken.receipt, headers.get(RECEIPT)) {
        (Some(receipt), Some(kind)) if kind == RECEIPT_CHECKPOINT => ingest.covering(&tenant, receipt).await,
        _ => None,
    };
    Ok(Taken { checkpoint, ..taken })
}

pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let first = values.next().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if values.next().is_some() {
        return Err(Error::UnknownEncoding { encoding: "of several headers".to_string() });
    }
    Encoding::from_header(first.as_deref())
}

#[cfg(test)]
mod tests;
