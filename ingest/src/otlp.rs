//! OpenTelemetry's protocol: spans and log records of any exporter, over HTTP (protobuf, JSON) and gRPC.
//!
//! Every record becomes one JSON object first (`record`), whichever encoding it came in; that text is redacted, mapped to
//! columns and kept, as any other record is. What no mapping recognises is no tool activity: it is acknowledged, counted and
//! not kept.
//!
//! Invariants
//! - A bad record is refused alone (partial success); a body whose framing is broken is refused whole.
//! - What a message takes in memory is bounded before it is decoded: by its bytes, its items and its depth.
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

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

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

/// What a record belongs to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Origin {
    pub(crate) resource: Resource,
    pub(crate) resource_schema_url: String,
    pub(crate) scope: InstrumentationScope,
    pub(crate) scope_schema_url: String,
}

/// Takes each record of a request with what it belongs to, or why either could not be read.
pub(crate) type Each<'e> =
    dyn FnMut(&Result<Origin, Refusal>, Result<Telemetry, Refusal>) -> Result<(), crate::Error> + 'e;
