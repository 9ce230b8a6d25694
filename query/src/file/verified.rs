//! Is a sealed file what the signed manifest says? Length each time, BLAKE3 once a process.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use schemas::Stream;
use schemas::layout::FileKind;
use schemas::segment::check_schema;
use store::DataFile;

use crate::{Error, Result};

/// Files remembered as verified; about 200 bytes each.
const REMEMBERED_MAX: usize = schemas::limits::QUERY_REMEMBERED_MAX;

/// What identifies the content that was verified, as far as the operating system tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    digest: String,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn new(digest: &str, metadata: &Metadata) -> Stamp {
        Stamp {
            digest: digest.to_string(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An open file that is what its manifest says.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Which files were verified, for the life of the process.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    stamps: Mutex<HashMap<PathBuf, Stamp>>,
}

impl Verified {
    /// Opens a file and checks it. Reads all of it the first time: not for an async thread.
    ///
    /// # Errors
    /// [`Error::Tampered`] naming log and file.
    pub(crate) fn open(&self, log: &str, stream: Stream, kind: FileKind, of: &DataFile) -> Result<Checked> {
        let tampered = |reason: String| {
            metrics::counter!("tacho_query_tampered_files_total").increment(1);
            tracing::error!(log, file = of.file.path, reason, "a sealed file is not what its manifest says");
            Error::Tampered { log: log.to_string(), file: of.file.path.clone(), reason }
        };
        let file = File::open(&of.path).map_err(|error| match is_out_of_descriptors(&error) {
            // Says nothing of the file.
            true => Error::Busy,
            false => tampered(format!("it cannot be opened: {error}")),
        })?;
        let metadata = file.metadata().map_err(|error| tampered(format!("it cannot be read: {error}")))?;
        if metadata.len() != of.file.bytes {
            return Err(tampered(format!("{} bytes, expected {}", metadata.len(), of.file.bytes)));
        }
        let checked = Checked { file: Arc::new(file), path: of.path.clone(), bytes: of.file.bytes };
        let stamp = Stamp::new(&of.file.blake3, &metadata);
        if self.remembers(&of.path, &stamp) {
            return Ok(checked);
        }
        let digest =
            digest(&checked.file).map_err(|error| tampered(format!("it cannot be read: {error}")))?;
        if digest != of.file.blake3 {
            return Err(tampered(format!("BLAKE3 {digest}, expected {}", of.file.blake3)));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let parquet = ArrowReaderMetadata::load(checked.file.as_ref(), options)
            .map_err(|error| tampered(format!("it is not Parquet: {error}")))?;
        check_schema(stream, kind, parquet.schema()).map_err(|error| tampered(error.to_string()))?;
        self.remember(&of.path, stamp);
        Ok(checked)
    }

    fn remembers(&self, path: &Path, stamp: &Stamp) -> bool {
        self.stamps.lock().is_ok_and(|stamps| stamps.get(path) == Some(stamp))
    }

    fn remember(&self, path: &Path, stamp: Stamp) {
        // A poisoned lock only means that files are verified again.
        if let Ok(mut stamps) = self.stamps.lock() {
            if stamps.len() >= REMEMBERED_MAX {
                stamps.clear();
            }
            stamps.insert(path.to_path_buf(), stamp);
        }
    }
}

/// Whether the process, or the machine, has as many open files as it may.
pub(crate) fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// BLAKE3 of a whole file, hex.
fn digest(file: &File) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn a_process_without_descriptors_says_nothing_of_a_file() {
        // EMFILE and ENFILE; no such file, not permitted, an error of the disk.
        for (number, expected) in [(24, true), (23, true), (2, false), (13, false), (5, false)] {
            assert_eq!(is_out_of_descriptors(&Error::from_raw_os_error(number)), expected, "{number}");
        }
        assert!(!is_out_of_descriptors(&Error::other("x")));
    }
}
