//! Requests for approval, joined with how they ended.
//!
//! As in the gate: an approval is known by its id, else by the call that waits for it. It is asked for by `requested` or by a call that waits; it ends by
//! its status, or when the call is no longer waiting. Asked for again while it waits, it waits since the first time, or an agent that asks again and again
//! would wait for nothing. An end whose request the log does not have counts where its source measured the wait.
//!
//! At the cap the youngest are forgotten, which have waited least.

use serde::{Deserialize, Serialize};

use crate::bounded::{Bounded, Rank};
use crate::entity::{bounded, entity_key};
use crate::record::Event;

/// How an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Approved,
    Rejected,
    /// Expired or cancelled: nobody decided.
    Abandoned,
    /// The call went on, and nothing says why.
    Unsaid,
}

/// One that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    pub asked_us: i64,
    /// Log index of its request.
    pub index: i64,
    /// Its queue.
    pub server: Option<String>,
    pub environment: Option<String>,
}

/// One that waited. Microseconds, not negative.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub ending: Ending,
    /// The greater of what the log shows and the source says.
    pub longest_us: i64,
    /// The lesser.
    pub shortest_us: i64,
    pub server: Option<String>,
}

/// Approvals that wait, by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waits {
    pending: Bounded<Pending>,
    /// Whether any may be known by its call alone: else no call has to be looked up.
    has_calls: bool,
}

/// The status of a record that speaks of how an approval ended.
pub(crate) fn ending(event: &Event<'_>) -> Option<Ending> {
    match event.record.approval_status? {
        "approved" => Some(Ending::Approved),
        "rejected" => Some(Ending::Rejected),
        "expired" | "cancelled" => Some(Ending::Abandoned),
        _ => None,
    }
}

fn is_unsaid(event: &Event<'_>) -> bool {
    matches!(event.record.approval_status, None | Some("unknown"))
}

fn is_asked(event: &Event<'_>) -> bool {
    let is_waiting = event.record.status == "pending" && event.record.decision == "require_approval";
    event.record.approval_status == Some("requested") || (is_unsaid(event) && is_waiting)
}

impl Waits {
    pub fn new() -> Waits {
        Waits { pending: Bounded::new(), has_calls: false }
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub fn each(&self) -> impl Iterator<Item = &Pending> + Clone {
        self.pending.values()
    }

    pub fn evicted(&self) -> u64 {
        self.pending.evicted()
    }

    /// Those that have waited since before then are not waited for any more.
    pub fn forget(&mut self, before_us: i64) {
        self.pending.retain(|_, pending| pending.asked_us >= before_us);
    }

    /// Takes a record in; what it ended.
    pub fn take(&mut self, event: &Event<'_>, pending_max: usize) -> Option<Ended> {
        let record = event.record;
        // Most records have nothing to do with approvals.
        let speaks = record.approval_id.is_some()
            || record.approval_status.is_some()
            || (record.call_id.is_some() && self.has_calls)
            || record.decision == "require_approval";
        if !speaks {
            return None;
        }
        let of =
            record.approval_id.map(|id| ("approval_id", id)).or(record.call_id.map(|id| ("call_id", id)));
        let key = || of.map(|(column, id)| entity_key(&[(column, Some(id))]));
        if is_asked(event) {
            self.has_calls |= record.approval_id.is_none();
            let make = || Pending {
                asked_us: event.placed_us,
                index: record.index,
                server: record.server.map(|name| bounded(name).into_owned()),
                environment: record.environment.map(|name| bounded(name).into_owned()),
            };
            // The log index is what time a forger cannot choose.
            let rank = |_: &str, pending: &Pending| -> Rank { (false, 0, pending.index.saturating_neg()) };
            self.pending.entry(&key()?, pending_max, rank, make);
            return None;
        }
        let went_on = record.kind == "call" && !matches!(record.status, "pending" | "unknown");
        let ending = ending(event).or((is_unsaid(event) && went_on).then_some(Ending::Unsaid))?;
        let key = if self.pending.is_empty() { None } else { key() };
        let pending = key.and_then(|key| self.pending.remove(&key));
        self.has_calls &= !self.pending.is_empty();
        let said_us = record.approval_wait_ms.filter(|ms| *ms >= 0).map(|ms| ms.saturating_mul(1_000));
        // Without its request a call only repeats what an approval said.
        let said_us = said_us.filter(|_| pending.is_some() || record.kind == "approval");
        let shown_us = pending.as_ref().map(|pending| event.placed_us.saturating_sub(pending.asked_us));
        // An end that is dated before its request is a clock and no wait.
        let shown_us = shown_us.filter(|us| *us >= 0);
        let (longest_us, shortest_us) =
            (shown_us.max(said_us)?, shown_us.or(said_us)?.min(said_us.or(shown_us)?));
        let server = pending
            .and_then(|pending| pending.server)
            .or(record.server.map(|name| bounded(name).into_owned()));
        Some(Ended { ending, longest_us, shortest_us, server })
    }
}
