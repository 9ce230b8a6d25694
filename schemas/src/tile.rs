//! Tiles (C2SP tlog-tiles): the tree cut into files of up to 256 hashes.
//!
//! Tile `(level, n)` holds the tree's hashes at level `8 * level`, indices `256 n` onward. Partial tiles are
//! kept only for the right edge of the newest sealed size.

use crate::limits::{HASH_BYTES, TILE_HEIGHT, TILE_WIDTH};
use crate::tree::{CompactRange, Hash, Nodes, node_hash};
use crate::{Error, Result};

/// One tile's place: level, index, and how many hashes of it exist (256 when full).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Tile level, 0 for leaves.
    pub level: u32,
    /// Index among the tiles of that level.
    pub index: u64,
    /// Hashes in it, 1 to 256.
    pub width: u64,
}

/// Every tile of a tree of `size` leaves that is not full: its right edge.
pub fn partial_tiles(size: u64) -> Vec<TileId> {
    let mut tiles = Vec::new();
    let (mut level, mut hashes) = (0, size);
    while hashes > 0 {
        if hashes % TILE_WIDTH > 0 {
            tiles.push(TileId { level, index: hashes / TILE_WIDTH, width: hashes % TILE_WIDTH });
        }
        hashes /= TILE_WIDTH;
        level += 1;
    }
    tiles
}

/// How many full tiles a tree of `size` leaves has at `level`.
pub fn full_tiles(size: u64, level: u32) -> u64 {
    size.checked_shr(TILE_HEIGHT * (level + 1)).unwrap_or(0)
}

/// Splits a tile file into hashes.
///
/// # Errors
/// [`Error::Malformed`] unless `bytes` are exactly `width` hashes.
pub fn parse(bytes: &[u8], width: u64) -> Result<Vec<Hash>> {
    if bytes.len() as u64 != width * HASH_BYTES as u64 {
        return Err(Error::malformed("tile", format!("{} bytes for {width} hashes", bytes.len())));
    }
    Ok(bytes.as_chunks::<HASH_BYTES>().0.iter().map(|chunk| Hash(*chunk)).collect())
}

/// Grows a tree leaf by leaf and hands out its tiles: all full ones once, the partial ones on demand.
#[derive(Debug, Clone, Default)]
pub struct TileBuilder {
    size: u64,
    /// The hashes of the partial tile of each level.
    edge: Vec<Vec<Hash>>,
}

impl TileBuilder {
    /// Of an empty tree.
    pub fn new() -> TileBuilder {
        TileBuilder::default()
    }

    /// Continues a tree of `size` leaves whose partial tiles hold `partials`, as [`partial_tiles`] lists them.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a partial tile has not the width that `size` gives it.
    pub fn resume(size: u64, partials: Vec<(TileId, Vec<Hash>)>) -> Result<TileBuilder> {
        let mut levels = 0;
        while size.checked_shr(TILE_HEIGHT * levels).unwrap_or(0) > 0 {
            levels += 1;
        }
        let mut edge = vec![Vec::new(); levels as usize];
        let expected = partial_tiles(size);
        if partials.iter().map(|(id, _)| *id).collect::<Vec<_>>() != expected {
            return Err(Error::malformed("tiles", format!("not the right edge of size {size}")));
        }
        for (id, hashes) in partials {
            if hashes.len() as u64 != id.width {
                return Err(Error::malformed(
                    "tile",
                    format!("{} hashes, expected {}", hashes.len(), id.width),
                ));
            }
            if let Some(level) = edge.get_mut(id.level as usize) {
                *level = hashes;
            }
        }
        Ok(TileBuilder { size, edge })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf; `full` receives every tile that it completes.
    pub fn push(&mut self, leaf: Hash, full: &mut impl FnMut(TileId, &[Hash])) {
        self.size += 1;
        let mut node = leaf;
        let mut level = 0;
        loop {
            if self.edge.len() <= level {
                self.edge.push(Vec::new());
            }
            let Some(tile) = self.edge.get_mut(level) else { return };
            tile.push(node);
            if (tile.len() as u64) < TILE_WIDTH {
                return;
            }
            let level_number = u32::try_from(level).unwrap_or(u32::MAX);
            let index = (self.size >> (TILE_HEIGHT * (level_number + 1))).saturating_sub(1);
            full(TileId { level: level_number, index, width: TILE_WIDTH }, tile);
            node = perfect_root(tile);
            tile.clear();
            level += 1;
        }
    }

    /// The partial tiles of the right edge.
    pub fn partials(&self) -> Vec<(TileId, &[Hash])> {
        partial_tiles(self.size)
            .into_iter()
            .filter_map(|id| Some((id, self.edge.get(id.level as usize)?.as_slice())))
            .collect()
    }

    /// The compact range of the tree so far.
    pub fn compact_range(&self) -> CompactRange {
        let mut peaks = Vec::new();
        for tile in self.edge.iter().rev() {
            let mut range = CompactRange::new();
            tile.iter().for_each(|hash| range.push(*hash));
            peaks.extend_from_slice(range.peaks());
        }
        CompactRange::from_peaks(self.size, peaks).unwrap_or_default()
    }
}

/// The root of a full tile: a perfect tree of 256 hashes.
pub fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut layer = hashes.to_vec();
    while layer.len() > 1 {
        layer = layer.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    layer.first().copied().unwrap_or_else(crate::tree::empty_root)
}

/// Serves nodes of a tree of `size` leaves from its tiles.
pub struct TileNodes<F> {
    size: u64,
    tile: F,
}

impl<F> std::fmt::Debug for TileNodes<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TileNodes").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<F: Fn(TileId) -> Result<Vec<Hash>>> TileNodes<F> {
    /// Over tiles that `tile` fetches, as wide as `size` makes them.
    pub fn new(size: u64, tile: F) -> TileNodes<F> {
        TileNodes { size, tile }
    }
}

impl<F: Fn(TileId) -> Result<Vec<Hash>>> Nodes for TileNodes<F> {
    fn node(&self, level: u32, index: u64) -> Result<Hash> {
        let tile_level = level / TILE_HEIGHT;
        let height = level % TILE_HEIGHT;
        let first = index << height;
        let tile_index = first / TILE_WIDTH;
        let in_level = self.size.checked_shr(TILE_HEIGHT * tile_level).unwrap_or(0);
        let width = in_level.saturating_sub(tile_index * TILE_WIDTH).min(TILE_WIDTH);
        let tile = (self.tile)(TileId { level: tile_level, index: tile_index, width })?;
        let from = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
        let hashes = tile
            .get(from..from.saturating_add(1 << height))
            .ok_or_else(|| Error::malformed("tile", format!("no node at level {level}, index {index}")))?;
        Ok(perfect_root(hashes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tree::{
        consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency, verify_inclusion,
    };

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect()
    }

    #[test]
    fn tiles_rebuild_the_root_and_prove_at_every_edge() {
        let all = leaves(70_000);
        let mut builder = TileBuilder::new();
        let mut full: BTreeMap<(u32, u64), Vec<Hash>> = BTreeMap::new();
        for size in 1..=all.len() as u64 {
            builder.push(all[size as usize - 1], &mut |id, hashes| {
                assert!(full.insert((id.level, id.index), hashes.to_vec()).is_none(), "{id:?} twice");
            });
            if ![1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_793, 70_000].contains(&size) {
                continue;
            }
            let expected = root(&all[..size as usize]);
            assert_eq!(builder.compact_range().root(), expected, "size {size}");
            let partials: BTreeMap<TileId, Vec<Hash>> =
                builder.partials().into_iter().map(|(id, hashes)| (id, hashes.to_vec())).collect();
            let resumed = TileBuilder::resume(size, partials.clone().into_iter().collect()).unwrap();
            assert_eq!(resumed.compact_range(), builder.compact_range());
            let nodes = TileNodes::new(size, |id: TileId| {
                let found = full.get(&(id.level, id.index)).or_else(|| partials.get(&id));
                found.cloned().ok_or_else(|| Error::malformed("tile", format!("{id:?}")))
            });
            for index in [0, 1, size / 2, size - 1] {
                let proof = inclusion_proof(&nodes, index.min(size - 1), size).unwrap();
                let index = index.min(size - 1);
                verify_inclusion(&proof, index, size, &all[index as usize], &expected).unwrap();
                let old = index.max(1);
                let proof = consistency_proof(&nodes, old, size).unwrap();
                verify_consistency(&proof, old, size, &root(&all[..old as usize]), &expected).unwrap();
            }
        }
        assert_eq!(full_tiles(70_000, 0), full.keys().filter(|(level, _)| *level == 0).count() as u64);
    }
}
