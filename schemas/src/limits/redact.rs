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
/// Levels of base64, hexadecimal digits and percent-encoding inside each other that are decoded.
pub const REDACT_ENCODED_LEVELS_MAX: usize = 3;
/// Shortest key below a secret's name that may itself be the secret, in bytes.
pub const REDACT_OPAQUE_KEY_BYTES_MIN: usize = 16;
/// Most white space between two words of a line `login NAME password VALUE`, in bytes.
pub const REDACT_GAP_BYTES_MAX: usize = 8;
/// Digits by which hexadecimal text is told from numbers and digests; a run's shortest length.
pub const REDACT_HEXADECIMAL_CHARACTERS_MIN: usize = 24;
/// Shortest value that can look random, in bytes.
pub const REDACT_RANDOM_BYTES_MIN: usize = 16;
/// Shortest password of a URL that was cut off before its host, in bytes.
pub const REDACT_CUT_PASSWORD_BYTES_MIN: usize = 5;
/// Shortest password that prose can tell (`the password is ...`), in bytes.
pub const REDACT_SAID_PASSWORD_BYTES_MIN: usize = 6;
/// Longest name of a member that is told in `redactions`, in bytes.
pub const REDACT_PLACE_BYTES_MAX: usize = 64;
/// Longest local part of an email address, in bytes (RFC 5321).
pub const REDACT_EMAIL_LOCAL_BYTES_MAX: usize = 64;
/// Longest domain of an email address, in bytes (RFC 5321).
pub const REDACT_EMAIL_DOMAIN_BYTES_MAX: usize = 255;
/// Longest address of the internet protocol with its port, in bytes.
pub const REDACT_ADDRESS_BYTES_MAX: usize = 45;
/// Most digits of a number that is looked at as personal data.
pub const REDACT_NUMBER_DIGITS_MAX: usize = 24;
/// Most events of one review's sample.
pub const REDACT_REVIEW_ROWS_MAX: u64 = 500;
/// Most bytes of a review's request body: what is recorded of it must fit into the statement of an entry.
pub const REDACT_REVIEW_BODY_BYTES_MAX: usize = 12 << 10;
/// Most bytes that `tacho redaction test` reads.
pub const REDACT_TEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a value under a name that is only likely to mean a secret by which it is judged; more of it is not looked at.
pub const REDACT_JUDGED_BYTES_MAX: usize = 256;
/// How far beyond its authority a URL's password that nobody encoded is looked for, in bytes.
pub const REDACT_URL_REACH_BYTES_MAX: usize = 256;
/// Longest prefix or wrapper between a sign of assignment and the quote of the value, in bytes.
pub const REDACT_WRAPPER_BYTES_MAX: usize = 32;
/// From this length what stands under the name `token` alone is no word of a vocabulary, in bytes.
pub const REDACT_PIECE_BYTES_MAX: usize = 8;
/// Tokens of one JSON value that are kept while it is redacted; one of more is refused.
pub const REDACT_TOKENS_MAX: usize = 4 << 20;
/// Replacements in one JSON value or text; a value of more is refused, a text of more is replaced as a whole.
pub const REDACT_EDITS_MAX: usize = 64 << 10;
/// How far back on its line an opened quote, and the sign before a parameter, are looked for, in bytes.
pub const REDACT_BACK_BYTES_MAX: usize = 256;
/// Bytes of a question past its column's cap that are redacted before it is cut, so that no secret stands over the cut.
pub const REDACT_CUT_MARGIN_BYTES: usize = 4 << 10;
