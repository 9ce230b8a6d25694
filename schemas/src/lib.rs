//! What is true: the formats that every other part of Tachograph agrees on.
//!
//! Pure functions over bytes and Arrow arrays: the event, alert and access schemas, the canonical bytes of
//! an entry, RFC 6962 tree hashing, payload commitments, signed notes, manifests, write-ahead groups, paths
//! and limits. `FORMAT.md` beside this crate is the normative text; where the two disagree, that is a bug
//! here.
//!
//! Invariants
//! - The encoding of an entry is computed from its typed columns and is injective: what SQL reads is what is
//!   hashed.
//! - Decoding accepts exactly what encoding produces; every decoder refuses trailing bytes.
//! - Field ids and tags, once released, are never reused.
//!
//! This crate must not know: files, sockets, clocks, randomness, async, private keys, or any other crate of
//! this workspace.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod limits;

pub mod column;
pub mod origin;
pub mod stream;

pub mod mapping;
pub mod vocabulary;

pub mod entry;
pub mod payload;
pub mod rows;

pub mod tile;
pub mod tree;

pub mod checkpoint;
pub mod control;
pub mod cosignature;
pub mod cursor;
pub mod note;
pub mod policy;
pub mod proof;
pub mod witness;

pub mod evidence;

pub mod group;
pub mod manifest;

pub mod layout;
pub mod principal;
pub mod segment;

mod error;

pub use column::{Column, ColumnType};
pub use cursor::CursorName;
pub use error::Error;
pub use origin::{LogId, Origin};
pub use stream::Stream;
pub use tree::Hash;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
