//! Does a value look random? Asked only where a name beside it makes a secret likely: alone it tells secrets from
//! identifiers and digests as little as anybody can.

/// Shortest value that is judged, in bytes.
pub(crate) const BYTES_MIN: usize = schemas::limits::REDACT_RANDOM_BYTES_MIN;

/// A byte of which random values are made.
pub(crate) const fn is_random_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-' | b'.' | b'~' | b'$')
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upper,
    Lower,
    Digit,
    Sign,
}

const fn kind(byte: u8) -> Kind {
    match byte {
        b'A'..=b'Z' => Kind::Upper,
        b'a'..=b'z' => Kind::Lower,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::Sign,
    }
}

/// True for a long run of letters and digits that change from one kind to the other more often than words and numbers joined
/// by signs do. Identifiers in the form of a UUID are none.
pub(crate) fn looks_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    // Without a digit the two cases must change as seldom words do.
    let changes_min = if digits == 0 { value.len() * 2 } else { value.len() };
    if value.len() < BYTES_MIN
        || letters == 0
        || !value.iter().copied().all(is_random_byte)
        || is_uuid(value)
        || is_ulid(value)
        || is_file_name(value)
    {
        return false;
    }
    let pairs = value.windows(2).filter(|pair| pair.iter().all(|byte| kind(*byte) != Kind::Sign));
    let changes = pairs.filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    // Of random hexadecimal digits nearly half of the pairs change, of words in camel case with a number a tenth.
    changes * 5 >= changes_min
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(index, byte)| {
            if matches!(index, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
}

/// Crockford's base32 of a time of these decades and of chance: 26 characters, without `I`, `L`, `O` and `U`.
fn is_ulid(value: &[u8]) -> bool {
    value.len() == 26
        && value.starts_with(b"01")
        && value.iter().all(|byte| {
            byte.is_ascii_digit() || byte.is_ascii_uppercase() && !matches!(byte, b'I' | b'L' | b'O' | b'U')
        })
}

/// Letters of a file's ending.
const ENDING: std::ops::RangeInclusive<usize> = 2..=4;

/// True for what ends as a file's name does.
fn is_file_name(value: &[u8]) -> bool {
    let ending = value.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    ENDING.contains(&ending.len()) && ending.len() < value.len() && ending.iter().all(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MIN, looks_random};

    #[test]
    fn random_values_are_told_from_words_and_identifiers() {
        for value in [
            "a9F3kq0ZtR7bM2xW",
            "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "k3x9q7w2m5z8r4t6y1u0pas",
            "aB3+dE5/fG7=hJ9k",
            "XhAFJnixWTiYmrEPqSKW",
        ] {
            assert!(value.len() >= BYTES_MIN && looks_random(value.as_bytes()), "{value}");
            assert!(!looks_random(&value.as_bytes()[..BYTES_MIN - 1]), "{value}");
        }
        for value in [
            "deploy-eu-west-1-prod-2026",
            "2026-11-21T10:00:00Z",
            "019cabdf-f19c-7574-b9d1-4978b060578d",
            "projects/12345678/locations",
            "GettingStartedWithDeployments",
            "12345678901234567890",
            "the quick brown fox 1 2 3",
            "01J9ZK3M8Q4R7T2V5W6X8Y0A1B",
            "9f86d081884c7d659a2feaa0c55ad015.png",
        ] {
            assert!(!looks_random(value.as_bytes()), "{value}");
        }
    }
}
