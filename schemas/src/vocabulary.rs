//! The enumerations of event v1: canonical spellings, and the spellings of real sources that mean the same.

/// The values that one column may have; each also has `unknown` unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vocabulary {
    /// The column.
    pub column: &'static str,
    /// Canonical spellings.
    pub values: &'static [&'static str],
    /// `(source spelling, canonical spelling)`, source spelling in lower case.
    pub aliases: &'static [(&'static str, &'static str)],
}

/// What the column says when the source's value is none that anybody knows; the value is kept in `attributes`.
pub const UNKNOWN: &str = "unknown";

impl Vocabulary {
    /// The canonical spelling of `text`, compared without case and with `-` and space as `_`.
    pub fn canonical(&self, text: &str) -> Option<&'static str> {
        if let Some(exact) = self.values.iter().find(|value| **value == text) {
            return Some(exact);
        }
        if text.len() > 64 {
            return None;
        }
        let folded: String =
            text.chars().map(|c| if c == '-' || c == ' ' { '_' } else { c.to_ascii_lowercase() }).collect();
        let known = self.values.iter().find(|value| **value == folded).copied();
        known.or_else(|| self.aliases.iter().find(|(alias, _)| *alias == folded).map(|(_, value)| *value))
    }
}

/// `kind`. `integrity` from a source is a heartbeat or a drop notice; `control` is the recorder's own.
pub const KIND: Vocabulary = Vocabulary {
    column: "kind",
    values: &[
        "call",
        "list",
        "auth",
        "session",
        "approval",
        "output",
        "tool_definition",
        "config",
        "integrity",
        "unknown",
    ],
    aliases: &[
        ("tool_call", "call"),
        ("tools/call", "call"),
        ("resource_read", "call"),
        ("prompt_get", "call"),
        ("invoke", "call"),
        ("discovery", "list"),
        ("tools/list", "list"),
        ("authentication", "auth"),
        ("login", "auth"),
    ],
};

/// `observer`.
pub const OBSERVER: Vocabulary = Vocabulary {
    column: "observer",
    values: &["host", "client", "gateway", "server", "tap", "import", "unknown"],
    aliases: &[("proxy", "gateway")],
};

/// `capability_type`.
pub const CAPABILITY_TYPE: Vocabulary = Vocabulary {
    column: "capability_type",
    values: &["tool", "resource", "prompt", "sampling", "elicitation", "task", "server", "unknown"],
    aliases: &[("tools", "tool"), ("resources", "resource"), ("prompts", "prompt")],
};

/// `action`.
pub const ACTION: Vocabulary = Vocabulary {
    column: "action",
    values: &["read", "write", "destructive", "execute", "admin", "unknown"],
    aliases: &[("delete", "destructive"), ("exec", "execute")],
};

/// `decision`.
pub const DECISION: Vocabulary = Vocabulary {
    column: "decision",
    values: &["allow", "deny", "require_approval", "constrain", "none", "unknown"],
    aliases: &[
        ("allowed", "allow"),
        ("accept", "allow"),
        ("accepted", "allow"),
        ("permit", "allow"),
        ("permitted", "allow"),
        ("denied", "deny"),
        ("reject", "deny"),
        ("rejected", "deny"),
        ("block", "deny"),
        ("blocked", "deny"),
        ("approval", "require_approval"),
        ("approval_required", "require_approval"),
        ("constraints", "constrain"),
        ("constrained", "constrain"),
    ],
};

/// `decision_basis`.
pub const DECISION_BASIS: Vocabulary =
    Vocabulary { column: "decision_basis", values: &["explicit", "inferred", "unknown"], aliases: &[] };

/// `risk`.
pub const RISK: Vocabulary = Vocabulary {
    column: "risk",
    values: &["low", "medium", "high", "critical", "unknown"],
    aliases: &[("moderate", "medium"), ("severe", "critical")],
};

/// `status`.
pub const STATUS: Vocabulary = Vocabulary {
    column: "status",
    values: &["ok", "error", "denied", "timeout", "cancelled", "pending", "unknown"],
    aliases: &[
        ("success", "ok"),
        ("succeeded", "ok"),
        ("true", "ok"),
        ("failure", "error"),
        ("failed", "error"),
        ("fail", "error"),
        ("false", "error"),
        ("canceled", "cancelled"),
        ("timed_out", "timeout"),
        ("deny", "denied"),
        ("blocked", "denied"),
    ],
};

/// `error_class`.
pub const ERROR_CLASS: Vocabulary = Vocabulary {
    column: "error_class",
    values: &[
        "protocol",
        "tool",
        "auth",
        "policy",
        "upstream",
        "timeout",
        "validation",
        "unknown_capability",
        "unknown",
    ],
    aliases: &[],
};

/// `output_action`.
pub const OUTPUT_ACTION: Vocabulary = Vocabulary {
    column: "output_action",
    values: &["pass", "redact", "quarantine", "block", "unknown"],
    aliases: &[
        ("redacted", "redact"),
        ("quarantined", "quarantine"),
        ("blocked", "block"),
        ("passed", "pass"),
    ],
};

/// `approval_status`.
pub const APPROVAL_STATUS: Vocabulary = Vocabulary {
    column: "approval_status",
    values: &["requested", "approved", "rejected", "expired", "cancelled", "unknown"],
    aliases: &[
        ("canceled", "cancelled"),
        ("denied", "rejected"),
        ("pending", "requested"),
        ("granted", "approved"),
    ],
};

/// Every vocabulary.
pub const ALL: [&Vocabulary; 11] = [
    &KIND,
    &OBSERVER,
    &CAPABILITY_TYPE,
    &ACTION,
    &DECISION,
    &DECISION_BASIS,
    &RISK,
    &STATUS,
    &ERROR_CLASS,
    &OUTPUT_ACTION,
    &APPROVAL_STATUS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_leads_to_a_value_and_every_value_to_itself() {
        for vocabulary in ALL {
            assert!(vocabulary.values.contains(&UNKNOWN), "{}", vocabulary.column);
            for value in vocabulary.values {
                assert_eq!(vocabulary.canonical(value), Some(*value));
            }
            for (alias, value) in vocabulary.aliases {
                assert!(vocabulary.values.contains(value) && !vocabulary.values.contains(alias), "{alias}");
                assert_eq!(vocabulary.canonical(&alias.to_uppercase()), Some(*value));
            }
        }
        assert_eq!(DECISION.canonical("Require-Approval"), Some("require_approval"));
        assert_eq!(DECISION.canonical("maybe"), None);
    }
}
