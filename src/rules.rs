//! Rules in Sigma as the configuration names them: the shipped pack, one's own, their lists, and which tell nothing. A service reads
//! them again when it is told to; which directories and what is switched off stay as they were at its start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use query::{Access, Status};
use schemas::principal::{Principal, Role};
use serde::{Deserialize, Serialize};
use sigma::{Options, Rules};
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, watch};
use utoipa::ToSchema;

use crate::configuration::Configuration;
use crate::identity::DEFAULT_TENANT;
use crate::node::{Node, RECORDER};

const ACTION: &str = "rules_reload";

/// Where they are, as the configuration has it.
pub fn options(configuration: &Configuration) -> Options {
    let directory = |key: &str| match configuration.text(key) {
        "" => None,
        path => Some(PathBuf::from(path)),
    };
    Options {
        without_shipped: false,
        rules: directory("sigma.rules"),
        lists: directory("sigma.lists"),
        disabled: configuration.texts("sigma.disabled"),
    }
}

/// Reads them: all or none, with every error that is found.
pub fn load(configuration: &Configuration) -> Result<Arc<Rules>> {
    let rules = Rules::load(&options(configuration)).context("rules in Sigma")?;
    Ok(Arc::new(rules))
}

/// What the detector folds under.
pub fn setup(configuration: &Configuration) -> Result<engine::Setup> {
    Ok(engine::Setup { settings: configuration.detect_settings()?, rules: Some(load(configuration)?) })
}

/// Reads the rules of a detector that runs once more.
#[derive(Debug)]
pub struct Reloader {
    options: Options,
    detector: Arc<detect::Handle>,
    /// Held from reading the files until what was read is in force: what was read earlier must not come last.
    turn: Mutex<()>,
}

/// Which rules detection goes on under.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RulesReloaded)]
pub struct Loaded {
    /// Digest of the set that was in force, hexadecimal; null without one.
    digest_before: Option<String>,
    /// Digest of the set that is in force.
    digest: String,
    /// Whether they differ. Where they do, each log is folded again under the new set.
    changed: bool,
    /// How many rules there are.
    rules: usize,
    /// How many of them alert.
    alerting: usize,
    /// How many of them wait for a list.
    waiting: usize,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loaded { digest_before, digest, changed, rules, alerting, waiting } = self;
        let how = match (changed, digest_before) {
            (false, _) => "as before".to_owned(),
            (true, None) => "where there were none".to_owned(),
            (true, Some(before)) => format!("in place of {before}"),
        };
        write!(f, "in force: {digest}, {how}; {rules} rules, {alerting} alert, {waiting} wait for a list")
    }
}

/// Why the rules were not read again. But for the last, those that were in force still are.
#[derive(Debug)]
pub enum Failure {
    /// This process does not detect.
    NoDetector,
    /// Every error of the set.
    Rules(String),
    /// The service is ending, or failed.
    Ended(String),
    /// That it is to be done is not on the access log, so it was not done.
    IntentNotRecorded(String),
    /// It is done, and not on the access log.
    OutcomeNotRecorded(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoDetector => {
                f.write_str("this process does not detect; ask the one with the role detect")
            }
            Failure::Rules(text) | Failure::Ended(text) | Failure::IntentNotRecorded(text) => {
                f.write_str(text)
            }
            Failure::OutcomeNotRecorded(text) => write!(f, "the rules on disk are in force, but: {text}"),
        }
    }
}

impl Reloader {
    /// For the detector that was started under what the configuration names.
    pub fn new(configuration: &Configuration, detector: Arc<detect::Handle>) -> Reloader {
        Reloader { options: options(configuration), detector, turn: Mutex::new(()) }
    }

    async fn reload(&self) -> Result<Loaded, Failure> {
        let _turn = self.turn.lock().await;
        let options = self.options.clone();
        let loaded = tokio::task::spawn_blocking(move || Rules::load(&options)).await;
        let rules = loaded.map_err(|error| Failure::Ended(error.to_string()))?;
        let rules = Arc::new(rules.map_err(|error| Failure::Rules(error.to_string()))?);
        let reloaded = self.detector.reload(Some(Arc::clone(&rules))).await;
        let reloaded = reloaded.map_err(|error| Failure::Ended(error.to_string()))?;
        let each = || rules.rules().iter();
        Ok(Loaded {
            changed: reloaded.is_changed(),
            digest_before: reloaded.before,
            digest: rules.digest().to_owned(),
            rules: each().count(),
            alerting: each().filter(|rule| rule.is_active() && rule.alerts).count(),
            waiting: each().filter(|rule| !rule.waits_for.is_empty()).count(),
        })
    }
}

/// Reads the rules again, all or none, and has the detector go on under them; what was asked and what came of it is on the access log.
pub async fn reload(node: &Node, principal: &Principal) -> Result<Loaded, Failure> {
    let reloader = node.rules().ok_or(Failure::NoDetector)?;
    let query_id = node.new_query_id();
    let intent = node.record(Access::intent(principal, &query_id, ACTION)).await;
    intent.map_err(|error| Failure::IntentNotRecorded(format!("{error:#}")))?;
    let reloaded = reloader.reload().await;
    let outcome = |status| Access::outcome(principal, &query_id, ACTION, status);
    let recorded = match &reloaded {
        Ok(loaded) => {
            metrics::counter!("tacho_rules_reloads_total").increment(1);
            let statement = serde_json::to_string(loaded);
            let statement = statement.map_err(|error| Failure::OutcomeNotRecorded(error.to_string()))?;
            node.record(Access { statement: Some(&statement), ..outcome(Status::Ok) }).await
        }
        Err(failure) => {
            metrics::counter!("tacho_rules_reload_failures_total").increment(1);
            let code = if matches!(failure, Failure::Rules(_)) { "bad_rules" } else { "not_reloaded" };
            let detail = Some(failure.to_string());
            node.record(Access { error_code: Some(code), detail, ..outcome(Status::Error) }).await
        }
    };
    match (reloaded, recorded) {
        (Ok(_), Err(error)) => Err(Failure::OutcomeNotRecorded(format!("{error:#}"))),
        (Err(failure), Err(error)) => {
            tracing::error!(
                error = format!("{error:#}"),
                "that rules were not reloaded is not on the access log"
            );
            Err(failure)
        }
        (reloaded, Ok(())) => reloaded,
    }
}

/// Reads the rules again whenever the process is told to (SIGHUP), until the service ends.
pub async fn watch(node: Node, mut stopped: watch::Receiver<bool>, mut told: Signal) {
    // Whoever may send a signal is not known by name.
    let principal = Principal {
        id: RECORDER.to_owned(),
        role: Role::Admin,
        tenant: DEFAULT_TENANT.to_owned(),
        source_ip: None,
        door: "signal",
    };
    loop {
        tokio::select! {
            // An error means that the sender is gone, and with it the service.
            _ = stopped.wait_for(|stopped| *stopped) => return,
            signal = told.recv() => if signal.is_none() { return },
        }
        match reload(&node, &principal).await {
            Ok(Loaded { digest_before, digest, changed, rules, .. }) => {
                tracing::info!(digest_before, digest, changed, rules, "rules were read again");
            }
            Err(error) => tracing::error!(%error, "rules were not reloaded"),
        }
    }
}
