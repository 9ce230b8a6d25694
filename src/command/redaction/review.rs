//! `tacho redaction sample` and `tacho redaction verdict`: the weekly review of what redaction missed.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::Target;
use crate::command::{percent_encoded, print};
use crate::configuration::Configuration;
use crate::exit;
use crate::service::Service;

/// Columns in which a source's own words stand, and what tells the event from others.
const COLUMNS: &str = "e.log_index, e.event_id, e.time, e.server, e.capability, e.target, p.arguments, p.result, p.attributes, \
                       p.error_message, p.reason, p.decision_reason, e.redactions";

/// A sample as the service drew it.
#[derive(Debug, Deserialize)]
struct Drawn {
    sample: String,
    indices: Vec<u64>,
}

/// Draws and prints.
pub(super) async fn sample(
    rows: u64,
    days: u32,
    json: bool,
    target: &Target,
    configuration: &Configuration,
) -> Result<u8> {
    let service = Service::open(target, configuration).await?;
    let shown = draw(&service, rows, days).await;
    service.close().await?;
    let (drawn, events) = shown?;
    let mut out = String::new();
    for event in &events {
        match json {
            true => out.push_str(&format!("{event}\n")),
            false => out.push_str(&described(event)),
        }
    }
    print(out.as_bytes())?;
    // Beside the events, so that these can go through a pipe.
    eprintln!(
        "sample {} of {} events; record what you found, in your name:\n  tacho redaction verdict {} --clean\n  \
         tacho redaction verdict {} --missed LOG_INDEX[:WHAT]",
        drawn.sample,
        events.len(),
        drawn.sample,
        drawn.sample
    );
    Ok(exit::CLEAN)
}

async fn draw(service: &Service, rows: u64, days: u32) -> Result<(Drawn, Vec<Value>)> {
    let since = format!("now() - INTERVAL '{days} days'");
    let first = service
        .ask(&format!("SELECT min(log_index) AS first FROM events WHERE ingest_time >= {since}"))
        .await?;
    let Some(from) = first.first().and_then(|row| row.get("first")).and_then(Value::as_u64) else {
        bail!("no events were recorded in the last {days} days; give --days");
    };
    let answer = service.post("/api/v1/redaction/samples", &json!({ "rows": rows, "from": from })).await?;
    let drawn: Drawn = serde_json::from_slice(&answer).context("the answer is not that of a Tachograph")?;
    let indices: Vec<String> = drawn.indices.iter().map(u64::to_string).collect();
    let query = format!(
        "SELECT {COLUMNS} FROM events e LEFT JOIN payloads p ON p.log_index = e.log_index WHERE e.log_index IN ({}) \
         ORDER BY e.log_index",
        indices.join(", ")
    );
    let events = service.ask(&query).await?;
    if events.len() != drawn.indices.len() {
        bail!(
            "of {} events of the sample your role sees {}: a review needs them all",
            drawn.indices.len(),
            events.len()
        );
    }
    Ok((drawn, events))
}

/// An event for people: its columns one below the other, without the empty ones.
fn described(event: &Value) -> String {
    let mut out = String::new();
    for (name, value) in event.as_object().into_iter().flatten() {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Object(members) if members.is_empty() => continue,
            other => other.to_string(),
        };
        let lead = if name == "log_index" { "" } else { "  " };
        out.push_str(&format!("{lead}{name} {text}\n"));
    }
    out.push('\n');
    out
}

/// Records.
pub(super) async fn verdict(
    sample: &str,
    missed: &[String],
    note: Option<&str>,
    target: &Target,
    configuration: &Configuration,
) -> Result<u8> {
    let missed = missed.iter().map(|text| parsed(text)).collect::<Result<Vec<_>>>()?;
    let mut verdict = json!({ "missed": missed });
    if let (Some(note), Some(object)) = (note, verdict.as_object_mut()) {
        object.insert("note".to_string(), json!(note));
    }
    let service = Service::open(target, configuration).await?;
    let path = format!("/api/v1/redaction/samples/{}/verdict", percent_encoded(sample));
    let answer = service.post(&path, &verdict).await;
    service.close().await?;
    let recorded: Value =
        serde_json::from_slice(&answer?).context("the answer is not that of a Tachograph")?;
    let verdict = recorded.get("verdict").and_then(Value::as_str).unwrap_or_default();
    let rows = recorded.get("rows").and_then(Value::as_u64).unwrap_or_default();
    print(format!("recorded: {verdict}, {} of {rows} events\n", missed.len()).as_bytes())?;
    Ok(exit::CLEAN)
}

/// `1234` or `1234:cookie`.
fn parsed(text: &str) -> Result<Value> {
    let (index, what) = match text.split_once(':') {
        Some((index, what)) => (index, Some(what)),
        None => (text, None),
    };
    let index: u64 =
        index.parse().with_context(|| format!("--missed {text}: give LOG_INDEX or LOG_INDEX:WHAT"))?;
    Ok(match what {
        Some(what) => json!({ "log_index": index, "what": what }),
        None => json!({ "log_index": index }),
    })
}

#[cfg(test)]
mod tests {
    use super::parsed;

    #[test]
    fn what_was_missed_is_an_event_and_perhaps_a_class() {
        assert_eq!(parsed("12").unwrap(), serde_json::json!({ "log_index": 12 }));
        assert_eq!(parsed("12:a:b").unwrap(), serde_json::json!({ "log_index": 12, "what": "a:b" }));
        for text in ["", "x", ":cookie", "-1", "1.5"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
