//! Asking the record: one core behind every door.
//!
//! A text comes in with a [`Principal`](schemas::principal::Principal); it is parsed and held against an allow-list, the intent is put on
//! the access log, the logs of the principal's one tenant are taken at one moment, and DataFusion runs the
//! plan over exactly these. Rows leave as a stream; how it ended is put on the access log as well.
//!
//! Invariants
//! - No row leaves before the entry that says who asked is on stable storage; if it cannot be written,
//!   nothing is answered.
//! - No refusal is without an entry: the first ones of a principal and minute have their own, further ones are in a sum.
//! - A principal sees the logs of its own tenant, and payload columns only with a role that reads payloads;
//!   what it may not see does not exist for it.
//! - One query reads one snapshot; every answer names it.
//! - Nothing outside the snapshot can be read, and nothing can be written. A file is served only after its
//!   length and BLAKE3 digest were those of the manifest.
//! - A query ends: deadline, memory, rows, bytes and nesting are bounded, and so are a single value, what all
//!   expressions make of one batch, and what the names of a WITH stand for. Its place is free again at the
//!   deadline, whether or not its reader reads.
//!
//! It must not know: how entries are sequenced, hashed or written (beyond appending to the access log),
//! tokens and passwords, the configuration file, clocks or randomness (both are handed in).
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod as_of;
mod error;
mod options;
mod source;

mod access;
mod refusals;

mod statement;

mod function;

mod catalogue;

mod file;

mod table;

mod policy;

mod guard;
mod memory;
mod session;
mod shape;
mod spill;

mod answer;
mod core;

mod format;

mod replay;

mod gate;

mod http;

pub mod postgres;

pub use access::{Access, AccessLog, Decision, Phase, Status};
pub use answer::Answer;
pub use as_of::AsOf;
pub use core::{Query, Request, RunningQuery};
pub use error::{Error, Position, Result};
pub use format::{Encoded, Format};
pub use gate::{Gate, GateSettings, NO_ANSWER, Reading, Thresholds, Verdict, Window};
pub use http::{openapi, router};
pub use options::{Clock, GatesBlocked, Identifiers, Options};
pub use policy::{ColumnKey, Policies, PolicySettings, RoleSettings, Treatment, Wall};
pub use replay::{Replay, ReplayFormat};
pub use source::{Journal, Snapshot, Snapshots};
pub use spill::SpillOptions;

#[cfg(test)]
mod tests;
