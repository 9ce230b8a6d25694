//! Seeds and what derives from them. Keys live outside the data directory: whoever reads a seed can re-sign.
//!
//! A seed is one generation; each writer signs with keys of one of them (`keys/record.rs`). Seeds and what is derived from
//! them are zeroed when dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::{Signer as _, SigningKey};
use schemas::checkpoint::Checkpoint;
use schemas::note::{Note, SignatureLine, VerifierKey, assemble};
use schemas::origin::is_part;
use schemas::{LogId, Origin, manifest};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

mod lock;
mod machine;
pub(crate) mod record;
mod seed;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use lock::Held;
pub use record::Seen;
pub use seed::{Custody, NoCustody, Wrapping};

use record::Record;
use seed::Seed;

/// BLAKE3 contexts, one a purpose.
const CHECKPOINT_CONTEXT: &str = "tachograph 2026-11 checkpoint key v1";
const MANIFEST_CONTEXT: &str = "tachograph 2026-11 manifest key v1";
const FINGERPRINT_CONTEXT: &str = "tachograph 2026-11 redaction fingerprint key v1";
const IDEMPOTENCY_CONTEXT: &str = "tachograph 2026-11 idempotency key v1";

const INSTALLATION_FILE: &str = "installation";
const FIRST_GENERATION: u32 = 1;

/// The keys of one installation; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    seeds: Arc<BTreeMap<u32, Seed>>,
    /// That of the writer that signs now.
    present: Arc<Seed>,
    #[allow(clippy::struct_field_names, reason = "the id of the installation, not of the keys")]
    installation: String,
    record: Record,
    /// Where they are, but for simulations.
    dir: Option<PathBuf>,
    memory: Arc<Mutex<BTreeMap<String, Seen>>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("installation", &self.installation).finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys from a seed, for tests and simulation: of one generation, without a memory.
    ///
    /// # Errors
    /// [`Error::Keys`] when `installation` cannot be part of an origin.
    pub fn from_seed(seed: [u8; 32], installation: &str) -> Result<Keys> {
        check_installation(installation)?;
        Ok(Keys {
            seeds: Arc::new(BTreeMap::from([(FIRST_GENERATION, Seed(seed))])),
            present: Arc::new(Seed(seed)),
            installation: installation.to_string(),
            record: Record::default(),
            dir: None,
            memory: Arc::default(),
        })
    }

    /// Loads the keys of `dir`, whose seeds are kept as they are.
    ///
    /// # Errors
    /// As [`Keys::load_with`].
    pub fn load(dir: &Path) -> Result<Keys> {
        Keys::load_with(dir, &NoCustody)
    }

    /// Loads the keys of `dir`; `custody` opens the seeds that need it.
    ///
    /// # Errors
    /// [`Error::Keys`] when there are none, they are readable by others, cannot be opened, or are not as written.
    pub fn load_with(dir: &Path, custody: &dyn Custody) -> Result<Keys> {
        let record = Record::load(dir)?;
        let wanted: BTreeSet<u32> = record.generations().collect();
        let installation = installation(dir, wanted.first().copied().unwrap_or(FIRST_GENERATION))?;
        let mut seeds = BTreeMap::new();
        for generation in wanted {
            seeds.insert(generation, seed::open(dir, &installation, generation, custody)?);
        }
        let memory = Arc::new(Mutex::new(record::remembered(dir)?));
        let (present, seeds) = (present(&seeds, &record)?, Arc::new(seeds));
        Ok(Keys { seeds, present, installation, record, dir: Some(dir.to_path_buf()), memory })
    }

    /// As [`Keys::load_or_create_with`], of seeds that are kept as they are.
    ///
    /// # Errors
    /// As [`Keys::load_or_create_with`].
    pub fn load_or_create(dir: &Path) -> Result<Keys> {
        Keys::load_or_create_with(dir, &NoCustody)
    }

    /// Loads the keys of `dir`, or makes them when `dir` has none: kept as they are.
    ///
    /// # Errors
    /// As [`Keys::load_with`]; [`Error::Io`].
    pub fn load_or_create_with(dir: &Path, custody: &dyn Custody) -> Result<Keys> {
        if Keys::are_in(dir)? {
            return Keys::load_with(dir, custody);
        }
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { action, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("create directory", dir))?;
        let mut name = [0u8; 6];
        random(&mut name)?;
        let name = format!("tacho-{}", seed::hex(&name));
        write_secret(&dir.join(INSTALLATION_FILE), format!("{name}\n").as_bytes())?;
        // The seed last: a directory with a seed is complete.
        seed::write(dir, &name, FIRST_GENERATION, &new_seed()?, Wrapping::Plain, custody)?;
        Keys::load_with(dir, custody)
    }

    /// Whether `dir` has keys.
    ///
    /// # Errors
    /// [`Error::Keys`] when it cannot be read.
    pub fn are_in(dir: &Path) -> Result<bool> {
        Ok(!seed::generations(dir)?.is_empty())
    }

    /// How the seed that signs now is kept.
    ///
    /// # Errors
    /// [`Error::Keys`].
    pub fn wrapping(dir: &Path) -> Result<Wrapping> {
        let record = Record::load(dir)?;
        seed::wrapping(dir, record.writer().generation)
    }

    /// Keeps every seed of `dir` in another way, one file after the other: after a crash some are kept in the one and some in
    /// the other way, and doing it again does the rest. Gives how many there are.
    ///
    /// # Errors
    /// [`Error::Keys`], [`Error::Io`]; no seed is lost.
    pub fn rewrap(dir: &Path, open: &dyn Custody, wrapping: Wrapping, close: &dyn Custody) -> Result<usize> {
        let generations = seed::generations(dir)?;
        for generation in &generations {
            let installation = installation(dir, *generation)?;
            // One that is kept so already may be so under what it is to be closed with: a crash came between.
            let opened = match seed::open(dir, &installation, *generation, open) {
                Ok(seed) => seed,
                Err(error) => seed::open(dir, &installation, *generation, close).map_err(|_| error)?,
            };
            seed::write(dir, &installation, *generation, &opened, wrapping, close)?;
        }
        Ok(generations.len())
    }

    /// These keys and those of a new generation, kept as the present one is; and its number. One that an earlier rotation made
    /// and never came to use is taken.
    ///
    /// # Errors
    /// [`Error::Keys`], [`Error::Io`].
    pub(crate) fn with_new_generation(&self, custody: &dyn Custody) -> Result<(Keys, u32)> {
        let dir = self.dir()?;
        let generation = self.record.generation_newest() + 1;
        if !seed::generations(dir)?.contains(&generation) {
            let wrapping = Keys::wrapping(dir)?;
            seed::write(dir, &self.installation, generation, &new_seed()?, wrapping, custody)?;
        }
        crate::crash::point("generation-written");
        let mut seeds = BTreeMap::new();
        for (generation, seed) in self.seeds.iter() {
            seeds.insert(*generation, Seed(seed.0));
        }
        seeds.insert(generation, seed::open(dir, &self.installation, generation, custody)?);
        Ok((Keys { seeds: Arc::new(seeds), ..self.clone() }, generation))
    }

    /// These keys under another record, which is on stable storage once this returns.
    pub(crate) fn with_record(&self, record: Record) -> Result<Keys> {
        let present = present(&self.seeds, &record)?;
        record.save(self.dir()?)?;
        Ok(Keys { record, present, ..self.clone() })
    }

    /// These keys, with this machine on record where none is yet.
    pub(crate) fn on_this_machine(self) -> Result<Keys> {
        match (self.machine(), &self.record.machine) {
            (Some(machine), None) => {
                let record = Record { machine: Some(machine), ..self.record.clone() };
                self.with_record(record)
            }
            _ => Ok(self),
        }
    }

    fn dir(&self) -> Result<&Path> {
        self.dir.as_deref().ok_or_else(|| Error::Keys("these keys are in no directory".to_string()))
    }

    /// The installation's id.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// The writer that signs now.
    pub fn writer(&self) -> &str {
        &self.record.writer().writer
    }

    /// The writers before it, oldest first.
    pub fn writers_before(&self) -> impl DoubleEndedIterator<Item = &str> {
        let before = self.record.writers.len().saturating_sub(1);
        self.record.writers.iter().take(before).map(|writer| writer.writer.as_str())
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Whether they are in a directory, with a record and a memory: not in simulations.
    pub(crate) fn are_kept(&self) -> bool {
        self.dir.is_some()
    }

    /// A digest of the machine's id; empty where it has none, and none where nobody asks.
    pub(crate) fn machine(&self) -> Option<String> {
        self.are_kept().then(|| machine::digest(&self.installation))
    }

    /// The newest checkpoint that was signed of a log, as far as is known beside the keys.
    pub fn remembered(&self, origin: &Origin) -> Option<Seen> {
        self.memory().get(&origin.to_string()).cloned()
    }

    /// All that is remembered, by origin.
    pub fn all_remembered(&self) -> BTreeMap<String, Seen> {
        self.memory().clone()
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers signed checkpoints; once this returns that is on stable storage. What is smaller than what is remembered
    /// already changes nothing.
    ///
    /// # Errors
    /// [`Error::Tampered`] for another root at a size that is remembered: nothing is remembered then. [`Error::Io`].
    pub(crate) fn remember(&self, seen: impl IntoIterator<Item = (String, Seen)>) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let mut memory = self.memory();
        let mut greater = BTreeMap::new();
        for (origin, seen) in seen {
            match memory.get(&origin) {
                Some(known) if known.size == seen.size && known.root != seen.root => {
                    let reason =
                        format!("another root than {} is remembered at size {}", seen.root, seen.size);
                    return Err(Error::Tampered { log: origin, reason });
                }
                Some(known) if known.size >= seen.size => {}
                _ => {
                    greater.insert(origin, seen);
                }
            }
        }
        if greater.is_empty() {
            return Ok(());
        }
        memory.extend(greater);
        record::remember(dir, &memory)
    }

    /// As [`Keys::remember`], from signed notes.
    pub(crate) fn remember_notes<'a>(&self, notes: impl IntoIterator<Item = &'a str>) -> Result<()> {
        if !self.are_kept() {
            return Ok(());
        }
        let mut seen = Vec::new();
        for note in notes {
            let checkpoint = Checkpoint::parse(Note::parse(note.as_bytes())?.unverified_text())?;
            let Checkpoint { origin, size, root } = checkpoint;
            seen.push((origin.to_string(), Seen { size, root: root.to_base64() }));
        }
        self.remember(seen)
    }

    fn derive(&self, context: &str, generation: u32, of: &str) -> Result<Zeroizing<[u8; 32]>> {
        Ok(derived(of_generation(&self.seeds, generation)?, context, of))
    }

    /// The generation that the keys of a writer come from; of one that is not known, the present one.
    fn generation(&self, writer: &str) -> u32 {
        self.record.generation(writer).unwrap_or(self.record.writer().generation)
    }

    /// The key under which fingerprints of redacted secrets of a tenant are made: of the present generation.
    pub fn fingerprint_key(&self, tenant: &str) -> [u8; 32] {
        *derived(&self.present, FINGERPRINT_CONTEXT, tenant)
    }

    /// The key under which a log digests event ids.
    ///
    /// # Errors
    /// As [`Keys::log`].
    pub(crate) fn idempotency_key(&self, origin: &Origin) -> Result<Zeroizing<[u8; 32]>> {
        self.derive(IDEMPOTENCY_CONTEXT, self.generation(origin.writer()), &origin.to_string())
    }

    /// The two signers of a log.
    ///
    /// # Errors
    /// [`Error::Keys`] where the seed of its writer's generation is not loaded.
    pub fn log(&self, origin: &Origin) -> Result<LogKeys> {
        let (name, generation) = (origin.to_string(), self.generation(origin.writer()));
        let checkpoint = NoteSigner::new(&name, &*self.derive(CHECKPOINT_CONTEXT, generation, &name)?)?;
        let manifest = NoteSigner::new(
            &manifest::key_name(origin),
            &*self.derive(MANIFEST_CONTEXT, generation, &name)?,
        )?;
        Ok(LogKeys { log_id: origin.log_id(&checkpoint.key.key_bytes()), checkpoint, manifest })
    }
}

fn new_seed() -> Result<Seed> {
    let mut seed = Seed([0u8; 32]);
    random(&mut seed.0)?;
    Ok(seed)
}

fn check_installation(installation: &str) -> Result<()> {
    match is_part(installation) {
        true => Ok(()),
        false => Err(Error::Keys(format!("installation id {installation:?} cannot be part of an origin"))),
    }
}

/// The installation's id, where `dir` has a seed of `generation` at all.
fn installation(dir: &Path, generation: u32) -> Result<String> {
    let seed = seed::path(dir, generation);
    if let Err(error) = fs::metadata(&seed) {
        let what = "give the directory with the keys of this data with --keys";
        return Err(Error::Keys(format!("{}: {error}; {what}", seed.display())));
    }
    let path = dir.join(INSTALLATION_FILE);
    let text =
        fs::read_to_string(&path).map_err(|error| Error::Keys(format!("{}: {error}", path.display())))?;
    check_installation(text.trim_end())?;
    Ok(text.trim_end().to_string())
}

fn of_generation(seeds: &BTreeMap<u32, Seed>, generation: u32) -> Result<&Seed> {
    let seed = seeds.get(&generation);
    seed.ok_or_else(|| Error::Keys(format!("the seed of generation {generation} is not here")))
}

/// The seed of the writer that signs under this record.
fn present(seeds: &BTreeMap<u32, Seed>, record: &Record) -> Result<Arc<Seed>> {
    let seed = of_generation(seeds, record.writer().generation)?;
    Ok(Arc::new(Seed(seed.0)))
}

fn derived(seed: &Seed, context: &str, of: &str) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&seed.0);
    hasher.update(of.as_bytes());
    let derived = Zeroizing::new(*hasher.finalize().as_bytes());
    // Its buffer held the seed.
    hasher.reset();
    std::hint::black_box(&hasher);
    derived
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
    fn new(name: &str, secret: &[u8; 32]) -> Result<NoteSigner> {
        let signing = SigningKey::from_bytes(secret);
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
    let mut part = [0u8; 8];
    random(&mut part)?;
    // A name that nobody can have put a file of theirs, or a link, under.
    let temporary = path.with_extension(format!("{}.tmp", seed::hex(&part)));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io("create"))?;
    let written = file
        .write_all(bytes)
        .map_err(io("write"))
        .and_then(|()| file.sync_all().map_err(io("sync")))
        .and_then(|()| fs::rename(&temporary, path).map_err(io("publish")));
    if written.is_err() {
        // Nobody looks for it: whoever writes next takes another name.
        fs::remove_file(&temporary).ok();
    }
    written?;
    if let Some(dir) = path.parent() {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync directory of"))?;
    }
    Ok(())
}
