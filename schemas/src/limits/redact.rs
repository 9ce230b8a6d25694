//! Redaction.

/// Deepest nesting of arrays and objects in one JSON value.
pub const REDACT_DEPTH_MAX: usize = 1024;
/// Longest class name a marker may carry, in bytes.
pub const REDACT_CLASS_BYTES_MAX: usize = 32;
/// Longest word after the colon of a foreign mask, in bytes.
pub const REDACT_MASK_DETAIL_BYTES_MAX: usize = 32;
/// Longest stretch of a name that is looked at, in bytes, from its end.
pub const REDACT_NAME_BYTES_MAX: usize = 64;
/// Levels of JSON inside JSON strings that are parsed; deeper ones are treated as text.
pub const REDACT_NESTED_LEVELS_MAX: usize = 6;
/// Passes over a text until nothing more is found; two are the rule.
pub const REDACT_PASSES_MAX: usize = 8;
/// Characters of base64 by which a run is told from other words: its shortest length.
pub const REDACT_ENCODED_CHARACTERS_MIN: usize = 24;
/// Levels of base64 inside base64 that are decoded.
pub const REDACT_ENCODED_LEVELS_MAX: usize = 2;
/// Shortest key below a secret's name that may itself be the secret, in bytes.
pub const REDACT_OPAQUE_KEY_BYTES_MIN: usize = 16;
/// Most white space between two words of a line `login NAME password VALUE`, in bytes.
pub const REDACT_GAP_BYTES_MAX: usize = 8;
