//! Event to log to segment.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod draft;
mod error;
mod snapshot;

pub use draft::{Draft, Receipt};
pub use error::{Error, Result};
pub use snapshot::{DataFile, LogSnapshot, Segment, Unsealed};

use schemas::{Origin, Stream};

/// The open store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {}

/// One open log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether new entries are taken now.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl Store {
    /// The log of this tenant and stream; opened, and so recorded in the root log, if it is new.
    ///
    /// # Errors
    /// [`Error::Refused`] for a tenant that cannot be part of an origin; as [`Log::append`].
    pub async fn log(&self, tenant: &str, stream: Stream) -> Result<Log> {
        let _ = (tenant, stream);
        todo!()
    }

    /// The logs that exist, in order of origin.
    pub fn origins(&self) -> Vec<Origin> {
        todo!()
    }

    /// The log of this tenant and stream as it is now, if there is one.
    pub fn snapshot(&self, tenant: &str, stream: Stream) -> Option<LogSnapshot> {
        let _ = (tenant, stream);
        todo!()
    }

    /// Whether new entries are taken, and why not.
    pub fn status(&self) -> Status {
        todo!()
    }
}

impl Log {
    /// The log's name.
    pub fn origin(&self) -> &Origin {
        todo!()
    }

    /// Appends a draft; returns once it is on stable storage.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::DiskFull`]: nothing was written, try later. [`Error::Refused`]: this draft is
    /// not storable. [`Error::Poisoned`], [`Error::Tampered`]: the store takes nothing more.
    pub async fn append(&self, draft: Draft) -> Result<Receipt> {
        let _ = draft;
        todo!()
    }

    /// The log as it is now.
    pub fn snapshot(&self) -> LogSnapshot {
        todo!()
    }

    /// Waits until the durable size is over `size`, and returns it.
    pub async fn grown_past(&self, size: u64) -> u64 {
        let _ = size;
        todo!()
    }
}
