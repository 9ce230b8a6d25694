//! Records a stdio MCP server from outside: between client and server bytes pass at once and unchanged, and an observer
//! reads a copy of them.
//!
//! Invariants
//! - The agent's call never waits for us and never fails because of us (invariant 4 of the product): the copying path waits for
//!   no parser, no disk and no network. What the observer could not see is counted and put on record.
//! - What is written to the spool is redacted (invariant 3); it leaves the spool when the service has answered for it.
//! - Every event has its id before it is written, so that sending it twice records it once.
//!
//! It must not know: the store, SQL, HTTP (the way to the service is a [`send::Transport`]), the command line.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::needless_pass_by_value,
        clippy::print_stdout
    )
)]

pub mod launch;
pub mod relay;

mod copy;
pub mod watch;

mod lines;
mod message;

mod definition;
pub mod identity;
mod reply;
mod request;

mod event;
mod identifier;
pub mod join;
pub mod notice;

mod observe;
mod redacted;

pub mod exchange;

pub mod send;
pub mod spool;

pub mod clock;
mod error;

pub use error::Error;
