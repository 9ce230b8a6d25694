//! A proof that leaves the building: one entry, and all that whoever has the root log's verifier key needs to see that
//! it is in its log, and whose log that is. One JSON object:
//!
//! ```text
//! format      "tachograph/proof/v1"
//! origin      of the log
//! index       of the entry in it
//! entry       canonical bytes, base64
//! proof       C2SP tlog-proof of the entry, of the log's key
//! log_opened  the root log's entry that names the log and its key: {index, entry, proof}; null where the log is the root log
//! round       the root log's entry that says how far the log had come, past the entry: {index, entry, proof, hashes}, where `hashes`
//!             is the inclusion proof of the entry in the tree that it names; null where the log is the root log
//! consistency from an older root checkpoint to the one in `log_opened` and `round` (or in `proof`): {old, hashes}; null where not asked for
//! successors  what leads here from the keys of the root logs that went on from this one, oldest first (`successor.rs`); absent
//!             where there are none
//! ```
//! The key says which root log is trusted: that of the proof, or one of its successors. What the document says beyond that one
//! must fit together all the same, and proves nothing to whoever has that key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Proof;
use super::successor::{Before, Link, Proven, Successor};
use crate::checkpoint::Checkpoint;
use crate::control::{Control, LogOpened};
use crate::entry::EntryView;
use crate::limits::{PROOF_DOCUMENT_BYTES_MAX, PROOF_HASHES_MAX, PROOF_SUCCESSORS_MAX};
use crate::note::{Note, VerifierKey};
use crate::origin::Origin;
use crate::stream::Stream;
use crate::tree::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use crate::{Error, Result};

/// What `format` says.
pub const FORMAT: &str = "tachograph/proof/v1";

/// See the module. Nothing of it is trusted before [`Document::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT`].
    pub format: String,
    /// The log.
    pub origin: String,
    /// Index of the entry.
    pub index: u64,
    /// Its canonical bytes, base64.
    pub entry: String,
    /// Its tlog-proof.
    pub proof: String,
    /// What says whose log it is, where it is not the root log.
    pub log_opened: Option<Opened>,
    /// What ties the log's tree to the root log's, where it is not the root log.
    pub round: Option<Covered>,
    /// From an older root checkpoint, where that was asked for.
    pub consistency: Option<Consistency>,
    /// The root logs that went on from the one of the proof, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successors: Vec<Successor>,
}

/// The root log's entry that opens a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// Its index in the root log.
    pub index: u64,
    /// Its canonical bytes, base64.
    pub entry: String,
    /// Its tlog-proof, of the root log's key.
    pub proof: String,
}

/// The root log's entry that says how far a log had come, and that the proved entry is in that tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Its index in the root log.
    pub index: u64,
    /// Its canonical bytes, base64.
    pub entry: String,
    /// Its tlog-proof, of the root log's key.
    pub proof: String,
    /// RFC 6962 inclusion proof of the document's entry in the tree that it names, base64 each.
    pub hashes: Vec<String>,
}

/// That the newer tree extends an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Size of the older tree.
    pub old: u64,
    /// RFC 6962 consistency proof to the newer, base64 each.
    pub hashes: Vec<String>,
}

/// What a document proves, once it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Of the log, which has the entry.
    pub checkpoint: Checkpoint,
    /// Of the root log whose key was given: the one that has the log and the round, or a successor of it.
    pub root: Checkpoint,
    /// What leads from that root log back to the one that has the log and the round, oldest first; none where it is that one.
    pub before: Vec<Before>,
    /// The size of the log that the root log knows, which is over the entry's index; absent where it is the root log.
    pub round: Option<u64>,
    /// The entry's canonical bytes.
    pub entry: Vec<u8>,
}

/// The bytes of a base64 text in the one spelling that it has.
fn bytes(what: &'static str, text: &str) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text);
    bytes.ok_or_else(|| Error::malformed("proof document", format!("the entry of {what} is not base64")))
}

impl Document {
    /// The document of an entry.
    pub fn new(origin: &Origin, entry: &[u8], proof: &Proof, in_root: Option<(Opened, Covered)>) -> Document {
        let (log_opened, round) = in_root.unzip();
        Document {
            format: FORMAT.to_string(),
            origin: origin.to_string(),
            index: proof.index,
            entry: STANDARD.encode(entry),
            proof: proof.to_string(),
            log_opened,
            round,
            consistency: None,
            successors: Vec::new(),
        }
    }

    /// Parses a document.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Malformed`] for what is no JSON object of these fields.
    pub fn parse(text: &[u8]) -> Result<Document> {
        super::within("bytes of a proof document", text.len(), PROOF_DOCUMENT_BYTES_MAX)?;
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| Error::malformed("proof document", error.to_string()))?;
        if document.format != FORMAT {
            let detail = format!("format {:?}, expected {FORMAT:?}", document.format);
            return Err(Error::malformed("proof document", detail));
        }
        super::within("root logs of a proof document", document.successors.len(), PROOF_SUCCESSORS_MAX)?;
        Ok(document)
    }

    /// Checks everything from the root log's key down: that the root log has the entry that opens the log, that the key
    /// which that entry names signed the log's checkpoint, that this tree has the entry, that the entry says that it is
    /// of this log and index, and that one and the same root log has a round in which the log had come past the entry, with
    /// a tree that has it. Without the last whoever holds the log's key alone could show a tree that the root log, and so
    /// whoever witnesses it, never saw.
    ///
    /// With the key of a root log that went on from that one, also that it did, with this log and this entry: through as many
    /// as there are between.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for what does not hold, [`Error::Malformed`] for what cannot be read, [`Error::TooLarge`].
    pub fn verify(&self, root_key: &VerifierKey) -> Result<Proved> {
        super::within("root logs of a proof document", self.successors.len(), PROOF_SUCCESSORS_MAX)?;
        let links = self.successors.iter().map(Successor::read).collect::<Result<Vec<Link>>>()?;
        let oldest = links.first().map_or(root_key, |link| &link.key_before);
        let keys: Vec<&VerifierKey> =
            std::iter::once(oldest).chain(links.iter().map(|link| &link.key)).collect();
        // Which root log is trusted is said by the key alone, and by nothing that stands in the document.
        let Some(trusted) = keys.iter().position(|key| *key == root_key) else {
            let detail = format!("{root_key} is of no root log that this proof leads to");
            return Err(Error::mismatch("verifier key", detail));
        };
        if let Some((link, known)) = links.iter().zip(&keys).find(|(link, known)| link.key_before != ***known)
        {
            let detail = format!("{} goes on from {}, not from {known}", link.key, link.key_before);
            return Err(Error::mismatch("succession", detail));
        }
        let (mut proved, key) = self.verify_in(oldest)?;
        let origin: Origin = self.origin.parse()?;
        let is_root = origin.stream() == Stream::Root;
        let (mut older, mut found) = (proved.root.clone(), Vec::new());
        for (at, (successor, link)) in self.successors.iter().zip(&links).enumerate() {
            let proven = Proven { origin: &origin, key: &key, index: self.index };
            let proven = Some(&proven).filter(|_| at == 0 && !is_root);
            let (newer, before) = successor.verify(link, &older, proven)?;
            found.push(before);
            older = newer;
            if at + 1 == trusted {
                proved.root = older.clone();
            }
        }
        found.truncate(trusted);
        proved.before = found;
        Ok(proved)
    }

    /// The same under the key of the root log that has the log and the round; and the log's key.
    fn verify_in(&self, root_key: &VerifierKey) -> Result<(Proved, VerifierKey)> {
        let origin: Origin = self.origin.parse()?;
        let root_origin: Origin = root_key.name().parse()?;
        if root_origin.stream() != Stream::Root {
            let detail = format!("{root_origin} is not a root log's");
            return Err(Error::mismatch("verifier key", detail));
        }
        let entry = bytes("the proof", &self.entry)?;
        let proof = Proof::parse(&self.proof)?;
        if proof.index != self.index {
            let detail = format!("of index {}, not {}", proof.index, self.index);
            return Err(Error::mismatch("tlog-proof", detail));
        }
        let in_root = match (&self.log_opened, &self.round, origin == root_origin) {
            (None, None, true) => None,
            (Some(opened), Some(round), false) => Some((opened.verify(&origin, root_key)?, round)),
            (None, _, false) => {
                let detail = format!("nothing says that {origin} is a log of {root_origin}");
                return Err(Error::malformed("proof document", detail));
            }
            (_, None, false) => {
                let detail =
                    format!("nothing says that {root_origin} knows a tree of {origin} with this entry");
                return Err(Error::malformed("proof document", detail));
            }
            (_, _, true) => {
                return Err(Error::malformed("proof document", "a root log is not opened by another"));
            }
        };
        let key = in_root.as_ref().map_or(root_key, |((_, key, _), _)| key);
        let checkpoint = proof.verify(&entry, key)?;
        check_header(&entry, &origin, key, self.index)?;
        let key = key.clone();
        let before = Vec::new();
        let Some(((opened, _, root), round)) = in_root else {
            return Ok((Proved { root: checkpoint.clone(), before, checkpoint, round: None, entry }, key));
        };
        let size = round.verify(&opened, &root, root_key, (self.index, &entry))?;
        if size > checkpoint.size {
            // The log's own checkpoint is the newer of the two, as it is made; an older one is of another history, or of another time.
            let detail = format!("the root log knows size {size}, the checkpoint is of {}", checkpoint.size);
            return Err(Error::mismatch("round", detail));
        }
        Ok((Proved { checkpoint, root, before, round: Some(size), entry }, key))
    }

    /// The element that leads back from the root log whose key was given; none where that one has the log and the round.
    fn trusted(&self, proved: &Proved) -> Option<&Successor> {
        proved.before.len().checked_sub(1).and_then(|at| self.successors.get(at))
    }

    /// The note of the root checkpoint, with the lines that witnesses added to it: its text is what [`Document::verify`] checked
    /// with the key that was given.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn root_note(&self, proved: &Proved) -> Result<Note> {
        let proof = match self.trusted(proved) {
            Some(successor) => &successor.opened.proof,
            None => self.log_opened.as_ref().map_or(&self.proof, |opened| &opened.proof),
        };
        Note::parse(Proof::parse(proof)?.checkpoint.as_bytes())
    }

    /// Whether the root checkpoint of this document extends one that was seen before; false where the document does not
    /// go on from that size, and so does not tell.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it does not extend it; [`Error::Malformed`].
    pub fn extends(&self, proved: &Proved, size: u64, root: &Hash) -> Result<bool> {
        let now = &proved.root;
        let since = self.trusted(proved).map_or(&self.consistency, |successor| &successor.consistency);
        let hashes = match since {
            Some(Consistency { old, hashes: of_it }) if *old == size => {
                hashes("hashes of a consistency proof", of_it)?
            }
            _ if size == now.size => Vec::new(),
            _ => return Ok(false),
        };
        verify_consistency(&hashes, size, now.size, root, &now.root).map(|()| true)
    }
}

impl Opened {
    /// The entry that opens a log, of the root log.
    pub fn new(entry: &[u8], proof: &Proof) -> Opened {
        Opened { index: proof.index, entry: STANDARD.encode(entry), proof: proof.to_string() }
    }

    /// What the entry says, whoever signed it.
    pub(super) fn said(&self) -> Result<LogOpened> {
        match Control::of_root_entry(&bytes("log_opened", &self.entry)?)? {
            Some(Control::LogOpened(opened)) => Ok(opened),
            _ => Err(Error::mismatch("log_opened", "the entry opens no log")),
        }
    }

    /// What opens the log of this origin, its key, and the root checkpoint that covers it.
    ///
    /// # Errors
    /// As [`Document::verify`].
    pub fn verify(
        &self,
        origin: &Origin,
        root_key: &VerifierKey,
    ) -> Result<(LogOpened, VerifierKey, Checkpoint)> {
        let (_, root) = of_root("log_opened", self.index, &self.entry, &self.proof, root_key)?;
        if origin.installation() != root.origin.installation() {
            return Err(Error::mismatch("installation", format!("{origin} in {}", root.origin)));
        }
        let opened = self.said()?;
        if opened.origin != origin.to_string() {
            return Err(Error::mismatch("log_opened", format!("the entry does not open {origin}")));
        }
        let key: VerifierKey = opened.key.parse()?;
        if key.name() != opened.origin {
            return Err(Error::mismatch("log_opened", format!("a key of {} for {origin}", key.name())));
        }
        Ok((opened, key, root))
    }
}

impl Covered {
    /// The round's entry, of the root log, and the path of the proved entry in the tree that it names.
    pub fn new(entry: &[u8], proof: &Proof, hashes: &[Hash]) -> Covered {
        let hashes = hashes.iter().map(|hash| hash.to_base64()).collect();
        Covered { index: proof.index, entry: STANDARD.encode(entry), proof: proof.to_string(), hashes }
    }

    /// The size of the log in the round, once its tree has the entry.
    fn verify(
        &self,
        opened: &LogOpened,
        root: &Checkpoint,
        root_key: &VerifierKey,
        (index, entry): (u64, &[u8]),
    ) -> Result<u64> {
        let (size, tree) = self.told(opened, root, root_key)?;
        if index >= size {
            let detail = format!("the log had come to size {size}, and the entry is {index}");
            return Err(Error::mismatch("round", detail));
        }
        let hashes = hashes("hashes of an inclusion proof", &self.hashes)?;
        verify_inclusion(&hashes, index, size, &leaf_hash(entry), &tree)?;
        Ok(size)
    }

    /// The size and root of the log that the root log knows by this round, under the root checkpoint that was held against the
    /// entry which opens the log. `hashes` have no part in it.
    ///
    /// # Errors
    /// As [`Document::verify`].
    pub fn told(&self, opened: &LogOpened, root: &Checkpoint, root_key: &VerifierKey) -> Result<(u64, Hash)> {
        let wrong = |detail: String| Err(Error::mismatch("round", detail));
        let (round, now) = of_root("round", self.index, &self.entry, &self.proof, root_key)?;
        if now != *root {
            return wrong(format!("of the root log at size {}, log_opened at {}", now.size, root.size));
        }
        let Some(Control::Round(round)) = Control::of_root_entry(&round)? else {
            return wrong("the entry is no round".to_string());
        };
        let Some(told) = round.logs.iter().find(|log| log.number == opened.number) else {
            return wrong(format!("it does not name {}, number {}", opened.origin, opened.number));
        };
        Ok((told.size, Hash::from_base64(&told.root)?))
    }
}

/// The hashes of a proof, base64 each.
pub(super) fn hashes(what: &'static str, texts: &[String]) -> Result<Vec<Hash>> {
    super::within(what, texts.len(), PROOF_HASHES_MAX)?;
    texts.iter().map(|hash| Hash::from_base64(hash)).collect()
}

/// An entry of the root log, and the checkpoint that covers it.
fn of_root(
    what: &'static str,
    index: u64,
    entry: &str,
    proof: &str,
    root_key: &VerifierKey,
) -> Result<(Vec<u8>, Checkpoint)> {
    let entry = bytes(what, entry)?;
    let proof = Proof::parse(proof)?;
    if proof.index != index {
        return Err(Error::mismatch("tlog-proof", format!("{what}: of index {}, not {index}", proof.index)));
    }
    let root = proof.verify(&entry, root_key)?;
    check_header(&entry, &root.origin, root_key, index)?;
    Ok((entry, root))
}

/// An entry says which log and which place it is of.
fn check_header(entry: &[u8], origin: &Origin, key: &VerifierKey, index: u64) -> Result<()> {
    let view = EntryView::parse(entry)?;
    if view.log_id != origin.log_id(&key.key_bytes()) {
        return Err(Error::mismatch("entry", format!("it is not of the log {origin}")));
    }
    if view.index != index {
        return Err(Error::mismatch("entry", format!("it is of index {}, not {index}", view.index)));
    }
    Ok(())
}
