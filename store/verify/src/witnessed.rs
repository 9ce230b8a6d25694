//! What witnesses have cosigned of a store's root log, held against a policy of the verifier's own.
//!
//! The cosigned checkpoints are looked for where the store keeps its newest one and among the receipts. Who is asked for with a
//! policy has to be there: a store of which nothing is cosigned enough is no clean one, whatever it says of itself.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use schemas::checkpoint::Checkpoint;
use schemas::layout;
use schemas::limits::{NOTE_BYTES_MAX, WITNESS_POLICY_BYTES_MAX};
use schemas::note::{Note, VerifierKey};
use schemas::policy::{self, Policy, Rule};
use serde::Serialize;

use crate::Error;
use crate::options::{Identity, Options};
use crate::plan::{Expected, Known, Source};
use crate::receipt::Receipts;
use crate::report::{Finding, Gathered};

mod age;

pub use age::{Age, Within};

/// How far witnesses vouch for a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// The root log.
    pub origin: String,
    /// Entries of it under the greatest checkpoint that enough witnesses have cosigned.
    pub size: u64,
    /// Names in the policy of those who did.
    pub by: Vec<String>,
    /// When the last of them did, by its own clock: seconds since 1970.
    pub time_s: u64,
    /// When it became enough, of those who did so last: a quorum of the policy cosigned at this time or later.
    pub time_enough_s: u64,
    /// Whether that is longer ago than was asked for.
    pub is_too_old: bool,
    /// Entries of the root log past that size, in what was verified: nobody but its own key vouches for them.
    pub entries_past: u64,
}

/// A checkpoint with cosignatures, none of them checked yet.
#[derive(Debug)]
struct Cosigned {
    path: PathBuf,
    note: Note,
    checkpoint: Checkpoint,
}

/// A policy and what is to be held against it.
#[derive(Debug)]
pub struct Witnesses {
    policy: Policy,
    within: Option<Within>,
    notes: Vec<Cosigned>,
    /// What is cosigned enough, of any root log.
    enough: Vec<Witnessed>,
    /// What the store keeps that is no checkpoint.
    unreadable: Option<String>,
}

impl Witnesses {
    /// Reads the policy file that `options` name, if any, the checkpoint that the store keeps with its cosignatures, and those of
    /// the receipts.
    ///
    /// # Errors
    /// [`Error::Policy`] for a file that is none or is of other logs than that of the key; [`Error::Unreadable`].
    pub fn asked(options: &Options, receipts: &Receipts) -> Result<Option<Witnesses>, Error> {
        let Some(path) = &options.policy else { return Ok(None) };
        let key = match &options.identity {
            Identity::Key(key) => Some(key),
            Identity::TrustStoreKey | Identity::None => None,
        };
        let policy = asked_policy(path, key)?;
        let (mut notes, mut unreadable) = (Vec::new(), None);
        let kept = options.directory.join(layout::WITNESS).join(layout::COSIGNED);
        if let Some(bytes) = bounded(&kept, NOTE_BYTES_MAX)? {
            let note = Note::parse(&bytes);
            let read = note.and_then(|note| {
                let checkpoint = Checkpoint::parse(note.unverified_text())?;
                Ok(Cosigned { path: kept.clone(), note, checkpoint })
            });
            // It is part of what is judged, and keeps nothing else from being judged.
            match read {
                Ok(read) => notes.push(read),
                Err(error) => {
                    unreadable = Some(format!("what witnesses cosigned, {}: {error}", kept.display()));
                }
            }
        }
        let given = receipts.notes();
        notes.extend(given.map(|(path, note, checkpoint)| Cosigned { path, note, checkpoint }));
        let within = options.witnessed_within;
        Ok(Some(Witnesses { policy, within, notes, enough: Vec::new(), unreadable }))
    }

    /// The roots that this root log must have, by what is signed with its key and cosigned enough.
    pub fn expected(&mut self, known: &Known, out: &mut Gathered) -> Vec<Expected> {
        let Ok(key) = known.opened.key.parse::<VerifierKey>() else { return Vec::new() };
        let mut expected = Vec::new();
        for Cosigned { path, note, checkpoint } in &self.notes {
            // Nothing is vouched for by the checkpoint of an empty log.
            if checkpoint.origin.to_string() != known.opened.origin || checkpoint.size == 0 {
                continue;
            }
            let place = |wrong: String| Finding::new(wrong).log(&known.opened.origin);
            if note.verify(&key).is_err() {
                let wrong = "is not signed by this log's key";
                out.find(place(format!("the cosigned checkpoint {} {wrong}", path.display())));
                continue;
            }
            let witnessed = match self.policy.cosignatures(note) {
                Ok(witnessed) => witnessed,
                Err(error) => {
                    out.find(place(format!("a cosignature in {}: {error}", path.display())));
                    continue;
                }
            };
            if !witnessed.is_enough {
                continue;
            }
            let witnessed = named(&self.policy, &witnessed, checkpoint, self.within);
            expected.push(Expected {
                size: checkpoint.size,
                root: checkpoint.root,
                source: Source::Witnessed(witnessed.by.join(", ")),
            });
            self.enough.push(witnessed);
        }
        expected
    }

    /// Forgets what is cosigned of a root log past the `entries` that are here: it was held against nothing, and may be of another
    /// tree.
    pub fn reached(&mut self, origin: &str, entries: u64) {
        self.enough.retain(|witnessed| witnessed.origin != origin || witnessed.size <= entries);
        for witnessed in self.enough.iter_mut().filter(|witnessed| witnessed.origin == origin) {
            witnessed.entries_past = entries.saturating_sub(witnessed.size);
        }
    }

    /// What could not be read of what the store keeps.
    pub fn unreadable(&mut self) -> Option<String> {
        self.unreadable.take()
    }

    /// The greatest checkpoint of this root log that is cosigned enough; one that is not too old before all that are.
    pub fn best(&self, origin: &str) -> Option<Witnessed> {
        let of_it = self.enough.iter().filter(|witnessed| witnessed.origin == origin);
        of_it
            .max_by_key(|witnessed| (!witnessed.is_too_old, witnessed.size, witnessed.time_enough_s))
            .cloned()
    }
}

/// What the cosignatures of one root checkpoint come to under the policy in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Enough, as long ago as it says.
    Witnessed(Witnessed),
    /// So many, which is not enough.
    TooFew(usize),
    /// A line of one of its witnesses is wrong.
    Wrong(String),
}

/// Holds a root checkpoint, whose own signature is checked, against a policy file; `within` says since when enough must have
/// cosigned it.
///
/// # Errors
/// [`Error::Policy`] for a file that is none, asks for no witness, or is of other logs than that of the key; [`Error::Unreadable`].
pub fn hold(path: &Path, note: &Note, key: &VerifierKey, within: Option<Within>) -> Result<Held, Error> {
    let policy = asked_policy(path, Some(key))?;
    let cosigned = policy.cosignatures(note).and_then(|witnessed| {
        let checkpoint = Checkpoint::parse(note.unverified_text())?;
        Ok((witnessed, checkpoint))
    });
    Ok(match cosigned {
        Ok((witnessed, checkpoint)) if witnessed.is_enough => {
            Held::Witnessed(named(&policy, &witnessed, &checkpoint, within))
        }
        Ok((witnessed, _)) => Held::TooFew(witnessed.by.len()),
        Err(error) => Held::Wrong(format!("a cosignature of the root checkpoint: {error}")),
    })
}

fn named(
    policy: &Policy,
    witnessed: &policy::Witnessed,
    checkpoint: &Checkpoint,
    within: Option<Within>,
) -> Witnessed {
    let name = |at: usize| policy.witnesses.get(at).map(|witness| witness.name.clone());
    Witnessed {
        origin: checkpoint.origin.to_string(),
        size: checkpoint.size,
        entries_past: 0,
        by: witnessed.by.iter().filter_map(|(at, _)| name(*at)).collect(),
        time_s: witnessed.by.iter().map(|(_, cosignature)| cosignature.time_s).max().unwrap_or(0),
        time_enough_s: age::time_enough_s(policy, witnessed),
        is_too_old: within.is_some_and(|within| !within.is_met(policy, witnessed)),
    }
}

/// A policy that asks for witnesses, of the log of `key` where one is given.
fn asked_policy(path: &Path, key: Option<&VerifierKey>) -> Result<Policy, Error> {
    let policy = policy(path)?;
    let wrong = |detail: String| Err(Error::Policy { path: path.to_path_buf(), detail });
    if let Some(key) = key
        && !policy.logs.is_empty()
        && !policy.logs.iter().any(|log| log.key == *key)
    {
        return wrong(format!("its logs are others than {key}"));
    }
    if policy.quorum == Rule::None {
        return wrong("its quorum is none: no witness is asked for".to_string());
    }
    Ok(policy)
}

/// The key of the one log that a policy file names.
///
/// # Errors
/// [`Error::Policy`] where it is none, or names no log or several.
pub fn only_log(path: &Path) -> Result<VerifierKey, Error> {
    let policy = policy(path)?;
    match policy.logs.as_slice() {
        [log] => Ok(log.key.clone()),
        logs => {
            let detail = format!("it names {} logs; say with --key which one this is to be", logs.len());
            Err(Error::Policy { path: path.to_path_buf(), detail })
        }
    }
}

fn policy(path: &Path) -> Result<Policy, Error> {
    let wrong = |detail: String| Error::Policy { path: path.to_path_buf(), detail };
    let text = bounded(path, WITNESS_POLICY_BYTES_MAX)?;
    let text = text.ok_or_else(|| wrong("there is no such file".to_string()))?;
    Policy::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// At most one byte more than there may be: the rest is not needed to refuse it. None where there is no file.
fn bounded(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_path_buf(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Some(bytes))
}
