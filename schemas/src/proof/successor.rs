//! What leads from the key of a newer root log to an older root log, whose proof a document has. An element of `successors`:
//!
//! ```text
//! opened      entry 0 of the newer root log, which names the older one: {index, entry, proof}, of the newer root log's key
//! log         the newer root log's entry that opens the log in the place of the proved one, and says how much of that is kept:
//!             {index, entry, proof}; in the first element alone, and null there where the proved log is the root log
//! hashes      consistency proof from the older root log's checkpoint, as it stands in the document, to the size and root that `opened`
//!             names; none where it is of that size, and none where entries are lost: then there is none to be had
//! consistency from an older checkpoint of the newer root log to the one in `opened`: {old, hashes}; null where not asked for
//! ```
//! The rules are those of a verification of the whole store (FORMAT.md section 11, step 8): the newer root log names the older
//! one's origin and key, what counts is at most what it says is kept, and where all is kept the tree is the one whose root it
//! names. Where entries are lost, nobody has the leaves that would lead to that root: the key that the newer one names, and the
//! size, are then all that ties the older tree to it.

use serde::{Deserialize, Serialize};

use super::document::{Consistency, Opened, hashes};
use crate::checkpoint::Checkpoint;
use crate::control::{LogOpened, Predecessor};
use crate::note::VerifierKey;
use crate::origin::{Origin, ROOT_TENANT};
use crate::stream::Stream;
use crate::tree::{Hash, verify_consistency};
use crate::{Error, Result};

/// See the module. Nothing of it is trusted before [`super::Document::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Successor {
    /// Entry 0 of the newer root log.
    pub opened: Opened,
    /// What goes on in the place of the proved log.
    pub log: Option<Opened>,
    /// RFC 6962 consistency proof to the size that `opened` names, base64 each.
    pub hashes: Vec<String>,
    /// From an older checkpoint of the newer root log, where that was asked for.
    pub consistency: Option<Consistency>,
}

/// How a newer root log goes on from an older one, once that is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Of the older root log, in the document.
    pub checkpoint: Checkpoint,
    /// Origin of the newer one.
    pub successor: String,
    /// The greatest size that the older one is known to have been signed at.
    pub size: u64,
    /// How many of its entries are kept; fewer than `size` where entries are lost.
    pub kept: u64,
}

/// What an element says, of which the signature is still to be checked.
pub(super) struct Link {
    /// The newer root log's key, as its entry 0 has it.
    pub(super) key: VerifierKey,
    /// The older one's, as the newer one names it.
    pub(super) key_before: VerifierKey,
    before: Predecessor,
}

/// The proved entry, of a log of an older root log.
pub(super) struct Proven<'a> {
    pub(super) origin: &'a Origin,
    pub(super) key: &'a VerifierKey,
    pub(super) index: u64,
}

impl Successor {
    /// Reads what it says.
    pub(super) fn read(&self) -> Result<Link> {
        let LogOpened { number, origin, key, predecessor, .. } = self.opened.said()?;
        if self.opened.index != 0 || number != 0 {
            return wrong(format!("entry {}, log {number}, is not how a root log begins", self.opened.index));
        }
        let Some(before) = predecessor else { return wrong(format!("{origin} goes on from no other")) };
        let key: VerifierKey = key.parse()?;
        let key_before: VerifierKey = before.key.parse()?;
        let (newer, older): (Origin, Origin) = (origin.parse()?, before.origin.parse()?);
        if key.name() != origin || key_before.name() != before.origin {
            return wrong(format!("a key of another log than {origin} or {}", before.origin));
        }
        let is_root = |of: &Origin| (of.tenant(), of.stream()) == (ROOT_TENANT, Stream::Root);
        if !is_root(&newer) || !is_root(&older) || newer.installation() != older.installation() {
            return wrong(format!("{newer} cannot go on from {older}"));
        }
        Ok(Link { key, key_before, before })
    }

    /// Checks the newer root log's signatures and that it goes on from `older`; its checkpoint.
    pub(super) fn verify(
        &self,
        link: &Link,
        older: &Checkpoint,
        proven: Option<&Proven<'_>>,
    ) -> Result<(Checkpoint, Before)> {
        let newer: Origin = link.key.name().parse()?;
        let (_, _, checkpoint) = self.opened.verify(&newer, &link.key)?;
        follow(&link.before, older, &hashes("hashes of a succession", &self.hashes)?)?;
        match (&self.log, proven) {
            (None, None) => {}
            (Some(log), Some(proven)) => {
                check_log(log, (&newer, &link.key), &checkpoint, &link.before, proven)?;
            }
            (None, Some(proven)) => {
                return wrong(format!("nothing says how much of {} {newer} keeps", proven.origin));
            }
            (Some(_), None) => return wrong("a log where none is to be named".to_string()),
        }
        let Predecessor { size, kept, .. } = link.before;
        let before = Before { checkpoint: older.clone(), successor: newer.to_string(), size, kept };
        Ok((checkpoint, before))
    }
}

/// Whether the older root log, as the document has it, is what the newer one goes on from.
fn follow(before: &Predecessor, older: &Checkpoint, hashes: &[Hash]) -> Result<()> {
    let Predecessor { origin, size, root, kept, .. } = before;
    if kept > size || older.size > *kept {
        let detail =
            format!("{kept} of {size} entries of {origin} are kept, the proof is of size {}", older.size);
        return wrong(detail);
    }
    let root = Hash::from_base64(root)?;
    if kept == size {
        return verify_consistency(hashes, older.size, *size, &older.root, &root);
    }
    if hashes.is_empty() {
        return Ok(());
    }
    wrong(format!("entries of {origin} are lost, and a proof leads over them"))
}

/// Whether the newer root log has a log that goes on from the proved one, and keeps the entry.
fn check_log(
    log: &Opened,
    (newer, key): (&Origin, &VerifierKey),
    checkpoint: &Checkpoint,
    root_before: &Predecessor,
    proven: &Proven<'_>,
) -> Result<()> {
    let Proven { origin, index, .. } = proven;
    let next = Origin::new(origin.installation(), origin.tenant(), origin.stream(), newer.writer())?;
    let (opened, _, now) = log.verify(&next, key)?;
    if now != *checkpoint {
        return wrong(format!("{next} of {newer} at size {}, not {}", now.size, checkpoint.size));
    }
    let Some(before) = opened.predecessor else { return wrong(format!("{next} goes on from no other")) };
    let root_before: Origin = root_before.origin.parse()?;
    if before.origin != origin.to_string()
        || before.key.parse::<VerifierKey>()? != *proven.key
        || root_before.writer() != origin.writer()
    {
        return wrong(format!("{next} does not go on from {origin} with its key"));
    }
    if before.kept > before.size || *index >= before.kept {
        let Predecessor { size, kept, .. } = before;
        return wrong(format!("{kept} of {size} entries of {origin} are kept, and the entry is {index}"));
    }
    Ok(())
}

fn wrong<T>(detail: String) -> Result<T> {
    Err(Error::mismatch("succession", detail))
}

#[cfg(test)]
mod tests;
