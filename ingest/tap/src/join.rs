//! Requests and replies joined: messages of one connection in, events out. Pure: no clock, no IO.
//!
//! - A request waits for the reply of the other side with its id; both make one event, at the time of the request.
//! - An id that is used again while its request waits, a request that is given up for room, and one that waits when the
//!   connection ends are recorded as unanswered: what came of them is not known.
//! - A cancelled request is recorded when it is cancelled; a reply that comes all the same is recorded beside it, under the
//!   same call.

use std::collections::{BTreeMap, HashMap, VecDeque};

use schemas::limits::{TAP_KNOWN_MAX, TAP_PENDING_BYTES_MAX, TAP_PENDING_MAX};

use crate::clock::Moment;
use crate::event::Event;
use crate::identifier::Identifiers;
use crate::identity::{Given, Identity};
use crate::message::{self, Id, Members, Message, Outcome, Params};
use crate::reply::Reply;
use crate::request::Request;
use crate::watch::Side;

/// A request that waits.
#[derive(Debug)]
struct Pending {
    request: Request,
    side: Side,
    at: Moment,
    call_id: String,
    attempt: i64,
    /// Progress that was told of it: how often, and the last.
    progress: u64,
    progress_last: Option<String>,
    is_cancelled: bool,
}

/// Why requests got no reply of their own.
#[derive(Debug)]
pub struct Failure {
    /// Status of their events.
    pub status: &'static str,
    /// Class of the error.
    pub class: Option<&'static str>,
    /// Its code.
    pub code: String,
    /// What was said.
    pub message: String,
}

/// Joins the messages of one connection.
#[derive(Debug)]
pub struct Join {
    identity: Identity,
    identifiers: Identifiers,
    sequence: i64,
    pending: BTreeMap<u64, Pending>,
    pending_bytes: usize,
    by_id: HashMap<(Side, Id), u64>,
    by_progress: HashMap<(Side, String), u64>,
    next_pending: u64,
    /// States of calls in several rounds: the call and its next attempt.
    rounds: HashMap<String, (String, i64)>,
    rounds_order: VecDeque<String>,
    /// Lines that are no JSON-RPC, in whole or in part.
    pub unparsed: u64,
    /// Events made.
    pub made: u64,
}

impl Join {
    /// Of one connection, in the run with this name.
    pub fn new(given: Given, run: &[u8], session: &str) -> Join {
        Join {
            identity: Identity::new(given, session),
            identifiers: Identifiers::new(run),
            sequence: 0,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            by_id: HashMap::new(),
            by_progress: HashMap::new(),
            next_pending: 0,
            rounds: HashMap::new(),
            rounds_order: VecDeque::new(),
            unparsed: 0,
            made: 0,
        }
    }

    /// What is known of the two ends.
    pub fn identity(&mut self) -> &mut Identity {
        &mut self.identity
    }

    /// Makes ids from now on as in the run with this name.
    pub fn identify(&mut self, run: &[u8]) {
        self.identifiers.restart(run);
    }

    /// Number that the next request will have.
    pub fn next_request(&self) -> u64 {
        self.next_pending
    }

    /// The client's requests from number `first` on got no reply and a failure instead.
    pub fn fail_since(&mut self, first: u64, failure: &Failure, at: Moment, out: &mut Vec<String>) {
        for pending in self.take_since(first) {
            let mut event = self.observed(&pending);
            event.text("status", failure.status).text("error_code", &failure.code);
            event.optional("error_class", failure.class);
            event.optional("error_message", Some(failure.message.as_str()).filter(|text| !text.is_empty()));
            event.number("latency_us", at.monotonic_us - pending.at.monotonic_us);
            self.emit(event, out);
        }
    }

    /// The client's requests from number `first` on will get no reply.
    pub fn end_since(&mut self, first: u64, at: Moment, out: &mut Vec<String>) {
        for pending in self.take_since(first) {
            self.unanswered(pending, "the exchange ended", at, out);
        }
    }

    fn take_since(&mut self, first: u64) -> Vec<Pending> {
        let numbers = self.pending.range(first..).filter(|(_, pending)| pending.side == Side::Client);
        let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.take(number)).collect()
    }

    /// Reads a line that `side` sent; the events that it completes go to `out`.
    pub fn line(&mut self, side: Side, line: &[u8], at: Moment, out: &mut Vec<String>) {
        let Ok(line) = std::str::from_utf8(line) else {
            self.unparsed += 1;
            return;
        };
        let (messages, is_whole) = message::parse(line);
        self.unparsed += u64::from(!is_whole);
        for (message, bytes) in messages {
            match message {
                Message::Request { id, method, params } => {
                    self.request(side, Request::new(id, method, &params, bytes), &params, at, out);
                }
                Message::Notification { method, params } => {
                    self.notification(side, &method, &params, bytes, at, out);
                }
                Message::Reply { id, outcome } => self.reply(side, id, outcome, bytes, at, out),
            }
        }
    }

    fn request(
        &mut self,
        side: Side,
        request: Request,
        params: &Params<'_>,
        at: Moment,
        out: &mut Vec<String>,
    ) {
        if side == Side::Client {
            self.identity.learn_request(&request.method, params);
        }
        if let Some(older) = self.by_id.get(&(side, request.id.clone())).copied().and_then(|at| self.take(at))
        {
            self.unanswered(older, "its id was used again before a reply came", at, out);
        }
        let round = request.request_state.as_ref().and_then(|state| self.rounds.get(state).cloned());
        let (call_id, attempt) = round.unwrap_or_else(|| (self.identifiers.next(at.wall_us), 1));
        let number = self.next_pending;
        self.next_pending += 1;
        self.pending_bytes += request.held_bytes();
        self.by_id.insert((side, request.id.clone()), number);
        if let Some(token) = &request.progress_token {
            self.by_progress.insert((side, token.clone()), number);
        }
        let (progress, progress_last, is_cancelled) = (0, None, false);
        let pending = Pending { request, side, at, call_id, attempt, progress, progress_last, is_cancelled };
        self.pending.insert(number, pending);
        while self.pending.len() > TAP_PENDING_MAX || self.pending_bytes > TAP_PENDING_BYTES_MAX {
            let Some(oldest) = self.pending.keys().next().copied().and_then(|at| self.take(at)) else {
                break;
            };
            self.unanswered(oldest, "too many requests waited for their replies", at, out);
        }
    }

    /// Takes a request out of those that wait.
    fn take(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.request.held_bytes());
        let id = (pending.side, pending.request.id.clone());
        if self.by_id.get(&id) == Some(&number) {
            self.by_id.remove(&id);
        }
        if let Some(token) = &pending.request.progress_token {
            let token = (pending.side, token.clone());
            if self.by_progress.get(&token) == Some(&number) {
                self.by_progress.remove(&token);
            }
        }
        Some(pending)
    }

    fn reply(
        &mut self,
        side: Side,
        id: Option<Id>,
        outcome: Outcome<'_>,
        bytes: usize,
        at: Moment,
        out: &mut Vec<String>,
    ) {
        let found = id.clone().and_then(|id| self.by_id.get(&(side.other(), id)).copied());
        let mut reply = Reply::new(outcome);
        let Some(pending) = found.and_then(|number| self.take(number)) else {
            let mut event = self.event(side, at);
            event.text("kind", "unknown").flag("reply_without_request", true);
            event.optional("request_id", id.as_ref().map(Id::as_text));
            reply.write(&mut event);
            event.count("response_bytes", bytes as u64);
            self.emit(event, out);
            return;
        };
        let method = pending.request.method.clone();
        if method != "sampling/createMessage" {
            reply.model = None;
        }
        let members = match outcome {
            Outcome::Result(json) => Members::of(json).unwrap_or_default(),
            Outcome::Error(_) => Members::default(),
        };
        if pending.side == Side::Client {
            self.identity.learn_result(&method, &members);
        }
        let definitions =
            if method == "tools/list" { self.identity.tools.learn(&members) } else { Vec::new() };
        if let Some(state) = &reply.request_state {
            self.remember_round(state.clone(), pending.call_id.clone(), pending.attempt + 1);
        }
        let mut event = self.observed(&pending);
        event.number("latency_us", at.monotonic_us - pending.at.monotonic_us);
        event.count("response_bytes", bytes as u64).flag("late_reply", pending.is_cancelled);
        reply.write(&mut event);
        self.emit(event, out);
        for new in definitions {
            let mut event = self.event(side, at);
            event
                .text("kind", "tool_definition")
                .text("method", "tools/list")
                .text("capability_type", "tool");
            event.text("capability", &new.name).text("tool_hash", &new.hash).text("status", "ok");
            event.optional("tool_hash_before", new.before.as_deref()).value("definition", new.json);
            self.emit(event, out);
        }
    }

    fn remember_round(&mut self, state: String, call_id: String, attempt: i64) {
        if self.rounds.insert(state.clone(), (call_id, attempt)).is_none() {
            self.rounds_order.push_back(state);
        }
        if self.rounds_order.len() > TAP_KNOWN_MAX
            && let Some(oldest) = self.rounds_order.pop_front()
        {
            self.rounds.remove(&oldest);
        }
    }

    fn notification(
        &mut self,
        side: Side,
        method: &str,
        params: &Params<'_>,
        bytes: usize,
        at: Moment,
        out: &mut Vec<String>,
    ) {
        match method {
            "notifications/cancelled" if self.cancel(side, params, at, out) => return,
            "notifications/progress" if self.progress(side, params) => return,
            _ => {}
        }
        let mut event = self.event(side, at);
        event.text("method", method).text("status", "ok").count("request_bytes", bytes as u64);
        match method {
            "notifications/initialized" => {
                event.text("kind", "session");
            }
            _ if method.ends_with("/list_changed") => {
                event.text("kind", "config");
            }
            _ => {
                event.text("kind", "unknown");
            }
        }
        if let Some(params) = params.json {
            event.value("arguments", params);
        }
        self.emit(event, out);
    }

    /// Whether it cancels a request that waits.
    fn cancel(&mut self, side: Side, params: &Params<'_>, at: Moment, out: &mut Vec<String>) -> bool {
        let id = params.members.get("requestId").and_then(Id::of);
        let found = id.and_then(|id| self.by_id.get(&(side, id)).copied());
        let Some(number) = found else { return false };
        let Some(mut pending) = self.pending.remove(&number) else { return false };
        if pending.is_cancelled {
            self.pending.insert(number, pending);
            return false;
        }
        let mut event = self.observed(&pending);
        event.text("status", "cancelled");
        event.number("latency_us", at.monotonic_us - pending.at.monotonic_us);
        event.optional("cancel_reason", params.members.text("reason").as_deref());
        self.emit(event, out);
        pending.is_cancelled = true;
        self.pending.insert(number, pending);
        true
    }

    /// Whether it tells of a request that waits.
    fn progress(&mut self, side: Side, params: &Params<'_>) -> bool {
        let token = params.members.get("progressToken").map(|token| (side.other(), token.to_string()));
        let found = token.and_then(|token| self.by_progress.get(&token).copied());
        let Some(pending) = found.and_then(|number| self.pending.get_mut(&number)) else { return false };
        pending.progress += 1;
        pending.progress_last = params.json.map(str::to_string);
        true
    }

    fn unanswered(&mut self, pending: Pending, why: &str, at: Moment, out: &mut Vec<String>) {
        // What became of a cancelled request is on record.
        if pending.is_cancelled {
            return;
        }
        let mut event = self.observed(&pending);
        event.text("status", "unknown").text("unanswered", why);
        event.number("waited_us", at.monotonic_us - pending.at.monotonic_us);
        self.emit(event, out);
    }

    /// The connection has ended: what still waits is unanswered.
    pub fn end(&mut self, at: Moment, out: &mut Vec<String>) {
        while let Some(pending) = self.pending.keys().next().copied().and_then(|number| self.take(number)) {
            self.unanswered(pending, "the connection ended", at, out);
        }
    }

    /// An event about a request, all but what came of it.
    fn observed(&mut self, pending: &Pending) -> Event {
        let mut event = self.event(pending.side, pending.at);
        let Pending { request, call_id, attempt, progress, .. } = pending;
        request.write(&mut event);
        event.text("call_id", call_id).number("attempt", *attempt).count("progress_count", *progress);
        if let Some(last) = &pending.progress_last {
            event.value("progress_last", last);
        }
        if let Some(tool) = request.tool.as_ref().and_then(|name| self.identity.tools.get(name)) {
            event.text("tool_hash", &tool.hash);
            if let Some(annotations) = &tool.annotations {
                event.value("annotations", annotations);
            }
        }
        event
    }

    /// An event about something that `side` sent.
    pub fn event(&mut self, side: Side, at: Moment) -> Event {
        let mut event = Event::new(&self.identifiers.next(at.wall_us), at.wall_us);
        self.sequence += 1;
        event.number("source_seq", self.sequence).text("sent_by", side.name());
        self.identity.write(&mut event);
        event
    }

    /// Counts an event and gives it out.
    pub fn emit(&mut self, event: Event, out: &mut Vec<String>) {
        self.made += 1;
        out.push(event.finish());
    }
}

#[cfg(test)]
mod tests;
