//! One tenant: its events log followed, folded, and its alerts appended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::State;
use schemas::Stream;
use schemas::control::{ClockRead, Control};
use store::{Draft, Entries, Log, LogSnapshot, Store};
use tokio::sync::watch;

use crate::columns::READ_COLUMNS;
use crate::draft::draft;
use crate::emitted::{self, Emitted};
use crate::error::{Error, Result};
use crate::fold::{Fold, Found, Limits};
use crate::measure;
use crate::options::Options;
use crate::state_file::StateFiles;
use crate::takeover::{self, Last, Told};

/// Bytes of a state file that may be written for each record folded.
const STATE_BYTES_OF_RECORD: u64 = 100;
/// First and longest wait before the store is asked again.
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// What one tenant's task works with.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub store: Store,
    pub name: String,
    pub options: Arc<Options>,
    /// Becomes true once, when the runner is to end.
    pub stop: watch::Receiver<bool>,
}

/// Since when nothing came, by the wall clock and by the one that never steps.
#[derive(Debug, Clone, Copy)]
struct Silence {
    since_us: i64,
    since_monotonic_us: i64,
}

/// The runner is to end; nothing is wrong.
#[derive(Debug)]
struct Ended;

/// Whether to go on.
type Next<T> = Result<Result<T, Ended>>;

/// Everything of one run that moves between the async thread and those that fold.
struct Work {
    fold: Fold,
    /// Alerts up to here are in the alerts log.
    emitted: Option<Emitted>,
    /// Where the alerts log ended at the start, while the fold has not come past that event: what goes on there is told then.
    takeover: Option<Last>,
    /// State files that are not good for this log and these rules.
    passed_over: Vec<PathBuf>,
    found: Vec<Found>,
    observed: usize,
}

impl Tenant {
    /// Follows the log until told to stop. `done` is told how many entries are folded with all their alerts durable,
    /// first where the run starts from.
    ///
    /// # Errors
    /// What keeps it from going on. Starting again is safe at any point.
    pub(crate) async fn run(&mut self, done: impl Fn(u64)) -> Result<()> {
        let Ok(events) = self.log(Stream::Events).await? else { return Ok(()) };
        let Ok(alerts) = self.log(Stream::Alerts).await? else { return Ok(()) };
        let files = StateFiles::new(&self.options.snapshot_dir, &self.name);
        let mut work = self.open(&files, events.snapshot(), alerts.snapshot()).await?;
        let mut saved = work.fold.next_index();
        let mut state_bytes = 0;
        let clock = self.store.clock();
        let mut silence = Silence { since_us: clock.wall_us(), since_monotonic_us: clock.monotonic_us() };
        done(saved);
        while !is_stopping(&self.stop) {
            if work.fold.is_drained() {
                let (snapshot, next) = (events.snapshot(), work.fold.next_index());
                if snapshot.durable <= next {
                    tokio::select! {
                        _ = events.grown_past(next) => {}
                        _ = self.stop.changed() => {}
                        () = tokio::time::sleep(self.options.clock_every) => {
                            self.read_clock(&events, &mut work.fold, silence).await?;
                        }
                    }
                    continue;
                }
                work.fold.feed(Entries::sealed_first(snapshot, next, &READ_COLUMNS));
            }
            work = self.fold_chunk(work).await?;
            if let Some(last) = work.takeover.take_if(|last| work.fold.engine.next_index() > last.position) {
                work = self.take_over(work, &alerts, &events, last).await?;
            }
            if !work.found.is_empty() && !work.passed_over.is_empty() {
                let (files, passed_over) = (files.clone(), std::mem::take(&mut work.passed_over));
                blocking(move || files.forget(&passed_over, saved)).await?;
            }
            silence.since_us = work.fold.received_us.unwrap_or(silence.since_us);
            silence.since_monotonic_us = clock.monotonic_us();
            // Crash before or inside the append: the alerts are missing or a beginning of them is there; the next
            // start reads the last one and folds again from a state before it.
            let Ok(()) = self.emit(&alerts, &events, &mut work).await? else { return Ok(()) };
            // Crash from here on: the next start finds them and emits what comes after.
            measure::folded(work.observed);
            let next = work.fold.next_index();
            done(next);
            // A state file costs by its length, a start by the records behind it.
            let every = self.options.snapshot_every.max(state_bytes / STATE_BYTES_OF_RECORD).max(1);
            if next.saturating_sub(saved) >= every {
                (work, state_bytes) = save(&files, &events, work).await?;
                saved = next;
            }
        }
        if work.fold.next_index() > saved {
            save(&files, &events, work).await?;
        }
        Ok(())
    }

    /// Where the log has been silent for as long as it waits for late events, and something in the engine is due since as long, the
    /// log gets an entry that tells the time: the fold has no other clock. Crash after it: the next start folds it.
    async fn read_clock(&self, events: &Log, fold: &mut Fold, silence: Silence) -> Result<()> {
        let Some(due_us) = fold.engine.awaits_us() else { return Ok(()) };
        let lateness_us = self.options.settings.lateness_s.saturating_mul(1_000_000);
        let clock = self.store.clock();
        let now_us = clock.wall_us();
        // A wall clock that jumps ahead for a moment is no silence, and one that jumped back has not been silent until then.
        let is_silent = clock.monotonic_us().saturating_sub(silence.since_monotonic_us) >= lateness_us;
        if !is_silent || now_us < due_us.max(silence.since_us.min(now_us)).saturating_add(lateness_us) {
            return Ok(());
        }
        match events.append_control(Control::ClockRead(ClockRead { due_us })).await {
            // A log that is not written to any more is still read.
            Err(store::Error::Tampered { .. }) => Ok(()),
            Err(error) if !is_later(&error) => Err(error.into()),
            // A store that takes nothing now is asked again.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A log of this tenant, opened when the store can.
    async fn log(&mut self, stream: Stream) -> Next<Log> {
        let mut wait = RETRY_FIRST;
        loop {
            match self.store.log(&self.name, stream).await {
                Ok(log) => return Ok(Ok(log)),
                Err(error) if is_later(&error) => {
                    if self.waited(&mut wait).await.is_err() {
                        return Ok(Err(Ended));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Finds out how far the alerts are and where to fold from.
    async fn open(&self, files: &StateFiles, events: LogSnapshot, alerts: LogSnapshot) -> Result<Work> {
        let (files, setup) = (files.clone(), self.options.setup());
        let log = events.origin.to_string();
        let (durable, end) = (events.durable, alerts.durable);
        let ((fold, passed_over), emitted) = blocking(move || {
            let emitted = emitted::last(&alerts, &events.origin.to_string())?;
            Ok((files.restore(&events, &setup)?, emitted))
        })
        .await?;
        let from = fold.next_index();
        let takeover = emitted.map(|Emitted { position, ordinal }| Last { end, position, ordinal });
        let takeover = takeover.filter(|last| fold.engine.next_index() <= last.position);
        if let Some(Emitted { position, ordinal }) = emitted {
            if u64::try_from(position).is_ok_and(|position| position >= durable) {
                return Err(Error::Ahead { log, durable, position });
            }
            let settings = self.options.settings.digest();
            let rules = self.options.rules.as_deref().map(sigma::Rules::digest);
            tracing::info!(
                tenant = self.name,
                from,
                position,
                ordinal,
                settings,
                rules,
                "folding on; alerts up to this position stand as recorded, whatever these settings and rules say of them"
            );
        } else {
            tracing::info!(tenant = self.name, from, "folding; no alert is recorded yet");
        }
        Ok(Work { fold, emitted, takeover, passed_over, found: Vec::new(), observed: 0 })
    }

    async fn fold_chunk(&self, mut work: Work) -> Result<Work> {
        // Right behind the event of a takeover a chunk ends.
        let until = work.takeover.map(|last| last.position.saturating_sub(work.fold.engine.next_index()));
        let until = until.and_then(|until| usize::try_from(until.saturating_add(1)).ok());
        let limits = Limits {
            records_max: self.options.chunk_records_max.min(until.unwrap_or(usize::MAX)).max(1),
            alerts_max: self.options.chunk_alerts_max.max(1),
        };
        blocking(move || {
            work.found.clear();
            work.observed = work.fold.chunk(limits, &mut work.found)?;
            let emitted = work.emitted;
            // At the event of a takeover ordinals are of other rules: what is there already is found by what it says.
            let takeover = work.takeover;
            work.found.retain(|found| match takeover {
                Some(last) => found.alert.position >= last.position,
                None => emitted.is_none_or(|emitted| place(found) > emitted),
            });
            Ok(work)
        })
        .await
    }

    /// Adds to what was found what there is to tell because other rules or settings may take effect here.
    async fn take_over(&self, mut work: Work, alerts: &Log, events: &Log, last: Last) -> Result<Work> {
        let (tenant, setup) = (self.name.clone(), self.options.setup());
        let (alerts, evidence_log) = (alerts.snapshot(), events.origin().to_string());
        blocking(move || {
            let Work { fold, found, .. } = &mut work;
            let all = std::mem::take(found);
            let Told { fresh, mut told, .. } =
                takeover::told(&alerts, last, &evidence_log, &mut fold.engine, &setup, all)?;
            *found = fresh;
            if !told.is_empty() {
                let closed = told.iter().filter(|found| found.alert.state == State::Closed).count();
                let opened = told.len().saturating_sub(closed);
                tracing::info!(
                    tenant, position = last.position, opened, closed,
                    "other rules or settings take effect: what goes on under them is told, what does not is closed"
                );
            }
            found.append(&mut told);
            Ok(work)
        })
        .await
    }

    /// Appends the alerts found, all at once; returns when they are durable.
    async fn emit(&mut self, alerts: &Log, events: &Log, work: &mut Work) -> Next<()> {
        // One record can close thousands of episodes, and a range of the log has a limit.
        for part in work.found.chunks(self.options.chunk_alerts_max.max(1)) {
            let draft = draft(&self.name, &events.origin().to_string(), part)?;
            if let Err(ended) = self.append(alerts, &draft).await? {
                return Ok(Err(ended));
            }
            work.emitted = part.last().map(place);
        }
        for Found { alert, .. } in &work.found {
            measure::alert(alert);
            if alert.state == State::Open {
                let (alert_id, rule_id) = (&alert.alert_id, &alert.rule_id);
                let (severity, position) = (alert.severity, alert.position);
                tracing::info!(
                    tenant = self.name, alert_id, rule_id, ?severity, entity = ?alert.entity, position,
                    "alert opened"
                );
            }
        }
        Ok(Ok(()))
    }

    /// Tries until the store takes it. Nothing of a refused draft is in the log, and what is in it of a draft whose
    /// append nobody waited for is found by its event ids.
    async fn append(&mut self, alerts: &Log, draft: &Draft) -> Next<()> {
        let mut wait = RETRY_FIRST;
        loop {
            match alerts.append(draft.clone()).await {
                Ok(receipt) => {
                    if !receipt.duplicates.is_empty() {
                        let duplicates = receipt.duplicates.len();
                        tracing::info!(tenant = self.name, duplicates, "alerts were recorded already");
                    }
                    return Ok(Ok(()));
                }
                Err(error) if is_later(&error) => {
                    measure::append_retried();
                    tracing::warn!(tenant = self.name, %error, "alerts wait for the store");
                    if self.waited(&mut wait).await.is_err() {
                        return Ok(Err(Ended));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits, longer each time.
    async fn waited(&mut self, wait: &mut Duration) -> Result<(), Ended> {
        if is_stopping(&self.stop) {
            return Err(Ended);
        }
        tokio::select! {
            () = tokio::time::sleep(*wait) => {
                *wait = wait.saturating_mul(2).min(RETRY_LONGEST);
                Ok(())
            }
            _ = self.stop.changed() => Err(Ended),
        }
    }
}

/// Writes a state file and says how long it is. That one cannot be written costs only time at the next start.
async fn save(files: &StateFiles, events: &Log, work: Work) -> Result<(Work, u64)> {
    let (files, log) = (files.clone(), events.origin().to_string());
    blocking(move || {
        let saved = files.save(&log, &work.fold).inspect_err(|error| {
            measure::state_file_failed();
            tracing::warn!(log, %error, "a state file was not written; the next start folds from an earlier one");
        });
        Ok((work, saved.unwrap_or(0)))
    })
    .await
}

fn place(found: &Found) -> Emitted {
    Emitted { position: found.alert.position, ordinal: found.alert.ordinal }
}

/// Whether the same append may be taken after a while.
fn is_later(error: &store::Error) -> bool {
    matches!(error, store::Error::Busy { .. } | store::Error::DiskFull { .. })
}

/// Runs what reads files or takes a core on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Error::Panicked(error.to_string())),
        // The runtime is going down.
        Err(_) => Err(Error::Closed),
    }
}

/// Whether the runner is to end, or is gone.
pub(crate) fn is_stopping(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
