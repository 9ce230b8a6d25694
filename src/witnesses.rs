//! The root log and its witnesses, joined: the log is the store's, the files are beside its logs.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use schemas::note::VerifierKey;
use schemas::origin::ROOT_TENANT;
use schemas::policy::Policy;
use schemas::{Stream, layout};
use store::Store;
use tokio::sync::watch;
use witness::client::{Consistency, Handle, Log, Options, Transport};
use witness::{Clock, Files};

use crate::configuration::Configuration;

/// Begins to hand the root log's checkpoints to the witnesses of the configuration, if it names any.
pub fn start(configuration: &Configuration, store: &Store) -> Result<Option<Handle>> {
    let Some((policy, ca)) = configuration.witness_files() else { return Ok(None) };
    if store.status().code == Some("tampered") {
        tracing::error!("no checkpoint is handed to witnesses: the store is read-only");
        let is_stopped = configuration.data().join(layout::STOPPED).exists();
        metrics::gauge!("tacho_witness_stopped").set(f64::from(u8::from(is_stopped)));
        return Ok(None);
    }
    let policy = read_policy(&policy)?;
    let ca =
        ca.map(|path| std::fs::read(&path).with_context(|| format!("witness.ca: read {}", path.display())));
    let key: VerifierKey = store.root_key()?.parse()?;
    let clock = store.clock();
    let options = Options {
        policy,
        key,
        interval: configuration.witness_interval()?,
        transport: Transport { ca: ca.transpose()? },
        files: Arc::new(OwnFiles(store::OwnFiles::open(&configuration.data().join(layout::WITNESS))?)),
        clock: Clock::new(move || u64::try_from(clock.wall_us() / 1_000_000).unwrap_or_default()),
    };
    witness::client::start(Arc::new(RootLog(store.clone())), options).context("witness.policy").map(Some)
}

/// Lets them run until the service ends.
pub async fn run(witnesses: Handle, mut stopped: watch::Receiver<bool>) {
    // Whoever held the other end has gone: the same.
    stopped.wait_for(|stopped| *stopped).await.ok();
    witnesses.shutdown().await;
}

/// Reads a policy file.
pub fn read_policy(path: &std::path::Path) -> Result<Policy> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Policy::parse(&bytes).with_context(|| format!("in {}", path.display()))
}

/// The root log, as witnesses are shown it.
#[derive(Debug)]
struct RootLog(Store);

#[async_trait]
impl Log for RootLog {
    fn checkpoint(&self) -> Option<Arc<str>> {
        Some(self.0.existing(ROOT_TENANT, Stream::Root)?.checkpoint())
    }

    async fn consistency(&self, old: u64, new: u64) -> Result<Consistency, String> {
        let log = self.0.existing(ROOT_TENANT, Stream::Root).ok_or("the root log is not open")?;
        let proof = tokio::task::spawn_blocking(move || {
            let tree = log.tree()?;
            // The proof is checked up to the root that is signed, and with it this one.
            let hashes = tree.consistency(old, new)?;
            Ok::<_, store::ReadError>(Consistency { old_root: tree.root_at(old)?, hashes })
        })
        .await;
        proof.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    async fn stop_signing(&self, reason: &str) -> Result<(), String> {
        let (store, reason) = (self.0.clone(), reason.to_string());
        let stopped = tokio::task::spawn_blocking(move || store.stop_signing(&reason)).await;
        stopped.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// Files of the client's or a witness's own.
#[derive(Debug)]
pub struct OwnFiles(pub store::OwnFiles);

impl Files for OwnFiles {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.read(name).map_err(|error| error.to_string())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.0.replace(name, bytes).map_err(|error| error.to_string())
    }
}
