//! The detection engine: one record of a tenant's `events` log in, alerts out.
//!
//! It is a pure fold. Everything it knows comes from the records handed to [`Engine::observe`] in log
//! order and from its [`Setup`]: [`Settings`], and the rules in Sigma; anybody who holds the log and these can fold it again and get
//! the same alerts.
//!
//! Invariants
//! - **Determinism**: `fold(0..n)` equals `fold(0..k)`, snapshot, restore, `fold(k..n)`, for every k, bit
//!   for bit, alerts and final snapshot alike. State is numbers and strings in ordered maps, doubles as their bits.
//! - **One clock**: the watermark, the greatest `min(time, ingest_time)` seen. A record dated into the
//!   future cannot move it, nothing moves it back, and nothing else tells the time. Where nothing comes and
//!   something is due ([`Engine::awaits_us`]), the log gets an entry of its own that tells it.
//! - **Alert once**: a signal opens an episode per (rule, entity); repeats update it at powers of two of
//!   its count or when its severity rises; it closes after three quiet windows.
//! - **Bounded**: every map has a cap in [`Settings`], every stored identifier is at most 128 bytes.
//!   What eviction may cost is written at each map, and evictions are counted.
//! - **Fail closed**: a forgotten approval is no approval.
//!
//! The engine must not know: files, arrow, the store, the network, wall clocks, randomness, threads, or who
//! is told about an alert. The shape is a lattice of detectors (tenant, principal, tool, source,
//! credential) behind one trait: a detector turns records into signals and knows nothing of episodes. Rules in Sigma are one lane more,
//! whose detection is of the crate `sigma`.

mod activity;
mod alert;
mod approvals;
pub mod baseline;
mod bits;
mod bounded;
mod clock;
mod counts;
mod detector;
mod engine;
mod entity;
mod episode;
mod error;
mod fields;
mod filings;
mod judge;
pub mod kernel;
mod keyed;
mod markers;
pub mod novelty;
mod opening;
mod ratios;
pub mod recalibration;
mod record;
mod rules;
mod sessions;
mod settings;
mod setup;
mod sigma_rules;
mod sketch;
mod snapshot;
mod window;

pub use alert::{Alert, BudgetVerdict, Confidence, Severity, State};
pub use engine::Engine;
pub use error::Error;
pub use record::{Record, Verdict};
pub use rules::RULE_IDS;
pub use settings::{
    ApprovalAbandoned, ApprovalTooFast, ApprovalWait, ApprovalWaitCeiling, AuthFailureBurst,
    AuthFailureRateCeiling, CallRate, CallRateSustained, DenialRatioCeiling, FailureRate,
    FailureRateSustained, NewNetwork, OffHours, OversizedOutput, P95Latency, P95LatencyCeiling,
    QuarantineRate, QuarantineRatioCeiling, RevokedCredentialUse, SequenceGap, Settings, SilentSource,
    ToolErrorBudget, UnapprovedHighRiskWrite, UnusualTools,
};
pub use setup::Setup;

/// Version of what the engine computes. It is part of every alert id and of every snapshot; raise it
/// whenever the same log could give other alerts or the state has another shape.
pub const MODEL_VERSION: u32 = 8;
