//! Who acts in a session, and how it logged in.

use crate::event::{Decision, Event, Kind, push_hex, uuid_v7};
use crate::random::Random;
use crate::world::{Agent, Person, World};

/// Who a session belongs to; the same in each of its events.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Index in [`World::people`] and [`World::agents`].
    pub(crate) person: usize,
    pub(crate) agent: usize,
    pub(crate) session_id: String,
    pub(crate) credential_id: String,
    pub(crate) source_ip: String,
}

impl Identity {
    pub(crate) fn new(
        world: &World,
        person: usize,
        agent: usize,
        start_us: u64,
        random: &mut Random,
    ) -> Self {
        let mut session_id = String::from("ses-");
        push_hex(&mut session_id, u128::from(start_us / 1_000), 11);
        push_hex(&mut session_id, u128::from(random.next()), 7);
        let mut credential_id = String::from("cred-");
        let holder = ((person as u64) << 32) | agent as u64;
        push_hex(&mut credential_id, u128::from(Random::stream(0, 3, holder).next()), 12);
        let source_ip = world.people[person].source_ip.clone();
        Self { person, agent, session_id, credential_id, source_ip }
    }

    /// An event of this session with everything filled that does not depend on what is done.
    pub(crate) fn event<'a>(
        &'a self,
        world: &'a World,
        time_us: u64,
        kind: Kind,
        decision: Decision,
        status: &'static str,
        random: &mut Random,
    ) -> Event<'a> {
        let Agent { agent_id, workflow, environment, client, model, .. } = &world.agents[self.agent];
        let mut event = Event::bare(uuid_v7(time_us, random.next_u128()), time_us, kind, decision, status);
        event.environment = environment;
        event.user_id = Some(&world.people[self.person].user_id);
        event.agent_id = Some(agent_id);
        event.client = Some(client);
        event.model = *model;
        event.auth_method = Some("oauth2");
        event.credential_id = Some(&self.credential_id);
        event.source_ip = Some(&self.source_ip);
        event.session_id = Some(&self.session_id);
        event.workflow = Some(workflow);
        event
    }

    /// Adds what a gateway says once a connection, not again with each call.
    pub(crate) fn add_connection<'a>(&self, world: &'a World, event: &mut Event<'a>) {
        let Agent { user_agent, protocol_version, .. } = &world.agents[self.agent];
        event.user_agent = Some(user_agent);
        event.protocol_version = Some(protocol_version);
        event.transport = Some("streamable_http");
    }

    /// Adds what a login event says and other events do not.
    pub(crate) fn add_login<'a>(&self, world: &'a World, event: &mut Event<'a>) {
        let Person { country, .. } = &world.people[self.person];
        event.method = Some("login");
        event.issuer = Some(ISSUER);
        event.audience = Some(AUDIENCE);
        event.scopes = &["mcp.tools", "mcp.resources"];
        event.country = Some(country);
        self.add_connection(world, event);
    }
}

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://mcp.example.com";

/// Marks a login that was refused.
pub(crate) fn fail_login(event: &mut Event<'_>) {
    event.credential_id = None;
    event.scopes = &[];
    event.error_class = Some("auth");
    event.error_code = Some("invalid_grant");
    event.error_message = Some("the credentials were not accepted");
}
