//! Random texts that are told once and kept as digests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of randomness in each.
const RANDOM_LENGTH: usize = 32;
/// What they are as text.
const TEXT_LENGTH: usize = 43;
/// BLAKE3 context of the digests.
const DIGEST_CONTEXT: &str = "tachograph 2026-11 browser login digest v1";

/// All that is kept of a secret.
pub(super) type Digest = [u8; 32];

/// A new one; `None` where the operating system has no randomness.
pub(super) fn random() -> Option<String> {
    let mut bytes = [0; RANDOM_LENGTH];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// The digest of a text that looks like one of ours.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_one = text.len() == TEXT_LENGTH && text.bytes().all(is_plain);
    is_one.then(|| blake3::derive_key(DIGEST_CONTEXT, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_only_such_texts_have_a_digest() {
        let (first, second) = (random().unwrap(), random().unwrap());
        assert_ne!(first, second);
        assert_ne!(digest(&first).unwrap(), digest(&second).unwrap());
        for bad in ["", &first[1..], &format!("{first}x"), &first.replacen(&first[..1], "=", 1)] {
            assert_eq!(digest(bad), None, "{bad}");
        }
    }
}
