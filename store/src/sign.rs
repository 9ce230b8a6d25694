//! Signing: a second code path hashes what was written, and only where it agrees with the first is a
//! checkpoint signed. One flipped bit in a leaf hash must not become a signed root.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use schemas::checkpoint::Checkpoint;
use schemas::tree::{Hash, empty_root, node_hash};
use schemas::{layout, tree};
use tokio::sync::oneshot;

use crate::commit::commit_once;
use crate::crash;
use crate::durable::replace_rebuildable;
use crate::error::{Error, Result};
use crate::state::{LogState, Shared, SignedNote, lock};

/// The signer's own view of every log.
#[derive(Debug, Default)]
pub(crate) struct Signer {
    trees: BTreeMap<u64, SecondTree>,
    signed_last_us: i64,
}

/// A tree grown by merging equals, on its own, from the bytes.
#[derive(Debug, Clone)]
struct SecondTree {
    log: Arc<LogState>,
    size: u64,
    /// `(level, hash)`, levels strictly falling.
    stack: Vec<(u32, Hash)>,
    signed: u64,
}

impl SecondTree {
    /// Starts where recovery left the first path: at the peaks of `size`, whose root was checked there.
    fn start(log: &Arc<LogState>, size: u64, peaks: &[Hash], signed: u64) -> SecondTree {
        let levels = (0..64u32).rev().filter(|level| size >> level & 1 == 1);
        SecondTree { log: Arc::clone(log), size, stack: levels.zip(peaks.iter().copied()).collect(), signed }
    }

    fn push(&mut self, entry: &[u8]) {
        let (mut level, mut hash) = (0, tree::leaf_hash(entry));
        while let Some((top, left)) = self.stack.last().copied() {
            if top != level {
                break;
            }
            self.stack.pop();
            hash = node_hash(&left, &hash);
            level += 1;
        }
        self.stack.push((level, hash));
        self.size += 1;
    }

    fn root(&self) -> Hash {
        let mut hashes = self.stack.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = hashes.next() else { return empty_root() };
        hashes.fold(last, |right, left| node_hash(&left, &right))
    }

    /// Hashes the entries of a bundle.
    fn extend(&mut self, bundle: &[u8]) -> Result<()> {
        let mut rest = bundle;
        while !rest.is_empty() {
            let entry = rest
                .split_first_chunk::<2>()
                .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
            let Some((entry, after)) = entry else {
                return Err(schemas::Error::malformed("entry bundle", "it ends inside an entry").into());
            };
            self.push(entry);
            rest = after;
        }
        Ok(())
    }
}

/// Hashes what has come, and signs if it is time or `now` is set. For threads: waits for the commit of the notes.
pub(crate) fn round(shared: &Shared, signer: &mut Signer, now: bool) -> Result<()> {
    // Whoever stopped the store meant that from then on there is not one signature more.
    shared.check_writable()?;
    hash_inbox(shared, signer)?;
    let notes = notes(shared, signer, now)?;
    if notes.is_empty() {
        return Ok(());
    }
    let synced = queue_notes(shared, notes.clone());
    match synced.blocking_recv() {
        Ok(result) => result?,
        Err(_) => return shared.check_writable(),
    }
    remember(shared, &notes)?;
    show(shared, signer, &notes)
}

/// As [`round`] at once, on a store without threads.
pub(crate) fn alone(shared: &Shared, signer: &mut Signer) -> Result<()> {
    hash_inbox(shared, signer)?;
    let notes = notes(shared, signer, true)?;
    if notes.is_empty() {
        return Ok(());
    }
    let mut synced = queue_notes(shared, notes.clone());
    commit_once(shared)?;
    match synced.try_recv() {
        Ok(result) => result?,
        Err(_) => return Err(closed()),
    }
    remember(shared, &notes)?;
    show(shared, signer, &notes)
}

/// Remembers notes outside the data directory. They are on stable storage in it: a crash before leaves a memory that is
/// behind, which harms nothing. Nobody has seen them yet: a crash after leaves nothing shown that is not remembered.
pub(crate) fn remember(shared: &Shared, notes: &[SignedNote]) -> Result<()> {
    shared.keys.remember_notes(notes.iter().map(|note| &*note.note))
}

/// Hashes all that is durable and not hashed yet.
pub(crate) fn hash_inbox(shared: &Shared, signer: &mut Signer) -> Result<()> {
    loop {
        let work = lock(&shared.signer_inbox).work.pop_front();
        let Some(work) = work else { return Ok(()) };
        let tree = signer.tree(&work.log);
        tree.extend(&work.bundle)?;
        if tree.root() != work.root {
            let detail =
                format!("{} at size {}: two computations of the root differ", work.log.origin, tree.size);
            return Err(schemas::Error::mismatch("root", detail).into());
        }
        lock(&shared.signer_inbox).bytes -= work.bundle.len() as u64;
    }
}

impl Signer {
    fn tree(&mut self, log: &Arc<LogState>) -> &mut SecondTree {
        self.trees.entry(log.number).or_insert_with(|| SecondTree::start(log, 0, &[], 0))
    }

    /// Takes over a recovered log.
    pub(crate) fn resume(&mut self, log: &Arc<LogState>) {
        let view = lock(&log.view);
        let tree = SecondTree::start(log, view.tree.size(), view.tree.peaks(), view.signed);
        self.trees.insert(log.number, tree);
    }
}

/// Signs a checkpoint of every log that has grown, if it is time.
pub(crate) fn notes(shared: &Shared, signer: &mut Signer, now: bool) -> Result<Vec<SignedNote>> {
    let now_us = shared.clock.monotonic_us();
    let due = now_us - signer.signed_last_us >= shared.options.sign_interval_us;
    let grown = signer.trees.values().any(|tree| tree.size > tree.signed);
    if !(grown && (due || now)) {
        return Ok(Vec::new());
    }
    signer.signed_last_us = now_us;
    let mut notes = Vec::new();
    for tree in signer.trees.values() {
        if tree.size <= tree.signed {
            continue;
        }
        let shown = lock(&tree.log.view).signed;
        if shown != tree.signed || tree.size < shown {
            let detail = format!("{}: signed {shown} before, {} now", tree.log.origin, tree.size);
            return Err(schemas::Error::mismatch("signed size", detail).into());
        }
        let checkpoint = Checkpoint { origin: tree.log.origin.clone(), size: tree.size, root: tree.root() };
        let note = tree.log.keys.checkpoint.sign(&checkpoint.to_string());
        notes.push(SignedNote { log: Arc::clone(&tree.log), size: tree.size, note: note.into() });
    }
    crash::point("notes-signed");
    Ok(notes)
}

/// Hands notes to the commit.
pub(crate) fn queue_notes(shared: &Shared, notes: Vec<SignedNote>) -> oneshot::Receiver<Result<()>> {
    let (reply, synced) = oneshot::channel();
    {
        let mut queue = lock(&shared.queue);
        // Nobody takes from the queue then; without its sender the receiver ends at once.
        if shared.poisoned.get().is_none() && !shared.finished.load(Ordering::SeqCst) {
            queue.notes.push((notes, reply));
        }
    }
    shared.queue_changed.notify_all();
    synced
}

/// Shows notes that are on stable storage: before that nobody may hold one, or a crash would fork the log.
pub(crate) fn show(shared: &Shared, signer: &mut Signer, notes: &[SignedNote]) -> Result<()> {
    for SignedNote { log, size, note } in notes {
        {
            let mut view = lock(&log.view);
            view.signed = *size;
            view.checkpoint = Arc::clone(note);
            view.notes.push_back((*size, Arc::clone(note)));
        }
        if let Some(tree) = signer.trees.get_mut(&log.number) {
            tree.signed = *size;
        }
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::CHECKPOINT);
        replace_rebuildable(&*shared.disk, &path, note.as_bytes())?;
    }
    crash::point("notes-shown");
    Ok(())
}

/// For errors that only a closing store makes.
pub(crate) fn closed() -> Error {
    Error::Poisoned { reason: "the store is closing".to_string() }
}
