//! Which machine this is: a copy of data and keys to another must not sign what the first one signs.

use std::path::Path;

/// Names another file than the system's, for containers and tests.
const OVERRIDE: &str = "TACHO_MACHINE_ID_FILE";
const SYSTEM: &str = "/etc/machine-id";
const CONTEXT: &str = "tachograph 2026-11 machine id v1";

fn id() -> String {
    #[cfg(test)]
    if let Some(id) = super::tests::machine() {
        return id;
    }
    let named = std::env::var_os(OVERRIDE);
    let path = named.as_deref().map_or(Path::new(SYSTEM), Path::new);
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A digest of this machine's id under the installation's, 32 hex digits; empty where the machine has none.
/// The id itself is nobody's business (machine-id(5)).
pub(super) fn digest(installation: &str) -> String {
    let id = id();
    let id = id.trim();
    // Systems that have not been set up yet say so in its place.
    if id.is_empty() || id == "uninitialized" {
        return String::new();
    }
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(installation.as_bytes()).update(b"\n").update(id.as_bytes());
    hasher.finalize().to_hex().chars().take(32).collect()
}
