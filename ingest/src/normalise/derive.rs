//! What an event says without saying it: kind, action, risk, decision, status.
//!
//! Only empty columns are filled; nothing of the source is replaced. One thing excepted: where a mapping from a file makes of a
//! record that it was denied and went well, it was denied; such a record's own words are in `attributes`.

use super::{Cell, Event};
use crate::columns::place;
use crate::mapping::Mapping;

/// Verbs of capability names, and what they do. The first known word of a name decides.
const VERBS: [(&str, &[&str]); 5] = [
    (
        "read",
        &[
            "get",
            "list",
            "read",
            "search",
            "find",
            "fetch",
            "query",
            "describe",
            "show",
            "view",
            "lookup",
            "check",
            "count",
            "download",
            "browse",
            "inspect",
            "status",
            "summarize",
            "diff",
            "preview",
            "validate",
            "ping",
        ],
    ),
    (
        "write",
        &[
            "create", "update", "send", "write", "add", "set", "put", "post", "insert", "edit", "upload",
            "append", "comment", "assign", "merge", "move", "rename", "copy", "save", "submit", "publish",
            "schedule", "book", "reply", "patch", "upsert", "open", "close", "notify", "push", "commit",
            "archive",
        ],
    ),
    (
        "destructive",
        &[
            "delete",
            "drop",
            "purge",
            "remove",
            "destroy",
            "truncate",
            "wipe",
            "erase",
            "terminate",
            "kill",
            "cancel",
            "reset",
            "rollback",
            "uninstall",
            "deprovision",
        ],
    ),
    (
        "execute",
        &[
            "run", "exec", "execute", "invoke", "eval", "shell", "bash", "deploy", "restart", "start",
            "stop", "trigger", "launch",
        ],
    ),
    (
        "admin",
        &[
            "grant",
            "revoke",
            "rotate",
            "impersonate",
            "enable",
            "disable",
            "configure",
            "provision",
            "invite",
            "approve",
        ],
    ),
];

/// Longest word of [`VERBS`], in bytes.
const VERB_BYTES_MAX: usize = schemas::limits::INGEST_VERB_BYTES_MAX;

/// Fills the columns that are empty and can be told from others.
pub(super) fn fill(event: &mut Event<'_>) {
    if !event.has(place::KIND) {
        event.put(place::KIND, Cell::Text(kind(event)));
    }
    if !event.has(place::ACTION) {
        event.put(place::ACTION, Cell::Text(action(event)));
    }
    if !event.has(place::RISK) {
        event.put(place::RISK, Cell::Text(risk(event.cell(place::ACTION))));
    }
    let is_deny = event.cell(place::DECISION) == Cell::Text("deny");
    if is_deny && event.cell(place::STATUS) == Cell::Text("ok") && matches!(event.mapping, Mapping::File(_)) {
        event.put(place::STATUS, Cell::Text("denied"));
        event.is_contradicted = true;
    }
    let denied = event.cell(place::STATUS) == Cell::Text("denied");
    let basis = match (event.has(place::DECISION), denied) {
        (true, _) => Some("explicit"),
        (false, true) => Some("inferred"),
        (false, false) => None,
    };
    if !event.has(place::DECISION) {
        event.put(place::DECISION, Cell::Text(if denied { "deny" } else { "none" }));
    }
    if let Some(basis) = basis.filter(|_| !event.has(place::DECISION_BASIS)) {
        event.put(place::DECISION_BASIS, Cell::Text(basis));
    }
    if !event.has(place::STATUS) {
        event.put(place::STATUS, Cell::Text(if is_deny { "denied" } else { "unknown" }));
    }
}

/// From the method; a capability alone is a call.
fn kind(event: &Event<'_>) -> &'static str {
    match event.text(place::METHOD).as_deref() {
        Some(
            "tools/call"
            | "resources/read"
            | "prompts/get"
            | "completion/complete"
            | "sampling/createMessage"
            | "elicitation/create",
        ) => "call",
        Some(
            "tools/list" | "resources/list" | "resources/templates/list" | "prompts/list" | "server/discover",
        ) => "list",
        Some("initialize" | "start" | "end") => "session",
        Some("login" | "refresh" | "revoke") => "auth",
        _ if event.has(place::CAPABILITY) => "call",
        _ => "unknown",
    }
}

/// From the method, the annotations of the tool (which may only raise it), and the verb of the capability's name.
fn action(event: &Event<'_>) -> &'static str {
    if is_annotated_destructive(event) {
        return "destructive";
    }
    if let Cell::Text("list") = event.cell(place::KIND) {
        return "read";
    }
    if let Cell::Text("resource" | "prompt") = event.cell(place::CAPABILITY_TYPE) {
        return "read";
    }
    if let Some("resources/read" | "prompts/get") = event.text(place::METHOD).as_deref() {
        return "read";
    }
    if event.cell(place::KIND) != Cell::Text("call") {
        return "unknown";
    }
    event.text(place::CAPABILITY).and_then(|capability| verb(&capability)).unwrap_or("unknown")
}

fn is_annotated_destructive(event: &Event<'_>) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Annotations {
        destructive_hint: bool,
    }
    let annotations = event.attributes.iter().find(|(key, _)| key == "annotations");
    annotations.is_some_and(|(_, json)| {
        serde_json::from_str::<Annotations>(json).is_ok_and(|annotations| annotations.destructive_hint)
    })
}

/// What the first known verb among the words of `name` does. Words end at anything but letters, and where lower case
/// turns upper.
fn verb(name: &str) -> Option<&'static str> {
    let mut word = [0u8; VERB_BYTES_MAX];
    let mut length = 0;
    let mut last = 0u8;
    for byte in name.bytes().chain(std::iter::once(b' ')) {
        let starts_word = byte.is_ascii_uppercase() && last.is_ascii_lowercase();
        if starts_word || !byte.is_ascii_alphabetic() {
            if let Some(known) = word.get(..length).and_then(known) {
                return Some(known);
            }
            length = 0;
        }
        if byte.is_ascii_alphabetic() {
            if let Some(place) = word.get_mut(length) {
                *place = byte.to_ascii_lowercase();
            }
            length += 1;
        }
        last = byte;
    }
    None
}

fn known(word: &[u8]) -> Option<&'static str> {
    VERBS
        .iter()
        .find(|(_, verbs)| verbs.iter().any(|verb| verb.as_bytes() == word))
        .map(|(action, _)| *action)
}

fn risk(action: Cell<'_>) -> &'static str {
    match action {
        Cell::Text("read") => "low",
        Cell::Text("write") => "medium",
        Cell::Text("destructive" | "admin" | "execute") => "high",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_do() {
        for (name, action) in [
            ("create_incident_ticket", Some("write")),
            ("getWeather", Some("read")),
            ("github.delete_repo", Some("destructive")),
            ("jira-list-issues", Some("read")),
            ("EXEC", Some("execute")),
            ("admin/grantRole", Some("admin")),
            ("getter", None),
            ("frobnicate", None),
            ("", None),
            ("é_run", Some("execute")),
            ("averyveryverylongword_drop", Some("destructive")),
        ] {
            assert_eq!(verb(name), action, "{name}");
        }
    }

    #[test]
    fn verbs_are_unique_and_fit() {
        let mut all: Vec<&str> = VERBS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        assert!(all.iter().all(|verb| verb.len() <= VERB_BYTES_MAX));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
