//! The marker that stands for a secret, and the masks of others that need no second redaction.

/// How many hexadecimal digits of the fingerprint are kept (48 bits: enough to follow, too few to be a commitment).
const FINGERPRINT_DIGITS: usize = 12;
/// Longest class name a marker may carry, in bytes.
const CLASS_BYTES_MAX: usize = schemas::limits::REDACT_CLASS_BYTES_MAX;
const PREFIX: &[u8] = b"<redacted:";
/// Longest word after the colon of a foreign mask, in bytes.
const MASK_DETAIL_BYTES_MAX: usize = schemas::limits::REDACT_MASK_DETAIL_BYTES_MAX;
/// Words that others put in square brackets where a secret was.
const MASK_WORDS: &[&[u8]] = &[b"redacted", b"filtered", b"masked", b"removed", b"hidden"];

/// `<redacted:CLASS:FINGERPRINT>`; the fingerprint is keyed BLAKE3 over (class, 0x00, secret), first 12 hexadecimal digits.
pub(crate) fn marker(key: &[u8; 32], class: &str, secret: &[u8]) -> String {
    format!("<redacted:{class}:{}>", fingerprint(key, class, secret))
}

/// Keyed BLAKE3 over (class, 0x00, secret), first 12 hexadecimal digits.
pub(crate) fn fingerprint(key: &[u8; 32], class: &str, secret: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(class.as_bytes()).update(&[0]).update(secret);
    hasher.finalize().to_hex()[..FINGERPRINT_DIGITS].to_string()
}

/// The length of our own marker when `bytes` starts with one.
pub(crate) fn marker_len(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(PREFIX)?;
    let class = rest
        .iter()
        .take(CLASS_BYTES_MAX + 1)
        .take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        .count();
    if class == 0 || class > CLASS_BYTES_MAX {
        return None;
    }
    // What was dropped has no fingerprint.
    if rest.get(class) == Some(&b'>') {
        return Some(PREFIX.len() + class + 1);
    }
    if rest.get(class) != Some(&b':') {
        return None;
    }
    let digits = rest.get(class + 1..class + 1 + FINGERPRINT_DIGITS)?;
    let lower_hex = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let end = class + 1 + FINGERPRINT_DIGITS;
    (lower_hex && rest.get(end) == Some(&b'>')).then_some(PREFIX.len() + end + 1)
}

/// The length of the foreign mask (`[REDACTED]`, `[REDACTED:email]`, `****`) that `bytes` starts with.
fn mask_len(bytes: &[u8]) -> Option<usize> {
    let stars = bytes.iter().take_while(|byte| **byte == b'*').count();
    if stars >= 3 {
        return Some(stars);
    }
    let rest = bytes.strip_prefix(b"[")?;
    let word = MASK_WORDS
        .iter()
        .find(|word| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))?;
    let rest = rest.get(word.len()..)?;
    let detail = match rest.strip_prefix(b":") {
        None => 0,
        Some(detail) => {
            let len = detail
                .iter()
                .take(MASK_DETAIL_BYTES_MAX + 1)
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
                .count();
            if len > MASK_DETAIL_BYTES_MAX {
                return None;
            }
            1 + len
        }
    };
    (rest.get(detail) == Some(&b']')).then_some(1 + word.len() + detail + 1)
}

/// The length of the marker or mask that `bytes` starts with.
pub(crate) fn inert_len(bytes: &[u8]) -> Option<usize> {
    marker_len(bytes).or_else(|| mask_len(bytes))
}

/// True when there is nothing to hide in a value: it is empty, a marker or a mask, with or without its scheme
/// (`Bearer ****`).
pub(crate) fn is_inert(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    if value.is_empty() || inert_len(value) == Some(value.len()) {
        return true;
    }
    ["bearer ", "basic ", "token "].iter().any(|scheme| {
        value.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme.as_bytes()))
            && value.get(scheme.len()..).is_some_and(|rest| inert_len(rest) == Some(rest.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::{inert_len, is_inert, marker, marker_len};

    #[test]
    fn marker_is_keyed_and_recognised() {
        let one = marker(&[1; 32], "jwt", b"abc");
        assert_eq!(marker_len(one.as_bytes()), Some(one.len()));
        assert_ne!(one, marker(&[2; 32], "jwt", b"abc"));
        assert_ne!(one, marker(&[1; 32], "jwt", b"abd"));
        // The class is part of what is hashed, and the zero byte keeps class and secret apart.
        assert_ne!(one[one.len() - 13..], marker(&[1; 32], "token", b"abc")[8 + 8..][..13]);
        let expected = blake3::keyed_hash(&[1; 32], b"jwt\0abc").to_hex();
        assert_eq!(one, format!("<redacted:jwt:{}>", &expected[..12]));
    }

    #[test]
    fn a_marker_of_what_was_dropped_has_no_fingerprint() {
        assert_eq!(marker_len(b"<redacted:email> x"), Some(16));
        assert_eq!(marker_len(b"<redacted:>"), None);
    }

    #[test]
    fn only_the_exact_form_is_ours() {
        for text in [
            "<redacted:jwt:0123456789a>",
            "<redacted:jwt:0123456789abc>",
            "<redacted:jwt:0123456789AB>",
            "<redacted::0123456789ab>",
            "<redacted:JWT:0123456789ab>",
            "<redacted:jwt:0123456789ab",
            "redacted:jwt:0123456789ab>",
        ] {
            assert_eq!(marker_len(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn masks_are_inert_and_near_masks_are_not() {
        for text in ["[REDACTED]", "[redacted:email]", "****", "***", "", " ", "Bearer ****", "[FILTERED]"] {
            assert!(is_inert(text.as_bytes()), "{text}");
        }
        for text in ["**", "[REDACTED]x", "****x", "[REDACTED:a b]", "[SECRET]", "Bearer abc", "x [REDACTED]"]
        {
            assert!(!is_inert(text.as_bytes()), "{text}");
        }
        assert_eq!(inert_len(b"[REDACTED]x"), Some(10));
    }
}
