//! Seeds at rest: one file a generation, as it is, encrypted under a passphrase, or wrapped by a program of the operator's.
//!
//! ```text
//! <64 hex digits>                                              as it is
//! passphrase v1 <salt, 16> <nonce, 24> <ciphertext, 48>        Argon2id (64 MiB, 3 passes) and XChaCha20-Poly1305; hex
//! command v1 <what the program made of it>                     hex
//! ```
//! The additional data of the cipher are the installation's id and the number of the generation: one file is not taken
//! for another.

use std::io::ErrorKind;
use std::path::PathBuf;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use schemas::limits::{SEED_FILE_BYTES_MAX, SEED_MEMORY_KIB, SEED_PASSES};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::random;
use crate::disk::Disk;
use crate::durable::{failed, replace_secret};
use crate::error::{Error, Result};

/// The file of the first generation where it was made before there were others.
pub(super) const FIRST: &str = "seed";
const GENERATION: &str = "generation-";

/// The seed of one generation; zeroed when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Seed(pub(super) [u8; 32]);

/// How seeds that are not there as they are are opened and closed. Persisted: keep the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// As it is; the file's permissions are all that keeps it.
    Plain,
    /// Encrypted under a passphrase.
    Passphrase,
    /// Wrapped by a program of the operator's: a key management service, a security module.
    Command,
}

/// What opens and closes seeds: the operator's passphrase and program. Asked only where a seed needs it.
pub trait Custody: Send + Sync {
    /// The passphrase.
    ///
    /// # Errors
    /// [`Error::Keys`] where none is given.
    fn passphrase(&self) -> Result<Zeroizing<String>>;
    /// What `wrapped` is the wrapping of: 32 bytes.
    ///
    /// # Errors
    /// [`Error::Keys`] where no program is given or it fails.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
    /// Wraps 32 bytes.
    ///
    /// # Errors
    /// [`Error::Keys`] where no program is given or it fails.
    fn wrap(&self, seed: &[u8]) -> Result<Vec<u8>>;
}

/// Seeds as they are need nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCustody;

impl Custody for NoCustody {
    fn passphrase(&self) -> Result<Zeroizing<String>> {
        Err(Error::Keys(
            "the seed is encrypted and no passphrase is given; name its file with keys_passphrase_file, or set \
             TACHO_KEYS_PASSPHRASE"
                .to_string(),
        ))
    }

    fn unwrap(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        Err(Error::Keys(
            "the seed is wrapped and no program to unwrap it is given; name it with keys_unwrap".to_string(),
        ))
    }

    fn wrap(&self, _: &[u8]) -> Result<Vec<u8>> {
        Err(Error::Keys("no program to wrap a seed is given; name it with keys_wrap".to_string()))
    }
}

/// The file of a generation.
pub(super) fn name(disk: &dyn Disk, generation: u32) -> Result<String> {
    let other = || format!("{GENERATION}{generation:04}");
    if generation != 1 {
        return Ok(other());
    }
    match disk.status(FIRST) {
        Ok(_) => Ok(FIRST.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(other()),
        Err(error) => Err(Error::Keys(format!("{}: {error}", disk.absolute(FIRST).display()))),
    }
}

/// The generation whose file has this name.
fn generation(name: &str) -> Option<u32> {
    let number: u32 = match name.strip_prefix(GENERATION) {
        Some(digits) => digits.parse().ok()?,
        None => return (name == FIRST).then_some(1),
    };
    (format!("{GENERATION}{number:04}") == name).then_some(number)
}

/// Whether a file of this name holds a seed.
pub(super) fn is_seed(name: &str) -> bool {
    generation(name).is_some()
}

/// The generations that there are, ascending.
pub(super) fn generations(disk: &dyn Disk) -> Result<Vec<u32>> {
    let dir = || disk.absolute("").display().to_string();
    let entries = disk.list("").map_err(|error| Error::Keys(format!("{}: {error}", dir())))?;
    let mut found: Vec<u32> = entries.iter().filter_map(|entry| generation(&entry.name)).collect();
    found.sort_unstable();
    if found.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        let twice = format!("{}: both {FIRST} and {GENERATION}0001 are there", dir());
        return Err(Error::Keys(format!("{twice}; keep the one that belongs to the data")));
    }
    Ok(found)
}

/// What is said of a seed that cannot be found.
pub(super) fn missing(disk: &dyn Disk, name: &str, error: &std::io::Error) -> Error {
    let path = disk.absolute(name);
    Error::Keys(format!(
        "{}: {error}; give the directory with the keys of this data with --keys",
        path.display()
    ))
}

/// A file of a seed, read but not opened.
struct Sealed {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl Sealed {
    fn read(disk: &dyn Disk, generation: u32) -> Result<Sealed> {
        let name = name(disk, generation)?;
        let path = disk.absolute(&name);
        let wrong = |detail: &str| Error::Keys(format!("{}: {detail}", path.display()));
        let status = disk.status(&name).map_err(|error| missing(disk, &name, &error))?;
        if !status.is_private {
            return Err(wrong("others may read it; chmod 600, and think about who has"));
        }
        if status.bytes > SEED_FILE_BYTES_MAX {
            return Err(wrong("larger than any seed"));
        }
        let bytes = Zeroizing::new(disk.read(&name).map_err(|error| wrong(&error.to_string()))?);
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error.to_string()))?;
        Ok(Sealed { text: Zeroizing::new(text.to_string()), path })
    }

    fn wrapping(&self) -> Wrapping {
        match self.text.split(' ').next() {
            Some("passphrase") => Wrapping::Passphrase,
            Some("command") => Wrapping::Command,
            _ => Wrapping::Plain,
        }
    }

    fn open(&self, installation: &str, generation: u32, custody: &dyn Custody) -> Result<Seed> {
        let wrong = |detail: &str| Error::Keys(format!("{}: {detail}", self.path.display()));
        let words: Vec<&str> = self.text.trim_end().split(' ').collect();
        match words.as_slice() {
            ["passphrase", "v1", salt, nonce, ciphertext] => {
                let (Some(salt), Some(nonce), Some(ciphertext)) =
                    (unhex(salt), unhex(nonce), unhex(ciphertext))
                else {
                    return Err(wrong("damaged: not hex"));
                };
                let cipher = cipher(&custody.passphrase()?, &salt)?;
                let nonce: [u8; 24] =
                    nonce.try_into().map_err(|_| wrong("damaged: a nonce of another length"))?;
                let aad = additional(installation, generation);
                let plain = cipher
                    .decrypt(&XNonce::from(nonce), Payload { msg: &ciphertext, aad: aad.as_bytes() })
                    .map_err(|_| {
                        wrong("the passphrase is not the one it was encrypted under, or it is damaged")
                    })?;
                seed_of(&Zeroizing::new(plain)).ok_or_else(|| wrong("it does not hold 32 bytes"))
            }
            ["command", "v1", wrapped] => {
                let wrapped = unhex(wrapped).ok_or_else(|| wrong("damaged: not hex"))?;
                seed_of(&custody.unwrap(&wrapped)?)
                    .ok_or_else(|| wrong("the program did not give 32 bytes for it, nor 64 hex digits"))
            }
            [plain] => {
                let seed = blake3::Hash::from_hex(plain).map_err(|_| wrong("expected 64 hex digits"))?;
                Ok(Seed(*seed.as_bytes()))
            }
            _ => Err(wrong("of a form that this version does not know")),
        }
    }
}

/// 32 bytes, or their 64 hex digits.
fn seed_of(bytes: &[u8]) -> Option<Seed> {
    if let Ok(seed) = <[u8; 32]>::try_from(bytes) {
        return Some(Seed(seed));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    Some(Seed(*blake3::Hash::from_hex(text.trim_end()).ok()?.as_bytes()))
}

fn additional(installation: &str, generation: u32) -> String {
    format!("tachograph seed v1\n{installation}\n{generation}\n")
}

fn cipher(passphrase: &str, salt: &[u8]) -> Result<XChaCha20Poly1305> {
    let wrong = |error: argon2::Error| Error::Keys(format!("passphrase: {error}"));
    if passphrase.is_empty() {
        return Err(Error::Keys("the passphrase is empty".to_string()));
    }
    let params = Params::new(SEED_MEMORY_KIB, SEED_PASSES, 1, Some(32)).map_err(wrong)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0u8; 32]);
    argon.hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice()).map_err(wrong)?;
    Ok(XChaCha20Poly1305::new(&Key::from(*key)))
}

/// Opens the seed of a generation.
pub(super) fn open(
    disk: &dyn Disk,
    installation: &str,
    generation: u32,
    custody: &dyn Custody,
) -> Result<Seed> {
    Sealed::read(disk, generation)?.open(installation, generation, custody)
}

/// How the seed of a generation is kept.
pub(super) fn wrapping(disk: &dyn Disk, generation: u32) -> Result<Wrapping> {
    Ok(Sealed::read(disk, generation)?.wrapping())
}

/// Writes the seed of a generation again as it is; once this returns it is there after any crash.
pub(super) fn write_again(disk: &dyn Disk, generation: u32) -> Result<()> {
    let name = name(disk, generation)?;
    let bytes = Zeroizing::new(disk.read(&name).map_err(failed(disk, "read", &name))?);
    replace_secret(disk, &name, &bytes)
}

/// Writes the seed of a generation; once this returns it is there after any crash, and before that the old file is.
pub(super) fn write(
    disk: &dyn Disk,
    installation: &str,
    generation: u32,
    seed: &Seed,
    wrapping: Wrapping,
    custody: &dyn Custody,
) -> Result<()> {
    let text = match wrapping {
        Wrapping::Plain => format!("{}\n", blake3::Hash::from(seed.0).to_hex()),
        Wrapping::Passphrase => {
            let (mut salt, mut nonce) = ([0u8; 16], [0u8; 24]);
            random(&mut salt)?;
            random(&mut nonce)?;
            let aad = additional(installation, generation);
            let ciphertext = cipher(&custody.passphrase()?, &salt)?
                .encrypt(&XNonce::from(nonce), Payload { msg: &seed.0, aad: aad.as_bytes() })
                .map_err(|_| Error::Keys("the seed could not be encrypted".to_string()))?;
            format!("passphrase v1 {} {} {}\n", hex(&salt), hex(&nonce), hex(&ciphertext))
        }
        Wrapping::Command => {
            let wrapped = custody.wrap(&seed.0)?;
            let back = custody.unwrap(&wrapped)?;
            if seed_of(&back).is_none_or(|back| back.0 != seed.0) {
                let detail = "what keys_wrap made, keys_unwrap does not open again; nothing was changed";
                return Err(Error::Keys(detail.to_string()));
            }
            format!("command v1 {}\n", hex(&wrapped))
        }
    };
    replace_secret(disk, &name(disk, generation)?, Zeroizing::new(text).as_bytes())
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() {
        return None;
    }
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
