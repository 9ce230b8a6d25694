//! One session as a state machine: login, start, discovery, work, end; one event a step.

use crate::calendar::{MINUTE_US, SECOND_US};
use crate::event::{Decision, Event, Kind, push_hex, push_line};
use crate::events::Facts;
use crate::payload;
use crate::random::Random;
use crate::world::{Deployed, World};

mod call;
mod identity;

pub(crate) use call::{CallDraws, ENVELOPE_BYTES, Outcome, POLICY_ID, add_policy, add_tool, deny_call};
pub(crate) use identity::{Identity, fail_login};

/// Logins that are refused at first, in parts per million.
const LOGIN_FAILURE_PPM: u64 = 12_000;
/// High-risk writes that give way to the server's commonest read: their ranks alone would make them too common.
const HIGH_RISK_DECLINED_PPM: u64 = 700_000;
/// Buffers that live longer than a step, so that a step allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    target: String,
    arguments: String,
    result: String,
}

impl Scratch {
    fn clear(&mut self) {
        self.target.clear();
        self.arguments.clear();
        self.result.clear();
    }
}

/// A high-risk write on its way: requested, decided, called.
#[derive(Debug)]
struct Pending {
    server: usize,
    tool: usize,
    target: String,
    arguments: String,
    secret: bool,
    approval_id: String,
    request_hash: String,
    approver: usize,
    requested_us: u64,
    approved: bool,
    wait_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Login,
    Start,
    List,
    Work,
}

#[derive(Debug)]
pub(crate) struct Session {
    identity: Identity,
    random: Random,
    phase: Phase,
    /// Events still to be written; the last is the session's end.
    remaining: u64,
    gap_us_median: u64,
    /// Set where the agent's client propagates traces.
    trace_id: Option<u128>,
    request_id: u64,
    pending: Option<Pending>,
    opened: bool,
}

impl Session {
    pub(crate) fn new(world: &World, identity: Identity, remaining: u64, mut random: Random) -> Self {
        let gap_us_median = 1 + random.spread(9 * SECOND_US);
        let trace_id = world.agents[identity.agent].propagates_traces.then(|| random.next_u128());
        let phase = Phase::Login;
        Self {
            identity,
            random,
            phase,
            remaining,
            gap_us_median,
            trace_id,
            request_id: 0,
            pending: None,
            opened: false,
        }
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Microseconds a session would like to wait before its next event.
    pub(crate) fn gap_us(&mut self) -> u64 {
        let waits = self.pending.as_ref().is_some_and(|pending| !pending.approved);
        let median_us = match self.phase {
            Phase::Start | Phase::List => SECOND_US / 4,
            Phase::Login | Phase::Work if waits => 2 * MINUTE_US,
            Phase::Login | Phase::Work => self.gap_us_median,
        };
        self.random.spread(median_us)
    }

    /// Appends the event of this step to `line`; must be called exactly as often as there are events remaining.
    pub(crate) fn step(
        &mut self,
        world: &World,
        time_us: u64,
        secret_ppm: u64,
        scratch: &mut Scratch,
        line: &mut String,
    ) -> Facts {
        scratch.clear();
        let mut facts = match self.phase {
            Phase::Login => self.login(world, time_us, line),
            Phase::Start => self.boundary(world, time_us, "start", line),
            Phase::List => self.list(world, time_us, scratch, line),
            Phase::Work if self.remaining == 1 => self.boundary(world, time_us, "end", line),
            Phase::Work => self.work(world, time_us, secret_ppm, scratch, line),
        };
        facts.opens_session = !std::mem::replace(&mut self.opened, true);
        self.remaining -= 1;
        facts
    }

    fn facts(&self, world: &World, event: &Event<'_>) -> Facts {
        Facts {
            time_us: event.time_us,
            kind: event.kind,
            decision: event.decision,
            tenant: world.people[self.identity.person].group as u32,
            secret: false,
            opens_session: false,
            agent: self.identity.agent as u32,
        }
    }

    fn login(&mut self, world: &World, time_us: u64, line: &mut String) -> Facts {
        let fails = self.random.chance_ppm(LOGIN_FAILURE_PPM);
        let (decision, status) = if fails { (Decision::Deny, "denied") } else { (Decision::Allow, "ok") };
        let latency_us = self.random.spread(85_000);
        let mut event = self.identity.event(world, time_us, Kind::Auth, decision, status, &mut self.random);
        self.identity.add_login(world, &mut event);
        event.latency_us = Some(latency_us);
        if fails {
            fail_login(&mut event);
        } else {
            self.phase = Phase::Start;
        }
        push_line(line, &event);
        self.facts(world, &event)
    }

    fn boundary(&mut self, world: &World, time_us: u64, method: &'static str, line: &mut String) -> Facts {
        if self.phase == Phase::Start {
            self.phase = Phase::List;
        }
        let mut event =
            self.identity.event(world, time_us, Kind::Session, Decision::None, "ok", &mut self.random);
        event.method = Some(method);
        self.identity.add_connection(world, &mut event);
        push_line(line, &event);
        self.facts(world, &event)
    }

    fn list(&mut self, world: &World, time_us: u64, scratch: &mut Scratch, line: &mut String) -> Facts {
        let server = &world.servers[self.server(world)];
        self.phase = Phase::Work;
        self.request_id += 1;
        scratch.result.push_str("{\"tools\":[");
        for (place, (name, _)) in server.tools.iter().enumerate() {
            scratch.result.push_str(if place == 0 { "\"" } else { ",\"" });
            scratch.result.push_str(name);
            scratch.result.push('"');
        }
        scratch.result.push_str("]}");
        let latency_us = self.random.spread(22_000);
        let mut event =
            self.identity.event(world, time_us, Kind::List, Decision::Allow, "ok", &mut self.random);
        event.request_id = Some(self.request_id);
        event.trace_id = self.trace_id;
        event.method = Some("tools/list");
        event.server = Some(&server.name);
        event.server_version = Some(server.version);
        event.capability_type = Some("server");
        event.latency_us = Some(latency_us);
        event.response_bytes = Some(ENVELOPE_BYTES + 640 * server.tools.len() as u64);
        event.result = &scratch.result;
        push_line(line, &event);
        self.facts(world, &event)
    }

    /// A server of this session's agent (index in [`World::servers`]).
    fn server(&mut self, world: &World) -> usize {
        let servers = &world.agents[self.identity.agent].servers;
        servers[world.rank(servers.len(), &mut self.random)]
    }

    fn work(
        &mut self,
        world: &World,
        time_us: u64,
        secret_ppm: u64,
        scratch: &mut Scratch,
        line: &mut String,
    ) -> Facts {
        match self.pending.take() {
            Some(pending) if pending.approved => {
                return self.approved_call(world, time_us, &pending, scratch, line);
            }
            Some(pending) => return self.decide(world, time_us, pending, line),
            None => {}
        }
        match self.random.below(100) {
            0..=3 => self.list(world, time_us, scratch, line),
            4..=15 => self.read_resource(world, time_us, scratch, line),
            16..=18 => self.get_prompt(world, time_us, scratch, line),
            _ => self.tool_call(world, time_us, secret_ppm, scratch, line),
        }
    }

    fn tool_call(
        &mut self,
        world: &World,
        time_us: u64,
        secret_ppm: u64,
        scratch: &mut Scratch,
        line: &mut String,
    ) -> Facts {
        let server_index = self.server(world);
        let server = &world.servers[server_index];
        let mut tool_index = world.rank(server.tools.len(), &mut self.random);
        // Request, decision, call and the session's end need room.
        let declined = self.remaining < 4 || self.random.chance_ppm(HIGH_RISK_DECLINED_PPM);
        if server.tools[tool_index].1.is_high_risk_write() && declined {
            tool_index = 0;
        }
        let (name, tool) = &server.tools[tool_index];
        let secret = secret_ppm > 0 && self.random.chance_ppm(secret_ppm);
        payload::push_target(&mut scratch.target, server.catalogue, &mut self.random);
        payload::push_arguments(&mut scratch.arguments, tool, &scratch.target, secret, &mut self.random);
        if tool.is_high_risk_write() {
            let pending = self.pending(world, time_us, server_index, tool_index, secret, scratch);
            return self.request(world, time_us, pending, line);
        }
        self.request_id += 1;
        let outcome = Outcome::draw(&mut self.random);
        if outcome.has_result() {
            payload::push_result(&mut scratch.result, tool, &scratch.target, &mut self.random);
        }
        let mut draws = CallDraws::new(server, outcome, &mut self.random);
        draws.request_id = self.request_id;
        let mut event = self.identity.event(
            world,
            time_us,
            Kind::Call,
            outcome.decision(),
            outcome.status(),
            &mut self.random,
        );
        add_tool(&mut event, server, name, tool, &scratch.target);
        event.trace_id = self.trace_id;
        event.arguments = &scratch.arguments;
        event.result = &scratch.result;
        draws.fill(&mut event);
        outcome.fill(&mut event);
        push_line(line, &event);
        Facts { secret, ..self.facts(world, &event) }
    }

    fn pending(
        &mut self,
        world: &World,
        time_us: u64,
        server: usize,
        tool: usize,
        secret: bool,
        scratch: &Scratch,
    ) -> Pending {
        let mut approval_id = String::from("apr-");
        push_hex(&mut approval_id, u128::from(time_us / 1_000), 11);
        push_hex(&mut approval_id, u128::from(self.random.next()), 9);
        let mut request_hash = String::from("hmac-sha256:");
        for _ in 0..2 {
            push_hex(&mut request_hash, self.random.next_u128(), 32);
        }
        let approvers = world.groups[world.people[self.identity.person].group].approvers.len();
        Pending {
            server,
            tool,
            target: scratch.target.clone(),
            arguments: scratch.arguments.clone(),
            secret,
            approval_id,
            request_hash,
            approver: self.random.below(approvers as u64) as usize,
            requested_us: time_us,
            approved: false,
            wait_ms: 0,
        }
    }

    fn request(&mut self, world: &World, time_us: u64, pending: Pending, line: &mut String) -> Facts {
        let server = &world.servers[pending.server];
        let (name, tool) = &server.tools[pending.tool];
        let decision = Decision::RequireApproval;
        let mut event =
            self.identity.event(world, time_us, Kind::Approval, decision, "pending", &mut self.random);
        add_tool(&mut event, server, name, tool, &pending.target);
        add_policy(&mut event, "approve-high-risk-writes");
        event.approval_id = Some(&pending.approval_id);
        event.approval_status = Some("requested");
        event.request_hash = Some(&pending.request_hash);
        event.arguments = &pending.arguments;
        event.decision_reason = Some("a high-risk write needs an approval");
        push_line(line, &event);
        let facts = Facts { secret: pending.secret, ..self.facts(world, &event) };
        self.pending = Some(pending);
        facts
    }

    fn decide(&mut self, world: &World, time_us: u64, mut pending: Pending, line: &mut String) -> Facts {
        let server = &world.servers[pending.server];
        let (name, tool) = &server.tools[pending.tool];
        let (decision, status, approval_status) = match self.random.below(100) {
            0..=6 => (Decision::Deny, "denied", "rejected"),
            7..=9 => (Decision::Deny, "timeout", "expired"),
            _ => (Decision::Allow, "ok", "approved"),
        };
        pending.approved = decision == Decision::Allow;
        pending.wait_ms = (time_us - pending.requested_us) / 1_000;
        let group = &world.groups[world.people[self.identity.person].group];
        let mut event =
            self.identity.event(world, time_us, Kind::Approval, decision, status, &mut self.random);
        add_tool(&mut event, server, name, tool, &pending.target);
        add_policy(&mut event, "approve-high-risk-writes");
        event.approval_id = Some(&pending.approval_id);
        event.approval_status = Some(approval_status);
        event.approver =
            if approval_status == "expired" { None } else { Some(&group.approvers[pending.approver]) };
        event.approval_wait_ms = Some(pending.wait_ms);
        event.request_hash = Some(&pending.request_hash);
        push_line(line, &event);
        let facts = self.facts(world, &event);
        if pending.approved {
            self.pending = Some(pending);
        }
        facts
    }

    fn approved_call(
        &mut self,
        world: &World,
        time_us: u64,
        pending: &Pending,
        scratch: &mut Scratch,
        line: &mut String,
    ) -> Facts {
        let server = &world.servers[pending.server];
        let (name, tool) = &server.tools[pending.tool];
        self.request_id += 1;
        payload::push_result(&mut scratch.result, tool, &pending.target, &mut self.random);
        let mut draws = CallDraws::new(server, Outcome::Fine, &mut self.random);
        draws.request_id = self.request_id;
        let group = &world.groups[world.people[self.identity.person].group];
        let mut event =
            self.identity.event(world, time_us, Kind::Call, Decision::Allow, "ok", &mut self.random);
        add_tool(&mut event, server, name, tool, &pending.target);
        add_policy(&mut event, "approve-high-risk-writes");
        event.trace_id = self.trace_id;
        event.approval_id = Some(&pending.approval_id);
        event.approval_status = Some("approved");
        event.approver = Some(&group.approvers[pending.approver]);
        event.approval_wait_ms = Some(pending.wait_ms);
        event.request_hash = Some(&pending.request_hash);
        event.arguments = &pending.arguments;
        event.result = &scratch.result;
        draws.fill(&mut event);
        push_line(line, &event);
        Facts { secret: pending.secret, ..self.facts(world, &event) }
    }

    fn read_resource(
        &mut self,
        world: &World,
        time_us: u64,
        scratch: &mut Scratch,
        line: &mut String,
    ) -> Facts {
        let server = &world.servers[self.server(world)];
        payload::push_target(&mut scratch.target, server.catalogue, &mut self.random);
        payload::push_resource(&mut scratch.result, &scratch.target, &mut self.random);
        self.read(
            world,
            time_us,
            server,
            "resources/read",
            "resource",
            &scratch.target,
            &scratch.result,
            line,
        )
    }

    fn get_prompt(&mut self, world: &World, time_us: u64, scratch: &mut Scratch, line: &mut String) -> Facts {
        let server = &world.servers[self.server(world)];
        let name = self.random.pick(server.catalogue.prompts);
        payload::push_prompt(&mut scratch.result, &mut self.random);
        self.read(world, time_us, server, "prompts/get", "prompt", name, &scratch.result, line)
    }

    #[expect(clippy::too_many_arguments, reason = "what resources and prompts differ in, each once")]
    fn read(
        &mut self,
        world: &World,
        time_us: u64,
        server: &Deployed,
        method: &'static str,
        capability_type: &'static str,
        capability: &str,
        result: &str,
        line: &mut String,
    ) -> Facts {
        self.request_id += 1;
        let mut draws = CallDraws::new(server, Outcome::Fine, &mut self.random);
        draws.request_id = self.request_id;
        let mut event =
            self.identity.event(world, time_us, Kind::Call, Decision::Allow, "ok", &mut self.random);
        event.method = Some(method);
        event.server = Some(&server.name);
        event.capability_type = Some(capability_type);
        event.capability = Some(capability);
        event.action = Some("read");
        event.risk = Some("low");
        event.policy_id = Some(POLICY_ID);
        event.trace_id = self.trace_id;
        event.result = result;
        draws.fill(&mut event);
        push_line(line, &event);
        self.facts(world, &event)
    }
}
