//! Events on their way to the service, on disk: written before they are sent, removed once they are acknowledged.
//!
//! One directory (0700) for each run of the tap, which holds its lock; files (0600) of frames, in order; and a small file of
//! marks: how far the service has acknowledged, and how many events were dropped at the cap. What is written here is
//! redacted.
//!
//! What it survives
//! - The death of the tap at any moment: a frame is whole or it does not count (its check is behind its length), and the next
//!   tap for the same service adopts the directory. A frame whose acknowledgement was not yet marked is sent again: the
//!   service knows its event's id.
//! - The service being away: nothing leaves before a 200, which means stable storage there.
//! - A full disk, or the cap: the event is dropped and counted, and the count is recorded once there is room.
//!
//! What it does not: a power cut loses what the kernel has not written. Frames are synced once a second while the service is
//! away, and not at all while it takes them at once.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::limits::{TAP_SPOOL_NAMES_MAX, TAP_SPOOL_RESERVE_BYTES};

use crate::clock::Clock;
use crate::error::Error;

mod frames;
mod lock;
mod marks;
mod read;
#[cfg(test)]
mod tests;

pub use frames::{Frames, Position};
use lock::Lock;
use marks::Marks;
pub use read::{Batch, Reader};

/// Name of the file with number `number`.
fn file_name(number: u64) -> String {
    format!("{number:010}.events")
}

/// The number of the file with that name.
fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".events")?.parse().ok()
}

/// How a spool is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the runs for one service.
    pub home: PathBuf,
    /// Bytes of it, all runs together.
    pub bytes_max: u64,
    /// Bytes at which a file is followed by the next.
    pub file_bytes: u64,
}

/// Whether an event was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is on its way.
    Yes,
    /// It was dropped and counted.
    Dropped,
}

/// The spool of one run: one thread appends, another reads and acknowledges.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    options: Options,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Files with something unacknowledged in them, oldest first; the last is being written.
    files: VecDeque<u64>,
    open: Option<Frames>,
    next_file: u64,
    /// Bytes of this run's files.
    bytes: u64,
    /// Bytes of the other runs' files, as last looked.
    others_bytes: u64,
    /// Where the last whole frame ends.
    end: Position,
    marks: Marks,
    /// Started when nothing more was to come.
    closed: Option<Clock>,
    /// Held until the directory is gone or this process is.
    _lock: Lock,
}

impl Spool {
    /// Makes the directory of the run `run`, or one of a name like it: before it is locked another tap may take it for one that an
    /// ended tap left, and remove it.
    ///
    /// # Errors
    /// When it cannot be made, or others have all of these names.
    pub fn create(options: Options, run: &str) -> Result<Spool, Error> {
        make_directory(&options.home)?;
        let mut failed = std::io::Error::from(std::io::ErrorKind::WouldBlock);
        for attempt in 0..TAP_SPOOL_NAMES_MAX {
            let name = if attempt == 0 { run.to_string() } else { format!("{run}-{attempt}") };
            let directory = options.home.join(name);
            make_directory(&directory)?;
            match Lock::take(&directory) {
                Ok(Some(lock)) => return Spool::locked(options, directory, lock),
                Ok(None) => {}
                Err(Error::Spool { source, .. }) => failed = source,
                Err(other) => return Err(other),
            }
        }
        Err(Error::spool("lock a directory in", options.home)(failed))
    }

    fn locked(options: Options, directory: PathBuf, lock: Lock) -> Result<Spool, Error> {
        let marks = Marks::open(&directory)?;
        let state = State {
            files: VecDeque::new(),
            open: None,
            next_file: 1,
            bytes: 0,
            others_bytes: 0,
            end: Position { file: 1, offset: 0 },
            marks,
            closed: None,
            _lock: lock,
        };
        let shared = Shared { directory, options, state: Mutex::new(state), changed: Condvar::new() };
        let spool = Spool { shared: Arc::new(shared) };
        spool.look_at_others();
        Ok(spool)
    }

    /// A panic elsewhere leaves whole values behind: nothing to repair.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event, redacted already, or drops and counts it.
    pub fn append(&self, event: &str) -> Kept {
        self.append_within(event, self.shared.options.bytes_max)
    }

    /// Appends a notice of what was dropped, for which there is room beyond the cap. True if it is kept: `reported` dropped
    /// events are then on record.
    pub fn append_notice(&self, event: &str, reported: u64) -> bool {
        let bytes_max = self.shared.options.bytes_max.saturating_add(TAP_SPOOL_RESERVE_BYTES);
        // What was found while the last of it is sent is said too.
        let (kept, mut state) = self.try_append(event, bytes_max, true);
        if kept {
            state.marks.report(reported);
        }
        kept
    }

    fn append_within(&self, event: &str, bytes_max: u64) -> Kept {
        let (kept, mut state) = self.try_append(event, bytes_max, false);
        if kept {
            return Kept::Yes;
        }
        state.marks.drop_one();
        Kept::Dropped
    }

    fn try_append(&self, event: &str, bytes_max: u64, even_closed: bool) -> (bool, MutexGuard<'_, State>) {
        let Shared { directory, options, .. } = &*self.shared;
        let mut state = self.state();
        let size = frames::framed_bytes(event);
        let is_over = state.closed.is_some() && !even_closed;
        if is_over || state.bytes.saturating_add(state.others_bytes).saturating_add(size) > bytes_max {
            return (false, state);
        }
        let kept = state.write(directory, options, event);
        if kept {
            self.shared.changed.notify_all();
        }
        (kept, state)
    }

    /// Events that were dropped and are not on record as that.
    pub fn dropped_unreported(&self) -> u64 {
        self.state().marks.unreported()
    }

    /// Events dropped in all.
    pub fn dropped(&self) -> u64 {
        self.state().marks.dropped()
    }

    /// Whether an event of a usual size would be kept.
    pub fn has_room(&self) -> bool {
        let state = self.state();
        state.bytes.saturating_add(state.others_bytes).saturating_add(TAP_SPOOL_RESERVE_BYTES)
            <= self.shared.options.bytes_max
    }

    /// Nothing more will be appended.
    pub fn close(&self) {
        self.state().closed.get_or_insert_with(Clock::start);
        self.shared.changed.notify_all();
    }

    /// Whether nothing more will be appended.
    pub fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    /// Microseconds since nothing more was to come.
    pub fn closed_since_us(&self) -> Option<i64> {
        self.state().closed.map(|clock| clock.now().monotonic_us)
    }

    /// Waits until there is something behind `position`, or nothing more can come. True if there is something.
    pub fn wait(&self, position: Position, patience: Duration) -> bool {
        let state = self.state();
        let has_none = |state: &mut State| state.end <= position && state.closed.is_none();
        let waited = self.shared.changed.wait_timeout_while(state, patience, has_none);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.end > position
    }

    /// A reader of this run's own files.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.directory.clone(), Position { file: 1, offset: 0 })
    }

    /// Where the last whole frame ends.
    pub fn end(&self) -> Position {
        self.state().end
    }

    /// Marks everything before `position` as acknowledged, and removes the files that are done with.
    pub fn acknowledge(&self, position: Position) {
        let mut state = self.state();
        while let Some(file) = state.files.front().copied() {
            // The file that is written stays until it is full: its frames are marked, not its end removed.
            let open = state.open.as_ref().filter(|open| open.number() == file);
            let is_full = open.is_none_or(|open| open.bytes() >= self.shared.options.file_bytes);
            let is_done = file < position.file || (position >= state.end && file == position.file && is_full);
            if !is_done {
                break;
            }
            if state.open.as_ref().is_some_and(|open| open.number() == file) {
                state.open = None;
            }
            state.files.pop_front();
            let path = self.shared.directory.join(file_name(file));
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            match std::fs::remove_file(&path) {
                Ok(()) => state.bytes = state.bytes.saturating_sub(bytes),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a sent file of the spool stays");
                }
            }
        }
        state.marks.acknowledge(position);
    }

    /// Syncs what is written, so that a power cut does not lose it.
    pub fn sync(&self) {
        let file = self.state().open.as_ref().and_then(|open| open.try_clone().ok());
        // Outside the lock: a slow disk must not hold up who appends.
        if let Some(file) = file
            && let Err(error) = sync(&file)
        {
            tracing::warn!(%error, "the spool was not synced");
        }
    }

    /// Looks how much of the cap other runs take.
    pub fn look_at_others(&self) {
        let all = bytes_below(&self.shared.options.home);
        let own = bytes_below(&self.shared.directory);
        self.state().others_bytes = all.saturating_sub(own);
    }

    /// Directories of runs that have ended and left something, oldest first, each with its lock.
    pub fn orphans(&self) -> Vec<Orphan> {
        orphans(&self.shared.options.home, Some(&self.shared.directory))
    }

    /// Removes the directory, if everything in it is acknowledged and every drop is on record.
    pub fn remove_if_done(&self) {
        let state = self.state();
        let is_sent = state.files.is_empty() || state.marks.acknowledged() >= state.end;
        if is_sent && state.marks.unreported() == 0 {
            remove_directory(&self.shared.directory);
        }
    }
}

impl State {
    /// Writes a frame; false if the disk does not take it. What it took of it is cut off again.
    fn write(&mut self, directory: &Path, options: &Options, event: &str) -> bool {
        if self.open.as_ref().is_some_and(|open| open.bytes() >= options.file_bytes) {
            self.open = None;
        }
        if self.open.is_none() {
            match Frames::create(directory, self.next_file) {
                Ok(frames) => {
                    self.files.push_back(self.next_file);
                    self.next_file += 1;
                    self.open = Some(frames);
                }
                Err(error) => {
                    tracing::warn!(%error, "the spool takes no file");
                    return false;
                }
            }
        }
        let Some(open) = &mut self.open else { return false };
        let before = open.bytes();
        match open.append(event) {
            Ok(()) => {
                self.bytes += open.bytes() - before;
                self.end = Position { file: open.number(), offset: open.bytes() };
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the spool takes no event");
                // What follows goes into a file of its own, whatever was left in this one.
                self.open = None;
                false
            }
        }
    }
}

/// A directory that an ended run left behind, and its lock.
#[derive(Debug)]
pub struct Orphan {
    /// The directory.
    pub directory: PathBuf,
    marks: Marks,
    _lock: Lock,
}

impl Orphan {
    /// The directory, unless its run lives.
    fn adopt(directory: &Path) -> Result<Option<Orphan>, Error> {
        is_own(directory).map_err(Error::spool("trust", directory))?;
        let Some(lock) = Lock::take(directory)? else { return Ok(None) };
        let marks = Marks::open(directory)?;
        Ok(Some(Orphan { directory: directory.to_path_buf(), marks, _lock: lock }))
    }

    /// A reader from where the service had acknowledged.
    pub fn reader(&self) -> Reader {
        Reader::new(self.directory.clone(), self.marks.acknowledged())
    }

    /// Marks everything before `position` as acknowledged.
    pub fn acknowledge(&mut self, position: Position) {
        self.marks.acknowledge(position);
        for file in files(&self.directory).into_iter().filter(|file| *file < position.file) {
            std::fs::remove_file(self.directory.join(file_name(file))).ok();
        }
    }

    /// Events that it dropped and that are not on record as that.
    pub fn dropped_unreported(&self) -> u64 {
        self.marks.unreported()
    }

    /// Says that they are.
    pub fn report(&mut self, count: u64) {
        self.marks.report(count);
    }

    /// Everything in it is acknowledged: removes it.
    pub fn remove(self) {
        remove_directory(&self.directory);
    }
}

/// Directories below `home` of runs that have ended, oldest first.
pub fn orphans(home: &Path, except: Option<&Path>) -> Vec<Orphan> {
    let entries = match std::fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(home = %home.display(), %error, "what ended taps left cannot be looked for");
            return Vec::new();
        }
    };
    let is_directory = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut found: Vec<PathBuf> = entries.flatten().filter(is_directory).map(|entry| entry.path()).collect();
    found.retain(|path| Some(path.as_path()) != except);
    found.sort();
    let adopt = |directory: PathBuf| match Orphan::adopt(&directory) {
        Ok(orphan) => orphan,
        Err(error) => {
            tracing::warn!(%error, "what an ended tap left is not adopted");
            None
        }
    };
    found.into_iter().filter_map(adopt).collect()
}

/// Numbers of the files in `directory`, ascending.
fn files(directory: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<u64> = entries.filter_map(|entry| file_number(entry.file_name().to_str()?)).collect();
    found.sort_unstable();
    found
}

/// Bytes of the event files in a directory and in the directories in it.
fn bytes_below(directory: &Path) -> u64 {
    let mut sum = 0u64;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let is_events = entry.file_name().to_str().and_then(file_number).is_some();
        if metadata.is_dir() {
            sum = sum.saturating_add(bytes_below(&entry.path()));
        } else if is_events {
            sum = sum.saturating_add(metadata.len());
        }
    }
    sum
}

fn make_directory(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(Error::spool("make", path))?;
    is_own(path).map_err(Error::spool("trust", path))
}

/// Whoever may write here could have events sent with our credential, or read them: a directory, no link to one, of this user's,
/// into which nobody else may write.
fn is_own(path: &Path) -> std::io::Result<()> {
    let found = path.symlink_metadata()?;
    let why = if !found.is_dir() {
        "it is no directory, or a link to one"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "others may write into it"
    } else {
        return Ok(());
    };
    Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, why))
}

/// Removes a directory of the spool; one that stays is adopted and found empty.
fn remove_directory(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "an empty directory of the spool stays");
    }
}

#[expect(clippy::disallowed_methods, reason = "the spool is no part of the store, and has no rename")]
fn sync(file: &File) -> std::io::Result<()> {
    file.sync_data()
}
