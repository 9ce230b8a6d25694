//! Signed notes (C2SP signed-note): parsing, verifying, and the bytes that a signer must sign.
//!
//! ```text
//! <text ending in newline>
//! <blank line>
//! — <key name> <base64(key id (4) || signature (64))>
//! ```
//! Stricter than the specification where it leaves room: base64 must re-encode to itself, a key may sign once,
//! and Ed25519 signatures are checked with `verify_strict`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use crate::{Error, Result};

/// Signature type byte of an Ed25519 note signature.
pub const ALGORITHM_ED25519: u8 = 1;

/// A public key that verifies notes, with its name: `<name>+<8 hex of key id>+<base64(0x01 || key)>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

/// The first four bytes of `SHA-256(name || 0x0A || 0x01 || key)`.
pub fn key_id(name: &str, key: &[u8; 32]) -> u32 {
    typed_key_id(name, ALGORITHM_ED25519, key)
}

/// The first four bytes of `SHA-256(name || 0x0A || type || key)`.
pub(crate) fn typed_key_id(name: &str, algorithm: u8, key: &[u8; 32]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', algorithm]);
    hasher.update(key);
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}

/// Whether `name` may name a key: not empty, no white space, no `+`.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+')
}

pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text)
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the name is unusable or the bytes are no Ed25519 key.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<VerifierKey> {
        if !is_name(name) {
            return Err(Error::malformed("key name", format!("{name:?} is empty or has white space or +")));
        }
        let parsed = VerifyingKey::from_bytes(key)
            .ok()
            .filter(|parsed| !parsed.is_weak())
            .ok_or_else(|| Error::malformed("verifier key", "not a usable Ed25519 public key"))?;
        Ok(VerifierKey { name: name.to_string(), id: key_id(name, key), key: parsed })
    }

    /// The name, which for checkpoints is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The 32 raw bytes of the key.
    pub fn key_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ALGORITHM_ED25519][..], &self.key.to_bytes()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<VerifierKey> {
        let wrong = |detail: &str| Error::malformed("verifier key", detail.to_string());
        let (name, rest) = text.split_once('+').ok_or_else(|| wrong("expected name+id+key"))?;
        let (id, key) = rest.split_once('+').ok_or_else(|| wrong("expected name+id+key"))?;
        let typed = decode_base64(key).ok_or_else(|| wrong("the key is not base64"))?;
        let key: [u8; 32] = match typed.split_first() {
            Some((&ALGORITHM_ED25519, key)) => {
                key.try_into().map_err(|_| wrong("an Ed25519 key has 32 bytes"))?
            }
            _ => return Err(wrong("only Ed25519 (type 1) keys are known")),
        };
        let parsed = VerifierKey::new(name, &key)?;
        if format!("{:08x}", parsed.id) != id {
            return Err(wrong("the key id does not belong to name and key"));
        }
        Ok(parsed)
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key that is said to have signed.
    pub name: String,
    /// Its id.
    pub id: u32,
    /// The signature bytes, not yet checked.
    pub signature: Vec<u8>,
}

/// A note as it was read: nothing of it is trusted before [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// Parses a note.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not UTF-8, has control characters but newline, lacks the blank line, or a
    /// signature line is not as written; [`Error::TooLarge`] past the limits.
    pub fn parse(bytes: &[u8]) -> Result<Note> {
        let wrong = |detail: &str| Error::malformed("note", detail.to_string());
        let too_large = |what, actual: usize, limit: usize| Error::TooLarge {
            what,
            actual: actual as u64,
            limit: limit as u64,
        };
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(too_large("bytes of a note", bytes.len(), NOTE_BYTES_MAX));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))?;
        if whole.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(wrong("a control character"));
        }
        let (text, lines) =
            whole.rsplit_once("\n\n").ok_or_else(|| wrong("no blank line before signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or_else(|| wrong("the last line does not end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == NOTE_SIGNATURES_MAX {
                return Err(too_large("signatures of a note", NOTE_SIGNATURES_MAX + 1, NOTE_SIGNATURES_MAX));
            }
            signatures.push(SignatureLine::parse(line)?);
        }
        Ok(Note { text: format!("{text}\n"), signatures })
    }

    /// The text, unverified.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The text, if `key` signed it. Lines of other keys are ignored, as the specification asks.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when `key` did not sign, signed twice, or its signature is wrong.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str> {
        let fail = |detail: String| Error::mismatch("note signature", detail);
        let mut own = self.signatures.iter().filter(|line| line.name == key.name && line.id == key.id);
        let (Some(line), None) = (own.next(), own.next()) else {
            return Err(fail(format!("not exactly one by {}", key.name)));
        };
        let signature = Signature::from_slice(&line.signature)
            .map_err(|_| fail(format!("{} bytes where Ed25519 has 64", line.signature.len())))?;
        key.key
            .verify_strict(self.text.as_bytes(), &signature)
            .map_err(|_| fail(format!("wrong signature by {}", key.name)))?;
        Ok(&self.text)
    }
}

impl SignatureLine {
    /// A line for a signature over a note's text.
    pub fn new(key: &VerifierKey, signature: &[u8; 64]) -> SignatureLine {
        SignatureLine { name: key.name.clone(), id: key.id, signature: signature.to_vec() }
    }

    fn parse(line: &str) -> Result<SignatureLine> {
        let wrong = || Error::malformed("note", "a signature line is not `— name base64`");
        let rest = line.strip_prefix("— ").ok_or_else(wrong)?;
        let (name, blob) = rest.split_once(' ').ok_or_else(wrong)?;
        let blob = decode_base64(blob).ok_or_else(wrong)?;
        let (id, signature) = blob.split_first_chunk::<4>().ok_or_else(wrong)?;
        if !is_name(name) || signature.is_empty() {
            return Err(wrong());
        }
        Ok(SignatureLine {
            name: name.to_string(),
            id: u32::from_be_bytes(*id),
            signature: signature.to_vec(),
        })
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.id.to_be_bytes()[..], &self.signature].concat();
        write!(f, "— {} {}", self.name, STANDARD.encode(blob))
    }
}

/// The note of `text`, which must end in a newline, with the given signature lines.
pub fn assemble(text: &str, lines: &[SignatureLine]) -> String {
    let mut note = format!("{text}\n");
    for line in lines {
        note.push_str(&line.to_string());
        note.push('\n');
    }
    note
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn signed(text: &str) -> (VerifierKey, Vec<u8>) {
        let signing = SigningKey::from_bytes(&[7; 32]);
        let key = VerifierKey::new("example.com/log", &signing.verifying_key().to_bytes()).unwrap();
        let line = SignatureLine::new(&key, &signing.sign(text.as_bytes()).to_bytes());
        (key, assemble(text, &[line]).into_bytes())
    }

    #[test]
    fn a_signed_note_verifies_and_every_changed_byte_is_refused() {
        let (key, bytes) = signed("hello\nworld\n");
        assert_eq!(Note::parse(&bytes).unwrap().verify(&key).unwrap(), "hello\nworld\n");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                let result = Note::parse(&other).and_then(|note| note.verify(&key).map(str::to_string));
                assert!(result.is_err(), "byte {at} bit {bit}");
            }
        }
    }

    /// The example key and note of golang.org/x/mod/sumdb/note, which the C2SP document descends from.
    #[test]
    fn the_published_example_verifies() {
        let key: VerifierKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let note = Note::parse(note.as_bytes()).unwrap();
        assert!(note.verify(&key).unwrap().starts_with("If you think"));
        assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
    }

    #[test]
    fn keys_have_one_spelling() {
        let (key, _) = signed("x\n");
        let text = key.to_string();
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            let parsed = String::from_utf8(other).ok().and_then(|text| text.parse::<VerifierKey>().ok());
            assert!(parsed.is_none_or(|parsed| parsed != key), "byte {at}");
        }
    }

    #[test]
    fn two_signatures_of_one_key_are_refused() {
        let (key, bytes) = signed("x\n");
        let mut text = String::from_utf8(bytes).unwrap();
        let line = text.lines().last().unwrap().to_string();
        text.push_str(&line);
        text.push('\n');
        assert!(Note::parse(text.as_bytes()).unwrap().verify(&key).is_err());
    }
}
