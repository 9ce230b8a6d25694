//! The RFC 6962 Merkle tree: hashes, compact ranges, inclusion and consistency proofs.
//!
//! Source: RFC 6962 section 2.1 and RFC 9162 section 2.1 (the verification algorithms).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A SHA-256 digest: a leaf, a node, a root or a commitment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl Hash {
    /// Standard base64 with padding, 44 characters.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// The inverse of [`Hash::to_base64`].
    ///
    /// # Errors
    /// [`Error::Malformed`] unless `text` is exactly what [`Hash::to_base64`] writes.
    pub fn from_base64(text: &str) -> Result<Hash> {
        let bytes = STANDARD
            .decode(text)
            .ok()
            .filter(|bytes| STANDARD.encode(bytes) == text)
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Hash).ok_or_else(|| Error::malformed("hash", "expected 44 characters of base64"))
    }
}

/// `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(entry);
    Hash(hasher.finalize().into())
}

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut block = [0u8; 65];
    let (prefix, children) = block.split_at_mut(1);
    prefix.fill(1);
    let (a, b) = children.split_at_mut(32);
    a.copy_from_slice(&left.0);
    b.copy_from_slice(&right.0);
    Hash(Sha256::digest(block).into())
}

/// The root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The root over `leaves`, by the recursive definition of RFC 6962: the second code path beside
/// [`CompactRange`], and the definition the tests hold it against.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// The roots of the perfect subtrees that cover leaves `0..size`, largest first: enough to append and to give
/// the root at any time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl CompactRange {
    /// Of no leaves.
    pub fn new() -> CompactRange {
        CompactRange::default()
    }

    /// From the peaks of a tree of `size` leaves.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `peaks` are not as many as `size` has bits set.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<CompactRange> {
        if peaks.len() != size.count_ones() as usize {
            let detail = format!("{} peaks for size {size}, expected {}", peaks.len(), size.count_ones());
            return Err(Error::malformed("compact range", detail));
        }
        Ok(CompactRange { size, peaks })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends one leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        let mut size = self.size;
        while size & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
            size >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Appends the `2^level` leaves of which only their root is known.
    ///
    /// # Errors
    /// [`Error::Malformed`] where such a subtree does not begin here, or past 2^63 leaves.
    pub fn push_subtree(&mut self, level: u32, root: Hash) -> Result<()> {
        let wrong = || Error::malformed("compact range", format!("no subtree of level {level} here"));
        let width = 1u64.checked_shl(level).filter(|width| self.size.is_multiple_of(*width));
        let size = width.and_then(|width| self.size.checked_add(width)).ok_or_else(wrong)?;
        if size > 1 << 63 {
            return Err(wrong());
        }
        let (mut node, mut rest) = (root, self.size >> level);
        while rest & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
            rest >>= 1;
        }
        self.peaks.push(node);
        self.size = size;
        Ok(())
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(first) = peaks.next() else { return empty_root() };
        peaks.fold(*first, |right, left| node_hash(left, &right))
    }
}

/// Hashes of perfect subtrees, wherever they are kept: `level` 0 is a leaf.
pub trait Nodes {
    /// The hash over leaves `index << level` to `(index + 1) << level`, all of which exist.
    ///
    /// # Errors
    /// When it cannot be had.
    fn node(&self, level: u32, index: u64) -> Result<Hash>;
}

/// The root over leaves `first..last`, taken as a tree of their own, from stored nodes: `MTH(D[first:last])` of
/// RFC 6962 section 2.1. What inclusion and consistency proofs are made of, and what says in one hash which entries
/// a range of a log holds.
///
/// Only ranges whose perfect subtrees are nodes of the whole tree can be had from those: `first` must be a multiple
/// of the smallest power of two that is at least the length. `0..size` always is such a range, and so are those that
/// the recursion of RFC 6962 makes and those of whole tiles.
///
/// # Errors
/// [`Error::Malformed`] unless `first < last` and `first` is such a multiple; as [`Nodes::node`].
pub fn range_root(nodes: &dyn Nodes, first: u64, last: u64) -> Result<Hash> {
    let width = last.checked_sub(first).filter(|length| *length > 0).and_then(u64::checked_next_power_of_two);
    if !width.is_some_and(|width| first.is_multiple_of(width)) {
        return Err(Error::malformed("range", format!("leaves {first}..{last} are not a subtree")));
    }
    aligned_root(nodes, first, last)
}

/// [`range_root`] of a range that is known to be one.
fn aligned_root(nodes: &dyn Nodes, first: u64, last: u64) -> Result<Hash> {
    let size = last - first;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return nodes.node(level, first >> level);
    }
    let middle = first + size.next_power_of_two() / 2;
    Ok(node_hash(&aligned_root(nodes, first, middle)?, &aligned_root(nodes, middle, last)?))
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// As [`Nodes::node`].
pub fn root_at(nodes: &dyn Nodes, size: u64) -> Result<Hash> {
    if size == 0 { Ok(empty_root()) } else { aligned_root(nodes, 0, size) }
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves, lowest sibling first.
///
/// # Errors
/// [`Error::Malformed`] unless `index < size`; as [`Nodes::node`].
pub fn inclusion_proof(nodes: &dyn Nodes, index: u64, size: u64) -> Result<Vec<Hash>> {
    if index >= size {
        return Err(Error::malformed("inclusion proof", format!("index {index} in a tree of size {size}")));
    }
    let (mut first, mut last) = (0, size);
    let mut path = Vec::new();
    while last - first > 1 {
        let middle = first + (last - first).next_power_of_two() / 2;
        if index < middle {
            path.push(aligned_root(nodes, middle, last)?);
            last = middle;
        } else {
            path.push(aligned_root(nodes, first, middle)?);
            first = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof from `old` to `new` leaves.
///
/// # Errors
/// [`Error::Malformed`] unless `old <= new`; as [`Nodes::node`].
pub fn consistency_proof(nodes: &dyn Nodes, old: u64, new: u64) -> Result<Vec<Hash>> {
    if old > new {
        return Err(Error::malformed("consistency proof", format!("from size {old} down to {new}")));
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    // RFC 6962 section 2.1.2: SUBPROOF(m, D, b).
    let (mut first, mut last) = (0, new);
    let mut whole = true;
    let mut path = Vec::new();
    while old != last {
        let middle = first + (last - first).next_power_of_two() / 2;
        if old <= middle {
            path.push(aligned_root(nodes, middle, last)?);
            last = middle;
        } else {
            path.push(aligned_root(nodes, first, middle)?);
            first = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(aligned_root(nodes, first, last)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that `leaf` is at `index` of the tree of `size` leaves with root `root` (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`Error::Mismatch`] when it is not, or the proof has the wrong length.
pub fn verify_inclusion(proof: &[Hash], index: u64, size: u64, leaf: &Hash, root: &Hash) -> Result<()> {
    let fail = |detail: &str| Err(Error::mismatch("inclusion proof", detail.to_string()));
    if index >= size {
        return fail("index past the size");
    }
    let (mut node_index, mut last_index) = (index, size - 1);
    let mut node = *leaf;
    for sibling in proof {
        if last_index == 0 {
            return fail("too many hashes");
        }
        if node_index & 1 == 1 || node_index == last_index {
            node = node_hash(sibling, &node);
            while node_index & 1 == 0 && node_index != 0 {
                node_index >>= 1;
                last_index >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        node_index >>= 1;
        last_index >>= 1;
    }
    if last_index != 0 {
        return fail("too few hashes");
    }
    if node == *root { Ok(()) } else { fail("another root") }
}

/// Checks that the tree of `new` leaves extends the tree of `old` leaves (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// [`Error::Mismatch`] when it does not, or the proof has the wrong length.
pub fn verify_consistency(
    proof: &[Hash],
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
) -> Result<()> {
    let fail = |detail: &str| Err(Error::mismatch("consistency proof", detail.to_string()));
    if old > new {
        return fail("the old tree is larger");
    }
    if old == new || old == 0 {
        if !proof.is_empty() {
            return fail("too many hashes");
        }
        let old_is_right = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return if old_is_right { Ok(()) } else { fail("another root") };
    }
    let with_old;
    let proof = if old.is_power_of_two() {
        with_old = [&[*old_root], proof].concat();
        with_old.as_slice()
    } else {
        proof
    };
    let (mut node_index, mut last_index) = (old - 1, new - 1);
    while node_index & 1 == 1 {
        node_index >>= 1;
        last_index >>= 1;
    }
    let Some((first, rest)) = proof.split_first() else { return fail("too few hashes") };
    let (mut old_node, mut new_node) = (*first, *first);
    for sibling in rest {
        if last_index == 0 {
            return fail("too many hashes");
        }
        if node_index & 1 == 1 || node_index == last_index {
            old_node = node_hash(sibling, &old_node);
            new_node = node_hash(sibling, &new_node);
            while node_index & 1 == 0 && node_index != 0 {
                node_index >>= 1;
                last_index >>= 1;
            }
        } else {
            new_node = node_hash(&new_node, sibling);
        }
        node_index >>= 1;
        last_index >>= 1;
    }
    if last_index != 0 {
        return fail("too few hashes");
    }
    if old_node == *old_root && new_node == *new_root { Ok(()) } else { fail("another root") }
}

#[cfg(test)]
mod tests;
