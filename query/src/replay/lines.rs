//! A replay as NDJSON: one object a step or alert, without what is null.

use arrow::array::RecordBatch;

use super::alert::Alert;
use super::step::{Item, Step, Steps};
use super::{PAYLOAD_COLUMNS, STEP_COLUMNS};
use crate::format::value::{json_text, rfc3339};
use crate::format::{Encoder, error_line};
use crate::{Error, Result};

pub(super) struct Lines {
    steps: Steps,
}

impl Lines {
    pub(super) fn new(steps: Steps) -> Lines {
        Lines { steps }
    }
}

/// Appends text that should be JSON as JSON, or else as a string.
pub(super) fn json_or_text(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        // A line break would end the line.
        Ok(raw) if !raw.get().contains(['\n', '\r']) => out.extend_from_slice(raw.get().as_bytes()),
        Ok(_) | Err(_) => json_text(text, out),
    }
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    json_text(name, out);
    out.push(b':');
}

fn step(step: &Step<'_>, alerts: &[&Alert], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"step\":\"event\"");
    for name in STEP_COLUMNS {
        let mark = out.len();
        key(name, out);
        if !step.json(name, out)? {
            out.truncate(mark);
        }
    }
    for name in PAYLOAD_COLUMNS {
        if let Some(text) = step.text(name)? {
            key(name, out);
            match name {
                "arguments" | "result" => json_or_text(&text, out),
                _ => json_text(&text, out),
            }
        }
    }
    if !alerts.is_empty() {
        out.extend_from_slice(b",\"alerts\":[");
        for (at, alert) in alerts.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json_text(&alert.id, out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn alert(alert: &Alert, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"step\":\"alert\"");
    let time = rfc3339(i128::from(alert.time_us), 1_000_000);
    for (name, text) in [
        ("time", &time),
        ("alert_id", &alert.id),
        ("rule_id", &alert.rule_id),
        ("severity", &alert.severity),
        ("state", &alert.state),
        ("title", &alert.title),
        ("explanation", &alert.explanation),
    ] {
        key(name, out);
        json_text(text, out);
    }
    key("evidence", out);
    let evidence: Vec<String> = alert.evidence.iter().map(i64::to_string).collect();
    out.extend_from_slice(format!("[{}]}}\n", evidence.join(",")).as_bytes());
}

impl Encoder for Lines {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.steps.each(batch, |item| match item {
            Item::Step(shown, alerts) => step(&shown, &alerts, out),
            Item::Alert(shown) => {
                alert(shown, out);
                Ok(())
            }
        })
    }

    fn end(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()> {
        self.steps.rest(|shown| {
            alert(shown, out);
            Ok(())
        })?;
        let next = self.steps.next().map_or_else(|| "null".to_string(), |cursor| format!("\"{cursor}\""));
        out.extend_from_slice(format!("{{\"$end\":{{\"rows\":{rows},\"next\":{next}}}}}\n").as_bytes());
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        error_line(error, out);
        true
    }
}
