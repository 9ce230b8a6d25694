//! What a reply says came of a request, as an event's columns have it.

use crate::event::Event;
use crate::message::{Members, Outcome};

/// An outcome, in the record's words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply<'a> {
    /// `ok`, `error`, `cancelled`, `pending`.
    pub status: &'static str,
    /// Class of the error; none where only the server knows.
    pub error_class: Option<&'static str>,
    /// Its code.
    pub error_code: Option<String>,
    /// What it says.
    pub error_message: Option<String>,
    /// The result, or the data of an error: JSON text.
    pub result: Option<&'a str>,
    /// With which the next round of the same call will come.
    pub request_state: Option<String>,
    /// The model that answered, where a client samples for the server.
    pub model: Option<String>,
}

impl<'a> Reply<'a> {
    /// Reads an outcome.
    pub fn new(outcome: Outcome<'a>) -> Reply<'a> {
        match outcome {
            Outcome::Error(json) => Reply::error(json),
            Outcome::Result(json) => Reply::result(json, &Members::of(json).unwrap_or_default()),
        }
    }

    fn error(json: &'a str) -> Reply<'a> {
        let members = Members::of(json).unwrap_or_default();
        let code = members.get("code").map(|code| code.trim_matches('"').to_string());
        let message = members.text("message");
        let class = class(code.as_deref(), message.as_deref().unwrap_or_default());
        // The code of a cancelled request, from the Language Server Protocol; MCP's own peers send it too.
        let status = if code.as_deref() == Some("-32800") { "cancelled" } else { "error" };
        Reply {
            status,
            error_class: class,
            error_code: code,
            error_message: message,
            result: members.get("data").or_else(|| members.get("message").is_none().then_some(json)),
            ..Reply::default()
        }
    }

    fn result(json: &'a str, members: &Members<'a>) -> Reply<'a> {
        let whole =
            Reply { status: "ok", result: Some(json), model: members.text("model"), ..Reply::default() };
        if members.get("isError") == Some("true") {
            let message = first_text(members);
            let code = message.as_deref().and_then(code_in_text);
            let class =
                code.as_deref().and_then(|code| class(Some(code), message.as_deref().unwrap_or_default()));
            return Reply {
                status: "error",
                error_class: class.or(Some("tool")),
                error_code: code,
                error_message: message,
                ..whole
            };
        }
        if members.text("resultType").as_deref() == Some("input_required") {
            return Reply { status: "pending", request_state: members.text("requestState"), ..whole };
        }
        whole
    }

    /// Writes it into an event.
    pub fn write(&self, event: &mut Event) {
        event.text("status", self.status);
        event.optional("error_class", self.error_class);
        event.optional("error_code", self.error_code.as_deref());
        event.optional("error_message", self.error_message.as_deref());
        event.optional("model", self.model.as_deref());
        if let Some(result) = self.result {
            event.value("result", result);
        }
    }
}

/// Of JSON-RPC's codes. Those from -32000 to -32019 mean what the server says they mean.
fn class(code: Option<&str>, message: &str) -> Option<&'static str> {
    let is_unknown = || {
        let message = message.to_ascii_lowercase();
        message.contains("not found")
            || message.contains("unknown tool")
            || message.contains("unknown prompt")
    };
    match code? {
        "-32700" | "-32600" => Some("protocol"),
        "-32601" | "-32002" => Some("unknown_capability"),
        "-32602" if is_unknown() => Some("unknown_capability"),
        "-32602" => Some("validation"),
        "-32603" => Some("upstream"),
        _ => None,
    }
}

/// Of a result that says it is an error: its first text.
fn first_text(result: &Members<'_>) -> Option<String> {
    let content: Vec<&serde_json::value::RawValue> = serde_json::from_str(result.get("content")?).ok()?;
    content.into_iter().find_map(|item| Members::of(item.get())?.text("text"))
}

/// The code in `MCP error -32602: ...`, as servers put it into the text of a result.
fn code_in_text(message: &str) -> Option<String> {
    let rest = message.strip_prefix("MCP error ")?;
    let (code, _) = rest.split_once(':')?;
    code.parse::<i64>().is_ok().then(|| code.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_apart() {
        let of = |json: &'static str| {
            let outcome =
                if json.contains("\"code\"") { Outcome::Error(json) } else { Outcome::Result(json) };
            let reply = Reply::new(outcome);
            (reply.status, reply.error_class, reply.error_code)
        };
        let code = |code: &str| Some(code.to_string());
        assert_eq!(of(r#"{"content":[]}"#), ("ok", None, None));
        assert_eq!(of("null"), ("ok", None, None));
        assert_eq!(
            of(r#"{"isError":true,"content":[{"type":"text","text":"no"}]}"#),
            ("error", Some("tool"), None)
        );
        let text =
            r#"{"content":[{"type":"image"},{"text":"MCP error -32602: Tool x not found"}],"isError":true}"#;
        assert_eq!(of(text), ("error", Some("unknown_capability"), code("-32602")));
        let text = r#"{"content":[{"text":"MCP error -32602: Input validation error"}],"isError":true}"#;
        assert_eq!(of(text), ("error", Some("validation"), code("-32602")));
        assert_eq!(
            of(r#"{"code":-32601,"message":"m"}"#),
            ("error", Some("unknown_capability"), code("-32601"))
        );
        assert_eq!(of(r#"{"code":-32001,"message":"m"}"#), ("error", None, code("-32001")));
        assert_eq!(of(r#"{"code":-32800,"message":"m"}"#).0, "cancelled");
        let reply = Reply::new(Outcome::Result(r#"{"resultType":"input_required","requestState":"s"}"#));
        assert_eq!((reply.status, reply.request_state.as_deref()), ("pending", Some("s")));
    }
}
