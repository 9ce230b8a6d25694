//! Verifies a copy of a Tachograph store from its files alone, as `FORMAT.md` section 11 asks.
//!
//! For an auditor, who need not trust the program that wrote the store: this package shares with it only the
//! formats in `schemas`. Every leaf is recomputed from the Parquet columns, every root and tile from the leaves,
//! every statistic from the values; a manifest is an index to be checked, never evidence.
//!
//! Invariants
//! - Nothing is written but the file of remembered checkpoints, and that only after a clean run.
//! - Hostile bytes are a finding, never a panic and never an unbounded allocation.
//! - What could not be read is neither clean nor tampered: the report says so, and the exit code is 2.
//!
//! This crate must not know: the writer (`store`), DataFusion, private keys, the network.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod command;

mod options;

mod store;

mod listing;
mod plan;
mod root;
mod torn;
mod write_ahead;

mod data_file;
mod pages;
mod range;
mod statistics;
mod thrift;

mod assembly;
mod tiles;
mod tree;

pub mod evidence;
pub mod proof;
mod receipt;
mod remember;
mod report;
mod witnessed;

mod error;
mod work;

pub use error::Error;
pub use options::{Identity, Options, Progress, cores};
pub use report::{Finding, LIMITS, LogReport, Report};
pub use store::run;
pub use witnessed::{Age, Within, Witnessed};
