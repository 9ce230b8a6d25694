use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{Reply, Request, Server};

/// Splunk's HTTP Event Collector as its documents have it.
#[derive(Default)]
pub struct Collector {
    pub token: String,
    pub use_ack: bool,
    /// Whether events before one at fault are indexed; its documents do not say.
    pub indexes_before_fault: bool,
    /// How often an acknowledgement is asked for before it is there; none for never.
    pub asked_before_ack: Option<usize>,
    pub indexes: Vec<&'static str>,
    /// Answers to the next requests, before they are looked at.
    pub script: Vec<Reply>,
    pub indexed: Vec<Value>,
    /// By channel and number: how often it was asked for.
    pub acks: BTreeMap<(String, u64), usize>,
    pub next: u64,
}

pub async fn start(collector: Collector) -> (Server, Arc<Mutex<Collector>>) {
    let collector = Arc::new(Mutex::new(collector));
    let shared = collector.clone();
    (Server::start(move |request| shared.lock().unwrap().answer(request)).await, collector)
}

fn said(status: u16, code: u64, text: &str) -> Reply {
    Reply::json(status, &json!({"text": text, "code": code}))
}

impl Collector {
    fn answer(&mut self, request: &Request) -> Reply {
        if !self.script.is_empty() {
            return self.script.remove(0);
        }
        let Some(authorization) = request.header("authorization") else {
            return said(401, 2, "Token is required");
        };
        let Some(token) = authorization.strip_prefix("Splunk ") else {
            return said(401, 3, "Invalid authorization");
        };
        if token != self.token {
            return said(403, 4, "Invalid token");
        }
        let channel = request.header("x-splunk-request-channel").unwrap_or_default().to_string();
        if self.use_ack && channel.is_empty() {
            return said(400, 10, "Data channel is missing");
        }
        let shape: Vec<usize> = channel.split('-').map(str::len).collect();
        if shape != [8, 4, 4, 4, 12]
            || !channel.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
        {
            return said(400, 11, "Invalid data channel");
        }
        match request.path.as_str() {
            "/services/collector/event" => self.index(&channel, &request.body),
            "/services/collector/ack" if !self.use_ack => said(400, 14, "ACK is disabled"),
            "/services/collector/ack" => self.acknowledge(&channel, &request.body),
            _ => Reply::status(404),
        }
    }

    fn index(&mut self, channel: &str, body: &[u8]) -> Reply {
        if body.is_empty() {
            return said(400, 5, "No data");
        }
        let mut events = Vec::new();
        for (at, event) in serde_json::Deserializer::from_slice(body).into_iter::<Value>().enumerate() {
            let fault = match event {
                Ok(event) => match self.check(&event) {
                    None => {
                        events.push(event);
                        continue;
                    }
                    Some(fault) => fault,
                },
                Err(_) => (6, "Invalid data format"),
            };
            if self.indexes_before_fault {
                self.indexed.append(&mut events);
            }
            return Reply::json(400, &json!({"text": fault.1, "code": fault.0, "invalid-event-number": at}));
        }
        self.indexed.append(&mut events);
        if !self.use_ack {
            return said(200, 0, "Success");
        }
        let number = self.next;
        self.next += 1;
        self.acks.insert((channel.to_string(), number), 0);
        Reply::json(200, &json!({"text": "Success", "code": 0, "ackId": number}))
    }

    fn check(&self, event: &Value) -> Option<(u64, &'static str)> {
        let known = ["time", "host", "source", "sourcetype", "index", "event", "fields"];
        let object = event.as_object()?;
        if !object.keys().all(|key| known.contains(&key.as_str())) || !object["time"].is_number() {
            return Some((6, "Invalid data format"));
        }
        let is_blank =
            |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        match object.get("event") {
            None => return Some((12, "Event field is required")),
            Some(value) if is_blank(value) => return Some((13, "Event field cannot be blank")),
            Some(_) => {}
        }
        let is_flat =
            |fields: &Value| fields.as_object().is_some_and(|fields| fields.values().all(Value::is_string));
        if !object.get("fields").is_none_or(is_flat) {
            return Some((15, "Error in handling indexed fields"));
        }
        let index = object.get("index").and_then(Value::as_str);
        index.is_some_and(|index| !self.indexes.contains(&index)).then_some((7, "Incorrect index"))
    }

    fn acknowledge(&mut self, channel: &str, body: &[u8]) -> Reply {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let mut told = serde_json::Map::new();
        for number in asked["acks"].as_array().unwrap() {
            let key = (channel.to_string(), number.as_u64().unwrap());
            let is_there = match (self.acks.get_mut(&key), self.asked_before_ack) {
                (Some(asked), Some(before)) => {
                    *asked += 1;
                    *asked > before
                }
                _ => false,
            };
            if is_there {
                // It is told of once.
                self.acks.remove(&key);
            }
            told.insert(number.to_string(), json!(is_there));
        }
        Reply::json(200, &json!({"acks": told}))
    }
}
