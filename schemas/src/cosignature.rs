//! Cosignatures (C2SP tlog-cosignature, `cosignature/v1`): what a witness says of a checkpoint, and when.
//!
//! ```text
//! signed:  cosignature/v1\n  time <seconds>\n  <text of the checkpoint, extension lines too>
//! line:    — <name> <base64(key id (4) || u64 BE seconds || Ed25519 signature (64))>
//! key id:  SHA-256(name || 0x0A || 0x04 || key)[..4]
//! ```
//! As strict as [`crate::note`]: one spelling, `verify_strict`, one cosignature a key in a note.
//!
//! Newer versions of the specification have ML-DSA-44 (type 0x06) beside Ed25519. Lines of keys that are not known are
//! ignored wherever notes are read, of whatever type they are; a key of another type than 0x04 is refused where one is
//! configured, so that nobody waits for a cosignature that cannot be checked here.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::limits::WITNESS_TIME_S_MAX;
use crate::note::{Note, SignatureLine, assemble, decode_base64, is_name, typed_key_id};
use crate::{Error, Result};

/// Signature type byte of an Ed25519 cosignature.
pub const ALGORITHM_COSIGNATURE: u8 = 4;
/// First line of what is signed.
const HEADER: &str = "cosignature/v1";

/// A public key that verifies cosignatures, with its name: `<name>+<8 hex of key id>+<base64(0x04 || key)>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

/// A cosignature that was checked: who, and when by that one's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// When, POSIX seconds.
    pub time_s: u64,
    /// The line as it stands in the note.
    pub line: SignatureLine,
}

impl CosignerKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the name is unusable or the bytes are no Ed25519 key.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<CosignerKey> {
        if !is_name(name) {
            return Err(Error::malformed("key name", format!("{name:?} is empty or has white space or +")));
        }
        let parsed = VerifyingKey::from_bytes(key)
            .ok()
            .filter(|parsed| !parsed.is_weak())
            .ok_or_else(|| Error::malformed("cosigner key", "not a usable Ed25519 public key"))?;
        Ok(CosignerKey {
            name: name.to_string(),
            id: typed_key_id(name, ALGORITHM_COSIGNATURE, key),
            key: parsed,
        })
    }

    /// The name.
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

    /// Whether this line says that it is of this key.
    pub fn is_named_by(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.id == self.id
    }

    /// The line of a signature over [`message`].
    pub fn line(&self, time_s: u64, signature: &[u8; 64]) -> SignatureLine {
        let signature = [&time_s.to_be_bytes()[..], signature].concat();
        SignatureLine { name: self.name.clone(), id: self.id, signature }
    }

    /// This key's cosignature of the note, if there is one; lines of other keys are ignored.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when there are two, or it is wrong: the whole note is then to be refused.
    pub fn find(&self, note: &Note) -> Result<Option<Cosignature>> {
        let fail = |detail: String| Error::mismatch("cosignature", detail);
        let mut own = note.signatures().iter().filter(|line| self.is_named_by(line));
        let line = match (own.next(), own.next()) {
            (None, _) => return Ok(None),
            (Some(line), None) => line,
            (Some(_), Some(_)) => return Err(fail(format!("two by {}", self.name))),
        };
        let length = line.signature.len();
        let split = line.signature.split_first_chunk::<8>().and_then(|(time, signature)| {
            Some((u64::from_be_bytes(*time), Signature::from_slice(signature).ok()?))
        });
        let (time_s, signature) = split.ok_or_else(|| fail(format!("{length} bytes where it has 72")))?;
        if time_s > WITNESS_TIME_S_MAX {
            return Err(fail(format!("{} says a time over 2^63 - 1", self.name)));
        }
        self.key
            .verify_strict(message(time_s, note.unverified_text()).as_bytes(), &signature)
            .map_err(|_| fail(format!("wrong one by {}", self.name)))?;
        Ok(Some(Cosignature { time_s, line: line.clone() }))
    }

    /// This key's cosignature of the note.
    ///
    /// # Errors
    /// As [`CosignerKey::find`]; [`Error::Mismatch`] when there is none.
    pub fn verify(&self, note: &Note) -> Result<Cosignature> {
        let none = || Error::mismatch("cosignature", format!("none by {}", self.name));
        self.find(note)?.ok_or_else(none)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ALGORITHM_COSIGNATURE][..], &self.key.to_bytes()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(typed))
    }
}

impl FromStr for CosignerKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<CosignerKey> {
        let wrong = |detail: &str| Error::malformed("cosigner key", detail.to_string());
        let (name, rest) = text.split_once('+').ok_or_else(|| wrong("expected name+id+key"))?;
        let (id, key) = rest.split_once('+').ok_or_else(|| wrong("expected name+id+key"))?;
        let typed = decode_base64(key).ok_or_else(|| wrong("the key is not base64"))?;
        let key: [u8; 32] = match typed.split_first() {
            Some((&ALGORITHM_COSIGNATURE, key)) => {
                key.try_into().map_err(|_| wrong("an Ed25519 key has 32 bytes"))?
            }
            Some((1, _)) => {
                return Err(wrong(
                    "this is a key for notes (type 1); give the one for cosignatures (type 4)",
                ));
            }
            Some((algorithm, _)) => {
                return Err(wrong(&format!(
                    "its type is {algorithm}; only Ed25519 cosignatures (type 4) can be checked here"
                )));
            }
            None => return Err(wrong("the key is empty")),
        };
        let parsed = CosignerKey::new(name, &key)?;
        if format!("{:08x}", parsed.id) != id {
            return Err(wrong("the key id does not belong to name and key"));
        }
        Ok(parsed)
    }
}

/// What a cosigner signs: the header, the time, and the text of the checkpoint.
pub fn message(time_s: u64, text: &str) -> String {
    format!("{HEADER}\ntime {time_s}\n{text}")
}

/// The note with these lines instead of those that the same keys had in it; all others stay as they are, in order.
pub fn with_lines(note: &Note, lines: &[SignatureLine]) -> String {
    let is_same = |a: &SignatureLine, b: &SignatureLine| a.name == b.name && a.id == b.id;
    let kept = note.signatures().iter().filter(|old| !lines.iter().any(|new| is_same(old, new)));
    let all: Vec<SignatureLine> = kept.chain(lines).cloned().collect();
    assemble(note.unverified_text(), &all)
}

#[cfg(test)]
mod tests;
