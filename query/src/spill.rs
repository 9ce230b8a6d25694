//! Where a query puts what does not fit its memory: files without a name below the data directory.
//!
//! A file never has a name (or loses it at once, where the file system knows no nameless files), so nobody can open it,
//! and it is gone with the process, however that ends. All queries together may hold `query.spill_bytes`, those of one tenant
//! half of it, and none may take the disk space that ingest and sealing need: a spill stops before those would. Files
//! are counted as their bytes are, for each is an open descriptor and the process has not many.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use schemas::limits;

use crate::Error;
use crate::file::is_out_of_descriptors;
use crate::guard::Stop;
use crate::memory::Bytes;

/// Bytes read at a time, and no more than these are held for one reader.
const READ_BYTES: usize = limits::QUERY_SPILL_READ_BYTES;
/// Bytes that all write between two looks at the free space of the disk.
const LOOK_BYTES: u64 = limits::QUERY_SPILL_LOOK_BYTES;
/// Files of one query.
const FILES_MAX: usize = limits::QUERY_SPILL_FILES_MAX;
/// Files of all queries.
const FILES_ALL_MAX: usize = limits::QUERY_SPILL_FILES_ALL_MAX;

/// Where queries spill, and how much they may.
#[derive(Debug, Clone)]
pub struct SpillOptions {
    /// An existing directory on the disk to be used.
    pub directory: PathBuf,
    /// Bytes on disk of all queries together; those of one tenant may hold half of them.
    pub bytes: usize,
    /// Bytes that stay free on the disk, whoever asks.
    pub free_bytes_min: u64,
}

/// Bytes and files of someone.
#[derive(Debug)]
struct Share {
    bytes: Bytes,
    files: Bytes,
}

impl Share {
    fn new(bytes: usize, files: usize) -> Share {
        Share { bytes: Bytes::new(bytes), files: Bytes::new(files) }
    }
}

/// What is spilled of all queries.
#[derive(Debug)]
pub(crate) struct Spill {
    options: SpillOptions,
    all: Share,
    /// Of those tenants that have a query running.
    tenants: Mutex<HashMap<String, Weak<Share>>>,
    /// Bytes since the free space of the disk was looked at and there was enough.
    unlooked: Mutex<u64>,
}

impl Spill {
    pub(crate) fn new(options: SpillOptions) -> Arc<Spill> {
        Arc::new(Spill {
            all: Share::new(options.bytes, FILES_ALL_MAX),
            tenants: Mutex::default(),
            unlooked: Mutex::new(LOOK_BYTES),
            options,
        })
    }

    /// The part of one query of this tenant, which it may fill until `stop`.
    pub(crate) fn of_a_query(self: &Arc<Spill>, tenant: &str, stop: &Arc<Stop>) -> DiskManagerBuilder {
        let used = Share::new(self.options.bytes / 2, FILES_MAX);
        let own = Own {
            spill: Arc::clone(self),
            tenant: self.tenant(tenant),
            used,
            stop: Arc::clone(stop),
            has_looked: AtomicBool::new(false),
        };
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Custom(Arc::new(Factory(Arc::new(own)))))
    }

    /// What the queries of a tenant hold together: at most half, or two of them would leave nothing to the others.
    fn tenant(&self, name: &str) -> Arc<Share> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(name).and_then(Weak::upgrade) {
            return share;
        }
        // As many are left as have a query running.
        tenants.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share::new(self.options.bytes / 2, FILES_ALL_MAX / 2));
        tenants.insert(name.to_string(), Arc::downgrade(&share));
        share
    }

    #[cfg(test)]
    pub(crate) fn used_bytes(&self) -> usize {
        self.all.bytes.used()
    }
}

/// What is spilled of one query.
#[derive(Debug)]
struct Own {
    spill: Arc<Spill>,
    tenant: Arc<Share>,
    used: Share,
    stop: Arc<Stop>,
    /// Whether the free space of the disk was looked at for this query.
    has_looked: AtomicBool,
}

impl Own {
    /// Takes of what the query, its tenant and all have; the one that has too little takes nothing.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] past the share of a query, [`Error::Busy`] where others hold what it needs.
    fn hold(
        &self,
        of: fn(&Share) -> &Bytes,
        what: &'static str,
        count: usize,
    ) -> std::result::Result<(), Error> {
        let [used, tenant, all] = [&self.used, &*self.tenant, &self.spill.all].map(of);
        if !used.try_take(count) {
            return Err(Error::AnswerTooLarge { what, limit: used.limit() as u64 });
        }
        if !tenant.try_take(count) {
            used.give(count);
            return Err(Error::Busy);
        }
        if !all.try_take(count) {
            used.give(count);
            tenant.give(count);
            return Err(Error::Busy);
        }
        Ok(())
    }

    fn release(&self, of: fn(&Share) -> &Bytes, count: usize) {
        for share in [&self.used, &*self.tenant, &self.spill.all] {
            of(share).give(count);
        }
    }

    /// # Errors
    /// As [`Own::hold`], and of [`Own::look`]; [`Error::Deadline`] or [`Error::Cancelled`] once the query must end, for rows that
    /// are only put on disk pass no guard of its plan.
    fn take(&self, file: &File, bytes: usize) -> std::result::Result<(), Error> {
        self.stop.check()?;
        self.hold(|share| &share.bytes, "what the query puts on disk in bytes", bytes)?;
        self.look(file, bytes as u64).inspect_err(|_| self.give(bytes))
    }

    /// Whether the disk has room for so many bytes more. It is asked once for so many bytes of all queries together, and for each
    /// query when it begins; while there is too little, it is asked each time, so that none goes on for another has been told.
    ///
    /// # Errors
    /// [`Error::DiskFull`] where the disk has only what the store needs; [`Error::Internal`] where it cannot be asked.
    fn look(&self, file: &File, bytes: u64) -> std::result::Result<(), Error> {
        let mut unlooked = self.spill.unlooked.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = unlooked.saturating_add(bytes);
        if sum <= LOOK_BYTES && self.has_looked.load(Ordering::Relaxed) {
            *unlooked = sum;
            return Ok(());
        }
        let found = rustix::fs::fstatvfs(file)
            .map_err(|error| Error::Internal(format!("free disk space: {error}")))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let kept = self.spill.options.free_bytes_min.saturating_add(LOOK_BYTES).saturating_add(bytes);
        if free < kept {
            *unlooked = LOOK_BYTES;
            return Err(Error::DiskFull);
        }
        *unlooked = 0;
        self.has_looked.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: usize) {
        self.release(|share| &share.bytes, bytes);
    }
}

struct Factory(Arc<Own>);

impl TempFileFactory for Factory {
    fn create_temp_file(&self, _: &str) -> Result<Arc<dyn SpillFile>> {
        let directory = &self.0.spill.options.directory;
        // Each is an open file descriptor until its last reader is gone.
        self.0.hold(|share| &share.files, "what the query puts on disk in files", 1)?;
        let file = tempfile::tempfile_in(directory).map_err(|error| {
            self.0.release(|share| &share.files, 1);
            match is_out_of_descriptors(&error) {
                true => Error::Busy,
                false => {
                    Error::Internal(format!("a file for spilled rows in {}: {error}", directory.display()))
                }
            }
        })?;
        metrics::counter!("tacho_query_spill_files_total").increment(1);
        let held = Held { file, own: Arc::clone(&self.0), length: AtomicUsize::new(0) };
        Ok(Arc::new(Spilled(Arc::new(held))))
    }
}

/// One file; it and its bytes are given back when its last reader is gone.
struct Held {
    file: File,
    own: Arc<Own>,
    length: AtomicUsize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.own.give(self.length.load(Ordering::Relaxed));
        self.own.release(|share| &share.files, 1);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} spilled bytes", self.length.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Spilled(Arc<Held>);

impl SpillFile for Spilled {
    fn path(&self) -> Option<&Path> {
        None
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.length.load(Ordering::Acquire) as u64)
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<bytes::Bytes>> + Send>>> {
        let held = Arc::clone(&self.0);
        Ok(Box::pin(futures::stream::try_unfold((held, 0_usize), |(held, at)| async move {
            let length = held.length.load(Ordering::Acquire);
            held.own.stop.check()?;
            let Some(left) = length.checked_sub(at).filter(|left| *left > 0) else { return Ok(None) };
            let part = READ_BYTES.min(left);
            let (held, read) = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; part];
                let read =
                    held.file.read_exact_at(&mut buffer, at as u64).map(|()| bytes::Bytes::from(buffer));
                (held, read)
            })
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let bytes = read.map_err(|error| Error::Internal(format!("spilled rows: {error}")))?;
            let next = at + bytes.len();
            Ok(Some((bytes, (held, next))))
        })))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        Ok(Box::new(Writer(Arc::clone(&self.0))))
    }
}

/// Appends to a file.
struct Writer(Arc<Held>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held = &self.0;
        let count = bytes.len();
        held.own.take(&held.file, count).map_err(io::Error::other)?;
        let at = held.length.load(Ordering::Relaxed);
        if let Err(error) = held.file.write_all_at(bytes, at as u64) {
            held.own.give(count);
            // The disk filled up between two looks.
            let full = error.kind() == io::ErrorKind::StorageFull;
            return Err(if full { io::Error::other(Error::DiskFull) } else { error });
        }
        held.length.fetch_add(count, Ordering::Release);
        metrics::counter!("tacho_query_spill_bytes_total").increment(count as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpillWriter for Writer {
    /// The rows need not outlive the process: nothing is synced.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
