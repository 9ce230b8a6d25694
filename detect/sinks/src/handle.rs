//! Sinks as a component: started together, one task each, and asked how they stand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemas::limits::{SINK_ASKS_MAX, SINK_REMAKE_S};
use store::{OwnFiles, Store};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::format::Context;
use crate::lane::{Press, Wall};
use crate::settings::{Delivery, Receiver, Sink};
use crate::state::State;
use crate::status::Status;
use crate::task::{Ask, Task};
use crate::transport::{self, Transport};

/// What the sinks of one service share.
#[derive(Clone)]
pub struct Options {
    /// Where each sink keeps its state, a directory a sink; made if missing. Nothing else may write there.
    pub directory: PathBuf,
    /// What every message says of where it is from.
    pub context: Context,
    /// What a role's policy leaves of rows; asked for the receivers that sinks have.
    pub wall: Arc<dyn Fn(Receiver, schemas::Stream) -> std::result::Result<Wall, String> + Send + Sync>,
    /// How many times faster time passes, for soak tests.
    pub speed: u32,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Starts sinks.
#[derive(Debug)]
pub struct Sinks;

/// The running sinks; cheap to clone. When the last clone is dropped without [`Handle::shutdown`] they are cut off, which sends a little again.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stop: watch::Sender<bool>,
    running: BTreeMap<String, Running>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Running {
    delivery: Delivery,
    asks: mpsc::Sender<Ask>,
    standing: watch::Receiver<Status>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in self.tasks.get_mut() {
            task.abort();
        }
    }
}

impl Sinks {
    /// Starts every sink. Must be called within a tokio runtime. A sink whose files are not there yet says so, and is tried again: it keeps nothing else from
    /// starting.
    ///
    /// # Errors
    /// [`Error::Settings`]: the first sink whose configuration is wrong; none is started then.
    pub fn start(store: &Store, sinks: Vec<Sink>, options: &Options) -> Result<Handle> {
        let (stop, stopping) = watch::channel(false);
        let mut running = BTreeMap::new();
        let mut begun = Vec::new();
        for sink in sinks {
            let (asks, asked) = mpsc::channel(SINK_ASKS_MAX);
            let made = match Made::new(store, &sink, options) {
                Err(error @ Error::Settings { .. }) => return Err(error),
                made => made,
            };
            let name = sink.delivery.name.clone();
            let (told, standing) = watch::channel(Status {
                name: name.clone(),
                kind: sink.transport.kind(),
                format: sink.delivery.format.map_or("kill_switch", crate::format::Format::name),
                target: made.as_ref().map_or_else(|_| String::new(), |made| made.transport.target()),
                is_up: true,
                failure: None,
                delivered_us: None,
                tenants: BTreeMap::new(),
            });
            running.insert(name, Running { delivery: sink.delivery.clone(), asks, standing });
            let sink = Starting {
                store: store.clone(),
                sink,
                options: options.clone(),
                asks: asked,
                stop: stopping.clone(),
                told,
            };
            begun.push((sink, made));
        }
        let tasks = begun.into_iter().map(|(sink, made)| tokio::spawn(sink.run(made))).collect();
        Ok(Handle { shared: Arc::new(Shared { stop, running, tasks: Mutex::new(tasks) }) })
    }
}

/// A sink before it works.
struct Starting {
    store: Store,
    sink: Sink,
    options: Options,
    asks: mpsc::Receiver<Ask>,
    stop: watch::Receiver<bool>,
    told: watch::Sender<Status>,
}

/// What a sink works with that comes from files.
struct Made {
    transport: Box<dyn Transport>,
    files: OwnFiles,
    state: Option<State>,
    press: Press,
}

impl Made {
    fn new(store: &Store, sink: &Sink, options: &Options) -> Result<Made> {
        let delivery = &sink.delivery;
        let wall = delivery.role.map(|receiver| (options.wall)(receiver, delivery.stream.stream()));
        let wall =
            wall.transpose().map_err(|detail| Error::Settings { sink: delivery.name.clone(), detail })?;
        let transport = transport::open(&delivery.name, &sink.transport, store.clock())?;
        let directory = options.directory.join(&delivery.name);
        let files = OwnFiles::open(&directory).map_err(|error| match error {
            store::Error::Io { action, path, source } => Error::File { action, path, source },
            other => Error::Damaged { path: directory, detail: other.to_string() },
        })?;
        let state = State::read(&files)?;
        let context = Context { record_integrity: delivery.record_integrity, ..options.context.clone() };
        let press = Press { sink: Arc::new(sink.clone()), context: Arc::new(context), wall };
        Ok(Made { transport, files, state, press })
    }
}

impl Starting {
    async fn run(mut self, mut made: Result<Made>) {
        let made = loop {
            match made {
                Ok(made) => break made,
                Err(error) => {
                    tracing::error!(sink = self.sink.delivery.name, %error, "the sink does not begin; it is tried again");
                    self.told.send_modify(|standing| {
                        (standing.is_up, standing.failure) = (false, Some(error.to_string()));
                    });
                }
            }
            let stopped = self.stop.wait_for(|stop| *stop);
            if tokio::time::timeout(Duration::from_secs(SINK_REMAKE_S), stopped).await.is_ok() {
                return;
            }
            made = Made::new(&self.store, &self.sink, &self.options);
        };
        let Made { transport, files, state, press } = made;
        self.told.send_modify(|standing| standing.target = transport.target());
        let task = Task {
            store: self.store,
            press,
            transport,
            files: Arc::new(files),
            is_new: state.is_none(),
            state: state.unwrap_or_default(),
            asks: self.asks,
            stop: self.stop,
            standing: self.told,
            speed: self.options.speed,
            lanes: BTreeMap::new(),
            unsaved: 0,
            tenants: Vec::new(),
            failures: BTreeMap::new(),
            failure: None,
            digests_wait: BTreeMap::new(),
        };
        task.run().await;
    }
}

impl Handle {
    /// Ends all sinks: what is being handed over has a moment more, and what was settled is written down. Call it before the store is closed.
    pub async fn shutdown(&self) {
        self.shared.stop.send_replace(true);
        for task in self.shared.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a sink did not end in order");
            }
        }
    }

    /// How every sink stands, by name.
    pub fn status(&self) -> Vec<Status> {
        self.shared.running.values().map(|running| running.standing.borrow().clone()).collect()
    }

    /// What somebody may know of the sinks who speaks for one tenant alone: of those that take part in it, what concerns it.
    pub fn status_of(&self, tenant: &str) -> Vec<Status> {
        let taking_part =
            self.shared.running.values().filter(|running| running.delivery.wants_tenant(tenant));
        taking_part.map(|running| running.standing.borrow().clone().of_tenant(tenant)).collect()
    }

    /// Has a sink send its dead letters again, of one tenant or all; says how many messages that is. What is refused once more is a dead letter again.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Tenant`], [`Error::File`], [`Error::Closed`].
    pub async fn replay_dead(&self, sink: &str, tenant: Option<String>) -> Result<u64> {
        self.ask(sink, |told| Ask::Dead(tenant, told)).await
    }

    /// Has a sink send entries `first..end` of a tenant's log again as far as it has come; says how many entries that is.
    ///
    /// # Errors
    /// As [`Handle::replay_dead`].
    pub async fn replay_range(
        &self,
        sink: &str,
        tenant: String,
        first: u64,
        end: Option<u64>,
    ) -> Result<u64> {
        self.ask(sink, |told| Ask::Range(tenant, first, end, told)).await
    }

    /// Forgets a sink's dead letters, of one tenant or all; says how many messages that was. They stay in the log.
    ///
    /// # Errors
    /// As [`Handle::replay_dead`].
    pub async fn discard_dead(&self, sink: &str, tenant: Option<String>) -> Result<u64> {
        self.ask(sink, |told| Ask::Discard(tenant, told)).await
    }

    async fn ask(&self, sink: &str, ask: impl FnOnce(oneshot::Sender<Result<u64>>) -> Ask) -> Result<u64> {
        let running = self.shared.running.get(sink).ok_or_else(|| Error::Unknown(sink.to_owned()))?;
        let (told, answer) = oneshot::channel();
        running.asks.send(ask(told)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}
