//! The signed tree of a log for whoever reads it: tiles, entry bundles, inclusion and consistency proofs.
//!
//! All of it is of C, the newest signed size, and beside appends, seals and restarts: full tiles below S are files that
//! never change, the right edge is in memory (`edge.rs`), and what moves from the one to the other is on disk before it
//! leaves memory. Everything here may read files and hash: not for async threads.
//!
//! Every tile that is read is held against the signed root before anything is made of it: damage below it is an error here, and no
//! wrong proof and no wrong tile.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use schemas::checkpoint::Checkpoint;
use schemas::limits::{TILE_HEIGHT, TILE_WIDTH, TREE_ENTRIES_READ_MAX};
use schemas::note::{Note, VerifierKey};
use schemas::origin::ROOT_TENANT;
use schemas::proof::{Consistency, Document, Opened, Proof};
use schemas::tile::{self, TileId, TileNodes, perfect_root};
use schemas::tree::{
    self, Hash, Nodes, consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash, root_at,
};
use schemas::{Origin, Stream, layout};

use tokio::time::Instant;

use crate::bundle;
use crate::edge::{Edge, Place, width_at};
use crate::entries::ReadError;
use crate::snapshot::LogSnapshot;
use crate::state::{LogState, Shared, lock};
use crate::{SignedLog, Store};

mod earlier;
pub(crate) mod rounds;

type Result<T> = std::result::Result<T, ReadError>;

/// How often a log is asked whether a checkpoint covers it.
const COVERED_LOOK_EVERY: Duration = Duration::from_millis(schemas::limits::STORE_COVERED_LOOK_MS);

/// What is kept of a log for whoever asks for proofs. Nothing of it is on disk, and all of it can be found again.
#[derive(Debug, Default)]
pub(crate) struct Proving {
    /// The tree from the right edge of S on, as far as somebody has asked for it.
    pub(crate) edge: Mutex<Edge>,
    /// Where the root log says how far this log had come.
    pub(crate) rounds: Mutex<rounds::Told>,
    /// Whether that was looked for in what was written before the start. Taken before `rounds`.
    is_searched: Mutex<bool>,
}

/// The tree of one log at one signed size. Made by [`SignedLog::tree`]; keeps every tile that it reads, so it is for one
/// answer and not for keeping.
#[derive(Debug)]
pub struct LogTree {
    shared: Arc<Shared>,
    state: Arc<LogState>,
    /// The signed note, empty for a log that has none yet.
    checkpoint: Arc<str>,
    size: u64,
    root: Hash,
    tiles: Mutex<HashMap<(u32, u64), Vec<Hash>>>,
    /// Why the last node could not be had.
    failure: Mutex<Option<ReadError>>,
}

impl Store {
    /// Where something in the data directory is, by its name there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.shared.disk.absolute(name)
    }

    /// Entry `index` of `log` with all that whoever has the root log's verifier key needs to see that it is there;
    /// with `since`, also that the root log still extends what it was at that size. `None` where there is no such entry
    /// under a checkpoint, or no root checkpoint that knows the log that far or reaches `since`: not yet, or not at all.
    /// The root log is told how far a log has come every few seconds.
    ///
    /// Of a log of an earlier writer: for whoever has the key of the root log of that time, or of one since. `since` is then of
    /// each of these that has come so far.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Unprovable`] where it will never be provable.
    pub fn prove(&self, log: &SignedLog, index: u64, since: Option<u64>) -> Result<Option<Document>> {
        self.prove_under(log, index, since, None)
    }

    /// As [`Store::prove`], under this checkpoint of the root log in place of its newest: one with the cosignatures of witnesses,
    /// which the document then has.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove_under(
        &self,
        log: &SignedLog,
        index: u64,
        since: Option<u64>,
        checkpoint: Option<Arc<str>>,
    ) -> Result<Option<Document>> {
        let Some(root) = self.existing(ROOT_TENANT, Stream::Root) else { return Ok(None) };
        let mut root = root.tree()?;
        if let Some(checkpoint) = checkpoint {
            let Some(older) = root.at(checkpoint)? else { return Ok(None) };
            root = older;
        }
        if log.origin().writer() != root.origin().writer() {
            return self.prove_earlier(log, index, since, root);
        }
        let is_root = log.origin() == root.origin();
        // Before the log's tree, which is then of all that the round is of.
        let round = match is_root {
            true => None,
            false => match rounds::covering(&log.state, &root, index)? {
                Some(at) => Some(at),
                None => return Ok(None),
            },
        };
        let of_log = if is_root { None } else { Some(log.tree()?) };
        let tree = of_log.as_ref().unwrap_or(&root);
        let Some((entry, proof)) = tree.prove(index)? else { return Ok(None) };
        let in_root = match round {
            None => None,
            Some(at) => {
                let Some((opened, opened_proof)) = root.prove(log.opened_at())? else { return Ok(None) };
                let covered = rounds::covered(log.state.number, &root, tree, (at, index))?;
                Some((Opened::new(&opened, &opened_proof), covered))
            }
        };
        let mut document = Document::new(log.origin(), &entry, &proof, in_root);
        if let Some(old) = since {
            if old > root.size {
                return Ok(None);
            }
            let hashes = root.consistency(old, root.size)?.into_iter().map(Hash::to_base64).collect();
            document.consistency = Some(Consistency { old, hashes });
        }
        Ok(Some(document))
    }
}

impl SignedLog {
    /// The log's name.
    pub fn origin(&self) -> &Origin {
        &self.state.origin
    }

    /// The log as it is now.
    pub fn snapshot(&self) -> LogSnapshot {
        self.state.snapshot()
    }

    /// The durable size: what [`SignedLog::snapshot`] says, without making one.
    pub fn durable(&self) -> u64 {
        *self.state.durable.borrow()
    }

    /// The newest signed checkpoint (C2SP signed note), empty before the first.
    pub fn checkpoint(&self) -> Arc<str> {
        Arc::clone(&lock(&self.state.view).checkpoint)
    }

    /// The newest checkpoint once it covers the first `size` entries; `None` where none does within `patience`.
    pub async fn covered(&self, size: u64, patience: Duration) -> Option<Arc<str>> {
        let until = Instant::now() + patience;
        loop {
            {
                let view = lock(&self.state.view);
                if view.signed >= size && !view.checkpoint.is_empty() {
                    return Some(Arc::clone(&view.checkpoint));
                }
            }
            if Instant::now() >= until {
                return None;
            }
            // Signing comes at most once a second: a look now and then costs nothing beside it.
            tokio::time::sleep(COVERED_LOOK_EVERY).await;
        }
    }

    /// The verifier key of this log's checkpoints.
    pub fn verifier_key(&self) -> String {
        self.state.keys.checkpoint.verifier().to_string()
    }

    /// The index in the root log of this log's `log_opened` entry: what binds its verifier key to the root log's.
    pub fn opened_at(&self) -> u64 {
        self.state.root_index
    }

    /// The tree of the newest signed checkpoint.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the checkpoint is none.
    pub fn tree(&self) -> Result<LogTree> {
        let mut edge = lock(&self.state.proving.edge);
        let (checkpoint, size, leaves) = {
            let view = lock(&self.state.view);
            (Arc::clone(&view.checkpoint), view.signed, edge.missing(&view))
        };
        leaves.into_iter().for_each(|leaf| edge.push(leaf));
        drop(edge);
        let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
        let (tiles, failure) = (Mutex::default(), Mutex::default());
        let mut tree = LogTree { shared, state, checkpoint, size, root: empty_root(), tiles, failure };
        if size > 0 {
            let parsed = Note::parse(tree.checkpoint.as_bytes())
                .and_then(|note| Checkpoint::parse(note.unverified_text()))
                .map_err(|error| tree.damaged(error.to_string()))?;
            if parsed.size != size {
                return Err(tree.damaged(format!("signed size {size}, checkpoint of {}", parsed.size)));
            }
            tree.root = parsed.root;
        }
        Ok(tree)
    }

    /// A tile of the newest signed tree (C2SP tlog-tiles): its hashes one after the other. Any width up to what the
    /// tree has is there. `None` when the tree does not have it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tile(&self, id: TileId) -> Result<Option<Bytes>> {
        let tree = self.tree()?;
        if id.width == 0 || id.width > width_at(tree.size, id.level, id.index) {
            return Ok(None);
        }
        let hashes = tree.hashes(id)?;
        Ok(Some(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>().into()))
    }

    /// An entry bundle of the newest signed tree (C2SP tlog-tiles): `width` times u16 BE length and canonical entry,
    /// from entry `256 * index` on. `None` when the tree does not have it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entry_bundle(&self, index: u64, width: u64) -> Result<Option<Bytes>> {
        let tree = self.tree()?;
        if width == 0 || width > width_at(tree.size, 0, index) {
            return Ok(None);
        }
        let first = index.saturating_mul(TILE_WIDTH);
        let mut bundle = Vec::new();
        for entry in tree.entries(first..first + width)? {
            let length = u16::try_from(entry.len()).map_err(|_| tree.damaged("an entry over its limit"))?;
            bundle.extend_from_slice(&length.to_be_bytes());
            bundle.extend_from_slice(&entry);
        }
        Ok(Some(bundle.into()))
    }
}

impl LogTree {
    /// The log.
    pub fn origin(&self) -> &Origin {
        &self.state.origin
    }

    /// Entries in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The verifier key of its checkpoints.
    fn verifier_key(&self) -> VerifierKey {
        self.state.keys.checkpoint.verifier().clone()
    }

    /// Its root.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The signed checkpoint that it is of, empty when the size is 0.
    pub fn checkpoint(&self) -> &Arc<str> {
        &self.checkpoint
    }

    /// The same log's tree at another checkpoint that it signed, with the lines that others added to it. `None` where it is of
    /// another log, or newer than this.
    pub(crate) fn at(self, checkpoint: Arc<str>) -> Result<Option<LogTree>> {
        let parsed =
            Note::parse(checkpoint.as_bytes()).and_then(|note| Checkpoint::parse(note.unverified_text()));
        let parsed = parsed.map_err(|error| self.damaged(format!("a cosigned checkpoint: {error}")))?;
        if parsed.origin != self.state.origin || parsed.size > self.size {
            return Ok(None);
        }
        if self.root_at(parsed.size)? != parsed.root {
            return Err(self.damaged(format!("another tree was cosigned at size {}", parsed.size)));
        }
        let Checkpoint { size, root, .. } = parsed;
        Ok(Some(LogTree { checkpoint, size, root, tiles: Mutex::default(), ..self }))
    }

    /// The root of the first `size` entries.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when this tree has not that many; [`ReadError`].
    pub fn root_at(&self, size: u64) -> Result<Hash> {
        self.within(size)?;
        self.reading(|nodes| root_at(nodes, size))
    }

    /// The inclusion proof of entry `index` in the tree of the first `size`, lowest sibling first (RFC 6962).
    ///
    /// # Errors
    /// [`ReadError::Damaged`] unless `index < size <= self.size()`; [`ReadError`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>> {
        self.within(size)?;
        self.reading(|nodes| inclusion_proof(nodes, index, size))
    }

    /// The consistency proof from the first `old` entries to the first `new` (RFC 6962), checked against both roots, and `new`
    /// against the signed one.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] unless `old <= new <= self.size()`; [`ReadError`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>> {
        self.within(new)?;
        let proof = self.reading(|nodes| consistency_proof(nodes, old, new))?;
        let (old_root, new_root) = (self.root_at(old)?, self.root_at(new)?);
        let checked = tree::verify_consistency(&proof, old, new, &old_root, &new_root);
        checked.map_err(|error| self.damaged(error.to_string()))?;
        let on = self.reading(|nodes| consistency_proof(nodes, new, self.size))?;
        let checked = tree::verify_consistency(&on, new, self.size, &new_root, &self.root);
        checked.map_err(|error| self.damaged(format!("not of the signed root: {error}")))?;
        Ok(proof)
    }

    /// Entry `index` in its canonical bytes, and the proof that this tree has it. `None` when there is no such entry.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove(&self, index: u64) -> Result<Option<(Vec<u8>, Proof)>> {
        if index >= self.size {
            return Ok(None);
        }
        let hashes = self.inclusion(index, self.size)?;
        let mut entries = self.entries(index..index + 1)?;
        let entry = entries.pop().ok_or_else(|| self.damaged(format!("entry {index} is missing")))?;
        let checked = tree::verify_inclusion(&hashes, index, self.size, &leaf_hash(&entry), &self.root);
        checked.map_err(|error| self.damaged(format!("entry {index}: {error}")))?;
        Ok(Some((entry, Proof { extra: None, index, hashes, checkpoint: self.checkpoint.to_string() })))
    }

    /// Entries in their canonical bytes, each the one whose hash is the tree's leaf.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the tree has not all of the range, or for more than [`TREE_ENTRIES_READ_MAX`] at
    /// once; [`ReadError`].
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>> {
        self.within(range.end)?;
        if range.end.saturating_sub(range.start) > TREE_ENTRIES_READ_MAX {
            return Err(self.damaged(format!("more than {TREE_ENTRIES_READ_MAX} entries asked for at once")));
        }
        let entries = bundle::entries(&self.state, &range)?;
        for (index, entry) in range.zip(&entries) {
            let leaf = self.reading(|nodes| nodes.node(0, index))?;
            if leaf_hash(entry) != leaf {
                return Err(self.damaged(format!("entry {index} is not what its leaf hash is of")));
            }
        }
        Ok(entries)
    }

    fn within(&self, size: u64) -> Result<()> {
        if size <= self.size {
            return Ok(());
        }
        Err(self.damaged(format!("size {size} asked for, {} are signed", self.size)))
    }

    pub(crate) fn damaged(&self, detail: impl Into<String>) -> ReadError {
        ReadError::Damaged { log: self.state.origin.to_string(), detail: detail.into() }
    }

    /// Runs over the tree's nodes; an error is the reading's where that failed.
    pub(crate) fn reading<T>(&self, run: impl FnOnce(&dyn Nodes) -> schemas::Result<T>) -> Result<T> {
        let nodes = TileNodes::new(self.size, |id: TileId| {
            self.hashes(id).map_err(|error| {
                let told = schemas::Error::malformed("tile", error.to_string());
                *lock(&self.failure) = Some(error);
                told
            })
        });
        run(&nodes).map_err(|error| {
            let failure = lock(&self.failure).take();
            failure.unwrap_or_else(|| self.damaged(error.to_string()))
        })
    }

    /// Lets go of the tiles that were read, where they are more than `kept`: for long walks.
    pub(crate) fn forget_tiles(&self, kept: usize) {
        let mut tiles = lock(&self.tiles);
        if tiles.len() > kept {
            tiles.clear();
        }
    }

    /// The hashes of a tile that the tree has, held against the signed root.
    fn hashes(&self, id: TileId) -> Result<Vec<Hash>> {
        let width = usize::try_from(id.width).unwrap_or(usize::MAX);
        let take = |hashes: &Vec<Hash>| hashes.get(..width).map(<[Hash]>::to_vec);
        let none = || self.damaged(format!("no tile {}", layout::tile(id)));
        let place = (id.level, id.index);
        if let Some(hashes) = lock(&self.tiles).get(&place).and_then(take) {
            return Ok(hashes);
        }
        match width_at(self.size, id.level, id.index) {
            0 => return Err(none()),
            TILE_WIDTH => {
                let hashes = self.read(TileId { width: TILE_WIDTH, ..id })?;
                let (level, at) = (id.level + 1, id.index % TILE_WIDTH);
                let parent = self.hashes(TileId { level, index: id.index / TILE_WIDTH, width: at + 1 })?;
                if parent.last() != Some(&perfect_root(&hashes)) {
                    return Err(self.damaged(format!("{} is not what is signed", layout::tile(id))));
                }
                lock(&self.tiles).insert(place, hashes);
            }
            _ => self.check_right_side()?,
        }
        lock(&self.tiles).get(&place).and_then(take).ok_or_else(none)
    }

    /// Reads the last tile of every level, where it is not full. Together they are all that the root is made of.
    fn check_right_side(&self) -> Result<()> {
        let mut root: Option<Hash> = None;
        let mut found = Vec::new();
        for level in 0.. {
            let shift = level * TILE_HEIGHT;
            let Some(in_level) = self.size.checked_shr(shift).filter(|hashes| *hashes > 0) else { break };
            let (index, width) = (in_level / TILE_WIDTH, in_level % TILE_WIDTH);
            if width == 0 {
                continue;
            }
            let hashes = self.read(TileId { level, index, width })?;
            // Perfect trees from the left, each smaller than the one before; hashed together from the right.
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (before, tree) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let left = perfect_root(tree);
                root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                rest = before;
            }
            found.push(((level, index), hashes));
        }
        if root != Some(self.root) {
            return Err(self.damaged("the last tiles do not have the signed root"));
        }
        lock(&self.tiles).extend(found);
        Ok(())
    }

    /// A tile as it is kept, of this width.
    fn read(&self, id: TileId) -> Result<Vec<Hash>> {
        let place = lock(&self.state.proving.edge).place(id);
        let mut hashes = match place {
            Some(Place::Memory(hashes)) => hashes,
            Some(Place::Disk) => self.tile_on_disk(id)?,
            None => return Err(self.damaged(format!("no tile {}", layout::tile(id)))),
        };
        hashes.truncate(usize::try_from(id.width).unwrap_or(usize::MAX));
        Ok(hashes)
    }

    fn tile_on_disk(&self, id: TileId) -> Result<Vec<Hash>> {
        let full = TileId { width: TILE_WIDTH, ..id };
        let path = format!("{}/{}", layout::origin_dir(&self.state.origin), layout::tile(full));
        let bytes = self.shared.disk.read(&path);
        let bytes =
            bytes.map_err(|source| ReadError::Read { path: self.shared.disk.absolute(&path), source })?;
        tile::parse(&bytes, TILE_WIDTH).map_err(|error| self.damaged(format!("{path}: {error}")))
    }
}
