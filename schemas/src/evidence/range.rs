//! That some entries are in a tree, all at once: the entries themselves, and for everything between them the roots of the perfect
//! subtrees that cover it.
//!
//! The entries fall into runs without holes; before, between and after these the tree is covered by the fewest perfect subtrees (RFC
//! 6962: `2^level` leaves that begin at a multiple of `2^level`), in order. One walk over both, from leaf 0 to the tree's size, gives
//! the root. Leaving out an entry of a run would leave a hole that no hash covers: so one run proves a range complete, and one entry alone
//! takes the hashes of its inclusion proof, split where the tree's right edge is.

use crate::tree::{CompactRange, Hash, leaf_hash};
use crate::{Error, Result};

/// The perfect subtrees that cover leaves `first..last`, in order: level and index.
pub fn subtrees(first: u64, last: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = first;
    std::iter::from_fn(move || {
        let left = last.checked_sub(at).filter(|left| *left > 0)?;
        let level = if at == 0 { left.ilog2() } else { at.trailing_zeros().min(left.ilog2()) };
        let index = at >> level;
        at += 1 << level;
        Some((level, index))
    })
}

/// What lies between entries, in order.
pub trait Between {
    /// The root of the next perfect subtree: level and index say which it is.
    ///
    /// # Errors
    /// When it cannot be had.
    fn next(&mut self, level: u32, index: u64) -> Result<Hash>;
}

impl<F: FnMut(u32, u64) -> Result<Hash>> Between for F {
    fn next(&mut self, level: u32, index: u64) -> Result<Hash> {
        self(level, index)
    }
}

/// The walk. Entries come one by one, ascending; what lies between is asked for as it is needed.
#[derive(Debug, Clone)]
pub struct Walk {
    size: u64,
    tree: CompactRange,
}

impl Walk {
    /// Over a tree of `size` leaves.
    pub fn new(size: u64) -> Walk {
        Walk { size, tree: CompactRange::new() }
    }

    /// Goes on to entry `index`, and over it.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless the index is past those before and below the size; as [`Between::next`].
    pub fn entry(&mut self, index: u64, entry: &[u8], between: &mut impl Between) -> Result<()> {
        if index < self.tree.size() || index >= self.size {
            let detail = format!("entry {index} after {} in a tree of {}", self.tree.size(), self.size);
            return Err(Error::malformed("entries", detail));
        }
        self.skip(index, between)?;
        self.tree.push(leaf_hash(entry));
        Ok(())
    }

    /// Goes on to the end; the root of the tree.
    ///
    /// # Errors
    /// As [`Between::next`].
    pub fn finish(mut self, between: &mut impl Between) -> Result<Hash> {
        self.skip(self.size, between)?;
        Ok(self.tree.root())
    }

    fn skip(&mut self, to: u64, between: &mut impl Between) -> Result<()> {
        for (level, index) in subtrees(self.tree.size(), to) {
            self.tree.push_subtree(level, between.next(level, index)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::root;

    #[test]
    fn a_range_is_covered_by_the_fewest_subtrees() {
        assert_eq!(subtrees(0, 0).count() + subtrees(5, 5).count() + subtrees(5, 4).count(), 0);
        assert_eq!(subtrees(0, 8).collect::<Vec<_>>(), [(3, 0)]);
        assert_eq!(subtrees(1, 8).collect::<Vec<_>>(), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(subtrees(3, 13).collect::<Vec<_>>(), [(0, 3), (2, 1), (2, 2), (0, 12)]);
        assert_eq!(subtrees(0, 1 << 63).collect::<Vec<_>>(), [(63, 0)]);
        assert_eq!(subtrees(u64::MAX - 1, u64::MAX).collect::<Vec<_>>(), [(0, u64::MAX - 1)]);
    }

    proptest! {
        #[test]
        fn the_walk_gives_the_root_whatever_is_taken_and_no_other_for_one_less(
            size in 1u64..300, taken in prop::collection::vec(any::<bool>(), 300), less in any::<prop::sample::Index>(),
        ) {
            let leaf = |at: u64| at.to_string().into_bytes();
            let leaves: Vec<Hash> = (0..size).map(|at| leaf_hash(&leaf(at))).collect();
            let mut given = Vec::new();
            let mut node = |level: u32, index: u64| {
                let (first, width) = ((index << level) as usize, 1usize << level);
                given.push(root(&leaves[first..first + width]));
                Ok(given[given.len() - 1])
            };
            let entries: Vec<u64> = (0..size).filter(|at| taken[*at as usize]).collect();
            let mut walk = Walk::new(size);
            for at in &entries {
                walk.entry(*at, &leaf(*at), &mut node).unwrap();
            }
            prop_assert_eq!(walk.finish(&mut node).unwrap(), root(&leaves));
            // The same hashes without one of the entries: too few, or another root.
            if entries.is_empty() {
                return Ok(());
            }
            let left_out = *less.get(&entries);
            let mut hashes = given.into_iter();
            let mut next = |_: u32, _: u64| hashes.next().ok_or_else(|| Error::malformed("hashes", "too few"));
            let walked = (|| {
                let mut walk = Walk::new(size);
                for at in entries.iter().filter(|at| **at != left_out) {
                    walk.entry(*at, &leaf(*at), &mut next)?;
                }
                walk.finish(&mut next)
            })();
            prop_assert!(walked.is_err() || walked != Ok(root(&leaves)));
        }
    }

    #[test]
    fn entries_out_of_order_or_past_the_size_are_refused() {
        let mut none = |_: u32, _: u64| Ok(leaf_hash(b""));
        let mut walk = Walk::new(3);
        walk.entry(1, b"", &mut none).unwrap();
        assert!(walk.clone().entry(1, b"", &mut none).is_err());
        assert!(walk.clone().entry(0, b"", &mut none).is_err());
        assert!(walk.clone().entry(3, b"", &mut none).is_err());
        assert!(walk.entry(2, b"", &mut none).is_ok());
    }
}
