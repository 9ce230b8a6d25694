//! The core over hand-made snapshots: sealed Parquet files in a temporary directory, unsealed batches in
//! memory, and an access log that is a list.

mod abuse;
mod audit;
mod cancelling;
mod door;
pub(crate) mod fixture;
mod formats;
mod gates;
mod isolation;
mod policy;
mod postgres;
mod questions;
mod replaying;
mod runbooks;
mod sandbox;
mod sources;
mod spilling;
mod timing;
