//! Items in the words of others. Pure: an item and its context give bytes, the same ones each time.
//!
//! What holds for all of them is in `docs/formats.md`. In short: JSON keeps every value exactly and on one line; formats that are a line show what
//! could end the line, hide in it or turn it around as `\u202e`, and say what of a value they cut.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::digest::Digest;
use crate::event::Event;
use crate::message::{Importance, Message};

mod attack;
mod cef;
mod chat;
mod cloudevents;
mod ecs;
mod json;
mod kill_switch;
mod leef;
mod line;
mod ocsf;
mod text;
pub(crate) mod time;
mod writer;

pub use kill_switch::{KillSwitch, kill_switch};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Our own columns, as JSON.
    Json,
    /// OCSF 1.8.0: Detection Finding, API Activity, Authentication, Base Event.
    Ocsf,
    /// Elastic Common Schema 9.4.
    Ecs,
    /// ArcSight Common Event Format, version 0.
    Cef,
    /// IBM Log Event Extended Format 2.0.
    Leef,
    /// CloudEvents 1.0, structured, around our own JSON.
    CloudEvents,
    /// `{"text": …}`, as chats' incoming webhooks take it.
    Chat,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 7] = [
        Format::Json,
        Format::Ocsf,
        Format::Ecs,
        Format::Cef,
        Format::Leef,
        Format::CloudEvents,
        Format::Chat,
    ];

    /// As it is spelt in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ocsf => "ocsf",
            Format::Ecs => "ecs",
            Format::Cef => "cef",
            Format::Leef => "leef",
            Format::CloudEvents => "cloudevents",
            Format::Chat => "chat",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Json | Format::Ocsf | Format::Ecs | Format::Chat => "application/json",
            Format::Cef | Format::Leef => "text/plain; charset=utf-8",
            Format::CloudEvents => "application/cloudevents+json; charset=utf-8",
        }
    }
}

/// Who speaks, and what is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Name of the installation.
    pub installation: String,
    /// Version of the program.
    pub version: String,
    /// Name of the machine.
    pub host: String,
    /// Where people look at an alert. `{alert_id}` and `{tenant}` stand for the alert's, percent-encoded. `None`: messages have no link.
    pub external_url: Option<String>,
    /// Add what OCSF 1.9 calls `attestation` to OCSF, which is 1.9.0 then. Readers of 1.8.0 refuse it.
    pub record_integrity: bool,
}

impl Context {
    fn url(&self, alert: &Alert) -> Option<String> {
        let url = self.external_url.as_deref()?;
        let url = url.replace("{alert_id}", &text::percent_encoded(&alert.alert_id));
        Some(url.replace("{tenant}", &text::percent_encoded(&alert.tenant)))
    }
}

/// What is delivered.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// An emission of an episode.
    Alert(&'a Alert),
    /// A record of what an agent did.
    Event(&'a Event),
    /// A day's counts.
    Digest(&'a Digest),
}

/// `item` in `format`.
pub fn render(format: Format, item: Item<'_>, context: &Context) -> Message {
    let body = match format {
        Format::Json => json::body(item, context),
        Format::Ocsf => ocsf::body(item, context),
        Format::Ecs => ecs::body(item, context),
        Format::Cef => cef::body(item, context),
        Format::Leef => leef::body(item, context),
        Format::CloudEvents => cloudevents::body(item, context),
        Format::Chat => chat::body(item, context),
    };
    message(item, format.content_type(), body)
}

/// The envelope of an item.
fn message(item: Item<'_>, content_type: &'static str, body: String) -> Message {
    let body = Bytes::from(body);
    let id = id(item);
    match item {
        Item::Alert(alert) => Message {
            id,
            tenant: alert.tenant.clone(),
            log: alert.log.clone(),
            log_index: alert.log_index,
            time_us: alert.ingest_time_us,
            importance: alert.severity.into(),
            kind: if alert.is_test { "test" } else { "alert" },
            key: bounded(&alert.alert_id),
            content_type,
            body,
        },
        Item::Event(event) => Message {
            id,
            tenant: event.tenant.clone(),
            log: event.log.clone(),
            log_index: event.log_index,
            time_us: event.ingest_time_us,
            importance: Importance::Informational,
            kind: "event",
            key: bounded(&event.session_id),
            content_type,
            body,
        },
        Item::Digest(digest) => Message {
            key: id.clone(),
            id,
            tenant: digest.tenant.clone(),
            log: digest.log.clone(),
            log_index: digest.log_index,
            time_us: digest.day_end_us,
            importance: Importance::Informational,
            kind: "digest",
            content_type,
            body,
        },
    }
}

/// The id of an item's message, whatever its format.
fn id(item: Item<'_>) -> String {
    match item {
        Item::Alert(alert) => bounded(&alert.message_id()),
        // No reader takes an empty id. A source can send one, and the entry has another name.
        Item::Event(event) if event.event_id.is_empty() => format!("{}#{}", event.log, event.log_index),
        Item::Event(event) => bounded(&event.event_id),
        Item::Digest(digest) => {
            bounded(&format!("digest-{}-{}", digest.tenant, time::date(digest.day_start_us)))
        }
    }
}

/// An id as it is; one that is longer than any that the streams hold as its beginning and the hash of all of it.
fn bounded(id: &str) -> String {
    use schemas::limits::SINK_MESSAGE_ID_BYTES_MAX;
    if id.len() <= SINK_MESSAGE_ID_BYTES_MAX {
        return id.to_owned();
    }
    let hash = blake3::hash(id.as_bytes()).to_hex();
    let kept = id.floor_char_boundary(SINK_MESSAGE_ID_BYTES_MAX - hash.len());
    format!("{}{hash}", id.get(..kept).unwrap_or_default())
}
