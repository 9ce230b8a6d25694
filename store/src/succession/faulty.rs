//! A disk that fails for good at its n-th change: as a crash there, with whatever was done before it.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{DirEntry, Disk, DiskFile, RealDisk};

#[derive(Debug)]
pub(super) struct FaultyDisk {
    disk: RealDisk,
    left: Arc<AtomicU64>,
}

impl FaultyDisk {
    /// The `at`-th change fails, and everything after it; `at` counts from 1.
    pub(super) fn new(disk: RealDisk, at: u64) -> FaultyDisk {
        FaultyDisk { disk, left: Arc::new(AtomicU64::new(at)) }
    }

    fn change(&self) -> io::Result<()> {
        change(&self.left)
    }

    fn read_on(&self) -> io::Result<()> {
        if self.left.load(Ordering::SeqCst) == 0 { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }
}

fn change(left: &AtomicU64) -> io::Result<()> {
    let was = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
    if was.unwrap_or(0) <= 1 { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn DiskFile>,
    left: Arc<AtomicU64>,
}

impl DiskFile for FaultyFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        change(&self.left)?;
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        change(&self.left)?;
        self.file.sync()
    }
}

impl Disk for FaultyDisk {
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        self.disk.lock(path)
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.change()?;
        Ok(Box::new(FaultyFile { file: self.disk.create(path)?, left: Arc::clone(&self.left) }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.change()?;
        Ok(Box::new(FaultyFile { file: self.disk.open(path)?, left: Arc::clone(&self.left) }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.read_on()?;
        self.disk.read(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        self.read_on()?;
        self.disk.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change()?;
        self.disk.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.change()?;
        self.disk.rename_new(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.change()?;
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<bool> {
        self.change()?;
        self.disk.create_dir(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.change()?;
        self.disk.sync_dir(dir)
    }

    fn sync_everything(&self) -> io::Result<()> {
        self.change()?;
        self.disk.sync_everything()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.disk.absolute(path)
    }
}
