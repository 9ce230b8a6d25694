//! The tree, grown leaf by leaf: root at every size and every tile, each node hashed once.

use schemas::limits::{TILE_HEIGHT, TILE_WIDTH};
use schemas::tree::{Hash, empty_root, node_hash};

/// An RFC 6962 tree under construction.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    size: u64,
    /// Roots of the perfect subtrees that cover the leaves, largest first.
    peaks: Vec<Hash>,
    /// By tile level, the hashes of the tile that is not full yet.
    edge: Vec<Vec<Hash>>,
}

/// A tile of the tree: level, index and hashes.
pub type FullTile<'a> = (u32, u64, &'a [Hash]);

impl Tree {
    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; `full` receives every tile that it fills.
    pub fn push(&mut self, leaf: Hash, full: &mut impl FnMut(FullTile<'_>)) {
        self.append(0, leaf, full);
        let mut node = leaf;
        let mut level = 0;
        while let Some(left) = self.peaks.pop_if(|_| (self.size >> level) & 1 == 1) {
            node = node_hash(&left, &node);
            level += 1;
            if level % TILE_HEIGHT == 0 {
                self.append(level / TILE_HEIGHT, node, full);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    fn append(&mut self, tile_level: u32, hash: Hash, full: &mut impl FnMut(FullTile<'_>)) {
        let at = tile_level as usize;
        if self.edge.len() <= at {
            self.edge.resize_with(at + 1, Vec::new);
        }
        let Some(tile) = self.edge.get_mut(at) else { return };
        tile.push(hash);
        if tile.len() as u64 == TILE_WIDTH {
            // The leaf that fills a tile is its last one; `size` does not count it yet.
            full((tile_level, self.size >> (TILE_HEIGHT * (tile_level + 1)), tile));
            tile.clear();
        }
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The tiles of the right edge: level, index and hashes of each that is neither full nor empty.
    pub fn edge(&self) -> impl Iterator<Item = FullTile<'_>> {
        self.edge
            .iter()
            .zip(0u32..)
            .filter(|(hashes, _)| !hashes.is_empty())
            .map(|(hashes, level)| (level, self.size >> (TILE_HEIGHT * (level + 1)), hashes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use schemas::tile::{TileBuilder, TileId};
    use schemas::tree::{leaf_hash, root};

    use super::*;

    #[test]
    fn roots_and_tiles_are_those_of_the_definition() {
        let leaves: Vec<Hash> = (0..66_100u64).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let (mut tree, mut builder) = (Tree::default(), TileBuilder::new());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        assert_eq!(tree.root(), root(&[]));
        for (at, leaf) in leaves.iter().enumerate() {
            tree.push(*leaf, &mut |(level, index, hashes)| ours.push((level, index, hashes.to_vec())));
            builder.push(*leaf, &mut |id, hashes| theirs.push((id.level, id.index, hashes.to_vec())));
            if at < 600 || at % 4099 == 0 || at > 66_090 {
                assert_eq!(tree.root(), root(&leaves[..=at]), "size {}", at + 1);
                let edge: Vec<(TileId, &[Hash])> = tree
                    .edge()
                    .map(|(level, index, hashes)| {
                        (TileId { level, index, width: hashes.len() as u64 }, hashes)
                    })
                    .collect();
                assert_eq!(edge, builder.partials());
            }
        }
        assert_eq!(ours, theirs);
    }
}
