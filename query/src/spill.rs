//! Where a query puts what does not fit its memory: files without a name below the data directory.
//!
//! A file never has a name (or loses it at once, where the file system knows no nameless files), so nobody can open it,
//! and it is gone with the process, however that ends. All queries together may hold `query.spill_bytes`, one of them
//! half of it, and none may take the disk space that ingest and sealing need: a spill stops before those would.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use schemas::limits;

use crate::Error;
use crate::memory::Bytes;

/// Bytes read at a time, and no more than these are held for one reader.
const READ_BYTES: usize = limits::QUERY_SPILL_READ_BYTES;
/// Bytes written between two looks at the free space of the disk.
const LOOK_BYTES: u64 = limits::QUERY_SPILL_LOOK_BYTES;

/// Where queries spill, and how much they may.
#[derive(Debug, Clone)]
pub struct SpillOptions {
    /// An existing directory on the disk to be used.
    pub directory: PathBuf,
    /// Bytes on disk of all queries together; one may hold half of them.
    pub bytes: usize,
    /// Bytes that stay free on the disk, whoever asks.
    pub free_bytes_min: u64,
}

/// The spilled bytes of all queries.
#[derive(Debug)]
pub(crate) struct Spill {
    options: SpillOptions,
    all: Bytes,
}

impl Spill {
    pub(crate) fn new(options: SpillOptions) -> Arc<Spill> {
        Arc::new(Spill { all: Bytes::new(options.bytes), options })
    }

    /// The part of one query.
    pub(crate) fn of_a_query(self: &Arc<Spill>) -> DiskManagerBuilder {
        let used = Bytes::new(self.options.bytes / 2);
        let own = Own { spill: Arc::clone(self), used, looked: AtomicU64::new(0) };
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Custom(Arc::new(Factory(Arc::new(own)))))
    }

    #[cfg(test)]
    pub(crate) fn used_bytes(&self) -> usize {
        self.all.used()
    }
}

/// The spilled bytes of one query.
#[derive(Debug)]
struct Own {
    spill: Arc<Spill>,
    used: Bytes,
    /// Bytes since the free space of the disk was looked at.
    looked: AtomicU64,
}

impl Own {
    /// # Errors
    /// [`Error::AnswerTooLarge`] past the share of a query, [`Error::Busy`] where others hold what it needs.
    fn take(&self, file: &File, bytes: usize) -> std::result::Result<(), Error> {
        if !self.used.try_take(bytes) {
            let limit = self.used.limit() as u64;
            return Err(Error::AnswerTooLarge { what: "what the query puts on disk in bytes", limit });
        }
        if !self.spill.all.try_take(bytes) {
            self.used.give(bytes);
            return Err(Error::Busy);
        }
        self.look(file, bytes as u64).inspect_err(|_| self.give(bytes))
    }

    /// # Errors
    /// [`Error::DiskFull`] where the disk has only what the store needs; [`Error::Internal`] where it cannot be asked.
    fn look(&self, file: &File, bytes: u64) -> std::result::Result<(), Error> {
        let before = self.looked.fetch_add(bytes, Ordering::Relaxed);
        if before != 0 && before / LOOK_BYTES == before.saturating_add(bytes) / LOOK_BYTES {
            return Ok(());
        }
        let found = rustix::fs::fstatvfs(file)
            .map_err(|error| Error::Internal(format!("free disk space: {error}")))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let kept = self.spill.options.free_bytes_min.saturating_add(LOOK_BYTES).saturating_add(bytes);
        if free < kept { Err(Error::DiskFull) } else { Ok(()) }
    }

    fn give(&self, bytes: usize) {
        self.used.give(bytes);
        self.spill.all.give(bytes);
    }
}

struct Factory(Arc<Own>);

impl TempFileFactory for Factory {
    fn create_temp_file(&self, _: &str) -> Result<Arc<dyn SpillFile>> {
        let directory = &self.0.spill.options.directory;
        let file = tempfile::tempfile_in(directory).map_err(|error| {
            Error::Internal(format!("a file for spilled rows in {}: {error}", directory.display()))
        })?;
        metrics::counter!("tacho_query_spill_files_total").increment(1);
        let held = Held { file, own: Arc::clone(&self.0), length: AtomicUsize::new(0) };
        Ok(Arc::new(Spilled(Arc::new(held))))
    }
}

/// One file; its bytes are given back when its last reader is gone.
struct Held {
    file: File,
    own: Arc<Own>,
    length: AtomicUsize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.own.give(self.length.load(Ordering::Relaxed));
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
