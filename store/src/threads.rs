//! The threads of an open store: one commits, one signs, one seals and keeps the root log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use schemas::Stream;

use crate::durable::{failed, preallocate};
use crate::error::{Error, Result};
use crate::recover::Opened;
use crate::root::Rounds;
use crate::sign::Signer;
use crate::state::{LogState, Shared, lock};
use crate::{commit, root, seal, sign};

/// How often the sealer looks whether something is due.
const TICK: Duration = Duration::from_millis(50);
/// Times everything is sealed until nothing is left.
const SEAL_PASSES: usize = 8;

/// The running threads and what they keep between rounds.
#[derive(Debug)]
pub(crate) struct Threads {
    handles: Mutex<Vec<JoinHandle<()>>>,
    signer: Arc<Mutex<Signer>>,
    rounds: Arc<Mutex<Rounds>>,
    /// Set once the sealer's and signer's loops must end, before the committer's.
    stopping: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Threads {
    pub(crate) fn start(opened: Opened) -> Result<Threads> {
        let Opened { shared, signer, rounds, .. } = opened;
        let threads = Threads {
            handles: Mutex::new(Vec::new()),
            signer: Arc::new(Mutex::new(signer)),
            rounds: Arc::new(Mutex::new(rounds)),
            stopping: Arc::default(),
            shared: Arc::clone(&shared),
        };
        if shared.tampered.get().is_some() {
            return Ok(threads);
        }
        let committer = Arc::clone(&shared);
        threads.spawn("tacho-commit", &shared, move || commit::run(&committer))?;
        let (at, signer, stop) =
            (Arc::clone(&shared), Arc::clone(&threads.signer), Arc::clone(&threads.stopping));
        threads.spawn("tacho-sign", &shared, move || {
            while !stop.load(Ordering::SeqCst) && at.poisoned.get().is_none() {
                at.poison_on(sign::round(&at, &mut lock(&signer), false));
                std::thread::sleep(Duration::from_millis(5));
            }
        })?;
        let (at, rounds, stop) =
            (Arc::clone(&shared), Arc::clone(&threads.rounds), Arc::clone(&threads.stopping));
        threads.spawn("tacho-seal", &shared, move || {
            while !stop.load(Ordering::SeqCst) && at.poisoned.get().is_none() {
                at.poison_on(tick(&at, &mut lock(&rounds)));
                std::thread::sleep(TICK);
            }
        })?;
        Ok(threads)
    }

    /// Starts a thread whose panic poisons the store.
    fn spawn(&self, name: &str, shared: &Arc<Shared>, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let shared = Arc::clone(shared);
        let run = move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
                shared.poison(&Error::Poisoned { reason: "a thread of the store panicked".to_string() });
                // If it was the committer, nobody else answers those who wait.
                commit::refuse_all(&shared, &mut lock(&shared.queue));
            }
        };
        let handle = std::thread::Builder::new()
            .name(name.to_string())
            .spawn(run)
            .map_err(|source| Error::Io { action: "start thread", path: name.into(), source })?;
        lock(&self.handles).push(handle);
        Ok(())
    }

    /// Signs and seals every log that has anything unsealed.
    pub(crate) fn seal_all(&self, shared: &Shared) -> Result<()> {
        // A log that is opened meanwhile waits for the root segment that names it: another pass has it.
        for _ in 0..SEAL_PASSES {
            shared.check_writable()?;
            sign::round(shared, &mut lock(&self.signer), true)?;
            // The root log first: no log's first manifest comes before the root segment that names the log.
            let mut logs = shared.all_logs();
            logs.sort_by_key(|log| log.origin.stream() != Stream::Root);
            for log in &logs {
                while seal::seal(shared, log)? {}
            }
            let is_behind = |log: &LogState| {
                let view = lock(&log.view);
                log.origin.stream() != Stream::Root && view.signed > view.sealed
            };
            if !logs.iter().any(|log| is_behind(log)) {
                return Ok(());
            }
        }
        match shared.all_logs().iter().find(|log| log.origin.stream() != Stream::Root) {
            Some(log) => Err(seal::unsealed_error(log)),
            None => Ok(()),
        }
    }

    /// Ends the store: everything queued is committed, everything committed signed, everything signed sealed, and
    /// the root log says so.
    pub(crate) fn close(&self, shared: &Shared) -> Result<()> {
        shared.closing.store(true, Ordering::SeqCst);
        self.stopping.store(true, Ordering::SeqCst);
        let result = if shared.tampered.get().is_some() { Ok(()) } else { self.finish(shared) };
        self.stop();
        result
    }

    /// Ends the threads, the committer once its queue is empty, and gives the lock back.
    fn stop(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.stopping.store(true, Ordering::SeqCst);
        {
            let _queue = lock(&self.shared.queue);
            self.shared.finished.store(true, Ordering::SeqCst);
            self.shared.queue_changed.notify_all();
        }
        for handle in std::mem::take(&mut *lock(&self.handles)) {
            // A panic of the thread has poisoned the store already.
            handle.join().ok();
        }
        lock(&self.shared.guard).take();
    }

    fn finish(&self, shared: &Shared) -> Result<()> {
        wait_until_committed(shared)?;
        self.seal_all(shared)?;
        root::wait(shared, root::rounds(shared, &mut lock(&self.rounds), true)?)?;
        sign::round(shared, &mut lock(&self.signer), true)?;
        if let Some(root) = shared.find(schemas::origin::ROOT_TENANT, Stream::Root) {
            while seal::seal(shared, &root)? {}
        }
        let sealed = shared.sealed_of();
        lock(&shared.wal).clear(&|log| sealed.get(&log).copied().unwrap_or(0))
    }
}

/// A store dropped without [`Threads::close`]: what is queued is committed, nothing is sealed, and nothing writes on.
impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for the queue to run empty.
fn wait_until_committed(shared: &Shared) -> Result<()> {
    loop {
        shared.check_writable()?;
        {
            let queue = lock(&shared.queue);
            if queue.notes.is_empty() && queue.logs.values().all(|items| items.is_empty()) {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // The commit empties the queue before it syncs: what it took is durable once the log it is on has said so.
    loop {
        shared.check_writable()?;
        let behind = shared.all_logs().iter().any(|log| lock(&log.sequencer).next > lock(&log.view).durable);
        if !behind {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One round of the sealer: the root log's rounds, seals that are due, the disk's level, a spare file.
pub(crate) fn tick(shared: &Shared, rounds: &mut Rounds) -> Result<()> {
    root::rounds(shared, rounds, false)?;
    seal::seal_due(shared)?;
    let sealed = shared.sealed_of();
    lock(&shared.wal).release(&|log| sealed.get(&log).copied().unwrap_or(0))?;
    make_spare(shared)?;
    check_disk(shared);
    Ok(())
}

/// Makes a write-ahead file ahead of its need, so that no commit waits for zeros.
fn make_spare(shared: &Shared) -> Result<()> {
    let wanted = lock(&shared.wal).wants_spare();
    if let Some((path, bytes)) = wanted {
        match preallocate(&*shared.disk, &path, bytes) {
            Ok(_) => lock(&shared.wal).add_spare(path),
            // A spare saves time and nothing else: what is left of it goes, and new events wait.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!(%path, "no room for a spare write-ahead file");
                shared.disk_full.store(true, Ordering::Relaxed);
                match shared.disk.remove(&path) {
                    // There was no room for its name either.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed.map_err(failed(&*shared.disk, "remove", &path))?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Refuses new entries while the disk is nearly full, and takes them again when it is not.
fn check_disk(shared: &Shared) {
    match shared.disk.free_bytes() {
        Ok(free) => {
            let is_full = free < shared.options.disk_free_bytes_min;
            if shared.disk_full.swap(is_full, Ordering::Relaxed) != is_full {
                tracing::warn!(free, is_full, "disk level");
            }
        }
        Err(error) => tracing::error!(%error, "free space is unknown"),
    }
    metrics::gauge!("tacho_wal_files").set(lock(&shared.wal).files() as f64);
    metrics::gauge!("tacho_unsealed_bytes").set(shared.unsealed_bytes.load(Ordering::Relaxed) as f64);
}

impl Shared {
    /// Poisons the store when a round of one of its threads failed.
    fn poison_on(&self, result: Result<()>) {
        // A closing store refuses its own threads too: that is no failure.
        if let Err(error) = result
            && !matches!(error, Error::Poisoned { .. })
        {
            self.poison(&error);
        }
    }
}
