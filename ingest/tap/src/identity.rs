//! Who is at the two ends, as far as flags and messages say.

use crate::definition::Tools;
use crate::event::Event;
use crate::message::{Members, Params};

/// Key of the client's name and version in the `_meta` of a request.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Key of the server's name and version in the `_meta` of a result.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Key of the protocol's version in the `_meta` of a request.
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What is given by whoever started the tap.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Name of the server, instead of what it calls itself.
    pub server: Option<String>,
    /// The program that is wrapped: names the server until it has said what it is.
    pub program: Option<String>,
    /// On whose behalf.
    pub user: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The session, instead of one for each connection.
    pub session: Option<String>,
    /// `prod`, `staging`, `dev`.
    pub environment: Option<String>,
    /// `stdio`, `http`.
    pub transport: &'static str,
}

/// What one connection knows.
#[derive(Debug)]
pub struct Identity {
    given: Given,
    session: String,
    client: Option<String>,
    server: Option<String>,
    server_version: Option<String>,
    protocol_version: Option<String>,
    seen_with: Vec<(&'static str, String)>,
    /// What the server's tools are.
    pub tools: Tools,
}

impl Identity {
    /// Nothing yet but what is given; the session is called `session` unless that is given too.
    pub fn new(given: Given, session: &str) -> Identity {
        let session = given.session.clone().unwrap_or_else(|| session.to_string());
        Identity {
            given,
            session,
            client: None,
            server: None,
            server_version: None,
            protocol_version: None,
            seen_with: Vec::new(),
            tools: Tools::default(),
        }
    }

    /// From a request: `initialize`, or `_meta` where there is no such handshake.
    pub fn learn_request(&mut self, method: &str, params: &Params<'_>) {
        let (info, version) = if method == "initialize" {
            (params.members.object("clientInfo"), params.members.text("protocolVersion"))
        } else {
            (params.meta.object(CLIENT_INFO), params.meta.text(PROTOCOL_VERSION))
        };
        if let Some((name, version)) = info.and_then(|info| name_and_version(&info)) {
            self.client = Some(version.map_or_else(|| name.clone(), |version| format!("{name}/{version}")));
        }
        self.protocol_version = version.or(self.protocol_version.take());
    }

    /// From a result.
    pub fn learn_result(&mut self, method: &str, result: &Members<'_>) {
        let (info, version) = if method == "initialize" {
            (result.object("serverInfo"), result.text("protocolVersion"))
        } else {
            (result.object("_meta").and_then(|meta| meta.object(SERVER_INFO)), None)
        };
        if let Some((name, version)) = info.and_then(|info| name_and_version(&info)) {
            self.server = Some(name);
            self.server_version = version;
        }
        self.protocol_version = version.or(self.protocol_version.take());
    }

    /// Names the session, where the transport knows it.
    pub fn in_session(&mut self, session: &str) {
        if self.given.session.is_none() {
            self.session = session.to_string();
        }
    }

    /// The protocol's version, where the transport says it.
    pub fn in_version(&mut self, version: &str) {
        self.protocol_version = Some(version.to_string());
    }

    /// Columns and attributes of what is seen from now on, where the transport gives them.
    pub fn seen_with(&mut self, seen: Vec<(&'static str, String)>) {
        self.seen_with = seen;
    }

    /// Writes it into an event.
    pub fn write(&self, event: &mut Event) {
        let Given { server, program, user, agent, environment, transport, .. } = &self.given;
        event.text("observer", "tap").text("transport", transport);
        event.optional("session_id", Some(self.session.as_str()).filter(|session| !session.is_empty()));
        let server = server.as_ref().or(self.server.as_ref()).or(program.as_ref());
        for (key, value) in [
            ("server", server),
            ("server_version", self.server_version.as_ref()),
            ("client", self.client.as_ref()),
            ("protocol_version", self.protocol_version.as_ref()),
            ("user_id", user.as_ref()),
            ("agent_id", agent.as_ref()),
            ("environment", environment.as_ref()),
        ] {
            event.optional(key, value.map(String::as_str));
        }
        for (key, value) in &self.seen_with {
            event.text(key, value);
        }
    }
}

fn name_and_version(info: &Members<'_>) -> Option<(String, Option<String>)> {
    let name = info.text("name").filter(|name| !name.is_empty())?;
    Some((name, info.text("version").filter(|version| !version.is_empty())))
}
