//! The mapping files that come with the program: which key of a source goes to which column, as data.
//!
//! What the files may say is in `docs/mappings.md`; who carries them out is the ingest.

/// File name and content, in no order that matters.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("jsonrpc.toml", include_str!("../mappings/jsonrpc.toml")),
    ("agentgateway.toml", include_str!("../mappings/agentgateway.toml")),
    ("contextforge.toml", include_str!("../mappings/contextforge.toml")),
    ("docker.toml", include_str!("../mappings/docker.toml")),
    ("gateways.toml", include_str!("../mappings/gateways.toml")),
    ("hosts.toml", include_str!("../mappings/hosts.toml")),
    ("otel.toml", include_str!("../mappings/otel.toml")),
];
