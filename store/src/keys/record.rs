//! What lies beside the seeds: which writer signs under which of them, on which machine, and what was signed last.
//!
//! ```text
//! <keys>/writers      which writers there were, which succession is under way; replaced whole, seldom
//! <keys>/remembered   the newest checkpoint of every log of the present writer; replaced whole with each round of signing,
//!                     before any of its checkpoints is shown
//! ```
//! Neither is a secret. `remembered` is the memory outside the data directory that knows a rolled-back one.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{INSTALLATION_FILE, seed};
use crate::disk::Disk;
use crate::durable::{TEMPORARY, failed, replace_secret};
use crate::error::{Error, Result};

const WRITERS: &str = "writers";
const REMEMBERED: &str = "remembered";
const VERSION: u32 = 1;
/// The writer of a directory that has no record yet.
const FIRST_WRITER: &str = "w1";

/// A writer and the generation that its keys come from. Persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Writer {
    pub(crate) writer: String,
    pub(crate) generation: u32,
}

/// What ends with a new writer. Persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The old logs are whole and get a last entry each.
    Rotation,
    /// Nothing more is written under the old writer.
    Adoption,
}

/// A succession that has begun: whatever opens the data next finishes it. Persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    pub(crate) kind: Kind,
    pub(crate) from: String,
    pub(crate) to: Writer,
    pub(crate) by: String,
    pub(crate) reason: String,
    /// The machine that it was begun on: a copy of it elsewhere must not finish it too.
    pub(crate) machine: String,
    /// Whether the write-ahead files are the new writer's.
    pub(crate) retired: bool,
    /// Whose write-ahead files there were when it began, where not those of `from`: of a writer that never came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
}

/// The file `writers`. Persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// Oldest first; the last one writes.
    pub(crate) writers: Vec<Writer>,
    /// The machine it writes on; none where that was never looked at.
    pub(crate) machine: Option<String>,
    pub(crate) pending: Option<Pending>,
    /// Writers whose logs were found here and that these keys never knew: somebody decided to go on all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) strangers: Vec<String>,
    /// Writers that signed, or may have, and that nobody goes on from: an adoption went on from an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) given_up: Vec<Writer>,
}

impl Default for Record {
    fn default() -> Record {
        let first = Writer { writer: FIRST_WRITER.to_string(), generation: 1 };
        Record {
            version: VERSION,
            writers: vec![first],
            machine: None,
            pending: None,
            strangers: Vec::new(),
            given_up: Vec::new(),
        }
    }
}

/// A size and the root there, base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The size.
    pub size: u64,
    /// The root.
    pub root: String,
}

/// The file `remembered`. Persisted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberedFile {
    version: u32,
    logs: BTreeMap<String, Seen>,
}

impl Record {
    /// The record of a directory; that of one with one seed where there is none.
    pub(super) fn load(disk: &dyn Disk) -> Result<Record> {
        let record: Record = read(disk, WRITERS)?.unwrap_or_default();
        match record.version == VERSION && !record.writers.is_empty() {
            true => Ok(record),
            false => Err(damaged(disk, WRITERS, "of another version, or without a writer")),
        }
    }

    pub(super) fn save(&self, disk: &dyn Disk) -> Result<()> {
        write(disk, WRITERS, self)
    }

    /// The writer that signs now.
    pub(crate) fn writer(&self) -> &Writer {
        // Never empty: checked where it is read.
        static NONE: Writer = Writer { writer: String::new(), generation: 1 };
        self.writers.last().unwrap_or(&NONE)
    }

    /// All writers there ever were, those that are about to be and those that were given up among them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Writer> {
        let pending = self.pending.iter().map(|pending| &pending.to);
        pending.chain(&self.writers).chain(&self.given_up)
    }

    pub(super) fn generations(&self) -> impl Iterator<Item = u32> {
        self.all().map(|known| known.generation)
    }

    /// The newest generation that anything was to be signed under.
    pub(crate) fn generation_newest(&self) -> u32 {
        self.generations().max().unwrap_or(1)
    }

    /// The generation of a writer's keys: that of the writer that follows, where it is about to be one.
    pub(super) fn generation(&self, writer: &str) -> Option<u32> {
        self.all().find(|known| known.writer == writer).map(|known| known.generation)
    }
}

/// The newest checkpoints that a directory remembers, by origin.
pub(super) fn remembered(disk: &dyn Disk) -> Result<BTreeMap<String, Seen>> {
    let file: RememberedFile = match read(disk, REMEMBERED)? {
        Some(file) => file,
        None => return Ok(BTreeMap::new()),
    };
    match file.version {
        VERSION => Ok(file.logs),
        _ => Err(damaged(disk, REMEMBERED, "of another version")),
    }
}

pub(super) fn remember(disk: &dyn Disk, logs: &BTreeMap<String, Seen>) -> Result<()> {
    write(disk, REMEMBERED, &RememberedFile { version: VERSION, logs: logs.clone() })
}

/// Removes what a write of one of the keys' files left that was broken off, a copy of a seed among them. For whoever holds the
/// keys: nobody else writes them.
pub(super) fn remove_unfinished(disk: &dyn Disk) -> Result<()> {
    let failed = |error: std::io::Error| Error::Keys(format!("{}: {error}", disk.absolute("").display()));
    for entry in disk.list("").map_err(failed)? {
        let file = entry.name.strip_suffix(TEMPORARY).and_then(|rest| rest.rsplit_once('.'));
        let is_ours =
            |file: &str| [WRITERS, REMEMBERED, INSTALLATION_FILE].contains(&file) || seed::is_seed(file);
        if !entry.is_dir && file.is_some_and(|(file, _)| is_ours(file)) {
            disk.remove(&entry.name).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes what signing relies on again, before anything does. What the last holder was told is not durable, its kernel may show
/// all the same: a power cut would take back a succession that was seen and finished, or a checkpoint that was shown
/// since. Seeds are referred to by the record alone, and written again before it: those of a directory without one here,
/// those of a new generation where they are taken.
pub(super) fn write_again(disk: &dyn Disk) -> Result<()> {
    let mut has_record = false;
    for name in [REMEMBERED, WRITERS] {
        match disk.read(name) {
            Ok(bytes) => {
                replace_secret(disk, name, &bytes)?;
                has_record |= name == WRITERS;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(disk, "read", name)(error)),
        }
    }
    if !has_record {
        let bytes = disk.read(INSTALLATION_FILE).map_err(failed(disk, "read", INSTALLATION_FILE))?;
        replace_secret(disk, INSTALLATION_FILE, &bytes)?;
        for generation in seed::generations(disk)? {
            seed::write_again(disk, generation)?;
        }
    }
    Ok(())
}

fn damaged(disk: &dyn Disk, name: &str, detail: &str) -> Error {
    let path = disk.absolute(name);
    Error::Keys(format!("{}: {detail}; restore it from a copy of the keys' directory", path.display()))
}

fn read<T: DeserializeOwned>(disk: &dyn Disk, name: &str) -> Result<Option<T>> {
    match disk.read(name) {
        Ok(bytes) => {
            let parsed = serde_json::from_slice(&bytes).map(Some);
            parsed.map_err(|error| damaged(disk, name, &error.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(disk, name, &error.to_string())),
    }
}

fn write<T: Serialize>(disk: &dyn Disk, name: &str, value: &T) -> Result<()> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| damaged(disk, name, &error.to_string()))?;
    bytes.push(b'\n');
    replace_secret(disk, name, &bytes)
}
