//! What a client remembers of the recorder: of each log that it wrote to the newest checkpoint that covers its records, as the
//! recorder signed it. `tacho verify --receipt` holds a store against it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use schemas::checkpoint::Checkpoint;
use schemas::note::Note;

/// A directory of receipts, `<origin with ~ for />.checkpoint` each.
#[derive(Debug, Clone)]
pub struct Receipts {
    directory: PathBuf,
}

impl Receipts {
    /// In `directory`, which is made when there is something to keep.
    pub fn new(directory: PathBuf) -> Receipts {
        Receipts { directory }
    }

    /// Keeps the checkpoint that an answer of the service holds, if it holds one and it is newer than the one kept. True if one
    /// is kept.
    ///
    /// # Errors
    /// When the recorder shows less of a log than it showed before, or another tree of the same size; when it cannot be written.
    pub fn keep(&self, answer: &[u8]) -> Result<bool> {
        let answer: serde_json::Value = serde_json::from_slice(answer).context("the service's answer")?;
        let Some(text) = answer.get("checkpoint").and_then(serde_json::Value::as_str) else {
            return Ok(false);
        };
        let shown = parse(text.as_bytes()).context("the checkpoint in the service's answer")?;
        // Parts of an origin have no `~`.
        let path = self.directory.join(format!("{}.checkpoint", shown.origin.to_string().replace('/', "~")));
        if let Some(kept) = read(&path)? {
            if shown.size < kept.size || (shown.size == kept.size && shown.root != kept.root) {
                bail!(
                    "the recorder shows {} with {} entries, which is not what it signed before ({} entries); keep {} and hold the store \
                     against it: tacho verify --receipt",
                    shown.origin,
                    shown.size,
                    kept.size,
                    path.display()
                );
            }
            if shown.size == kept.size {
                return Ok(true);
            }
        }
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("create {}", self.directory.display()))?;
        store::write_secret(&path, text.as_bytes())?;
        Ok(true)
    }
}

fn read(path: &Path) -> Result<Option<Checkpoint>> {
    match std::fs::read(path) {
        Ok(bytes) => parse(&bytes).with_context(|| format!("the receipt {}", path.display())).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn parse(bytes: &[u8]) -> Result<Checkpoint> {
    Ok(Checkpoint::parse(Note::parse(bytes)?.unverified_text())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with a note of this size; nobody looks at its signature here.
    fn answer(size: u64, root: u8) -> Vec<u8> {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        let text = format!("plant/acme/events/w1\n{size}\n{}\n", engine.encode([root; 32]));
        let note = format!("{text}\n\u{2014} plant/acme/events/w1 {}\n", engine.encode([1; 68]));
        serde_json::json!({ "accepted": 1, "checkpoint": note }).to_string().into_bytes()
    }

    #[test]
    fn the_newest_is_kept_and_a_step_back_or_another_tree_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let receipts = Receipts::new(dir.path().join("receipts"));
        assert!(!receipts.keep(br#"{"accepted":1}"#).unwrap());
        assert!(receipts.keep(&answer(5, 1)).unwrap());
        assert!(receipts.keep(&answer(5, 1)).unwrap(), "shown again");
        assert!(receipts.keep(&answer(9, 2)).unwrap());
        let path = dir.path().join("receipts/plant~acme~events~w1.checkpoint");
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept.lines().nth(1), Some("9"));
        for (size, root) in [(8, 1), (0, 0), (9, 3)] {
            let error = receipts.keep(&answer(size, root)).unwrap_err().to_string();
            assert!(error.contains("tacho verify --receipt"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        assert!(receipts.keep(br#"{"checkpoint":"no note"}"#).is_err());
    }
}
