//! What goes wrong by plan: data first, drawn from the seed before any event is made. Events of it are in `injection/flow.rs`.

pub(crate) mod flow;

use std::sync::Arc;

use crate::calendar::{BACKLOG, DAY, HOLIDAY, HOUR, MINUTE, ONBOARDING, RELEASE, start};
use crate::random::{Purpose, Random};
use crate::rate::calls_an_hour;
use crate::world::{Class, Name, World};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// More calls than usual, evenly spread.
    CallRate,
    /// More denied calls than usual, evenly spread.
    Denials,
    /// So many denied calls of one principal within a quarter of an hour: it tries what it may not.
    Probing,
    /// Failed logins of one principal within ten minutes.
    AuthGuessing,
    /// Failed logins of as many principals from one address within half an hour.
    AuthSpray,
    /// A session of somebody who keeps office hours, in the small hours.
    OffHours,
    /// A session from a network and a country that nobody was ever in.
    NewNetwork,
    /// A session with five calls of tools that the role has nothing to do with.
    UnusualTool,
    /// A session of the usual tools with four destinations that nobody ever had.
    UnusualDestination,
    /// A high-risk write without an approval.
    UnapprovedWrite,
    /// Six approvals of one role that each take twenty times as long as usual.
    SlowApproval,
    /// A dozen approvals within half an hour by one person, each after less than half a second.
    HastyApproval,
    /// Calls of a tool take longer.
    SlowTool,
    /// More outputs of a tool are quarantined than usual.
    Quarantine,
    /// Three answers of a tool, larger by that than its 99th percentile.
    OversizedOutput,
    /// A source sends nothing.
    SilentSource,
    /// A principal works more by 1.15 each day than the day before, for two weeks.
    Ramp,
    /// A principal works twice as much from a day on, for good. Nothing is wrong with that.
    Shift,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Times what is usual.
    Times(u32),
    /// So many events.
    Events(u32),
    /// There is one only.
    Fixed,
}

/// Whom it is done to or by; places in the world's lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Principal(usize),
    Tool(usize),
    Source(usize),
    Address(Name),
}

/// One thing that goes wrong. It begins at `start_us` and is over before `end_us`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    pub kind: Kind,
    pub strength: Strength,
    pub target: Target,
    pub start_us: i64,
    pub end_us: i64,
}

/// A line of the plan: so many of each strength and length (in minutes).
type Line = (Kind, &'static [Strength], &'static [i64], usize);

use Strength::{Events, Fixed, Times};

/// What happens in ninety days. Of each kind at most one begins on a day.
pub const PLAN: [Line; 18] = [
    (Kind::CallRate, &[Times(2), Times(4), Times(20)], &[15, 60, 240], 6),
    (Kind::Denials, &[Times(2), Times(4), Times(20)], &[15, 60, 240], 6),
    (Kind::Probing, &[Events(10), Events(40)], &[15], 6),
    (Kind::AuthGuessing, &[Events(5), Events(20), Events(100)], &[10], 6),
    (Kind::AuthSpray, &[Events(20), Events(100)], &[30], 6),
    (Kind::OffHours, &[Fixed], &[60], 12),
    (Kind::NewNetwork, &[Fixed], &[60], 12),
    (Kind::UnusualTool, &[Fixed], &[15], 12),
    (Kind::UnusualDestination, &[Fixed], &[15], 12),
    (Kind::UnapprovedWrite, &[Fixed], &[1], 12),
    (Kind::SlowApproval, &[Fixed], &[720], 8),
    (Kind::HastyApproval, &[Fixed], &[30], 8),
    (Kind::SlowTool, &[Times(2), Times(4), Times(20)], &[60], 4),
    (Kind::Quarantine, &[Times(4), Times(20), Times(100)], &[60], 4),
    (Kind::OversizedOutput, &[Times(2), Times(4), Times(20)], &[5], 4),
    (Kind::SilentSource, &[Fixed], &[60, 240], 4),
    (Kind::Ramp, &[Fixed], &[14 * 24 * 60], 4),
    (Kind::Shift, &[Times(2)], &[21 * 24 * 60], 3),
];

/// First day on which something begins, in a long enough run.
const QUIET: i64 = 21;
/// First and last day on which what lasts for weeks begins.
const LONG: (i64, i64) = (24, 62);
/// What a ramp adds each day.
pub const RAMP: f64 = 1.15;

impl Injection {
    /// `column=value` of those that an alert about it would name; any of them is enough.
    pub fn observables(&self, world: &World) -> Vec<String> {
        let of = |column: &str, value: Option<&Name>| value.map(|value| format!("{column}={value}"));
        match &self.target {
            Target::Principal(at) => {
                let one = world.principals.get(*at);
                let agent = of("agent_id", one.and_then(|one| one.agent_id.as_ref()));
                agent.into_iter().chain(of("user_id", one.and_then(|one| one.user_id.as_ref()))).collect()
            }
            Target::Tool(at) => {
                of("capability", world.tools.get(*at).map(|tool| &tool.capability)).into_iter().collect()
            }
            Target::Source(at) => of("source", world.sources.get(*at)).into_iter().collect(),
            Target::Address(address) => of("source_ip", Some(address)).into_iter().collect(),
        }
    }

    /// Whether it lasts for weeks and bears on its principal all that time.
    pub fn is_long(&self) -> bool {
        matches!(self.kind, Kind::Ramp | Kind::Shift)
    }

    /// Times the usual at a moment, for what lasts for weeks.
    pub fn times_at(&self, time_us: i64) -> f64 {
        if !(self.start_us..self.end_us).contains(&time_us) {
            return 1.0;
        }
        match self.kind {
            Kind::Ramp => libm::pow(RAMP, ((time_us - self.start_us).div_euclid(DAY) + 1) as f64),
            Kind::Shift => self.times(),
            _ => 1.0,
        }
    }

    pub(crate) fn times(&self) -> f64 {
        match self.strength {
            Times(times) => f64::from(times),
            Events(_) | Fixed => 1.0,
        }
    }

    pub(crate) fn events(&self) -> u32 {
        match self.strength {
            Events(events) => events,
            Times(_) | Fixed => 1,
        }
    }
}

/// All that goes wrong in so many days, in the order of its beginning.
pub(crate) fn plan(seed: u64, world: &World, days: i64) -> Vec<Injection> {
    let mut all: Vec<Injection> = Vec::new();
    let mut reserved: Vec<usize> = Vec::new();
    // What lasts first: its principals are nobody else's target.
    let is_long = |line: &&Line| matches!(line.0, Kind::Ramp | Kind::Shift);
    for (at, line) in PLAN.iter().enumerate().filter(|(_, line)| is_long(line)) {
        let mut random = Random::stream(seed, Purpose::Plan, at as u64);
        for minutes in line.2 {
            for number in 0..line.3 as i64 {
                let day = LONG.0 + (LONG.1 - LONG.0) * number / line.3 as i64;
                if day + 7 >= days {
                    continue;
                }
                let start_us = start(day);
                let Some(who) = worker(world, start_us + 7 * DAY, &reserved, &mut random) else { continue };
                reserved.push(who);
                let end_us = if line.0 == Kind::Shift { start(days) } else { start_us + minutes * MINUTE };
                let strength = line.1.first().copied().unwrap_or(Fixed);
                all.push(Injection {
                    kind: line.0,
                    strength,
                    target: Target::Principal(who),
                    start_us,
                    end_us,
                });
            }
        }
    }
    for (at, line) in PLAN.iter().enumerate().filter(|(_, line)| !is_long(line)) {
        let mut random = Random::stream(seed, Purpose::Plan, at as u64);
        let mut left = days_of(line.0, days);
        for number in 0..line.3 {
            for (minutes, strength) in
                line.2.iter().flat_map(|minutes| line.1.iter().map(move |one| (minutes, one)))
            {
                if left.is_empty() {
                    continue;
                }
                let day = left.swap_remove(random.below(left.len()));
                all.extend(place(
                    world,
                    (line.0, *strength, *minutes),
                    (day, number),
                    &reserved,
                    &mut random,
                ));
            }
        }
    }
    all.sort_by_key(|one| (one.start_us, one.kind));
    all
}

/// Days on which one of a kind may begin: none on which something happens to everybody, and working days where people are needed.
fn days_of(kind: Kind, days: i64) -> Vec<i64> {
    let taken = [34, 35, 55, 56, HOLIDAY, RELEASE, RELEASE + 1, ONBOARDING, ONBOARDING + 1, BACKLOG];
    let at_work = [
        Kind::OffHours,
        Kind::NewNetwork,
        Kind::UnusualTool,
        Kind::UnusualDestination,
        Kind::UnapprovedWrite,
        Kind::SlowApproval,
        Kind::HastyApproval,
        Kind::SlowTool,
        Kind::Quarantine,
        Kind::OversizedOutput,
    ];
    let is_fit = |day: &i64| !taken.contains(day) && (!at_work.contains(&kind) || day.rem_euclid(7) < 5);
    (QUIET.min(days / 2)..days - 1).filter(is_fit).collect()
}

fn place(
    world: &World,
    (kind, strength, minutes): (Kind, Strength, i64),
    (day, number): (i64, usize),
    reserved: &[usize],
    random: &mut Random,
) -> Option<Injection> {
    let any_time =
        start(day) + (random.uniform() * (24.0 - minutes as f64 / 60.0).max(1.0) * HOUR as f64) as i64;
    // Between ten and four in Berlin and the small hours of New York.
    let at_work = start(day) + 9 * HOUR + (random.uniform() * 6.0 * HOUR as f64) as i64;
    let (start_us, target) = match kind {
        Kind::CallRate | Kind::Denials | Kind::Probing | Kind::AuthGuessing => {
            let start_us = any_time;
            (start_us, Target::Principal(worker(world, start_us, reserved, random)?))
        }
        Kind::OffHours => {
            let who = person(world, at_work, reserved, random)?;
            let zone = world.principals.get(who)?.zone;
            let until_night = (26.5 - zone.hour(at_work) + random.between(0.0, 1.5)).rem_euclid(24.0);
            (at_work + (until_night * HOUR as f64) as i64, Target::Principal(who))
        }
        Kind::NewNetwork
        | Kind::UnusualTool
        | Kind::UnusualDestination
        | Kind::UnapprovedWrite
        | Kind::SlowApproval
        | Kind::HastyApproval => (at_work, Target::Principal(person(world, at_work, reserved, random)?)),
        Kind::AuthSpray => {
            (any_time, Target::Address(Arc::from(format!("203.0.113.{}", 2 + random.below(250)))))
        }
        Kind::SlowTool | Kind::Quarantine | Kind::OversizedOutput => {
            let who = person(world, at_work, reserved, random)?;
            let of = world.workflows.get(*world.principals.get(who)?.workflows.first()?)?;
            let tools = of.tools.first()?;
            let is_usual = |tool: &&usize| world.tools.get(**tool).is_some_and(|tool| !tool.is_high_risk());
            (at_work, Target::Tool(*tools.iter().find(is_usual)?))
        }
        Kind::SilentSource => (at_work, Target::Source(number % world.sources.len())),
        Kind::Ramp | Kind::Shift => return None,
    };
    Some(Injection { kind, strength, target, start_us, end_us: start_us + minutes * MINUTE })
}

/// Somebody drawn in proportion to the usual work at a moment.
fn worker(world: &World, time_us: i64, reserved: &[usize], random: &mut Random) -> Option<usize> {
    let fit = |at: usize| {
        let one = world.principals.get(at).filter(|_| !reserved.contains(&at));
        one.filter(|one| one.class != Class::Timetable && one.from_us == start(0))
    };
    chosen(world, fit, time_us, random)
}

/// A person who keeps office hours, drawn in proportion to the usual work.
fn person(world: &World, time_us: i64, reserved: &[usize], random: &mut Random) -> Option<usize> {
    let fit = |at: usize| {
        let one = world.principals.get(at).filter(|_| !reserved.contains(&at));
        one.filter(|one| one.class == Class::Desk && one.weekend < 0.01 && one.from_us == start(0))
    };
    chosen(world, fit, time_us, random)
}

fn chosen<'a>(
    world: &'a World,
    fit: impl Fn(usize) -> Option<&'a crate::world::Principal>,
    time_us: i64,
    random: &mut Random,
) -> Option<usize> {
    let weight = |at: usize| fit(at).map_or(0.0, |one| calls_an_hour(one, time_us));
    let weights: Vec<f64> = (0..world.principals.len()).map(weight).collect();
    (weights.iter().sum::<f64>() > 0.0).then(|| random.weighted(&weights))
}
