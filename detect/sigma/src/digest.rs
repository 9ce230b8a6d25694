//! BLAKE3 over values in one canonical order: keys of maps sorted, everything preceded by its kind and length.

use serde_json::Value;

pub(crate) fn hasher(context: &str) -> blake3::Hasher {
    blake3::Hasher::new_derive_key(context)
}

pub(crate) fn text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

/// Sorts by itself: the order of a map of serde_json depends on a feature that any crate of the build can turn on.
pub(crate) fn json(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null => drop(hasher.update(b"n")),
        Value::Bool(flag) => drop(hasher.update(if *flag { b"t" } else { b"f" })),
        Value::Number(number) => {
            hasher.update(b"i");
            text(hasher, &number.to_string());
        }
        Value::String(string) => {
            hasher.update(b"s");
            text(hasher, string);
        }
        Value::Array(items) => {
            hasher.update(b"a").update(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| json(hasher, item));
        }
        Value::Object(map) => {
            hasher.update(b"o").update(&(map.len() as u64).to_le_bytes());
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                text(hasher, key);
                json(hasher, map.get(key).unwrap_or(&Value::Null));
            }
        }
    }
}
