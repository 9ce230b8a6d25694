//! The verified ranges of one log put together in order: the tree, its roots, the order of times, the control
//! entries, and what the write-ahead files add.

use std::collections::BTreeMap;

use schemas::Stream;
use schemas::checkpoint::Checkpoint;
use schemas::control::Control;
use schemas::tree::Hash;

use crate::plan::{Expected, Plan, Source};
use crate::range::{Range, RangeResult};
use crate::report::{Finding, Gathered, LogReport};
use crate::tiles::TileCheck;
use crate::tree::Tree;
use crate::write_ahead::WriteAheadLog;

/// Wrong roots listed of one log; the rest are counted.
const WRONG_ROOTS_LISTED_MAX: usize = schemas::limits::VERIFY_WRONG_ROOTS_LISTED_MAX;

/// What is left of a log once it is verified.
#[derive(Debug)]
pub struct Outcome {
    /// For the report.
    pub report: LogReport,
    /// What was found.
    pub gathered: Gathered,
    /// Control entries by index.
    pub controls: Vec<(u64, Control)>,
    /// All leaves, where they were asked for.
    pub leaves: Vec<Hash>,
    /// The newest sealed size and the root there, as recomputed.
    pub sealed_root: Option<(u64, Hash)>,
    /// Signed sizes beyond D: said by whom.
    pub beyond: Vec<(u64, Source)>,
    /// Whether a file that the manifests list was gone when its turn came.
    pub is_missing_files: bool,
}

/// Puts the ranges of one log together.
#[derive(Debug)]
pub struct Assembly<'a> {
    plan: &'a Plan,
    write_ahead: Option<&'a WriteAheadLog>,
    expected: std::vec::IntoIter<Expected>,
    next: Option<Expected>,
    tree: Tree,
    tiles: TileCheck<'a>,
    /// Index from which on the tree cannot be known: an entry is missing and so is its tile.
    unknown_from: Option<u64>,
    wrong_roots: Vec<Expected>,
    last_time_us: Option<i64>,
    controls: Vec<(u64, Control)>,
    keep_leaves: bool,
    leaves: Vec<Hash>,
    sealed_root: Option<(u64, Hash)>,
    is_missing_files: bool,
    report: LogReport,
    gathered: Gathered,
}

impl<'a> Assembly<'a> {
    /// Starts with the log of `plan`; `more` are roots beyond those of its own manifests and checkpoint.
    pub fn new(
        plan: &'a Plan,
        more: &[Expected],
        write_ahead: Option<&'a WriteAheadLog>,
        keep_leaves: bool,
    ) -> Assembly<'a> {
        let mut gathered = Gathered::default();
        let mut expected = [&plan.expected, more].concat();
        for (place, note) in write_ahead.iter().flat_map(|log| &log.checkpoints) {
            match Checkpoint::open(note, &plan.known.key) {
                Ok(Checkpoint { size, root, .. }) => {
                    expected.push(Expected { size, root, source: Source::WriteAhead(place.clone()) });
                }
                Err(error) => gathered.find(Finding::new(format!("a checkpoint: {error}")).file(place)),
            }
        }
        expected.sort();
        let signed = expected.last().map_or(0, |newest| newest.size);
        let mut expected = expected.into_iter();
        let mut assembly = Assembly {
            plan,
            write_ahead,
            next: expected.next(),
            expected,
            tree: Tree::default(),
            tiles: TileCheck::new(plan),
            unknown_from: None,
            wrong_roots: Vec::new(),
            last_time_us: None,
            controls: Vec::new(),
            keep_leaves,
            leaves: Vec::new(),
            sealed_root: None,
            is_missing_files: false,
            report: LogReport {
                origin: plan.known.opened.origin.clone(),
                sealed: plan.sealed,
                signed,
                durable: plan.sealed,
                entries: 0,
                payload_rows: 0,
                manifests: plan.manifests.len() as u64,
                bytes: 0,
            },
            gathered,
        };
        assembly.check_roots();
        assembly
    }

    /// Adds the next range.
    pub fn add(&mut self, range: &Range, result: RangeResult) {
        self.report.payload_rows += result.payload_rows;
        self.report.bytes += result.bytes;
        self.is_missing_files |= result.is_missing_files;
        if range.first != self.tree.size() {
            // The plan says which entries are in no file.
            self.unknown_from.get_or_insert(self.tree.size());
        }
        let mut controls: BTreeMap<u64, Control> = BTreeMap::new();
        for (index, text) in &result.controls {
            // One that does not parse is a finding already.
            if let Ok(control) = Control::parse(text) {
                self.check_control(*index, &control, text);
                controls.insert(*index, control);
            }
        }
        for ((index, leaf), time) in (range.first..).zip(&result.leaves).zip(&result.ingest_times_us) {
            if leaf.is_some() {
                self.report.entries += 1;
                self.check_time(index, *time, controls.get(&index));
                self.check_repeated(index, leaf.as_ref());
            }
            self.push(index, *leaf);
        }
        if range.first == 0
            && !controls.contains_key(&0)
            && result.leaves.first().is_some_and(Option::is_some)
        {
            self.find_at(0, "entry 0 is no log_opened");
        }
        self.controls.extend(controls);
        self.gathered.absorb(&self.plan.known.opened.origin, result.gathered);
    }

    fn find_at(&mut self, index: u64, message: impl Into<String>) {
        let finding = Finding::new(message).index(index);
        self.gathered.find(match self.plan.segment_of(index) {
            Some(path) => finding.file(path),
            None => finding,
        });
    }

    /// A leaf of the write-ahead files that is sealed too must be the same.
    fn check_repeated(&mut self, index: u64, leaf: Option<&Hash>) {
        let repeated = self.write_ahead.and_then(|log| log.entries.get(&index));
        if let Some(entry) = repeated.filter(|entry| Some(&entry.leaf) != leaf) {
            let wrong = format!("the sealed entry is not the one in {}", entry.place);
            self.find_at(index, wrong);
        }
    }

    fn check_time(&mut self, index: u64, time_us: i64, control: Option<&Control>) {
        if let Some(last_us) = self.last_time_us {
            match control {
                Some(Control::ClockRun(run)) if run.last_us != last_us || run.first_us != time_us => {
                    let wrong = format!(
                        "a clock run from {} to {}, between times {last_us} and {time_us}",
                        run.last_us, run.first_us
                    );
                    self.find_at(index, wrong);
                }
                Some(Control::ClockRun(_)) => {}
                _ if time_us < last_us => {
                    self.find_at(index, format!("ingest_time {time_us} after {last_us} without a clock run"));
                }
                _ => {}
            }
        }
        self.last_time_us = Some(time_us);
    }

    fn check_control(&mut self, index: u64, control: &Control, text: &str) {
        let stream = self.plan.known.origin.stream();
        let belongs = match control {
            Control::LogOpened(_) => index == 0 || stream == Stream::Root,
            Control::Round(_)
            | Control::Heartbeat(_)
            | Control::LogClosed(_)
            | Control::LogLost(_)
            | Control::Adopted(_) => stream == Stream::Root,
            Control::Recovery(_) | Control::ClockRun(_) | Control::Succession(_) => true,
            Control::TokenCreated(_) | Control::TokenRevoked(_) | Control::Configuration(_) => {
                stream == Stream::Access
            }
            Control::ClockRead(_) | Control::Verdict(_) => stream == Stream::Events,
            _ => false,
        };
        if !belongs {
            self.find_at(index, "a control entry of a kind that does not belong in this log");
        }
        let opened = Control::LogOpened(self.plan.known.opened.clone());
        if index == 0 && opened.to_text().as_deref() != Ok(text) {
            self.find_at(0, "entry 0 is not the log_opened that the root log has for this log");
        }
    }

    fn push(&mut self, index: u64, leaf: Option<Hash>) {
        if self.unknown_from.is_some() {
            return;
        }
        // The hash in the tile stands in for an entry that is missing, so that what follows is still checked.
        let Some(leaf) = leaf.or_else(|| self.tiles.leaf(index)) else {
            self.unknown_from = Some(index);
            return;
        };
        if self.keep_leaves {
            self.leaves.push(leaf);
        }
        let tiles = &mut self.tiles;
        self.tree.push(leaf, &mut |(level, index, hashes)| tiles.compare(level, index, hashes));
        self.check_roots();
    }

    fn check_roots(&mut self) {
        if self.tree.size() == self.plan.sealed {
            self.sealed_root = Some((self.tree.size(), self.tree.root()));
        }
        while let Some(expected) = self.next.take_if(|next| next.size == self.tree.size()) {
            if expected.root != self.tree.root() {
                self.wrong_roots.push(expected);
            }
            self.next = self.expected.next();
        }
    }

    /// Adds the entries of the write-ahead files beyond S, and closes the log.
    pub fn finish(mut self, has_write_ahead: bool) -> Outcome {
        if self.tree.size() != self.plan.sealed {
            self.unknown_from.get_or_insert(self.tree.size());
        }
        self.add_write_ahead();
        let edge: Vec<(u32, u64, Vec<Hash>)> =
            self.tree.edge().map(|(level, index, hashes)| (level, index, hashes.to_vec())).collect();
        for (level, index, hashes) in edge {
            self.tiles.compare(level, index, &hashes);
        }
        match self.unknown_from {
            Some(index) => {
                self.gathered.note(
                    Finding::new("roots and tiles from here on could not be recomputed: an entry and its tile are missing")
                        .index(index),
                );
            }
            None => self.tiles.finish(has_write_ahead),
        }
        self.check_end();
        self.judge_roots();
        let beyond =
            self.next.into_iter().chain(self.expected).map(|left| (left.size, left.source)).collect();
        let mut gathered = self.gathered;
        gathered.absorb(&self.report.origin, std::mem::take(&mut self.tiles.gathered));
        Outcome {
            report: self.report,
            gathered,
            controls: self.controls,
            leaves: self.leaves,
            sealed_root: self.sealed_root,
            is_missing_files: self.is_missing_files,
            beyond: if self.unknown_from.is_some() { Vec::new() } else { beyond },
        }
    }

    fn add_write_ahead(&mut self) {
        let Some(log) = self.write_ahead else { return };
        let sealed = self.plan.sealed;
        let mut size = sealed;
        for (index, entry) in log.entries.range(sealed..) {
            if *index != size {
                let wrong = format!("entries {size} to {index} are neither sealed nor in a write-ahead file");
                self.gathered.find(Finding::new(wrong).index(size).file(&*entry.place));
                break;
            }
            if entry.log_id != self.plan.known.log_id {
                self.gathered.find(Finding::new("an entry of another log").index(*index).file(&*entry.place));
            }
            let control = entry.control.as_deref().map(|text| (text, Control::parse(text)));
            self.check_time(
                *index,
                entry.ingest_time_us,
                control.as_ref().and_then(|(_, parsed)| parsed.as_ref().ok()),
            );
            match control {
                Some((text, Ok(control))) => {
                    self.check_control(*index, &control, text);
                    self.controls.push((*index, control));
                }
                Some((_, Err(error))) => self.find_at(*index, error.to_string()),
                None if *index == 0 => self.find_at(0, "entry 0 is no log_opened"),
                None => {}
            }
            self.push(*index, Some(entry.leaf));
            size += 1;
        }
        self.report.durable = size;
        self.check_cursors(log);
    }

    /// A succession is the last entry of its log.
    fn check_end(&mut self) {
        let end = self.controls.iter().find(|(_, control)| matches!(control, Control::Succession(_)));
        if let Some((index, _)) = end
            && index + 1 < self.report.durable.max(self.report.sealed)
        {
            self.find_at(index + 1, "an entry after the one that ends the log");
        }
    }

    /// Of each cursor that the write-ahead files still tell of, the newest manifest says the same as of S.
    fn check_cursors(&mut self, log: &WriteAheadLog) {
        let sealed = self.plan.sealed;
        // Sealed since the write-ahead files were read: what they said of the rest is not known.
        if log.end() < sealed {
            return;
        }
        for (name, values) in &log.cursors {
            let Some((_, value)) = values.range(..=sealed).next_back() else { continue };
            let said = self.plan.cursors.get(name).map_or("", String::as_str);
            if said != value {
                let wrong = format!(
                    "cursor {name:?} is at {said:?} in the newest manifest, was durable at {value:?}"
                );
                self.gathered.find(Finding::new(wrong));
            }
        }
    }

    /// Says of each wrong root who claims it, and of each differing leaf whether the entry or the tile changed.
    fn judge_roots(&mut self) {
        let sealed =
            self.plan.expected.iter().filter(|expected| matches!(expected.source, Source::Manifest(_))).max();
        let different = std::mem::take(&mut self.tiles.different);
        if let Some((first, _)) = different.first() {
            let is_entry = self.wrong_roots.iter().any(|wrong| wrong.size > *first);
            let tiles_are_signed = is_entry
                && sealed.is_some_and(|sealed| self.tiles.stored_root(sealed.size) == Some(sealed.root));
            for (index, tile) in different {
                if tiles_are_signed {
                    self.find_at(index, "the entry is not the one that was signed");
                } else if is_entry {
                    self.find_at(
                        index,
                        "the entry and its hash in the tile differ, and neither is what was signed",
                    );
                } else {
                    let finding = Finding::new("the hash in the tile is not that of the entry").index(index);
                    self.gathered.find(finding.file(schemas::layout::tile(tile)));
                }
            }
            if self.tiles.different_more > 0 {
                let more = format!("{} more entries differ from their tiles", self.tiles.different_more);
                self.gathered.find(Finding::new(more));
            }
        }
        let more = self.wrong_roots.len().saturating_sub(WRONG_ROOTS_LISTED_MAX);
        for Expected { size, source, .. } in self.wrong_roots.drain(..).take(WRONG_ROOTS_LISTED_MAX) {
            let wrong = format!("the entries do not make the root that {source} gives for size {size}");
            self.gathered.find(source.place(Finding::new(wrong)));
        }
        if more > 0 {
            self.gathered.find(Finding::new(format!("{more} more roots that the entries do not make")));
        }
    }
}

impl Source {
    /// Puts the file that says so into `finding`.
    fn place(&self, finding: Finding) -> Finding {
        match self {
            Source::Manifest(number) => finding.file(schemas::layout::manifest(*number)),
            Source::CheckpointFile => finding.file(schemas::layout::CHECKPOINT),
            Source::WriteAhead(place) => finding.file(place),
            Source::Round(_)
            | Source::Remembered
            | Source::Receipt(_)
            | Source::Witnessed(_)
            | Source::Closed(_)
            | Source::Successor(_) => finding,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Manifest(number) => write!(f, "manifest {number}"),
            Source::CheckpointFile => f.write_str("the checkpoint file"),
            Source::Round(index) => write!(f, "the round at entry {index} of the root log"),
            Source::WriteAhead(place) => write!(f, "the checkpoint in {place}"),
            Source::Remembered => f.write_str("the remembered checkpoint"),
            Source::Receipt(path) => write!(f, "the receipt {path}"),
            Source::Witnessed(by) => write!(f, "the checkpoint that {by} cosigned"),
            Source::Closed(index) => write!(f, "the log_closed at entry {index} of the root log"),
            Source::Successor(origin) => write!(f, "its successor {origin}"),
        }
    }
}
