//! The PostgreSQL door: what psql, drivers and BI tools speak.
//!
//! A connection begins with a password, which is an API token, and then asks as often as it likes. Every question goes
//! through [`Query`], as those of the other doors do: parsed, held against the allow-list, put on the access log before
//! the first row leaves, bounded in time, memory and size. What is here is the wire: messages, transactions in name,
//! settings, prepared statements, cursors, cancelling.
//!
//! Invariants
//! - Nothing is read past a message's declared length, and nothing is held that is longer than its limit.
//! - Before the password was checked, nothing is told but that one is needed; why it was not taken is never told.
//! - A statement of this module's own (SET, BEGIN, FETCH) gives no row of the record but through a cursor's query.
//! - A cancel request is answered in the same way whether or not it knew a key.
//! - Who comes without the encryption that is required, or with a wrong key, is on the access log; a flood of them is a few entries.
//!
//! It must not know: tokens, certificates and randomness, which are handed in; how tables are read.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use schemas::limits;
use schemas::principal::Principal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::Query;

mod accept;
mod cancel;
mod command;
mod cursor;
mod extended;
mod fault;
mod parameter;
mod portal;
mod row;
mod session;
mod setting;
mod simple;
mod startup;
mod wire;

pub use accept::serve;

/// A connection, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// What stands at the other end of a door.
pub type Stream = Pin<Box<dyn Duplex>>;

/// What a client says before it may ask.
#[derive(Clone)]
pub struct Login {
    /// The name it gives: a label, the password decides.
    pub user: String,
    /// An API token.
    pub password: String,
    /// Where it comes from.
    pub source_ip: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("source_ip", &self.source_ip)
            .finish_non_exhaustive()
    }
}

/// A login was not taken; it is not said why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal;

/// Checks a login.
pub type Authenticate = Arc<dyn Fn(Login) -> BoxFuture<'static, Result<Principal, Refusal>> + Send + Sync>;
/// Whether a principal that was let in at this time, in microseconds, may still ask.
pub type StillIn = Arc<dyn Fn(&Principal, i64) -> bool + Send + Sync>;
/// Encrypts a connection whose client has asked for it.
pub type Upgrade = Arc<dyn Fn(Stream) -> BoxFuture<'static, std::io::Result<Stream>> + Send + Sync>;
/// Fills a slice with what nobody can guess, or says that it cannot.
pub type Randomness = Arc<dyn Fn(&mut [u8]) -> bool + Send + Sync>;

/// Options of the door.
#[derive(Clone)]
pub struct Options {
    /// Checks passwords.
    pub authenticate: Authenticate,
    /// Asked before each message of a connection: a credential that is revoked or expired is so at once.
    pub still_in: StillIn,
    /// Keys for cancelling.
    pub randomness: Randomness,
    /// TLS, where there is any; then only loopback may go without.
    pub upgrade: Option<Upgrade>,
    /// Connections at once.
    pub connections_max: usize,
    /// Places that this port shares with others, where it does: each connection holds one.
    pub connections_shared: Option<Arc<Semaphore>>,
    /// From the start of a connection to its password.
    pub startup_timeout: Duration,
    /// How long a connection may say nothing.
    pub idle_timeout: Duration,
    /// How long a client may take to read a piece of what it is sent.
    pub write_timeout: Duration,
}

impl Options {
    /// The defaults of `schemas::limits`.
    pub fn new(authenticate: Authenticate, randomness: Randomness) -> Options {
        Options {
            authenticate,
            still_in: Arc::new(|_, _| true),
            randomness,
            upgrade: None,
            connections_max: limits::POSTGRES_CONNECTIONS_MAX,
            connections_shared: None,
            startup_timeout: Duration::from_millis(limits::POSTGRES_STARTUP_TIMEOUT_MS),
            idle_timeout: Duration::from_millis(limits::POSTGRES_IDLE_TIMEOUT_MS),
            write_timeout: Duration::from_millis(limits::POSTGRES_WRITE_TIMEOUT_MS),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("upgrade", &self.upgrade.is_some())
            .field("connections_max", &self.connections_max)
            .field("startup_timeout", &self.startup_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("write_timeout", &self.write_timeout)
            .finish_non_exhaustive()
    }
}

/// What all connections share.
struct Door {
    query: Query,
    options: Options,
    cancels: cancel::Cancels,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
struct Peer {
    ip: IpAddr,
}
