//! OpenTelemetry's protocol: spans and log records of any exporter, over HTTP (protobuf, JSON) and gRPC.
//!
//! Every record becomes one JSON object first (`record`), whichever encoding it came in; that text is redacted, mapped to
//! columns and kept, as any other record is. What no mapping recognises is no tool activity: it is acknowledged, counted and
//! not kept.
//!
//! Invariants
//! - A bad record is refused alone (partial success); a body whose framing is broken is refused whole.
//! - What a message takes in memory is bounded before it is decoded: by its bytes, its items and its depth.
//! - A request costs what its bytes cost: a resource is read once, for the first record that has it, and what holds no
//!   record counts too.
//! - The same batch sent again is recorded once: a span's id is its trace and span id, a log record's is its
//!   `log.record.uid` or the digest of all of it.

mod dialect;
mod door;
mod framing;
mod json;
mod parse;
mod record;
mod status;
mod take;
mod wire;

pub use dialect::Dialect;
pub(crate) use door::Document;
pub use door::{grpc_router, router};

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use schemas::limits::BODY_VALUES_MAX;

use crate::error::Error;
use crate::rejected::Refusal;

/// What an exporter sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

/// How a request is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Protobuf,
    Json,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Telemetry {
    Span(Box<Span>),
    Log(Box<LogRecord>),
}

/// Who made telemetry: one for all scopes under it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Producer {
    pub(crate) resource: Resource,
    pub(crate) schema_url: String,
}

/// What a record belongs to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Origin {
    pub(crate) producer: Arc<Producer>,
    pub(crate) scope: InstrumentationScope,
    pub(crate) scope_schema_url: String,
}

/// Takes each record of a request with what it belongs to, or why either could not be read.
pub(crate) type Each<'e> =
    dyn FnMut(&Result<Arc<Origin>, Refusal>, Result<Telemetry, Refusal>) -> Result<(), Error> + 'e;

/// How many resources and scopes a request has had: two bytes make one, which costs more than they do.
#[derive(Debug, Default)]
struct Nests(usize);

impl Nests {
    /// Counts one more.
    fn enter(&mut self) -> Result<(), Error> {
        if self.0 == BODY_VALUES_MAX {
            let what = "number of resources and scopes in the request";
            return Err(Error::TooLarge { what, limit: BODY_VALUES_MAX });
        }
        self.0 += 1;
        Ok(())
    }
}
