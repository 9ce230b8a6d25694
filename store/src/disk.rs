//! The few file-system operations that durability is built from, so that a test can put a disk with a power
//! switch in their place. Nothing else in the workspace renames or syncs: data, keys, backups and what is put back
//! from them are all written through here.
//!
//! Paths are relative to the directory that the disk is of, with `/`; the directory itself is the empty path.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags};

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

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file.
    pub bytes: u64,
    /// Whether nobody but its owner may read or write it.
    pub is_private: bool,
    /// Who may do what with it: the nine bits.
    pub mode: u32,
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
    /// As [`Disk::create`], and nobody may do more with it than with another that has this mode, whatever the umask.
    ///
    /// # Errors
    /// As the operating system.
    fn create_as(&self, path: &str, mode: u32) -> io::Result<Box<dyn DiskFile>>;
    /// Makes the content of a file durable that is written no more: it need not be ours to write.
    ///
    /// # Errors
    /// As the operating system.
    fn sync_file(&self, path: &str) -> io::Result<()>;
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
    /// Opens a file to be read from its start, a part at a time.
    ///
    /// # Errors
    /// As the operating system.
    fn reader(&self, path: &str) -> io::Result<Box<dyn Read>>;
    /// What lies under a name.
    ///
    /// # Errors
    /// `NotFound`; as the operating system.
    fn status(&self, path: &str) -> io::Result<Status>;
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
    /// Gives a file that lies anywhere on the same file system a name here as well, which must be free.
    ///
    /// # Errors
    /// `AlreadyExists`, `CrossesDevices`; as the operating system.
    fn link(&self, from: &Path, to: &str) -> io::Result<()>;
    /// Creates the directory that the disk is of and those above it where they are missing, each name made durable; its own
    /// also where it was there: whoever made it may have ended before that.
    ///
    /// # Errors
    /// As the operating system.
    fn create_root(&self) -> io::Result<()>;
    /// Creates a directory in an existing one; whether it was new.
    ///
    /// # Errors
    /// As the operating system.
    fn create_dir(&self, path: &str) -> io::Result<bool>;
    /// As [`Disk::create_dir`], and nobody may do more with it than with another that has this mode, whatever the umask.
    ///
    /// # Errors
    /// As the operating system.
    fn create_dir_as(&self, path: &str, mode: u32) -> io::Result<bool>;
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

/// All bits of a mode that there are here.
const MODE_BITS: u32 = 0o777;

/// A directory of a real file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// `syncfs` reports what failed since this was opened: kept for as long as the disk is written.
    handle: Option<File>,
    is_private: bool,
    /// What is made here has at most these bits.
    mode_bits: u32,
}

impl RealDisk {
    /// Opens a data directory, creating it if it is not there.
    ///
    /// # Errors
    /// As the operating system.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        // Where it is there already, what is in it is synced with its name before it is relied on.
        if !root.is_dir() {
            RealDisk::at(root).create_root()?;
        }
        let root = root.canonicalize()?;
        let handle = File::open(&root)?;
        let device = handle.metadata()?.dev();
        for below in [schemas::layout::LOG, schemas::layout::WAL] {
            let path = root.join(below);
            // `syncfs` and the free space are of the root's file system.
            if fs::metadata(&path).is_ok_and(|metadata| metadata.dev() != device) {
                let detail =
                    format!("{} lies on another file system than its data directory", path.display());
                return Err(io::Error::new(ErrorKind::InvalidInput, detail));
            }
        }
        Ok(RealDisk { root, handle: Some(handle), is_private: false, mode_bits: MODE_BITS })
    }

    /// A directory as it is, there or not: to be read, or to be made.
    pub(crate) fn at(root: &Path) -> RealDisk {
        RealDisk { root: root.to_path_buf(), handle: None, is_private: false, mode_bits: MODE_BITS }
    }

    /// The same, and what is made in it only its owner may read.
    pub(crate) fn private(root: &Path) -> RealDisk {
        RealDisk { is_private: true, mode_bits: 0o700, ..RealDisk::at(root) }
    }

    /// The same, and nobody may do more with what is made in it than with another that has this mode.
    pub(crate) fn at_most(root: &Path, mode: u32) -> RealDisk {
        RealDisk { mode_bits: mode | 0o700, ..RealDisk::at(root) }
    }

    /// Does something with the open directory.
    fn with_root<T>(&self, act: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        match &self.handle {
            Some(handle) => act(handle),
            None => act(&File::open(&self.root)?),
        }
    }

    fn new_file(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(0o666 & self.mode_bits);
        options
    }

    fn dir_builder(&self) -> DirBuilder {
        let mut builder = DirBuilder::new();
        builder.mode(self.mode_bits);
        builder
    }
}

/// Makes a name in this directory durable.
#[expect(clippy::disallowed_methods, reason = "this is the disk")]
fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all()
}

/// Creates a directory and those above it, each name made durable before anything is put below it.
fn create_synced(builder: &DirBuilder, dir: &Path) -> io::Result<()> {
    let parent = dir.parent().unwrap_or(Path::new(""));
    match builder.create(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound && !parent.as_os_str().is_empty() => {
            create_synced(builder, parent)?;
            // Somebody else may have been quicker.
            if let Err(error) = builder.create(dir)
                && !(error.kind() == ErrorKind::AlreadyExists && dir.is_dir())
            {
                return Err(error);
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => return Ok(()),
        created => created?,
    }
    sync_names(parent)
}

/// Takes the lock that this file is, until what is returned is dropped; `None` when somebody has it.
fn lock_file(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
    let mut file = options.create(true).truncate(false).write(true).open(path)?;
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
        let file = lock_file(&mut self.new_file(), &self.absolute(path))?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Debug + Send + Sync>))
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.new_file().write(true).create_new(true).open(self.absolute(path))?;
        Ok(Box::new(RealFile(file)))
    }

    fn create_as(&self, path: &str, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let file = self.new_file().mode(mode).write(true).create_new(true).open(self.absolute(path))?;
        Ok(Box::new(RealFile(file)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the disk")]
    fn sync_file(&self, path: &str) -> io::Result<()> {
        File::open(self.absolute(path))?.sync_data()
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().write(true).open(self.absolute(path))?)))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.absolute(path))
    }

    fn reader(&self, path: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(self.absolute(path))?))
    }

    fn status(&self, path: &str) -> io::Result<Status> {
        let metadata = fs::metadata(self.absolute(path))?;
        let is_private = metadata.mode() & 0o077 == 0;
        let mode = metadata.mode() & MODE_BITS;
        Ok(Status { is_dir: metadata.is_dir(), bytes: metadata.len(), is_private, mode })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let entries = match fs::read_dir(self.absolute(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                // Among the keys a person keeps files of his own; none of ours has such a name.
                Err(_) if self.is_private => continue,
                Err(name) => {
                    let detail = format!("file name {name:?} is not UTF-8");
                    return Err(io::Error::new(ErrorKind::InvalidData, detail));
                }
            };
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
        let (from, to) = (self.absolute(from), self.absolute(to));
        rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?;
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.absolute(path))
    }

    fn link(&self, from: &Path, to: &str) -> io::Result<()> {
        fs::hard_link(from, self.absolute(to))
    }

    fn create_root(&self) -> io::Result<()> {
        let was_there = self.root.is_dir();
        create_synced(&self.dir_builder(), &self.root)?;
        let parent = self.root.parent().unwrap_or(Path::new(""));
        match sync_names(parent) {
            // Who may not list the directory above has not made this one.
            Err(error) if was_there && error.kind() == ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    fn create_dir(&self, path: &str) -> io::Result<bool> {
        match self.dir_builder().create(self.absolute(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create_dir_as(&self, path: &str, mode: u32) -> io::Result<bool> {
        // Its owner puts files into it.
        match DirBuilder::new().mode(mode | 0o700).create(self.absolute(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_names(&self.absolute(dir))
    }

    fn sync_everything(&self) -> io::Result<()> {
        self.with_root(|root| Ok(rustix::fs::syncfs(root)?))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = self.with_root(|root| Ok(rustix::fs::fstatvfs(root)?))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn absolute(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}
