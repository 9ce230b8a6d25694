//! Having the checkpoints of one log cosigned.
//!
//! ```text
//! every N seconds: newest checkpoint ─► one task a witness ─► add-checkpoint ─► judge
//!                                                                  ├─ cosigned: check, collect, quorum?, keep
//!                                                                  ├─ another size: ask again from there
//!                                                                  ├─ away, or a mistake: wait longer each time
//!                                                                  ├─ a note of our key that is not of our tree: stop signing
//!                                                                  └─ more than was ever signed, or another tree:
//!                                                                       ask once more from the beginning, then it accuses
//! ```
//! What is signed stops a log at once: a kept note, or an answer with one in it. An accusation is not signed: it counts when one
//! witness says it twice, and stops the log when those that do not accuse are no quorum any more. Below that it is an alarm.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemas::limits::WITNESS_INTERVAL_S_MAX;
use schemas::note::{Note, VerifierKey};
use schemas::policy::Policy;
use schemas::tree::{Hash, verify_consistency};
use schemas::witness::Head;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::{Clock, Files};

mod collected;
mod http;
mod judge;
mod patience;
mod status;
mod submit;

pub use http::Transport;
pub use status::{MemberStatus, QuorumStatus, STATUS, Status};

use collected::Collected;
use patience::Patience;
use submit::{Member, Outcome};

/// The log whose checkpoints are handed over.
#[async_trait]
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// The newest signed checkpoint; none before the first. What anybody else was ever shown is not newer.
    fn checkpoint(&self) -> Option<Arc<str>>;
    /// What shows that the tree of `new` entries, at most those of the newest checkpoint, extends that of `old`.
    ///
    /// # Errors
    /// With what is wrong, for people.
    async fn consistency(&self, old: u64, new: u64) -> Result<Consistency, String>;
    /// Signs nothing more and takes nothing more, for this reason, until a person has acted.
    ///
    /// # Errors
    /// When that could not be kept past a restart.
    async fn stop_signing(&self, reason: &str) -> Result<(), String>;
}

/// That a log's tree extends what it was, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The root of the older tree.
    pub old_root: Hash,
    /// The consistency proof (RFC 6962).
    pub hashes: Vec<Hash>,
}

impl Consistency {
    /// Whether this leads from `old` entries to a tree that this log signed: what does not is damage here, and says nothing of
    /// what a witness holds.
    fn leads_to(&self, old: u64, signed: &Head) -> Result<(), String> {
        verify_consistency(&self.hashes, old, signed.size, &self.old_root, &signed.root).map_err(|error| {
            format!("the proof from {old} does not lead to the root that was signed here: {error}")
        })
    }
}

/// What is to be done.
#[derive(Debug)]
pub struct Options {
    /// The witnesses, and how many are enough.
    pub policy: Policy,
    /// The log's key.
    pub key: VerifierKey,
    /// How often a new checkpoint is handed over at most.
    pub interval: Duration,
    /// How witnesses are spoken to.
    pub transport: Transport,
    /// Where the cosigned checkpoint and the status are kept. Both are made again where they are lost.
    pub files: Arc<dyn Files>,
    /// What time it is.
    pub clock: Clock,
}

/// A checkpoint that is handed over.
#[derive(Debug, Clone)]
struct Round {
    text: Arc<str>,
    note: Arc<Note>,
    head: Head,
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    log: Arc<dyn Log>,
    policy: Policy,
    key: VerifierKey,
    clock: Clock,
    collected: Collected,
    stop: watch::Sender<bool>,
}

/// A running client.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    /// The newest checkpoint, read.
    fn newest(&self) -> Result<Option<Round>, String> {
        let Some(text) = self.log.checkpoint().filter(|text| !text.is_empty()) else { return Ok(None) };
        let note = Note::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let head = Head::open(&note, &self.key).map_err(|error| error.to_string())?;
        Ok(Some(Round { text, note: Arc::new(note), head }))
    }

    /// Makes the log stop.
    async fn stop_signing(&self, witness: &str, reason: &str) {
        tracing::error!(witness, reason, "signing stops");
        metrics::gauge!("tacho_witness_stopped").set(1.0);
        if let Err(error) = self.log.stop_signing(reason).await {
            tracing::error!(%error, "that signing is stopped is not kept past a restart");
        }
        self.collected.stopped(reason, self.clock.now_s()).await;
        self.stop.send_replace(true);
    }
}

/// Begins to hand checkpoints over. Blocking for a moment: files are read.
///
/// # Errors
/// [`Error::Settings`]: a policy with no witness that can be reached, or one that names other logs; an address.
pub fn start(log: Arc<dyn Log>, options: Options) -> Result<Handle> {
    let Options { policy, key, interval, transport, files, clock } = options;
    let seconds = interval.as_secs();
    if !(1..=WITNESS_INTERVAL_S_MAX).contains(&seconds) {
        let detail = format!("is {seconds} s; give 1 to {WITNESS_INTERVAL_S_MAX}");
        return Err(Error::settings("witness interval", detail));
    }
    check(&policy, &key)?;
    let members = Member::of(&policy, &transport)?;
    let collected = Collected::open(&policy, &key, files)?;
    let (stop, _) = watch::channel(false);
    let (rounds, round) = watch::channel(None);
    let shared = Arc::new(Shared { log, policy, key, clock, collected, stop });
    // Before any task runs: one may stop signing at once, and that must not be taken back.
    metrics::gauge!("tacho_witness_stopped").set(0.0);
    let mut tasks = vec![tokio::spawn(hand_over(Arc::clone(&shared), interval, rounds))];
    for member in members {
        tasks.push(tokio::spawn(serve(Arc::clone(&shared), member, round.clone())));
    }
    Ok(Handle { shared, tasks: std::sync::Mutex::new(tasks) })
}

/// Whether the policy is one of this log, and can be met.
fn check(policy: &Policy, key: &VerifierKey) -> Result<()> {
    let wrong = |detail: String| Err(Error::settings("witness policy", detail));
    if !policy.logs.is_empty() && !policy.logs.iter().any(|log| log.key == *key) {
        return wrong(format!("its logs are others; it needs the line `log {key}`, or no log line"));
    }
    let reachable: BTreeSet<usize> = (0..policy.witnesses.len())
        .filter(|at| policy.witnesses.get(*at).is_some_and(|w| w.url.is_some()))
        .collect();
    if reachable.is_empty() {
        return wrong("no witness has a URL; write `witness <name> <vkey> <url>`".to_string());
    }
    if !policy.quorum.is_met(&reachable) {
        return wrong("the quorum cannot be met by the witnesses that have a URL".to_string());
    }
    Ok(())
}

/// Publishes the newest checkpoint to the tasks, at once and then every `interval`.
async fn hand_over(shared: Arc<Shared>, interval: Duration, rounds: watch::Sender<Option<Round>>) {
    let mut stopped = shared.stop.subscribe();
    loop {
        match shared.newest() {
            Ok(Some(newest)) => {
                rounds.send_if_modified(|round| {
                    let is_new = round.as_ref().is_none_or(|round| round.text != newest.text);
                    if is_new {
                        *round = Some(newest);
                    }
                    is_new
                });
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the log's own checkpoint cannot be read"),
        }
        shared.collected.measure(shared.clock.now_s());
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Hands every new round to one witness, one request at a time.
async fn serve(shared: Arc<Shared>, mut member: Member, mut rounds: watch::Receiver<Option<Round>>) {
    let mut stopped = shared.stop.subscribe();
    let mut patience = Patience::default();
    if let Some(head) = shared.collected.held_by(member.at) {
        member.held = Some(head);
    }
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            changed = rounds.changed() => if changed.is_err() { return },
        }
        loop {
            // Always the newest one: what it missed meanwhile is in the consistency proof.
            let Some(round) = rounds.borrow_and_update().clone() else { break };
            let outcome = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                outcome = member.submit(&shared, round) => outcome,
            };
            let wait = match outcome {
                Outcome::Cosigned { round, cosignature } => {
                    patience = Patience::default();
                    shared
                        .collected
                        .cosigned(&shared.policy, member.at, &round, cosignature, shared.clock.now_s())
                        .await;
                    break;
                }
                Outcome::StopSigning { reason } => {
                    shared.stop_signing(&member.name, &reason).await;
                    return;
                }
                Outcome::Accused { reason } => {
                    tracing::error!(witness = member.name, reason, "a witness accuses this log");
                    metrics::counter!("tacho_witness_failures_total", "witness" => member.name.clone())
                        .increment(1);
                    let now_s = shared.clock.now_s();
                    if let Some(reason) =
                        shared.collected.accused(&shared.policy, member.at, &reason, now_s).await
                    {
                        shared.stop_signing(&member.name, &reason).await;
                        return;
                    }
                    patience.next(None)
                }
                Outcome::Failed { reason, wait } => {
                    tracing::warn!(witness = member.name, reason, "a witness did not cosign");
                    metrics::counter!("tacho_witness_failures_total", "witness" => member.name.clone())
                        .increment(1);
                    shared.collected.failed(member.at, &reason, shared.clock.now_s()).await;
                    patience.next(wait)
                }
            };
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl Handle {
    /// The newest checkpoint that enough witnesses have cosigned, with their lines.
    pub fn cosigned(&self) -> Option<Arc<str>> {
        self.shared.collected.newest()
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.shared.collected.status()
    }

    /// Ends all tasks. A request that is under way is given up: whatever it comes to is found by asking again.
    pub async fn shutdown(&self) {
        self.shared.stop.send_replace(true);
        let tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the witness client did not end in order");
            }
        }
    }
}
