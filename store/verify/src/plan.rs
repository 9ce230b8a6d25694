//! What a log should consist of: its manifests read as one signed chain, its files listed, nothing decoded yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use schemas::checkpoint::Checkpoint;
use schemas::control::LogOpened;
use schemas::layout::{self, FileKind};
use schemas::limits::{CURSORS_LOG_MAX, NOTE_BYTES_MAX};
use schemas::manifest::{self, File, Manifest, NO_PREVIOUS};
use schemas::note::VerifierKey;
use schemas::tile::{TileId, partial_tiles};
use schemas::tree::Hash;
use schemas::{LogId, Origin};

use crate::listing::{self, LogFiles};
use crate::range::{LiveFile, RANGE_ROWS_MAX, Range};
use crate::report::{Finding, Gathered};
use crate::torn::{TORN, is_torn, is_torn_of};

/// Times a log is listed again because it grew while it was listed.
const ATTEMPTS_MAX: usize = schemas::limits::VERIFY_ATTEMPTS_MAX;

/// A log and the keys that the root log gives it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its origin.
    pub origin: Origin,
    /// As the root log opened it.
    pub opened: LogOpened,
    /// Key of its checkpoints.
    pub key: VerifierKey,
    /// Key of its manifests.
    pub manifest_key: VerifierKey,
    /// Its id.
    pub log_id: LogId,
}

impl Known {
    /// From a `log_opened` entry.
    ///
    /// # Errors
    /// When origin or keys do not parse or do not belong together.
    pub fn new(opened: LogOpened) -> Result<Known, schemas::Error> {
        let origin: Origin = opened.origin.parse()?;
        let key: VerifierKey = opened.key.parse()?;
        let manifest_key: VerifierKey = opened.manifest_key.parse()?;
        if key.name() != opened.origin || manifest_key.name() != manifest::key_name(&origin) {
            let detail = format!("{} and {} for {origin}", key.name(), manifest_key.name());
            return Err(schemas::Error::mismatch("name of a log's key", detail));
        }
        let log_id = origin.log_id(&key.key_bytes());
        Ok(Known { origin, opened, key, manifest_key, log_id })
    }

    /// What `log.json` must hold, byte for byte.
    fn log_json(&self) -> String {
        let LogOpened { origin, key, manifest_key, .. } = &self.opened;
        // Origins and keys have no character that JSON escapes.
        format!(
            "{{\"format\":1,\"origin\":\"{origin}\",\"key\":\"{key}\",\"manifest_key\":\"{manifest_key}\"}}\n"
        )
    }
}

/// Who says that the tree of some size has some root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The signed checkpoint in a manifest.
    Manifest(u64),
    /// The `checkpoint` file.
    CheckpointFile,
    /// A round, at this index of the root log.
    Round(u64),
    /// A signed checkpoint in a write-ahead file.
    WriteAhead(String),
    /// The file of remembered checkpoints.
    Remembered,
    /// A checkpoint that a client kept, in this file.
    Receipt(String),
    /// A checkpoint that these witnesses cosigned, names of the policy.
    Witnessed(String),
    /// A `log_closed` entry, at this index of the root log.
    Closed(u64),
    /// The first entry of the log that goes on in its place.
    Successor(String),
}

/// A root that the tree must have at some size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// The size.
    pub size: u64,
    /// The root.
    pub root: Hash,
    /// Who says so.
    pub source: Source,
}

/// One manifest that was read and whose signature is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSeen {
    /// BLAKE3 of the file, hex.
    pub digest: String,
    /// S.
    pub size: u64,
}

/// Everything that is known of a log before its data files are read.
#[derive(Debug)]
pub struct Plan {
    /// The log.
    pub known: Known,
    /// Where it is, if it has a directory.
    pub directory: PathBuf,
    /// Its files.
    pub files: LogFiles,
    /// Manifests by number; a damaged one is none.
    pub manifests: BTreeMap<u64, ManifestSeen>,
    /// S: the size of the newest manifest.
    pub sealed: u64,
    /// Where sources had been read up to at S.
    pub cursors: BTreeMap<String, String>,
    /// The ranges to verify, ascending.
    pub ranges: Vec<Range>,
    /// Bytes of the partial tiles that size S has, read at once: the next seal removes them.
    pub edge: BTreeMap<TileId, Vec<u8>>,
    /// Roots that the tree must have.
    pub expected: Vec<Expected>,
    /// What was found so far.
    pub gathered: Gathered,
    /// Whether something was missing that a seal in the meantime would explain.
    incomplete: bool,
}

/// Reads the manifests of a log and lists its files; `has_write_ahead` says whether a writer may be at work.
pub fn plan(log: usize, known: &Known, directory: &Path, has_write_ahead: bool) -> Plan {
    let mut attempts = 1;
    loop {
        let plan = Plan::attempt(log, known, directory, has_write_ahead);
        if plan.incomplete && attempts < ATTEMPTS_MAX && plan.has_grown() {
            attempts += 1;
            continue;
        }
        return plan;
    }
}

impl Plan {
    fn attempt(log: usize, known: &Known, directory: &Path, has_write_ahead: bool) -> Plan {
        let mut plan = Plan {
            known: known.clone(),
            directory: directory.to_path_buf(),
            files: LogFiles::default(),
            manifests: BTreeMap::new(),
            sealed: 0,
            cursors: BTreeMap::new(),
            ranges: Vec::new(),
            edge: BTreeMap::new(),
            expected: Vec::new(),
            gathered: Gathered::default(),
            incomplete: false,
        };
        if !directory.is_dir() {
            return plan;
        }
        match listing::files(directory, &mut plan.gathered) {
            Ok(files) => plan.files = files,
            Err(error) => {
                plan.gathered.unread(Finding::new(format!("cannot list {}: {error}", directory.display())));
                return plan;
            }
        }
        let live = plan.read_manifests();
        plan.check_files(&live, has_write_ahead);
        plan.ranges(log, live.current);
        plan.read_edge();
        plan.check_log_json(has_write_ahead);
        plan.check_checkpoint(has_write_ahead);
        plan
    }

    /// Whether there is a newer manifest on disk than the newest of this plan.
    pub fn has_grown(&self) -> bool {
        let newest = self.files.manifests.last().copied().unwrap_or(0);
        self.directory.join(layout::manifest(newest + 1)).exists()
    }

    fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        match read_small(&self.directory.join(path)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.incomplete = true;
                None
            }
            Err(error) => {
                self.gathered.unread(Finding::new(format!("cannot read it: {error}")).file(path));
                None
            }
        }
    }

    /// Reads the chain of manifests and replays what they add and remove.
    fn read_manifests(&mut self) -> LiveFiles {
        let mut live = LiveFiles::default();
        let mut previous = Some(NO_PREVIOUS.to_string());
        let newest = self.files.manifests.last().copied().unwrap_or(0);
        let numbers = self.files.manifests.clone();
        let mut next = 1;
        for number in numbers {
            if number != next {
                let missing =
                    if number == next + 1 { format!("{next}") } else { format!("{next} to {}", number - 1) };
                self.gathered.find(
                    Finding::new(format!("manifest {missing} of {newest} is missing"))
                        .file(layout::manifest(next)),
                );
                previous = None;
            }
            next = number.saturating_add(1);
            let path = layout::manifest(number);
            let Some(bytes) = self.read(&path) else {
                self.gathered.find(Finding::new("the manifest cannot be read").file(&path));
                previous = None;
                continue;
            };
            let digest = manifest::digest(&bytes);
            match Manifest::open(&bytes, &self.known.manifest_key) {
                Ok(opened) => {
                    if opened.number != number {
                        let wrong = format!("it says number {}", opened.number);
                        self.gathered.find(Finding::new(wrong).file(&path));
                    }
                    if previous.as_ref().is_some_and(|previous| *previous != opened.previous) {
                        let wrong = "it does not follow the manifest before it: another digest";
                        self.gathered.find(Finding::new(wrong).file(&path));
                    }
                    self.follow(&path, number, &opened, &mut live);
                    self.manifests.insert(number, ManifestSeen { digest: digest.clone(), size: opened.size });
                }
                Err(error) => self.gathered.find(Finding::new(error.to_string()).file(&path)),
            }
            previous = Some(digest);
        }
        live
    }

    /// Applies one manifest to the set of live files.
    fn follow(&mut self, path: &str, number: u64, opened: &Manifest, live: &mut LiveFiles) {
        let mut wrong = live.apply(opened);
        if opened.size < self.sealed {
            wrong.push(format!("its size {} is below {} before it", opened.size, self.sealed));
        }
        self.sealed = opened.size;
        self.cursors.clone_from(&opened.cursors);
        if opened.cursors.len() > CURSORS_LOG_MAX || opened.cursors.values().any(String::is_empty) {
            wrong.push("its cursors are too many, or one is empty".to_string());
        }
        match Checkpoint::open(opened.checkpoint.as_bytes(), &self.known.key) {
            Ok(checkpoint) if checkpoint.size == opened.size => {
                let Checkpoint { size, root, .. } = checkpoint;
                self.expected.push(Expected { size, root, source: Source::Manifest(number) });
            }
            Ok(checkpoint) => {
                wrong.push(format!("its checkpoint has size {}, not {}", checkpoint.size, opened.size));
            }
            Err(error) => wrong.push(format!("its checkpoint: {error}")),
        }
        for detail in wrong {
            self.gathered.find(Finding::new(detail).file(path));
        }
    }

    /// Every file on disk is named by a manifest; one that is no longer live is a note.
    fn check_files(&mut self, live: &LiveFiles, has_write_ahead: bool) {
        for (path, name) in self.files.data.clone() {
            if live.current.contains_key(&path) {
                continue;
            }
            let place = |message: &str| Finding::new(message).file(&path);
            if let Some(file) = live.ever.get(&path) {
                self.gathered.note(place("superseded, no longer evidence"));
                if let Ok(loaded) = crate::data_file::load(&self.directory.join(&path), file) {
                    for problem in loaded.problems {
                        self.gathered.find(place(&format!("superseded, but changed: {problem}")));
                    }
                }
            } else if has_write_ahead && name.first >= self.sealed {
                self.gathered.note(place("not yet published: no manifest names it"));
            } else {
                self.incomplete = true;
                self.gathered.find(place("no manifest ever named this file"));
            }
        }
    }

    /// Cuts the live files into ranges that do not overlap, and checks that segments cover `0..S` once.
    fn ranges(&mut self, log: usize, live: BTreeMap<String, File>) {
        let mut files: Vec<LiveFile> = Vec::new();
        for file in live.into_values() {
            match file.name() {
                Ok(name) => files.push(LiveFile { file, name }),
                Err(error) => self.gathered.find(Finding::new(error.to_string()).file(&file.path)),
            }
        }
        files.sort_by_key(|live| (live.name.first, live.name.last, live.name.kind));
        let (mut segments_end, mut payloads_end) = (0u64, 0u64);
        for live in &files {
            let covered = match live.name.kind {
                FileKind::Segment => &mut segments_end,
                FileKind::Payload => &mut payloads_end,
            };
            let wrong = if live.name.first < *covered {
                Some(format!("it overlaps the file before it, which ends at {covered}"))
            } else if live.name.first > *covered && live.name.kind == FileKind::Segment {
                Some(format!("entries {covered} to {} are in no file", live.name.first))
            } else {
                None
            };
            if let Some(wrong) = wrong {
                self.gathered.find(Finding::new(wrong).file(&live.file.path).index(*covered));
            }
            *covered = live.name.last.max(*covered);
        }
        if segments_end != self.sealed {
            let wrong =
                format!("the newest manifest says size {}, its segments end at {segments_end}", self.sealed);
            self.gathered.find(Finding::new(wrong).index(segments_end.min(self.sealed)));
        }
        for live in files {
            let (first, last) = (live.name.first, live.name.last);
            let joins = self.ranges.last().is_some_and(|range| first < range.last);
            if !joins {
                self.ranges.push(Range {
                    log,
                    origin: self.known.origin.clone(),
                    log_id: self.known.log_id,
                    directory: self.directory.clone(),
                    first,
                    last,
                    segments: Vec::new(),
                    payloads: Vec::new(),
                });
            }
            if let Some(range) = self.ranges.last_mut() {
                range.last = range.last.max(last);
                let files = if live.name.kind == FileKind::Segment {
                    &mut range.segments
                } else {
                    &mut range.payloads
                };
                files.push(live);
            }
        }
        let gathered = &mut self.gathered;
        self.ranges.retain(|range| {
            let fits = range.last - range.first <= RANGE_ROWS_MAX;
            if !fits {
                let wrong = format!("a file of more than {RANGE_ROWS_MAX} entries: it was not looked into");
                gathered.find(Finding::new(wrong).index(range.first));
            }
            fits
        });
    }

    fn read_edge(&mut self) {
        for tile in partial_tiles(self.sealed) {
            let path = layout::tile(tile);
            match self.read(&path) {
                Some(bytes) => {
                    self.edge.insert(tile, bytes);
                }
                None => self.gathered.find(Finding::new("a tile of the right edge is missing").file(path)),
            }
        }
    }

    fn check_log_json(&mut self, has_write_ahead: bool) {
        let expected = self.known.log_json();
        match self.read(layout::LOG_JSON) {
            Some(bytes) if bytes == expected.as_bytes() => {}
            // Synced with the first seal.
            Some(bytes) if has_write_ahead && self.sealed == 0 && is_torn_of(&bytes, expected.as_bytes()) => {
                self.gathered.note(Finding::new(TORN).file(layout::LOG_JSON));
            }
            Some(_) => {
                let wrong = "it does not say what the root log says of this log";
                self.gathered.find(Finding::new(wrong).file(layout::LOG_JSON));
            }
            None if self.manifests.is_empty() => {}
            None => self.gathered.find(Finding::new("missing or unreadable").file(layout::LOG_JSON)),
        }
    }

    fn check_checkpoint(&mut self, has_write_ahead: bool) {
        // Rebuildable, so it may be absent.
        let path = self.directory.join(layout::CHECKPOINT);
        let bytes = match read_small(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => {
                let failure = format!("cannot read it: {error}");
                return self.gathered.unread(Finding::new(failure).file(layout::CHECKPOINT));
            }
        };
        match Checkpoint::open(&bytes, &self.known.key) {
            Ok(Checkpoint { size, root, .. }) => {
                if size < self.sealed {
                    self.incomplete = true;
                    let wrong = format!("size {size}, below the sealed size {}", self.sealed);
                    self.gathered.find(Finding::new(wrong).file(layout::CHECKPOINT));
                }
                self.expected.push(Expected { size, root, source: Source::CheckpointFile });
            }
            // A copy that nothing syncs: without it nothing is missing.
            Err(_) if has_write_ahead && is_torn(&bytes) => {
                self.gathered.note(Finding::new(TORN).file(layout::CHECKPOINT));
            }
            Err(error) => self.gathered.find(Finding::new(error.to_string()).file(layout::CHECKPOINT)),
        }
    }

    /// The live segment that holds `index`.
    pub fn segment_of(&self, index: u64) -> Option<&str> {
        let after = self.ranges.partition_point(|range| range.last <= index);
        let range = self.ranges.get(after)?;
        let holds = |live: &&LiveFile| (live.name.first..live.name.last).contains(&index);
        range.segments.iter().find(holds).map(|live| live.file.path.as_str())
    }
}

/// Reads a file that can only be a note, a tile or `log.json`.
///
/// # Errors
/// When it cannot be read or is larger than any of those may be.
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > NOTE_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("{length} bytes, larger than any file of its kind")));
    }
    fs::read(path)
}

/// The files that the manifests so far have named.
#[derive(Debug, Default)]
struct LiveFiles {
    current: BTreeMap<String, File>,
    ever: BTreeMap<String, File>,
}

impl LiveFiles {
    /// Applies a manifest; sentences about what it cannot say after those before it.
    fn apply(&mut self, manifest: &Manifest) -> Vec<String> {
        let mut wrong = Vec::new();
        for path in &manifest.remove {
            if self.current.remove(path).is_none() {
                wrong.push(format!("it removes {path}, which is not live"));
            }
        }
        let listed: BTreeSet<&str> = manifest.add.iter().map(|file| file.path.as_str()).collect();
        if listed.len() != manifest.add.len() {
            wrong.push("it adds a file twice".to_string());
        }
        if manifest.snapshot {
            for path in self.current.keys().filter(|path| !listed.contains(path.as_str())) {
                wrong.push(format!("its full list leaves out {path}"));
            }
        }
        for file in &manifest.add {
            let before = self.current.insert(file.path.clone(), file.clone());
            let repeats = before.as_ref() == Some(file);
            if before.is_some() && !(manifest.snapshot && repeats) {
                wrong.push(format!("it adds {}, which is live already", file.path));
            }
            self.ever.insert(file.path.clone(), file.clone());
        }
        wrong
    }
}
