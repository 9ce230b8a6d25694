//! What a witness is asked (C2SP tlog-witness, `add-checkpoint`) and what it answers.
//!
//! ```text
//! old <size>
//! <base64 hash of the consistency proof>   0 to 63 lines
//! <blank line>
//! <signed checkpoint>
//! ```

use std::fmt;

use crate::limits::{WITNESS_PROOF_HASHES_MAX, WITNESS_REQUEST_BYTES_MAX};
use crate::note::{Note, VerifierKey};
use crate::tree::{Hash, empty_root, verify_consistency};
use crate::{Error, Result};

/// Where a checkpoint is handed to a witness, below its submission prefix.
pub const ADD_CHECKPOINT: &str = "add-checkpoint";
/// The content type of the size in an answer of 409.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The tree of any C2SP tlog-checkpoint: a witness knows logs of others too, whose origins are not made as ours are, and which
/// may have extension lines. [`crate::checkpoint::Checkpoint`] is what our own logs sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The log, as the first line has it.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is thought to hold, 0 for none.
    pub old: u64,
    /// The consistency proof from `old`.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, unverified.
    pub checkpoint: Vec<u8>,
}

impl Head {
    /// The first three lines of a checkpoint's text.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless there are three, the size has one spelling, and every line behind them has something in it.
    pub fn parse(text: &str) -> Result<Head> {
        let wrong = |detail: String| Error::malformed("checkpoint", detail);
        let body = text.strip_suffix('\n').ok_or_else(|| wrong("the last line does not end".to_string()))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("expected origin, size, root".to_string()));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(wrong("an empty line".to_string()));
        }
        let size = parse_size(size).ok_or_else(|| wrong(format!("size {size:?} is no number")))?;
        Ok(Head { origin: origin.to_string(), size, root: Hash::from_base64(root)? })
    }

    /// The head in a note, if `key` signed it for the origin that `key` is named after.
    ///
    /// # Errors
    /// [`Error::Malformed`], or [`Error::Mismatch`] for a wrong signature or another log's origin.
    pub fn open(note: &Note, key: &VerifierKey) -> Result<Head> {
        let head = Head::parse(note.verify(key)?)?;
        if head.origin != key.name() {
            let detail = format!("{} in a note of {}", head.origin, key.name());
            return Err(Error::mismatch("checkpoint origin", detail));
        }
        Ok(head)
    }

    /// Checks that this tree extends `old`; a witness that holds nothing holds the empty tree.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn extends(&self, old: Option<&Head>, proof: &[Hash]) -> Result<()> {
        let (size, root) = old.map_or((0, empty_root()), |old| (old.size, old.root));
        verify_consistency(proof, size, self.size, &root, &self.root)
    }
}

/// A number as the formats write it: decimal, no sign, no leading zero.
pub fn parse_size(text: &str) -> Option<u64> {
    text.parse().ok().filter(|size: &u64| size.to_string() == text)
}

/// The size in an answer of 409: the number and a newline.
///
/// # Errors
/// [`Error::Malformed`].
pub fn parse_held_size(body: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(body).ok().and_then(|text| text.strip_suffix('\n'));
    text.and_then(parse_size).ok_or_else(|| Error::malformed("answer of a witness", "no size and newline"))
}

impl AddCheckpoint {
    /// Parses a request; it must be exactly what [`AddCheckpoint`] prints.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`].
    pub fn parse(bytes: &[u8]) -> Result<AddCheckpoint> {
        let wrong = |detail: &str| Error::malformed("add-checkpoint", detail.to_string());
        if bytes.len() > WITNESS_REQUEST_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "bytes of a request",
                actual: bytes.len() as u64,
                limit: WITNESS_REQUEST_BYTES_MAX as u64,
            });
        }
        let blank = bytes.windows(2).position(|pair| pair == b"\n\n");
        let blank = blank.ok_or_else(|| wrong("no blank line before the checkpoint"))?;
        let (head, rest) = bytes.split_at(blank);
        let checkpoint = rest.get(2..).unwrap_or_default().to_vec();
        let head = std::str::from_utf8(head).map_err(|_| wrong("not UTF-8"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(parse_size);
        let old = old.ok_or_else(|| wrong("the first line is not `old <size>`"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == WITNESS_PROOF_HASHES_MAX {
                return Err(wrong("more than 63 hashes"));
            }
            proof.push(Hash::from_base64(line)?);
        }
        Ok(AddCheckpoint { old, proof, checkpoint })
    }

    /// The request's body.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.to_string().as_bytes(), &self.checkpoint].concat()
    }
}

/// All but the checkpoint.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", hash.to_base64())?;
        }
        writeln!(f)
    }
}

/// What two checkpoints of one log say of each other without a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The same size and root.
    Same,
    /// The same size and two roots, both signed by the log: two histories were shown. The two notes are the proof.
    Forked,
    /// Two sizes: only a consistency proof can say.
    TwoSizes,
}

/// Compares two checkpoints, both signed by `key`.
///
/// # Errors
/// As [`Head::open`].
pub fn compare(one: &Note, other: &Note, key: &VerifierKey) -> Result<Comparison> {
    let (one, other) = (Head::open(one, key)?, Head::open(other, key)?);
    Ok(match (one.size == other.size, one.root == other.root) {
        (true, true) => Comparison::Same,
        (true, false) => Comparison::Forked,
        (false, _) => Comparison::TwoSizes,
    })
}

#[cfg(test)]
mod tests;
