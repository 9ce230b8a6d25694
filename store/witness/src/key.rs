//! The key of a witness: `PRIVATE+KEY+<name>+<8 hex of key id>+<base64(0x04 || seed)>`, one line, the form in which
//! `golang.org/x/mod/sumdb/note` writes keys of notes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use schemas::cosignature::{ALGORITHM_COSIGNATURE, CosignerKey, message};
use schemas::limits::WITNESS_KEY_BYTES_MAX;
use schemas::note::SignatureLine;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{Error, Result};

const PREFIX: &str = "PRIVATE+KEY+";

/// A witness's key.
pub struct Cosigner {
    signing: SigningKey,
    key: CosignerKey,
}

impl std::fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cosigner").field("key", &self.key.to_string()).finish_non_exhaustive()
    }
}

impl Cosigner {
    /// A key from its seed.
    ///
    /// # Errors
    /// [`Error::Settings`] for a name that a key cannot have.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Cosigner> {
        let signing = SigningKey::from_bytes(seed);
        let key = CosignerKey::new(name, &signing.verifying_key().to_bytes())
            .map_err(|error| Error::settings("witness key", error))?;
        Ok(Cosigner { signing, key })
    }

    /// A new key from the operating system's generator.
    ///
    /// # Errors
    /// [`Error::Settings`] for a name that a key cannot have, or where there is no randomness.
    pub fn generate(name: &str) -> Result<Cosigner> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|error| Error::settings("randomness", error))?;
        Cosigner::from_seed(name, &seed)
    }

    /// Reads what [`Cosigner::to_secret`] wrote.
    ///
    /// # Errors
    /// [`Error::Settings`]; nothing of the key is in it.
    pub fn from_secret(text: &[u8]) -> Result<Cosigner> {
        let wrong = |detail: &str| Error::settings("witness key", detail);
        if text.len() > WITNESS_KEY_BYTES_MAX {
            return Err(wrong("the file is too large for a key"));
        }
        let line = std::str::from_utf8(text).map_err(|_| wrong("not UTF-8"))?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let rest = line.strip_prefix(PREFIX).ok_or_else(|| wrong("it does not begin with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("expected PRIVATE+KEY+name+id+key"));
        };
        let typed = STANDARD.decode(secret).map_err(|_| wrong("the key is not base64"))?;
        let typed = Zeroizing::new(typed);
        let seed: &[u8; 32] = match typed.split_first() {
            Some((&ALGORITHM_COSIGNATURE, seed)) => {
                seed.try_into().map_err(|_| wrong("a seed has 32 bytes"))?
            }
            _ => {
                return Err(wrong(
                    "it is no key for cosignatures (type 4); make one with `tacho witness key`",
                ));
            }
        };
        let cosigner = Cosigner::from_seed(name, seed)?;
        if format!("{:08x}", cosigner.key.id()) != id {
            return Err(wrong("the key id does not belong to name and key"));
        }
        Ok(cosigner)
    }

    /// The line that the file of the key holds.
    pub fn to_secret(&self) -> Zeroizing<String> {
        let mut seed = self.signing.to_bytes();
        let typed = Zeroizing::new([&[ALGORITHM_COSIGNATURE][..], &seed].concat());
        seed.zeroize();
        let secret = Zeroizing::new(STANDARD.encode(&*typed));
        Zeroizing::new(format!("{PREFIX}{}+{:08x}+{}\n", self.key.name(), self.key.id(), &*secret))
    }

    /// The public half.
    pub fn verifier(&self) -> &CosignerKey {
        &self.key
    }

    /// The cosignature line of a checkpoint's text.
    pub(crate) fn cosign(&self, time_s: u64, text: &str) -> SignatureLine {
        self.key.line(time_s, &self.signing.sign(message(time_s, text).as_bytes()).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_and_read_and_shown_without_its_secret() {
        let cosigner = Cosigner::generate("witness.example/w1").unwrap();
        let secret = cosigner.to_secret();
        let read = Cosigner::from_secret(secret.as_bytes()).unwrap();
        assert_eq!(read.verifier(), cosigner.verifier());
        assert_ne!(Cosigner::generate("witness.example/w1").unwrap().verifier(), cosigner.verifier());
        let shown = format!("{cosigner:?}");
        let seed = secret.trim_end().rsplit('+').next().unwrap();
        assert!(shown.contains("witness.example/w1+") && !shown.contains(seed), "{shown}");
        for other in [
            secret.replace("w1", "w2"),
            secret.replace("PRIVATE", "private"),
            secret.replace("KEY+", "KEY+x+"),
            secret[..secret.len() - 6].to_string(),
            " ".repeat(WITNESS_KEY_BYTES_MAX + 1),
        ] {
            let error = Cosigner::from_secret(other.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains(seed), "{error}");
        }
    }
}
