//! Cosignatures as they come, checkpoint by checkpoint, until enough are there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::cosignature::{Cosignature, with_lines};
use schemas::layout::COSIGNED;
use schemas::limits::WITNESS_PENDING_MAX;
use schemas::note::{Note, SignatureLine, VerifierKey};
use schemas::policy::Policy;
use schemas::witness::Head;

use super::Round;
use super::status::{MemberStatus, QuorumStatus, STATUS, Status};
use crate::Files;
use crate::error::{Error, Result};

/// What was collected.
#[derive(Debug)]
pub(super) struct Collected {
    files: Arc<dyn Files>,
    inner: Mutex<Inner>,
    /// Held while files are written, so that an older state never comes after a newer one.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    /// Newest last.
    pending: VecDeque<Pending>,
    newest: Option<(Head, Arc<str>)>,
    /// What each witness's line in the kept file was for.
    held: BTreeMap<usize, Head>,
    /// Place in the policy to place in the status.
    places: BTreeMap<usize, usize>,
    status: Status,
}

#[derive(Debug)]
struct Pending {
    round: Round,
    by: BTreeMap<usize, Cosignature>,
}

impl Collected {
    /// Goes on from what is kept. A file that cannot be read any more, or is of another log or policy, is as good as none.
    ///
    /// # Errors
    /// [`Error::Settings`] when files cannot be read at all.
    pub(super) fn open(policy: &Policy, key: &VerifierKey, files: Arc<dyn Files>) -> Result<Collected> {
        let mut inner = Inner {
            pending: VecDeque::new(),
            newest: None,
            held: BTreeMap::new(),
            places: BTreeMap::new(),
            status: Status::default(),
        };
        let reachable = policy.witnesses.iter().enumerate().filter(|(_, witness)| witness.url.is_some());
        for (place, (at, witness)) in reachable.enumerate() {
            inner.places.insert(at, place);
            let none = MemberStatus {
                name: witness.name.clone(),
                size: None,
                time_s: None,
                failures: 0,
                failing_since_s: None,
                reason: None,
                accuses: false,
            };
            inner.status.witnesses.push(none);
        }
        let kept = files.read(COSIGNED).map_err(|error| Error::settings("witness directory", error))?;
        if let Some(bytes) = kept
            && let Err(error) = inner.resume(policy, key, &bytes)
        {
            tracing::warn!(%error, "the kept cosigned checkpoint is of no use; it is made again");
        }
        Ok(Collected { files, inner: Mutex::new(inner), writing: tokio::sync::Mutex::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this witness is known to hold.
    pub(super) fn held_by(&self, at: usize) -> Option<Head> {
        self.inner().held.get(&at).cloned()
    }

    pub(super) fn newest(&self) -> Option<Arc<str>> {
        self.inner().newest.as_ref().map(|(_, note)| Arc::clone(note))
    }

    pub(super) fn status(&self) -> Status {
        self.inner().status.clone()
    }

    /// Takes a cosignature in, and keeps the checkpoint if enough are there.
    pub(super) async fn cosigned(
        &self,
        policy: &Policy,
        at: usize,
        round: &Round,
        cosignature: Cosignature,
        now_s: u64,
    ) {
        let note = self.inner().take(policy, at, round, cosignature, now_s);
        self.keep(note).await;
        self.measure(now_s);
    }

    /// Notes a failure.
    pub(super) async fn failed(&self, at: usize, reason: &str, now_s: u64) {
        {
            let mut inner = self.inner();
            let Some(member) = inner.member(at) else { return };
            member.failures = member.failures.saturating_add(1);
            member.failing_since_s.get_or_insert(now_s);
            member.reason = Some(reason.to_string());
        }
        self.keep(None).await;
    }

    /// Notes that a witness accuses the log. Gives why signing has to stop: where those that do not accuse are no quorum. An
    /// accusation is not signed, so fewer than that stop nothing: one that lies is then the same as one that is away.
    pub(super) async fn accused(
        &self,
        policy: &Policy,
        at: usize,
        reason: &str,
        now_s: u64,
    ) -> Option<String> {
        let accusers = {
            let mut inner = self.inner();
            inner.member(at)?.accuses = true;
            inner.accusers()
        };
        self.failed(at, reason, now_s).await;
        self.measure(now_s);
        let others: BTreeSet<usize> = {
            let inner = self.inner();
            inner.places.keys().copied().filter(|at| !accusers.contains(at)).collect()
        };
        if policy.quorum.is_met(&others) {
            return None;
        }
        let names = names(policy, accusers.iter().copied()).join(", ");
        Some(format!("{reason}; without those that accuse ({names}) there is no quorum"))
    }

    /// Notes that signing was stopped.
    pub(super) async fn stopped(&self, reason: &str, _now_s: u64) {
        self.inner().status.stopped = Some(reason.to_string());
        self.keep(None).await;
    }

    /// Publishes size and age.
    pub(super) fn measure(&self, now_s: u64) {
        let status = self.status();
        if let Some(quorum) = &status.quorum {
            metrics::gauge!("tacho_witness_cosigned_size").set(quorum.size as f64);
            metrics::gauge!("tacho_witness_cosigned_age_seconds")
                .set(now_s.saturating_sub(quorum.time_s) as f64);
        }
        let accusers = status.witnesses.iter().filter(|witness| witness.accuses).count();
        metrics::gauge!("tacho_witness_accusers").set(accusers as f64);
        for witness in status.witnesses {
            metrics::gauge!("tacho_witness_failing", "witness" => witness.name.clone())
                .set(if witness.failures > 0 { 1.0 } else { 0.0 });
            if let Some(size) = witness.size {
                metrics::gauge!("tacho_witness_size", "witness" => witness.name).set(size as f64);
            }
        }
    }

    /// Writes the note, if there is a new one, and the status. Both can be made again: a failure is told and no more.
    async fn keep(&self, note: Option<Arc<str>>) {
        let _writing = self.writing.lock().await;
        let status = serde_json::to_vec_pretty(&self.status());
        let files = Arc::clone(&self.files);
        let written = tokio::task::spawn_blocking(move || {
            if let Some(note) = note {
                files.replace(COSIGNED, note.as_bytes())?;
            }
            files.replace(STATUS, &status.map_err(|error| error.to_string())?)
        });
        if let Err(error) = written.await.unwrap_or_else(|error| Err(error.to_string())) {
            tracing::error!(%error, "what witnesses signed could not be kept");
        }
    }
}

impl Inner {
    fn member(&mut self, at: usize) -> Option<&mut MemberStatus> {
        let place = self.places.get(&at)?;
        self.status.witnesses.get_mut(*place)
    }

    /// The places in the policy of those that accuse.
    fn accusers(&self) -> BTreeSet<usize> {
        let accuses = |place: &usize| self.status.witnesses.get(*place).is_some_and(|member| member.accuses);
        self.places.iter().filter(|(_, place)| accuses(place)).map(|(at, _)| *at).collect()
    }

    /// Goes on from the kept note.
    fn resume(&mut self, policy: &Policy, key: &VerifierKey, bytes: &[u8]) -> schemas::Result<()> {
        let note = Note::parse(bytes)?;
        let head = Head::open(&note, key)?;
        let witnessed = policy.cosignatures(&note)?;
        for (at, cosignature) in &witnessed.by {
            self.held.insert(*at, head.clone());
            if let Some(member) = self.member(*at) {
                (member.size, member.time_s) = (Some(head.size), Some(cosignature.time_s));
            }
        }
        if witnessed.is_enough {
            let time_s =
                witnessed.by.iter().map(|(_, cosignature)| cosignature.time_s).max().unwrap_or_default();
            self.status.quorum = Some(QuorumStatus {
                size: head.size,
                time_s,
                by: names(policy, witnessed.by.iter().map(|(at, _)| *at)),
            });
            self.newest = Some((head, String::from_utf8_lossy(bytes).into_owned().into()));
        }
        Ok(())
    }

    /// Takes a cosignature in; gives the note to keep if there is a new one.
    fn take(
        &mut self,
        policy: &Policy,
        at: usize,
        round: &Round,
        cosignature: Cosignature,
        now_s: u64,
    ) -> Option<Arc<str>> {
        if let Some(member) = self.member(at) {
            (member.size, member.time_s) = (Some(round.head.size), Some(cosignature.time_s));
            (member.failures, member.failing_since_s, member.reason) = (0, None, None);
            member.accuses = false;
        }
        self.held.insert(at, round.head.clone());
        let known = self.pending.iter().position(|pending| pending.round.text == round.text);
        let place = known.unwrap_or_else(|| {
            if self.pending.len() == WITNESS_PENDING_MAX {
                self.pending.pop_front();
            }
            self.pending.push_back(Pending { round: round.clone(), by: BTreeMap::new() });
            self.pending.len() - 1
        });
        let pending = self.pending.get_mut(place)?;
        pending.by.insert(at, cosignature);
        let is_older = self.newest.as_ref().is_some_and(|(newest, _)| newest.size > round.head.size);
        if is_older || !policy.quorum.is_met(&pending.by.keys().copied().collect()) {
            return None;
        }
        let lines: Vec<SignatureLine> =
            pending.by.values().map(|cosignature| cosignature.line.clone()).collect();
        let note: Arc<str> = with_lines(&round.note, &lines).into();
        let by = names(policy, pending.by.keys().copied());
        let is_first = self.newest.as_ref().is_none_or(|(newest, _)| *newest != round.head);
        let time_s = self.status.quorum.as_ref().filter(|_| !is_first).map_or(now_s, |quorum| quorum.time_s);
        self.status.quorum = Some(QuorumStatus { size: round.head.size, time_s, by });
        if is_first {
            tracing::info!(size = round.head.size, "enough witnesses have cosigned");
        }
        self.newest = Some((round.head.clone(), Arc::clone(&note)));
        Some(note)
    }
}

fn names(policy: &Policy, places: impl Iterator<Item = usize>) -> Vec<String> {
    places.filter_map(|at| Some(policy.witnesses.get(at)?.name.clone())).collect()
}
