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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::message::Importance;

    proptest! {
        #[test]
        fn a_request_is_as_many_objects_as_messages(
            ids: [String; 3], bodies: [String; 3], time_us in -4_000_000_000_000_000_i64..4_000_000_000_000_000,
        ) {
            let table = "url = \"https://h\"";
            let settings: Settings = toml::from_str(table).unwrap();
            let mut request = Vec::new();
            for (id, body) in ids.iter().zip(&bodies) {
                let message = Message {
                    id: id.clone(),
                    tenant: String::new(),
                    log: String::new(),
                    log_index: 0,
                    time_us,
                    importance: Importance::Low,
                    kind: "alert",
                    key: String::new(),
                    content_type: "text/plain",
                    body: Bytes::from(body.clone()),
                };
                write(&settings, &message, &mut request);
            }
            let events: Vec<Value> =
                serde_json::Deserializer::from_slice(&request).into_iter().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(events.len(), 3);
            for ((event, id), body) in events.iter().zip(&ids).zip(&bodies) {
                prop_assert_eq!(event["fields"]["tachograph_id"].as_str(), Some(id.as_str()));
                let json = serde_json::from_str(body).ok().filter(|json: &Value| json.is_object() || json.is_array());
                prop_assert_eq!(&event["event"], &json.unwrap_or_else(|| Value::from(body.as_str())));
            }
            let time = time(time_us);
            let text = time.get();
            let us: i64 = text.replace('.', "").parse().unwrap();
            prop_assert_eq!(us, time_us);
        }
    }
}
