//! Delivery: what a log holds, in another's format, to where it is read.
//!
//! ```text
//! alerts log ─► entries ─► Alert ─► filter ─► format (pure) ─► Message ─► transport ─► SIEM
//!      ▲                                                          │ a fate for each message
//!      └──────────────── cursor: everything below it is settled ◄─┘
//! ```
//! Invariants
//! - **A sink is a cursor over a log**: there is no queue beside it. The cursor passes an entry only when it was taken, filtered out, or is
//!   on the sink's list of dead letters; a crash at any point sends again what was not settled, under the same id.
//! - **In order**: within a tenant's log a sink sees entries in the log's order. What comes behind a message that must wait, waits.
//! - **Sinks are apart**: one that is down, slow or refusing holds up no other, and neither ingest nor detection.
//! - **Formats are pure**: an item and the context give bytes. No value of an event can break a frame or forge a field.
//! - **No secret leaves by accident**: credentials come from files or the environment, and appear in no message, log, error or metric.
//!
//! This crate must not know: how alerts are made, SQL, how events came in, the program's command line.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod alert;
mod digest;
mod event;
mod rows;

mod format;

mod error;
mod filter;
mod message;
mod secret;
mod settings;
mod tls;
mod transport;

mod digest_due;
mod lane;
mod measure;
mod patience;
mod settle;
mod state;
mod status;
mod task;
mod test_message;

mod handle;

pub use alert::{
    Alert, Analytic, BudgetVerdict, COLUMNS as ALERT_COLUMNS, Confidence, Severity, State, TAG_TEST,
};
pub use digest::{Digest, DigestCount};
pub use error::{Error, Result};
pub use event::{COLUMNS as EVENT_COLUMNS, Event, Value};
pub use format::{Context, Format, Item, KillSwitch, kill_switch, render};
pub use handle::{Handle, Options, Sinks};
pub use lane::Wall;
pub use message::{Importance, Message};
pub use secret::Secret;
pub use settings::{Beginning, Delivery, Receiver, Sink, Source};
pub use status::{Status, Tenant};
pub use test_message::test_message;
pub use tls::Tls;
pub use transport::{Fate, TYPES, Transport, TransportSettings, open};
