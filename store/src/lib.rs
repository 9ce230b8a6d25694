//! Event to log to segment: sequencer, write-ahead groups, checkpoints, sealing, recovery, reading.
//!
//! ```text
//! append ─► prepare ─► place ─► commit (group, fdatasync) ─► acknowledged: D
//!                                  └─► sign (second hashing, at most once a second): C
//!                                         └─► seal (Parquet, tiles, re-read, manifest): S
//! ```
//! Invariants (numbers of the product's list)
//! - I1: an append returns only when its entries are on stable storage, and they are found after any crash.
//! - I2: what cannot be taken is refused with [`Error::Busy`] or [`Error::DiskFull`]; nothing is dropped.
//! - I5: `S <= C <= D`; a sealed byte is under a signed checkpoint.
//! - I6: a failed write or sync stops the writer; damage below a signed size is never repaired, only shown.
//!
//! This crate must not know: HTTP, JSON events, detection, SQL.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod backup;
pub mod clock;
pub mod disk;
pub mod keys;

mod append_file;
mod bundle;
mod control;
mod crash;
mod cursor;
mod draft;
mod durable;
mod earlier;
mod edge;
mod entries;
mod error;
mod find;
mod lookup;
mod options;
mod own_files;
mod payloads;
mod prepare;
mod segment_file;
mod sequence;
mod snapshot;
mod state;
mod wal;
mod window;

mod commit;
mod recover;
mod root;
mod seal;
mod sign;
mod stop;
mod succession;
mod threads;

mod proof;

mod evidence;

#[cfg(test)]
mod power_cut;

pub use append_file::AppendFile;
pub use clock::Clock;
pub use crash::{
    PLACES as CRASH_PLACES, SINK_PLACES as SINK_CRASH_PLACES, SUCCESSION_PLACES as SUCCESSION_CRASH_PLACES,
    point as crash_point,
};
pub use cursor::{Cursor, Source};
pub use draft::{Draft, Receipt};
pub use entries::{Entries, ReadError, open_segment};
pub use error::{Error, Result};
pub use evidence::{Export, ExportError, Exported, Selection};
pub use keys::{Custody, Keys, NoCustody, Seen, Wrapping, write_secret};
pub use options::Options;
pub use own_files::{NewFile, OwnFiles};
pub use proof::LogTree;
pub use snapshot::{DataFile, LogSnapshot, Segment, Unsealed};
pub use succession::{Adoption, Succeeded, adopt, rotate};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemas::control::Control;
use schemas::{CursorName, Origin, Stream, layout};

use disk::{Disk, RealDisk};
use earlier::Earlier;
use sequence::{Placed, place};
use state::{Known, LogState, Shared, lock};
use threads::Threads;

/// Rows from which preparing a draft leaves the async threads.
const INLINE_ROWS_MAX: usize = 16;

/// The open store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// One open log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Log(SignedLog);

/// A log for whoever reads its signed tree: one that is written, or one of an earlier writer. Nothing is appended through it;
/// cheap to clone.
#[derive(Debug, Clone)]
pub struct SignedLog {
    shared: Arc<Shared>,
    state: Arc<LogState>,
}

/// A log that is written is read as any other.
impl std::ops::Deref for Log {
    type Target = SignedLog;

    fn deref(&self) -> &SignedLog {
        &self.0
    }
}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether new entries are taken now.
    pub ready: bool,
    /// Why not, for whoever operates it: may name paths and logs.
    pub reason: Option<String>,
    /// Why not, for anybody: `poisoned`, `tampered`, `disk_full` or `busy`.
    pub code: Option<&'static str>,
}

impl Store {
    /// Opens the data directory, recovering what a crash left, and starts its threads.
    ///
    /// A store that is damaged below a signed size opens read-only: [`Store::status`] says so.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it; [`Error::Keys`] when another one signs with these keys, too;
    /// [`Error::Io`].
    pub fn open(data: &Path, keys: Keys, options: Options, clock: Arc<dyn Clock>) -> Result<Store> {
        let io = |action, source| Error::Io { action, path: data.to_path_buf(), source };
        let disk = RealDisk::open(data).map_err(|error| io("open data directory", error))?;
        let guard = disk.lock(layout::LOCK).map_err(|error| io("lock", error))?;
        let Some(guard) = guard else { return Err(Error::Locked(data.to_path_buf())) };
        // Before anything of them is relied on: another may have signed since they were loaded.
        let (keys, held) = keys.held()?;
        let opened = open_held(Arc::new(disk), keys, options, clock)?;
        let shared = Arc::clone(&opened.shared);
        *lock(&shared.guard) = Some(Box::new((guard, held)));
        let threads = Threads::start(opened)?;
        Ok(Store { shared, threads: Arc::new(threads) })
    }

    /// The log of this tenant and stream; opened, and so recorded in the root log, if it is new.
    ///
    /// # Errors
    /// [`Error::Refused`] for a tenant that cannot be part of an origin; as [`Log::append`].
    pub async fn log(&self, tenant: &str, stream: Stream) -> Result<Log> {
        if let Some(state) = self.shared.find(tenant, stream) {
            return Ok(self.log_of(state));
        }
        let shared = Arc::clone(&self.shared);
        let tenant = tenant.to_string();
        let open = move || {
            let wait = |placed| root::wait(&shared, vec![placed]);
            open_log(&shared, &tenant, stream, &wait)
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let (state, placed) = opened.map_err(|error| Error::Poisoned { reason: error.to_string() })??;
        if let Some(placed) = placed {
            durable(&self.shared, placed).await?;
        }
        Ok(self.log_of(state))
    }

    /// The log of this tenant and stream, if there is one.
    pub fn existing(&self, tenant: &str, stream: Stream) -> Option<Log> {
        self.shared.find(tenant, stream).map(|state| self.log_of(state))
    }

    fn log_of(&self, state: Arc<LogState>) -> Log {
        Log(SignedLog { shared: Arc::clone(&self.shared), state })
    }

    /// The logs that exist, in order of tenant and stream.
    pub fn origins(&self) -> Vec<Origin> {
        self.shared.all_logs().iter().map(|log| log.origin.clone()).collect()
    }

    /// The sources that logs have cursors of, in order of tenant and stream; as [`Log::cursor`].
    pub fn sources(&self) -> Vec<(Origin, Source)> {
        let mut found = Vec::new();
        for log in self.shared.all_logs() {
            let of_log = cursor::sources(&lock(&log.sequencer).cursors);
            found.extend(of_log.into_iter().map(|source| (log.origin.clone(), source)));
        }
        found
    }

    /// The store's clock: the one that dates its entries.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// The log of this tenant and stream as it is now, if there is one.
    pub fn snapshot(&self, tenant: &str, stream: Stream) -> Option<LogSnapshot> {
        Some(self.shared.find(tenant, stream)?.snapshot())
    }

    /// The logs that were written in place of this one before, oldest first: sealed and at their end.
    pub fn predecessors(&self, tenant: &str, stream: Stream) -> Vec<LogSnapshot> {
        self.shared.history.get(&(tenant.to_string(), stream)).cloned().unwrap_or_default()
    }

    /// Of those the ones that cannot be read, by writer, and why, oldest first: whoever answers from [`Store::predecessors`] answers
    /// from a part.
    pub fn damaged_predecessors(&self, tenant: &str, stream: Stream) -> Vec<(String, String)> {
        let place = (tenant.to_string(), stream);
        let damaged =
            |earlier: &Earlier| earlier.damaged.get(&place).map(|why| (earlier.writer.clone(), why.clone()));
        self.shared.earlier.iter().filter_map(damaged).collect()
    }

    /// Whether new entries are taken, and why not.
    pub fn status(&self) -> Status {
        let error = self.shared.admit(0).err();
        let code = error.as_ref().map(|error| match error {
            Error::Tampered { .. } => "tampered",
            Error::DiskFull { .. } => "disk_full",
            Error::Busy { .. } => "busy",
            _ => "poisoned",
        });
        Status { ready: error.is_none(), reason: error.map(|error| error.to_string()), code }
    }

    /// The verifier key of the root log: all that an auditor needs.
    ///
    /// # Errors
    /// [`Error::Keys`].
    pub fn root_key(&self) -> Result<String> {
        root_key(&self.shared.keys, &self.shared.options.writer)
    }

    /// The installation's keys.
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// Seals everything that can be sealed now, without waiting for size or age.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn seal(&self) -> Result<()> {
        let threads = Arc::clone(&self.threads);
        let shared = Arc::clone(&self.shared);
        let sealed = tokio::task::spawn_blocking(move || threads.seal_all(&shared)).await;
        sealed.map_err(|error| Error::Poisoned { reason: error.to_string() })?
    }

    /// Commits, signs and seals everything, and ends the threads. Appends after this are refused.
    ///
    /// # Errors
    /// The failure that keeps something from being sealed; what was acknowledged is durable all the same.
    pub async fn close(&self) -> Result<()> {
        let threads = Arc::clone(&self.threads);
        let shared = Arc::clone(&self.shared);
        let closed = tokio::task::spawn_blocking(move || threads.close(&shared)).await;
        closed.map_err(|error| Error::Poisoned { reason: error.to_string() })?
    }
}

fn open_held(
    disk: Arc<dyn Disk>,
    keys: Keys,
    mut options: Options,
    clock: Arc<dyn Clock>,
) -> Result<recover::Opened> {
    let pending = keys.record().pending.clone();
    // A crash may have come amid a succession: there is the new writer or the old one, never both.
    match (succession::finish_begun(&disk, keys.clone(), &options, &clock), pending) {
        (Ok(keys), _) => {
            let keys = keys.on_this_machine()?;
            options.writer = keys.writer().to_string();
            recover::open(options, disk, clock, keys)
        }
        // It is served as far as it goes, and says what leads on.
        (Err(Error::Tampered { log, reason }), Some(pending)) => {
            options.writer = pending.from;
            let reason = format!("{reason}; the succession that was begun is not finished");
            recover::open_for(options, disk, clock, keys, &recover::Purpose::Look { log, reason })
        }
        (Err(error), _) => Err(error),
    }
}

/// The verifier key of the root log of these keys.
///
/// # Errors
/// [`Error::Keys`].
pub fn root_key(keys: &Keys, writer: &str) -> Result<String> {
    let origin = Origin::new(keys.installation(), schemas::origin::ROOT_TENANT, Stream::Root, writer)?;
    Ok(keys.log(&origin)?.checkpoint.verifier().to_string())
}

/// Opens a log, or finds that somebody just has; returns its first entry, which waits for the disk.
///
/// The root log's entry is on stable storage (`wait`) before anything of the log is on disk: after a power cut there
/// may be a log that the root log knows and that has nothing yet, and never one that it does not know.
fn open_log(
    shared: &Shared,
    tenant: &str,
    stream: Stream,
    wait: &dyn Fn(Placed) -> Result<()>,
) -> Result<(Arc<LogState>, Option<Placed>)> {
    let origin = Origin::new(shared.keys.installation(), tenant, stream, &shared.options.writer)?;
    let mut numbers = lock(&shared.numbers);
    if let Some(state) = shared.find(tenant, stream) {
        return Ok((state, None));
    }
    if shared.closing.load(std::sync::atomic::Ordering::SeqCst) {
        return Err(sign::closed());
    }
    shared.admit(0)?;
    let root = shared
        .find(schemas::origin::ROOT_TENANT, Stream::Root)
        .ok_or_else(|| Error::Poisoned { reason: "the root log is not open".to_string() })?;
    let known = numbers.iter().find(|(_, known)| known.origin == origin);
    let before = shared.predecessors.get(&(tenant.to_string(), stream));
    let known = known.map(|(number, known)| (*number, known.root_index, known.predecessor.clone()));
    let (number, root_index, predecessor) = match known {
        // A crash came between the root log's entry and the log's first.
        Some(known) => known,
        None => {
            let number = numbers.keys().next_back().map_or(1, |last| last + 1);
            let keys = shared.keys.log(&origin)?;
            let predecessor = before.map(|before| before.predecessor.clone());
            let opened = root::opened(number, &origin, &keys, predecessor.clone());
            let told = root::append_control(shared, &root, &opened)?;
            let root_index = told.first;
            wait(told)?;
            let known = Known { origin: origin.clone(), root_index, predecessor: predecessor.clone() };
            numbers.insert(number, known);
            (number, root_index, predecessor)
        }
    };
    let state = recover::new_log(shared, origin.clone(), number, root_index)?;
    let opened = root::opened(number, &origin, &state.keys, predecessor);
    let placed = match before {
        Some(before) => sequence::place_first(shared, &state, &opened, &before.read)?,
        None => root::append_control(shared, &state, &opened)?,
    };
    let mut logs = shared.logs.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    logs.insert((tenant.to_string(), stream), Arc::clone(&state));
    Ok((state, Some(placed)))
}

/// Waits until a placed range is on stable storage; returns the durable size.
async fn durable(shared: &Shared, placed: Placed) -> Result<Option<u64>> {
    let Some(durable) = placed.durable else { return Ok(None) };
    match durable.await {
        Ok(result) => result.map(Some),
        Err(_) => {
            shared.check_writable()?;
            Err(sign::closed())
        }
    }
}

impl Log {
    /// Appends a draft; returns once it is on stable storage.
    ///
    /// The draft's rows become one contiguous range. Once this has been polled the rows are recorded even if the
    /// future is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::DiskFull`]: nothing was written, try later. [`Error::Refused`]: this draft is not
    /// storable. [`Error::Poisoned`], [`Error::Tampered`]: the store takes nothing more.
    pub async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.append_read(draft, Vec::new()).await
    }

    /// Appends a draft and says how far its sources have been read with it; returns once both are on stable storage,
    /// neither without the other.
    ///
    /// A position stands only behind an entry: where every row is a duplicate ([`Receipt::count`] is 0), the cursors
    /// stay as they were.
    ///
    /// # Errors
    /// As [`Log::append`]; [`Error::CursorMoved`] where a cursor is not where the append goes on from, so that what is
    /// sent twice is recorded once.
    pub async fn append_read(&self, draft: Draft, cursors: Vec<Cursor>) -> Result<Receipt> {
        let bytes =
            ((draft.entries.get_array_memory_size() + draft.payloads.get_array_memory_size()) / 2) as u64;
        // One that is over the whole budget is told that it is too large, not to try again.
        self.shared.admit(bytes.min(schemas::limits::RANGE_BYTES_MAX))?;
        if self.shared.closing.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(sign::closed());
        }
        let placed = if draft.entries.num_rows() <= INLINE_ROWS_MAX {
            place(&self.shared, &self.state, &draft, &cursors, true)?
        } else {
            let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
            let place = move || place(&shared, &state, &draft, &cursors, true);
            let placed = tokio::task::spawn_blocking(place).await;
            placed.map_err(|error| Error::Poisoned { reason: error.to_string() })??
        };
        let (first_index, count) = (placed.first, placed.count);
        let duplicates = &placed.duplicates;
        let duplicates = duplicates.iter().map(|(row, index)| (*row, window::place_of(*index))).collect();
        let tree_size = match durable(&self.shared, placed).await? {
            Some(size) => size,
            None => lock(&self.state.view).durable,
        };
        Ok(Receipt { origin: self.state.origin.clone(), first_index, count, duplicates, tree_size })
    }

    /// Appends an entry of the recorder's own; returns once it is on stable storage.
    ///
    /// # Errors
    /// As [`Log::append`]; [`Error::Refused`] for the kinds that the store writes by itself.
    pub async fn append_control(&self, control: Control) -> Result<()> {
        if control::stream_of(&control) != Some(self.state.origin.stream()) {
            return Err(Error::Refused(schemas::Error::malformed(
                "control entry",
                "of the store's own kind, or not of this stream",
            )));
        }
        self.shared.admit(0)?;
        let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
        let placed =
            tokio::task::spawn_blocking(move || sequence::place_control(&shared, &state, &control)).await;
        let placed = placed.map_err(|error| Error::Poisoned { reason: error.to_string() })??;
        durable(&self.shared, placed).await.map(|_| ())
    }

    /// Where this cursor is: what the next append that moves it goes on from. What was appended and is not durable yet
    /// counts; if it never becomes durable, neither does anything after it.
    pub fn cursor(&self, name: &CursorName) -> Option<String> {
        lock(&self.state.sequencer).cursors.get(name.as_str()).cloned()
    }

    /// The cursors of one source of a collector, by partition; as [`Log::cursor`].
    ///
    /// # Errors
    /// [`Error::Refused`] for names that no cursor has.
    pub fn cursors(&self, collector: &str, source: &str) -> Result<BTreeMap<String, String>> {
        let any = CursorName::new(collector, source, "any")?;
        let sequencer = lock(&self.state.sequencer);
        let of_source = sequencer.cursors.range(any.source_prefix().to_string()..);
        let of_source = of_source.map_while(|(name, value)| {
            Some((name.strip_prefix(any.source_prefix())?.to_string(), value.clone()))
        });
        Ok(of_source.collect())
    }

    /// How many cursors more this log takes.
    pub fn cursor_room(&self) -> usize {
        schemas::limits::CURSORS_LOG_MAX.saturating_sub(lock(&self.state.sequencer).cursors.len())
    }

    /// Whether the store takes anything at all; what an append would say of it.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Tampered`]: nothing more is written until a restart.
    pub fn check_writable(&self) -> Result<()> {
        self.shared.check_writable()
    }

    /// Waits until the durable size is over `size`, and returns it.
    pub async fn grown_past(&self, size: u64) -> u64 {
        let mut durable = self.state.durable.subscribe();
        let grown = durable.wait_for(|durable| *durable > size).await.map(|durable| *durable);
        // The sender lives in the state that this handle holds.
        grown.unwrap_or(size)
    }
}
