use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{Reply, Request, Server};

/// Elasticsearch's `_bulk` as its document has it, with the `create` action alone.
#[derive(Default)]
pub struct Index {
    /// What `Authorization` has to be.
    pub authorization: Option<String>,
    pub name: &'static str,
    /// By id.
    pub documents: BTreeMap<String, Value>,
    /// Answers to the next requests, before they are looked at.
    pub script: Vec<Reply>,
    /// Statuses of items, by id, for the next time that it comes.
    pub items: BTreeMap<String, (u16, &'static str)>,
    /// Alerts that it has no room for the first time that they come.
    pub busy_once: BTreeSet<String>,
    pub bytes_max: Option<usize>,
    pub is_shuffled: bool,
}

pub async fn start(index: Index) -> (Server, Arc<Mutex<Index>>) {
    let index = Arc::new(Mutex::new(index));
    let shared = index.clone();
    (Server::start(move |request| shared.lock().unwrap().answer(request)).await, index)
}

fn wrong(reason: &str) -> Reply {
    Reply::json(
        400,
        &json!({"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400}),
    )
}

impl Index {
    fn answer(&mut self, request: &Request) -> Reply {
        if !self.script.is_empty() {
            return self.script.remove(0);
        }
        if request.header("authorization") != self.authorization.as_deref() {
            return Reply::json(401, &json!({"error": {"type": "security_exception"}, "status": 401}));
        }
        let path = "/_bulk?filter_path=items.create._id%2Citems.create.status%2Citems.create.error.type";
        if request.path != path || request.header("content-type") != Some("application/x-ndjson") {
            return wrong("path or content-type");
        }
        let mut body = Vec::new();
        match request.header("content-encoding") {
            None => body.clone_from(&request.body),
            Some("gzip") => {
                flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut body).unwrap();
            }
            Some(_) => return Reply::status(415),
        }
        if self.bytes_max.is_some_and(|most| body.len() > most) {
            return Reply::status(413);
        }
        let text = String::from_utf8(body).unwrap();
        let Some(text) = text.strip_suffix('\n') else {
            return wrong("The bulk request must be terminated by a newline [\\n]");
        };
        let lines: Vec<&str> = text.split('\n').collect();
        if !lines.len().is_multiple_of(2) {
            return wrong("The bulk request has an action without a source");
        }
        let mut items = Vec::new();
        for pair in lines.chunks(2) {
            let Ok(action) = serde_json::from_str::<Value>(pair[0]) else { return wrong("Malformed action") };
            let Some(create) =
                action.as_object().filter(|action| action.len() == 1).and_then(|a| a.get("create"))
            else {
                return wrong("Malformed action");
            };
            let keys: Vec<&str> = create.as_object().unwrap().keys().map(String::as_str).collect();
            let Ok(source @ Value::Object(_)) = serde_json::from_str(pair[1]) else {
                return wrong("Malformed source");
            };
            let id = create["_id"].as_str().unwrap_or_default().to_string();
            if keys != ["_id", "_index"] || create["_index"] != self.name || id.is_empty() || id.len() > 512 {
                return wrong("Malformed action");
            }
            items.push(json!({"create": self.create(&id, source)}));
        }
        if self.is_shuffled {
            items.reverse();
        }
        Reply::json(200, &json!({"items": items}))
    }

    fn create(&mut self, id: &str, source: Value) -> Value {
        let fault = |status: u16, kind: &str| json!({"_id": id, "status": status, "error": {"type": kind}});
        if let Some((status, kind)) = self.items.remove(id) {
            return fault(status, kind);
        }
        let alert = source["alert_id"].as_str().unwrap_or_default();
        if self.busy_once.remove(alert) {
            return fault(429, "es_rejected_execution_exception");
        }
        if !source["number"].is_number() && alert.is_empty() {
            return fault(400, "document_parsing_exception");
        }
        if self.documents.contains_key(id) {
            return fault(409, "version_conflict_engine_exception");
        }
        self.documents.insert(id.to_string(), source);
        json!({"_id": id, "status": 201})
    }
}
