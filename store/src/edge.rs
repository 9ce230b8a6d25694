//! The right edge of a log's tree, as tiles: what is not a full tile on disk.
//!
//! Below S every full tile is a file that never changes; partial tiles on disk are for recovery and go at the next
//! seal, so no reader touches them. What a tree of C leaves has beyond those full tiles is here, in memory: for each
//! tile level the hashes from its first tile on that S has not filled.
//!
//! Hashed when somebody asks, once: the next one goes on from there. It holds 32 bytes for each entry of `S..C` and as
//! much again for every 255 of them, and at most 8 KiB a level of what S left of a tile.

use schemas::limits::{TILE_HEIGHT, TILE_WIDTH};
use schemas::tile::{TileBuilder, TileId, perfect_root};
use schemas::tree::Hash;

use crate::state::View;

/// See the module. One that was never asked for is of no leaves.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    /// The sealed size that it starts from.
    sealed: u64,
    /// Leaves so far.
    size: u64,
    levels: Vec<Level>,
}

/// The hashes of one tile level from the first tile on that is not a full file.
#[derive(Debug, Default)]
struct Level {
    /// Index of the first hash: that of a tile's first.
    first: u64,
    hashes: Vec<Hash>,
}

/// Where a tile is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory: these are its hashes.
    Memory(Vec<Hash>),
    /// A full tile on disk.
    Disk,
}

/// How many hashes the tile at `level`, `index` has in a tree of `size` leaves: 0 to 256.
pub(crate) fn width_at(size: u64, level: u32, index: u64) -> u64 {
    let shift = level.checked_mul(TILE_HEIGHT);
    let in_level = shift.and_then(|shift| size.checked_shr(shift)).unwrap_or(0);
    let before = index.saturating_mul(TILE_WIDTH);
    in_level.saturating_sub(before).min(TILE_WIDTH)
}

impl Edge {
    /// Goes on to all that is signed. For whoever holds the log's `edge` lock and its `view`'s: hands back the leaves
    /// that are to be hashed, so that they are under the first alone.
    pub(crate) fn missing(&mut self, view: &View) -> Vec<Hash> {
        if self.sealed != view.sealed || self.size < view.sealed {
            *self = Edge::of(&view.sealed_tiles);
        }
        let at = |size: u64| usize::try_from(size.saturating_sub(view.sealed)).unwrap_or(usize::MAX);
        view.leaves.get(at(self.size)..at(view.signed)).unwrap_or_default().to_vec()
    }

    /// The edge of a tree that ends where a seal did.
    fn of(tiles: &TileBuilder) -> Edge {
        let size = tiles.size();
        let mut levels = Vec::new();
        for level in 0.. {
            let in_level = size.checked_shr(level * TILE_HEIGHT).unwrap_or(0);
            if in_level == 0 {
                break;
            }
            levels.push(Level { first: in_level - in_level % TILE_WIDTH, hashes: Vec::new() });
        }
        for (id, hashes) in tiles.partials() {
            if let Some(level) = levels.get_mut(id.level as usize) {
                level.hashes = hashes.to_vec();
            }
        }
        Edge { sealed: size, size, levels }
    }

    /// Appends a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let mut node = leaf;
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Level::default());
            }
            let Some(Level { hashes, .. }) = self.levels.get_mut(level) else { return };
            hashes.push(node);
            let tile = hashes.rchunks_exact(TILE_WIDTH as usize).next();
            match tile.filter(|_| (hashes.len() as u64).is_multiple_of(TILE_WIDTH)) {
                Some(tile) => node = perfect_root(tile),
                None => return,
            }
        }
    }

    /// Where this tile is; none when the tree has not all of it.
    pub(crate) fn place(&self, id: TileId) -> Option<Place> {
        if id.width == 0 || id.width > width_at(self.size, id.level, id.index) {
            return None;
        }
        let Level { first, hashes } = self.levels.get(id.level as usize)?;
        let start = id.index.checked_mul(TILE_WIDTH)?;
        let Some(from) = start.checked_sub(*first) else { return Some(Place::Disk) };
        let from = usize::try_from(from).ok()?;
        let width = usize::try_from(id.width).ok()?;
        hashes.get(from..from.checked_add(width)?).map(|hashes| Place::Memory(hashes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemas::tree::leaf_hash;

    use super::*;

    /// From wherever it starts and however far it goes on, it has exactly what is not a full tile of its start.
    #[test]
    fn an_edge_holds_what_no_full_tile_below_its_start_does() {
        let leaves: Vec<Hash> = (0..66_100u64).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let mut whole = Edge::default();
        let mut builder = TileBuilder::new();
        let mut full: BTreeMap<(u32, u64), Vec<Hash>> = BTreeMap::new();
        let starts = [0u64, 1, 255, 256, 257, 511, 512, 65_280, 65_535, 65_536, 65_537, 65_792, 66_100];
        let mut edges: Vec<Edge> = Vec::new();
        for (at, leaf) in leaves.iter().enumerate() {
            if starts.contains(&(at as u64)) {
                edges.push(Edge::of(&builder));
            }
            whole.push(*leaf);
            edges.iter_mut().for_each(|edge| edge.push(*leaf));
            builder.push(*leaf, &mut |id, hashes| {
                full.insert((id.level, id.index), hashes.to_vec());
            });
        }
        let size = leaves.len() as u64;
        for (edge, sealed) in edges.iter().zip(starts) {
            for level in 0..3 {
                for index in 0..=(size >> (8 * (level + 1))) {
                    let width = width_at(size, level, index);
                    for width in [1, width / 2, width].into_iter().filter(|width| *width > 0) {
                        let id = TileId { level, index, width };
                        let all = whole.place(id).unwrap();
                        let was_full = width_at(sealed, level, index) == TILE_WIDTH;
                        let expected = if was_full { Place::Disk } else { all };
                        assert_eq!(edge.place(id), Some(expected), "{id:?} from {sealed}");
                    }
                    if let Some(hashes) = full.get(&(level, index)) {
                        let id = TileId { level, index, width };
                        assert_eq!(whole.place(id), Some(Place::Memory(hashes.clone())));
                    }
                }
            }
            for past in [
                TileId { level: 0, index: size / 256, width: size % 256 + 1 },
                TileId { level: 0, index: size / 256 + 1, width: 1 },
                TileId { level: 3, index: 0, width: 1 },
                TileId { level: u32::MAX, index: 0, width: 1 },
                TileId { level: 0, index: u64::MAX, width: 1 },
                TileId { level: 0, index: 0, width: 257 },
                TileId { level: 0, index: 0, width: 0 },
            ] {
                assert_eq!(edge.place(past), None, "{past:?}");
            }
        }
    }
}
