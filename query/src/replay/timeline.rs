//! A replay as text for people. All recorded text is an attacker's: it is shown, never obeyed.

use arrow::array::RecordBatch;

use super::alert::Alert;
use super::step::{Item, Step, Steps};
use crate::Result;
use crate::format::Encoder;
use crate::format::value::{rfc3339, visible};

/// Characters shown of one payload value.
const SHOWN_CHARS_MAX: usize = schemas::limits::QUERY_SHOWN_CHARS_MAX;

pub(super) struct Timeline {
    steps: Steps,
    head: Vec<u8>,
}

impl Timeline {
    pub(super) fn new(steps: Steps, session: &str) -> Timeline {
        Timeline { steps, head: format!("session {}\n", visible(session, false)).into_bytes() }
    }
}

fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn block(name: &str, text: &str, out: &mut Vec<u8>) {
    let count = text.chars().count();
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = match count.saturating_sub(SHOWN_CHARS_MAX) {
        0 => String::new(),
        more => format!(" … {more} more characters"),
    };
    let shown = visible(&short, true).replace('\n', "\n        ");
    line(&format!("    {name}: {shown}{more}"), out);
}

fn alert(alert: &Alert, indent: &str, out: &mut Vec<u8>) {
    let Alert { severity, rule_id, title, state, id, .. } = alert;
    line(
        &format!(
            "{indent}! alert {}",
            visible(&format!("{severity} {rule_id}: {title} ({state}, {id})"), false)
        ),
        out,
    );
}

fn step(step: &Step<'_>, alerts: &[&Alert], out: &mut Vec<u8>) -> Result<()> {
    let text = |name: &str| -> Result<String> { Ok(step.text(name)?.unwrap_or_default()) };
    let mut parts = vec![step.time(), format!("#{}", step.log_index), text("kind")?];
    let what = [text("server")?, text("capability")?];
    let what: Vec<&str> = what.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.push(if what.is_empty() { text("method")? } else { what.join("/") });
    parts.push(text("target")?);
    parts.push(text("action")?);
    let named = |label: &str, name: &str| -> Result<String> {
        Ok(step.text(name)?.map_or_else(String::new, |value| format!("{label}={value}")))
    };
    parts.push(named("risk", "risk")?);
    parts.push(match step.text("decision")?.filter(|decision| decision != "none") {
        Some(decision) => match step.text("policy_id")? {
            Some(policy) => format!("{decision} by {policy}"),
            None => decision,
        },
        None => String::new(),
    });
    if let Some(status) = step.text("approval_status")? {
        let who = step.text("approver")?.map_or_else(String::new, |who| format!(" by {who}"));
        let wait = step.text("approval_wait_ms")?.map_or_else(String::new, |ms| format!(" after {ms} ms"));
        parts.push(format!("approval {status}{who}{wait}"));
    }
    parts.push(text("status")?);
    parts.push(text("error_code")?);
    if let Some(us) = step.text("latency_us")?.and_then(|us| us.parse::<i64>().ok()) {
        parts.push(format!("{}.{:03} ms", us / 1000, us.rem_euclid(1000)));
    }
    parts.push(named("user", "user_id")?);
    parts.push(named("agent", "agent_id")?);
    parts.retain(|part| !part.is_empty());
    line(&visible(&parts.join("  "), false), out);
    for name in super::PAYLOAD_COLUMNS {
        if let Some(text) = step.text(name)? {
            block(name, &text, out);
        }
    }
    for shown in alerts {
        alert(shown, "    ", out);
    }
    Ok(())
}

impl Encoder for Timeline {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        out.append(&mut self.head);
        self.steps.each(batch, |item| match item {
            Item::Step(shown, alerts) => step(&shown, &alerts, out),
            Item::Alert(shown) => {
                let time = rfc3339(i128::from(shown.time_us), 1_000_000);
                alert(shown, &format!("{time}  "), out);
                Ok(())
            }
        })
    }

    fn end(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()> {
        out.append(&mut self.head);
        self.steps.rest(|shown| {
            let time = rfc3339(i128::from(shown.time_us), 1_000_000);
            alert(shown, &format!("{time}  "), out);
            Ok(())
        })?;
        line(&format!("{rows} steps"), out);
        if let Some(cursor) = self.steps.next() {
            line(&format!("more with after={cursor}"), out);
        }
        Ok(())
    }
}
