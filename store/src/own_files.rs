//! Small files that a part of the service keeps for itself beside the logs: no evidence, but to be there after a power cut.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk as _, RealDisk};
use crate::durable;
use crate::error::{Error, Result};

/// A directory of such files. Nobody else writes there.
#[derive(Debug)]
pub struct OwnFiles {
    disk: RealDisk,
    dir: PathBuf,
}

impl OwnFiles {
    /// The directory, made if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(dir: &Path) -> Result<OwnFiles> {
        let io = |source| Error::Io { action: "open directory", path: dir.to_path_buf(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let disk = RealDisk::open(dir).map_err(io)?;
        Ok(OwnFiles { disk, dir: dir.to_path_buf() })
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The whole file; none if there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.disk.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path: self.path(name), source }),
        }
    }

    /// Writes a file over what is there. After any power cut there is the old one or the new one, whole, and once this returns the new one.
    ///
    /// # Errors
    /// [`Error::Io`]; the old one may be there or the new one.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        durable::replace_synced(&self.disk, name, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_missing_ones_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = OwnFiles::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(files.read("state.json").unwrap(), None);
        files.replace("state.json", b"first, and longer").unwrap();
        files.replace("state.json", b"second").unwrap();
        assert_eq!(files.read("state.json").unwrap().as_deref(), Some(b"second".as_slice()));
        let names: Vec<_> = std::fs::read_dir(dir.path().join("a/b"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["state.json"]);
    }
}
