//! The runner as a component: finds tenants, runs one task for each, tells how far they are, and has other rules take effect.
//!
//! Other rules end every tenant's task in order and start it again under them, as a restart would; what changes is told
//! where the new fold comes past the last alert on record (`takeover`). Handles stay good: until a tenant is folded again it is behind,
//! not stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::Stream;
use sigma::Rules;
use store::Store;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::error::{Error, Result};
use crate::measure;
use crate::options::Options;
use crate::tenant::{Tenant, is_stopping};

/// First and longest wait before a log that could not be read is read again.
const RESTART_FIRST: Duration = Duration::from_secs(1);
const RESTART_LONGEST: Duration = Duration::from_secs(60);

/// How far one tenant's detection is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries of the events log that are folded with all their alerts durable; also the index of the next one.
    /// None until the tenant's state is found.
    pub position: Option<u64>,
    /// What keeps it from going on, if something does.
    pub failure: Option<String>,
    /// Whether it has ended for good because of that; else it is tried again.
    pub is_stopped: bool,
}

/// Tenant to progress.
type Standing = BTreeMap<String, Progress>;

/// Starts the runner.
#[derive(Debug)]
pub struct Detector;

/// The running detector; cheap to clone. When the last clone is dropped without [`Handle::shutdown`], the runner is
/// cut off where it is, which loses nothing but the time to fold again from the last state file.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stop: watch::Sender<bool>,
    standing: watch::Receiver<Standing>,
    asked: mpsc::Sender<Asked>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    abort: AbortHandle,
}

/// Rules that are to take effect, and who waits for that.
#[derive(Debug)]
struct Asked {
    rules: Option<Arc<Rules>>,
    done: oneshot::Sender<Reloaded>,
}

/// Which rules in Sigma a reload found in force and left in force, by their digests (hexadecimal); none where there are no rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Those that were in force.
    pub before: Option<String>,
    /// Those that are.
    pub after: Option<String>,
}

impl Reloaded {
    /// Whether they are others; else nothing was ended and nothing is folded again.
    pub fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Detector {
    /// Starts following the events log of every tenant of the store, those that come later included. Must be called
    /// within a tokio runtime. One detector per store.
    ///
    /// # Errors
    /// [`Error::Engine`] for settings out of range, [`Error::SnapshotDir`].
    pub fn start(store: Store, options: Options) -> Result<Handle> {
        options.settings.validate()?;
        std::fs::create_dir_all(&options.snapshot_dir)
            .map_err(|source| Error::SnapshotDir { path: options.snapshot_dir.clone(), source })?;
        let (stop, stopping) = watch::channel(false);
        let (tell, standing) = watch::channel(Standing::new());
        // Who asks while another reload is under way waits for it.
        let (asked, asks) = mpsc::channel(1);
        let supervisor = Supervisor {
            store,
            options: Arc::new(options),
            stop: stopping,
            asks,
            ending: watch::Sender::new(false),
            standing: Arc::new(tell),
            tasks: JoinSet::new(),
        };
        let supervisor = tokio::spawn(supervisor.run());
        let abort = supervisor.abort_handle();
        let supervisor = Mutex::new(Some(supervisor));
        Ok(Handle { shared: Arc::new(Shared { stop, standing, asked, supervisor, abort }) })
    }
}

impl Handle {
    /// Ends the runner: what is being folded is finished, its alerts are durable, a state file is written. Alerts
    /// that the store cannot take now are left to the next start. Call it before the store is closed.
    pub async fn shutdown(&self) {
        self.shared.stop.send_replace(true);
        let mut supervisor = self.shared.supervisor.lock().await;
        if let Some(task) = supervisor.as_mut() {
            if let Err(error) = task.await {
                tracing::error!(%error, "the detector did not end in order");
            }
            *supervisor = None;
        }
    }

    /// Has these rules take the place of those in force, settings as they are. Where their digest is another, every tenant's task is ended in
    /// order and started under them; returns when all are started, which is before they have folded the past again: until then [`Handle::position`]
    /// says how far they are. Alerts that the store cannot take now are left to the new rules. Rules that are
    /// the same change nothing. Once begun it comes to its end, whether or not it is waited for.
    ///
    /// # Errors
    /// [`Error::Closed`] after a shutdown, or where one comes in between.
    pub async fn reload(&self, rules: Option<Arc<Rules>>) -> Result<Reloaded> {
        let (done, reloaded) = oneshot::channel();
        self.shared.asked.send(Asked { rules, done }).await.map_err(|_| Error::Closed)?;
        reloaded.await.map_err(|_| Error::Closed)
    }

    /// Entries of the tenant's events log that are folded, under the rules in force, with all their alerts durable; none while the
    /// tenant is not known or its state is not yet found.
    pub fn position(&self, tenant: &str) -> Option<u64> {
        self.shared.standing.borrow().get(tenant)?.position
    }

    /// Every tenant known.
    pub fn progress(&self) -> BTreeMap<String, Progress> {
        self.shared.standing.borrow().clone()
    }

    /// Waits until entry `index` of the tenant's events log is folded and its alerts are durable; also for a tenant
    /// that does not exist yet.
    ///
    /// # Errors
    /// [`Error::Stopped`] when that will not happen, [`Error::Closed`] after a shutdown.
    pub async fn wait_for(&self, tenant: &str, index: u64) -> Result<()> {
        let mut standing = self.shared.standing.clone();
        let is_decided = |standing: &Standing| {
            standing.get(tenant).is_some_and(|progress| {
                progress.is_stopped || progress.position.is_some_and(|next| next > index)
            })
        };
        let standing = standing.wait_for(is_decided).await.map_err(|_| Error::Closed)?;
        match standing.get(tenant) {
            Some(progress) if progress.position.is_some_and(|next| next > index) => Ok(()),
            Some(Progress { failure, .. }) => {
                Err(Error::Stopped { tenant: tenant.to_owned(), reason: failure.clone().unwrap_or_default() })
            }
            None => Err(Error::Closed),
        }
    }
}

/// Owns the tenants' tasks.
struct Supervisor {
    store: Store,
    options: Arc<Options>,
    stop: watch::Receiver<bool>,
    asks: mpsc::Receiver<Asked>,
    /// Ends the tasks that run now; others get another.
    ending: watch::Sender<bool>,
    standing: Arc<watch::Sender<Standing>>,
    tasks: JoinSet<()>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(self.options.discover_every.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        measure::rules(self.options.rules.as_deref(), true);
        while !is_stopping(&self.stop) {
            tokio::select! {
                _ = tick.tick() => self.discover(),
                Some(asked) = self.asks.recv() => self.reload(asked).await,
                _ = self.stop.changed() => {}
            }
        }
        self.end_tasks().await;
    }

    /// What is being folded is finished and remembered.
    async fn end_tasks(&mut self) {
        self.ending.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            tell_of_panic(ended);
        }
    }

    async fn reload(&mut self, Asked { rules, done }: Asked) {
        let digest = |rules: Option<&Rules>| rules.map(|rules| rules.digest().to_owned());
        let before = digest(self.options.rules.as_deref());
        let reloaded = Reloaded { before, after: digest(rules.as_deref()) };
        if reloaded.is_changed() {
            self.end_tasks().await;
            if is_stopping(&self.stop) {
                // Who waits is told by the channel that nothing took effect.
                return;
            }
            measure::rules(self.options.rules.as_deref(), false);
            measure::rules(rules.as_deref(), true);
            self.options = Arc::new(Options { rules, ..Options::clone(&self.options) });
            self.ending = watch::Sender::new(false);
            let names: Vec<String> = self.standing.borrow().keys().cloned().collect();
            for name in names {
                self.follow(&name);
            }
            let Reloaded { before, after } = &reloaded;
            tracing::info!(before, after, "other rules are in force; each log is folded under them");
        }
        if done.send(reloaded).is_err() {
            tracing::debug!("nobody waits for the reload any more");
        }
    }

    fn discover(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            tell_of_panic(ended);
        }
        let (mut position, mut lag, mut stopped) = (0u64, 0u64, 0);
        for origin in self.store.origins() {
            if origin.stream() != Stream::Events {
                continue;
            }
            let progress = self.standing.borrow().get(origin.tenant()).cloned();
            if progress.is_none() {
                self.follow(origin.tenant());
            }
            let progress = progress.unwrap_or_default();
            let next = progress.position.unwrap_or(0);
            let durable = self.store.snapshot(origin.tenant(), Stream::Events).map_or(0, |log| log.durable);
            position = position.saturating_add(next);
            lag = lag.saturating_add(durable.saturating_sub(next));
            stopped += usize::from(progress.is_stopped);
        }
        measure::standing(position, lag, stopped);
    }

    fn follow(&mut self, name: &str) {
        self.standing.send_modify(|standing| {
            standing.insert(name.to_owned(), Progress::default());
        });
        let tenant = Tenant {
            store: self.store.clone(),
            name: name.to_owned(),
            options: Arc::clone(&self.options),
            stop: self.ending.subscribe(),
        };
        let _abort = self.tasks.spawn(follow(tenant, Arc::clone(&self.standing)));
    }
}

fn tell_of_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a tenant's detection did not end in order");
    }
}

/// Runs one tenant; again after a while where that can help.
async fn follow(mut tenant: Tenant, standing: Arc<watch::Sender<Standing>>) {
    let name = tenant.name.clone();
    let mut wait = RESTART_FIRST;
    loop {
        // After a failure the fold may start again behind what is long done.
        let done = |next| {
            tell(&standing, &name, |progress| {
                *progress = Progress { position: progress.position.max(Some(next)), ..Progress::default() };
            });
        };
        let Err(error) = tenant.run(done).await else { break };
        let is_stopped = !error.is_passing();
        tracing::error!(tenant = name, %error, is_stopped, "detection does not go on");
        tell(&standing, &name, |progress| {
            (progress.failure, progress.is_stopped) = (Some(error.to_string()), is_stopped);
        });
        if is_stopped {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = wait.saturating_mul(2).min(RESTART_LONGEST),
            _ = tenant.stop.changed() => break,
        }
    }
}

fn tell(standing: &watch::Sender<Standing>, tenant: &str, change: impl FnOnce(&mut Progress)) {
    standing.send_modify(|standing| change(standing.entry(tenant.to_owned()).or_default()));
}
