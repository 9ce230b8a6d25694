//! The rules that the program brings, and their examples.

/// Rules and examples: name of the file under `detect/rules/` without its ending, its text, and the text of its examples.
macro_rules! pack {
    ($($name:literal),* $(,)?) => {
        pub(crate) const RULES: [(&str, &str); [$($name),*].len()] =
            [$(($name, include_str!(concat!("../../rules/", $name, ".yml")))),*];
        pub(crate) const EXAMPLES: [(&str, &str); RULES.len()] =
            [$(($name, include_str!(concat!("../../rules/tests/", $name, ".ndjson")))),*];
    };
}

/// Lists that the examples stand on: name, whether it holds networks, text.
macro_rules! lists {
    ($(($name:literal, $ending:literal)),* $(,)?) => {
        pub(crate) const LISTS: [(&str, bool, &str); [$($name),*].len()] =
            [$(($name, matches!($ending.as_bytes(), b"cidr"), include_str!(concat!("../../rules/tests/lists/", $name, ".", $ending)))),*];
    };
}

pack!(
    "abandoned_approvals",
    "anonymous_write",
    "capability_probing",
    "credential_beyond_scopes",
    "destructive_burst",
    "environment_crossing",
    "expired_credential",
    "metadata_endpoint",
    "nonproduction_tool_in_production",
    "output_blocked",
    "repeated_non_idempotent_call",
    "repeated_validation_failures",
    "secret_then_egress",
    "self_approval",
    "sensitive_file",
    "success_after_auth_failures",
    "target_cut",
    "unapproved_tool",
    "unknown_network",
    "unregistered_server",
);

lists!(
    ("approved_tools", "txt"),
    ("known_countries", "txt"),
    ("known_networks", "cidr"),
    ("nonproduction_servers", "txt"),
    ("registered_servers", "txt"),
    ("scopes_admin", "txt"),
    ("scopes_destructive", "txt"),
    ("scopes_execute", "txt"),
    ("scopes_read", "txt"),
    ("scopes_write", "txt"),
);

/// The name of a shipped file in messages and in [`crate::Rule::file`].
pub(crate) fn file(name: &str) -> String {
    format!("shipped/{name}.yml")
}
