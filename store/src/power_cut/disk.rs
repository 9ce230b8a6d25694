//! A disk in memory that knows what would survive a power cut.
//!
//! A file has what is read now and what is on the platter, page by page; a directory has its names now, its names on the
//! platter, and the changes between. A sync of a file says nothing of its name; a sync of a directory says nothing of
//! its files. A sync that fails without having been done marks its pages clean all the same, as Linux does: syncing
//! again does not help, and the process that reads them again sees what the platter does not have. A sync of names can
//! lose what was renamed in the same way.
//!
//! Several directories are on one disk: views of it below a prefix, with one count of operations and one power switch.
//! Not modelled: a failed sync that forgets that a file or a directory was made or removed, and locks.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use self::fault::{Fault, Outcome};
use self::names::{masked, not_found, split};
use self::nodes::{Change, DirNode, FileNode, Node};
use super::random::Random;
use crate::disk::{DirEntry, Disk, DiskFile, Status};
use crate::state::lock;

pub(super) use self::fault::{Act, Shape, Span};

mod fault;
mod names;
mod nodes;
#[cfg(test)]
mod tests;

/// Where readers believe the files to be.
const ROOT: &str = "/simulated";

/// A view of the disk; clones are of the same disk.
#[derive(Debug, Clone)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Empty, or a path that the paths of this view lie below.
    prefix: String,
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
    /// One for each operation in `trace`.
    acts: Vec<Act>,
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

    /// Counts an operation; what becomes of it.
    fn begin(&mut self, what: String, act: Act) -> Outcome {
        self.operations += 1;
        self.trace.push(what);
        self.acts.push(act);
        match self.fault {
            Some(fault) if !self.has_failed && self.operations >= fault.at => {
                self.has_failed = true;
                // What it cannot be it is not: the process that fails may do other things than the one before it.
                Outcome::Fails(if fault.shape.fits(act) { fault.shape } else { Shape::NotDone })
            }
            Some(fault) if self.has_failed && fault.span == Span::Lasts => Outcome::Fails(Shape::NotDone),
            _ => Outcome::Works,
        }
    }

    fn check_read(&self) -> io::Result<()> {
        if self.has_failed && self.fault.is_some_and(|fault| fault.shape.is_kill()) {
            return Err(io::Error::other("simulated fault"));
        }
        Ok(())
    }

    fn node(&self, path: &str) -> io::Result<usize> {
        self.check_read()?;
        self.find(path).ok_or_else(|| not_found(path))
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
        self.fault.is_some_and(|fault| !fault.shape.is_kill())
    }

    fn forget_unsynced(&mut self, renames: bool) {
        if self.forgets() {
            for node in &mut self.nodes {
                match node {
                    Node::File(file) => file.dirty.clear(),
                    Node::Dir(dir) if renames => dir.forget_renames(),
                    Node::Dir(_) => {}
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

impl SimDisk {
    /// An empty disk, all of it.
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
            acts: Vec::new(),
        };
        SimDisk { state: Arc::new(Mutex::new(state)), prefix: String::new() }
    }

    /// A directory of the same disk, which is there or not yet.
    pub(super) fn part(&self, prefix: &str) -> SimDisk {
        SimDisk { state: Arc::clone(&self.state), prefix: prefix.to_string() }
    }

    /// Whether this is a view of a directory.
    pub(super) fn is_part(&self) -> bool {
        !self.prefix.is_empty()
    }

    fn with_state(&self, state: State) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(state)), prefix: self.prefix.clone() }
    }

    fn full(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_string(),
            (prefix, "") => prefix.to_string(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }

    fn masked(&self, path: &str) -> String {
        self.full(&masked(path))
    }

    /// The path in this view of what a reader was told.
    pub(super) fn relative(&self, path: &Path) -> String {
        let root = self.absolute("");
        path.strip_prefix(root).unwrap().to_str().unwrap().to_string()
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

    /// What those operations were.
    pub(super) fn take_acts(&self) -> Vec<Act> {
        std::mem::take(&mut lock(&self.state).acts)
    }

    /// Sets a fault `after` operations from now (1 is the next one).
    pub(super) fn fail(&self, after: u64, shape: Shape, span: Span) {
        let mut state = lock(&self.state);
        let span = if shape.is_kill() { Span::Lasts } else { span };
        state.has_failed = false;
        state.fault = Some(Fault { at: state.operations + after, shape, span });
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
        state.acts.clear();
        self.with_state(state)
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
        cut.part(&self.prefix)
    }

    fn operate<T>(
        &self,
        what: String,
        act: Act,
        does: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = lock(&self.state);
        let outcome = state.begin(what, act);
        if !outcome.is_done() {
            outcome.answer()?;
        }
        let done = does(&mut state);
        // The fault's answer comes before its own: what is not there is not said to be missing.
        outcome.answer()?;
        done
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
        let mut state = lock(&self.disk.state);
        let act = Act::Write { bytes: bytes.len() };
        let outcome = state.begin(format!("write {} {offset} {length}", self.name), act);
        // Zeros are what takes new room: other bytes go where room was taken before.
        let is_new = bytes.iter().all(|byte| *byte == 0);
        if is_new && state.no_room_for.is_some_and(|part| self.name.contains(part)) {
            return Err(ErrorKind::StorageFull.into());
        }
        let written = match outcome {
            Outcome::Fails(Shape::Short) => bytes.len() / 2 + usize::from(bytes.len() > 2),
            outcome if outcome.is_done() => bytes.len(),
            _ => 0,
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        state.file(self.node)?.write(offset, bytes.get(..written).unwrap_or_default());
        outcome.answer()
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.disk.operate(format!("sync {}", self.name), Act::Sync, |state| {
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
        let full = self.full(path);
        let node = self.operate(format!("create {}", self.masked(path)), Act::Names, |state| {
            let (dir, name) = split(&full);
            if state.dir(dir)?.live.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let node = state.add(Node::File(FileNode::default()));
            state.dir(dir)?.change(Change::Link { name: name.to_string(), node });
            Ok(node)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), node, name: self.masked(path) }))
    }

    fn create_as(&self, path: &str, _mode: u32) -> io::Result<Box<dyn DiskFile>> {
        self.create(path)
    }

    fn sync_file(&self, path: &str) -> io::Result<()> {
        self.open(path)?.sync()
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let node = lock(&self.state).node(&self.full(path))?;
        Ok(Box::new(SimFile { disk: self.clone(), node, name: self.masked(path) }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = lock(&self.state);
        let node = state.node(&self.full(path))?;
        state.file(node).map(|file| file.live.clone())
    }

    fn reader(&self, path: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Cursor::new(self.read(path)?)))
    }

    fn status(&self, path: &str) -> io::Result<Status> {
        let state = lock(&self.state);
        let (is_dir, bytes) = match &state.nodes[state.node(&self.full(path))?] {
            Node::File(file) => (false, file.live.len() as u64),
            Node::Dir(_) => (true, 0),
        };
        Ok(Status { is_dir, bytes, is_private: true, mode: 0o700 })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let mut state = lock(&self.state);
        state.check_read()?;
        let dir = self.full(dir);
        if state.find(&dir).is_none() {
            return Ok(Vec::new());
        }
        let names = state.dir(&dir)?.live.clone();
        let entry = |(name, node): (String, usize)| match &state.nodes[node] {
            Node::File(file) => DirEntry { name, is_dir: false, bytes: file.live.len() as u64 },
            Node::Dir(_) => DirEntry { name, is_dir: true, bytes: 0 },
        };
        Ok(names.into_iter().map(entry).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let what = format!("rename {} {}", self.masked(from), self.masked(to));
        self.operate(what, Act::Names, |state| state.rename(&self.full(from), &self.full(to), true))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let what = format!("rename_new {} {}", self.masked(from), self.masked(to));
        self.operate(what, Act::Names, |state| state.rename(&self.full(from), &self.full(to), false))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let full = self.full(path);
        self.operate(format!("remove {}", self.masked(path)), Act::Names, |state| {
            let (dir, name) = split(&full);
            let dir = state.dir(dir)?;
            if !dir.live.contains_key(name) {
                return Err(not_found(path));
            }
            dir.change(Change::Unlink { name: name.to_string() });
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &str) -> io::Result<()> {
        let from = from.strip_prefix(ROOT).ok().and_then(Path::to_str).unwrap_or_default().to_string();
        let full = self.full(to);
        self.operate(format!("link {from} {}", self.masked(to)), Act::Names, |state| {
            let (dir, name) = split(&full);
            if state.dir(dir)?.live.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let node = state.find(&from).ok_or_else(|| not_found(&from))?;
            state.dir(dir)?.change(Change::Link { name: name.to_string(), node });
            Ok(())
        })
    }

    fn create_root(&self) -> io::Result<()> {
        if !self.is_part() {
            return Ok(());
        }
        let all = self.part("");
        if self.status("").is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            all.create_dir(&self.prefix)?;
        }
        all.sync_dir(split(&self.prefix).0)
    }

    fn create_dir(&self, path: &str) -> io::Result<bool> {
        let full = self.full(path);
        self.operate(format!("create_dir {full}"), Act::Names, |state| {
            let (dir, name) = split(&full);
            if state.dir(dir)?.live.contains_key(name) {
                return Ok(false);
            }
            let node = state.add(Node::Dir(DirNode::default()));
            state.dir(dir)?.change(Change::Link { name: name.to_string(), node });
            Ok(true)
        })
    }

    fn create_dir_as(&self, path: &str, _mode: u32) -> io::Result<bool> {
        self.create_dir(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = lock(&self.state);
        let full = self.full(dir);
        let renamed = state.dir(&full).is_ok_and(|dir| dir.has_renames());
        let outcome = state.begin(format!("sync_dir {full}"), Act::SyncNames { renamed });
        if outcome.is_done() {
            state.dir(&full)?.sync();
        } else if outcome == Outcome::Fails(Shape::LostRename) {
            state.dir(&full)?.forget_renames();
        }
        outcome.answer()
    }

    fn sync_everything(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let renamed = state.nodes.iter().any(|node| matches!(node, Node::Dir(dir) if dir.has_renames()));
        let outcome = state.begin("sync_everything".to_string(), Act::SyncNames { renamed });
        if outcome.is_done() {
            state.sync_everything();
        } else {
            state.forget_unsynced(outcome == Outcome::Fails(Shape::LostRename));
        }
        outcome.answer()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(lock(&self.state).free_bytes)
    }

    fn absolute(&self, path: &str) -> PathBuf {
        Path::new(ROOT).join(self.full(path))
    }
}
