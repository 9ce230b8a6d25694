//! Tests of the fleet through its public interface.

mod laws;
mod plan;
