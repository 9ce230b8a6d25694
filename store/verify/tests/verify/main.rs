//! The verifier against stores that an independent small writer makes and that the tests then damage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(
    clippy::disallowed_methods,
    reason = "moves files about to damage stores; nothing here need be durable"
)]
#![allow(clippy::type_complexity, reason = "tables of cases")]

mod flip;
mod metadata;
mod writer;

mod clean;
mod command;
mod damage;
mod forged;
mod receipts;
mod speed;
mod unsealed;
mod witnessed;
