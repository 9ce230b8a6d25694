//! Canonical Tachograph event v1 NDJSON, made up, for the demo, the tests and the benches.
//!
//! Sessions are small state machines (login, session start, discovery, calls, approvals, session end) that are
//! merged in time order. [`fleet::Script`] is the demo's two hours of a small fleet with an incident in them.
//!
//! Invariants:
//! - The same [`Options`] give the same bytes on every machine: integer arithmetic, tables and our own generator
//!   of random numbers; no clock, no environment, no platform mathematics.
//! - Exactly [`Options::events`] lines; `time` never decreases and lies in `[start_us, start_us + span_us)`.
//! - In healthy traffic a high-risk write (action write, destructive or admin, risk high or critical) is called only
//!   with an approval that somebody other than its user gave, once, for those arguments. Only the incident breaks this.
//! - No line names `tenant`: the collector's token decides it. [`Facts::tenant`] tells which token to use.
//! - Secrets appear only at [`Options::secret_ratio`] and in the incident; all are random text that opens nothing.
//!
//! Must not know: how events are mapped, stored, queried or judged.

mod calendar;
mod catalog;
mod event;
mod events;
pub mod fleet;
mod options;
mod payload;
mod random;
mod season;
mod session;
mod summary;
mod world;

pub use calendar::parse_rfc3339;
pub use event::{Decision, Kind};
pub use events::{Events, Facts, generate};
pub use options::{Error, Options};
pub use season::Season;
pub use summary::Summary;

#[cfg(test)]
mod tests;
