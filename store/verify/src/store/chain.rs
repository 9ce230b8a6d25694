//! Root logs that go on from one another, and what a successor says of the log before it.
//!
//! From the root log whose key was given the way leads back over `log_opened`, which the successor's key signs, and on over
//! `succession`, which the old key signs. A root log that claims to succeed one that does not name it was begun by an
//! adoption: its key must come from outside too, or nothing of it is believed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use schemas::control::{Control, LogOpened, Predecessor};
use schemas::origin::ROOT_TENANT;
use schemas::tree::Hash;
use schemas::{Origin, Stream};

use super::{Store, check_own_rounds, listing_name};
use crate::Error;
use crate::assembly::Outcome;
use crate::listing::{self, LogDirectory};
use crate::options::{Options, Progress};
use crate::plan::{Expected, Known, Source};
use crate::report::{Finding, Gathered};
use crate::root::{Catalog, entry_zero};

mod said;

use said::{judge, misplaced, unfinished, unmatched};

/// One root log and what it says.
pub(super) struct Epoch {
    pub(super) known: Known,
    pub(super) catalog: Catalog,
    /// The newest sealed size and the root there, as recomputed.
    pub(super) sealed_root: Option<(u64, Hash)>,
    leaves: Vec<Hash>,
}

/// The root logs, oldest first.
pub(super) struct Chain {
    pub(super) epochs: VecDeque<Epoch>,
    /// Writers whose root log nothing vouches for: the report says so of each.
    pub(super) strangers: BTreeSet<String>,
    /// Writers of whose root log nothing is sealed yet.
    pub(super) begun: BTreeSet<String>,
}

/// What successors say of the logs before them, and of those that were given up, by the origin of these.
pub(super) struct Declared(BTreeMap<String, (Predecessor, String)>);

/// What is here of a root log that another names.
enum Here {
    Nothing,
    /// Files of it, and none that holds entry 0.
    Unreadable,
    Opened(LogOpened),
}

/// Of several root logs those that no other names as the one before it.
pub(super) fn newest(roots: Vec<&LogDirectory>) -> Vec<&LogDirectory> {
    let before: BTreeSet<String> = roots
        .iter()
        .filter_map(|root| opened(&root.path)?.predecessor)
        .filter_map(|predecessor| predecessor.origin.rsplit_once('/').map(|(_, writer)| writer.to_string()))
        .collect();
    roots.into_iter().filter(|root| !before.contains(&root.writer)).collect()
}

fn opened(directory: &Path) -> Option<LogOpened> {
    let files = listing::files(directory, &mut Gathered::default()).ok()?;
    entry_zero(directory, &files)
}

/// Whether anything of a log is sealed in `directory`.
fn is_sealed(directory: &Path) -> std::io::Result<bool> {
    let files = listing::files(directory, &mut Gathered::default())?;
    Ok(!files.manifests.is_empty() || !files.data.is_empty())
}

impl Chain {
    /// What the logs of all root logs say of those before them. Of one log one goes on.
    pub(super) fn declared(&self, out: &mut Gathered) -> Declared {
        let mut declared: BTreeMap<String, (Predecessor, String)> = BTreeMap::new();
        for known in self.epochs.iter().flat_map(|epoch| epoch.catalog.logs.values()) {
            let Some(predecessor) = &known.opened.predecessor else { continue };
            let said = (predecessor.clone(), known.opened.origin.clone());
            if let Some((_, other)) = declared.insert(predecessor.origin.clone(), said) {
                let twice = format!("both {other} and {} say that they go on from it", known.opened.origin);
                out.find(Finding::new(twice).log(&predecessor.origin));
            }
        }
        for epoch in &self.epochs {
            for lost in &epoch.catalog.lost {
                let said = (lost.clone(), epoch.known.opened.origin.clone());
                let known = declared.entry(lost.origin.clone()).or_insert_with(|| said.clone());
                if lost.size > known.0.size {
                    *known = said;
                }
            }
        }
        Declared(declared)
    }

    /// Who has given up the log of this origin and key.
    fn given_up(epochs: &VecDeque<Epoch>, origin: &str, key: &str) -> Option<String> {
        Chain::lost(epochs, |lost| lost.origin == origin && lost.key == key)
    }

    fn lost(epochs: &VecDeque<Epoch>, is_it: impl Fn(&Predecessor) -> bool) -> Option<String> {
        let by = epochs.iter().find(|epoch| epoch.catalog.lost.iter().any(&is_it));
        by.map(|epoch| epoch.known.opened.origin.clone())
    }
}

impl Declared {
    /// The size at which a log's successor goes on.
    pub(super) fn size(&self, origin: &str) -> Option<u64> {
        self.0.get(origin).map(|(predecessor, _)| predecessor.size)
    }

    /// The roots that a log must have there, and where what is kept of it ends.
    pub(super) fn expected(&self, origin: &str, out: &mut Gathered) -> Vec<Expected> {
        let Some((predecessor, successor)) = self.0.get(origin) else { return Vec::new() };
        let kept = predecessor.kept_root.as_ref().map(|root| (predecessor.kept, root));
        let roots = [(predecessor.size, &predecessor.root)].into_iter().chain(kept);
        let mut expected = Vec::new();
        for (size, root) in roots {
            match Hash::from_base64(root) {
                Ok(root) => {
                    let source = Source::Successor(successor.clone());
                    expected.push(Expected { size, root, source });
                }
                Err(error) => out.find(Finding::new(format!("its successor {successor}: {error}"))),
            }
        }
        expected
    }
}

impl Store {
    /// Verifies the root log that was chosen and those that it leads to.
    pub(super) fn chain(
        &mut self,
        known: Known,
        directory: &Path,
        seen: Option<&BTreeMap<String, (u64, Hash)>>,
        options: &Options,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Chain, Error> {
        let mut epochs = VecDeque::new();
        let mut unverified = vec![(known, directory.to_path_buf(), false)];
        while let Some((known, directory, is_before)) = unverified.pop() {
            let remembered = seen.and_then(|seen| seen.get(&known.opened.origin)).copied();
            let (plan, outcome) = self.verify_root(&known, &directory, remembered, options, progress)?;
            let mut found = Gathered::default();
            let catalog = Catalog::new(&outcome.controls, &mut found);
            catalog.check_manifests(0, &plan, &mut found);
            check_own_rounds(&catalog, &outcome, &mut found);
            self.gathered.absorb(&known.opened.origin, found);
            let Outcome { leaves, sealed_root, .. } = outcome;
            let epoch = Epoch { known, catalog, sealed_root, leaves };
            if is_before {
                epochs.push_front(epoch);
            } else {
                epochs.push_back(epoch);
            }
            unverified.extend(self.next_before(&epochs));
            // Whoever comes after is found once all before are: the order of a deque is that of time.
            if unverified.is_empty() {
                unverified.extend(self.next_after(&epochs));
            }
        }
        let (strangers, begun) = self.strangers(&epochs);
        Ok(Chain { epochs, strangers, begun })
    }

    fn root_directory(&self, writer: &str) -> Option<PathBuf> {
        let is_it = |found: &&LogDirectory| found.stream == Stream::Root && found.writer == writer;
        let listed = self.directories.iter().find(is_it).map(|found| found.path.clone());
        // Its entries are durable before its directory is.
        listed.or_else(|| {
            let unsealed = self.unsealed_opened(writer).is_some();
            unsealed.then(|| self.log.join(format!("{ROOT_TENANT}/{}/{writer}", Stream::Root)))
        })
    }

    /// The root log before the oldest one, where it is here and is what the oldest says.
    fn next_before(&mut self, epochs: &VecDeque<Epoch>) -> Option<(Known, PathBuf, bool)> {
        let oldest = epochs.front()?;
        let predecessor = oldest.known.opened.predecessor.as_ref()?;
        if epochs.iter().any(|epoch| epoch.known.opened.origin == predecessor.origin) {
            return None;
        }
        let successor = oldest.known.opened.origin.clone();
        self.vouched(&predecessor.origin, &predecessor.key, &successor)
            .map(|(known, path)| (known, path, true))
    }

    /// The root log after the newest one, where it is here and is what the newest says.
    fn next_after(&mut self, epochs: &VecDeque<Epoch>) -> Option<(Known, PathBuf, bool)> {
        let newest = epochs.back()?;
        let next = newest.catalog.succession.clone()?;
        if epochs.iter().any(|epoch| epoch.known.opened.origin == next.origin) {
            return None;
        }
        let origin = newest.known.opened.origin.clone();
        let writer = next.origin.rsplit('/').next().unwrap_or_default();
        // Whether it was never begun or was taken away cannot be told from here.
        if let Here::Nothing = self.here(writer) {
            let gone = format!("at its end; its successor {} is not in this copy", next.origin);
            self.gathered.unread(Finding::new(gone).log(origin));
            return None;
        }
        let (known, path) = self.vouched(&next.origin, &next.key, &origin)?;
        let names_it = known.opened.predecessor.as_ref();
        if names_it.is_none_or(|before| before.origin != origin || before.key != newest.known.opened.key) {
            let wrong = format!("it does not go on from {origin}, which names it as its successor");
            self.gathered.find(Finding::new(wrong).log(&next.origin).index(0));
        }
        Some((known, path, false))
    }

    /// What is here of the root log of a writer: sealed, or in write-ahead files yet.
    fn here(&self, writer: &str) -> Here {
        let Some(directory) = self.root_directory(writer) else { return Here::Nothing };
        if let Some(opened) = opened(&directory).or_else(|| self.unsealed_opened(writer)) {
            return Here::Opened(opened);
        }
        // A copy of the logs alone has a checkpoint of what was not sealed. In a whole store the entries are there too.
        let is_signed = self.is_whole && directory.join(schemas::layout::CHECKPOINT).exists();
        // What cannot be listed is no sign that it was never begun.
        if is_signed || is_sealed(&directory).unwrap_or(true) { Here::Unreadable } else { Here::Nothing }
    }

    fn unsealed_opened(&self, writer: &str) -> Option<LogOpened> {
        let (_, write_ahead) = self.write_ahead.as_ref()?;
        let is_it = |origin: &Origin| origin.stream() == Stream::Root && origin.writer() == writer;
        let (_, log) = write_ahead.logs.iter().find(|(origin, _)| is_it(origin))?;
        match Control::parse(log.entries.get(&0)?.control.as_deref()?) {
            Ok(Control::LogOpened(opened)) => Some(opened),
            _ => None,
        }
    }

    /// The root log `origin` with this key, as `by` names it.
    fn vouched(&mut self, origin: &str, key: &str, by: &str) -> Option<(Known, PathBuf)> {
        let writer = origin.rsplit('/').next().unwrap_or_default();
        let directory = self.root_directory(writer)?;
        let wrong = |message: String| Finding::new(message).log(origin).index(0);
        let Here::Opened(opened) = self.here(writer) else {
            self.gathered.find(wrong(format!("entry 0 cannot be read; {by} names this root log")));
            return None;
        };
        if opened.origin != origin || opened.key != key {
            let other =
                format!("{by} names it with key {key}; here is {} with key {}", opened.origin, opened.key);
            self.gathered.find(wrong(other));
            return None;
        }
        match Known::new(opened) {
            Ok(known) => Some((known, directory)),
            Err(error) => {
                self.gathered.find(wrong(error.to_string()));
                None
            }
        }
    }

    /// The writers of root logs that are not in the chain: those that hold something, and those that do not yet.
    fn strangers(&mut self, epochs: &VecDeque<Epoch>) -> (BTreeSet<String>, BTreeSet<String>) {
        let in_chain: BTreeSet<String> =
            epochs.iter().map(|epoch| listing_name(&epoch.known.origin)).collect();
        let (mut strangers, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for directory in &self.directories {
            if directory.stream != Stream::Root || in_chain.contains(&directory.name()) {
                continue;
            }
            let finding = |message: String| Finding::new(message).log(directory.name());
            let Some(opened) = opened(&directory.path) else {
                // A seal broke off amid what was then given up, perhaps.
                let name = directory.name();
                let is_it = |origin: Origin| listing_name(&origin) == name;
                if let Some(by) = Chain::lost(epochs, |lost| lost.origin.parse().is_ok_and(is_it)) {
                    strangers.insert(directory.writer.clone());
                    self.gathered.note(finding(format!("given up, says {by}: nothing of its writer counts")));
                    continue;
                }
                match is_sealed(&directory.path) {
                    // Its other logs, where they hold anything, are ones that nothing opened.
                    Ok(false) => {
                        begun.insert(directory.writer.clone());
                        self.gathered.note(finding("a root log without anything sealed".to_string()));
                    }
                    Ok(true) => {
                        strangers.insert(directory.writer.clone());
                        let wrong =
                            "entry 0 of this root log cannot be read: nothing of its writer was verified";
                        self.gathered.find(finding(wrong.to_string()).index(0));
                    }
                    Err(error) => self.gathered.unread(finding(format!("cannot list it: {error}"))),
                }
                continue;
            };
            strangers.insert(directory.writer.clone());
            if let Some(by) = Chain::given_up(epochs, &opened.origin, &opened.key) {
                self.gathered.note(finding(format!("given up, says {by}: nothing of its writer counts")));
            } else if let Some(before) = &opened.predecessor {
                self.gathered.unread(finding(format!(
                    "it says that it goes on from {}, which does not lead to it: it was begun by an adoption. It was \
                     not verified; get its key from whoever runs it and give it with --key: {}",
                    before.origin, opened.key
                )));
            } else {
                self.gathered.find(finding("a root log that no other root log leads to".to_string()));
            }
        }
        let in_files = self.write_ahead.iter().flat_map(|(_, write_ahead)| write_ahead.logs.keys());
        for origin in in_files.filter(|origin| origin.stream() == Stream::Root) {
            let name = listing_name(origin);
            if in_chain.contains(&name) || self.directories.iter().any(|listed| listed.name() == name) {
                continue;
            }
            begun.insert(origin.writer().to_string());
            self.gathered.note(Finding::new("a root log without anything sealed").log(name));
        }
        (strangers, begun)
    }

    /// What was seen before and is not here: lost where a successor says so, else taken away.
    pub(super) fn check_remembered(
        &mut self,
        chain: &Chain,
        declared: &Declared,
        seen: Option<&BTreeMap<String, (u64, Hash)>>,
    ) {
        let installation = chain.epochs.back().map(|epoch| epoch.known.origin.installation().to_string());
        for (name, (size, _)) in seen.into_iter().flatten() {
            let epoch = chain.epochs.iter().find(|epoch| epoch.known.opened.origin == *name);
            let sealed = epoch.and_then(|epoch| epoch.sealed_root).map_or(0, |(sealed, _)| sealed);
            // One file may remember several installations. A writer that is here and was not verified is reported already.
            let is_other = epoch.is_none()
                && name.parse::<Origin>().is_ok_and(|origin| {
                    Some(origin.installation()) != installation.as_deref()
                        || chain.strangers.contains(origin.writer())
                });
            let is_lost = declared.size(name).is_some_and(|declared| declared >= *size);
            if *size > sealed && !is_other && !is_lost {
                let wrong = format!("rolled back: sealed size {sealed}, a size of {size} was seen before");
                self.gathered.find(Finding::new(wrong).log(name).index(sealed));
            }
        }
    }

    /// Holds what every successor says of the log before it against that log.
    pub(super) fn check_successions(&mut self, chain: &Chain) {
        let mut found = Vec::new();
        for (at, epoch) in chain.epochs.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| chain.epochs.get(before));
            for known in epoch.catalog.logs.values() {
                let Some(predecessor) = &known.opened.predecessor else { continue };
                let sealed = self.report.logs.iter().find(|log| log.origin == predecessor.origin);
                let sealed = sealed.map_or(0, |log| log.sealed);
                let mut judged = judge(predecessor, known, sealed, epoch);
                judged.findings.extend(misplaced(predecessor, known, epoch));
                if let Some(before) = before {
                    judged.findings.extend(unmatched(
                        predecessor,
                        known,
                        before,
                        self.is_absent(before, epoch),
                    ));
                }
                found.push((predecessor.origin.clone(), judged));
            }
            for lost in epoch.catalog.lost.iter().filter(|lost| lost.size > 0) {
                let by = &epoch.known.opened.origin;
                let all = format!("given up: entries 0 to {} are lost for ever, says {by}", lost.size);
                self.gathered.note(Finding::new(all).log(&lost.origin));
            }
            if let Some(next) = chain.epochs.get(at + 1) {
                if self.is_absent(epoch, next) {
                    let named = epoch.catalog.succession.as_ref().map_or("", |named| named.origin.as_str());
                    let other =
                        format!("it names {named}, which never went on; {} does", next.known.opened.origin);
                    self.gathered.note(Finding::new(other).log(&epoch.known.opened.origin));
                }
                found.push((epoch.known.opened.origin.clone(), unfinished(epoch, next)));
            }
        }
        for (origin, judged) in found {
            self.gathered.absorb(&origin, judged);
        }
    }

    /// Whether `before` names another successor than `epoch`, of which nothing is here, or which was given up: it was begun,
    /// could not be finished, and an adoption came in its place.
    fn is_absent(&self, before: &Epoch, epoch: &Epoch) -> bool {
        let Some(named) = &before.catalog.succession else { return false };
        let is_lost = |lost: &Predecessor| lost.origin == named.origin && lost.key == named.key;
        let writer = named.origin.rsplit('/').next().unwrap_or_default();
        named.origin != epoch.known.opened.origin
            && (epoch.catalog.lost.iter().any(is_lost) || matches!(self.here(writer), Here::Nothing))
    }
}
