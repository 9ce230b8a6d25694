//! A replay as the JSON-RPC 2.0 messages that were, or would have been, on the wire: request, then response.
//!
//! A null result is one that this role does not see, or that was not recorded.

use arrow::array::RecordBatch;

use super::lines::json_or_text;
use super::step::{Item, Step, Steps};
use crate::Result;
use crate::format::Encoder;
use crate::format::value::json_text;

/// JSON-RPC error codes of the range that servers define.
const REFUSED: i64 = -32_001;
const FAILED: i64 = -32_000;

pub(super) struct Transcript {
    steps: Steps,
}

impl Transcript {
    pub(super) fn new(steps: Steps) -> Transcript {
        Transcript { steps }
    }
}

/// The MCP method of a step, if it is a message.
fn method(step: &Step<'_>) -> Result<Option<String>> {
    if let Some(method) = step.text("method")?.filter(|method| method.contains('/') || method == "initialize")
    {
        return Ok(Some(method));
    }
    if step.text("kind")?.as_deref() != Some("call") {
        return Ok(None);
    }
    Ok(Some(
        match step.text("capability_type")?.as_deref() {
            Some("resource") => "resources/read",
            Some("prompt") => "prompts/get",
            _ => "tools/call",
        }
        .to_string(),
    ))
}

fn message(step: &Step<'_>, out: &mut Vec<u8>) -> Result<()> {
    let Some(method) = method(step)? else { return Ok(()) };
    let id = match (step.text("request_id")?, step.text("call_id")?) {
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => step.log_index.to_string(),
    };
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    json_text(&id, out);
    out.extend_from_slice(b",\"method\":");
    json_text(&method, out);
    out.extend_from_slice(b",\"params\":{");
    let mut comma = false;
    if let Some(name) = step.text("capability")? {
        out.extend_from_slice(if method == "resources/read" { b"\"uri\":" } else { b"\"name\":" });
        json_text(&name, out);
        comma = true;
    }
    if let Some(arguments) = step.text("arguments")? {
        out.extend_from_slice(if comma { b",\"arguments\":" } else { b"\"arguments\":" });
        json_or_text(&arguments, out);
    }
    out.extend_from_slice(b"}}\n");
    response(step, &id, out)
}

fn response(step: &Step<'_>, id: &str, out: &mut Vec<u8>) -> Result<()> {
    let status = step.text("status")?.unwrap_or_default();
    if status == "pending" {
        return Ok(());
    }
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    json_text(id, out);
    let is_denied = status == "denied" || step.text("decision")?.as_deref() == Some("deny");
    if status == "ok" && !is_denied {
        out.extend_from_slice(b",\"result\":");
        match step.text("result")? {
            Some(result) => json_or_text(&result, out),
            None => out.extend_from_slice(b"null"),
        }
    } else {
        let code = if is_denied { REFUSED } else { FAILED };
        let message = match (step.text("error_message")?, step.text("error_code")?) {
            (Some(message), _) | (None, Some(message)) => message,
            (None, None) => status,
        };
        out.extend_from_slice(format!(",\"error\":{{\"code\":{code},\"message\":").as_bytes());
        json_text(&message, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

impl Encoder for Transcript {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.steps.each(batch, |item| match item {
            Item::Step(step, _) => message(&step, out),
            Item::Alert(_) => Ok(()),
        })
    }

    fn end(&mut self, _rows: u64, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}
