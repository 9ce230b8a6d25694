//! The few file-system operations that durability is built from, so that a test can put a disk with a power
//! switch in their place. Nothing else in the workspace renames or syncs below a data directory.
//!
//! Paths are relative to the data directory, with `/`.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, RenameFlags};

/// An open file that is written in place.
pub trait DiskFile: Debug + Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the operating system.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written to this file is on stable storage (`fdatasync`).
    ///
    /// # Errors
    /// As the operating system; what is on disk is then unknown.
    fn sync(&self) -> io::Result<()>;
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file.
    pub bytes: u64,
}

/// A disk.
pub trait Disk: Debug + Send + Sync {
    /// Takes the writer's lock, held until the returned guard is dropped; `None` when somebody has it.
    ///
    /// # Errors
    /// As the operating system.
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Debug + Send + Sync>>>;
    /// Creates an empty file; it must not exist.
    ///
    /// # Errors
    /// As the operating system.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for writing in place.
    ///
    /// # Errors
    /// As the operating system.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Reads a whole file.
    ///
    /// # Errors
    /// As the operating system.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// Lists a directory, sorted; one that does not exist is empty.
    ///
    /// # Errors
    /// As the operating system.
    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>>;
    /// Renames a file, over `to` if it exists.
    ///
    /// # Errors
    /// As the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Renames a file unless `to` exists.
    ///
    /// # Errors
    /// `AlreadyExists`; as the operating system.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Creates a directory in an existing one; whether it was new.
    ///
    /// # Errors
    /// As the operating system.
    fn create_dir(&self, path: &str) -> io::Result<bool>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes everything written so far durable (`syncfs`): one call where a seal has hundreds of tiles.
    ///
    /// # Errors
    /// As the operating system.
    fn sync_everything(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    ///
    /// # Errors
    /// As the operating system.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Where readers of other parts find the file.
    fn absolute(&self, path: &str) -> PathBuf;
}

/// A directory of a real file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    handle: File,
}

impl RealDisk {
    /// Opens a data directory, creating it if it is not there.
    ///
    /// # Errors
    /// As the operating system.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let handle = File::open(&root)?;
        let device = handle.metadata()?.dev();
        for below in [schemas::layout::LOG, schemas::layout::WAL] {
            let path = root.join(below);
            // `syncfs` and the free space are of the root's file system.
            if fs::metadata(&path).is_ok_and(|metadata| metadata.dev() != device) {
                let detail =
                    format!("{} lies on another file system than its data directory", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
            }
        }
        Ok(RealDisk { root, handle })
    }
}

/// Takes the lock that this file is, until what is returned is dropped; `None` when somebody has it.
pub(crate) fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
            Ok(Some(file))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the disk")]
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Disk for RealDisk {
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        Ok(lock_file(&self.absolute(path))?.map(|file| Box::new(file) as Box<dyn Debug + Send + Sync>))
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.absolute(path))?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().write(true).open(self.absolute(path))?)))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.absolute(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let entries = match fs::read_dir(self.absolute(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::new(io::ErrorKind::InvalidData, format!("file name {name:?} is not UTF-8"))
            })?;
            found.push(DirEntry { name, is_dir: metadata.is_dir(), bytes: metadata.len() });
        }
        found.sort();
        Ok(found)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the disk")]
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.absolute(from), self.absolute(to))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE)?;
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.absolute(path))
    }

    fn create_dir(&self, path: &str) -> io::Result<bool> {
        match fs::create_dir(self.absolute(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the disk")]
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.absolute(dir))?.sync_all()
    }

    fn sync_everything(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.handle)?;
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(&self.handle)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}
