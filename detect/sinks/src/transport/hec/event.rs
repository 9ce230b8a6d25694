//! One message as the collector wants it ("Format events for HTTP Event Collector").

use serde::Serialize;
use serde_json::value::RawValue;

use super::Settings;
use crate::message::Message;

#[derive(Serialize)]
struct Event<'a> {
    /// Seconds, with a fraction.
    time: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sourcetype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: Body<'a>,
    fields: Fields<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(std::borrow::Cow<'a, str>),
}

/// Indexed fields: flat, and text. By `tachograph_id` what came twice is found.
#[derive(Serialize)]
struct Fields<'a> {
    tachograph_id: &'a str,
    tachograph_tenant: &'a str,
    tachograph_log: &'a str,
    tachograph_log_index: String,
    tachograph_kind: &'a str,
}

/// Appends the object of a message.
pub(super) fn write(settings: &Settings, message: &Message, body: &mut Vec<u8>) {
    let json = serde_json::from_slice::<&RawValue>(&message.body).ok().filter(|json| {
        // What is blank is refused: null and text of spaces.
        json.get().starts_with(['{', '['])
    });
    let text = || Body::Text(String::from_utf8_lossy(&message.body));
    let event = Event {
        time: time(message.time_us),
        host: settings.host.as_deref(),
        source: &settings.source,
        sourcetype: settings.sourcetype.as_deref(),
        index: settings.index.as_deref(),
        event: json.map_or_else(text, Body::Json),
        fields: Fields {
            tachograph_id: &message.id,
            tachograph_tenant: &message.tenant,
            tachograph_log: &message.log,
            tachograph_log_index: message.log_index.to_string(),
            tachograph_kind: message.kind,
        },
    };
    let before = body.len();
    if let Err(error) = serde_json::to_writer(&mut *body, &event) {
        // Strings, numbers and what was parsed as JSON: nothing of it can fail.
        tracing::error!(%error, "an event for Splunk could not be written");
        body.truncate(before);
    }
    body.push(b'\n');
}

/// Microseconds as seconds with six digits behind the point: no float, which would round.
fn time(time_us: i64) -> Box<RawValue> {
    let sign = if time_us < 0 { "-" } else { "" };
    let us = time_us.unsigned_abs();
    let text = format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000);
    RawValue::from_string(text).unwrap_or_else(|_| Box::default())
}
