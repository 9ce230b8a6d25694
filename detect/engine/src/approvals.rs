//! Requests for approval, joined with how they ended.
//!
//! An approval is known by its id, else by the call that waits for it. It is asked for by `requested` or by a call that waits. Asked for
//! again while it waits, it waits since the first time, or an agent that asks again and again would wait for nothing. An end whose request the
//! log does not have counts where its source measured the wait.
//!
//! - **What ends a wait** that has an id is a decision: a record of the kind `approval`, not by the agent itself, or what a gateway or a server
//!   says, which is where calls are held. That a host says its call was approved, or that the call went on, ends nothing: whoever
//!   waits could say so. One that is known by its call ends when that is no longer waiting.
//! - **Times** are believed no further back than the engine waits for late records, and an end before its request is a wait of none. What is
//!   observed of a request after it has ended (another observer) begins nothing.
//! - **Order**: an end that comes before its request, while late records are waited for, ends it when that comes; once, whoever observed either.
//! - **At the cap** those go first whose asker never had one decided, of these and of the others those of whoever has the most, and of one
//!   asker the youngest, which have waited least: who floods, with one name or with many, forgets its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounded::{Bounded, Rank};
use crate::detector::Context;
use crate::entity::{bounded, entity_key};
use crate::record::Event;
use crate::settings::microseconds;

/// The longest wait there is: after so long nobody waits for it any more.
const WAIT_US_MAX: i64 = schemas::limits::ENGINE_APPROVAL_DAYS_MAX * 86_400_000_000;
/// How often what is too old is looked for, in microseconds.
const SWEEP: i64 = 300_000_000;

/// How an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The key of who asked.
    asker: String,
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
    /// Who ended it, when by event time, and with which record: not the one at hand where the request came after its end.
    pub approver: Option<String>,
    pub ended_us: i64,
    pub index: i64,
    pub environment: Option<String>,
}

/// When one ended: on the engine's clock, and by its own time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Over {
    seen_us: i64,
    placed_us: i64,
    /// What ended it, where its request has not come and nobody said how long it waited.
    early: Option<Early>,
}

/// An end without its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Early {
    ending: Ending,
    approver: Option<String>,
    server: Option<String>,
    environment: Option<String>,
    event_us: i64,
    placed_us: i64,
    index: i64,
    /// The other name that it is known by.
    other: Option<String>,
}

/// How many of an asker's were decided: what its word is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    times: u64,
    last_index: i64,
}

/// Approvals that wait, by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waits {
    pending: Bounded<Pending>,
    /// Whether any may be known by its call alone: else no call has to be looked up.
    has_calls: bool,
    /// How many of each asker wait.
    askers: BTreeMap<String, u64>,
    decided: Bounded<Decided>,
    /// What ended lately, at most as many as may wait; beyond, the oldest are forgotten.
    over: Bounded<Over>,
    /// No later than the oldest request, and when it was last looked for what is too old.
    oldest_us: i64,
    swept_us: i64,
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

/// How a wait ends by this record, if it may end one.
fn end(event: &Event<'_>) -> Option<Ending> {
    let record = event.record;
    let is_held_there = matches!(record.observer, Some("gateway" | "server"));
    let is_own = record.approver.is_some() && record.approver == record.agent_id;
    let is_by_call = record.approval_id.is_none();
    let went_on = record.kind == "call" && !matches!(record.status, "pending" | "unknown");
    let decides = is_held_there || is_by_call || (record.kind == "approval" && !is_own);
    let unsaid = || (is_unsaid(event) && went_on && (is_held_there || is_by_call)).then_some(Ending::Unsaid);
    ending(event).filter(|_| decides).or_else(unsaid)
}

impl Waits {
    pub fn new() -> Waits {
        Waits {
            pending: Bounded::new(),
            has_calls: false,
            askers: BTreeMap::new(),
            decided: Bounded::new(),
            over: Bounded::new(),
            oldest_us: i64::MAX,
            swept_us: i64::MIN,
        }
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

    /// When those that wait are to be looked at in a tenant in which nothing comes: when the oldest has waited an eighth longer than by
    /// `next_us`, or a week of one that is forgotten would be a thousand readings of the clock.
    pub fn awaits_us(&self, next_us: i64) -> i64 {
        let age_us = next_us.saturating_sub(self.oldest_us).max(0);
        next_us.saturating_add(if self.pending.is_empty() { 0 } else { age_us / 8 })
    }

    /// Those that have waited for too long are not waited for any more, and what ended is remembered only for as long as late records are
    /// waited for.
    pub fn sweep(&mut self, now_us: i64, lateness_s: i64) {
        if now_us < self.swept_us.saturating_add(SWEEP) {
            return;
        }
        self.swept_us = now_us;
        let late_us = now_us.saturating_sub(microseconds(lateness_s));
        if !self.over.is_empty() {
            self.over.retain(|_, over| over.seen_us >= late_us);
        }
        let before_us = now_us.saturating_sub(WAIT_US_MAX);
        if self.oldest_us >= before_us {
            return;
        }
        self.pending.retain(|_, pending| pending.asked_us >= before_us);
        self.askers.clear();
        self.oldest_us = i64::MAX;
        for pending in self.pending.values() {
            self.oldest_us = self.oldest_us.min(pending.asked_us);
            *self.askers.entry(pending.asker.clone()).or_default() += 1;
        }
    }

    /// Takes a record in; what it ended.
    pub fn take(&mut self, event: &Event<'_>, context: &Context<'_>) -> Option<Ended> {
        let record = event.record;
        // Most records have nothing to do with approvals.
        let speaks = record.approval_id.is_some()
            || record.approval_status.is_some()
            || (record.call_id.is_some() && self.has_calls)
            || record.decision == "require_approval";
        if !speaks {
            return None;
        }
        self.sweep(context.watermark_us, context.settings.lateness_s);
        if is_asked(event) {
            return self.ask(event, context);
        }
        let ending = end(event)?;
        let pending = self.end(event, ending, context);
        if let Some(pending) = &pending {
            self.credit(&pending.asker, ending, record.index, context);
        }
        let said_us = record.approval_wait_ms.filter(|ms| *ms >= 0);
        let said_us = said_us.map(|ms| ms.saturating_mul(1_000).min(WAIT_US_MAX));
        // Without its request a call only repeats what an approval said.
        let said_us = said_us.filter(|_| pending.is_some() || record.kind == "approval");
        let ended_us = context.counted_us(event);
        let shown_us = pending.as_ref().map(|pending| ended_us.saturating_sub(pending.asked_us).max(0));
        let (longest_us, shortest_us) =
            (shown_us.max(said_us)?, shown_us.or(said_us)?.min(said_us.or(shown_us)?));
        let server = pending.and_then(|pending| pending.server).or(record.server.map(owned));
        Some(Ended {
            ending,
            longest_us,
            shortest_us,
            server,
            approver: record.approver.map(owned),
            ended_us: event.event_us,
            index: record.index,
            environment: record.environment.map(owned),
        })
    }

    /// One of an asker's was decided.
    fn credit(&mut self, asker: &str, ending: Ending, index: i64, context: &Context<'_>) {
        if !matches!(ending, Ending::Approved | Ending::Rejected) {
            return;
        }
        let rank = |_: &str, decided: &Decided| (false, decided.times, decided.last_index);
        let decided = self.decided.entry(asker, context.settings.entities_max, rank, Decided::default);
        *decided = Decided { times: decided.times.saturating_add(1), last_index: index };
    }

    /// A request: it waits from now on, unless it does already or did. What ended it, where that came before it.
    fn ask(&mut self, event: &Event<'_>, context: &Context<'_>) -> Option<Ended> {
        let key = keys(event).next()?;
        if self.pending.get(&key).is_some() {
            return None;
        }
        let record = event.record;
        let asker = match event.principal_key() {
            "" => entity_key(&[("source", Some(record.source))]),
            principal => principal.to_owned(),
        };
        let asked_us = context.counted_us(event);
        if self.over.get(&key).is_some_and(|over| event.placed_us <= over.placed_us) {
            let early = self.over.get_mut(&key)?.early.take()?;
            if let Some(other) = early.other.as_deref().and_then(|other| self.over.get_mut(other)) {
                other.early = None;
            }
            self.credit(&asker, early.ending, record.index, context);
            let wait_us = early.placed_us.saturating_sub(asked_us).max(0);
            return Some(Ended {
                ending: early.ending,
                longest_us: wait_us,
                shortest_us: wait_us,
                server: record.server.map(owned).or(early.server),
                approver: early.approver,
                ended_us: early.event_us,
                index: early.index,
                environment: early.environment,
            });
        }
        let Waits { askers, decided, .. } = self;
        // The log index is what time a forger cannot choose.
        let rank = |_: &str, pending: &Pending| -> Rank {
            let number = askers.get(&pending.asker).copied().unwrap_or(0);
            let is_known = decided.get(&pending.asker).is_some();
            (is_known, u64::MAX - number, pending.index.saturating_neg())
        };
        let pending_max = context.settings.approval_wait.approvals_max;
        for gone in self.pending.make_room(&key, pending_max, rank) {
            leave(&mut self.askers, &gone);
        }
        self.has_calls |= record.approval_id.is_none();
        self.oldest_us = self.oldest_us.min(asked_us);
        *self.askers.entry(asker.clone()).or_default() += 1;
        let make = || Pending {
            asked_us,
            index: record.index,
            server: record.server.map(owned),
            environment: record.environment.map(owned),
            asker,
        };
        self.pending.entry(&key, usize::MAX, |_, _| (false, 0, 0), make);
        None
    }

    /// Takes out what a record ended, if its request is known, and remembers that it is over.
    fn end(&mut self, event: &Event<'_>, ending: Ending, context: &Context<'_>) -> Option<Pending> {
        let record = event.record;
        let rank = |_: &str, over: &Over| (false, 0, over.seen_us);
        let over_max = context.settings.approval_wait.approvals_max;
        let mut ended = None;
        for key in keys(event) {
            ended = ended.or_else(|| self.pending.remove(&key));
        }
        // Where the source says how long it waited, that is taken now, and once.
        let is_early = ended.is_none() && record.approval_wait_ms.is_none_or(|ms| ms < 0);
        let names: Vec<String> = keys(event).collect();
        for key in &names {
            let early = Early {
                ending,
                approver: record.approver.map(owned),
                server: record.server.map(owned),
                environment: record.environment.map(owned),
                event_us: event.event_us,
                placed_us: event.placed_us,
                index: record.index,
                other: names.iter().find(|other| *other != key).cloned(),
            };
            let is_known = self.over.get(key).is_some_and(|over| over.early.is_none());
            let make = || Over { seen_us: 0, placed_us: 0, early: None };
            let over = self.over.entry(key, over_max, rank, make);
            (over.seen_us, over.placed_us) = (context.watermark_us, event.placed_us);
            // Others tell of the same end: the first is what the request waits for, or the first that says how it ended.
            let is_better = over.early.as_ref().is_none_or(|early| early.ending == Ending::Unsaid);
            if !is_early {
                over.early = None;
            } else if !is_known && is_better {
                over.early = Some(early);
            }
        }
        if let Some(pending) = &ended {
            leave(&mut self.askers, pending);
        }
        if self.pending.is_empty() {
            (self.has_calls, self.oldest_us) = (false, i64::MAX);
        }
        ended
    }
}

/// What an approval may be known by: its id, else the call that waits for it. A decision may end one that is known by the other.
fn keys(event: &Event<'_>) -> impl Iterator<Item = String> {
    let record = event.record;
    let of_call = record.call_id.filter(|_| record.approval_id.is_none() || record.kind == "approval");
    let of = [("approval_id", record.approval_id), ("call_id", of_call)];
    let named = of.into_iter().filter(|(_, id)| id.is_some());
    named.map(|(column, id)| entity_key(&[(column, id)]))
}

fn owned(name: &str) -> String {
    bounded(name).into_owned()
}

/// One of an asker's waits no more.
fn leave(askers: &mut BTreeMap<String, u64>, pending: &Pending) {
    if let Some(number) = askers.get_mut(&pending.asker) {
        *number = number.saturating_sub(1);
        if *number == 0 {
            askers.remove(&pending.asker);
        }
    }
}
