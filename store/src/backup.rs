//! A copy of what is sealed, taken while the store is written or not, and put back elsewhere.
//!
//! ```text
//! backup:  list logs ─► root logs ─► every other log (manifests, live files, tiles, its checkpoint) ─► sync ─► backup.json
//! restore: backup.json ─► marker `restored`: unfinished ─► every file, its digest checked ─► sync ─► marker: whole
//! ```
//! The root log first: every log that is listed is opened in it, and what it says of others has come to pass by the time that
//! they are read. `backup.json` comes last: a directory without it is no backup. What is not sealed is not in it.
//! What a restore that broke off left is neither opened for writing nor adopted: part of a copy would be taken for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use schemas::checkpoint::Checkpoint;
use schemas::limits::BACKUP_ATTEMPTS_MAX;
use schemas::manifest::{File, Manifest, is_snapshot};
use schemas::note::Note;
use schemas::tile::{TileId, partial_tiles};
use schemas::{Stream, layout};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, RealDisk};
use crate::durable::{copy_synced, create_dirs_like, failed, parent, replace_synced, write_synced_as};
use crate::error::{Error, Result};

const VERSION: u32 = 1;
/// What the marker `restored` says until all is there. Persisted.
const UNFINISHED: &[u8] = b"unfinished\n";

/// What a backup holds. Persisted: keep the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    version: u32,
    /// When it was begun, microseconds.
    pub taken_us: i64,
    /// Every log in it.
    pub logs: Vec<BackupLog>,
    /// Every file in it but the one that says so.
    pub files: Vec<BackupFile>,
}

/// One log as far as it is in a backup. Persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupLog {
    /// Its origin.
    pub origin: String,
    /// Entries in it.
    pub size: u64,
    /// Root at that size, base64.
    pub root: String,
    /// Newest manifest.
    pub manifest: u64,
}

/// One file of a backup. Persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Path below the backup, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of it, hex.
    pub blake3: String,
}

/// How files get into a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// Each is written anew.
    Copy,
    /// Data files are the same files under another name: quick and small, on the same file system, and no protection from
    /// a disk that goes bad.
    HardLink,
}

impl Backup {
    /// Reads what a backup says of itself.
    ///
    /// # Errors
    /// [`Error::Io`] where `dir` has no `backup.json`; [`Error::Refused`] where it is not as written.
    pub fn load(dir: &Path) -> Result<Backup> {
        Backup::load_on(&RealDisk::at(dir))
    }

    pub(crate) fn load_on(disk: &dyn Disk) -> Result<Backup> {
        let bytes = disk.read(layout::BACKUP).map_err(failed(disk, "read", layout::BACKUP))?;
        let wrong = |detail: String| Error::from(schemas::Error::malformed("backup.json", detail));
        let backup: Backup = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        match backup.version {
            VERSION => Ok(backup),
            other => Err(wrong(format!("version {other}, this program knows {VERSION}"))),
        }
    }
}

/// Copies what is sealed below `data` to `to`, which is not there or empty.
///
/// # Errors
/// [`Error::Io`]; [`Error::Tampered`] where a file is not the one that its manifest names: nothing is left that looks like a backup.
pub fn backup(data: &Path, to: &Path, transfer: Transfer, now_us: i64) -> Result<Backup> {
    let data = RealDisk::at(data);
    backup_on(&data, &made_like(&data, to), transfer, now_us)
}

pub(crate) fn backup_on(data: &dyn Disk, to: &dyn Disk, transfer: Transfer, now_us: i64) -> Result<Backup> {
    begin_empty(to)?;
    let mut writing = Writing::new(data, to, transfer);
    let mut logs = Vec::new();
    let mut listed = logs_below(data)?;
    for attempt in 1.. {
        for path in listed.iter().filter_map(|(stream, path)| (*stream == Stream::Root).then_some(path)) {
            logs.push(writing.log(path)?);
        }
        // A rotation may have come meanwhile, and then the old root log names one that was not listed.
        let again = logs_below(data)?;
        let roots =
            |listed: &[(Stream, String)]| listed.iter().filter(|(stream, _)| *stream == Stream::Root).count();
        if roots(&again) == roots(&listed) || attempt >= BACKUP_ATTEMPTS_MAX {
            break;
        }
        (listed, logs, writing.files) = (again, Vec::new(), Vec::new());
    }
    // Of those that were listed before the root log was read: it has opened each of them.
    for (_, path) in listed.iter().filter(|(stream, _)| *stream != Stream::Root) {
        logs.push(writing.log(path)?);
    }
    if logs.is_empty() {
        let detail = format!("{} holds nothing sealed", data.absolute("").display());
        return Err(schemas::Error::malformed("data directory", detail).into());
    }
    writing.sync_names()?;
    let backup = Backup { version: VERSION, taken_us: now_us, logs, files: writing.files };
    let mut text = serde_json::to_vec_pretty(&backup)
        .map_err(|error| schemas::Error::malformed("backup.json", error.to_string()))?;
    text.push(b'\n');
    replace_synced(to, layout::BACKUP, &text)?;
    Ok(backup)
}

/// Puts a backup back as the data directory `to`, which is not there or empty: read-only until it is adopted.
///
/// # Errors
/// [`Error::Io`]; [`Error::Tampered`] where a file is not the one that was backed up. What is there then is no store: remove it.
pub fn restore(from: &Path, to: &Path) -> Result<Backup> {
    let from = RealDisk::at(from);
    restore_on(&from, &made_like(&from, to))
}

/// A directory in which nothing has a wider mode than what it is a copy of: files have that of theirs, and what has none there
/// that of the logs' directory, which the service made. Where there is none, there is nothing to be copied.
fn made_like(from: &RealDisk, to: &Path) -> RealDisk {
    RealDisk::at_most(to, from.status(layout::LOG).map_or(0, |status| status.mode))
}

pub(crate) fn restore_on(from: &dyn Disk, to: &dyn Disk) -> Result<Backup> {
    let backup = Backup::load_on(from)?;
    for file in &backup.files {
        check_path(&file.path)?;
    }
    begin_empty(to)?;
    // Before anything else: a restore that breaks off leaves nothing that would be written on or adopted.
    replace_synced(to, layout::RESTORED, UNFINISHED)?;
    let mut writing = Writing::new(from, to, Transfer::Copy);
    for file in &backup.files {
        writing.file(&file.path, Some((file.bytes, &file.blake3)))?;
    }
    writing.sync_names()?;
    // After everything else: once it says so, all of it is there, whatever happens.
    replace_synced(to, layout::RESTORED, format!("{}\n", backup.taken_us).as_bytes())?;
    Ok(backup)
}

/// How a data directory came to be, as far as a restore is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It was written here, or adopted since.
    No,
    /// A restore into it broke off.
    Unfinished,
    /// It was put back whole.
    Whole,
}

/// What the marker says. Of versions that had no other it says that it is whole.
///
/// # Errors
/// [`Error::Io`] where it cannot be read: a marker of another user's holds as well.
pub(crate) fn restored(disk: &dyn Disk) -> Result<Restored> {
    match disk.read(layout::RESTORED) {
        Ok(bytes) if bytes == UNFINISHED => Ok(Restored::Unfinished),
        Ok(_) => Ok(Restored::Whole),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Restored::No),
        Err(error) => Err(failed(disk, "read", layout::RESTORED)(error)),
    }
}

/// A path that stays below where it is put.
fn check_path(path: &str) -> Result<()> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let stays = path.starts_with(&format!("{}/", layout::LOG)) && path.split('/').all(is_plain);
    match stays && !path.contains('\\') && !path.contains('\0') {
        true => Ok(()),
        false => Err(schemas::Error::malformed("backup.json", format!("path {path:?}")).into()),
    }
}

fn begin_empty(to: &dyn Disk) -> Result<()> {
    to.create_root().map_err(failed(to, "create directory", ""))?;
    match to.list("").map_err(failed(to, "list", ""))?.is_empty() {
        true => Ok(()),
        false => {
            let source =
                std::io::Error::new(ErrorKind::AlreadyExists, "it is not empty; name a new directory");
            Err(failed(to, "write to", "")(source))
        }
    }
}

/// The directories of logs of which something is sealed, relative to the data directory.
fn logs_below(data: &dyn Disk) -> Result<Vec<(Stream, String)>> {
    let names = |path: &str| -> Result<Vec<String>> {
        // Where there is none, nothing was ever recorded: no store to be backed up.
        data.status(path).map_err(failed(data, "list", path))?;
        let entries = data.list(path).map_err(failed(data, "list", path))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    };
    let mut found = Vec::new();
    let log = layout::LOG;
    for tenant in names(log)? {
        for stream in names(&format!("{log}/{tenant}"))? {
            for writer in names(&format!("{log}/{tenant}/{stream}"))? {
                let (tenant, stream, writer) = layout::parse_log_dir(&tenant, &stream, &writer)?;
                let path = layout::log_dir(&tenant, stream, &writer);
                let manifests = format!("{path}/{}", layout::MANIFEST);
                match data.status(&manifests) {
                    Ok(status) if status.is_dir => found.push((stream, path)),
                    Ok(_) => {}
                    Err(error) if is_absence(&error) => {}
                    Err(error) => return Err(failed(data, "list", &manifests)(error)),
                }
            }
        }
    }
    Ok(found)
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

struct Writing<'a> {
    data: &'a dyn Disk,
    to: &'a dyn Disk,
    transfer: Transfer,
    files: Vec<BackupFile>,
    /// Where files were put: their names are synced when all are there.
    directories: BTreeSet<String>,
    /// What attempts at the present log have copied: none of it changes under its name.
    copied: BTreeMap<String, BackupFile>,
}

/// Whether a seal or a compaction took a file away meanwhile.
fn has_gone(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

impl<'a> Writing<'a> {
    fn new(data: &'a dyn Disk, to: &'a dyn Disk, transfer: Transfer) -> Writing<'a> {
        let (files, directories, copied) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Writing { data, to, transfer, files, directories, copied }
    }

    fn log(&mut self, directory: &str) -> Result<BackupLog> {
        self.copied.clear();
        let mut attempt = 1;
        let done = self.files.len();
        let log = loop {
            match self.attempt(directory) {
                Err(error) if has_gone(&error) && attempt < BACKUP_ATTEMPTS_MAX => {
                    attempt += 1;
                    self.files.truncate(done);
                }
                result => break result?,
            }
        };
        let kept: BTreeSet<&String> = self.files.iter().skip(done).map(|file| &file.path).collect();
        // Superseded between two attempts: no manifest in the copy names it any more.
        for path in self.copied.keys().filter(|path| !kept.contains(path)) {
            self.to.remove(path).map_err(failed(self.to, "remove", path))?;
        }
        Ok(log)
    }

    fn attempt(&mut self, directory: &str) -> Result<BackupLog> {
        let (newest, live) = self.manifests(directory)?;
        let wrong = |detail: String| Error::Tampered { log: directory.to_string(), reason: detail };
        let note = Note::parse(newest.checkpoint.as_bytes())?;
        let checkpoint = Checkpoint::parse(note.unverified_text())?;
        if checkpoint.size != newest.size {
            return Err(wrong(format!("manifest {} and its checkpoint differ", newest.number)));
        }
        // First what the next seal takes away.
        for tile in partial_tiles(newest.size) {
            self.file(&format!("{directory}/{}", layout::tile(tile)), None)?;
        }
        for number in 1..=newest.number {
            self.file(&format!("{directory}/{}", layout::manifest(number)), None)?;
        }
        for file in &live {
            self.file(&format!("{directory}/{}", file.path), Some((file.bytes, &file.blake3)))?;
        }
        for tile in full_tiles(newest.size) {
            self.file(&format!("{directory}/{}", layout::tile(tile)), None)?;
        }
        self.file(&format!("{directory}/{}", layout::LOG_JSON), None)?;
        let signed = format!("{directory}/{}", layout::manifest(newest.number));
        self.written(&format!("{directory}/{}", layout::CHECKPOINT), newest.checkpoint.as_bytes(), &signed)?;
        Ok(BackupLog {
            origin: newest.origin,
            size: newest.size,
            root: checkpoint.root.to_base64(),
            manifest: newest.number,
        })
    }

    /// The newest manifest and the files that are live under it.
    fn manifests(&self, directory: &str) -> Result<(Manifest, Vec<File>)> {
        let path = format!("{directory}/{}", layout::MANIFEST);
        let entries = self.data.list(&path).map_err(failed(self.data, "list", &path))?;
        // An unfinished write is nothing yet.
        let numbers = entries.iter().filter_map(|entry| layout::parse_manifest(&entry.name).ok());
        let newest = numbers.max().unwrap_or(0);
        let start = (1..=newest).rev().find(|number| is_snapshot(*number)).unwrap_or(1);
        let mut live: Vec<File> = Vec::new();
        let mut last = None;
        for number in start..=newest {
            let path = format!("{directory}/{}", layout::manifest(number));
            let note = self.data.read(&path).map_err(failed(self.data, "read", &path))?;
            let manifest = Manifest::parse(Note::parse(&note)?.unverified_text())?;
            if manifest.snapshot {
                live.clear();
            }
            live.retain(|file| !manifest.remove.contains(&file.path));
            live.extend(manifest.add.iter().cloned());
            last = Some(manifest);
        }
        last.map(|last| (last, live)).ok_or_else(|| Error::Tampered {
            log: directory.to_string(),
            reason: "it has no manifest".to_string(),
        })
    }

    fn file(&mut self, path: &str, expected: Option<(u64, &str)>) -> Result<()> {
        if let Some(copied) = self.copied.get(path) {
            self.files.push(copied.clone());
            return Ok(());
        }
        create_dirs_like(self.data, self.to, parent(path))?;
        self.directories.insert(parent(path).to_string());
        match self.to.remove(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(self.to, "remove", path)(error));
            }
            // What an attempt before this one left.
            _ => {}
        }
        match self.transfer {
            Transfer::Copy => copy_synced(self.data, self.to, path)?,
            Transfer::HardLink => {
                let from = self.data.absolute(path);
                self.to.link(&from, path).map_err(failed(self.data, "link", path))?;
                // What a seal writes it syncs, but for tiles, which it has not perhaps come to yet.
                self.to.sync_file(path).map_err(failed(self.to, "sync", path))?;
            }
        }
        let (bytes, digest) = self.digest(path)?;
        if let Some((length, named)) = expected
            && (length != bytes || named != digest)
        {
            let from = self.data.absolute(path);
            let reason =
                format!("{} is not the file that was sealed: {bytes} bytes, digest {digest}", from.display());
            return Err(Error::Tampered { log: path.to_string(), reason });
        }
        let file = BackupFile { path: path.to_string(), bytes, blake3: digest };
        self.copied.insert(path.to_string(), file.clone());
        self.files.push(file);
        Ok(())
    }

    /// Length and digest of what is in the copy, not of what was read for it.
    fn digest(&self, path: &str) -> Result<(u64, String)> {
        let mut reader = self.to.reader(path).map_err(failed(self.to, "open", path))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut *reader).map_err(failed(self.to, "read", path))?;
        Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
    }

    /// Writes what was taken out of another file, with its mode.
    fn written(&mut self, path: &str, bytes: &[u8], of: &str) -> Result<()> {
        let mode = self.data.status(of).map_err(failed(self.data, "read", of))?.mode;
        write_synced_as(self.to, path, mode, bytes)?;
        self.directories.insert(parent(path).to_string());
        let blake3 = blake3::hash(bytes).to_hex().to_string();
        self.files.push(BackupFile { path: path.to_string(), bytes: bytes.len() as u64, blake3 });
        Ok(())
    }

    /// Makes the names of all files durable; those of their directories were when these were made.
    fn sync_names(&self) -> Result<()> {
        let mut directories = self.directories.iter();
        directories.try_for_each(|path| self.to.sync_dir(path).map_err(failed(self.to, "sync", path)))
    }
}

/// Every full tile of a tree of this size.
fn full_tiles(size: u64) -> Vec<TileId> {
    let mut tiles = Vec::new();
    let (mut level, mut hashes) = (0, size);
    while hashes > 0 {
        let width = schemas::limits::TILE_WIDTH;
        tiles.extend((0..hashes / width).map(|index| TileId { level, index, width }));
        (level, hashes) = (level + 1, hashes / width);
    }
    tiles
}

#[cfg(test)]
mod tests;
