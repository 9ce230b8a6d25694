//! The core behind every door: check, admit, put the intent on the access log, run, put the outcome on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use schemas::principal::Principal;
use store::Store;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, AccessLog, Status};
use crate::answer::{Answer, Batches, Ending, Progress};
use crate::error::Stage;
use crate::file::{SnapshotFiles, Verified};
use crate::gate::GateSettings;
use crate::guard::Stop;
use crate::policy::Policy;
use crate::refusals::Refusals;
use crate::session::Engine;
use crate::source::{Journal, Snapshots};
use crate::table::{Scans, Shared};
use crate::{Error, Options, Result, Snapshot};

mod admit;
mod describe;
mod job;
mod places;
mod running;
mod start;

pub(crate) use describe::Described;
pub use job::Request;
pub(crate) use job::{Job, Param};
use places::{Place, Places};
use running::Running;
pub use running::RunningQuery;
use start::start;

/// Stack of the threads that parse, plan and run: trees are as deep as a text may nest.
pub(crate) const STACK_BYTES: usize = 32 << 20;
/// Batches made ahead of the reader.
const BATCHES_AHEAD: usize = 2;
/// How long after its deadline a query is waited for, at most.
const GRACE: Duration = Duration::from_millis(schemas::limits::QUERY_GRACE_MS);
/// How far the threads of queries stand back: a tenth of a core's time is theirs even where everything else wants it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Rows that a statement before the last one may give.
const ROWS_BEFORE_MAX: usize = schemas::limits::QUERY_ROWS_BEFORE_MAX;

/// The query core; cheap to clone.
#[derive(Debug, Clone)]
pub struct Query {
    shared: Arc<Core>,
}

struct Core {
    snapshots: Arc<dyn Snapshots>,
    access: AccessLog,
    refusals: Arc<Refusals>,
    options: Options,
    engine: Engine,
    verified: Arc<Verified>,
    places: Places,
    running: Arc<Running>,
    /// Queries whose outcome is not on the access log yet.
    unfinished: TaskTracker,
    /// The process is going down, and queries have had their time to finish.
    closing: CancellationToken,
    /// Own threads: a query that computes without end must not hold up ingest.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A runtime must not be waited for on an async thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Query {
    /// The core over an open store.
    ///
    /// # Errors
    /// [`Error::Internal`] when threads cannot be started.
    pub fn new(store: Store, options: Options) -> Result<Query> {
        Query::over(Arc::new(store.clone()), Arc::new(store), options)
    }

    /// The core over any source of snapshots and any taker of access entries.
    ///
    /// # Errors
    /// [`Error::Internal`] when threads cannot be started.
    pub fn over(snapshots: Arc<dyn Snapshots>, journal: Arc<dyn Journal>, options: Options) -> Result<Query> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("query")
            .on_thread_start(stand_back())
            .enable_time()
            .build()
            .map_err(|error| Error::Internal(format!("threads for queries: {error}")))?;
        let access = AccessLog::new(
            journal,
            Arc::clone(&options.redactor),
            Arc::clone(&options.clock),
            Arc::clone(&options.identifiers),
        );
        Ok(Query {
            shared: Arc::new(Core {
                snapshots,
                refusals: Refusals::new(access.clone()),
                access,
                engine: Engine::new(&options)?,
                verified: Arc::new(Verified::default()),
                places: Places::new(options.at_once, options.waiting_max),
                running: Arc::default(),
                unfinished: TaskTracker::new(),
                closing: CancellationToken::new(),
                runtime: Some(runtime),
                options,
            }),
        })
    }

    /// The access log, for what commands and doors have to put on it.
    pub fn access(&self) -> &AccessLog {
        &self.shared.access
    }

    /// Answers `request` for `principal`. Must be called on a tokio runtime; the intent is on stable storage
    /// when this returns.
    ///
    /// # Errors
    /// Every [`Error`]; refusals are on the access log.
    pub async fn sql(&self, principal: &Principal, request: Request) -> Result<Answer> {
        let Request { sql, params, format, rows_max, as_of } = request;
        let statement = with_params(&sql, &params);
        let parts = vec![(sql, params.into_iter().map(Param::Value).collect())];
        self.run(
            principal,
            Job { action: "sql", statement, parts, format, rows_max, as_of, ..Job::default() },
        )
        .await
    }

    /// Waits until every query is on the access log with how it ended, and every refusal: before a process exits. Those that are
    /// not over in [`Options::finish_ms`] are cancelled, and after that no query runs any more.
    pub async fn finished(&self) {
        let Core { unfinished, closing, options, refusals, .. } = self.shared.as_ref();
        unfinished.close();
        if timeout(Duration::from_millis(options.finish_ms), unfinished.wait()).await.is_err() {
            closing.cancel();
            if timeout(GRACE, unfinished.wait()).await.is_err() {
                tracing::warn!(queries = unfinished.len(), "going down: queries have no outcome entry");
            }
        }
        unfinished.reopen();
        if timeout(Duration::from_millis(options.finish_ms), refusals.finish()).await.is_err() {
            tracing::warn!("going down: further refusals are not on the access log");
        }
    }

    /// The queries that run now and that `principal` may see: its own, or for an admin all of its tenant.
    pub fn running(&self, principal: &Principal) -> Vec<RunningQuery> {
        self.shared.running.seen_by(principal)
    }

    /// Ends a query that `principal` may see; who did so is on the access log before it ends.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unaudited`].
    pub async fn cancel(&self, principal: &Principal, query_id: &str) -> Result<()> {
        let own_id = self.access().new_query_id();
        let statement = Some(format!("cancel {query_id}"));
        if !self.running(principal).iter().any(|query| query.query_id == query_id) {
            let missing = Error::NotFound(format!("no query {query_id:?} of yours is running"));
            let refusal = Access::refusal(principal, &own_id, "cancel", &missing);
            self.shared.refusals.record(Access { statement: statement.as_deref(), ..refusal }).await?;
            return Err(missing);
        }
        let entry = Access::outcome(principal, &own_id, "cancel", Status::Ok);
        self.access().record(Access { statement: statement.as_deref(), ..entry }).await?;
        // It may have ended meanwhile, which is what was wanted.
        self.shared.running.cancel(principal, query_id);
        Ok(())
    }

    pub(crate) fn gate_settings(&self) -> &GateSettings {
        &self.shared.options.gates
    }

    /// Why no gate of `tenant` may answer now.
    pub(crate) async fn gates_blocked(&self, tenant: &str) -> Option<String> {
        (self.shared.options.gates_blocked)(tenant).await
    }

    pub(crate) async fn run(&self, principal: &Principal, job: Job) -> Result<Answer> {
        let core = Arc::clone(&self.shared);
        let place = core.place(principal).await.inspect_err(|error| count(job.action, error.code()))?;
        let (ready, is_ready) = oneshot::channel();
        let stop = core.stop(&job);
        let run = Run { core, principal: principal.clone(), job, stop: Arc::clone(&stop) };
        self.shared.unfinished.spawn(run.drive(place, ready));
        match timeout_at(stop.deadline(), is_ready).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_dropped)) => Err(Error::Internal("the query ended without an answer".to_string())),
            Err(_elapsed) => {
                stop.cancel();
                Err(stop.deadline_error())
            }
        }
    }
}

/// Recording goes before asking: where there are too few cores, the threads of queries wait for this one and its like.
#[cfg(target_os = "linux")]
fn stand_back() -> impl Fn() + Send + Sync + 'static {
    // Threads begin with what the thread that starts them has: each is told where to be, not how far to go.
    let wanted = rustix::process::getpriority_process(None).map(|own| own + NICENESS);
    move || {
        if let Err(error) = wanted.and_then(|wanted| rustix::process::setpriority_process(None, wanted)) {
            tracing::debug!(%error, "queries are as important as recording");
        }
    }
}

/// Elsewhere a thread has no niceness of its own, and the whole process would have it.
#[cfg(not(target_os = "linux"))]
fn stand_back() -> impl Fn() + Send + Sync + 'static {
    || ()
}

/// The text with its parameters as comments: what was asked is not known without them.
pub(crate) fn with_params(sql: &str, params: &[ScalarValue]) -> String {
    let params =
        params.iter().zip(1..).map(|(value, number)| format!("\n-- ${number} = {:?}", value.to_string()));
    std::iter::once(sql.to_string()).chain(params).collect()
}

fn count(action: &'static str, code: &'static str) {
    metrics::counter!("tacho_queries_total", "action" => action, "code" => code).increment(1);
}

impl Core {
    /// When `job`, which begins now, must end.
    fn stop(&self, job: &Job) -> Arc<Stop> {
        let own = self.options.deadline_ms;
        let deadline_ms = job.deadline_ms.map_or(own, |asked| asked.min(own));
        let deadline = Instant::now() + Duration::from_millis(deadline_ms);
        Arc::new(Stop::with(job.gone.clone(), deadline, deadline_ms))
    }

    /// A place among the running queries.
    async fn place(&self, principal: &Principal) -> Result<Place> {
        self.places.take(&principal.tenant, Duration::from_millis(self.options.deadline_ms)).await
    }

    /// What the tables over `snapshot` share.
    fn tables(&self, snapshot: Arc<Snapshot>, tenant: &str, policy: Option<Arc<Policy>>) -> Shared {
        Shared {
            snapshot,
            files: Arc::new(SnapshotFiles::default()),
            verified: Arc::clone(&self.verified),
            scans: Arc::new(Scans::default()),
            filters_in_decoder: self.options.filters_in_decoder,
            policy,
            column_key: (self.options.column_key)(tenant),
        }
    }

    /// Runs `work` on the threads for queries; a panic there is an error here.
    async fn on_query_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else { return Err(Error::Cancelled) };
        match runtime.spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(Error::Internal(format!("the query stopped: {error}"))),
        }
    }
}

/// One query on its way.
struct Run {
    core: Arc<Core>,
    principal: Principal,
    job: Job,
    stop: Arc<Stop>,
}

/// What the query's threads tell about a plan that is ready to give rows.
struct Planned {
    schema: arrow::datatypes::SchemaRef,
    before: Vec<Vec<RecordBatch>>,
    rows: SendableRecordBatchStream,
}

impl Run {
    /// From the check to the outcome entry. Runs to its end even if nobody waits for the answer.
    async fn drive(self, place: Place, ready: oneshot::Sender<Result<Answer>>) {
        let started_us = self.core.access.now_us();
        let query_id = self.core.access.new_query_id();
        let (statements, snapshot) = match self.admit(&query_id).await {
            Ok(admitted) => admitted,
            Err(error) => {
                count(self.job.action, error.code());
                drop(ready.send(Err(error)));
                return;
            }
        };
        let progress = Progress::default();
        let asked = (&self.principal, self.job.action, self.core.access.redacted(&self.job.statement));
        let _listed = self.core.running.begin(&query_id, started_us, asked, (&self.stop, &progress));
        let (planned, is_planned) = oneshot::channel();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let batches = Batches::new(batches);
        let work = self.work(statements, Arc::clone(&snapshot), planned, sender.clone());
        let (core, deadline) = (Arc::clone(&self.core), self.stop.deadline());
        // The place is held until the threads are free again, not only until the reader has gone.
        let worker = tokio::spawn(async move {
            let result = core.on_query_threads(work).await;
            drop(place);
            if let Err(error) = &result {
                // A reader that does not read meets the deadline without being told.
                drop(timeout_at(deadline, sender.send(Err(error.clone()))).await);
            }
            result
        });
        let ending = match self.within_grace(is_planned).await {
            Ok(Ok(rows)) => {
                let (ended, is_ended) = oneshot::channel();
                let answer = self.answer(&query_id, rows, snapshot, batches.clone(), &progress, ended);
                drop(ready.send(Ok(answer)));
                let late = self.within_grace(is_ended).await.err().inspect(|_| batches.close());
                let ending = progress.lock().clone();
                let error = ending.error.or(late.filter(|_| !ending.complete));
                Ending { error, ..ending }
            }
            Ok(Err(_dropped)) => {
                let error = match worker.await {
                    Ok(Err(error)) => error,
                    _ => Error::Internal("the query ended before it was planned".to_string()),
                };
                drop(ready.send(Err(error.clone())));
                Ending { error: Some(error), ..Ending::default() }
            }
            Err(late) => {
                drop(ready.send(Err(late.clone())));
                Ending { error: Some(late), ..Ending::default() }
            }
        };
        self.record_outcome(&query_id, started_us, ending).await;
    }

    /// Waits for `what` until a little after the deadline: neither a reader that does not read nor work that
    /// does not look up may keep the outcome from the access log.
    ///
    /// # Errors
    /// [`Error::Deadline`], or [`Error::Cancelled`] when the process is going down.
    async fn within_grace<T>(&self, what: impl Future<Output = T>) -> Result<T> {
        let late = tokio::select! {
            biased;
            done = what => return Ok(done),
            () = self.core.closing.cancelled() => Error::Cancelled,
            () = self.stop.killed() => Error::Cancelled,
            () = sleep_until(self.stop.deadline() + GRACE) => self.stop.deadline_error(),
        };
        self.stop.cancel();
        Err(late)
    }

    /// What the query's threads do: plan, then make rows until there are no more or nobody wants them.
    fn work(
        &self,
        statements: Vec<Statement>,
        snapshot: Arc<Snapshot>,
        planned: oneshot::Sender<(arrow::datatypes::SchemaRef, Vec<Vec<RecordBatch>>)>,
        sender: mpsc::Sender<Result<RecordBatch>>,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let (core, stop, role) = (Arc::clone(&self.core), Arc::clone(&self.stop), self.principal.role);
        let (tenant, policy) = (self.principal.tenant.clone(), self.policy().cloned());
        let params: Vec<Vec<Param>> = self.job.parts.iter().map(|(_, params)| params.clone()).collect();
        let client = self.job.client.clone();
        async move {
            let shared = core.tables(snapshot, &tenant, policy);
            let scans = Arc::clone(&shared.scans);
            let mut session = core.engine.session(&shared, role, &stop, client.as_ref())?;
            let parts = statements.into_iter().zip(params);
            let Planned { schema, before, mut rows } = start(&mut session, parts).await?;
            let (files, read) =
                (scans.files.load(Ordering::Relaxed), scans.files_read.load(Ordering::Relaxed));
            metrics::counter!("tacho_query_files_read_total").increment(read);
            metrics::counter!("tacho_query_files_pruned_total").increment(files.saturating_sub(read));
            // The first rows are made before anyone is told that there is an answer, so that what fails
            // early fails with its own status.
            let mut next = rows.next().await.transpose().map_err(|error| run_error(&error))?;
            if planned.send((schema, before)).is_err() {
                return Err(Error::Cancelled);
            }
            while let Some(batch) = next {
                if batch.num_rows() > 0 {
                    // A reader that stops reading keeps neither the place nor the threads.
                    match timeout_at(stop.deadline(), sender.send(Ok(batch))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_gone)) => return Err(Error::Cancelled),
                        Err(_elapsed) => return Err(stop.deadline_error()),
                    }
                }
                stop.check()?;
                next = rows.next().await.transpose().map_err(|error| run_error(&error))?;
            }
            Ok(())
        }
    }

    fn answer(
        &self,
        query_id: &str,
        (schema, before): (arrow::datatypes::SchemaRef, Vec<Vec<RecordBatch>>),
        snapshot: Arc<Snapshot>,
        batches: Batches,
        progress: &Progress,
        ended: oneshot::Sender<()>,
    ) -> Answer {
        let own = self.core.options.rows_max;
        Answer {
            query_id: query_id.to_string(),
            schema,
            snapshot,
            before,
            batches,
            stop: Arc::clone(&self.stop),
            rows_max: self.job.rows_max.map_or(own, |asked| asked.min(own)),
            output_bytes_max: self.core.options.output_bytes_max,
            progress: progress.clone(),
            ended: Some(ended),
        }
    }

    async fn record_outcome(&self, query_id: &str, started_us: i64, ending: Ending) {
        let status = match (&ending.error, ending.complete) {
            (Some(Error::Cancelled), _) => Status::Cancelled,
            (Some(_), _) => Status::Error,
            (None, true) => Status::Ok,
            (None, false) => Status::Cancelled,
        };
        let duration_us = self.core.access.now_us().saturating_sub(started_us).max(0);
        let code = match (&ending.error, status) {
            (Some(error), _) => error.code(),
            (None, Status::Ok) => "ok",
            (None, _) => "cancelled",
        };
        count(self.job.action, code);
        metrics::histogram!("tacho_query_seconds", "action" => self.job.action)
            .record(duration_us as f64 / 1e6);
        metrics::counter!("tacho_query_rows_total").increment(ending.rows);
        metrics::counter!("tacho_query_bytes_total").increment(ending.bytes);
        let outcome = Access {
            format: self.job.format,
            rows: Some(ending.rows),
            bytes: Some(ending.bytes),
            duration_us: Some(duration_us),
            error_code: ending.error.as_ref().map(Error::code),
            detail: ending.error.as_ref().map(Error::to_string),
            ..Access::outcome(&self.principal, query_id, self.job.action, status)
        };
        // The rows have left and their intent is on the log: `record` counts and reports a failure.
        if let Err(error) = self.core.access.record(outcome).await {
            tracing::warn!(query_id, %error, "a query has no outcome entry");
        }
    }
}

fn run_error(error: &datafusion::common::DataFusionError) -> Error {
    Error::engine(error, Stage::Run)
}
