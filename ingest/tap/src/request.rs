//! What a request asks for, as an event's columns have it.

use crate::event::{Event, quote};
use crate::message::{Id, Members, Params, key, text};

/// A request that has no reply yet.
#[derive(Debug)]
pub struct Request {
    /// Its id.
    pub id: Id,
    /// The number that it is to some peers.
    pub id_number: Option<f64>,
    /// What is asked for.
    pub method: String,
    /// Columns that its method and parameters give.
    pub columns: Vec<(&'static str, String)>,
    /// Arguments, JSON text.
    pub arguments: Option<String>,
    /// What else is in the parameters and should not be lost: name of an attribute, JSON text.
    pub others: Vec<(&'static str, String)>,
    /// Name of the tool, for its definition.
    pub tool: Option<String>,
    /// Under which progress is told.
    pub progress_token: Option<String>,
    /// With which the server said that it needs more for this call, in the round before.
    pub request_state: Option<String>,
    /// Bytes of the message.
    pub bytes: usize,
    /// Whether a key stood twice in it.
    pub has_repeated: bool,
}

impl Request {
    /// Reads a request of `bytes` bytes.
    pub fn new(id: Id, method: String, params: &Params<'_>, bytes: usize) -> Request {
        let mut request = Request {
            id_number: id.number(),
            id,
            columns: Vec::new(),
            arguments: None,
            others: Vec::new(),
            tool: None,
            progress_token: params.meta.get("progressToken").map(|token| key(token).into_owned()),
            request_state: params.members.text("requestState").map(|state| key(&state).into_owned()),
            bytes,
            has_repeated: params.has_repeated,
            method,
        };
        request.read(params);
        request.trace(params);
        request
    }

    fn read(&mut self, params: &Params<'_>) {
        let members = &params.members;
        let whole = || params.json.map(str::to_string);
        match self.method.as_str() {
            "tools/call" => {
                let name = members.text("name");
                self.column("capability_type", Some("tool".to_string()));
                self.column("capability", name.clone());
                self.arguments = members.get("arguments").map(str::to_string);
                self.tool = name.map(|name| key(&name).into_owned());
                self.other("input_responses", members.get("inputResponses"));
                self.other("task", members.get("task"));
                self.rest(members, &["name"], &["arguments", "inputResponses", "task"]);
            }
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                self.column("capability_type", Some("resource".to_string()));
                let uri = members.text("uri");
                if self.method == "resources/read" {
                    self.column("capability", uri.clone());
                }
                self.column("target", uri);
                self.other("input_responses", members.get("inputResponses"));
                self.rest(members, &["uri"], &["inputResponses"]);
            }
            "prompts/get" => {
                self.column("capability_type", Some("prompt".to_string()));
                self.column("capability", members.text("name"));
                self.arguments = members.get("arguments").map(str::to_string);
                self.other("input_responses", members.get("inputResponses"));
                self.rest(members, &["name"], &["arguments", "inputResponses"]);
            }
            "completion/complete" => {
                let reference = members.object("ref").unwrap_or_default();
                let is_prompt = reference.text("type").as_deref() == Some("ref/prompt");
                self.column(
                    "capability_type",
                    Some(if is_prompt { "prompt" } else { "resource" }.to_string()),
                );
                self.column("capability", reference.text("name").or_else(|| reference.text("uri")));
                self.arguments = whole();
            }
            "sampling/createMessage" => {
                self.column("capability_type", Some("sampling".to_string()));
                self.arguments = whole();
            }
            "elicitation/create" => {
                self.column("capability_type", Some("elicitation".to_string()));
                self.arguments = whole();
            }
            method if method.starts_with("tasks/") => {
                self.column("capability_type", Some("task".to_string()));
                self.column("target", members.text("taskId"));
                self.arguments = whole();
            }
            "initialize" | "server/discover" => {
                self.column("capability_type", Some("server".to_string()));
                self.arguments = whole();
            }
            _ => self.arguments = whole(),
        }
    }

    /// W3C trace context, where a client sends it.
    fn trace(&mut self, params: &Params<'_>) {
        let Some(parent) = params.meta.text("traceparent") else { return };
        let mut parts = parent.split('-').skip(1);
        let part = |part: Option<&str>, length| {
            part.filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .map(str::to_string)
        };
        let (trace, span) = (part(parts.next(), 32), part(parts.next(), 16));
        self.column("trace_id", trace);
        self.column("span_id", span);
    }

    fn column(&mut self, name: &'static str, value: Option<String>) {
        self.columns.extend(value.map(|value| (name, value)));
    }

    fn other(&mut self, name: &'static str, json: Option<&str>) {
        self.others.extend(json.map(|json| (name, json.to_string())));
    }

    /// Keeps what has no column and no name of its own here: all but these texts and these values.
    fn rest(&mut self, members: &Members<'_>, texts: &[&str], values: &[&str]) {
        let mut rest = members.last_values();
        rest.retain(|key, json| {
            let is_kept = (texts.contains(key) && text(json).is_some()) || values.contains(key);
            !is_kept && *json != "null"
        });
        if rest.is_empty() {
            return;
        }
        let mut json = String::from("{");
        for (key, value) in rest {
            if json.len() > 1 {
                json.push(',');
            }
            quote(&mut json, key);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        self.other("params_other", Some(&json));
    }

    /// Bytes that it holds while it waits: every text of it, what finds it by its id and its token, and itself.
    pub fn held_bytes(&self) -> usize {
        let keys = [&self.progress_token, &self.request_state, &self.tool];
        let keys: usize = keys.into_iter().flatten().map(String::len).sum();
        let columns: usize = self.columns.iter().map(|(_, value)| value.len()).sum();
        let others: usize = self.others.iter().map(|(_, value)| value.len()).sum();
        let texts = self.method.len() + self.arguments.as_ref().map_or(0, String::len);
        size_of::<Request>() + texts + columns + others + 2 * (self.id.as_text().len() + keys)
    }

    /// What kind of record it makes; none to leave that to the recorder, which tells it from the method.
    fn kind(&self) -> Option<&'static str> {
        match self.method.as_str() {
            "roots/list" => Some("list"),
            "logging/setLevel" => Some("config"),
            _ => None,
        }
    }

    /// Writes it into an event.
    pub fn write(&self, event: &mut Event) {
        event.text("method", &self.method).text("request_id", self.id.as_text());
        event.optional("kind", self.kind());
        for (name, value) in &self.columns {
            event.text(name, value);
        }
        if let Some(arguments) = &self.arguments {
            event.value("arguments", arguments);
        }
        for (name, value) in &self.others {
            event.value(name, value);
        }
        event.count("request_bytes", self.bytes as u64);
        event.flag("request_has_repeated_keys", self.has_repeated);
        event.flag("request_id_is_number", matches!(self.id, Id::Number(_)));
        event.flag("request_id_is_hash", matches!(self.id, Id::Long(_)));
    }
}
