//! Signatures of Standard Webhooks 1.0.0 (`spec/standard-webhooks.md`, "Signature scheme"): over `id.timestamp.payload`, with each
//! key, `v1,` HMAC-SHA256 and `v1a,` Ed25519, base64, with spaces between.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit as _, Mac as _};
use schemas::limits::{WEBHOOK_KEYS_MAX, WEBHOOK_SECRET_BYTES_MAX, WEBHOOK_SECRET_BYTES_MIN};
use sha2::Sha256;

use crate::error::Result;
use crate::secret::{Credential, Secret};

/// As keys are handed out: with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug)]
enum Key {
    Shared(Secret),
    Own(Box<SigningKey>),
}

/// What a webhook is signed with.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// The keys as they are now.
    ///
    /// # Errors
    /// As [`Credential::read`]; what is no key, by its number.
    pub(super) fn read(credential: &Credential) -> Result<Keys> {
        let secret = credential.read()?;
        let text = std::str::from_utf8(secret.reveal()).map_err(|_| credential.wrong("is not text"))?;
        let mut keys = Vec::new();
        for (at, word) in text.split_ascii_whitespace().enumerate() {
            if at == WEBHOOK_KEYS_MAX {
                return Err(credential.wrong(&format!("has more than {WEBHOOK_KEYS_MAX} keys")));
            }
            let key =
                Key::parse(word).map_err(|what| credential.wrong(&format!("key {}: {what}", at + 1)))?;
            keys.push(key);
        }
        if keys.is_empty() { Err(credential.wrong("has no key")) } else { Ok(Keys(keys)) }
    }

    /// The value of `webhook-signature`.
    ///
    /// # Errors
    /// For a key that no message can be signed with, which none that was read is.
    pub(super) fn sign(&self, id: &str, timestamp_s: i64, payload: &[u8]) -> Result<String, InvalidLength> {
        let mut signed = Vec::with_capacity(id.len() + payload.len() + 32);
        signed.extend_from_slice(format!("{id}.{timestamp_s}.").as_bytes());
        signed.extend_from_slice(payload);
        let signatures: Vec<String> = self.0.iter().map(|key| key.sign(&signed)).collect::<Result<_, _>>()?;
        Ok(signatures.join(" "))
    }
}

impl Key {
    fn parse(word: &str) -> Result<Key, String> {
        let (is_shared, text) = match (word.strip_prefix("whsec_"), word.strip_prefix("whsk_")) {
            (Some(text), _) => (true, text),
            (_, Some(text)) => (false, text),
            _ => return Err("begins neither with whsec_ nor with whsk_".to_string()),
        };
        // The error would quote what was read.
        let bytes = LENIENT.decode(text).map_err(|_| "is not base64 behind its prefix".to_string())?;
        let bytes = Secret::new(bytes);
        let length = bytes.reveal().len();
        if is_shared {
            if (WEBHOOK_SECRET_BYTES_MIN..=WEBHOOK_SECRET_BYTES_MAX).contains(&length) {
                return Ok(Key::Shared(bytes));
            }
            return Err(format!(
                "has {length} bytes; a shared secret has {WEBHOOK_SECRET_BYTES_MIN} to {WEBHOOK_SECRET_BYTES_MAX}"
            ));
        }
        // The seed alone, or with the public key behind it.
        let pair = <&[u8; 64]>::try_from(bytes.reveal())
            .ok()
            .and_then(|pair| SigningKey::from_keypair_bytes(pair).ok());
        let seed = <&[u8; 32]>::try_from(bytes.reveal()).ok().map(SigningKey::from_bytes);
        let key = pair.or(seed).ok_or("is no Ed25519 key of 32 bytes, or of 64 with its public key")?;
        Ok(Key::Own(Box::new(key)))
    }

    fn sign(&self, signed: &[u8]) -> Result<String, InvalidLength> {
        match self {
            Key::Shared(secret) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal())?;
                mac.update(signed);
                Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
            }
            Key::Own(key) => Ok(format!("v1a,{}", STANDARD.encode(key.sign(signed).to_bytes()))),
        }
    }
}

/// The id of a message as a header has it: no full stop, which divides what is signed, and only what a header can have. Different
/// ids stay different.
pub(super) fn id(id: &str) -> String {
    let mut kept = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_:@/+=".contains(&byte) {
            kept.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(kept, "%{byte:02X}").ok();
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier as _;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Keys> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, text).unwrap();
        Keys::read(&Credential::new("s", "key", Some(&path), None).unwrap().unwrap())
    }

    /// The published vector of the reference libraries' tests.
    #[test]
    fn the_published_vector_is_signed_as_published() {
        let keys = read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature =
            keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_key_signs() {
        let own = SigningKey::from_bytes(&[7; 32]);
        let shared = STANDARD.encode([1; 24]);
        let text = format!(
            "whsec_{shared}\nwhsk_{}\nwhsk_{}\n",
            STANDARD.encode(own.to_bytes()),
            STANDARD.encode(own.to_keypair_bytes()).trim_end_matches('=')
        );
        let keys = read(&text).unwrap();
        assert!(!format!("{keys:?}").contains(&shared), "{keys:?}");
        let signatures = keys.sign("a", 5, b"{}").unwrap();
        let signatures: Vec<&str> = signatures.split(' ').collect();
        assert_eq!(signatures.len(), 3);
        assert!(signatures[0].starts_with("v1,"));
        assert_eq!(signatures[1], signatures[2]);
        let bytes = STANDARD.decode(signatures[1].strip_prefix("v1a,").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
        own.verifying_key().verify(b"a.5.{}", &signature).unwrap();
    }

    #[test]
    fn what_is_no_key_is_told_by_its_number_alone() {
        let shared = format!("whsec_{}", STANDARD.encode([1; 24]));
        let short = STANDARD.encode([b'x'; 23]);
        let wrong_pair = STANDARD.encode([b'x'; 64]);
        for (text, says) in [
            (format!("{shared} hunter2"), "key 2: begins neither"),
            ("whsec_hunter2!".to_string(), "key 1: is not base64"),
            (format!("whsec_{short}"), "has 23 bytes"),
            (format!("whsk_{short}"), "is no Ed25519 key"),
            (format!("whsk_{wrong_pair}"), "is no Ed25519 key"),
            ((0..=WEBHOOK_KEYS_MAX).map(|_| format!("{shared}\n")).collect(), "more than 8 keys"),
            (" ".to_string(), "has no key"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            let shown = format!("{error} {error:?}");
            for secret in ["hunter2", &short, &wrong_pair, &shared] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn an_id_divides_nothing_and_stays_itself() {
        assert_eq!(id("0a1b-3"), "0a1b-3");
        assert_eq!(id("a.b c\r\nü%"), "a%2Eb%20c%0D%0A%C3%BC%25");
        assert_ne!(id("a%2E"), id("a."));
    }

    /// The way back.
    fn unescaped(id: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), id);
        while let Some(letter) = rest.chars().next() {
            let (read, length) = match letter {
                '%' => (u8::from_str_radix(&rest[1..3], 16).unwrap(), 3),
                letter => (u8::try_from(letter).unwrap(), 1),
            };
            bytes.push(read);
            rest = &rest[length..];
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_id_fits_into_a_header_and_is_told_from_every_other(text: String) {
            let id = id(&text);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.'));
            prop_assert_eq!(unescaped(&id), text.as_bytes());
        }
    }
}
