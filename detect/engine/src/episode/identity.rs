//! The id of an episode.

use crate::MODEL_VERSION;

/// 32 hex digits. Each field is preceded by its length, so that no two lists of fields hash the same bytes.
pub(super) fn alert_id(rule_id: &str, tenant: &str, entity_key: &str, opening_index: i64) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tachograph engine alert id v1");
    for field in [rule_id, tenant, entity_key] {
        hasher.update(&(field.len() as u64).to_le_bytes()).update(field.as_bytes());
    }
    hasher.update(&opening_index.to_le_bytes()).update(&MODEL_VERSION.to_le_bytes());
    hasher.finalize().to_hex().as_str()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alert_ids_separate_their_fields() {
        assert_ne!(alert_id("ab", "c", "", 1), alert_id("a", "bc", "", 1));
        assert_eq!(alert_id("a", "b", "c", 1).len(), 32);
    }
}
