//! The demo's fleet: twelve agents of three teams over two hours, and an incident in the last minutes.

use crate::calendar::{HOUR_US, MINUTE_US, TIME_US_MAX};
use crate::catalog::{
    CALENDAR, CRM, DEPLOY, INCIDENT, KNOWLEDGE, MESSAGING, METRICS, PAYMENTS, REPOSITORY, SERVERS, STORAGE,
    WAREHOUSE,
};
use crate::event::Kind;
use crate::events::Events;
use crate::options::{Error, Options};
use crate::random::Random;
use crate::season::Season;
use crate::world::{Group, Person, World, agent, deploy, office_address};

mod incident;

use incident::{Incident, Planted};

/// One thing that happens in the incident, to be told to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// When it begins, microseconds since 1970 in UTC.
    pub time_us: u64,
    /// A sentence, lower-case, without full stop.
    pub what: String,
    /// `event_id` of the event that shows it (of several, the first).
    pub event_id: String,
}

/// Two hours of a fleet up to now, with an incident in them.
#[derive(Debug, Clone)]
pub struct Script {
    lines: Vec<String>,
    story: Vec<Beat>,
    planted: Planted,
    incident_session: String,
    incident_credential: String,
    incident_agent: String,
}

/// Length of the script.
pub const SPAN_US: u64 = 2 * HOUR_US;

/// Window over which the incident's agent is denied more than a fifth of its calls.
const DENIALS_WINDOW_US: u64 = 15 * MINUTE_US;

impl Script {
    /// The script that ends just before `now_us` (microseconds since 1970 in UTC).
    ///
    /// # Errors
    /// When `now_us` is less than two hours after 1970 or past the year 9999.
    pub fn new(seed: u64, now_us: u64) -> Result<Self, Error> {
        if !(SPAN_US..TIME_US_MAX).contains(&now_us) {
            return Err(Error::Range {
                option: "now_us",
                value: now_us,
                least: SPAN_US,
                most: TIME_US_MAX - 1,
            });
        }
        let mut events = Events::in_world(&ordinary_work(seed, now_us), roster(seed));
        let mut timed: Vec<(u64, String)> = Vec::new();
        let mut calls_in_window = 0;
        loop {
            let mut line = String::with_capacity(1_024);
            let Some(facts) = events.push_next(&mut line) else { break };
            line.pop();
            let by_agent = facts.kind == Kind::Call && facts.agent as usize == INCIDENT_AGENT;
            calls_in_window += u64::from(by_agent && facts.time_us + DENIALS_WINDOW_US >= now_us);
            timed.push((facts.time_us, line));
        }
        let world = events.world();
        let incident = Incident::play(world, seed, now_us, calls_in_window);
        timed.extend(incident.lines);
        timed.sort_by_key(|(time_us, _)| *time_us);
        Ok(Self {
            lines: timed.into_iter().map(|(_, line)| line).collect(),
            story: incident.story,
            planted: incident.planted,
            incident_session: incident.session_id,
            incident_credential: incident.credential_id,
            incident_agent: world.agents[INCIDENT_AGENT].agent_id.clone(),
        })
    }

    /// Every event as one line of JSON without line end, in time order.
    pub fn events(&self) -> &[String] {
        &self.lines
    }

    /// `session_id` of the session that goes wrong.
    pub fn incident_session(&self) -> &str {
        &self.incident_session
    }

    /// `credential_id` that is revoked and used again.
    pub fn incident_credential(&self) -> &str {
        &self.incident_credential
    }

    /// `agent_id` that goes wrong.
    pub fn incident_agent(&self) -> &str {
        &self.incident_agent
    }

    /// The access key that one argument carries and that must be nowhere on disk.
    pub fn secret(&self) -> &str {
        &self.planted.access_key_id
    }

    /// The pass phrase beside [`Script::secret`], in the field `password`.
    pub fn password(&self) -> &str {
        &self.planted.password
    }

    /// The incident, told in order.
    pub fn story(&self) -> &[Beat] {
        &self.story
    }
}

fn ordinary_work(seed: u64, now_us: u64) -> Options {
    let events = 2_600 + Random::stream(seed, 6, 0).below(800);
    Options {
        events,
        sessions: events / 26,
        seed,
        start_us: now_us - SPAN_US,
        span_us: SPAN_US,
        season: Season::Flat,
        ..Options::default()
    }
}

struct Team {
    people: [&'static str; 4],
    approvers: [&'static str; 2],
    /// (agent, workflow, servers it works with)
    agents: [(&'static str, &'static str, &'static [usize]); 4],
}

/// Places of the incident's agent and of its user in the roster.
const INCIDENT_AGENT: usize = 3;
const INCIDENT_PERSON: usize = 0;

const TEAMS: [Team; 3] = [
    Team {
        people: ["dana.reyes", "jonas.weber", "mei.lin", "omar.haddad"],
        approvers: ["grace.moreau", "felix.stone"],
        agents: [
            ("inbox-drafter", "answer-ticket", &[CRM, KNOWLEDGE, MESSAGING]),
            ("renewal-desk", "renew-account", &[CRM, CALENDAR, PAYMENTS]),
            ("knowledge-gardener", "tidy-articles", &[KNOWLEDGE, MESSAGING]),
            ("refund-triage", "resolve-billing", &[PAYMENTS, CRM, KNOWLEDGE]),
        ],
    },
    Team {
        people: ["priya.nair", "lukas.brandt", "sofia.rossi", "tom.becker"],
        approvers: ["nadia.karim", "henrik.olsen"],
        agents: [
            ("incident-scribe", "triage-incident", &[INCIDENT, MESSAGING, METRICS]),
            ("release-pilot", "release-train", &[REPOSITORY, DEPLOY, METRICS]),
            ("log-reader", "explain-failure", &[DEPLOY, METRICS, REPOSITORY]),
            ("oncall-helper", "answer-page", &[METRICS, INCIDENT, KNOWLEDGE, DEPLOY]),
        ],
    },
    Team {
        people: ["ana.silva", "karl.jensen", "yuki.tanaka", "ravi.menon"],
        approvers: ["marta.kowalska", "ben.okafor"],
        agents: [
            ("report-builder", "weekly-report", &[WAREHOUSE, STORAGE, MESSAGING]),
            ("query-helper", "explore-data", &[WAREHOUSE, KNOWLEDGE]),
            ("export-steward", "export-data", &[STORAGE, WAREHOUSE]),
            ("quality-watch", "check-quality", &[WAREHOUSE, INCIDENT, METRICS]),
        ],
    },
];

fn roster(seed: u64) -> World {
    let mut random = Random::stream(seed, 7, 0);
    let (mut people, mut agents, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for (number, team) in TEAMS.iter().enumerate() {
        let mut group = Group { approvers: team.approvers.map(str::to_owned).to_vec(), ..Group::default() };
        for name in team.people {
            group.people.push(people.len());
            let source_ip = office_address(&mut random);
            people.push(Person { user_id: name.to_owned(), source_ip, country: "DE", group: number });
        }
        for (name, workflow, servers) in team.agents {
            group.agents.push(agents.len());
            agents.push(agent(name.to_owned(), number, workflow, "prod", servers.to_vec(), &mut random));
        }
        groups.push(group);
    }
    World::assemble(people, agents, groups, deploy(SERVERS.len(), 8), true)
}

#[cfg(test)]
mod tests;
