//! A file of lines outside the data directory that this program appends to and others may read, rotate and remove.
//!
//! ```text
//! open:   open(O_APPEND|O_CREAT) · fsync dir, if it is new · end a torn last line
//! append: write · fdatasync
//! ```
//! After a failed write or sync what is on disk is unknown: the file is to be opened anew, which ends what was torn, and what was
//! appended since the last success appended again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What owner and group may do with a new one: an alert is not for everyone.
const MODE: u32 = 0o640;

/// An open file of lines.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
}

impl AppendFile {
    /// Opens the file, creating it if it is not there, in a directory that is.
    ///
    /// # Errors
    /// As the operating system; `InvalidInput` for what is no regular file.
    pub fn open(path: &Path) -> io::Result<AppendFile> {
        // Asked before it is opened: to open a pipe waits for whoever reads from it.
        let is_new = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => false,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
        let metadata = file.metadata()?;
        if is_new {
            sync_dir(path)?;
        }
        if metadata.len() > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, metadata.len() - 1)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(AppendFile { path: path.to_path_buf(), file, identity: (metadata.dev(), metadata.ino()) })
    }

    /// Whether the path still leads to this file: it was neither renamed nor removed.
    ///
    /// # Errors
    /// As the operating system.
    pub fn is_current(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino()) == self.identity),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Appends; returns once it is on stable storage.
    ///
    /// # Errors
    /// As the operating system; what is on disk is then unknown, and this handle is to be dropped.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file of lines lies outside the data directory and its disk"
    )]
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of lines lies outside the data directory and its disk")]
fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_ended_and_nothing_else_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        AppendFile::open(&path).unwrap().append(b"one\n").unwrap();
        AppendFile::open(&path).unwrap().append(b"two\nto").unwrap();
        AppendFile::open(&path).unwrap().append(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nto\nthree\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o007, 0, "others");
    }

    #[test]
    fn what_is_no_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let error = AppendFile::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = AppendFile::open(&dir.path().join("none/lines")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_that_was_rotated_away_or_removed_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let file = AppendFile::open(&path).unwrap();
        assert!(file.is_current().unwrap());
        #[expect(clippy::disallowed_methods, reason = "as a program that rotates does")]
        std::fs::rename(&path, dir.path().join("lines.1")).unwrap();
        assert!(!file.is_current().unwrap());
        let file = AppendFile::open(&path).unwrap();
        assert!(file.is_current().unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!file.is_current().unwrap());
    }
}
