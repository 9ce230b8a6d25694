//! A disk in memory that knows what would survive a power cut.
//!
//! A file has what is read now and what is on the platter, page by page; a directory has its names now, its names on the
//! platter, and the changes between. A sync of a file says nothing of its name; a sync of a directory says nothing of
//! its files. A sync that fails without having been done marks its pages clean all the same, as Linux does: syncing
//! again does not help, and the process that reads them again sees what the platter does not have.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use self::nodes::{Change, DirNode, FileNode, Node};
use super::random::Random;
use crate::disk::{DirEntry, Disk, DiskFile};
use crate::state::lock;

mod nodes;
#[cfg(test)]
mod tests;

/// Where readers believe the files to be.
const ROOT: &str = "/simulated";

/// What the operation that fails has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    NotDone,
    /// What it was asked; the error is a lie.
    Done,
}

/// Operations fail from the `at`-th on; `at` counts from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) at: u64,
    pub(super) kind: Kind,
    /// Whether reading fails from then on too, as when the machine is off.
    pub(super) reads: bool,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone)]
struct State {
    nodes: Vec<Node>,
    operations: u64,
    fault: Option<Fault>,
    has_failed: bool,
    free_bytes: u64,
    /// Files with this in their name cannot be written: the disk is full.
    no_room_for: Option<&'static str>,
    trace: Vec<String>,
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, path.to_string())
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl State {
    fn find(&self, path: &str) -> Option<usize> {
        let mut at = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Dir(dir) = &self.nodes[at] else { return None };
            at = *dir.live.get(name)?;
        }
        Some(at)
    }

    fn dir(&mut self, path: &str) -> io::Result<&mut DirNode> {
        let at = self.find(path).ok_or_else(|| not_found(path))?;
        match &mut self.nodes[at] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::Error::new(ErrorKind::NotADirectory, path.to_string())),
        }
    }

    fn file(&mut self, at: usize) -> io::Result<&mut FileNode> {
        match &mut self.nodes[at] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Counts an operation; an error when it is not to be done. The second value is its answer once done.
    fn begin(&mut self, what: String) -> (io::Result<()>, io::Result<()>) {
        let broken = || Err(io::Error::other("simulated fault"));
        self.operations += 1;
        self.trace.push(what);
        match self.fault {
            Some(fault) if self.has_failed || self.operations >= fault.at => {
                let is_first = !self.has_failed;
                self.has_failed = true;
                if is_first && fault.kind == Kind::Done { (Ok(()), broken()) } else { (broken(), broken()) }
            }
            _ => (Ok(()), Ok(())),
        }
    }

    fn check_read(&self) -> io::Result<()> {
        if self.has_failed && self.fault.is_some_and(|fault| fault.reads) {
            return Err(io::Error::other("simulated fault"));
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str, over: bool) -> io::Result<()> {
        let ((dir, from), (to_dir, to)) = (split(from), split(to));
        assert_eq!(dir, to_dir, "a rename across directories is two changes, which this disk does not model");
        let dir = self.dir(dir)?;
        let node = *dir.live.get(from).ok_or_else(|| not_found(from))?;
        if !over && dir.live.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        dir.change(Change::Rename { from: from.to_string(), to: to.to_string(), node });
        Ok(())
    }

    /// A power cut amid a sync is no answer of the disk: any of the pages may have got there.
    fn forgets(&self) -> bool {
        self.fault.is_some_and(|fault| !fault.reads)
    }

    fn forget_unsynced(&mut self) {
        if self.forgets() {
            for node in &mut self.nodes {
                if let Node::File(file) = node {
                    file.dirty.clear();
                }
            }
        }
    }

    fn sync_everything(&mut self) {
        for node in &mut self.nodes {
            match node {
                Node::File(file) => file.sync(),
                Node::Dir(dir) => dir.sync(),
            }
        }
    }
}

/// A path without what randomness put into it.
fn masked(path: &str) -> String {
    if let Some((range, _)) = path.strip_suffix(".parquet").and_then(|rest| rest.rsplit_once('-')) {
        return format!("{range}-*.parquet");
    }
    match path.rsplit_once('-').filter(|_| path.starts_with(schemas::layout::QUARANTINE)) {
        Some((place, _)) => format!("{place}-*"),
        None => path.to_string(),
    }
}

impl SimDisk {
    /// An empty disk.
    pub(super) fn new() -> SimDisk {
        SimDisk::of(vec![Node::Dir(DirNode::default())])
    }

    fn of(nodes: Vec<Node>) -> SimDisk {
        let state = State {
            nodes,
            operations: 0,
            fault: None,
            has_failed: false,
            free_bytes: 1 << 40,
            no_room_for: None,
            trace: Vec::new(),
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Operations asked for so far, done or not; reading is none.
    pub(super) fn operations(&self) -> u64 {
        lock(&self.state).operations
    }

    pub(super) fn has_failed(&self) -> bool {
        lock(&self.state).has_failed
    }

    /// What was asked of the disk, without random bytes.
    pub(super) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).trace)
    }

    /// Sets a fault `after` operations from now (1 is the next one).
    pub(super) fn fail(&self, after: u64, kind: Kind, reads: bool) {
        let mut state = lock(&self.state);
        state.fault = Some(Fault { at: state.operations + after, kind, reads });
    }

    pub(super) fn fill_up(&self, no_room_for: &'static str) {
        lock(&self.state).no_room_for = Some(no_room_for);
    }

    pub(super) fn set_free_bytes(&self, bytes: u64) {
        lock(&self.state).free_bytes = bytes;
    }

    /// The disk as another process finds it: nothing is lost, and nothing more is durable than was.
    pub(super) fn process_end(&self) -> SimDisk {
        let mut state = lock(&self.state).clone();
        (state.fault, state.has_failed, state.operations) = (None, false, 0);
        state.trace.clear();
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk after a power cut.
    pub(super) fn cut(&self, seed: u64) -> SimDisk {
        let mut random = Random::new(seed);
        let state = lock(&self.state);
        let nodes = state.nodes.iter().map(|node| match node {
            Node::File(file) => {
                let after = file.cut(&mut random);
                Node::File(FileNode { live: after.clone(), platter: after, dirty: BTreeSet::new() })
            }
            Node::Dir(dir) => {
                let after = dir.cut(&mut random);
                Node::Dir(DirNode { live: after.clone(), platter: after, pending: Vec::new() })
            }
        });
        let cut = SimDisk::of(nodes.collect());
        lock(&cut.state).free_bytes = state.free_bytes;
        cut
    }

    fn operate<T>(&self, what: String, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = lock(&self.state);
        let (before, after) = state.begin(what);
        before?;
        let done = act(&mut state)?;
        after.map(|()| done)
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: usize,
    name: String,
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let length = if self.name.ends_with(".parquet") { 0 } else { bytes.len() };
        self.disk.operate(format!("write {} {offset} {length}", self.name), |state| {
            // Zeros are what takes new room: other bytes go where room was taken before.
            let is_new = bytes.iter().all(|byte| *byte == 0);
            if is_new && state.no_room_for.is_some_and(|part| self.name.contains(part)) {
                return Err(ErrorKind::StorageFull.into());
            }
            state.file(self.node)?.write(usize::try_from(offset).unwrap_or(usize::MAX), bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.disk.operate(format!("sync {}", self.name), |state| {
            state.file(self.node)?.sync();
            Ok(())
        });
        let mut state = lock(&self.disk.state);
        if synced.is_err() && state.forgets() {
            state.file(self.node)?.dirty.clear();
        }
        synced
    }
}

impl Disk for SimDisk {
    fn lock(&self, _path: &str) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        Ok(Some(Box::new(())))
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let node = self.operate(format!("create {}", masked(path)), |state| {
            let (dir, name) = split(path);
            if state.dir(dir)?.live.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let node = state.add(Node::File(FileNode::default()));
            state.dir(dir)?.change(Change::Link { name: name.to_string(), node });
            Ok(node)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), node, name: masked(path) }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = lock(&self.state);
        state.check_read()?;
        let node = state.find(path).ok_or_else(|| not_found(path))?;
        drop(state);
        Ok(Box::new(SimFile { disk: self.clone(), node, name: masked(path) }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = lock(&self.state);
        state.check_read()?;
        let node = state.find(path).ok_or_else(|| not_found(path))?;
        state.file(node).map(|file| file.live.clone())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let mut state = lock(&self.state);
        state.check_read()?;
        if state.find(dir).is_none() {
            return Ok(Vec::new());
        }
        let names = state.dir(dir)?.live.clone();
        let entry = |(name, node): (String, usize)| match &state.nodes[node] {
            Node::File(file) => DirEntry { name, is_dir: false, bytes: file.live.len() as u64 },
            Node::Dir(_) => DirEntry { name, is_dir: true, bytes: 0 },
        };
        Ok(names.into_iter().map(entry).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(format!("rename {} {}", masked(from), masked(to)), |state| state.rename(from, to, true))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(format!("rename_new {from} {to}"), |state| state.rename(from, to, false))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.operate(format!("remove {}", masked(path)), |state| {
            let (dir, name) = split(path);
            let dir = state.dir(dir)?;
            if !dir.live.contains_key(name) {
                return Err(not_found(path));
            }
            dir.change(Change::Unlink { name: name.to_string() });
            Ok(())
        })
    }

    fn create_dir(&self, path: &str) -> io::Result<bool> {
        self.operate(format!("create_dir {path}"), |state| {
            let (dir, name) = split(path);
            if state.dir(dir)?.live.contains_key(name) {
                return Ok(false);
            }
            let node = state.add(Node::Dir(DirNode::default()));
            state.dir(dir)?.change(Change::Link { name: name.to_string(), node });
            Ok(true)
        })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.operate(format!("sync_dir {dir}"), |state| {
            state.dir(dir)?.sync();
            Ok(())
        })
    }

    fn sync_everything(&self) -> io::Result<()> {
        let synced = self.operate("sync_everything".to_string(), |state| {
            state.sync_everything();
            Ok(())
        });
        if synced.is_err() {
            lock(&self.state).forget_unsynced();
        }
        synced
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(lock(&self.state).free_bytes)
    }

    fn absolute(&self, path: &str) -> PathBuf {
        Path::new(ROOT).join(path)
    }
}

/// The path below the data directory of what a reader was told.
pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_string()
}
