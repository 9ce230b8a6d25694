//! Inclusion proofs as files (C2SP tlog-proof): an entry's index, its path, and the checkpoint that it leads to.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                       only where there is any
//! index <decimal>
//! <base64 of a hash>                   none or more, the leaf's sibling first
//!
//! <signed checkpoint, as it was issued>
//! ```
//! Source: c2sp.org/tlog-proof. What is read is exactly what would be printed: one spelling a proof.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::Checkpoint;
use crate::limits::{PROOF_BYTES_MAX, PROOF_EXTRA_BYTES_MAX, PROOF_HASHES_MAX};
use crate::note::{Note, VerifierKey};
use crate::tree::{Hash, leaf_hash, verify_inclusion};
use crate::{Error, Result};

mod document;
mod successor;

pub use document::{Consistency, Covered, Document, FORMAT as DOCUMENT_FORMAT, Opened, Proved};
pub use successor::{Before, Successor};

/// The first line of every proof.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof as it was read: nothing of it is trusted before [`Proof::verify`], and `extra` never is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whatever its maker wanted to say; not authenticated, and at least one byte where there is any.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry, from 0.
    pub index: u64,
    /// From the leaf's sibling up to the root's child.
    pub hashes: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl Proof {
    /// Parses a proof.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what no proof prints; [`Error::TooLarge`] past the limits.
    pub fn parse(text: &str) -> Result<Proof> {
        let wrong = |detail: String| Error::malformed("tlog-proof", detail);
        within("bytes of a tlog-proof", text.len(), PROOF_BYTES_MAX)?;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| wrong("no blank line before the checkpoint".to_string()))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(wrong(format!("the first line is not {HEADER}")));
        }
        let extra = lines.next_if(|line| line.starts_with("extra ")).map(extra).transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.ok_or_else(|| wrong("no line `index <number>`".to_string()))?;
        let index = index.parse().map_err(|_| wrong(format!("index {index:?} is no number")))?;
        let mut hashes = Vec::new();
        for line in lines {
            within("hashes of a tlog-proof", hashes.len() + 1, PROOF_HASHES_MAX)?;
            hashes.push(Hash::from_base64(line)?);
        }
        let parsed = Proof { extra, index, hashes, checkpoint: checkpoint.to_string() };
        // What comes after a blank line too early is no checkpoint.
        if !is_checkpoint(Note::parse(parsed.checkpoint.as_bytes())?.unverified_text()) {
            return Err(wrong("what follows the blank line is no checkpoint".to_string()));
        }
        if parsed.to_string() != text {
            return Err(wrong("a number in another spelling".to_string()));
        }
        Ok(parsed)
    }

    /// Checks that the log whose key this is has `entry` at the index of the proof; returns the checkpoint that says
    /// so.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Mismatch`]: the signature, the origin or the path is not right.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), key)?;
        verify_inclusion(&self.hashes, self.index, checkpoint.size, &leaf_hash(entry), &checkpoint.root)?;
        Ok(checkpoint)
    }
}

/// Whether a note's text begins with origin, size and root, whosever log it is of (C2SP tlog-checkpoint).
fn is_checkpoint(text: &str) -> bool {
    let mut lines = text.split('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return false;
    };
    let is_size = size.parse::<u64>().is_ok_and(|parsed| parsed.to_string() == size);
    !origin.is_empty() && is_size && Hash::from_base64(root).is_ok()
}

fn extra(line: &str) -> Result<Vec<u8>> {
    let wrong = || Error::malformed("tlog-proof", "the extra data is not base64 of at least a byte");
    let text = line.strip_prefix("extra ").ok_or_else(wrong)?;
    within("bytes of extra data", text.len(), PROOF_EXTRA_BYTES_MAX / 3 * 4)?;
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    if bytes.is_empty() || STANDARD.encode(&bytes) != text { Err(wrong()) } else { Ok(bytes) }
}

fn within(what: &'static str, actual: usize, limit: usize) -> Result<()> {
    if actual <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what, actual: actual as u64, limit: limit as u64 })
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::note::{SignatureLine, assemble};
    use crate::tree::{CompactRange, inclusion_proof};

    struct Leaves(Vec<Hash>);

    impl crate::tree::Nodes for Leaves {
        fn node(&self, level: u32, index: u64) -> Result<Hash> {
            let (first, width) = ((index << level) as usize, 1 << level);
            Ok(crate::tree::root(&self.0[first..first + width]))
        }
    }

    fn key() -> (SigningKey, VerifierKey) {
        let signing = SigningKey::from_bytes(&[9; 32]);
        let key = VerifierKey::new("i-1/t/events/w1", &signing.verifying_key().to_bytes()).unwrap();
        (signing, key)
    }

    /// The proof of entry `index` of a log of `size` entries, entry n being n in decimal.
    fn proof(index: u64, size: u64, extra: Option<Vec<u8>>) -> Proof {
        let (signing, key) = key();
        let leaves: Vec<Hash> = (0..size).map(|at| leaf_hash(at.to_string().as_bytes())).collect();
        let mut tree = CompactRange::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let text = Checkpoint { origin: key.name().parse().unwrap(), size, root: tree.root() }.to_string();
        let line = SignatureLine::new(&key, &signing.sign(text.as_bytes()).to_bytes());
        let hashes = inclusion_proof(&Leaves(leaves), index, size).unwrap();
        Proof { extra, index, hashes, checkpoint: assemble(&text, &[line]) }
    }

    #[test]
    fn a_proof_is_read_as_it_was_printed_and_verifies() {
        for (index, size) in [(0, 1), (0, 2), (6, 7), (299, 300), (256, 257)] {
            for extra in [None, Some(vec![0]), Some(b"a witness wanted this".to_vec())] {
                let made = proof(index, size, extra);
                let read = Proof::parse(&made.to_string()).unwrap();
                assert_eq!(read, made);
                let checkpoint = read.verify(index.to_string().as_bytes(), &key().1).unwrap();
                assert_eq!(checkpoint.size, size);
                assert!(read.verify(b"another entry", &key().1).is_err());
            }
        }
    }

    #[test]
    fn every_changed_byte_but_those_of_the_extra_data_is_refused() {
        let made = proof(6, 7, Some(b"extra".to_vec())).to_string();
        let extra = made.find("extra ").unwrap();
        let extra = extra..extra + made[extra..].find('\n').unwrap();
        for at in (0..made.len()).filter(|at| !extra.contains(at)) {
            for bit in 0..8 {
                let mut other = made.clone().into_bytes();
                other[at] ^= 1 << bit;
                let Ok(other) = String::from_utf8(other) else { continue };
                let result = Proof::parse(&other).and_then(|proof| proof.verify(b"6", &key().1));
                assert!(result.is_err(), "byte {at} bit {bit}: {other}");
            }
        }
    }

    #[test]
    fn what_no_proof_prints_is_refused() {
        let good = proof(6, 7, Some(b"x".to_vec())).to_string();
        let changed = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            good.replacen(from, to, 1)
        };
        for bad in [
            String::new(),
            good.trim_end().to_string(),
            changed("@v1", "@v2"),
            changed("index 6", "index 06"),
            changed("index 6", "index +6"),
            changed("index 6", "index -1"),
            changed("index 6", "index 18446744073709551616"),
            changed("index 6", "index  6"),
            changed("index 6", "index 6 "),
            changed("index 6\n", ""),
            changed("extra eA==", "extra "),
            changed("extra eA==", "extra eA"),
            changed("extra eA==", "extra eB=="),
            changed("extra eA==", "extra eA==\nextra eA=="),
            changed("\nindex 6", "\nindex 6\nindex 6"),
            changed("index 6\n", "index 6\r\n"),
            changed("index 6\n", "index 6\n\n"),
            changed("index 6\n", "index 6\nAAAA\n"),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}more"),
        ] {
            assert!(Proof::parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let mut long = proof(6, 7, None);
        let hash = long.hashes[0];
        long.hashes = vec![hash; PROOF_HASHES_MAX];
        assert_eq!(Proof::parse(&long.to_string()).unwrap(), long);
        long.hashes.push(hash);
        assert!(matches!(Proof::parse(&long.to_string()), Err(Error::TooLarge { limit: 64, .. })));
        let mut wide = proof(6, 7, Some(vec![7; PROOF_EXTRA_BYTES_MAX]));
        assert_eq!(Proof::parse(&wide.to_string()).unwrap(), wide);
        wide.extra = Some(vec![7; PROOF_EXTRA_BYTES_MAX + 1]);
        assert!(matches!(Proof::parse(&wide.to_string()), Err(Error::TooLarge { .. })));
        let huge = "x".repeat(PROOF_BYTES_MAX + 1);
        assert!(matches!(Proof::parse(&huge), Err(Error::TooLarge { .. })));
    }
}
