//! What lies on the simulated disk: files by page, directories by name, each as it is read and as it would survive.

use std::collections::{BTreeMap, BTreeSet};

use crate::power_cut::random::Random;

/// Bytes that reach the platter together, or not.
const PAGE_BYTES: usize = 4096;
/// Bytes of which a torn page has either the old or the new.
const SECTOR_BYTES: usize = 512;
#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    pub(super) live: Vec<u8>,
    pub(super) platter: Vec<u8>,
    pub(super) dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct DirNode {
    pub(super) live: BTreeMap<String, usize>,
    pub(super) platter: BTreeMap<String, usize>,
    pub(super) pending: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Link { name: String, node: usize },
    Unlink { name: String },
    Rename { from: String, to: String, node: usize },
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link { name, node } => {
            names.insert(name.clone(), *node);
        }
        Change::Unlink { name } => {
            names.remove(name);
        }
        Change::Rename { from, to, node } => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
    }
}

impl FileNode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / PAGE_BYTES..=(end - 1) / PAGE_BYTES);
        }
    }

    /// Writes the dirty pages back. A page that an earlier failed sync forgot is not among them.
    pub(super) fn sync(&mut self) {
        self.platter.resize(self.live.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            let range = page * PAGE_BYTES..((page + 1) * PAGE_BYTES).min(self.live.len());
            self.platter[range.clone()].copy_from_slice(&self.live[range]);
        }
    }

    /// What is read after a cut: of what was not synced, any pages, some of them torn, and either length.
    pub(super) fn cut(&self, random: &mut Random) -> Vec<u8> {
        let mut after = self.platter.clone();
        if self.live.len() != self.platter.len() && random.one_in(2) {
            after.resize(self.live.len(), 0);
        }
        let keeps_all = random.one_in(4);
        for page in &self.dirty {
            let start = page * PAGE_BYTES;
            let end = (start + PAGE_BYTES).min(self.live.len());
            let kept = match random.below(5) {
                _ if keeps_all => end,
                0 => start + SECTOR_BYTES * usize::try_from(random.below(8)).unwrap_or(0),
                1 | 2 => start,
                _ => end,
            };
            let kept = kept.min(end).min(after.len());
            if start < kept {
                after[start..kept].copy_from_slice(&self.live[start..kept]);
            }
        }
        after
    }
}

impl DirNode {
    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.pending.push(change);
    }

    /// Writes the changes back. One that an earlier failed sync forgot is not among them.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.platter, &change);
        }
    }

    pub(super) fn has_renames(&self) -> bool {
        self.pending.iter().any(|change| matches!(change, Change::Rename { .. }))
    }

    pub(super) fn forget_renames(&mut self) {
        self.pending.retain(|change| !matches!(change, Change::Rename { .. }));
    }

    /// The names after a cut: of what was not synced, nothing, all, the first few, or any of it.
    pub(super) fn cut(&self, random: &mut Random) -> BTreeMap<String, usize> {
        let mut after = self.platter.clone();
        let mode = random.below(4);
        let first = random.below(self.pending.len() as u64 + 1);
        for (at, change) in (0..).zip(&self.pending) {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => at < first,
                _ => random.one_in(2),
            };
            if kept {
                apply(&mut after, change);
            }
        }
        after
    }
}
