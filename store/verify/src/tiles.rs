//! Tile files against the tree that the entries make.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use schemas::layout;
use schemas::limits::{HASH_BYTES, TILE_HEIGHT, TILE_WIDTH};
use schemas::tile::TileId;
use schemas::tree::Hash;

use crate::plan::{Plan, read_small};
use crate::report::{Finding, Gathered};
use crate::torn::is_torn_of;
use crate::tree::Tree;

/// Differing leaves remembered with their index; the rest are counted.
const DIFFERENT_MAX: usize = schemas::limits::VERIFY_DIFFERENT_MAX;

/// Holds every tile file of a log against tiles of the tree as they come.
#[derive(Debug)]
pub struct TileCheck<'a> {
    plan: &'a Plan,
    /// Files not compared yet.
    unseen: BTreeMap<(u32, u64), std::collections::BTreeSet<u64>>,
    /// Indices whose leaf is not what a level-0 tile says, and that tile.
    pub different: Vec<(u64, TileId)>,
    /// More of those than are listed.
    pub different_more: u64,
    /// What was found of tiles above level 0.
    pub gathered: Gathered,
}

impl<'a> TileCheck<'a> {
    /// For the log of `plan`.
    pub fn new(plan: &'a Plan) -> TileCheck<'a> {
        TileCheck {
            plan,
            unseen: plan.files.tiles.clone(),
            different: Vec::new(),
            different_more: 0,
            gathered: Gathered::default(),
        }
    }

    /// The bytes of a tile file of the log, if it is there.
    fn bytes(&mut self, tile: TileId) -> Option<Vec<u8>> {
        if let Some(bytes) = self.plan.edge.get(&tile) {
            return Some(bytes.clone());
        }
        let path = layout::tile(tile);
        match read_small(&self.plan.directory.join(&path)) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                // A partial tile of an earlier size may go at any time while a writer is at work.
                if error.kind() != ErrorKind::NotFound || tile.width == TILE_WIDTH {
                    self.gathered.unread(Finding::new(format!("cannot read it: {error}")).file(path));
                }
                None
            }
        }
    }

    /// Compares all files of one tile with its hashes; `full` tiles within S must be there.
    pub fn compare(&mut self, level: u32, index: u64, hashes: &[Hash]) {
        let mut widths = self.unseen.remove(&(level, index)).unwrap_or_default();
        let width = hashes.len() as u64;
        let sealed = self.plan.sealed.checked_shr(TILE_HEIGHT * level).unwrap_or(0) / TILE_WIDTH;
        if width == TILE_WIDTH && index < sealed && !widths.contains(&TILE_WIDTH) {
            let path = layout::tile(TileId { level, index, width });
            self.gathered.find(Finding::new("a full tile of the sealed tree is missing").file(path));
        }
        let wider = widths.split_off(&(width + 1));
        if !wider.is_empty() {
            self.unseen.insert((level, index), wider);
        }
        for width in widths {
            let tile = TileId { level, index, width };
            if let Some(bytes) = self.bytes(tile) {
                self.compare_file(tile, &bytes, hashes);
            }
        }
    }

    fn compare_file(&mut self, tile: TileId, bytes: &[u8], hashes: &[Hash]) {
        let path = layout::tile(tile);
        let whole = hashes.iter().flat_map(|hash| hash.0);
        let sealed = self.plan.sealed.checked_shr(TILE_HEIGHT * tile.level).unwrap_or(0);
        let is_beyond = tile.index * TILE_WIDTH + tile.width > sealed;
        let is_part = || {
            let written: Vec<u8> = whole.take(bytes.len()).collect();
            let is_beginning = (bytes.len() as u64) < tile.width * HASH_BYTES as u64 && bytes == written;
            is_beginning || is_torn_of(bytes, &written)
        };
        if is_beyond && is_part() {
            // A kill between making a file and filling it, or a power cut before all of a seal was synced: the seal is done
            // again, and writes the tile again.
            self.gathered
                .note(Finding::new("not yet published: a part of a tile beyond the sealed tree").file(path));
            return;
        }
        if bytes.len() as u64 != tile.width * HASH_BYTES as u64 {
            let wrong = format!(
                "{} bytes where a tile of {} hashes has {}",
                bytes.len(),
                tile.width,
                tile.width * 32
            );
            self.gathered.find(Finding::new(wrong).file(path));
            return;
        }
        for (at, (found, hash)) in bytes.as_chunks::<HASH_BYTES>().0.iter().zip(hashes).enumerate() {
            if *found == hash.0 {
                continue;
            }
            if tile.level == 0 {
                // Whether the entry changed or the tile is told once the roots are known.
                self.differs(tile.index * TILE_WIDTH + at as u64, tile);
            } else {
                let wrong = format!("hash {at} is not that of the tree of the entries");
                self.gathered.find(Finding::new(wrong).file(&path));
            }
        }
    }

    fn differs(&mut self, index: u64, tile: TileId) {
        if self.different.len() < DIFFERENT_MAX {
            self.different.push((index, tile));
        } else {
            self.different_more += 1;
        }
    }

    /// The leaf hash of `index` as the tile files have it.
    pub fn leaf(&mut self, index: u64) -> Option<Hash> {
        let tile = index / TILE_WIDTH;
        let widths = self.plan.files.tiles.get(&(0, tile))?;
        let width = *widths.last()?;
        let bytes = self.bytes(TileId { level: 0, index: tile, width })?;
        let at = usize::try_from(index % TILE_WIDTH).ok()?;
        bytes.as_chunks::<HASH_BYTES>().0.get(at).map(|hash| Hash(*hash))
    }

    /// The root over the first `size` leaves as the level-0 tiles have them.
    pub fn stored_root(&mut self, size: u64) -> Option<Hash> {
        let mut tree = Tree::default();
        while tree.size() < size {
            let index = tree.size() / TILE_WIDTH;
            let widths = self.plan.files.tiles.get(&(0, index))?;
            let bytes = self.bytes(TileId { level: 0, index, width: *widths.last()? })?;
            let before = tree.size();
            let left = usize::try_from(size - before).unwrap_or(usize::MAX);
            for hash in bytes.as_chunks::<HASH_BYTES>().0.iter().take(left) {
                tree.push(Hash(*hash), &mut |_| {});
            }
            if tree.size() < size && tree.size() != (index + 1) * TILE_WIDTH {
                return None;
            }
        }
        Some(tree.root())
    }

    /// What is left: files of tiles that the tree does not have.
    pub fn finish(&mut self, may_be_unpublished: bool) {
        for ((level, index), widths) in std::mem::take(&mut self.unseen) {
            for width in widths {
                let path = layout::tile(TileId { level, index, width });
                if may_be_unpublished {
                    self.gathered.note(Finding::new("not yet published: beyond the tree seen").file(path));
                } else {
                    self.gathered.find(Finding::new("a tile that the tree does not have").file(path));
                }
            }
        }
    }
}
