//! Events in, nothing lost, nothing secret: bodies of JSON and of OpenTelemetry to drafts of the events log, and the doors for
//! them.
//!
//! The order per event is fixed: authenticate (before this crate), admit by bytes, parse once, redact, normalise, append,
//! acknowledge. Nothing reaches a column, a message or a metric before redaction.
//!
//! Invariants
//! - An answer that says accepted comes after the append, and the append does not depend on the client staying.
//! - One bad value of a body is refused with its line and a stable code; the others are taken.
//! - The tenant is the credential's; what a record says of it is an attribute.
//! - Lossless: the columns of a row and its `attributes` regenerate every key and value of the record.
//!
//! This crate must not know: how a credential is checked, the format of the log, files but those that `tail` follows and the database of `country`. Time comes from a
//! `store::Clock`, randomness from the module `rim` alone.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::needless_pass_by_value
    )
)]

mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod otlp;
mod pull;
mod rim;
mod sources;
mod tail;

mod admit;
mod encoding;
mod rate;
mod turns;

mod body;
mod scan;
mod unescape;

mod mapping;
mod normalise;
mod session;

mod columns;
mod country;
mod destinations;
mod draft;
mod explain;
mod line;
mod parse;

mod measure;

mod error;
mod rejected;

pub use admit::{Admission, Reservation};
pub use country::Countries;
pub use destinations::of as destinations_of;
pub use error::Error;
pub use explain::{Explained, explain};
pub use http::{Ingest, Options, PersonalData, RECEIPT, RECEIPT_CHECKPOINT, RedactionKey, openapi, router};
#[cfg(feature = "kafka")]
pub use kafka::{Kafka, Sasl, Tls};
pub use mapping::{About, Mapping, Mappings};
pub use otlp::Dialect;
pub use otlp::{grpc_router as otlp_grpc_router, router as otlp_router};
pub use parse::{Context, Parsed, parse};
pub use rejected::{Code, Rejected};
pub use session::Sessions;
pub use sources::Source;
pub use tail::Tail;
