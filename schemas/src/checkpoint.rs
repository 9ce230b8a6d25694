//! Checkpoints (C2SP tlog-checkpoint): what a log's key signs, and all that it signs.

use std::fmt;

use crate::note::{Note, VerifierKey};
use crate::origin::Origin;
use crate::tree::Hash;
use crate::{Error, Result};

/// A tree's size and root under its origin: `<origin>\n<size>\n<base64 root>\n`, without extension lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: Origin,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root.to_base64())
    }
}

impl Checkpoint {
    /// Parses the text of a checkpoint; it must be exactly what [`Checkpoint`] prints.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(text: &str) -> Result<Checkpoint> {
        let wrong = |detail: String| Error::malformed("checkpoint", detail);
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(wrong("expected three lines: origin, size, root".to_string()));
        };
        let parsed = Checkpoint {
            origin: origin.parse()?,
            size: size.parse().map_err(|_| wrong(format!("size {size:?} is no number")))?,
            root: Hash::from_base64(root)?,
        };
        if parsed.to_string() != text {
            return Err(wrong("a number in another spelling".to_string()));
        }
        Ok(parsed)
    }

    /// The checkpoint in a note, if `key` signed it for the origin that `key` is named after.
    ///
    /// # Errors
    /// [`Error::Malformed`], or [`Error::Mismatch`] for a wrong signature or another log's origin.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Checkpoint> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.verify(key)?)?;
        if checkpoint.origin.to_string() != key.name() {
            let detail = format!("{} in a note of {}", checkpoint.origin, key.name());
            return Err(Error::mismatch("checkpoint origin", detail));
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::empty_root;

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let origin = "i/t/events/w1".parse().unwrap();
        let checkpoint = Checkpoint { origin, size: 20, root: empty_root() };
        let text = checkpoint.to_string();
        assert_eq!(text, "i/t/events/w1\n20\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint);
        for bad in [
            text.replace("20", "020"),
            text.replace("20", "+20"),
            format!("{text}x\n"),
            text.replace('\n', ""),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
