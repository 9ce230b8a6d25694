//! Tests of the engine through its public interface.

mod activity;
mod approvals;
mod attacks;
mod ceilings;
mod confirmed;
mod counts;
mod days;
mod error_budget;
mod kernel;
mod latency;
mod laws;
mod new_network;
mod numbers;
mod off_hours;
mod order;
mod quarantine;
mod rows;
mod rules;
mod runbooks;
mod sessions;
mod sigma_rules;
mod sizes;
mod sources;
mod stream;
mod unusual_tools;
mod verdicts;
