//! The detection runner: every tenant's `events` log in, its `alerts` log out.
//!
//! ```text
//! events log ─► entries (durable rows, sealed and unsealed) ─► engine ─► draft ─► alerts log
//!                                                                └─► state files (a cache)
//! ```
//! Invariants
//! - I7: the same log gives the same alerts. What is in the `alerts` log equals [`fold`] over the `events` log
//!   under the settings and rules in force when each entry was folded, wherever the runner was stopped or killed. Where others take
//!   effect, what goes on under them is told and what does not is closed (`takeover`).
//! - **Exactly once**: every alert names the event that caused it and its place among that event's alerts
//!   (`position`, `ordinal`), and the log is in that order. A start reads the last of them and emits only what
//!   comes after.
//! - **Emitted before remembered**: a state file is written only when every alert of the events in it is durable,
//!   so that fold is never ahead of what is emitted but in memory.
//! - **Never dropped**: an alert that the store cannot take now is tried again until it can.
//! - State files are a cache. They are bound to the log by an entry of it; one that is damaged, of another log, of
//!   other settings or rules or of another model is passed over, and deleting all of them loses nothing but time.
//!
//! This crate must not know: HTTP, how events came in, SQL, keys, wall clocks, who is told about an alert.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod error;
mod options;

mod columns;

mod fold;
mod state_file;

mod draft;
mod emitted;
mod recorded;
mod takeover;

mod backtest;
mod drill;
mod known;

mod detector;
mod measure;
mod tenant;

pub use backtest::{Backtest, Counts, Difference, Entry, backtest};
pub use detector::{Detector, Handle, Progress, Reloaded};
pub use drill::{Drill, Outcome, drill};
pub use error::{Error, Result};
pub use fold::fold;
pub use known::is_recorded;
pub use options::Options;
