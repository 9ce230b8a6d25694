//! Tests of the engine through its public interface.

mod approvals;
mod attacks;
mod counts;
mod days;
mod kernel;
mod latency;
mod laws;
mod quarantine;
mod rules;
mod runbooks;
mod sizes;
mod sources;
mod stream;
mod verdicts;
