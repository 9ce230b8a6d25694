//! Requests and replies joined: messages of one connection in, events out. Pure: no clock, no IO.
//!
//! - A request waits for the reply of the other side with its id; both make one event, at the time of the request.
//! - An id that is used again while its request waits, a request that is given up for room, and one that waits when the
//!   connection ends are recorded as unanswered: what came of them is not known.
//! - A cancelled request is recorded when it is cancelled; a reply that comes all the same is recorded beside it, under the
//!   same call.

use std::collections::{BTreeMap, HashMap, VecDeque};

use schemas::limits::{
    TAP_ANNOTATIONS_BYTES_MAX, TAP_KNOWN_MAX, TAP_PENDING_BYTES_MAX, TAP_PENDING_MAX, TAP_PROGRESS_BYTES_MAX,
};

use crate::clock::Moment;
use crate::definition::Learned;
use crate::event::Event;
use crate::identifier::Identifiers;
use crate::identity::{Given, Identity};
use crate::message::{self, Id, Members, Message, Outcome, Params, Parsed};
use crate::reply::Reply;
use crate::request::Request;
use crate::watch::Side;

/// Takes events, one after another.
pub trait Out {
    /// Takes one.
    fn event(&mut self, event: String);
}

impl Out for Vec<String> {
    fn event(&mut self, event: String) {
        self.push(event);
    }
}

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
    /// Bytes of the last, if it is too long to be held.
    progress_left_out_bytes: usize,
    is_cancelled: bool,
}

impl Pending {
    fn held_bytes(&self) -> usize {
        let rest = size_of::<Pending>() + self.call_id.len();
        rest + self.request.held_bytes() + self.progress_last.as_ref().map_or(0, String::len)
    }
}

/// What a reply says that it answers.
struct Answered {
    id: Option<Id>,
    bytes: usize,
    has_repeated: bool,
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
    /// Messages beyond the limit of their batch.
    pub batched_over: u64,
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
            batched_over: 0,
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
    pub fn fail_since(&mut self, first: u64, failure: &Failure, at: Moment, out: &mut dyn Out) {
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
    pub fn end_since(&mut self, first: u64, at: Moment, out: &mut dyn Out) {
        for pending in self.take_since(first) {
            self.unanswered(&pending, "the exchange ended", at, out);
        }
    }

    fn take_since(&mut self, first: u64) -> Vec<Pending> {
        let numbers = self.pending.range(first..).filter(|(_, pending)| pending.side == Side::Client);
        let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.take(number)).collect()
    }

    /// Reads a line that `side` sent; the events that it completes go to `out`.
    pub fn line(&mut self, side: Side, line: &[u8], at: Moment, out: &mut dyn Out) {
        let Ok(line) = std::str::from_utf8(line) else {
            self.unparsed += 1;
            return;
        };
        let Parsed { messages, is_whole, beyond } = message::parse(line);
        self.unparsed += u64::from(!is_whole);
        self.batched_over += beyond as u64;
        for (message, bytes) in messages {
            match message {
                Message::Request { id, method, params } => {
                    self.request(side, Request::new(id, method, &params, bytes), &params, at, out);
                }
                Message::Notification { method, params } => {
                    self.notification(side, &method, &params, bytes, at, out);
                }
                Message::Reply { id, outcome, has_repeated } => {
                    self.reply(side, Answered { id, bytes, has_repeated }, outcome, at, out);
                }
            }
        }
    }

    fn request(&mut self, side: Side, request: Request, params: &Params<'_>, at: Moment, out: &mut dyn Out) {
        if side == Side::Client {
            self.identity.learn_request(&request.method, params);
        }
        if let Some(older) = self.by_id.get(&(side, request.id.clone())).copied().and_then(|at| self.take(at))
        {
            self.unanswered(&older, "its id was used again before a reply came", at, out);
        }
        let round = request.request_state.as_ref().and_then(|state| self.rounds.get(state).cloned());
        let (call_id, attempt) = round.unwrap_or_else(|| (self.identifiers.next(at.wall_us), 1));
        let number = self.next_pending;
        self.next_pending += 1;
        self.by_id.insert((side, request.id.clone()), number);
        if let Some(token) = &request.progress_token {
            self.by_progress.insert((side, token.clone()), number);
        }
        let pending = Pending {
            request,
            side,
            at,
            call_id,
            attempt,
            progress: 0,
            progress_last: None,
            progress_left_out_bytes: 0,
            is_cancelled: false,
        };
        self.pending_bytes += pending.held_bytes();
        self.pending.insert(number, pending);
        self.make_room(at, out);
    }

    /// Gives the oldest requests up until what waits is within its bounds.
    fn make_room(&mut self, at: Moment, out: &mut dyn Out) {
        while self.pending.len() > TAP_PENDING_MAX || self.pending_bytes > TAP_PENDING_BYTES_MAX {
            let Some(oldest) = self.pending.keys().next().copied().and_then(|at| self.take(at)) else {
                break;
            };
            self.unanswered(&oldest, "too many requests waited for their replies", at, out);
        }
    }

    /// Takes a request out of those that wait.
    fn take(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.held_bytes());
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

    fn reply(&mut self, side: Side, answered: Answered, outcome: Outcome<'_>, at: Moment, out: &mut dyn Out) {
        let Answered { id, bytes, has_repeated } = answered;
        let found = id.as_ref().and_then(|id| self.find(side.other(), id));
        let mut reply = Reply::new(outcome);
        let Some(pending) = found.and_then(|number| self.take(number)) else {
            let mut event = self.event(side, at);
            event.text("kind", "unknown").flag("reply_without_request", true);
            event.optional("request_id", id.as_ref().map(Id::as_text));
            reply.write(&mut event);
            event.count("response_bytes", bytes as u64).flag("reply_has_repeated_keys", has_repeated);
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
        // What a client would say of tools is no word of the server's.
        let is_list = method == "tools/list" && pending.side == Side::Client;
        let Learned { new, beyond } =
            if is_list { self.identity.tools.learn(&members) } else { Learned::default() };
        if let Some(state) = &reply.request_state {
            self.remember_round(
                message::key(state).into_owned(),
                pending.call_id.clone(),
                pending.attempt + 1,
            );
        }
        let mut event = self.observed(&pending);
        event.number("latency_us", at.monotonic_us - pending.at.monotonic_us);
        event.count("response_bytes", bytes as u64).flag("late_reply", pending.is_cancelled);
        event.flag("reply_has_repeated_keys", has_repeated).count("tools_beyond_limit", beyond as u64);
        if let Some(id) = id.filter(|id| *id != pending.request.id) {
            event.flag("reply_id_differs", true).text("reply_id", id.as_text());
        }
        reply.write(&mut event);
        self.emit(event, out);
        for new in new {
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

    /// The request of `side` with this id that waits. Some peers send an id back as another type, `"1"` for `1`: where none has
    /// the very id, it is the one that has the same number, if there is one alone.
    fn find(&self, side: Side, id: &Id) -> Option<u64> {
        if let Some(number) = self.by_id.get(&(side, id.clone())) {
            return Some(*number);
        }
        let value = id.number()?;
        let is_same = |pending: &Pending| pending.side == side && pending.request.id_number == Some(value);
        let mut same = self.pending.iter().filter(|(_, pending)| is_same(pending));
        let (number, _) = same.next()?;
        same.next().is_none().then_some(*number)
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
        out: &mut dyn Out,
    ) {
        match method {
            "notifications/cancelled" if self.cancel(side, params, at, out) => return,
            "notifications/progress" if self.progress(side, params) => {
                self.make_room(at, out);
                return;
            }
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
    fn cancel(&mut self, side: Side, params: &Params<'_>, at: Moment, out: &mut dyn Out) -> bool {
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
        let token = params.members.get("progressToken");
        let token = token.map(|token| (side.other(), message::key(token).into_owned()));
        let found = token.and_then(|token| self.by_progress.get(&token).copied());
        let Some(pending) = found.and_then(|number| self.pending.get_mut(&number)) else { return false };
        pending.progress += 1;
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.held_bytes());
        let (held, left_out_bytes) = match params.json {
            Some(json) if json.len() > TAP_PROGRESS_BYTES_MAX => (None, json.len()),
            json => (json.map(str::to_string), 0),
        };
        (pending.progress_last, pending.progress_left_out_bytes) = (held, left_out_bytes);
        self.pending_bytes += pending.held_bytes();
        true
    }

    fn unanswered(&mut self, pending: &Pending, why: &str, at: Moment, out: &mut dyn Out) {
        // What became of a cancelled request is on record.
        if pending.is_cancelled {
            return;
        }
        let mut event = self.observed(pending);
        event.text("status", "unknown").text("unanswered", why);
        event.number("waited_us", at.monotonic_us - pending.at.monotonic_us);
        self.emit(event, out);
    }

    /// The connection has ended: what still waits is unanswered.
    pub fn end(&mut self, at: Moment, out: &mut dyn Out) {
        while let Some(pending) = self.pending.keys().next().copied().and_then(|number| self.take(number)) {
            self.unanswered(&pending, "the connection ended", at, out);
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
        if pending.progress_left_out_bytes > 0 {
            event.left_out_over("progress_last", pending.progress_left_out_bytes, TAP_PROGRESS_BYTES_MAX);
        }
        if let Some(tool) = request.tool.as_ref().and_then(|name| self.identity.tools.get(name)) {
            if tool.annotations_left_out_bytes > 0 {
                let bytes = tool.annotations_left_out_bytes;
                event.left_out_over("annotations", bytes, TAP_ANNOTATIONS_BYTES_MAX);
            }
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

    /// The last event is not kept: its number is free again.
    pub fn take_back(&mut self) {
        self.made -= 1;
        self.sequence -= 1;
    }

    /// Counts an event and gives it out.
    pub fn emit(&mut self, event: Event, out: &mut dyn Out) {
        self.made += 1;
        out.event(event.finish());
    }
}

#[cfg(test)]
mod tests;
