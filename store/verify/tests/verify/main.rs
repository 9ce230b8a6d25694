//! The verifier against stores that an independent small writer makes and that the tests then damage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod flip;
mod writer;

mod clean;
mod command;
mod damage;
mod forged;
mod speed;
mod unsealed;
