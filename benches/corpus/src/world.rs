//! Who and what exists: people, agents, approvers and servers. Fixed before the first event.

use crate::catalog::{SERVERS, Server, Tool};
use crate::options::Options;
use crate::random::{Random, Zipf};

/// A human on whose behalf agents act.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user_id: String,
    pub(crate) source_ip: String,
    pub(crate) country: &'static str,
    /// Index in [`World::groups`]: the tenant, or in the demo's fleet the team.
    pub(crate) group: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) agent_id: String,
    pub(crate) group: usize,
    pub(crate) workflow: String,
    pub(crate) environment: &'static str,
    pub(crate) client: &'static str,
    pub(crate) user_agent: &'static str,
    /// Told by the clients of the 2026-07-28 era, which describe themselves in every request.
    pub(crate) model: Option<&'static str>,
    pub(crate) protocol_version: &'static str,
    pub(crate) propagates_traces: bool,
    /// Servers it works with (index in [`World::servers`]), most used first.
    pub(crate) servers: Vec<usize>,
}

/// The people and agents that work together, as indices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) people: Vec<usize>,
    pub(crate) agents: Vec<usize>,
    pub(crate) approvers: Vec<String>,
}

/// A server under the name it is deployed as.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) catalogue: &'static Server,
    /// (name, what it is), most used first.
    pub(crate) tools: Vec<(String, &'static Tool)>,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) people: Vec<Person>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) groups: Vec<Group>,
    pub(crate) servers: Vec<Deployed>,
    /// Agents take turns, so that each of a few works; else the popular ones work most.
    agents_take_turns: bool,
    people_law: Zipf,
    /// One law for each possible number of tools, servers or agents: index = number of ranks.
    laws: Vec<Zipf>,
}

/// (client, user agent, protocol version, propagates traces)
const CLIENTS: [(&str, &str, &str, bool); 5] = [
    ("helpdesk-host/4.2.1", "helpdesk-host/4.2.1 (linux; x86_64)", "2025-11-25", false),
    ("desk-assistant/1.18.0", "desk-assistant/1.18.0 (macos; arm64)", "2025-11-25", false),
    ("flow-runner/0.9.6", "flow-runner/0.9.6 (linux; arm64)", "2026-07-28", true),
    ("code-pilot/2.31.4", "code-pilot/2.31.4 (windows; x86_64)", "2026-07-28", true),
    ("batch-agent/3.0.2", "batch-agent/3.0.2 (linux; x86_64)", "2025-11-25", false),
];

const MODELS: [&str; 4] = ["large-2026-01", "medium-2026-01", "small-2025-10", "large-2025-09"];

const WORKFLOWS: [&str; 10] = [
    "answer-ticket",
    "triage-incident",
    "review-change",
    "weekly-report",
    "reconcile-invoices",
    "renew-account",
    "release-train",
    "access-review",
    "clean-storage",
    "plan-capacity",
];

const COUNTRIES: [&str; 5] = ["DE", "FR", "US", "IN", "PL"];
const VERSIONS: [&str; 4] = ["1.4.2", "2.0.1", "0.11.3", "3.2.0"];
const SERVERS_PER_AGENT: usize = 5;
const APPROVERS_PER_GROUP: usize = 6;
const RANKS_MAX: usize = 64;

impl World {
    /// Names from numbers; `options` must have passed [`Options::check`].
    pub(crate) fn numbered(options: &Options) -> Self {
        let mut random = Random::stream(options.seed, 2, 0);
        let tenants = options.tenants as usize;
        let mut groups = vec![Group::default(); tenants];
        for (tenant, group) in groups.iter_mut().enumerate() {
            group.approvers =
                (0..APPROVERS_PER_GROUP).map(|number| format!("lead-{tenant:02}{number:02}")).collect();
        }
        let people: Vec<Person> = (0..options.users as usize)
            .map(|number| {
                groups[number % tenants].people.push(number);
                Person {
                    user_id: format!("u-{number:04}"),
                    source_ip: office_address(&mut random),
                    country: random.pick(&COUNTRIES),
                    group: number % tenants,
                }
            })
            .collect();
        let servers = deploy(options.servers as usize, options.tools as usize);
        let server_law = Zipf::new(servers.len());
        let agents = (0..options.agents as usize)
            .map(|number| {
                groups[number % tenants].agents.push(number);
                let workflow = random.pick(&WORKFLOWS);
                let environment = match random.below(20) {
                    0..=15 => "prod",
                    16..=18 => "staging",
                    _ => "dev",
                };
                let servers = some_servers(&server_law, servers.len(), &mut random);
                agent(
                    format!("{workflow}-{number:03}"),
                    number % tenants,
                    workflow,
                    environment,
                    servers,
                    &mut random,
                )
            })
            .collect();
        Self::assemble(people, agents, groups, servers, false)
    }

    pub(crate) fn assemble(
        people: Vec<Person>,
        agents: Vec<Agent>,
        groups: Vec<Group>,
        servers: Vec<Deployed>,
        agents_take_turns: bool,
    ) -> Self {
        let people_law = Zipf::new(people.len());
        let laws = (0..=RANKS_MAX).map(|ranks| Zipf::new(ranks.max(1))).collect();
        Self { people, agents, groups, servers, agents_take_turns, people_law, laws }
    }

    /// The person and the agent of session `number`, of one group (indices of [`World::people`] and [`World::agents`]).
    pub(crate) fn pair(&self, number: u64, random: &mut Random) -> (usize, usize) {
        if self.agents_take_turns {
            let agent = (number % self.agents.len() as u64) as usize;
            let people = &self.groups[self.agents[agent].group].people;
            return (people[self.rank(people.len(), random)], agent);
        }
        let person = self.people_law.draw(random);
        let agents = &self.groups[self.people[person].group].agents;
        (person, agents[self.rank(agents.len(), random)])
    }

    /// A rank below `ranks` (at least 1) by Zipf's law; past the table it is repeated, each repeat as likely.
    pub(crate) fn rank(&self, ranks: usize, random: &mut Random) -> usize {
        if ranks <= RANKS_MAX {
            return self.laws[ranks].draw(random);
        }
        let repeat = random.below(ranks.div_ceil(RANKS_MAX) as u64) as usize;
        (repeat * RANKS_MAX + self.laws[RANKS_MAX].draw(random)) % ranks
    }
}

/// An agent whose client and model are drawn.
pub(crate) fn agent(
    agent_id: String,
    group: usize,
    workflow: &str,
    environment: &'static str,
    servers: Vec<usize>,
    random: &mut Random,
) -> Agent {
    let (client, user_agent, protocol_version, propagates_traces) =
        CLIENTS[random.below(CLIENTS.len() as u64) as usize];
    let model = random.pick(&MODELS);
    let model = propagates_traces.then_some(model);
    let workflow = workflow.to_owned();
    Agent {
        agent_id,
        group,
        workflow,
        environment,
        client,
        user_agent,
        model,
        protocol_version,
        propagates_traces,
        servers,
    }
}

/// An address of the office networks, 10.0.0.0/12.
pub(crate) fn office_address(random: &mut Random) -> String {
    format!("10.{}.{}.{}", random.below(16), random.below(256), 1 + random.below(254))
}

/// The first `count` servers with at most `tools_max` tools each, the catalogue repeated under numbered names.
pub(crate) fn deploy(count: usize, tools_max: usize) -> Vec<Deployed> {
    (0..count)
        .map(|number| {
            let catalogue = &SERVERS[number % SERVERS.len()];
            let name = match number / SERVERS.len() {
                0 => catalogue.name.to_owned(),
                round => format!("{}-{}", catalogue.name, round + 1),
            };
            // Beyond eight, a server's tools come again as later versions.
            let offered = if tools_max > 8 { tools_max } else { tools_max.min(catalogue.tools.len()) };
            let tools = (0..offered)
                .map(|place| {
                    let tool = &catalogue.tools[place % catalogue.tools.len()];
                    let name = match place / catalogue.tools.len() {
                        0 => tool.name.to_owned(),
                        round => format!("{}_v{}", tool.name, round + 1),
                    };
                    (name, tool)
                })
                .collect();
            Deployed { name, version: VERSIONS[number % VERSIONS.len()], catalogue, tools }
        })
        .collect()
}

/// A few different servers, the popular ones more often.
fn some_servers(law: &Zipf, count: usize, random: &mut Random) -> Vec<usize> {
    let wanted = SERVERS_PER_AGENT.min(count);
    let mut chosen: Vec<usize> = Vec::with_capacity(wanted);
    while chosen.len() < wanted {
        let server = law.draw(random);
        if !chosen.contains(&server) {
            chosen.push(server);
        }
    }
    chosen
}
