//! Use of a credential after its revocation, in event time, in whichever order the two arrive.
//!
//! A use that is dated before its revocation, and came longer after it than late records are waited for, is late or dated back, and the log
//! cannot tell which: it is told with less certainty.

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level, bounded};
use crate::record::Event;
use crate::settings::{Settings, microseconds};

const RULE: Rule = Rule {
    id: "revoked_credential_use",
    title: "Revoked credential used",
    meaning: "A credential that still works after its revocation, or is still being tried, is in the wrong hands or was not revoked everywhere",
    statistic: "uses after the revocation",
    unit: "count",
    references: &["AML.T0012", "MCP07", "MCP01"],
};

/// A revocation is for ever: later logins or issues under the same id do not undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Revocation {
    /// Earliest revocation known.
    revoked_us: i64,
    index: i64,
    /// Uses after it, accepted ones and all.
    accepted: i64,
    uses: i64,
}

/// The latest use of a credential by event time, as (time, log index).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LastUse {
    accepted: Option<(i64, i64)>,
    refused: Option<(i64, i64)>,
}

/// At their caps `revoked` forgets what was revoked longest ago, by the log: a use of that credential is no
/// longer seen, which only who may revoke can bring about. `used` forgets what was used longest ago: a
/// revocation that arrives later than its uses then goes by the next use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    revoked: Bounded<Revocation>,
    used: Bounded<LastUse>,
}

impl LastUse {
    fn note(&mut self, accepted: bool, event_us: i64, index: i64) {
        let slot = if accepted { &mut self.accepted } else { &mut self.refused };
        *slot = (*slot).max(Some((event_us, index)));
    }

    fn newest_index(&self) -> i64 {
        let index = |used: Option<(i64, i64)>| used.map_or(i64::MIN, |(_, index)| index);
        index(self.accepted).max(index(self.refused))
    }
}

impl State {
    pub fn new() -> State {
        State { revoked: Bounded::new(), used: Bounded::new() }
    }

    fn revoke(
        &mut self,
        event: &Event<'_>,
        credential: &str,
        context: &Context<'_>,
        signals: &mut Vec<Signal>,
    ) {
        let limits = &context.settings.revoked_credential_use;
        let (revoked_us, index) = (event.placed_us, event.record.index);
        let rank = |_: &str, revocation: &Revocation| (false, 0, revocation.index);
        let make = || Revocation { revoked_us, index, accepted: 0, uses: 0 };
        let revocation = self.revoked.entry(&bounded(credential), limits.credentials_max, rank, make);
        if revoked_us < revocation.revoked_us {
            (revocation.revoked_us, revocation.index) = (revoked_us, index);
        }
        let Some(used) = self.used.get_mut(&bounded(credential)) else { return };
        // Each earlier use is judged once: by the revocation that made it one.
        let after_us = revocation.revoked_us.saturating_add(microseconds(limits.grace_s));
        for (accepted, slot) in [(true, &mut used.accepted), (false, &mut used.refused)] {
            let Some((used_us, used_index)) = slot.take_if(|(used_us, _)| *used_us > after_us) else {
                continue;
            };
            revocation.count(accepted);
            signals.push(revocation.signal(credential, accepted, used_us, vec![used_index, index]));
        }
    }

    fn use_of(
        &mut self,
        event: &Event<'_>,
        credential: &str,
        context: &Context<'_>,
        signals: &mut Vec<Signal>,
    ) {
        let limits = &context.settings.revoked_credential_use;
        let key = bounded(credential);
        let accepted = !is_refused(event);
        let index = event.record.index;
        let after_us =
            |revocation: &Revocation| revocation.revoked_us.saturating_add(microseconds(limits.grace_s));
        match self.revoked.get_mut(&key) {
            Some(revocation) if event.event_us > after_us(revocation) => {
                revocation.count(accepted);
                let evidence = vec![revocation.index, index];
                signals.push(revocation.signal(credential, accepted, event.event_us, evidence));
            }
            Some(revocation) if context.counted_us(event) > after_us(revocation) => {
                revocation.count(accepted);
                let evidence = vec![revocation.index, index];
                signals.push(revocation.dated_back(credential, accepted, event.event_us, evidence));
            }
            _ => {
                let rank = |_: &str, used: &LastUse| (false, 0, used.newest_index());
                let used = self.used.entry(&key, limits.uses_max, rank, LastUse::default);
                used.note(accepted, event.event_us, index);
            }
        }
    }
}

impl Revocation {
    fn count(&mut self, accepted: bool) {
        self.uses = self.uses.saturating_add(1);
        self.accepted = self.accepted.saturating_add(i64::from(accepted));
    }

    /// What came after it and says that it was before.
    fn dated_back(&self, credential: &str, accepted: bool, used_us: i64, evidence: Vec<i64>) -> Signal {
        let before_us = self.revoked_us.saturating_sub(used_us);
        Signal {
            severity: if accepted { Severity::Medium } else { Severity::Low },
            confidence: Confidence::Low,
            detail: format!(
                "{} long after its revocation at log index {}, in a record that is dated {before_us} us before it: late, or dated back",
                if accepted { "accepted" } else { "tried and refused" },
                self.index
            ),
            ..self.signal(credential, accepted, used_us, evidence)
        }
    }

    fn signal(&self, credential: &str, accepted: bool, used_us: i64, evidence: Vec<i64>) -> Signal {
        let delay_us = used_us.saturating_sub(self.revoked_us);
        let (severity, how) =
            if accepted { (Severity::Critical, "accepted") } else { (Severity::Medium, "tried and refused") };
        Signal {
            entity: Entity::new(Level::Credential, &[("credential_id", Some(credential))]),
            effect: Effect::Open,
            offending: true,
            severity,
            confidence: Confidence::High,
            observed: Some(self.uses),
            expected: Some(0),
            seen_us: used_us,
            detail: format!(
                "{how} {delay_us} us after its revocation at log index {}; accepted {} of {} times since",
                self.index, self.accepted, self.uses
            ),
            opening_evidence: evidence,
            opening_count: 1,
            opening_us: used_us,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        }
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        None
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind IS NOT NULL".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(credential) = event.record.credential_id else { return };
        if event.is_revocation() {
            if event.record.status == "ok" && !event.is_denied() {
                self.revoke(event, credential, context, signals);
            }
        } else if is_use(event) {
            self.use_of(event, credential, context, signals);
        }
    }

    fn evicted(&self) -> u64 {
        self.revoked.evicted()
    }
}

/// The end of a session and the output of an earlier call follow a revocation as a matter of course.
fn is_use(event: &Event<'_>) -> bool {
    let record = event.record;
    record.kind != "output" && !(record.kind == "session" && record.method == Some("end"))
}

/// The credential was turned away. A tool that fails has accepted it.
fn is_refused(event: &Event<'_>) -> bool {
    event.is_denied() || event.is_auth_failure() || event.record.error_class == Some("auth")
}
