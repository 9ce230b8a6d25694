//! A session: login, turns that lead to turns (a Hawkes process), calls of each turn (a Pareto number of them), approvals.

use std::sync::Arc;

use crate::calendar::{HOUR, MINUTE, SECOND, day_of, released};
use crate::event::Event;
use crate::random::Random;
use crate::world::{Class, DESTINATIONS, IDENTITY_PROVIDER, Name, Principal, TURN_CALLS, Tool, World};

/// Turns of a session are never more, and never later than this after its start.
const TURNS: usize = 240;
const SESSION_LASTS: i64 = 6 * HOUR;
/// Rows of denials: tail index, and the most of them.
pub(crate) const DENIED: (f64, u64) = (1.8, 15);
/// Spread of responses in ln bytes; the chance and mean of what comes on top.
const BYTES: (f64, f64, f64) = (1.4, 0.05, 1.5);

/// Seconds between calls: median of a model that decides what comes next, of a program that knows, and their spread. Seconds a call of 6,978
/// recorded agent runs: 5 % 1.0, 25 % 1.5, median 2.3, 75 % 3.9, 95 % 12.7.
const THINK: (f64, f64, f64) = (2.3, 0.5, 0.8);

/// An event that is not logged yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub event: Box<Event>,
    /// Place of the injection that caused it.
    pub injection: Option<u32>,
}

/// Who is there, as what and from where.
#[derive(Debug, Clone)]
pub(crate) struct Visit<'a> {
    pub principal: &'a Principal,
    pub session_id: Name,
    pub workflow: usize,
    pub source_ip: Name,
    pub country: &'static str,
}

/// How a call ends, where that is not left to chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Drawn,
    Denied,
    Quarantined,
}

/// Writes events of sessions.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub world: &'a World,
    pub random: &'a mut Random,
    pub out: &'a mut Vec<Draft>,
    pub injection: Option<u32>,
}

impl Writer<'_> {
    fn add(&mut self, event: Event) {
        self.out.push(Draft { event: Box::new(event), injection: self.injection });
    }

    fn name(&mut self, prefix: &str) -> Name {
        Arc::from(format!("{prefix}{:016x}", self.random.next()))
    }

    /// An event with who and where filled in.
    pub fn event(&self, visit: &Visit<'_>, time_us: i64, kind: &'static str) -> Event {
        let principal = visit.principal;
        let version = usize::from(time_us >= released());
        Event {
            time_us,
            kind,
            user_id: principal.user_id.clone(),
            agent_id: principal.agent_id.clone(),
            client: principal.client.get(version).cloned(),
            credential_id: Some(Arc::clone(&principal.credential_id)),
            source_ip: Some(Arc::clone(&visit.source_ip)),
            session_id: Arc::clone(&visit.session_id),
            decision: "none",
            status: "ok",
            environment: Some(principal.environment),
            source: self.world.sources.get(principal.source).cloned().unwrap_or_default(),
            auth_method: Some(if principal.is_machine() { "mtls" } else { "oauth2" }),
            country: Some(visit.country),
            user_agent: principal.user_agent.get(version).cloned(),
            ..Event::default()
        }
    }

    pub fn authenticate(&mut self, visit: &Visit<'_>, time_us: i64, method: &'static str, is_ok: bool) {
        let mut event = self.event(visit, time_us, "auth");
        event.source = self.world.sources.get(IDENTITY_PROVIDER).cloned().unwrap_or_default();
        event.method = Some(method);
        event.decision = if is_ok { "allow" } else { "deny" };
        event.status = if is_ok { "ok" } else { "error" };
        event.error_class = (!is_ok).then_some("auth");
        event.latency_us = Some(self.random.lognormal(90_000.0, 0.4) as i64);
        self.add(event);
    }

    /// A login that may fail a few times first, or a refresh that nearly never does; when it is done.
    pub fn enter(&mut self, visit: &Visit<'_>, time_us: i64, is_login: bool) -> i64 {
        let (method, chance) = if is_login { ("login", 0.03) } else { ("refresh", 0.0015) };
        let mut now = time_us;
        if self.random.chance(chance) {
            // People mistype, and then try what they believe to be right again.
            for _ in 0..self.random.pareto(1.4, 1, 9) {
                self.authenticate(visit, now, method, false);
                now += self.random.between(3.0, 15.0) as i64 * SECOND;
            }
        }
        self.authenticate(visit, now, method, true);
        now + SECOND
    }

    /// A whole session from `start_us` on.
    pub fn session(&mut self, visit: &Visit<'_>, start_us: i64, is_login: bool) {
        let mut now = self.enter(visit, start_us, is_login);
        let mut begins = self.event(visit, now, "session");
        begins.method = Some("start");
        self.add(begins);
        let mut turns = vec![now + SECOND];
        let mut at = 0;
        while let Some(turn) = turns.get(at).copied() {
            at += 1;
            for _ in 0..self.random.poisson(visit.principal.branching) {
                let next = turn + (self.random.exponential(visit.principal.reply_s) * SECOND as f64) as i64;
                if turns.len() < TURNS && next < start_us + SESSION_LASTS {
                    turns.push(next);
                }
            }
        }
        turns.sort_unstable();
        for turn in turns {
            let calls = self.random.pareto(visit.principal.alpha, visit.principal.turn_least, TURN_CALLS);
            now = now.max(self.turn(visit, turn, calls));
        }
        let mut ends = self.event(visit, now + MINUTE, "session");
        ends.method = Some("end");
        self.add(ends);
    }

    /// The calls of one turn, one after another; when the last is done.
    pub fn turn(&mut self, visit: &Visit<'_>, start_us: i64, calls: u64) -> i64 {
        let (mut now, mut denied, mut quarantined) = (start_us, 0, false);
        let think_s = if visit.principal.class == Class::Timetable { THINK.1 } else { THINK.0 };
        let mut tool = self.tool(visit, now);
        for _ in 0..calls {
            if denied == 0 && self.random.chance(visit.principal.denial) {
                denied = self.random.pareto(DENIED.0, 1, DENIED.1);
            }
            if denied == 0 && self.random.chance(0.5) {
                (tool, quarantined) = (self.tool(visit, now), false);
            }
            let Some(of) = self.world.tools.get(tool) else { continue };
            quarantined = self.random.chance(if quarantined { 0.3 } else { of.quarantine });
            let ending = match (denied > 0, quarantined) {
                (true, _) => Ending::Denied,
                (false, true) => Ending::Quarantined,
                (false, false) => Ending::Drawn,
            };
            denied = denied.saturating_sub(1);
            let took = if of.is_high_risk() && ending != Ending::Denied {
                self.approved(visit, now, tool)
            } else {
                self.call(visit, now, tool, ending)
            };
            // A client waits for the slow ones no longer than this before it goes on.
            let think_s = self.random.lognormal(think_s, THINK.2).min(60.0);
            now += took.min(MINUTE) + (think_s * SECOND as f64) as i64;
        }
        now
    }

    /// What a workflow would use now: mostly its own tools, the first most; seldom one of somebody else's.
    pub fn tool(&mut self, visit: &Visit<'_>, time_us: i64) -> usize {
        let world = self.world;
        if self.random.chance(0.000_5) {
            return self.random.below(world.tools.len());
        }
        let version = usize::from(time_us >= released());
        let tools = world.workflows.get(visit.workflow).and_then(|workflow| workflow.tools.get(version));
        let Some(tools) = tools.filter(|tools| !tools.is_empty()) else { return 0 };
        let place = self.random.rank(tools.len());
        let tool = tools.get(place).copied().unwrap_or(0);
        // High-risk tools are seldom what is needed.
        if self.is_high_risk(tool) && !self.random.chance(0.05) {
            return tools.iter().copied().find(|tool| !self.is_high_risk(*tool)).unwrap_or(tool);
        }
        tool
    }

    fn is_high_risk(&self, tool: usize) -> bool {
        self.world.tools.get(tool).is_some_and(Tool::is_high_risk)
    }

    /// A call with its tool filled in, but for its end.
    pub fn begin(&mut self, visit: &Visit<'_>, time_us: i64, tool: &Tool) -> Event {
        let mut event = self.event(visit, time_us, "call");
        let version = usize::from(time_us >= released());
        event.method = Some("tools/call");
        event.call_id = Some(self.name("call-"));
        event.server = Some(Arc::clone(&tool.server));
        event.capability = Some(Arc::clone(&tool.capability));
        event.capability_type = Some("tool");
        event.action = Some(tool.kind.action);
        event.risk = Some(tool.kind.risk);
        event.tool_hash = tool.hashes.get(version).cloned();
        event.workflow = self.world.workflows.get(visit.workflow).map(|workflow| Arc::clone(&workflow.name));
        event.decision = "allow";
        event.destinations = self.destination(visit, tool).into_iter().collect();
        event
    }

    /// Where it goes: mostly what the workflow knows, sometimes somebody new.
    fn destination(&mut self, visit: &Visit<'_>, tool: &Tool) -> Option<Name> {
        let (argument, class) = tool.kind.destination?;
        let salt = self.world.workflows.get(visit.workflow).map_or(0, |workflow| workflow.salt);
        let known = salt.wrapping_mul(31).wrapping_add(self.random.rank(DESTINATIONS) as u64);
        let value = if self.random.chance(0.004) { self.random.next() } else { known };
        let value = value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
        Some(Arc::from(format!("{}:{argument}:{class}:{value:012x}", tool.capability)))
    }

    /// One call; how long it took.
    pub fn call(&mut self, visit: &Visit<'_>, time_us: i64, tool: usize, ending: Ending) -> i64 {
        let world = self.world;
        let Some(tool) = world.tools.get(tool) else { return 0 };
        let mut event = self.begin(visit, time_us, tool);
        let took = self.end(&mut event, tool, ending);
        self.add(event);
        took
    }

    /// Fills in how a call ends; how long it took.
    pub fn end(&mut self, event: &mut Event, tool: &Tool, ending: Ending) -> i64 {
        if ending == Ending::Denied {
            (event.decision, event.status, event.error_class) = ("deny", "denied", Some("policy"));
            event.latency_us = Some(self.random.lognormal(4_000.0, 0.5) as i64);
            event.destinations.clear();
            return event.latency_us.unwrap_or(0);
        }
        // Tools are slower in the afternoon, each in its own.
        let hour = event.time_us.rem_euclid(24 * HOUR) as f64 / HOUR as f64;
        let phase = 13.0 + tool.kind.bytes % 4.0;
        let busy = 1.0 + 0.3 * libm::cos((hour - phase) * std::f64::consts::PI / 12.0);
        let mut latency_us = self.random.lognormal(1_000.0 * tool.kind.latency_ms * busy, 0.55) as i64;
        match self.random.below(1_000) {
            0..=2 => {
                (event.status, event.error_class) = ("timeout", Some("timeout"));
                latency_us = 30 * SECOND;
            }
            3..=17 => (event.status, event.error_class) = ("error", Some("tool")),
            _ => {
                let more = if self.random.chance(BYTES.1) { self.random.exponential(BYTES.2) } else { 0.0 };
                let bytes = self.random.lognormal(tool.kind.bytes, BYTES.0) * libm::exp(more);
                event.response_bytes = Some(bytes.min(5e7) as i64 + 2);
                event.output_tokens = event.response_bytes.map(|bytes| bytes / 4 + 1);
                let other = if self.random.chance(0.01) { "redact" } else { "pass" };
                event.output_action = Some(if ending == Ending::Quarantined { "quarantine" } else { other });
            }
        }
        event.latency_us = Some(latency_us);
        latency_us
    }

    /// A high-risk write: it waits, somebody decides, and then it runs or not. Nobody waits for that: no time passes.
    fn approved(&mut self, visit: &Visit<'_>, time_us: i64, tool: usize) -> i64 {
        let world = self.world;
        let Some(tool) = world.tools.get(tool) else { return 0 };
        let mut call = self.begin(visit, time_us, tool);
        let approval = Approval {
            id: self.name("approval-"),
            request_hash: self.name("request-"),
            approver: self.approver(visit),
        };
        let mut pending = call.clone();
        (pending.decision, pending.status) = ("require_approval", "pending");
        pending.approval_id = Some(Arc::clone(&approval.id));
        pending.approval_status = Some("requested");
        pending.request_hash = Some(Arc::clone(&approval.request_hash));
        self.add(pending);
        let hour = visit.principal.zone.hour(time_us);
        let is_staffed = (8.0..18.0).contains(&hour) && !visit.principal.zone.is_free(time_us);
        let median_s = self.world.waits_s.get(visit.principal.role).copied().unwrap_or(240.0);
        let wait_s = self.random.lognormal(if is_staffed { median_s } else { 5.0 * median_s }, 1.0);
        let wait_us = (wait_s.clamp(4.0, 86_400.0) * SECOND as f64) as i64;
        let outcome = match self.random.below(100) {
            0..=4 => "rejected",
            5..=6 => "expired",
            _ => "approved",
        };
        self.decide(visit, &approval, time_us + SECOND / 5, wait_us, outcome);
        if outcome == "approved" {
            call.time_us = time_us + wait_us + SECOND;
            call.approval_id = Some(approval.id);
            call.approval_status = Some("approved");
            call.approver = Some(approval.approver);
            call.request_hash = Some(approval.request_hash);
            self.end(&mut call, tool, Ending::Drawn);
            self.add(call);
        }
        SECOND
    }

    pub fn approver(&mut self, visit: &Visit<'_>) -> Name {
        let of_role = self.world.approvers.get(visit.principal.role).map(Vec::as_slice).unwrap_or_default();
        of_role.get(self.random.below(of_role.len())).cloned().unwrap_or_default()
    }

    /// A request for an approval and what became of it.
    pub fn decide(
        &mut self,
        visit: &Visit<'_>,
        approval: &Approval,
        time_us: i64,
        wait_us: i64,
        outcome: &'static str,
    ) {
        let mut request = self.event(visit, time_us, "approval");
        request.approval_id = Some(Arc::clone(&approval.id));
        request.approval_status = Some("requested");
        request.request_hash = Some(Arc::clone(&approval.request_hash));
        request.status = "pending";
        request.workflow =
            self.world.workflows.get(visit.workflow).map(|workflow| Arc::clone(&workflow.name));
        let mut decision = request.clone();
        decision.time_us = time_us + wait_us;
        decision.approval_status = Some(outcome);
        decision.approval_wait_ms = Some(wait_us / 1_000);
        decision.approver = (outcome != "expired").then(|| Arc::clone(&approval.approver));
        decision.status = "ok";
        self.add(request);
        self.add(decision);
    }
}

/// What an approval is about.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    pub id: Name,
    pub request_hash: Name,
    pub approver: Name,
}

/// Calls and their denials an hour, as the law has them.
pub(crate) fn denials_of_call(principal: &Principal) -> f64 {
    let row = crate::random::pareto_mean(DENIED.0, 1, DENIED.1);
    // Of so many calls one begins a row, and the row itself holds calls.
    principal.denial * row / (1.0 + principal.denial * (row - 1.0))
}

/// A day that begins at another hour for each, for what is asked once a day.
pub(crate) fn is_first(last_us: Option<i64>, time_us: i64) -> bool {
    last_us.is_none_or(|last_us| day_of(time_us) > day_of(last_us))
}
