//! Small files that a part of the service keeps for itself beside the logs: no evidence, but to be there after a power cut.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk as _, DiskFile, RealDisk};
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

/// A file on its way, piece by piece, under the name that it does not have yet. Dropped before [`NewFile::publish`] it is removed.
#[derive(Debug)]
pub struct NewFile {
    disk: RealDisk,
    name: String,
    temporary: String,
    file: Box<dyn DiskFile>,
    bytes: u64,
    is_there: bool,
}

impl NewFile {
    /// A file that must not exist yet, in a directory that does.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::AlreadyExists`] where there is one of that name.
    pub fn create(path: &Path) -> Result<NewFile> {
        let io = |source| Error::Io { action: "create", path: path.to_path_buf(), source };
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io(io::ErrorKind::InvalidFilename.into()))?.to_string();
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(io(io::ErrorKind::AlreadyExists.into()));
        }
        if !dir.is_dir() {
            return Err(io(io::ErrorKind::NotFound.into()));
        }
        let disk = RealDisk::open(dir).map_err(io)?;
        let temporary = format!("{name}.{}{}", std::process::id(), durable::TEMPORARY);
        let file = disk.create(&temporary).map_err(io)?;
        Ok(NewFile { disk, name, temporary, file, bytes: 0, is_there: false })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_at(self.bytes, bytes);
        written.map_err(durable::failed(&self.disk, "write", &self.temporary))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name; once this returns it is there after any power cut. Its length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing was written over.
    pub fn publish(mut self) -> Result<u64> {
        self.file.sync().map_err(durable::failed(&self.disk, "sync", &self.temporary))?;
        let renamed = self.disk.rename_new(&self.temporary, &self.name);
        renamed.map_err(durable::failed(&self.disk, "create", &self.name))?;
        self.is_there = true;
        self.disk.sync_dir("").map_err(durable::failed(&self.disk, "sync directory", ""))?;
        Ok(self.bytes)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_there
            && let Err(error) = self.disk.remove(&self.temporary)
        {
            tracing::warn!(%error, file = %self.temporary, "an unfinished file was not removed");
        }
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

    #[test]
    fn a_new_file_is_there_whole_or_not_at_all_and_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let path = dir.path().join("out.zip");
        let mut file = NewFile::create(&path).unwrap();
        file.write(b"first, ").unwrap();
        assert!(!path.exists());
        file.write(b"second").unwrap();
        assert_eq!(file.publish().unwrap(), 13);
        assert_eq!((std::fs::read(&path).unwrap(), names()), (b"first, second".to_vec(), 1));
        assert!(NewFile::create(&path).is_err(), "there is one");
        let other = dir.path().join("other.zip");
        drop(NewFile::create(&other).unwrap());
        assert_eq!(names(), 1, "nothing is left of one that was given up");
        let mut late = NewFile::create(&other).unwrap();
        late.write(b"late").unwrap();
        std::fs::write(&other, "somebody else's").unwrap();
        assert!(late.publish().is_err());
        assert_eq!((std::fs::read(&other).unwrap(), names()), (b"somebody else's".to_vec(), 2));
        assert!(NewFile::create(&dir.path().join("nowhere/out.zip")).is_err());
    }
}
