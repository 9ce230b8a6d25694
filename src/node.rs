//! One running Tachograph: store, collectors, detector and query core, joined.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use query::{Access, AccessLog, Query};
use redact::Redactor;
use schemas::control::{Control, TokenChange};
use schemas::principal::Principal;
use schemas::{Stream, limits};
use store::clock::SystemClock;
use store::{Clock, Keys, Store};
use tokio_util::task::TaskTracker;

use crate::configuration::Configuration;
use crate::identity::{Identity, Journal, TokenRecord, Tokens};
use crate::rules::Reloader;

/// The parts; cheap to clone.
#[derive(Debug, Clone)]
pub struct Node {
    /// The store.
    pub store: Store,
    /// The door for events, where this process has that role.
    pub ingest: Option<ingest::Ingest>,
    /// The query core, where this process has that role.
    pub query: Option<Query>,
    /// Who may come in.
    pub identity: Identity,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    access: AccessLog,
    metrics: Option<PrometheusHandle>,
    detector: Option<Arc<detect::Handle>>,
    sinks: Option<sinks::Handle>,
    rules: Option<Arc<Reloader>>,
    /// Changes that are under way, whoever still waits for them.
    changes: TaskTracker,
}

/// Whether metrics are collected and the detector runs: not for a single command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// A service.
    Service,
    /// One command on a directory.
    Command,
}

impl Node {
    /// Opens the data directory with everything the configuration asks for.
    pub async fn open(configuration: &Configuration, duty: Duty) -> Result<Node> {
        configuration.check_roles()?;
        let (data, keys_dir) = (configuration.data(), configuration.keys());
        check_keys_outside(&data, &keys_dir)?;
        let metrics = match duty {
            Duty::Service => Some(start_metrics()?),
            Duty::Command => None,
        };
        let speed = u32::try_from(configuration.number("store.clock_speed")?).context("store.clock_speed")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::faster(speed));
        if data.join(schemas::layout::LOG).is_dir() && !keys_dir.join("seed").exists() {
            bail!(
                "{} holds a store, but {} has no keys; give their directory with --keys",
                data.display(),
                keys_dir.display()
            );
        }
        let keys = Keys::load_or_create(&keys_dir)?;
        let tokens = Tokens::open(&keys_dir, clock.wall_us())?;
        let options = store_options(configuration)?;
        let (at, time) = (data.clone(), Arc::clone(&clock));
        let store = tokio::task::spawn_blocking(move || Store::open(&at, keys, options, time)).await??;
        let ingest = configuration
            .has_role("ingest")
            .then(|| open_ingest(configuration, &store, &clock))
            .transpose()?;
        let detector = match duty == Duty::Service && configuration.has_role("detect") {
            true => {
                let snapshots = data.join(schemas::layout::DETECT);
                let engine::Setup { settings, rules } = crate::rules::setup(configuration)?;
                let options = detect::Options { settings, rules, ..detect::Options::new(snapshots) };
                Some(Arc::new(detect::Detector::start(store.clone(), options)?))
            }
            false => None,
        };
        let sinks = match duty == Duty::Service && configuration.has_role("detect") {
            true => Some(open_sinks(configuration, &store, speed)?),
            false => None,
        };
        let query = configuration
            .has_role("query")
            .then(|| open_query(configuration, &store, &clock, gates_blocked(&store, detector.clone())))
            .transpose()?;
        let access = access_log(&store, &clock);
        let settings = configuration.identity_settings()?;
        let journal = Journal::start(access.clone(), Arc::clone(&clock));
        let identity = Identity::new(&settings, tokens, journal, Arc::clone(&clock))?;
        let changes = TaskTracker::new();
        let rules = detector.clone().map(|detector| Arc::new(Reloader::new(configuration, detector)));
        let node =
            Node { store, ingest, query, identity, clock, access, metrics, detector, sinks, rules, changes };
        // A store that takes nothing new is served all the same.
        if duty == Duty::Service
            && node.store.status().ready
            && let Err(error) = node.record_configuration(configuration).await
        {
            tracing::error!(%error, "the configuration in force is not on the access log");
        }
        if node.store.status().ready
            && let Err(error) = node.record_revocations().await
        {
            tracing::error!(%error, "a revocation is not on the access log yet");
        }
        Ok(node)
    }

    /// Metrics in Prometheus' text format.
    pub fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(PrometheusHandle::render)
    }

    /// The detector, where this process has one.
    pub fn detector(&self) -> Option<&detect::Handle> {
        self.detector.as_deref()
    }

    /// The sinks, where this process has them.
    pub fn sinks(&self) -> Option<&sinks::Handle> {
        self.sinks.as_ref()
    }

    /// What reads the rules in Sigma again, where this process has a detector.
    pub fn rules(&self) -> Option<&Reloader> {
        self.rules.as_deref()
    }

    /// Runs a change to its end, though whoever asked for it goes away meanwhile: half of one would be a change that is on no
    /// record. [`Node::close`] waits for it.
    pub async fn to_its_end<T: Send + 'static>(&self, change: impl Future<Output = T> + Send + 'static) -> T {
        match self.changes.spawn(change).await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(changed) => changed,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever waits.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    /// Records that `principal` is about to do something to tokens.
    ///
    /// # Errors
    /// It must then not be done.
    pub async fn record_intent(&self, principal: &Principal, query_id: &str, action: &str) -> Result<()> {
        let entry = Access::intent(principal, query_id, action);
        self.access.record(entry).await.context("access log")
    }

    /// Puts an entry on the access log.
    pub async fn record(&self, entry: Access<'_>) -> Result<()> {
        self.access.record(entry).await.context("access log")
    }

    /// `text` without the secrets in it.
    pub fn redacted(&self, text: &str) -> String {
        self.access.redacted(text)
    }

    /// A new id that joins intent and outcome.
    pub fn new_query_id(&self) -> String {
        self.access.new_query_id()
    }

    /// Records a change of tokens in the access log of the principal's tenant: what changed as an entry of the
    /// recorder's own, and who asked for it.
    pub async fn record_token(
        &self,
        principal: &Principal,
        query_id: &str,
        action: &'static str,
        change: TokenChange,
    ) -> Result<()> {
        let control = match action {
            "token_create" => Control::TokenCreated(change),
            _ => Control::TokenRevoked(change),
        };
        let statement = control.to_text()?;
        let log = self.store.log(&principal.tenant, Stream::Access).await.context("access log")?;
        log.append_control(control).await.context("access log")?;
        let entry = Access {
            statement: Some(&statement),
            ..Access::outcome(principal, query_id, action, query::Status::Ok)
        };
        self.access.record(entry).await.context("access log")
    }

    /// Records revocations that could not be recorded when they were made: in the log of the token's tenant, as the
    /// recorder's own.
    pub async fn record_revocations(&self) -> Result<()> {
        for token in self.identity.tokens.list().iter().filter(|token| token.revocation_unrecorded) {
            let log = self.store.log(&token.tenant, Stream::Access).await.context("access log")?;
            let revoked = Control::TokenRevoked(change_of(token, RECORDER));
            log.append_control(revoked).await.context("access log")?;
            self.identity.tokens.recorded(&token.id)?;
        }
        Ok(())
    }

    /// Records under which configuration the service runs: an entry of the default tenant's access log.
    /// Its digest is one of what `tacho config show` prints.
    async fn record_configuration(&self, configuration: &Configuration) -> Result<()> {
        let in_force = crate::command::config::lines(configuration)?.join("\n");
        let control = Control::Configuration(schemas::control::Configuration {
            version: env!("CARGO_PKG_VERSION").to_string(),
            digest: blake3::hash(in_force.as_bytes()).to_hex().to_string(),
        });
        let log = self.store.log("default", Stream::Access).await.context("access log")?;
        log.append_control(control).await.context("access log")
    }

    /// Ends everything: what is queued is committed, signed and sealed.
    pub async fn close(self) -> Result<()> {
        self.changes.close();
        self.changes.wait().await;
        if let Some(detector) = &self.detector {
            detector.shutdown().await;
        }
        if let Some(sinks) = &self.sinks {
            sinks.shutdown().await;
        }
        if let Some(query) = &self.query {
            query.finished().await;
        }
        if let Err(error) = self.identity.journal.finish().await {
            tracing::error!(%error, "logins at the end are not on the access log");
        }
        self.store.close().await.context("close the store")
    }
}

/// Who does what no principal asked for.
pub const RECORDER: &str = "recorder";

/// A token's change, for the record.
pub fn change_of(record: &TokenRecord, by: &str) -> TokenChange {
    TokenChange {
        id: record.id.clone(),
        role: record.role.name().to_string(),
        tenant: record.tenant.clone(),
        by: by.to_string(),
    }
}

/// Whoever reads the seed can sign another history, so it does not lie with the data.
fn check_keys_outside(data: &Path, keys: &Path) -> Result<()> {
    if resolved(keys)?.starts_with(resolved(data)?) {
        bail!(
            "keys {} lie inside the data directory {}: whoever copies the data could re-sign it; choose another --keys",
            keys.display(),
            data.display()
        );
    }
    Ok(())
}

/// The path with every link and `..` of the part that exists resolved.
fn resolved(path: &Path) -> Result<std::path::PathBuf> {
    let context = || format!("path {}", path.display());
    let absolute = std::path::absolute(path).with_context(context)?;
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    loop {
        match there.canonicalize() {
            Ok(mut found) => {
                for part in missing.into_iter().rev() {
                    // What it leads to depends on what will be made there.
                    if part == std::path::Component::ParentDir {
                        bail!(
                            "{}: `..` behind a directory that is not there; write the path without it",
                            path.display()
                        );
                    }
                    found.push(part);
                }
                return Ok(found);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let Some(part) = there.components().next_back() else {
                    return Err(error).with_context(context);
                };
                missing.push(part);
                there = parent_of(there);
            }
            Err(error) => return Err(error).with_context(context),
        }
    }
}

/// The path without its last part, be that `..`.
fn parent_of(path: &Path) -> &Path {
    let mut parts = path.components();
    parts.next_back();
    parts.as_path()
}

fn start_metrics() -> Result<PrometheusHandle> {
    metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().context("metrics")
}

fn store_options(configuration: &Configuration) -> Result<store::Options> {
    let seconds = |key: &str| -> Result<i64> {
        i64::try_from(configuration.number(key)?.saturating_mul(1_000_000)).with_context(|| key.to_string())
    };
    Ok(store::Options {
        seal_rows: configuration.number("store.seal_rows")?,
        seal_bytes: configuration.number("store.seal_bytes")?,
        seal_age_us: seconds("store.seal_age_s")?,
        seal_age_small_us: seconds("store.seal_age_small_s")?,
        wal_file_bytes: configuration.number("store.wal_file_bytes")?,
        queued_bytes_max: configuration.number("store.queued_bytes_max")?,
        unsealed_bytes_max: configuration.number("store.unsealed_bytes_max")?,
        disk_free_bytes_min: configuration.number("store.disk_free_bytes_min")?,
        ..store::Options::default()
    })
}

fn open_ingest(
    configuration: &Configuration,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<ingest::Ingest> {
    let number = |key: &str| -> Result<usize> {
        usize::try_from(configuration.number(key)?).with_context(|| key.to_string())
    };
    let keys = store.clone();
    let fingerprints: ingest::RedactionKey = Arc::new(move |tenant| keys.keys().fingerprint_key(tenant));
    let personal_data = configuration.redaction()?;
    let options = ingest::Options {
        personal_data: Arc::new(move |tenant| personal_data.policies(tenant)),
        body_bytes_max: number("ingest.body_bytes_max")?,
        decompressed_bytes_max: number("ingest.decompressed_bytes_max")?,
        admission_bytes: number("ingest.admission_bytes")?,
        admission_tenant_bytes: number("ingest.admission_tenant_bytes")?,
        rate_bytes_s: configuration.number("ingest.rate_bytes_s")?,
        clock: Arc::clone(clock),
        mappings: Arc::new(crate::mappings::load(configuration)?),
        countries: crate::countries::load(configuration)?.map(Arc::new),
        ..ingest::Options::new(fingerprints)
    };
    Ok(ingest::Ingest::new(store.clone(), options))
}

/// The access log, which every process writes: tokens change without the query role too.
fn access_log(store: &Store, clock: &Arc<dyn Clock>) -> AccessLog {
    let time = Arc::clone(clock);
    AccessLog::new(
        Arc::new(store.clone()),
        access_redactor(store),
        Arc::new(move || time.wall_us()),
        Arc::new(|| uuid::Uuid::now_v7().to_string()),
    )
}

/// One key for the access log of all tenants: its fingerprints are never compared with those of events.
fn access_redactor(store: &Store) -> Arc<Redactor> {
    Arc::new(Redactor::new(store.keys().fingerprint_key("_access")))
}

/// Gates wait a moment for the detector of this process, and do not answer for one that has stopped or is behind.
fn gates_blocked(store: &Store, detector: Option<Arc<detect::Handle>>) -> query::GatesBlocked {
    let store = store.clone();
    Arc::new(move |tenant| {
        let (store, detector, tenant) = (store.clone(), detector.clone(), tenant.to_string());
        Box::pin(async move {
            let detector = detector?;
            let last = store.snapshot(&tenant, Stream::Events)?.durable.checked_sub(1)?;
            let wait = Duration::from_millis(limits::GATE_DETECTOR_WAIT_MS);
            match tokio::time::timeout(wait, detector.wait_for(&tenant, last)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("the detector does not run: {error}")),
                Err(_elapsed) => Some(format!(
                    "the detector has folded {} of {} entries",
                    detector.position(&tenant).unwrap_or(0),
                    last + 1
                )),
            }
        })
    })
}

/// Sinks, and what their receivers may see.
fn open_sinks(configuration: &Configuration, store: &Store, speed: u32) -> Result<sinks::Handle> {
    let tables = configuration.sinks()?;
    let policies = configuration.policies()?;
    let keys = store.clone();
    let key: query::ColumnKey = Arc::new(move |tenant| keys.keys().fingerprint_key(tenant));
    let wall = move |receiver: sinks::Receiver, stream| -> Result<sinks::Wall, String> {
        let wall =
            policies.wall(receiver.role(), stream, Arc::clone(&key)).map_err(|error| error.to_string())?;
        Ok(Arc::new(move |tenant, rows| wall.apply(tenant, rows).map_err(|error| error.to_string())))
    };
    let options = sinks::Options {
        directory: configuration.data().join(schemas::layout::SINKS),
        context: sink_context(configuration, store.keys().installation()),
        wall: Arc::new(wall),
        speed,
    };
    sinks::Sinks::start(store, tables, &options).context("sinks")
}

/// What every message says of where it is from.
pub fn sink_context(configuration: &Configuration, installation: &str) -> sinks::Context {
    sinks::Context {
        installation: installation.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        external_url: Some(configuration.text("external_url").to_string()).filter(|url| !url.is_empty()),
        record_integrity: false,
    }
}

fn open_query(
    configuration: &Configuration,
    store: &Store,
    clock: &Arc<dyn Clock>,
    gates_blocked: query::GatesBlocked,
) -> Result<Query> {
    let number = |key: &str| -> Result<usize> {
        usize::try_from(configuration.number(key)?).with_context(|| key.to_string())
    };
    let spill_bytes = number("query.spill_bytes")?;
    let spill = match spill_bytes {
        0 => None,
        bytes => Some(query::SpillOptions {
            directory: configuration.data(),
            bytes,
            free_bytes_min: configuration.number("store.disk_free_bytes_min")?,
        }),
    };
    let redactor = access_redactor(store);
    let time = Arc::clone(clock);
    let keys = store.clone();
    let identifiers: query::Identifiers = Arc::new(|| uuid::Uuid::now_v7().to_string());
    let options = query::Options {
        deadline_ms: configuration.number("query.deadline_ms")?,
        memory_bytes: number("query.memory_bytes")?,
        spill,
        rows_max: configuration.number("query.rows_max")?,
        output_bytes_max: configuration.number("query.output_bytes_max")?,
        at_once: number("query.at_once")?,
        policies: configuration.policies()?,
        column_key: Arc::new(move |tenant| keys.keys().fingerprint_key(tenant)),
        gates: configuration.gate_settings()?,
        gates_blocked,
        ..query::Options::new(Arc::new(move || time.wall_us()), identifiers, redactor)
    };
    Query::new(store.clone(), options).context("query core")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_inside_the_data_are_refused_however_they_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let inside = [
            "data",
            "data/keys",
            "link",
            "link/keys",
            "x/../data/keys",
            "data/x/../keys",
            "./data/./keys",
            "x/../link/keys",
        ];
        for keys in inside.map(|keys| dir.path().join(keys)) {
            assert!(check_keys_outside(&data, &keys).is_err(), "{}", keys.display());
            assert!(check_keys_outside(&link, &keys).is_err(), "{}", keys.display());
        }
        for keys in ["data-keys", "data/../keys"].map(|keys| dir.path().join(keys)) {
            check_keys_outside(&data, &keys).unwrap();
        }
    }
}
