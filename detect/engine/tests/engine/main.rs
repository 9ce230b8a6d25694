//! Tests of the engine through its public interface.

mod attacks;
mod counts;
mod kernel;
mod laws;
mod rules;
mod runbooks;
mod sessions;
mod stream;
mod unusual_tools;
