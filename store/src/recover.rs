//! Opening: what is sealed is loaded, what is in the write-ahead files is taken in by the same code that commits,
//! and everything that does not fit is told apart: a torn write that nobody was told of, or tampering.
//!
//! The rules are those of FORMAT.md section 10. Nothing here repairs what was signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};

use schemas::control::{Adopted, Control, LogOpened, Predecessor, RoundLog, Succession};
use schemas::origin::ROOT_TENANT;
use schemas::{Origin, Stream, layout};
use tokio::sync::watch;

use crate::backup::{Restored, restored};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::durable::{failed, remove_temporaries, replace_rebuildable};
use crate::error::{Error, Result};
use crate::find::IdFilters;
use crate::keys::{Keys, LogKeys};
use crate::options::Options;
use crate::proof::Proving;
use crate::root::Rounds;
use crate::sign::Signer;
use crate::snapshot::LogSnapshot;
use crate::state::{Inbox, Known, LogState, Queue, SealState, Sequencer, Shared, View, lock};
use crate::wal::Wal;
use crate::window::{IdDigester, Window};

pub(crate) mod carried;
mod first;
pub(crate) mod last_known;
mod outside;
mod replay;
mod sealed;
mod seen;

pub(crate) use outside::{UNFINISHED, root_writers};
#[cfg(test)]
pub(crate) use sealed::{load as load_for_tests, root_at as root_for_tests};

use first::{begin, set_aside};
use last_known::Predecessors;
use replay::Replay;

/// A log while it is being put together.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    pub(crate) keys: LogKeys,
    pub(crate) view: View,
    pub(crate) seal: SealState,
    /// Checked roots lag behind the view's tree: where the newest note was checked.
    pub(crate) noted: replay::Noted,
    /// What refers to entries that a later group must bring.
    pub(crate) awaited: replay::Awaited,
    pub(crate) last_ingest_us: i64,
    /// What its last entry says goes on in its place, where it ends the log.
    pub(crate) at_end: Option<Succession>,
    /// Whether entries are missing before the last ones that were read.
    pub(crate) has_gap: bool,
}

/// An opened store before its threads run.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) signer: Signer,
    pub(crate) rounds: Rounds,
    /// Logs that the root log says are at their end, and whether it is at its own.
    pub(crate) closed: (BTreeSet<u64>, bool),
}

/// What a store is opened for.
#[derive(Debug, Default)]
pub(crate) enum Purpose {
    /// To go on as before.
    #[default]
    Serve,
    /// To give its logs their last entries, or to find that they have them.
    Close,
    /// To begin the logs of a new writer, or to go on with that.
    Begin {
        /// What they go on from.
        predecessors: Predecessors,
        /// Who, where and why.
        adopted: Adopted,
        /// Logs that are given up and that nothing goes on from.
        lost: Vec<Predecessor>,
    },
    /// To be read, and for nothing else: why.
    Look {
        /// What keeps it from being written.
        log: String,
        /// And why.
        reason: String,
    },
}

/// The error for damage that is not a torn write.
pub(crate) fn tampered(log: &(impl ToString + ?Sized), reason: impl Into<String>) -> Error {
    Error::Tampered { log: log.to_string(), reason: reason.into() }
}

/// Opens the store on `disk`.
///
/// # Errors
/// [`Error::Io`], [`Error::Keys`]. Tampering is no error here: the store opens read-only and says so.
pub(crate) fn open(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    keys: Keys,
) -> Result<Opened> {
    open_for(options, disk, clock, keys, &Purpose::Serve)
}

/// As [`open`], for some purpose.
pub(crate) fn open_for(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    keys: Keys,
    purpose: &Purpose,
) -> Result<Opened> {
    // What an ended process wrote is read from the kernel's memory: none of it is relied on before it is on stable
    // storage.
    disk.sync_everything().map_err(failed(&*disk, "sync", ""))?;
    // What a person has to look into comes before whatever else is found.
    let mut damage: Option<Error> = crate::stop::found(&*disk, &keys, &options)?;
    if restored(&*disk)? == Restored::Unfinished {
        keep_damage(&mut damage, tampered("store", UNFINISHED))?;
    }
    if let Purpose::Look { log, reason } = purpose {
        keep_damage(&mut damage, tampered(log, reason))?;
    }
    let mut found = load_sealed(&disk, &keys, &options, &mut damage)?;
    let mut replay = Replay::of(&options.writer, layout::WAL);
    if let Err(error) = replay.run(&*disk, &keys, &mut found) {
        keep_damage(&mut damage, error)?;
    }
    for log in found.values_mut() {
        for check in [replay::check_copy(&*disk, log), sealed::check_unpublished(&*disk, log)] {
            if let Err(error) = check {
                keep_damage(&mut damage, error)?;
            }
        }
    }
    let told = match check_root(&keys, &options, &disk, &found) {
        Ok(told) => told,
        Err(error) => {
            keep_damage(&mut damage, error)?;
            Told::default()
        }
    };
    for check in outside::check(&*disk, &keys, &options, &found, &told, purpose) {
        keep_damage(&mut damage, check)?;
    }
    let history = match purpose {
        Purpose::Serve | Purpose::Look { .. } => outside::history(&disk, &keys, &options),
        Purpose::Close | Purpose::Begin { .. } => Ok(outside::History::default()),
    };
    let outside::History { rows: history, writers: earlier } = match history {
        Ok(history) => history,
        Err(error) => {
            keep_damage(&mut damage, error)?;
            outside::History::default()
        }
    };
    // Known to the root log, and a crash came before its first entry: it is opened again when it is asked for.
    found.retain(|_, log| log.view.durable > 0);
    let mut logs = Vec::with_capacity(found.len());
    for (name, log) in found {
        let mut window = empty_window(&options);
        let ids = IdDigester::new(&keys, &log.origin)?;
        let before = history.get(&name).map(Vec::as_slice).unwrap_or_default();
        let filled = seen::fill(&*disk, &log, before, &ids, clock.wall_us(), &options, &mut window);
        if let Err(error) = filled {
            keep_damage(&mut damage, error)?;
        }
        logs.push((name, log, window));
    }
    if damage.is_none() {
        set_aside(&*disk, &replay)?;
        replay.write_newest_again(&*disk)?;
        replay.publish_manifests_again(&*disk, logs.iter().map(|(_, log, _)| log))?;
        replay.remove_given_up(&*disk)?;
        // Before anybody is shown it: a crash may have come between the disk and the memory.
        let notes = logs.iter().map(|(_, log, _)| &*log.view.checkpoint);
        if let Err(error) = keys.remember_notes(notes.filter(|note| !note.is_empty())) {
            keep_damage(&mut damage, error)?;
        }
    }
    let mut shared = share(options, disk, clock, keys, logs, &replay, &told)?;
    (shared.history, shared.earlier) = (history, earlier);
    if let Purpose::Begin { predecessors, .. } = purpose {
        shared.predecessors.clone_from(predecessors);
    }
    let shared = Arc::new(shared);
    if let Some(Error::Tampered { log, reason }) = damage {
        tracing::error!(%log, %reason, "store opened read-only");
        let is_unfinished = reason == UNFINISHED;
        let why = if is_unfinished { reason } else { format!("{reason}; {}", outside::WAY_ON) };
        shared.tampered.set((log, why)).ok();
        let closed = (told.closed_logs, told.closed.is_some());
        return Ok(Opened { shared, signer: Signer::default(), rounds: Rounds::default(), closed });
    }
    let mut signer = Signer::default();
    let logs = shared.all_logs();
    logs.iter().for_each(|log| signer.resume(log));
    tidy(&shared, &logs)?;
    // Nothing follows the last entry of a root log.
    if told.closed.is_none() {
        begin(&shared, &told, purpose)?;
    }
    let closed = (told.closed_logs, told.closed.is_some());
    Ok(Opened { shared, signer, rounds: Rounds::resume(told.rounds), closed })
}

/// Keeps the first damage and lets every other error through.
fn keep_damage(damage: &mut Option<Error>, error: Error) -> Result<()> {
    match error {
        Error::Tampered { .. } => {
            tracing::error!(%error, "damage found");
            damage.get_or_insert(error);
            Ok(())
        }
        // What a decoder of a signed or sealed thing refuses was not written by us.
        Error::Refused(error) => {
            tracing::error!(%error, "damage found");
            damage.get_or_insert(tampered("store", error.to_string()));
            Ok(())
        }
        other => Err(other),
    }
}

type Logs = BTreeMap<(String, Stream), Found>;

fn load_sealed(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    options: &Options,
    damage: &mut Option<Error>,
) -> Result<Logs> {
    let mut found = Logs::new();
    let directories = match sealed::log_directories(&**disk) {
        Ok(directories) => directories,
        Err(error) => {
            keep_damage(damage, error)?;
            Vec::new()
        }
    };
    for (tenant, stream, writer) in directories {
        if writer != options.writer {
            continue;
        }
        let origin = Origin::new(keys.installation(), &tenant, stream, &writer)?;
        match sealed::load(disk, keys, origin) {
            Ok(log) => {
                found.insert((tenant, stream), log);
            }
            Err(error) => keep_damage(damage, error)?,
        }
    }
    Ok(found)
}

/// What the root log says.
#[derive(Debug, Default)]
pub(crate) struct Told {
    numbers: BTreeMap<u64, Known>,
    rounds: BTreeMap<u64, RoundLog>,
    /// Digests of the groups that earlier recoveries set aside.
    quarantined: BTreeSet<String>,
    /// Logs that are at their end.
    closed_logs: BTreeSet<u64>,
    /// The last entry of the root log, where it is at its end.
    closed: Option<Succession>,
    /// Who took it into service last.
    adopted: Option<Adopted>,
    /// Logs that it says are given up.
    lost: BTreeSet<String>,
}

impl Told {
    /// Takes in one control entry of the root log.
    fn hear(&mut self, index: u64, control: Control) -> Result<()> {
        match control {
            Control::LogOpened(LogOpened { number, origin, predecessor, .. }) => {
                let known = Known { origin: origin.parse()?, root_index: index, predecessor };
                self.numbers.insert(number, known);
            }
            Control::Round(round) => {
                self.rounds.extend(round.logs.into_iter().map(|log| (log.number, log)));
            }
            Control::Recovery(recovery) => {
                self.quarantined.insert(recovery.quarantined_digest);
            }
            Control::LogClosed(closed) => {
                self.closed_logs.insert(closed.number);
            }
            Control::Succession(succession) => self.closed = Some(succession),
            Control::Adopted(adopted) => self.adopted = Some(adopted),
            Control::LogLost(lost) => {
                self.lost.insert(lost.origin);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads the root log and holds every log against what it says.
fn check_root(keys: &Keys, options: &Options, disk: &Arc<dyn Disk>, found: &Logs) -> Result<Told> {
    let mut told = Told::default();
    let root_origin = Origin::new(keys.installation(), ROOT_TENANT, Stream::Root, &options.writer)?;
    let root = found.get(&(ROOT_TENANT.to_string(), Stream::Root));
    // A crash may come between its directory and its first entry, but then there is nothing else.
    let Some(root) = root.filter(|root| root.view.durable > 0) else {
        return match found.values().find(|log| log.origin.stream() != Stream::Root) {
            Some(log) => {
                Err(tampered(&root_origin, format!("{} is there and the root log is not", log.origin)))
            }
            None => Ok(told),
        };
    };
    sealed::controls(&**disk, root, |index, control| told.hear(index, control))?;
    for (number, round) in &told.rounds {
        let origin = told.numbers.get(number).map(|known| &known.origin);
        let log = origin.and_then(|origin| found.get(&(origin.tenant().to_string(), origin.stream())));
        let (durable, sealed, manifest) =
            log.map_or((0, 0, 0), |log| (log.view.durable, log.view.sealed, log.view.manifest));
        if round.size > durable || round.sealed > sealed || round.manifest > manifest {
            let name = origin.map_or_else(|| number.to_string(), ToString::to_string);
            let detail = format!(
                "the root log knows size {}, sealed {}, manifest {}; here are {durable}, {sealed}, {manifest}",
                round.size, round.sealed, round.manifest
            );
            return Err(tampered(&name, detail));
        }
    }
    let known = |log: &Found| told.numbers.values().any(|known| known.origin == log.origin);
    match found.values().find(|log| !known(log)) {
        Some(log) => Err(tampered(&log.origin, "the root log does not know this log")),
        None => Ok(told),
    }
}

fn share(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    keys: Keys,
    found: Vec<((String, Stream), Found, Window)>,
    replay: &Replay,
    told: &Told,
) -> Result<Shared> {
    let unsealed_bytes = found.iter().map(|(_, log, _)| log.view.unsealed_bytes).sum();
    let number_of = |origin: &Origin| {
        let known = told.numbers.iter().find(|(_, known)| known.origin == *origin);
        known.map_or((0, 0), |(number, known)| (*number, known.root_index))
    };
    let files = replay.files(&|origin| number_of(origin).0);
    let wal = Wal::resume(
        Arc::clone(&disk),
        options.wal_file_bytes,
        schemas::limits::WAL_SPARE_FILES_MAX,
        files,
        replay.next_group(),
        replay.end(),
    );
    let now = (clock.wall_us(), clock.monotonic_us());
    let mut logs = BTreeMap::new();
    for (key, log, window) in found {
        let (number, root_index) = number_of(&log.origin);
        let state = state(&keys, log, window, number, root_index, now)?;
        logs.insert(key, Arc::new(state));
    }
    Ok(Shared {
        options,
        disk,
        clock,
        keys,
        logs: RwLock::new(logs),
        numbers: Mutex::new(told.numbers.clone()),
        predecessors: Predecessors::new(),
        history: BTreeMap::new(),
        earlier: Vec::new(),
        id_filters: IdFilters::default(),
        queue: Mutex::new(Queue::default()),
        queue_changed: Condvar::new(),
        signer_inbox: Mutex::new(Inbox::default()),
        signer_changed: Condvar::new(),
        wal: Mutex::new(wal),
        queued_bytes: AtomicU64::new(0),
        unsealed_bytes: AtomicU64::new(unsealed_bytes),
        disk_full: AtomicBool::new(false),
        closing: AtomicBool::new(false),
        finished: AtomicBool::new(false),
        poisoned: OnceLock::new(),
        tampered: OnceLock::new(),
        guard: Mutex::new(None),
    })
}

/// Calls `each` with every control entry of an open log, in index order.
pub(crate) fn controls_of(
    shared: &Shared,
    log: &LogState,
    each: impl FnMut(u64, Control) -> Result<()>,
) -> Result<()> {
    let LogSnapshot { segments, unsealed, .. } = log.snapshot();
    sealed::controls_in(&*shared.disk, &log.origin, &segments, &unsealed, each)
}

fn empty_window(options: &Options) -> Window {
    Window::new(options.idempotency_ids_max, options.idempotency_window_us)
}

fn state(
    keys: &Keys,
    log: Found,
    window: Window,
    number: u64,
    root_index: u64,
    now: (i64, i64),
) -> Result<LogState> {
    Ok(LogState {
        number,
        root_index,
        ids: IdDigester::new(keys, &log.origin)?,
        sequencer: Mutex::new(Sequencer {
            next: log.view.durable,
            last_ingest_us: log.last_ingest_us,
            run: now,
            window,
            cursors: log.view.cursors.now(),
        }),
        seal_wanted: AtomicBool::new(false),
        durable: watch::Sender::new(log.view.durable),
        origin: log.origin,
        keys: log.keys,
        view: Mutex::new(log.view),
        sealer: Mutex::new(log.seal),
        proving: Proving::default(),
    })
}

/// A log that has no entry yet.
pub(crate) fn new_log(
    shared: &Shared,
    origin: Origin,
    number: u64,
    root_index: u64,
) -> Result<Arc<LogState>> {
    let now = (shared.clock.wall_us(), shared.clock.monotonic_us());
    let found = sealed::empty(&shared.keys, origin)?;
    write_log_json(shared, &found.origin, &found.keys)?;
    let window = empty_window(&shared.options);
    Ok(Arc::new(state(&shared.keys, found, window, number, root_index, now)?))
}

fn write_log_json(shared: &Shared, origin: &Origin, keys: &LogKeys) -> Result<()> {
    let path = format!("{}/{}", layout::origin_dir(origin), layout::LOG_JSON);
    let text = sealed::log_json(origin, keys)?;
    if shared.disk.read(&path).ok().as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    replace_rebuildable(&*shared.disk, &path, text.as_bytes())
}

/// Puts rebuildable files right and removes what a crash left behind.
fn tidy(shared: &Shared, logs: &[Arc<LogState>]) -> Result<()> {
    remove_temporaries(&*shared.disk, layout::LOG)?;
    for entry in shared.disk.list(layout::WAL).map_err(failed(&*shared.disk, "list", layout::WAL))? {
        if layout::parse_wal(&entry.name).is_err() {
            let path = format!("{}/{}", layout::WAL, entry.name);
            shared.disk.remove(&path).map_err(failed(&*shared.disk, "remove", &path))?;
        }
    }
    // Of every known log, one that came to have no entry among them.
    for known in lock(&shared.numbers).values() {
        write_log_json(shared, &known.origin, &shared.keys.log(&known.origin)?)?;
    }
    for log in logs {
        let (checkpoint, sealed, durable) = {
            let view = lock(&log.view);
            (Arc::clone(&view.checkpoint), view.sealed, view.durable)
        };
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::CHECKPOINT);
        if !checkpoint.is_empty() && shared.disk.read(&path).ok().as_deref() != Some(checkpoint.as_bytes()) {
            replace_rebuildable(&*shared.disk, &path, checkpoint.as_bytes())?;
        }
        sealed::remove_unpublished(&*shared.disk, &log.origin, &lock(&log.sealer).live, sealed, durable)?;
    }
    Ok(())
}
