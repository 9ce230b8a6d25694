//! Where the root log says how far a log had come: what ties the log's tree to the root log's.
//!
//! The newest such entries are in memory from when they are written. After a start they are looked for once a log, from the
//! newest entry of the root log back to the one that opens the log: it is in the last few, unless nothing came for long.

use schemas::Hash;
use schemas::control::{Control, RoundLog};
use schemas::limits::TREE_ENTRIES_READ_MAX;
use schemas::proof::{Covered, Proof};

use super::{LogTree, Result};
use crate::state::{LogState, lock};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Told {
    newest: Option<Round>,
    /// The one before: signed while the newest may not be yet.
    before: Option<Round>,
}

/// An entry of the root log that names the log.
#[derive(Debug, Clone, Copy)]
struct Round {
    index: u64,
    /// The size that it names.
    size: u64,
}

impl Told {
    /// Takes in a round entry that was given this place in the root log.
    pub(crate) fn hear(&mut self, index: u64, size: u64) {
        self.before = self.newest.replace(Round { index, size });
    }

    /// Takes in one from before the start.
    fn find(&mut self, found: Option<Round>) {
        let place = if self.newest.is_none() { &mut self.newest } else { &mut self.before };
        *place = place.or(found);
    }

    /// The newest round under a root tree of that size.
    fn within(&self, root: u64) -> Option<Round> {
        [self.newest, self.before].into_iter().flatten().find(|round| round.index < root)
    }
}

/// The index in the root log of a round in which the log had come past entry `index`. None: not yet.
pub(crate) fn covering(log: &LogState, root: &LogTree, index: u64) -> Result<Option<u64>> {
    let within = || lock(&log.proving.rounds).within(root.size());
    if within().is_none() {
        // Held while it is looked for, so that this is done once. Whoever writes a round does not wait for it.
        let mut is_searched = lock(&log.proving.is_searched);
        if !*is_searched {
            let found = search(log, root)?;
            lock(&log.proving.rounds).find(found);
            *is_searched = true;
        }
    }
    let mut found = within();
    if found.is_none() && lock(&log.proving.rounds).newest.is_some() {
        // Under a root checkpoint from before the last two: that of witnesses who are behind.
        found = search(log, root)?;
    }
    Ok(found.filter(|round| round.size > index).map(|round| round.index))
}

fn search(log: &LogState, root: &LogTree) -> Result<Option<Round>> {
    let first = log.root_index.saturating_add(1);
    let mut end = root.size();
    while end > first {
        let start = end.saturating_sub(TREE_ENTRIES_READ_MAX).max(first);
        for (at, entry) in root.entries(start..end)?.into_iter().enumerate().rev() {
            if let Some(told) = of_entry(log.number, root, &entry)? {
                return Ok(Some(Round { index: start + at as u64, size: told.size }));
            }
        }
        end = start;
    }
    Ok(None)
}

/// What an entry of the root log says of the log, if it is a round that names it.
fn of_entry(number: u64, root: &LogTree, entry: &[u8]) -> Result<Option<RoundLog>> {
    let control = Control::of_root_entry(entry).map_err(|error| root.damaged(error.to_string()))?;
    let Some(Control::Round(round)) = control else { return Ok(None) };
    Ok(round.logs.into_iter().find(|told| told.number == number))
}

/// A round entry of the root log.
pub(crate) struct Covering {
    /// Its canonical bytes.
    pub(crate) entry: Vec<u8>,
    pub(crate) proof: Proof,
    /// The size of the log that it names.
    pub(crate) size: u64,
    /// And the root.
    pub(crate) root: Hash,
}

/// The round entry `at` of the root log with the path of entry `index` of the log of that number in the tree that it names.
pub(super) fn covered(
    number: u64,
    root: &LogTree,
    tree: &LogTree,
    (at, index): (u64, u64),
) -> Result<Covered> {
    let told = told(number, root, tree, at)?;
    Ok(Covered::new(&told.entry, &told.proof, &tree.inclusion(index, told.size)?))
}

/// The round entry `at` of the root log, held against the log's tree.
pub(crate) fn told(number: u64, root: &LogTree, tree: &LogTree, at: u64) -> Result<Covering> {
    let wrong = |detail: &str| root.damaged(format!("entry {at}: {detail}"));
    let (entry, proof) = root.prove(at)?.ok_or_else(|| wrong("it is not there"))?;
    let told = of_entry(number, root, &entry)?.ok_or_else(|| wrong("it is no round of the log"))?;
    let named = Hash::from_base64(&told.root).map_err(|error| wrong(&error.to_string()))?;
    if tree.root_at(told.size)? != named {
        return Err(tree.damaged(format!("the root log knows another tree of size {}", told.size)));
    }
    Ok(Covering { entry, proof, size: told.size, root: named })
}
