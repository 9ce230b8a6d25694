//! C2SP tlog-witness, both sides.
//!
//! ```text
//! root log ─► client ─► add-checkpoint ─► witness (ours or another's)
//!                └── cosigned checkpoint ◄── cosignatures, checked against a policy
//! ```
//! - [`client`]: hands the newest checkpoint of one log to the witnesses of a policy, keeps what they sign, and says when the log
//!   must stop signing: when a witness holds more than was ever signed here, or another history.
//! - [`server`]: a witness. It remembers one checkpoint a log and cosigns only what extends it.
//!
//! Invariants
//! - A cosignature is given out only for a checkpoint that is on stable storage as the newest of its log, and that extends every
//!   one before it.
//! - No more than one request is in flight to a witness.
//! - Nothing waits for a witness.
//!
//! This crate must not know: the store, the command line, where files are. Files are behind [`Files`], the log behind
//! [`client::Log`], time behind [`Clock`].

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod client;
pub mod key;
pub mod server;

mod error;

pub use error::{Error, Result};

use std::fmt;
use std::sync::Arc;

/// Small files of one's own: read whole, replaced whole.
pub trait Files: fmt::Debug + Send + Sync {
    /// The file; none if there is none.
    ///
    /// # Errors
    /// With what and where, for people.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String>;
    /// Writes a file over what is there. After any power cut there is the old one or the new one, whole, and once this returns the
    /// new one.
    ///
    /// # Errors
    /// With what and where, for people; the old one may be there or the new one.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), String>;
}

/// Seconds since the epoch.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that asks `now` for POSIX seconds.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// POSIX seconds.
    pub fn now_s(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_s())
    }
}
