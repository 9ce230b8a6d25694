//! Tests of the engine through its public interface.

mod attacks;
mod counts;
mod kernel;
mod laws;
mod new_network;
mod off_hours;
mod rules;
mod runbooks;
mod sessions;
mod stream;
mod unusual_tools;
mod verdicts;
