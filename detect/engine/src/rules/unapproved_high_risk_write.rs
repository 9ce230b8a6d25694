//! A high-risk write that ran without a valid approval: exact, immediate, more than none is an alert.
//!
//! Valid is an approval that the call or the log says is approved, by somebody other than who acts, for the
//! same request where both hashes are known. Whatever the log does not say, or no longer remembers, is not
//! taken as approved. Several observations of one call (client, gateway, server) are one call.
//!
//! - **Order**: it is told at once, also where the approval is on its way. Where that comes while late records are waited for, was given before the call by event
//!   time, and would have made it valid, the episode is closed as explained, or says so where it has other calls: an alert too many that ends openly, and
//!   none too late.
//! - **Replay**: an approval is for one run of its request. A second call that succeeds under it with the same hash is told; one that follows a failure, and those whose
//!   hash nobody gives, are not.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal};
use crate::entity::{Entity, Level, bounded, entity_key};
use crate::record::{Event, Record};
use crate::settings::{Settings, UnapprovedHighRiskWrite, microseconds};

/// Calls told of whose approval may yet come. Beyond, the oldest stay told.
const UNPROVEN_MAX: usize = schemas::limits::ENGINE_UNPROVEN_MAX;

/// Observations of one call beyond the first: a call has at most four observers.
const OBSERVATIONS_MORE: u8 = 3;

const RULE: Rule = Rule {
    id: "unapproved_high_risk_write",
    title: "High-risk write without a valid approval",
    meaning: "High-risk writes need somebody else's approval of exactly this request before they run",
    statistic: "unapproved high-risk writes",
    unit: "count",
    references: &["AML.T0053", "AML.T0101", "MCP02"],
};

/// What the log says about an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Approval {
    status: Status,
    status_us: i64,
    approver: Option<String>,
    request_hash: Option<String>,
    /// First seen: log index and watermark.
    index: i64,
    seen_us: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Requested,
    Approved,
    Rejected,
    Expired,
    Cancelled,
}

/// A call already judged, and how many more observations of it may refer to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Judged {
    approved: bool,
    user_id: Option<String>,
    agent_id: Option<String>,
    request_hash: Option<String>,
    seen_us: i64,
    index: i64,
    more: u8,
}

/// A call that was told of because the log has no approval of that id, or none that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Unproven {
    approval: String,
    entity: Entity,
    call: Option<String>,
    user_id: Option<String>,
    agent_id: Option<String>,
    request_hash: Option<String>,
    event_us: i64,
    index: i64,
    seen_us: i64,
}

/// The call that ran under an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Use {
    call_id: Option<String>,
    observer: Option<String>,
    request_hash: String,
    index: i64,
}

/// At their caps all maps forget the oldest. A forgotten approval is no approval, and if it was younger than
/// the horizon, calls that merely assert an approval the engine cannot look up are not believed for as long
/// as the horizon lasts: a flood of approvals can cause alerts, it cannot hide one. A forgotten call is judged
/// anew. A forgotten use can be repeated once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    approvals: Bounded<Approval>,
    calls: Bounded<Judged>,
    /// By approval id.
    uses: Bounded<Use>,
    /// In the order of their records.
    unproven: VecDeque<Unproven>,
    /// Watermark when an approval was last forgotten before its time.
    overflow_us: Option<i64>,
}

/// Why a call is not approved, and how sure that is.
type Fault = (Cow<'static, str>, Confidence);

impl Status {
    fn parse(word: Option<&str>) -> Option<Status> {
        match word? {
            "requested" => Some(Status::Requested),
            "approved" => Some(Status::Approved),
            "rejected" => Some(Status::Rejected),
            "expired" => Some(Status::Expired),
            "cancelled" => Some(Status::Cancelled),
            _ => None,
        }
    }
}

impl Approval {
    /// A decision stands over a request however they arrive; of two decisions the later by event time, and of
    /// two at the same time the one that is not an approval.
    fn take(&mut self, status: Status, event: &Event<'_>) {
        let decided = |status: Status| status != Status::Requested;
        let order = |status: Status, at_us: i64| (decided(status), at_us, status != Status::Approved);
        if order(status, event.event_us) > order(self.status, self.status_us) {
            (self.status, self.status_us) = (status, event.event_us);
            self.approver = event.record.approver.map(owned).or(self.approver.take());
            self.request_hash = event.record.request_hash.map(owned).or(self.request_hash.take());
        } else {
            self.approver = self.approver.take().or(event.record.approver.map(owned));
            self.request_hash = self.request_hash.take().or(event.record.request_hash.map(owned));
        }
    }

    /// Whether it makes a call valid that ran when it did.
    fn covers(&self, call: &Unproven) -> bool {
        let is_own =
            |approver: &String| is_same_person(approver, call.user_id.as_deref(), call.agent_id.as_deref());
        self.status == Status::Approved
            && self.status_us <= call.event_us
            && !self.approver.as_ref().is_some_and(is_own)
            && agrees(self.request_hash.as_deref(), call.request_hash.as_deref())
    }

    fn is_refused_at(&self, event_us: i64) -> bool {
        !matches!(self.status, Status::Approved | Status::Requested) && self.status_us <= event_us
    }
}

impl State {
    pub fn new() -> State {
        State {
            approvals: Bounded::new(),
            calls: Bounded::new(),
            uses: Bounded::new(),
            unproven: VecDeque::new(),
            overflow_us: None,
        }
    }

    fn learn(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let (Some(id), Some(status)) =
            (event.record.approval_id, Status::parse(event.record.approval_status))
        else {
            return;
        };
        let limits = &context.settings.unapproved_high_risk_write;
        let (key, watermark_us) = (bounded(id), context.watermark_us);
        let rank = |_: &str, approval: &Approval| (false, 0, approval.index);
        let forgotten = self.approvals.make_room(&key, limits.approvals_max, rank);
        let horizon_us = watermark_us.saturating_sub(microseconds(limits.approvals_horizon_s));
        if forgotten.iter().any(|approval| approval.seen_us > horizon_us) {
            self.overflow_us = Some(watermark_us);
        }
        let make = || Approval {
            status,
            status_us: event.event_us,
            approver: event.record.approver.map(owned),
            request_hash: event.record.request_hash.map(owned),
            index: event.record.index,
            seen_us: watermark_us,
        };
        self.approvals.entry(&key, limits.approvals_max, rank, make).take(status, event);
        self.explain(&key, event, context, signals);
    }

    /// Calls that were told of and turn out to have been approved before they ran.
    fn explain(
        &mut self,
        approval_id: &str,
        event: &Event<'_>,
        context: &Context<'_>,
        signals: &mut Vec<Signal>,
    ) {
        let late_us = context.watermark_us.saturating_sub(microseconds(context.settings.lateness_s));
        while self.unproven.front().is_some_and(|call| call.seen_us < late_us) {
            self.unproven.pop_front();
        }
        let State { approvals, calls, unproven, .. } = self;
        let Some(approval) = approvals.get(approval_id) else { return };
        let is_explained = |call: &Unproven| call.approval == approval_id && approval.covers(call);
        for call in unproven.iter().filter(|call| is_explained(call)) {
            if let Some(judged) = call.call.as_deref().and_then(|key| calls.get_mut(key)) {
                judged.approved = true;
            }
            signals.push(Signal {
                entity: call.entity.clone(),
                effect: Effect::Explain,
                offending: false,
                severity: Severity::Informational,
                confidence: Confidence::High,
                observed: None,
                expected: None,
                seen_us: event.event_us,
                detail: format!(
                    "the approval of the call at log index {} was given before it and came after it, at log index {}",
                    call.index, event.record.index
                ),
                opening_evidence: vec![call.index],
                opening_count: 0,
                opening_us: call.event_us,
                bucket: None,
                ln_p: None,
                budget_verdict: None,
            });
        }
        unproven.retain(|call| !is_explained(call));
    }

    /// Whether the approval that a call names may be on its way.
    fn is_unproven(&self, record: &Record<'_>) -> bool {
        let is_silent = matches!(record.approval_status, None | Some("unknown"));
        let known = record.approval_id.map(|id| self.approvals.get(&bounded(id)));
        is_silent && known.is_some_and(|known| known.is_none_or(|known| known.status == Status::Requested))
    }

    /// Whether another call ran under the same approval of the same request; the call is remembered if it is the first.
    fn replayed(&mut self, record: &Record<'_>, context: &Context<'_>) -> Option<Fault> {
        let (id, hash) = record.approval_id.zip(record.request_hash).filter(|_| record.status == "ok")?;
        let of = Use {
            call_id: record.call_id.map(owned),
            observer: record.observer.map(owned),
            request_hash: owned(hash),
            index: record.index,
        };
        let rank = |_: &str, used: &Use| (false, 0, used.index);
        let uses_max = context.settings.unapproved_high_risk_write.approvals_max;
        let first = self.uses.entry(&bounded(id), uses_max, rank, || of.clone());
        let is_same = match (&first.call_id, &of.call_id) {
            (Some(first), Some(other)) => first == other,
            // Without a name another observer's record may be of the same call.
            _ => first.index == of.index || first.observer != of.observer,
        };
        let reason = format!(
            "its approval was used before, by the call at log index {} of the same request",
            first.index
        );
        (!is_same && first.request_hash == of.request_hash).then_some((Cow::Owned(reason), Confidence::High))
    }

    /// Why this call is not approved; `None` if it is.
    fn fault(&self, event: &Event<'_>, context: &Context<'_>) -> Option<Fault> {
        let record = event.record;
        let certain = |reason: &'static str| Some((Cow::Borrowed(reason), Confidence::High));
        let Some(id) = record.approval_id else { return certain("it names no approval") };
        let known = self.approvals.get(&bounded(id));
        match (record.approval_status, known) {
            (Some("approved"), Some(approval)) if approval.is_refused_at(event.event_us) => {
                return certain("it says approved but the log holds a refusal of that approval");
            }
            (Some("approved"), None) if self.has_overflowed(context) => {
                let reason = "it says approved but that approval was forgotten, too many are open";
                return Some((Cow::Borrowed(reason), Confidence::Low));
            }
            (Some("approved"), _) => {}
            (None | Some("unknown"), Some(approval)) if approval.status == Status::Approved => {}
            (None | Some("unknown"), Some(_)) => return certain("its approval was never granted"),
            (None | Some("unknown"), None) => return certain("the log holds no approval of that id"),
            (Some(_), _) => return certain("its approval was not granted"),
        }
        let approver = record.approver.map(owned).or(known.and_then(|approval| approval.approver.clone()));
        if approver.is_some_and(|approver| is_same_person(&approver, record.user_id, record.agent_id)) {
            return certain("who acts approved it");
        }
        let approved_hash = known.and_then(|approval| approval.request_hash.as_deref());
        match (approved_hash, record.request_hash) {
            (Some(approved), Some(hash)) if approved != bounded(hash) => {
                certain("another request was approved")
            }
            _ => None,
        }
    }

    fn has_overflowed(&self, context: &Context<'_>) -> bool {
        let horizon_s = context.settings.unapproved_high_risk_write.approvals_horizon_s;
        let since_us = context.watermark_us.saturating_sub(microseconds(horizon_s));
        self.overflow_us.is_some_and(|overflow_us| overflow_us >= since_us)
    }

    /// True if this is one more observation of a call that was judged already, and says nothing new.
    fn is_repeated(
        &mut self,
        key: &str,
        record: &Record<'_>,
        limits: &UnapprovedHighRiskWrite,
        watermark_us: i64,
    ) -> bool {
        let Some(judged) = self.calls.get_mut(key) else { return false };
        let same_time = watermark_us.saturating_sub(judged.seen_us) <= microseconds(limits.same_call_s);
        // What both observers know must agree, else somebody borrows the call of another.
        let same = agrees(judged.request_hash.as_deref(), record.request_hash)
            && agrees(judged.user_id.as_deref(), record.user_id)
            && agrees(judged.agent_id.as_deref(), record.agent_id);
        // An observer that speaks of approvals itself must speak of a valid one.
        let silent = record.approval_id.is_none() && record.approval_status.is_none();
        let repeated = same_time && same && judged.more > 0 && (silent || !judged.approved);
        if repeated {
            judged.more -= 1;
        }
        repeated
    }

    fn remember(&mut self, key: &str, approved: bool, record: &Record<'_>, context: &Context<'_>) {
        let limits = &context.settings.unapproved_high_risk_write;
        let judged = Judged {
            approved,
            user_id: record.user_id.map(owned),
            agent_id: record.agent_id.map(owned),
            request_hash: record.request_hash.map(owned),
            seen_us: context.watermark_us,
            index: record.index,
            more: OBSERVATIONS_MORE,
        };
        let rank = |_: &str, judged: &Judged| (false, 0, judged.index);
        *self.calls.entry(key, limits.calls_max, rank, || judged.clone()) = judged.clone();
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
        "kind = 'call' AND action IN ('write', 'destructive', 'admin') AND risk IN ('high', 'critical')"
            .to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let record = event.record;
        if record.kind == "approval" {
            self.learn(event, context, signals);
        }
        if !is_high_risk_write(event) || !has_run(event) {
            return;
        }
        let limits = &context.settings.unapproved_high_risk_write;
        let call_key = record.call_id.map(|call_id| {
            entity_key(&[
                ("call_id", Some(call_id)),
                ("server", record.server),
                ("capability", record.capability),
            ])
        });
        let fault = self.fault(event, context);
        let is_unproven = fault.is_some() && self.is_unproven(record);
        let replayed = (fault.is_none() || is_unproven).then(|| self.replayed(record, context)).flatten();
        let fault = fault.or(replayed);
        if let Some(key) = &call_key {
            if fault.is_some() && self.is_repeated(key, record, limits, context.watermark_us) {
                return;
            }
            self.remember(key, fault.is_none(), record, context);
        }
        let Some((reason, confidence)) = fault else { return };
        let (column, principal) =
            event.principal().map_or(("agent_id", None), |(column, id)| (column, Some(id)));
        let parts = [(column, principal), ("server", record.server), ("capability", record.capability)];
        let entity = Entity::new(Level::PrincipalTool, &parts);
        if let Some(approval_id) = record.approval_id.filter(|_| is_unproven) {
            if self.unproven.len() >= UNPROVEN_MAX {
                self.unproven.pop_front();
            }
            self.unproven.push_back(Unproven {
                approval: owned(approval_id),
                entity: entity.clone(),
                call: call_key,
                user_id: record.user_id.map(owned),
                agent_id: record.agent_id.map(owned),
                request_hash: record.request_hash.map(owned),
                event_us: event.event_us,
                index: record.index,
                seen_us: context.watermark_us,
            });
        }
        signals.push(Signal {
            entity,
            effect: Effect::Open,
            offending: true,
            severity: if confidence == Confidence::Low { Severity::High } else { Severity::Critical },
            confidence,
            observed: Some(1),
            expected: Some(0),
            seen_us: event.event_us,
            detail: format!("the call at log index {} ran although {reason}", record.index),
            opening_evidence: vec![record.index],
            opening_count: 1,
            opening_us: event.event_us,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        });
    }

    fn evicted(&self) -> u64 {
        self.approvals.evicted()
    }
}

fn is_high_risk_write(event: &Event<'_>) -> bool {
    let (action, risk) = (event.record.action, event.record.risk);
    event.is_call()
        && matches!(action, Some("write" | "destructive" | "admin"))
        && matches!(risk, Some("high" | "critical"))
}

/// Not denied and not pending. Where policy asked for an approval, only a success proves that the call ran.
fn has_run(event: &Event<'_>) -> bool {
    match (event.record.decision, event.record.status) {
        ("deny", _) | (_, "denied" | "pending") => false,
        ("require_approval", status) => status == "ok",
        _ => true,
    }
}

/// Equal, or one of the two unknown.
fn agrees(before: Option<&str>, now: Option<&str>) -> bool {
    before.zip(now).is_none_or(|(before, now)| before == bounded(now))
}

fn is_same_person(approver: &str, user_id: Option<&str>, agent_id: Option<&str>) -> bool {
    let same = |id: &str| bounded(id).trim().eq_ignore_ascii_case(approver.trim());
    user_id.is_some_and(same) || agent_id.is_some_and(same)
}

fn owned(text: &str) -> String {
    bounded(text).into_owned()
}
