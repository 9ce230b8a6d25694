//! Tests of the engine through its public interface.

mod attacks;
mod counts;
mod kernel;
mod laws;
mod rules;
mod runbooks;
mod stream;
mod verdicts;
