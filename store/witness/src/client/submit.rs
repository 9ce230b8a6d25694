//! One checkpoint and one witness: asked until it has cosigned, has failed, or has shown that signing must stop.

use std::time::Duration;

use schemas::cosignature::{Cosignature, CosignerKey};
use schemas::limits::{WITNESS_AHEAD_S_MAX, WITNESS_REQUESTS_MAX};
use schemas::note::Note;
use schemas::policy::Policy;
use schemas::witness::{AddCheckpoint, Head};

use super::http::{Answer, Endpoint, Transport};
use super::judge::{Asked, Verdict, judge};
use super::{Round, Shared};
use crate::error::Result;

/// One witness.
#[derive(Debug)]
pub(super) struct Member {
    /// Its place in the policy.
    pub(super) at: usize,
    pub(super) name: String,
    key: CosignerKey,
    endpoint: Endpoint,
    /// What it last cosigned, as far as is remembered here.
    pub(super) held: Option<Head>,
}

/// What a hand-over comes to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Cosigned, checked. The round may be newer than the one that was handed over.
    Cosigned { round: Round, cosignature: Cosignature },
    /// Not now. `wait` is what the witness asked for.
    Failed { reason: String, wait: Option<Duration> },
    /// It says, unsigned and twice, that it has seen what is not ours.
    Accused { reason: String },
    /// What is signed shows another history: nothing more may be signed until a person has looked.
    StopSigning { reason: String },
}

impl Member {
    /// The witnesses of a policy that have a URL.
    ///
    /// # Errors
    /// [`crate::Error::Settings`].
    pub(super) fn of(policy: &Policy, transport: &Transport) -> Result<Vec<Member>> {
        let client = transport.client()?;
        let mut members = Vec::new();
        for (at, witness) in policy.witnesses.iter().enumerate() {
            let Some(url) = &witness.url else { continue };
            let endpoint = transport.endpoint(&client, &witness.name, url)?;
            let (name, key) = (witness.name.clone(), witness.key.clone());
            members.push(Member { at, name, key, endpoint, held: None });
        }
        Ok(members)
    }

    /// Hands a checkpoint over.
    pub(super) async fn submit(&mut self, shared: &Shared, mut round: Round) -> Outcome {
        let failed = |reason: String| Outcome::Failed { reason, wait: None };
        let mut old = self.held.as_ref().map_or(0, |held| held.size);
        let mut is_named = false;
        let mut suspicion: Option<String> = None;
        for _ in 0..WITNESS_REQUESTS_MAX {
            if old > round.head.size {
                // Somebody else may have shown the witness a newer checkpoint of ours than this round's.
                match shared.newest() {
                    Ok(Some(newest)) => round = newest,
                    Ok(None) => {}
                    Err(error) => return failed(error),
                }
            }
            if let Some(held) = self.held.as_ref().filter(|held| held.size > round.head.size) {
                // The kept note is signed by this log and by the witness: nobody has to be believed.
                return Outcome::StopSigning { reason: self.accusation(held.size, &round.head) };
            }
            let verdict = if old > round.head.size {
                Verdict::Fork
            } else {
                match self.ask(shared, &round, old, is_named).await {
                    Ok((Verdict::Cosigned, answer)) => return self.check(shared, round, &answer),
                    Ok((verdict, _)) => verdict,
                    Err(outcome) => return outcome,
                }
            };
            match verdict {
                Verdict::Holds(size) => (old, is_named) = (size, true),
                Verdict::AskWhatItHolds => (old, is_named) = (0, false),
                Verdict::Fork => {
                    let reason = self.accusation(old, &round.head);
                    // Twice, from the beginning, so that no single garbled answer stops a log.
                    if suspicion.is_some() {
                        return Outcome::Accused { reason };
                    }
                    tracing::warn!(witness = self.name, reason, "asking once more");
                    suspicion = Some(reason);
                    (old, is_named) = (0, false);
                }
                Verdict::Failed { reason, wait } => return Outcome::Failed { reason, wait },
                Verdict::Cosigned => return failed("an answer that was taken for none".to_string()),
            }
        }
        failed(format!("another size in each of {WITNESS_REQUESTS_MAX} answers"))
    }

    /// Asks once.
    async fn ask(
        &self,
        shared: &Shared,
        round: &Round,
        old: u64,
        is_named: bool,
    ) -> Result<(Verdict, Answer), Outcome> {
        let failed = |reason: String| Outcome::Failed { reason, wait: None };
        let proof = shared.log.consistency(old, round.head.size).await;
        let proof = proof.map_err(|error| failed(format!("no consistency proof from {old}: {error}")))?;
        // Before anything is held against it: tiles that were damaged accuse nobody.
        proof.leads_to(old, &round.head).map_err(failed)?;
        if let Some(held) = self.held.as_ref().filter(|held| held.size == old)
            && held.root != proof.old_root
        {
            // Both trees are signed by this log, and the witness has signed the first: nobody has to be believed.
            return Err(Outcome::StopSigning {
                reason: format!(
                    "witness {} has cosigned size {old} of this log, and size {} does not extend it: the log has \
                     been changed or replaced below what was witnessed",
                    self.name, round.head.size
                ),
            });
        }
        let request = AddCheckpoint { old, proof: proof.hashes, checkpoint: round.text.as_bytes().to_vec() };
        let answer = self.endpoint.post(request.to_bytes()).await.map_err(failed)?;
        if let Some(reason) = self.shown_against(shared, &answer).await {
            return Err(Outcome::StopSigning { reason });
        }
        let asked = Asked { old, is_named, size: round.head.size };
        Ok((judge(asked, &answer), answer))
    }

    /// What is wrong where the answer is a checkpoint that this log's key signed, and that is not of the tree here: then nobody
    /// has to be believed. Witnesses of ours answer 422 with the one that they hold.
    async fn shown_against(&self, shared: &Shared, answer: &Answer) -> Option<String> {
        let note = Note::parse(&answer.body).ok()?;
        let shown = Head::open(&note, &shared.key).ok()?;
        let newest = shared.newest().ok()??.head;
        if shown.size <= newest.size {
            let own = shared.log.consistency(shown.size, newest.size).await.ok()?;
            own.leads_to(shown.size, &newest).ok()?;
            if own.old_root == shown.root {
                return None;
            }
        }
        Some(format!(
            "{}; it shows a checkpoint that this log's key signed",
            self.accusation(shown.size, &newest)
        ))
    }

    /// Checks what a witness says is its cosignature.
    fn check(&mut self, shared: &Shared, round: Round, answer: &Answer) -> Outcome {
        let failed = |reason: String| Outcome::Failed { reason, wait: None };
        let note = [round.note.unverified_text().as_bytes(), b"\n", &answer.body].concat();
        let without = |why: &str| failed(format!("200 without its cosignature ({}): {why}", self.key));
        let note = match Note::parse(&note) {
            Ok(note) => note,
            Err(error) => return without(&error.to_string()),
        };
        // A note ends its text at the last blank line: with one in the answer it would be another text that is signed.
        if note.unverified_text() != round.note.unverified_text() {
            return without("it is over another text than the checkpoint");
        }
        let cosignature = match self.key.verify(&note) {
            Ok(cosignature) => cosignature,
            Err(error) => return without(&error.to_string()),
        };
        let now_s = shared.clock.now_s();
        if cosignature.time_s > now_s.saturating_add(WITNESS_AHEAD_S_MAX) {
            let ahead = cosignature.time_s - now_s;
            return failed(format!(
                "its cosignature is of {ahead} s from now; one of the two clocks is wrong"
            ));
        }
        self.held = Some(round.head.clone());
        Outcome::Cosigned { round, cosignature }
    }

    /// What a witness has seen that is not ours.
    fn accusation(&self, held: u64, ours: &Head) -> String {
        let name = &self.name;
        if held > ours.size {
            return format!(
                "witness {name} holds size {held} of this log, and no more than {} was ever signed here: an older copy of the \
                 data runs, or somebody else signs with this log's key",
                ours.size
            );
        }
        format!(
            "witness {name} holds size {held} of this log with another tree than the one here (size {}): the log was shown with \
             two histories",
            ours.size
        )
    }
}
