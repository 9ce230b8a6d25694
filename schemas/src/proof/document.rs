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
//! consistency from an older root checkpoint to the one in `log_opened` (or in `proof`): {old, hashes}; null where not asked for
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Proof;
use crate::checkpoint::Checkpoint;
use crate::control::Control;
use crate::entry::EntryView;
use crate::limits::{PROOF_DOCUMENT_BYTES_MAX, PROOF_HASHES_MAX};
use crate::note::VerifierKey;
use crate::origin::Origin;
use crate::stream::Stream;
use crate::tree::{Hash, verify_consistency};
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
    /// From an older root checkpoint, where that was asked for.
    pub consistency: Option<Consistency>,
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
    /// Of the root log, which has the log.
    pub root: Checkpoint,
    /// The entry's canonical bytes.
    pub entry: Vec<u8>,
}

/// The bytes of a base64 text in the one spelling that it has.
fn bytes(what: &'static str, text: &str) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text);
    bytes.ok_or_else(|| Error::malformed("proof document", format!("{what} is not base64")))
}

impl Document {
    /// The document of an entry.
    pub fn new(origin: &Origin, entry: &[u8], proof: &Proof, log_opened: Option<Opened>) -> Document {
        Document {
            format: FORMAT.to_string(),
            origin: origin.to_string(),
            index: proof.index,
            entry: STANDARD.encode(entry),
            proof: proof.to_string(),
            log_opened,
            consistency: None,
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
        Ok(document)
    }

    /// Checks everything from the root log's key down: that the root log has the entry that opens the log, that the key
    /// which that entry names signed the log's checkpoint, that this tree has the entry, and that the entry says that
    /// it is of this log and index.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for what does not hold, [`Error::Malformed`] for what cannot be read.
    pub fn verify(&self, root_key: &VerifierKey) -> Result<Proved> {
        let origin: Origin = self.origin.parse()?;
        let root_origin: Origin = root_key.name().parse()?;
        if root_origin.stream() != Stream::Root {
            let detail = format!("{root_origin} is not a root log's");
            return Err(Error::mismatch("verifier key", detail));
        }
        let entry = bytes("entry", &self.entry)?;
        let proof = Proof::parse(&self.proof)?;
        if proof.index != self.index {
            let detail = format!("of index {}, not {}", proof.index, self.index);
            return Err(Error::mismatch("tlog-proof", detail));
        }
        let (key, root) = match (&self.log_opened, origin == root_origin) {
            (None, true) => (root_key.clone(), None),
            (Some(opened), false) => {
                let (key, root) = opened.verify(&origin, root_key)?;
                (key, Some(root))
            }
            (None, false) => {
                let detail = format!("nothing says that {origin} is a log of {root_origin}");
                return Err(Error::malformed("proof document", detail));
            }
            (Some(_), true) => {
                return Err(Error::malformed("proof document", "a root log is not opened by another"));
            }
        };
        let checkpoint = proof.verify(&entry, &key)?;
        check_header(&entry, &origin, &key, self.index)?;
        let root = root.unwrap_or_else(|| checkpoint.clone());
        Ok(Proved { checkpoint, root, entry })
    }

    /// Whether the root checkpoint of this document extends one that was seen before; false where the document does not
    /// go on from that size, and so does not tell.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it does not extend it; [`Error::Malformed`].
    pub fn extends(&self, proved: &Proved, size: u64, root: &Hash) -> Result<bool> {
        let now = &proved.root;
        let hashes = match &self.consistency {
            Some(Consistency { old, hashes }) if *old == size => {
                super::within("hashes of a consistency proof", hashes.len(), PROOF_HASHES_MAX)?;
                hashes.iter().map(|hash| Hash::from_base64(hash)).collect::<Result<Vec<_>>>()?
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

    /// The key of the log with this origin, and the root checkpoint that covers it.
    ///
    /// # Errors
    /// As [`Document::verify`].
    pub fn verify(&self, origin: &Origin, root_key: &VerifierKey) -> Result<(VerifierKey, Checkpoint)> {
        let entry = bytes("log_opened.entry", &self.entry)?;
        let proof = Proof::parse(&self.proof)?;
        if proof.index != self.index {
            let detail = format!("log_opened: of index {}, not {}", proof.index, self.index);
            return Err(Error::mismatch("tlog-proof", detail));
        }
        let root = proof.verify(&entry, root_key)?;
        check_header(&entry, &root.origin, root_key, self.index)?;
        if origin.installation() != root.origin.installation() {
            return Err(Error::mismatch("installation", format!("{origin} in {}", root.origin)));
        }
        let opened = match control(&entry)? {
            Some(Control::LogOpened(opened)) if opened.origin == origin.to_string() => opened,
            _ => return Err(Error::mismatch("log_opened", format!("the entry does not open {origin}"))),
        };
        let key: VerifierKey = opened.key.parse()?;
        if key.name() != opened.origin {
            return Err(Error::mismatch("log_opened", format!("a key of {} for {origin}", key.name())));
        }
        Ok((key, root))
    }
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

/// What an entry of the root log says.
fn control(entry: &[u8]) -> Result<Option<Control>> {
    let id = Stream::Root.column("control").map(|column| column.id);
    let Some(id) = id else { return Ok(None) };
    let Some(text) = EntryView::parse(entry)?.field(id)? else { return Ok(None) };
    let text = std::str::from_utf8(text).map_err(|_| Error::malformed("control", "not UTF-8"))?;
    Control::parse(text).map(Some)
}
