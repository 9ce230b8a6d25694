//! Receipts: signed checkpoints that clients were given for what the recorder acknowledged to them, and kept.
//!
//! The memory of many against one store: a log that has fewer entries than a receipt covers, or other ones, is not the log that
//! the client wrote to.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use schemas::checkpoint::Checkpoint;
use schemas::limits::{NOTE_BYTES_MAX, VERIFY_RECEIPTS_MAX};
use schemas::note::{Note, VerifierKey};

use crate::Error;
use crate::plan::{Expected, Known, Source};
use crate::report::{Finding, Gathered};

/// What the names of receipts in a directory end in.
const SUFFIX: &str = "checkpoint";

/// One receipt, its signature not checked yet.
#[derive(Debug)]
struct Receipt {
    path: PathBuf,
    note: Note,
    checkpoint: Checkpoint,
}

/// Receipts by the origin of the log that they are of.
#[derive(Debug, Default)]
pub struct Receipts(BTreeMap<String, Vec<Receipt>>);

impl Receipts {
    /// Reads receipts: files, and the files `*.checkpoint` of directories.
    ///
    /// # Errors
    /// [`Error::Unreadable`]; [`Error::Receipt`] for what is no checkpoint, or where there are too many.
    pub fn load(paths: &[PathBuf]) -> Result<Receipts, Error> {
        let mut receipts = Receipts::default();
        let mut count = 0;
        for path in paths {
            for file in files(path)? {
                count += 1;
                if count > VERIFY_RECEIPTS_MAX {
                    let detail = format!("more than {VERIFY_RECEIPTS_MAX} receipts; give fewer at a time");
                    return Err(Error::Receipt { path: path.clone(), detail });
                }
                let receipt = read(file)?;
                receipts.0.entry(receipt.checkpoint.origin.to_string()).or_default().push(receipt);
            }
        }
        Ok(receipts)
    }

    /// All of them, which may have cosignatures.
    pub fn notes(&self) -> impl Iterator<Item = (PathBuf, Note, Checkpoint)> {
        let all = self.0.values().flatten();
        all.map(|receipt| (receipt.path.clone(), receipt.note.clone(), receipt.checkpoint.clone()))
    }

    /// The roots that the tree of this log must have, by the receipts that its own key signed.
    pub fn expected(&self, known: &Known, out: &mut Gathered) -> Vec<Expected> {
        let of_log = self.0.get(&known.opened.origin);
        let key: Option<VerifierKey> = known.opened.key.parse().ok();
        let mut expected = Vec::new();
        for Receipt { path, note, checkpoint } in of_log.into_iter().flatten() {
            let signed = key.as_ref().is_some_and(|key| note.verify(key).is_ok());
            if signed {
                let source = Source::Receipt(path.display().to_string());
                expected.push(Expected { size: checkpoint.size, root: checkpoint.root, source });
            } else {
                let wrong = format!("the receipt {} is not signed by this log's key", path.display());
                out.find(Finding::new(wrong).log(&known.opened.origin));
            }
        }
        expected
    }

    /// Receipts of logs that this store does not have.
    pub fn strangers<'a>(&'a self, has: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = Finding> + 'a {
        let unknown = self.0.iter().filter(move |(origin, _)| !has(origin));
        unknown.flat_map(|(origin, receipts)| {
            receipts.iter().map(move |receipt| {
                let path = receipt.path.display();
                Finding::new(format!("the receipt {path} is of a log that this store does not have"))
                    .log(origin)
            })
        })
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_path_buf(), source };
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(vec![path.to_path_buf()]),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == SUFFIX) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: PathBuf) -> Result<Receipt, Error> {
    let unreadable = |source| Error::Unreadable { path: path.clone(), source };
    let wrong = |detail: String| Error::Receipt { path: path.clone(), detail };
    let bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
    if bytes > NOTE_BYTES_MAX as u64 {
        return Err(wrong(format!("{bytes} bytes, a checkpoint has at most {NOTE_BYTES_MAX}")));
    }
    let note =
        Note::parse(&std::fs::read(&path).map_err(unreadable)?).map_err(|error| wrong(error.to_string()))?;
    let checkpoint = Checkpoint::parse(note.unverified_text()).map_err(|error| wrong(error.to_string()))?;
    Ok(Receipt { path, note, checkpoint })
}
