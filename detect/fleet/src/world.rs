//! Who and what is there: tools, workflows, sources, principals. All of it is drawn once, from the seed.

use std::sync::Arc;

use crate::calendar::{DAY, HOUR, ONBOARDING, Zone, start};
use crate::catalog::{ROLES, SERVERS, ToolKind};
use crate::random::{Purpose, Random, pareto_mean};
use crate::rate::calls_an_hour;
use crate::session::denials_of_call;

/// A name that many events share.
pub type Name = Arc<str>;

/// Calls of one turn are never more.
pub(crate) const TURN_CALLS: u64 = 300;
/// Sources by place: a gateway a zone, the identity provider, and one that observes hosts.
pub(crate) const IDENTITY_PROVIDER: usize = 3;
const SOURCES: [&str; 5] = ["gateway-eu/1.4", "gateway-us/1.4", "gateway-in/1.4", "idp/3.1", "host-tap/0.9"];
const ZONES: [Zone; 3] = [Zone::Berlin, Zone::NewYork, Zone::Kolkata];
/// Destinations that a workflow knows.
pub(crate) const DESTINATIONS: usize = 80;

/// What kind of principal one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A person's agent, in office hours.
    Desk,
    /// The same, and on the road most weeks.
    Roaming,
    /// The same in shifts that change each week: early, late, night.
    Shift,
    /// An agent that serves round the clock.
    Service,
    /// An agent that runs by a timetable.
    Timetable,
}

/// A tool as it is deployed.
#[derive(Debug)]
pub struct Tool {
    pub server: Name,
    pub capability: Name,
    /// Hash of its definition, before and after the release.
    pub(crate) hashes: [Name; 2],
    pub(crate) kind: &'static ToolKind,
    /// Share of its outputs that are quarantined.
    pub(crate) quarantine: f64,
}

impl Tool {
    /// Whether policy asks for an approval first.
    pub(crate) fn is_high_risk(&self) -> bool {
        self.kind.action != "read" && matches!(self.kind.risk, "high" | "critical")
    }
}

/// What an agent is asked to do.
#[derive(Debug)]
pub(crate) struct Workflow {
    pub name: Name,
    /// Places of its tools, most used first; before and after the release.
    pub tools: [Vec<usize>; 2],
    /// What its known destinations are hashed from.
    pub salt: u64,
}

/// One whose calls are counted together.
#[derive(Debug)]
pub struct Principal {
    pub class: Class,
    pub agent_id: Option<Name>,
    pub user_id: Option<Name>,
    pub zone: Zone,
    pub(crate) role: usize,
    pub(crate) workflows: Vec<usize>,
    pub(crate) source: usize,
    pub(crate) client: [Name; 2],
    pub(crate) user_agent: [Name; 2],
    pub(crate) credential_id: Name,
    pub(crate) environment: &'static str,
    /// Sessions of a day of work.
    pub(crate) sessions: f64,
    /// Turns that a turn leads to, and after how many seconds on average.
    pub(crate) branching: f64,
    pub(crate) reply_s: f64,
    /// Calls of a turn: tail index and least number.
    pub(crate) alpha: f64,
    pub(crate) turn_least: u64,
    /// Local hours between which it works.
    pub(crate) hours: (f64, f64),
    /// Share of a working day's work that is done on a free day.
    pub(crate) weekend: f64,
    /// For [`Class::Timetable`]: how often it runs, and when after the full period.
    pub(crate) every: i64,
    pub(crate) phase: i64,
    /// Chance that a call begins a row of denials.
    pub(crate) denial: f64,
    /// From when to when it is there.
    pub from_us: i64,
    pub until_us: i64,
}

impl Principal {
    /// Whose calls the engine counts: the agent, else the user.
    pub fn id(&self) -> &str {
        self.agent_id.as_deref().or(self.user_id.as_deref()).unwrap_or_default()
    }

    /// Calls of a session on average.
    pub(crate) fn calls_of_session(&self) -> f64 {
        pareto_mean(self.alpha, self.turn_least, TURN_CALLS) / (1.0 - self.branching)
    }

    /// Calls that it makes from one day to another on average, by the law of the fleet.
    pub fn calls(&self, from_day: i64, to_day: i64) -> f64 {
        let quarters = (to_day - from_day) * 96;
        (0..quarters).map(|quarter| calls_an_hour(self, start(from_day) + quarter * HOUR / 4) / 4.0).sum()
    }

    /// Calls and denied calls an hour on average, at a moment.
    pub fn rates(&self, time_us: i64) -> (f64, f64) {
        let calls = calls_an_hour(self, time_us);
        (calls, calls * denials_of_call(self))
    }

    pub(crate) fn is_machine(&self) -> bool {
        matches!(self.class, Class::Service | Class::Timetable)
    }
}

/// All that is drawn once.
#[derive(Debug)]
pub struct World {
    pub tools: Vec<Tool>,
    pub principals: Vec<Principal>,
    pub sources: Vec<Name>,
    pub(crate) workflows: Vec<Workflow>,
    /// Approvers of each role.
    pub(crate) approvers: Vec<Vec<Name>>,
    /// Median wait for an approval of each role, in seconds.
    pub(crate) waits_s: Vec<f64>,
}

impl World {
    pub(crate) fn new(seed: u64, principals: usize, days: i64) -> World {
        let mut random = Random::stream(seed, Purpose::World, 0);
        let mut tools = Vec::new();
        let mut of_server = Vec::new();
        for (server, kinds) in &SERVERS {
            let server: Name = Arc::from(*server);
            let quarantine = random.lognormal(0.002, 0.7);
            of_server.push((tools.len()..tools.len() + kinds.len()).collect::<Vec<_>>());
            for kind in *kinds {
                let hash = random.next();
                // A release changes the definitions of a fifth of the tools.
                let after = if random.chance(0.2) { random.next() } else { hash };
                tools.push(Tool {
                    server: Arc::clone(&server),
                    capability: Arc::from(kind.name),
                    hashes: [hash, after].map(|hash| Arc::from(format!("{hash:016x}"))),
                    kind,
                    quarantine,
                });
            }
        }
        let mut workflows = Vec::new();
        for (_, servers, names) in &ROLES {
            let of_role: Vec<usize> = servers
                .iter()
                .flat_map(|server| of_server.get(*server).into_iter().flatten())
                .copied()
                .collect();
            for name in names {
                let before = some(&of_role, 5 + random.below(4), &mut random);
                let mut after = before.clone();
                let is_changed = random.chance(0.4);
                if is_changed {
                    after.extend(some(&of_role, 1, &mut random));
                    let (one, other) = (random.below(3), random.below(after.len()));
                    after.swap(one, other);
                }
                let salt = random.next();
                workflows.push(Workflow { name: Arc::from(*name), tools: [before, after], salt });
            }
        }
        let approvers =
            ROLES.iter().map(|(role, ..)| (0..5).map(|n| Arc::from(format!("lead-{role}-{n}"))).collect());
        let waits_s = ROLES.iter().map(|_| random.lognormal(240.0, 0.5)).collect();
        World {
            tools,
            workflows,
            approvers: approvers.collect(),
            waits_s,
            sources: SOURCES.iter().map(|name| Arc::from(*name)).collect(),
            principals: (0..principals).map(|at| principal(seed, at, principals, days)).collect(),
        }
    }
}

/// Some of `of`, each once, in an order of their own.
fn some(of: &[usize], count: usize, random: &mut Random) -> Vec<usize> {
    let mut left = of.to_vec();
    let mut taken = Vec::new();
    while taken.len() < count && !left.is_empty() {
        taken.push(left.swap_remove(random.below(left.len())));
    }
    taken
}

fn class(at: usize, of: usize) -> Class {
    // The same shares whatever the number.
    match at * 100 / of.max(1) {
        0..=62 => Class::Desk,
        63..=69 => Class::Roaming,
        70..=75 => Class::Shift,
        76..=87 => Class::Service,
        _ => Class::Timetable,
    }
}

fn principal(seed: u64, at: usize, of: usize, days: i64) -> Principal {
    let mut random = Random::stream(seed, Purpose::Principals, at as u64);
    let class = class(at, of);
    let place = random.weighted(&[0.45, 0.35, 0.2]);
    let zone = ZONES.get(place).copied().unwrap_or(Zone::Berlin);
    let role = random.below(ROLES.len());
    let own = 1 + random.below(3);
    let workflows = some(&[3 * role, 3 * role + 1, 3 * role + 2], own, &mut random);
    let is_machine = matches!(class, Class::Service | Class::Timetable);
    let name = match class {
        Class::Service => format!("service-{at:03}"),
        Class::Timetable => format!("job-{at:03}"),
        _ => format!("assistant-{at:03}"),
    };
    // A tenth of the people have a client that names no agent.
    let agent_id = (is_machine || !random.chance(0.1)).then(|| Arc::from(name));
    let user_id: Option<Name> = (!is_machine).then(|| Arc::from(format!("u-{at:03}")));
    let product = if is_machine {
        "flow-runner"
    } else {
        ["desk-assistant", "code-pilot", "helpdesk"][random.below(3)]
    };
    let platform = ["linux", "macos", "windows"][if is_machine { 0 } else { random.below(3) }];
    let client = ["4.2", "4.3"].map(|version| Arc::from(format!("{product}/{version}")));
    let user_agent = ["4.2", "4.3"].map(|version| Arc::from(format!("{product}/{version} ({platform})")));
    let begins = random.between(7.5, 9.75);
    let (sessions, branching, reply_s, turn_least) = match class {
        Class::Service => {
            (random.lognormal(35.0, 0.7), random.between(0.5, 0.75), random.between(60.0, 400.0), 1)
        }
        Class::Timetable => {
            (1.0, random.between(0.1, 0.4), random.between(20.0, 90.0), 4 + random.below(12) as u64)
        }
        _ => (random.lognormal(4.5, 0.6), random.between(0.4, 0.65), random.between(150.0, 600.0), 3),
    };
    let every = [15 * 60, 3_600, 3_600, 6 * 3_600, 24 * 3_600][random.below(5)] * crate::calendar::SECOND;
    let is_late = at % 20 == 7;
    let joins = ONBOARDING * DAY + (8 * HOUR);
    let from_us = if is_late { start(0) + joins + (random.uniform() * 30.0) as i64 * HOUR } else { start(0) };
    let leaves = !is_late && random.chance(0.04) && days > 30;
    let until_us = if leaves { start(20 + random.below(days as usize - 24) as i64) } else { start(days) };
    Principal {
        class,
        agent_id,
        user_id,
        zone,
        role,
        workflows,
        // One in twelve is seen on its host and not at a gateway.
        source: if random.chance(1.0 / 12.0) { 4 } else { place },
        client,
        user_agent,
        credential_id: Arc::from(format!("cred-{:012x}", random.next() >> 16)),
        environment: if random.chance(0.85) { "prod" } else { "staging" },
        sessions: sessions.min(400.0),
        branching,
        reply_s,
        alpha: random.between(1.7, 2.6),
        turn_least,
        hours: (begins, begins + random.between(7.5, 9.5)),
        weekend: if random.chance(0.3) { random.between(0.02, 0.2) } else { 0.005 },
        every,
        phase: random.below(every as usize) as i64,
        denial: random.lognormal(0.003, 0.7).min(0.03),
        from_us,
        until_us,
    }
}
