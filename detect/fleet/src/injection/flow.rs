//! The events that an injection adds in a quarter of an hour, and what it does to the events of others.

use std::sync::Arc;

use super::{Injection, Kind, Target};
use crate::calendar::{MINUTE, SECOND};
use crate::event::Event;
use crate::random::Random;
use crate::rate::calls_an_hour;
use crate::session::{Approval, Ending, Visit, Writer, denials_of_call};
use crate::world::World;

/// Countries that nobody of the fleet is ever in.
const ELSEWHERE: [&str; 4] = ["BR", "VN", "NG", "KZ"];
/// The 99th percentile of a response over its median, as `session` draws them.
const BYTES_HIGH: f64 = 35.0;

/// Adds what falls into `[from_us, to_us)`. `visit` is a session of its principal (or of anybody, where it has none).
pub(crate) fn add(writer: &mut Writer<'_>, one: &Injection, visit: &Visit<'_>, (from_us, to_us): (i64, i64)) {
    let (from_us, to_us) = (from_us.max(one.start_us), to_us.min(one.end_us));
    if from_us >= to_us {
        return;
    }
    let begins = from_us == one.start_us;
    let hours = (to_us - from_us) as f64 / crate::calendar::HOUR as f64;
    let calls = calls_an_hour(visit.principal, from_us) * (one.times() - 1.0) * hours;
    match one.kind {
        Kind::CallRate => spread(writer, visit, (from_us, to_us), calls, Ending::Drawn),
        Kind::Denials => {
            let denials = calls * denials_of_call(visit.principal);
            spread(writer, visit, (from_us, to_us), denials, Ending::Denied);
        }
        Kind::Probing if begins => {
            for _ in 0..one.events() {
                let (time_us, tool) =
                    (within(writer.random, one), writer.random.below(writer.world.tools.len()));
                writer.call(visit, time_us, tool, Ending::Denied);
            }
        }
        Kind::AuthGuessing if begins => {
            for _ in 0..one.events() {
                let time_us = within(writer.random, one);
                writer.authenticate(visit, time_us, "login", false);
            }
        }
        Kind::AuthSpray if begins => spray(writer, one, visit),
        Kind::OffHours | Kind::NewNetwork if begins => session(writer, one, visit),
        Kind::UnusualTool | Kind::UnusualDestination if begins => unusual(writer, one, visit),
        Kind::UnapprovedWrite if begins => {
            let risky: Vec<usize> = places(writer.world, |tool| tool.is_high_risk());
            let tool = risky.get(writer.random.below(risky.len())).copied().unwrap_or(0);
            writer.call(visit, one.start_us, tool, Ending::Drawn);
        }
        Kind::SlowApproval | Kind::HastyApproval if begins => approvals(writer, one, visit),
        Kind::OversizedOutput if begins => oversized(writer, one, visit),
        _ => {}
    }
}

/// Whether it changes or withholds events of others; see [`change`].
pub(crate) fn changes(one: &Injection) -> bool {
    matches!(one.kind, Kind::SlowTool | Kind::Quarantine | Kind::SilentSource)
}

/// What becomes of an event of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    Changed,
    Withheld,
}

/// Changes an event where the injection bears on it.
pub(crate) fn change(event: &mut Event, one: &Injection, world: &World, random: &mut Random) -> Change {
    if !(one.start_us..one.end_us).contains(&event.time_us) {
        return Change::Nothing;
    }
    match (&one.target, one.kind) {
        (Target::Source(source), Kind::SilentSource) if world.sources.get(*source) == Some(&event.source) => {
            Change::Withheld
        }
        (Target::Tool(tool), Kind::SlowTool) if is_of(event, world, *tool) && event.status != "denied" => {
            event.latency_us = event.latency_us.map(|latency_us| (latency_us as f64 * one.times()) as i64);
            Change::Changed
        }
        (Target::Tool(tool), Kind::Quarantine)
            if is_of(event, world, *tool) && event.output_action == Some("pass") =>
        {
            let share = world.tools.get(*tool).map_or(0.0, |tool| tool.quarantine) * (one.times() - 1.0);
            if !random.chance(share) {
                return Change::Nothing;
            }
            event.output_action = Some("quarantine");
            Change::Changed
        }
        _ => Change::Nothing,
    }
}

fn is_of(event: &Event, world: &World, tool: usize) -> bool {
    world.tools.get(tool).is_some_and(|tool| {
        event.capability.as_ref() == Some(&tool.capability) && event.server.as_ref() == Some(&tool.server)
    })
}

/// So many calls on average, at any time of a span.
fn spread(
    writer: &mut Writer<'_>,
    visit: &Visit<'_>,
    (from_us, to_us): (i64, i64),
    calls: f64,
    ending: Ending,
) {
    for _ in 0..writer.random.poisson(calls) {
        let time_us = from_us + writer.random.below((to_us - from_us) as usize) as i64;
        let mut tool = writer.tool(visit, time_us);
        if writer.world.tools.get(tool).is_some_and(crate::world::Tool::is_high_risk)
            && ending != Ending::Denied
        {
            tool = 0;
        }
        writer.call(visit, time_us, tool, ending);
    }
}

fn within(random: &mut Random, one: &Injection) -> i64 {
    one.start_us + random.below((one.end_us - one.start_us) as usize) as i64
}

fn spray(writer: &mut Writer<'_>, one: &Injection, visit: &Visit<'_>) {
    let Target::Address(address) = &one.target else { return };
    let people: Vec<usize> = (0..writer.world.principals.len()).collect();
    let offset = writer.random.below(people.len());
    for number in 0..one.events() as usize {
        let at = (offset + number) % people.len().max(1);
        let Some(principal) = writer.world.principals.get(at) else { continue };
        let time_us = within(writer.random, one);
        let from = Visit { principal, source_ip: Arc::clone(address), country: "BR", ..visit.clone() };
        writer.authenticate(&from, time_us, "login", false);
    }
}

fn session(writer: &mut Writer<'_>, one: &Injection, visit: &Visit<'_>) {
    let mut from = visit.clone();
    if one.kind == Kind::NewNetwork {
        let octets = [writer.random.below(200), writer.random.below(200)];
        from.source_ip = Arc::from(format!("203.{}.{}.9", octets[0], octets[1]));
        from.country = ELSEWHERE.get(writer.random.below(ELSEWHERE.len())).copied().unwrap_or("BR");
    }
    let mut now = writer.enter(&from, one.start_us, true);
    let mut begins = writer.event(&from, now, "session");
    begins.method = Some("start");
    writer.out.push(crate::session::Draft { event: Box::new(begins), injection: writer.injection });
    for _ in 0..3 {
        let calls = 3 + writer.random.below(6) as u64;
        now = writer.turn(&from, now + 20 * SECOND, calls) + MINUTE;
    }
}

fn places(world: &World, is_fit: impl Fn(&crate::world::Tool) -> bool) -> Vec<usize> {
    let all = world.tools.iter().enumerate();
    all.filter(|(_, tool)| is_fit(tool)).map(|(at, _)| at).collect()
}

fn unusual(writer: &mut Writer<'_>, one: &Injection, visit: &Visit<'_>) {
    let mut now = writer.enter(visit, one.start_us, false);
    now = writer.turn(visit, now, 4) + SECOND;
    let world = writer.world;
    if one.kind == Kind::UnusualTool {
        let of_role =
            crate::catalog::ROLES.get(visit.principal.role).map_or(&[][..], |(_, servers, _)| *servers);
        let is_own = |server: &str| {
            of_role
                .iter()
                .any(|own| crate::catalog::SERVERS.get(*own).is_some_and(|(name, _)| *name == server))
        };
        let others = places(world, |tool| !tool.is_high_risk() && !is_own(&tool.server));
        for _ in 0..5 {
            let tool = others.get(writer.random.below(others.len())).copied().unwrap_or(0);
            now += writer.call(visit, now, tool, Ending::Drawn) + 2 * SECOND;
        }
        return;
    }
    let sends = places(world, |tool| tool.kind.destination.is_some() && !tool.is_high_risk());
    let own = world.workflows.get(visit.workflow).and_then(|workflow| workflow.tools.first());
    let usual = own.and_then(|own| own.iter().find(|tool| sends.contains(tool))).or(sends.first()).copied();
    let Some(tool) = usual.and_then(|tool| world.tools.get(tool)) else { return };
    for _ in 0..4 {
        let mut call = writer.begin(visit, now, tool);
        let argument = tool
            .kind
            .destination
            .map_or("to:recipient".to_owned(), |(name, class)| format!("{name}:{class}"));
        let value = writer.random.next() >> 16;
        call.destinations = vec![Arc::from(format!("{}:{argument}:{value:012x}", tool.capability))];
        now += writer.end(&mut call, tool, Ending::Drawn) + 2 * SECOND;
        writer.out.push(crate::session::Draft { event: Box::new(call), injection: writer.injection });
    }
}

fn approvals(writer: &mut Writer<'_>, one: &Injection, visit: &Visit<'_>) {
    let median_s = writer.world.waits_s.get(visit.principal.role).copied().unwrap_or(240.0);
    let approver = writer.approver(visit);
    let (count, spread_us) =
        if one.kind == Kind::SlowApproval { (6, 30 * MINUTE) } else { (12, 29 * MINUTE) };
    for number in 0..count {
        let hex = writer.random.next();
        let approval = Approval {
            id: Arc::from(format!("approval-{hex:016x}")),
            request_hash: Arc::from(format!("request-{hex:016x}")),
            approver: Arc::clone(&approver),
        };
        let wait_us = match one.kind {
            Kind::SlowApproval => (20.0 * median_s * writer.random.between(0.9, 1.1) * SECOND as f64) as i64,
            _ => 200_000 + writer.random.below(250_000) as i64,
        };
        let time_us = one.start_us + spread_us / i64::from(count) * i64::from(number);
        writer.decide(visit, &approval, time_us, wait_us, "approved");
    }
}

fn oversized(writer: &mut Writer<'_>, one: &Injection, visit: &Visit<'_>) {
    let Target::Tool(at) = &one.target else { return };
    let world = writer.world;
    let Some(tool) = world.tools.get(*at) else { return };
    for number in 0..3 {
        let mut call = writer.begin(visit, one.start_us + number * 30 * SECOND, tool);
        let mut ends = call.clone();
        while ends.response_bytes.is_none() {
            ends = call.clone();
            writer.end(&mut ends, tool, Ending::Drawn);
        }
        call = ends;
        call.response_bytes = Some((tool.kind.bytes * BYTES_HIGH * one.times()) as i64);
        call.output_tokens = call.response_bytes.map(|bytes| bytes / 4);
        writer.out.push(crate::session::Draft { event: Box::new(call), injection: writer.injection });
    }
}
