//! Who is at the two ends, as far as flags and messages say.

use crate::definition::Tools;
use crate::event::{Event, Short};
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
    /// Columns that flags set.
    given: Vec<(&'static str, Short)>,
    transport: &'static str,
    is_session_given: bool,
    is_server_given: bool,
    session: Short,
    client: Option<Short>,
    server: Option<Short>,
    server_version: Option<Short>,
    protocol_version: Option<Short>,
    seen_with: Vec<(&'static str, Short)>,
    /// What the server's tools are.
    pub tools: Tools,
}

impl Identity {
    /// Nothing yet but what is given; the session is called `session` unless that is given too.
    pub fn new(given: Given, session: &str) -> Identity {
        let Given { server, program, user, agent, session: own, environment, transport } = given;
        let columns = [("user_id", user), ("agent_id", agent), ("environment", environment)];
        let columns =
            columns.into_iter().filter_map(|(key, value)| Some((key, Short::new(value.as_deref()?))));
        Identity {
            given: columns.collect(),
            transport,
            is_session_given: own.is_some(),
            is_server_given: server.is_some(),
            session: Short::new(own.as_deref().unwrap_or(session)),
            client: None,
            server: server.as_deref().or(program.as_deref()).map(Short::new),
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
            let whole = version.map_or_else(|| name.clone(), |version| format!("{name}/{version}"));
            self.client = Some(Short::new(&whole));
        }
        self.protocol_version = version.as_deref().map(Short::new).or(self.protocol_version.take());
    }

    /// From a result.
    pub fn learn_result(&mut self, method: &str, result: &Members<'_>) {
        let (info, version) = if method == "initialize" {
            (result.object("serverInfo"), result.text("protocolVersion"))
        } else {
            (result.object("_meta").and_then(|meta| meta.object(SERVER_INFO)), None)
        };
        if let Some((name, version)) = info.and_then(|info| name_and_version(&info)) {
            if !self.is_server_given {
                self.server = Some(Short::new(&name));
            }
            self.server_version = version.as_deref().map(Short::new);
        }
        self.protocol_version = version.as_deref().map(Short::new).or(self.protocol_version.take());
    }

    /// Names the session, where the transport knows it.
    pub fn in_session(&mut self, session: &str) {
        if !self.is_session_given {
            self.session = Short::new(session);
        }
    }

    /// The protocol's version, where the transport says it.
    pub fn in_version(&mut self, version: &str) {
        self.protocol_version = Some(Short::new(version));
    }

    /// Columns and attributes of what is seen from now on, where the transport gives them.
    pub fn seen_with(&mut self, seen: Vec<(&'static str, String)>) {
        self.seen_with = seen.into_iter().map(|(key, value)| (key, Short::new(&value))).collect();
    }

    /// Writes it into an event.
    pub fn write(&self, event: &mut Event) {
        event.text("observer", "tap").text("transport", self.transport);
        let session = Some(&self.session).filter(|session| !session.as_str().is_empty());
        for (key, value) in [
            ("session_id", session),
            ("server", self.server.as_ref()),
            ("server_version", self.server_version.as_ref()),
            ("client", self.client.as_ref()),
            ("protocol_version", self.protocol_version.as_ref()),
        ] {
            if let Some(value) = value {
                event.short(key, value);
            }
        }
        for (key, value) in self.given.iter().chain(&self.seen_with) {
            event.short(key, value);
        }
    }
}

fn name_and_version(info: &Members<'_>) -> Option<(String, Option<String>)> {
    let name = info.text("name").filter(|name| !name.is_empty())?;
    Some((name, info.text("version").filter(|version| !version.is_empty())))
}
