//! Seeds and what derives from them. Keys live outside the data directory: whoever reads a seed can re-sign.
//!
//! A seed is one generation; each writer signs with keys of one of them (`keys/record.rs`). Seeds and what is derived from
//! them are zeroed when dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::{Signer as _, SigningKey};
use schemas::checkpoint::Checkpoint;
use schemas::note::{Note, SignatureLine, VerifierKey, assemble};
use schemas::origin::is_part;
use schemas::{LogId, Origin, manifest};
use zeroize::Zeroizing;

use crate::disk::{Disk, RealDisk};
use crate::durable::{failed, replace_secret};
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
    /// Where they are, but for keys of a seed alone.
    disk: Option<Arc<dyn Disk>>,
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
            disk: None,
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
        Keys::load_on(Arc::new(RealDisk::private(dir)), custody)
    }

    pub(crate) fn load_on(disk: Arc<dyn Disk>, custody: &dyn Custody) -> Result<Keys> {
        let record = Record::load(&*disk)?;
        let wanted: BTreeSet<u32> = record.generations().collect();
        let installation = installation(&*disk, wanted.first().copied().unwrap_or(FIRST_GENERATION))?;
        let mut seeds = BTreeMap::new();
        for generation in wanted {
            seeds.insert(generation, seed::open(&*disk, &installation, generation, custody)?);
        }
        let memory = Arc::new(Mutex::new(record::remembered(&*disk)?));
        let (present, seeds) = (present(&seeds, &record)?, Arc::new(seeds));
        Ok(Keys { seeds, present, installation, record, disk: Some(disk), memory })
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
        Keys::load_or_create_on(Arc::new(RealDisk::private(dir)), custody)
    }

    pub(crate) fn load_or_create_on(disk: Arc<dyn Disk>, custody: &dyn Custody) -> Result<Keys> {
        if seed::generations(&*disk)?.is_empty() {
            disk.create_root().map_err(failed(&*disk, "create directory", ""))?;
            let _held = lock::hold(&*disk, lock::ANOTHER_CHANGES)?;
            // Another may have made them until it was let go.
            if seed::generations(&*disk)?.is_empty() {
                let mut name = [0u8; 6];
                random(&mut name)?;
                let name = format!("tacho-{}", seed::hex(&name));
                replace_secret(&*disk, INSTALLATION_FILE, format!("{name}\n").as_bytes())?;
                // The seed last: a directory with a seed is complete.
                seed::write(&*disk, &name, FIRST_GENERATION, &new_seed()?, Wrapping::Plain, custody)?;
            }
        }
        Keys::load_on(disk, custody)
    }

    /// Whether `dir` has keys.
    ///
    /// # Errors
    /// [`Error::Keys`] when it cannot be read.
    pub fn are_in(dir: &Path) -> Result<bool> {
        Ok(!seed::generations(&RealDisk::private(dir))?.is_empty())
    }

    /// How the seed that signs now is kept.
    ///
    /// # Errors
    /// [`Error::Keys`].
    pub fn wrapping(dir: &Path) -> Result<Wrapping> {
        wrapping(&RealDisk::private(dir))
    }

    /// Keeps every seed of `dir` in another way, one file after the other: after a crash some are kept in the one and some in
    /// the other way, and doing it again does the rest. Gives how many there are.
    ///
    /// # Errors
    /// [`Error::Keys`], also where another process holds the keys: one that rotates them would else write a seed meanwhile in
    /// the way that is left; [`Error::Io`]. No seed is lost.
    pub fn rewrap(dir: &Path, open: &dyn Custody, wrapping: Wrapping, close: &dyn Custody) -> Result<usize> {
        Keys::rewrap_on(&RealDisk::private(dir), open, wrapping, close)
    }

    pub(crate) fn rewrap_on(
        disk: &dyn Disk,
        open: &dyn Custody,
        wrapping: Wrapping,
        close: &dyn Custody,
    ) -> Result<usize> {
        if seed::generations(disk)?.is_empty() {
            return Ok(0);
        }
        let _held = lock::hold(disk, lock::ANOTHER_CHANGES)?;
        record::remove_unfinished(disk)?;
        let generations = seed::generations(disk)?;
        for generation in &generations {
            let installation = installation(disk, *generation)?;
            // One that is kept so already may be so under what it is to be closed with: a crash came between.
            let opened = match seed::open(disk, &installation, *generation, open) {
                Ok(seed) => seed,
                Err(error) => seed::open(disk, &installation, *generation, close).map_err(|_| error)?,
            };
            seed::write(disk, &installation, *generation, &opened, wrapping, close)?;
        }
        Ok(generations.len())
    }

    /// These keys and those of a new generation, kept as the present one is; and its number. One that an earlier rotation made
    /// and never came to use is taken.
    ///
    /// # Errors
    /// [`Error::Keys`], [`Error::Io`].
    pub(crate) fn with_new_generation(&self, custody: &dyn Custody) -> Result<(Keys, u32)> {
        let disk = self.disk()?;
        let generation = self.record.generation_newest() + 1;
        if seed::generations(disk)?.contains(&generation) {
            // It may be there for the kernel alone: the rotation that wrote it was perhaps told that it is not durable.
            seed::write_again(disk, generation)?;
        } else {
            let wrapping = wrapping(disk)?;
            seed::write(disk, &self.installation, generation, &new_seed()?, wrapping, custody)?;
        }
        crate::crash::point("generation-written");
        let mut seeds = BTreeMap::new();
        for (generation, seed) in self.seeds.iter() {
            seeds.insert(*generation, Seed(seed.0));
        }
        seeds.insert(generation, seed::open(disk, &self.installation, generation, custody)?);
        Ok((Keys { seeds: Arc::new(seeds), ..self.clone() }, generation))
    }

    /// These keys under another record, which is on stable storage once this returns.
    pub(crate) fn with_record(&self, record: Record) -> Result<Keys> {
        let present = present(&self.seeds, &record)?;
        record.save(self.disk()?)?;
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

    fn disk(&self) -> Result<&dyn Disk> {
        self.disk.as_deref().ok_or_else(|| Error::Keys("these keys are in no directory".to_string()))
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
        self.disk.is_some()
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
        let Some(disk) = &self.disk else { return Ok(()) };
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
        // Known only once it is written: what was not is to be written again when it is asked for again.
        let mut next = memory.clone();
        next.extend(greater);
        record::remember(&**disk, &next)?;
        *memory = next;
        Ok(())
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

/// The installation's id, where there is a seed of `generation` at all.
fn installation(disk: &dyn Disk, generation: u32) -> Result<String> {
    let seed = seed::name(disk, generation)?;
    if let Err(error) = disk.status(&seed) {
        return Err(seed::missing(disk, &seed, &error));
    }
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Keys(format!("{}: {error}", disk.absolute(INSTALLATION_FILE).display()))
    };
    let bytes = disk.read(INSTALLATION_FILE).map_err(|error| wrong(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
    check_installation(text.trim_end())?;
    Ok(text.trim_end().to_string())
}

/// How the seed that signs now is kept.
fn wrapping(disk: &dyn Disk) -> Result<Wrapping> {
    seed::wrapping(disk, Record::load(disk)?.writer().generation)
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

/// Writes a file that only its owner may read, durably: under another name first, synced, then renamed.
/// Whoever reads it meanwhile finds the old one, whole.
///
/// # Errors
/// [`Error::Io`] with what could not be done; the file is then as it was, or, where its directory could not be synced, one or
/// the other.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        let source = ErrorKind::InvalidFilename.into();
        return Err(Error::Io { action: "create", path: path.to_path_buf(), source });
    };
    replace_secret(&RealDisk::private(path.parent().unwrap_or(Path::new(""))), name, bytes)
}
