//! The seed and what derives from it. Keys live outside the data directory: whoever reads the seed can
//! re-sign.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use schemas::note::{SignatureLine, VerifierKey, assemble};
use schemas::origin::is_part;
use schemas::{LogId, Origin, manifest};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::{Error, Result};

/// BLAKE3 contexts, one a purpose.
const CHECKPOINT_CONTEXT: &str = "tachograph 2026-11 checkpoint key v1";
const MANIFEST_CONTEXT: &str = "tachograph 2026-11 manifest key v1";
const FINGERPRINT_CONTEXT: &str = "tachograph 2026-11 redaction fingerprint key v1";
const IDEMPOTENCY_CONTEXT: &str = "tachograph 2026-11 idempotency key v1";

const SEED_FILE: &str = "seed";
const INSTALLATION_FILE: &str = "installation";

/// The seed of an installation; zeroed when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Seed([u8; 32]);

/// The keys of one installation.
pub struct Keys {
    seed: Seed,
    #[allow(clippy::struct_field_names, reason = "the id of the installation, not of the keys")]
    installation: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("installation", &self.installation).finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys from a seed, for tests and simulation.
    ///
    /// # Errors
    /// [`Error::Keys`] when `installation` cannot be part of an origin.
    pub fn from_seed(seed: [u8; 32], installation: &str) -> Result<Keys> {
        if !is_part(installation) {
            return Err(Error::Keys(format!("installation id {installation:?} cannot be part of an origin")));
        }
        Ok(Keys { seed: Seed(seed), installation: installation.to_string() })
    }

    /// Loads the keys of `dir`.
    ///
    /// # Errors
    /// [`Error::Keys`] when there are none, they are readable by others, or are not as written.
    pub fn load(dir: &Path) -> Result<Keys> {
        let seed_path = dir.join(SEED_FILE);
        let wrong = |detail: &str| Error::Keys(format!("{}: {detail}", seed_path.display()));
        let metadata = fs::metadata(&seed_path).map_err(|error| {
            wrong(&format!("{error}; give the directory with the keys of this data with --keys"))
        })?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(wrong("others may read it; chmod 600, and think about who has"));
        }
        let mut text = fs::read_to_string(&seed_path).map_err(|error| wrong(&error.to_string()))?;
        let parsed = blake3::Hash::from_hex(text.trim_end()).ok();
        text.zeroize();
        let seed = parsed.ok_or_else(|| wrong("expected 64 hex digits"))?;
        let installation = fs::read_to_string(dir.join(INSTALLATION_FILE))
            .map_err(|error| Error::Keys(format!("{}: {error}", dir.join(INSTALLATION_FILE).display())))?;
        Keys::from_seed(*seed.as_bytes(), installation.trim_end())
    }

    /// Loads the keys of `dir`, or makes them when `dir` has none.
    ///
    /// # Errors
    /// As [`Keys::load`]; [`Error::Io`].
    pub fn load_or_create(dir: &Path) -> Result<Keys> {
        if dir.join(SEED_FILE).exists() {
            return Keys::load(dir);
        }
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { action, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("create directory", dir))?;
        let mut seed = [0u8; 32];
        let mut name = [0u8; 6];
        random(&mut seed)?;
        random(&mut name)?;
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        write_secret(&dir.join(INSTALLATION_FILE), format!("tacho-{name}\n").as_bytes())?;
        // The seed last: a directory with a seed is complete.
        write_secret(&dir.join(SEED_FILE), format!("{}\n", blake3::Hash::from(seed).to_hex()).as_bytes())?;
        seed.zeroize();
        Keys::load(dir)
    }

    /// The installation's id.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    fn derive(&self, context: &str, of: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.seed.0);
        hasher.update(of.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// The key under which fingerprints of redacted secrets of a tenant are made.
    pub fn fingerprint_key(&self, tenant: &str) -> [u8; 32] {
        self.derive(FINGERPRINT_CONTEXT, tenant)
    }

    /// The key under which a log digests event ids.
    pub(crate) fn idempotency_key(&self, origin: &Origin) -> [u8; 32] {
        self.derive(IDEMPOTENCY_CONTEXT, &origin.to_string())
    }

    /// The two signers of a log.
    ///
    /// # Errors
    /// [`Error::Keys`], which no derived key causes.
    pub fn log(&self, origin: &Origin) -> Result<LogKeys> {
        let name = origin.to_string();
        let checkpoint = NoteSigner::new(&name, self.derive(CHECKPOINT_CONTEXT, &name))?;
        let manifest = NoteSigner::new(&manifest::key_name(origin), self.derive(MANIFEST_CONTEXT, &name))?;
        Ok(LogKeys { log_id: origin.log_id(&checkpoint.key.key_bytes()), checkpoint, manifest })
    }
}

/// The signers of one log.
#[derive(Debug)]
pub struct LogKeys {
    /// The id in every entry's header.
    pub log_id: LogId,
    /// Signs checkpoints and nothing else.
    pub checkpoint: NoteSigner,
    /// Signs manifests and nothing else.
    pub manifest: NoteSigner,
}

/// An Ed25519 key under a name.
pub struct NoteSigner {
    signing: SigningKey,
    key: VerifierKey,
}

impl std::fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoteSigner").field("key", &self.key.to_string()).finish_non_exhaustive()
    }
}

impl NoteSigner {
    fn new(name: &str, mut secret: [u8; 32]) -> Result<NoteSigner> {
        let signing = SigningKey::from_bytes(&secret);
        secret.zeroize();
        let key = VerifierKey::new(name, &signing.verifying_key().to_bytes())
            .map_err(|error| Error::Keys(error.to_string()))?;
        Ok(NoteSigner { signing, key })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    /// The signed note of `text`, which ends in a newline.
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature = self.signing.sign(text.as_bytes()).to_bytes();
        assemble(text, &[SignatureLine::new(&self.key, &signature)])
    }
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Keys(format!("no randomness: {error}")))
}

/// Writes a file beside the keys that only its owner may read, durably: under another name first, synced, then renamed.
/// Whoever reads it meanwhile finds the old one, whole.
///
/// # Errors
/// [`Error::Io`] with what could not be done; the file is then as it was.
#[expect(clippy::disallowed_methods, reason = "keys lie outside the data directory and its disk")]
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |action| {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    };
    let temporary = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io("create"))?;
    file.write_all(bytes).map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))?;
    fs::rename(&temporary, path).map_err(io("publish"))?;
    if let Some(dir) = path.parent() {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync directory of"))?;
    }
    Ok(())
}
