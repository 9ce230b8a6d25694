//! Root logs that go on from one another, and what a successor says of the log before it.
//!
//! From the root log whose key was given the way leads back over `log_opened`, which the successor's key signs, and on over
//! `succession`, which the old key signs. A root log that claims to succeed one that does not name it was begun by an
//! adoption: its key must come from outside too, or nothing of it is believed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use schemas::Stream;
use schemas::control::{LogOpened, Predecessor};
use schemas::tree::Hash;

use super::{Store, check_own_rounds, listing_name};
use crate::Error;
use crate::assembly::Outcome;
use crate::listing::{self, LogDirectory};
use crate::options::{Options, Progress};
use crate::plan::{Expected, Known, Source};
use crate::report::{Finding, Gathered};
use crate::root::{Catalog, entry_zero};
use crate::tree::Tree;

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
    /// Writers whose root log nothing vouches for.
    pub(super) strangers: BTreeSet<String>,
}

/// What successors say of the logs before them, by the origin of these.
pub(super) struct Declared(BTreeMap<String, (Predecessor, String)>);

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

impl Chain {
    /// What the logs of all root logs say of those before them.
    pub(super) fn declared(&self) -> Declared {
        let mut declared = BTreeMap::new();
        for known in self.epochs.iter().flat_map(|epoch| epoch.catalog.logs.values()) {
            if let Some(predecessor) = &known.opened.predecessor {
                let said = (predecessor.clone(), known.opened.origin.clone());
                declared.insert(predecessor.origin.clone(), said);
            }
        }
        Declared(declared)
    }
}

impl Declared {
    /// The size at which a log's successor goes on.
    pub(super) fn size(&self, origin: &str) -> Option<u64> {
        self.0.get(origin).map(|(predecessor, _)| predecessor.size)
    }

    /// The root that a log must have there.
    pub(super) fn expected(&self, origin: &str, out: &mut Gathered) -> Option<Expected> {
        let (predecessor, successor) = self.0.get(origin)?;
        match Hash::from_base64(&predecessor.root) {
            Ok(root) => {
                let source = Source::Successor(successor.clone());
                Some(Expected { size: predecessor.size, root, source })
            }
            Err(error) => {
                out.find(Finding::new(format!("its successor {successor}: {error}")));
                None
            }
        }
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
        let strangers = self.strangers(&epochs);
        let chain = Chain { epochs, strangers };
        self.check_remembered(&chain, seen);
        Ok(chain)
    }

    fn root_directory(&self, writer: &str) -> Option<PathBuf> {
        let is_it = |found: &&LogDirectory| found.stream == Stream::Root && found.writer == writer;
        self.directories.iter().find(is_it).map(|found| found.path.clone())
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
        let Some(directory) = self.root_directory(writer) else {
            let gone = format!("at its end; its successor {} is not in this copy", next.origin);
            self.gathered.note(Finding::new(gone).log(origin));
            return None;
        };
        // Begun, and nothing of it sealed yet.
        opened(&directory)?;
        let (known, path) = self.vouched(&next.origin, &next.key, &origin)?;
        let names_it = known.opened.predecessor.as_ref();
        if names_it.is_none_or(|before| before.origin != origin || before.key != newest.known.opened.key) {
            let wrong = format!("it does not go on from {origin}, which names it as its successor");
            self.gathered.find(Finding::new(wrong).log(&next.origin).index(0));
        }
        Some((known, path, false))
    }

    /// The root log `origin` with this key, as `by` names it.
    fn vouched(&mut self, origin: &str, key: &str, by: &str) -> Option<(Known, PathBuf)> {
        let directory = self.root_directory(origin.rsplit('/').next().unwrap_or_default())?;
        let wrong = |message: String| Finding::new(message).log(origin).index(0);
        let Some(opened) = opened(&directory) else {
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

    /// The writers of root logs that are not in the chain.
    fn strangers(&mut self, epochs: &VecDeque<Epoch>) -> BTreeSet<String> {
        let in_chain: BTreeSet<String> =
            epochs.iter().map(|epoch| listing_name(&epoch.known.origin)).collect();
        let mut strangers = BTreeSet::new();
        for directory in &self.directories {
            if directory.stream != Stream::Root || in_chain.contains(&directory.name()) {
                continue;
            }
            strangers.insert(directory.writer.clone());
            let opened = opened(&directory.path);
            let claims = opened.as_ref().and_then(|opened| opened.predecessor.as_ref());
            let finding = |message: String| Finding::new(message).log(directory.name());
            match (opened.as_ref(), claims) {
                (None, _) => self.gathered.note(finding("a root log without anything sealed".to_string())),
                (Some(opened), Some(before)) => {
                    self.gathered.unread(finding(format!(
                        "it says that it goes on from {}, which does not name it: it was begun by an adoption. It was \
                         not verified; get its key from whoever runs it and give it with --key: {}",
                        before.origin, opened.key
                    )));
                }
                (Some(_), None) => {
                    self.gathered.find(finding("a root log that no other root log leads to".to_string()));
                }
            }
        }
        strangers
    }

    /// What was seen before and is not here: lost where a successor says so, else taken away.
    fn check_remembered(&mut self, chain: &Chain, seen: Option<&BTreeMap<String, (u64, Hash)>>) {
        let declared = chain.declared();
        for (origin, (size, _)) in seen.into_iter().flatten() {
            let epoch = chain.epochs.iter().find(|epoch| epoch.known.opened.origin == *origin);
            let sealed = epoch.and_then(|epoch| epoch.sealed_root).map(|(sealed, _)| sealed);
            let is_known = epoch.is_some() || declared.size(origin).is_some();
            if !is_known || sealed.is_some_and(|sealed| sealed >= *size) {
                continue;
            }
            let here = sealed.unwrap_or(0);
            if declared.size(origin).is_none_or(|declared| declared < *size) {
                let wrong = format!("rolled back: sealed size {here}, a size of {size} was seen before");
                self.gathered.find(Finding::new(wrong).log(origin).index(here));
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
                if let Some(before) = before {
                    judged.findings.extend(unmatched(predecessor, known, before));
                }
                found.push((predecessor.origin.clone(), judged));
            }
            if let Some(next) = chain.epochs.get(at + 1) {
                found.push((epoch.known.opened.origin.clone(), unfinished(epoch, next)));
            }
        }
        for (origin, judged) in found {
            self.gathered.absorb(&origin, judged);
        }
    }
}

/// What is missing of a log beside what its successor says of it.
fn judge(predecessor: &Predecessor, known: &Known, sealed: u64, epoch: &Epoch) -> Gathered {
    let Predecessor { size, kept, .. } = predecessor;
    let successor = &known.opened.origin;
    let mut out = Gathered::default();
    if kept > size || sealed < *kept {
        let wrong = format!("{successor} says that {kept} of its {size} entries are kept; here are {sealed}");
        out.find(Finding::new(wrong).index(sealed));
    } else if sealed > *size {
        let wrong = format!("{sealed} entries, and {successor} goes on from {size}");
        out.find(Finding::new(wrong).index(*size));
    } else if sealed < *size {
        let reason = epoch.catalog.adopted.as_ref().map_or("", |adopted| adopted.reason.as_str());
        let carried = match predecessor.carried {
            0 => String::new(),
            carried => format!("; {carried} of what it had are recorded again there, at the beginning"),
        };
        let lost =
            format!("entries {sealed} to {size} are lost for ever, says {successor}: {reason}{carried}");
        out.note(Finding::new(lost).index(sealed));
    }
    out
}

/// Where the root log before knows the log otherwise than its successor does.
fn unmatched(predecessor: &Predecessor, known: &Known, before: &Epoch) -> Option<Finding> {
    let successor = &known.opened.origin;
    let same = before.catalog.logs.iter().find(|(_, log)| log.opened.origin == predecessor.origin);
    let Some((number, log)) = same else {
        // Opened after what is here of that root log.
        let wrong = format!("{successor} goes on from it, and its root log never opened it");
        return (predecessor.kept > 0).then(|| Finding::new(wrong));
    };
    if log.opened.key != predecessor.key {
        let wrong = format!(
            "{successor} goes on from it under key {}, its key is {}",
            predecessor.key, log.opened.key
        );
        return Some(Finding::new(wrong));
    }
    if *number == 0 {
        let other = before
            .catalog
            .succession
            .as_ref()
            .filter(|next| next.origin != known.opened.origin || next.key != known.opened.key);
        if let Some(next) = other {
            return Some(Finding::new(format!("it names {} as its successor, not {successor}", next.origin)));
        }
        return check_root_at(predecessor, successor, &before.leaves);
    }
    let (index, closed) = before.catalog.closed.get(number)?;
    let matches =
        (closed.size, &closed.root, &closed.successor) == (predecessor.size, &predecessor.root, successor);
    (!matches).then(|| {
        let wrong = format!(
            "closed at size {} for {}, and {successor} goes on from size {}",
            closed.size, closed.successor, predecessor.size
        );
        Finding::new(wrong).index(*index)
    })
}

/// The root of a root log where its successor goes on, over its own leaves.
fn check_root_at(predecessor: &Predecessor, successor: &str, leaves: &[Hash]) -> Option<Finding> {
    let size = usize::try_from(predecessor.size).ok()?;
    let leaves = leaves.get(..size)?;
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf, &mut |_| {}));
    (tree.root().to_base64() != predecessor.root).then(|| {
        let wrong = format!("the entries do not make the root that {successor} gives for size {size}");
        Finding::new(wrong)
    })
}

/// Of a root log at its end: logs that it did not close, and those whose successor is not opened.
fn unfinished(epoch: &Epoch, next: &Epoch) -> Gathered {
    let mut out = Gathered::default();
    if epoch.catalog.succession.is_none() {
        return out;
    }
    for (number, log) in epoch.catalog.logs.iter().filter(|(number, _)| **number != 0) {
        let origin = &log.opened.origin;
        let goes_on =
            next.catalog.logs.values().any(|known| {
                known.opened.predecessor.as_ref().is_some_and(|before| before.origin == *origin)
            });
        if !epoch.catalog.closed.contains_key(number) {
            out.find(Finding::new(format!("it is at its end and did not close {origin}")));
        } else if !goes_on {
            out.note(Finding::new(format!("the successor of {origin} is not opened yet")));
        }
    }
    out
}
