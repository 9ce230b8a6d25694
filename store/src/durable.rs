//! Durable writes, composed of [`Disk`] operations.
//!
//! ```text
//! publish:  create dirs (each synced in its parent) · create tmp · write · fdatasync · renameat2(NOREPLACE) · fsync dir
//! replace:  create tmp · write · fdatasync · rename(2) · fsync dir
//! secret:   as replace, under a temporary name that nobody can have put a file of theirs under
//! copy:     create dirs · create · write · fdatasync; the caller syncs the directories before it says that the copy is there
//! rebuild:  create tmp · write · rename(2), unsynced: for copies that can be made again
//! ```
//! The known hole: a directory's fsync after the rename is what makes the name durable; a power cut between the two leaves
//! either no file or the whole file, never a part of one. Where that fsync fails the name may be seen and never be durable:
//! whatever relies on such a file after a start writes it again first (`recover/replay/again.rs`, `keys/record.rs`). Names that end in `.tmp` are unfinished writes; recovery
//! removes them.
//! References: Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014); Rebello et al., "Can
//! Applications Recover from fsync Failures?" (ATC 2020), which is why a failed sync is never retried.

use schemas::limits::COPY_BYTES;

use crate::crash;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::keys::random;

/// Suffix of unfinished writes.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Wraps an I/O error with what was tried on which file.
pub(crate) fn failed(
    disk: &dyn Disk,
    action: &'static str,
    path: &str,
) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = disk.absolute(path);
    move |source| Error::Io { action, path, source }
}

/// The directory part of a path; empty for the data directory itself.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Creates a directory and its parents, each name made durable in its parent.
pub(crate) fn create_dirs(disk: &dyn Disk, dir: &str) -> Result<()> {
    create_dirs_by(disk, dir, &|dir| disk.create_dir(dir))
}

/// As [`create_dirs`], each with the mode that the directory of this name has on another disk.
pub(crate) fn create_dirs_like(from: &dyn Disk, to: &dyn Disk, dir: &str) -> Result<()> {
    create_dirs_by(to, dir, &|dir| to.create_dir_as(dir, from.status(dir)?.mode))
}

fn create_dirs_by(disk: &dyn Disk, dir: &str, create: &dyn Fn(&str) -> std::io::Result<bool>) -> Result<()> {
    if dir.is_empty() {
        return Ok(());
    }
    let created = match create(dir) {
        Ok(created) => created,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            create_dirs_by(disk, parent(dir), create)?;
            create(dir).map_err(failed(disk, "create directory", dir))?
        }
        Err(error) => return Err(failed(disk, "create directory", dir)(error)),
    };
    if created {
        disk.sync_dir(parent(dir)).map_err(failed(disk, "sync directory", parent(dir)))?;
    }
    Ok(())
}

/// Writes a file that must not exist yet; once this returns it is there after any power cut.
pub(crate) fn publish(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<()> {
    // Manifests alone are published: the crash points are named after what commits a seal.
    let temporary = write_temporary(disk, path, bytes, true, || crash::point("manifest-half-written"))?;
    crash::point("manifest-written");
    disk.rename_new(&temporary, path).map_err(failed(disk, "publish", path))?;
    disk.sync_dir(parent(path)).map_err(failed(disk, "sync directory", parent(path)))
}

/// Writes a rebuildable file over what is there, without waiting for the disk: after a power cut it may be
/// old, empty or gone.
pub(crate) fn replace_rebuildable(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<()> {
    let temporary = write_temporary(disk, path, bytes, false, || ())?;
    disk.rename(&temporary, path).map_err(failed(disk, "replace", path))
}

/// Writes a file over what is there; after any power cut there is the one or the other, and once this returns the
/// new one.
pub(crate) fn replace_synced(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<()> {
    let temporary = write_temporary(disk, path, bytes, true, || ())?;
    rename_synced(disk, &temporary, path)
}

fn rename_synced(disk: &dyn Disk, temporary: &str, path: &str) -> Result<()> {
    disk.rename(temporary, path).map_err(failed(disk, "replace", path))?;
    disk.sync_dir(parent(path)).map_err(failed(disk, "sync directory", parent(path)))
}

/// As [`replace_synced`], where others may write into the directory or two processes write the file at once: the temporary
/// name is random, is not followed where it is a link, and does not stay after a failure.
pub(crate) fn replace_secret(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<()> {
    let mut part = [0u8; 8];
    random(&mut part)?;
    let temporary = format!("{path}.{:016x}{TEMPORARY}", u64::from_be_bytes(part));
    let file = disk.create(&temporary).map_err(failed(disk, "create", path))?;
    let written = file
        .write_at(0, bytes)
        .map_err(failed(disk, "write", path))
        .and_then(|()| file.sync().map_err(failed(disk, "sync", path)))
        .and_then(|()| disk.rename(&temporary, path).map_err(failed(disk, "publish", path)));
    if let Err(error) = written {
        if let Err(left) = disk.remove(&temporary) {
            // Whoever holds the keys next removes it; nobody reads it meanwhile.
            tracing::warn!(error = %left, file = %temporary, "an unfinished file was not removed");
        }
        return Err(error);
    }
    disk.sync_dir(parent(path)).map_err(failed(disk, "sync directory of", path))
}

/// Copies a file with its mode into a place of the same path that is free, as much at a time as fits the memory; its content, though not
/// yet its name, is durable once this returns.
pub(crate) fn copy_synced(from: &dyn Disk, to: &dyn Disk, path: &str) -> Result<()> {
    let mut reader = from.reader(path).map_err(failed(from, "copy", path))?;
    let mode = from.status(path).map_err(failed(from, "copy", path))?.mode;
    let file = to.create_as(path, mode).map_err(failed(to, "create", path))?;
    let mut buffer = vec![0u8; COPY_BYTES];
    let mut at = 0;
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed(from, "copy", path))?,
        };
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            return file.sync().map_err(failed(to, "sync", path));
        }
        file.write_at(at, part).map_err(failed(to, "write", path))?;
        at += part.len() as u64;
    }
}

/// Writes a file over what is there; durable after the next [`Disk::sync_everything`].
pub(crate) fn write_unsynced(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<()> {
    create_dirs(disk, parent(path))?;
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(disk, "remove", path)(error));
        }
        _ => {}
    }
    let file = disk.create(path).map_err(failed(disk, "create", path))?;
    file.write_at(0, bytes).map_err(failed(disk, "write", path))
}

/// As [`write_unsynced`], and the content, though not yet the name, is durable.
pub(crate) fn write_synced(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Result<()> {
    create_dirs(disk, parent(path))?;
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(disk, "remove", path)(error));
        }
        _ => {}
    }
    let file = disk.create(path).map_err(failed(disk, "create", path))?;
    file.write_at(0, bytes).map_err(failed(disk, "write", path))?;
    file.sync().map_err(failed(disk, "sync", path))
}

/// As [`write_synced`], with this mode, into a directory that is there.
pub(crate) fn write_synced_as(disk: &dyn Disk, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(disk, "remove", path)(error));
        }
        _ => {}
    }
    let file = disk.create_as(path, mode).map_err(failed(disk, "create", path))?;
    file.write_at(0, bytes).map_err(failed(disk, "write", path))?;
    file.sync().map_err(failed(disk, "sync", path))
}

/// Writes a file in two parts, with `between` amid them.
fn write_temporary(
    disk: &dyn Disk,
    path: &str,
    bytes: &[u8],
    sync: bool,
    between: impl FnOnce(),
) -> Result<String> {
    create_dirs(disk, parent(path))?;
    let temporary = format!("{path}{TEMPORARY}");
    match disk.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(disk, "remove", &temporary)(error));
        }
        _ => {}
    }
    let file = disk.create(&temporary).map_err(failed(disk, "create", &temporary))?;
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    file.write_at(0, first).map_err(failed(disk, "write", &temporary))?;
    between();
    file.write_at(first.len() as u64, rest).map_err(failed(disk, "write", &temporary))?;
    if sync {
        file.sync().map_err(failed(disk, "sync", &temporary))?;
    }
    Ok(temporary)
}

/// Parts of a log's directory: `log/<tenant>/<stream>/<writer>`.
const LOG_DIR_PARTS: usize = 4;

/// Removes every unfinished write below a directory.
pub(crate) fn remove_temporaries(disk: &dyn Disk, dir: &str) -> Result<()> {
    for entry in disk.list(dir).map_err(failed(disk, "list", dir))? {
        let path = if dir.is_empty() { entry.name.clone() } else { format!("{dir}/{}", entry.name) };
        if entry.is_dir {
            // Tiles are written in place and checked by name: no temporaries below them, and many files. A tenant may
            // have that name.
            let is_log = dir.split('/').count() == LOG_DIR_PARTS;
            if !(is_log && entry.name == schemas::layout::TILE) {
                remove_temporaries(disk, &path)?;
            }
        } else if entry.name.ends_with(TEMPORARY) {
            disk.remove(&path).map_err(failed(disk, "remove", &path))?;
        }
    }
    Ok(())
}

/// Creates a file of `bytes` zeros, really written, so that later syncs of it are cheap; content durable.
pub(crate) fn preallocate(disk: &dyn Disk, path: &str, bytes: u64) -> Result<Box<dyn DiskFile>> {
    create_dirs(disk, parent(path))?;
    let file = disk.create(path).map_err(failed(disk, "create", path))?;
    let zeros = vec![0u8; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let part = usize::try_from((bytes - at).min(zeros.len() as u64)).unwrap_or(zeros.len());
        file.write_at(at, zeros.get(..part).unwrap_or(&zeros)).map_err(failed(disk, "write", path))?;
        at += part as u64;
    }
    file.sync().map_err(failed(disk, "sync", path))?;
    Ok(file)
}
