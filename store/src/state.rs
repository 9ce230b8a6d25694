//! The state that commit, sign, seal and readers share, and who may change what under which lock.
//!
//! Lock order: `LogState::sequencer` before `Shared::queue`; `Shared::wal` and `LogState::view` are leaves but that
//! `wal` and `Proving::edge` may be held while a `view` is taken. No lock is held across an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use arrow::compute::concat_batches;
use schemas::control::Predecessor;
use schemas::tile::TileBuilder;
use schemas::tree::CompactRange;
use schemas::{Hash, Origin, Stream, manifest};
use tokio::sync::{oneshot, watch};

use crate::clock::Clock;
use crate::cursor::{Cursors, Positions};
use crate::disk::Disk;
use crate::earlier::Earlier;
use crate::error::{Error, Result};
use crate::find::IdFilters;
use crate::keys::{Keys, LogKeys};
use crate::options::Options;
use crate::prepare::{Filled, arrow_error};
use crate::proof::Proving;
use crate::recover::last_known::Predecessors;
use crate::snapshot::{LogSnapshot, Segment, Unsealed};
use crate::wal::Wal;
use crate::window::{IdDigester, Window};

/// Rows up to which small unsealed batches are merged.
const MERGE_ROWS_MAX: usize = schemas::limits::STORE_MERGE_ROWS_MAX;

/// Locks a mutex. A panic elsewhere poisons the store through [`Shared::poison`], not through the mutex.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything of one open store.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: Keys,
    pub(crate) logs: RwLock<BTreeMap<(String, Stream), Arc<LogState>>>,
    /// Logs that the root log knows; number to origin. A log is opened under this lock.
    pub(crate) numbers: Mutex<BTreeMap<u64, Known>>,
    /// What the logs of this writer go on from, while they are opened in a succession.
    pub(crate) predecessors: Predecessors,
    /// The sealed parts of the logs of earlier writers, oldest first.
    pub(crate) history: BTreeMap<(String, Stream), Vec<LogSnapshot>>,
    /// The same logs for whoever asks for proofs, and their root logs, by writer, oldest first.
    pub(crate) earlier: Vec<Earlier>,
    pub(crate) id_filters: IdFilters,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) queue_changed: Condvar,
    pub(crate) signer_inbox: Mutex<Inbox>,
    pub(crate) signer_changed: Condvar,
    pub(crate) wal: Mutex<Wal>,
    pub(crate) queued_bytes: AtomicU64,
    pub(crate) unsealed_bytes: AtomicU64,
    pub(crate) disk_full: AtomicBool,
    /// No new entries are taken.
    pub(crate) closing: AtomicBool,
    /// Nothing more will be queued: the committer may end.
    pub(crate) finished: AtomicBool,
    pub(crate) poisoned: OnceLock<String>,
    /// Why the store as a whole is served read-only.
    pub(crate) tampered: OnceLock<(String, String)>,
    /// The writer's lock on the data directory: given back once no thread of the store writes any more.
    pub(crate) guard: Mutex<Option<Box<dyn std::fmt::Debug + Send + Sync>>>,
}

/// A log as the root log names it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) origin: Origin,
    /// Index in the root log of its `log_opened` entry.
    pub(crate) root_index: u64,
    /// The log that it goes on from, as that entry says.
    pub(crate) predecessor: Option<Predecessor>,
}

/// What waits for the disk.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Per log number, in index order.
    pub(crate) logs: BTreeMap<u64, VecDeque<Item>>,
    /// Signed checkpoints.
    pub(crate) notes: Vec<(Vec<SignedNote>, oneshot::Sender<Result<()>>)>,
    /// The log that was served last, for fairness.
    pub(crate) served_last: u64,
}

/// A place in a log that has been given out.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) log: Arc<LogState>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) bytes: u64,
    pub(crate) reply: Option<oneshot::Sender<Result<u64>>>,
}

/// Filled by the appending thread once encoded.
#[derive(Debug, Default)]
pub(crate) struct Slot(pub(crate) Mutex<Option<Filled>>);

/// A checkpoint that is signed but not yet durable.
#[derive(Debug, Clone)]
pub(crate) struct SignedNote {
    pub(crate) log: Arc<LogState>,
    pub(crate) size: u64,
    pub(crate) note: Arc<str>,
}

/// Durable entries that the signer has not hashed yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) work: VecDeque<Unhashed>,
    pub(crate) bytes: u64,
}

/// One durable range, for the second code path.
#[derive(Debug)]
pub(crate) struct Unhashed {
    pub(crate) log: Arc<LogState>,
    pub(crate) bundle: Vec<u8>,
    /// The root after it, by the first code path.
    pub(crate) root: Hash,
}

/// Everything of one open log.
#[derive(Debug)]
pub(crate) struct LogState {
    pub(crate) origin: Origin,
    pub(crate) number: u64,
    /// Index in the root log of its `log_opened` entry.
    pub(crate) root_index: u64,
    pub(crate) keys: LogKeys,
    pub(crate) ids: IdDigester,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) view: Mutex<View>,
    /// Held for the whole of a seal.
    pub(crate) sealer: Mutex<SealState>,
    /// For whoever asks for proofs.
    pub(crate) proving: Proving,
    pub(crate) seal_wanted: AtomicBool,
    pub(crate) durable: watch::Sender<u64>,
}

/// Gives out places.
#[derive(Debug)]
pub(crate) struct Sequencer {
    pub(crate) next: u64,
    pub(crate) last_ingest_us: i64,
    /// Wall and monotonic time at the start of the clock run.
    pub(crate) run: (i64, i64),
    pub(crate) window: Window,
    /// With all that was placed.
    pub(crate) cursors: Positions,
}

/// What readers see.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) durable: u64,
    pub(crate) signed: u64,
    pub(crate) sealed: u64,
    pub(crate) manifest: u64,
    pub(crate) manifest_digest: String,
    pub(crate) checkpoint: Arc<str>,
    /// Signed checkpoints of sizes from `sealed` on, ascending: where a seal may end.
    pub(crate) notes: VecDeque<(u64, Arc<str>)>,
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    pub(crate) unsealed: Vec<Unsealed>,
    pub(crate) unsealed_bytes: u64,
    pub(crate) oldest_unsealed_us: Option<i64>,
    pub(crate) tree: CompactRange,
    /// Leaf hashes of `sealed..durable`: 32 bytes an entry, whose own bytes `unsealed_bytes` counts and bounds.
    pub(crate) leaves: Vec<Hash>,
    /// The tree of `sealed`, from which `leaves` go on.
    pub(crate) sealed_tiles: Arc<TileBuilder>,
    pub(crate) cursors: Cursors,
}

/// What a seal continues from.
#[derive(Debug)]
pub(crate) struct SealState {
    pub(crate) tiles: TileBuilder,
    pub(crate) live: Vec<manifest::File>,
}

impl Shared {
    /// Stops all writing; the first reason stays.
    pub(crate) fn poison(&self, error: &Error) {
        // That store is read-only already, and says why.
        if self.tampered.get().is_none() && self.poisoned.set(error.to_string()).is_ok() {
            tracing::error!(%error, "store stopped writing");
            metrics::gauge!("tacho_store_poisoned").set(1.0);
        }
        self.queue_changed.notify_all();
        self.signer_changed.notify_all();
    }

    /// Whether anything may still be written.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if let Some((log, reason)) = self.tampered.get() {
            return Err(Error::Tampered { log: log.clone(), reason: reason.clone() });
        }
        if let Some(reason) = self.poisoned.get() {
            return Err(Error::Poisoned { reason: reason.clone() });
        }
        Ok(())
    }

    /// All logs, in order of tenant and stream.
    pub(crate) fn all_logs(&self) -> Vec<Arc<LogState>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn find(&self, tenant: &str, stream: Stream) -> Option<Arc<LogState>> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        logs.get(&(tenant.to_string(), stream)).cloned()
    }

    pub(crate) fn sealed_of(&self) -> BTreeMap<u64, u64> {
        self.all_logs().iter().map(|log| (log.number, lock(&log.view).sealed)).collect()
    }

    /// Refuses when a budget is used up. The control entries of the recorder itself pass.
    pub(crate) fn admit(&self, bytes: u64) -> Result<()> {
        self.check_writable()?;
        if self.queued_bytes.load(Ordering::Relaxed).saturating_add(bytes) > self.options.queued_bytes_max {
            return Err(Error::Busy { what: "bytes queued for the disk" });
        }
        if self.unsealed_bytes.load(Ordering::Relaxed) > self.options.unsealed_bytes_max {
            return Err(Error::Busy { what: "bytes not yet sealed" });
        }
        if self.disk_full.load(Ordering::Relaxed) {
            let free = self.disk.free_bytes().unwrap_or(0);
            return Err(Error::DiskFull { free, needed: self.options.disk_free_bytes_min });
        }
        Ok(())
    }
}

impl View {
    /// Takes a durable range in: tree, unsealed rows, sizes. The one way in, for commit and recovery alike.
    /// Returns the new root.
    pub(crate) fn apply(&mut self, filled: &Filled, bundle_bytes: u64, ingest_us: i64) -> Result<Hash> {
        if filled.first != self.durable {
            let detail = format!("range starts at {}, log ends at {}", filled.first, self.durable);
            return Err(schemas::Error::malformed("commit", detail).into());
        }
        filled.leaves.iter().for_each(|leaf| self.tree.push(*leaf));
        self.leaves.extend_from_slice(&filled.leaves);
        self.durable += u64::from(filled.count);
        for step in &filled.cursors {
            self.cursors.apply(self.durable, step.name.as_str(), step.to.as_deref().unwrap_or_default());
        }
        self.unsealed_bytes += bundle_bytes + filled.records.len() as u64;
        self.oldest_unsealed_us.get_or_insert(ingest_us);
        self.unsealed.push(Unsealed {
            first: filled.first,
            entries: filled.entries.clone(),
            payloads: filled.payloads.clone(),
        });
        self.merge_small()?;
        Ok(self.tree.root())
    }

    /// Merges small batches like a binary counter, so that many small requests do not become many small batches.
    fn merge_small(&mut self) -> Result<()> {
        while let [.., before, last] = self.unsealed.as_slice() {
            let (a, b) = (before.entries.num_rows(), last.entries.num_rows());
            if a > 2 * b || a + b > MERGE_ROWS_MAX {
                break;
            }
            let merged = Unsealed {
                first: before.first,
                entries: concat_batches(before.entries.schema_ref(), [&before.entries, &last.entries])
                    .map_err(arrow_error)?,
                payloads: concat_batches(before.payloads.schema_ref(), [&before.payloads, &last.payloads])
                    .map_err(arrow_error)?,
            };
            self.unsealed.truncate(self.unsealed.len() - 2);
            self.unsealed.push(merged);
        }
        Ok(())
    }
}

impl LogState {
    pub(crate) fn snapshot(&self) -> LogSnapshot {
        let view = lock(&self.view);
        LogSnapshot {
            origin: self.origin.clone(),
            sealed: view.sealed,
            signed: view.signed,
            durable: view.durable,
            manifest: view.manifest,
            checkpoint: Arc::clone(&view.checkpoint),
            segments: Arc::clone(&view.segments),
            unsealed: view.unsealed.clone(),
        }
    }
}
