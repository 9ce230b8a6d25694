//! Tests of the engine through its public interface.

mod attacks;
mod laws;
mod rules;
mod runbooks;
mod stream;
