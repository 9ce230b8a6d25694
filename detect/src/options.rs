//! What can be set about the runner.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the runner; those of the rules are in [`engine::Settings`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Thresholds and caps of the rules, the same for every tenant.
    pub settings: engine::Settings,
    /// Rules in Sigma, the same for every tenant. Default none.
    pub rules: Option<Arc<sigma::Rules>>,
    /// Records after which a state file is written; a large state waits for more, so that writing it stays a small part of the
    /// work. Default 50,000.
    pub snapshot_every: u64,
    /// Where state files are kept; made if missing. Nothing else may write there.
    pub snapshot_dir: PathBuf,
    /// How often new tenants are looked for. Default 250 ms.
    pub discover_every: Duration,
    /// How often a log in which nothing comes is asked whether the time has come for something in it. Default 1 s.
    pub clock_every: Duration,
    /// Records folded before their alerts are appended, at most. Default 8,192.
    pub chunk_records_max: usize,
    /// Alerts appended at once; a chunk ends early with the record that reaches it. Default 1,024.
    pub chunk_alerts_max: usize,
}

impl Options {
    /// The defaults, with state files in `snapshot_dir`.
    pub fn new(snapshot_dir: impl Into<PathBuf>) -> Options {
        Options {
            settings: engine::Settings::default(),
            rules: None,
            snapshot_every: 50_000,
            snapshot_dir: snapshot_dir.into(),
            discover_every: Duration::from_millis(250),
            clock_every: Duration::from_secs(1),
            chunk_records_max: 8_192,
            chunk_alerts_max: 1_024,
        }
    }

    /// What the engine of each tenant folds under.
    pub(crate) fn setup(&self) -> engine::Setup {
        engine::Setup { settings: self.settings.clone(), rules: self.rules.clone() }
    }
}
