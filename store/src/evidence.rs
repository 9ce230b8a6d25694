//! Evidence bundles: entries of one log in one zip, with all that shows that they are in it (FORMAT.md section 13).
//!
//! Reads and hashes: not for async threads. In memory are one window of at most 256 entries with their payloads, the hashes between
//! the entries, and one block of the Parquet view; all else goes through two files that the caller gives for it.
//!
//! What is put in was held against the signed root and the commitments first: damage is an error and no wrong bundle.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::ops::Range;
use std::sync::Arc;

use schemas::entry::EntryView;
use schemas::evidence::archive::Method;
use schemas::evidence::payload::{Field, Payload};
use schemas::evidence::range::Walk;
use schemas::evidence::{self, Filter, Kind, Manifest, Sizes, page};
use schemas::limits::{
    EVIDENCE_ENTRIES_MAX, EVIDENCE_FILES_BYTES_MAX, EVIDENCE_HASHES_MAX, EVIDENCE_TILES_MAX, TILE_WIDTH,
};
use schemas::origin::ROOT_TENANT;
use schemas::payload::Committer;
use schemas::proof::Proof;
use schemas::stream::PAYLOAD_COMMITMENT;
use schemas::tree::Nodes;
use schemas::{Column, Hash, Stream};

use crate::entries::ReadError;
use crate::payloads::{PayloadRow, payloads};
use crate::proof::LogTree;
use crate::proof::rounds::{self, Covering};
use crate::{Log, Store};

mod archive;
mod views;

use archive::Archive;
use views::Collected;

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log could not be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The root log does not know the log that far yet.
    #[error("the root log does not know all of it yet; ask again in a moment")]
    NotSigned,
    /// More than one bundle holds.
    #[error("{what}: more than {limit}; ask for less, or in parts")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// What is asked for makes no bundle.
    #[error("this makes no bundle: {0}")]
    Refused(#[from] schemas::Error),
    /// The bundle or a file for making it could not be written.
    #[error("write the bundle: {0}; check the room for temporary files")]
    Write(#[source] std::io::Error),
    /// The installation's keys.
    #[error(transparent)]
    Keys(#[from] crate::Error),
}

type Result<T, E = ExportError> = std::result::Result<T, E>;

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of a range; the bundle says that it is complete.
    Range(Range<u64>),
    /// These, ascending.
    Indices(Vec<u64>),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Export {
    /// The question.
    pub kind: Kind,
    /// Which entries.
    pub selection: Selection,
    /// Which of them are rows of the views.
    pub filter: Filter,
    /// The SQL text, without secrets.
    pub sql: Option<String>,
    /// Names of payload columns whose values are withheld.
    pub withheld: Vec<String>,
    /// The log when it was asked.
    pub snapshot: Sizes,
    /// Who.
    pub exported_by: String,
    /// In which role.
    pub role: String,
    /// Through which door.
    pub door: String,
    /// When, in microseconds.
    pub exported_at_us: i64,
    /// Joins the bundle with the access log.
    pub query_id: String,
    /// This checkpoint of the root log in place of its newest: one with the cosignatures of witnesses, which the bundle then has.
    pub under: Option<Arc<str>>,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Entries in it.
    pub entries: u64,
    /// Rows of its views.
    pub rows: u64,
    /// Bytes of the zip.
    pub bytes: u64,
}

impl Store {
    /// Writes the bundle to `out`; `scratch` are two empty files that are of no use afterwards.
    ///
    /// # Errors
    /// [`ExportError`]; what is in `out` is then no bundle.
    pub fn export(&self, log: &Log, asked: &Export, out: File, scratch: [File; 2]) -> Result<Exported> {
        let stream = log.origin().stream();
        if stream == Stream::Root {
            return Err(schemas::Error::malformed("bundle", "the root log is proved entry by entry").into());
        }
        let mut root = self.existing(ROOT_TENANT, Stream::Root).ok_or(ExportError::NotSigned)?.tree()?;
        if let Some(checkpoint) = &asked.under {
            root = root.at(Arc::clone(checkpoint))?.ok_or(ExportError::NotSigned)?;
        }
        // Before the log's tree, which is then of all that the round is of.
        let at = rounds::covering(&log.state, &root, 0)?.ok_or(ExportError::NotSigned)?;
        let tree = log.tree()?;
        let round = rounds::told(log.state.number, &root, &tree, at)?;
        let opened = root.prove(log.opened_at())?.ok_or(ExportError::NotSigned)?;
        let selection = reach(&tree, round.size, &asked.selection, &asked.filter)?;
        let windows = windows(&selection, round.size)?;
        let [mut entries, mut payloads] = scratch;
        let mut collector = Collector::new(log, &tree, &round, asked, &mut entries, &mut payloads);
        for window in windows {
            collector.window(&window)?;
            tree.forget_tiles(EVIDENCE_TILES_MAX);
        }
        let gathered = collector.finish()?;
        let manifest = manifest(&self.root_key()?, log, round.size, asked, &gathered);
        // What would not be read is not written.
        let text = manifest.to_text()?;
        Manifest::parse(text.as_bytes())?;
        let collected =
            Collected { stream, filter: &asked.filter, entries: &mut entries, payloads: &mut payloads };
        let proofs = Proofs { root_checkpoint: root.checkpoint(), opened, round };
        let bytes = write(out, &manifest, &text, &proofs, &gathered.hashes, collected)?;
        Ok(Exported { entries: manifest.entries, rows: manifest.rows, bytes })
    }
}

/// From the root log's key down to the log's tree.
struct Proofs<'a> {
    root_checkpoint: &'a str,
    /// The entry that opens the log.
    opened: (Vec<u8>, Proof),
    round: Covering,
}

fn manifest(root_key: &str, log: &Log, size: u64, asked: &Export, gathered: &Gathered) -> Manifest {
    let stream = log.origin().stream();
    let is_withheld = |column: &&Column| asked.withheld.iter().any(|name| name == column.name);
    let name = |column: &Column| column.name.to_string();
    Manifest {
        format: evidence::FORMAT.to_string(),
        kind: asked.kind,
        root_key: root_key.to_string(),
        origin: log.origin().to_string(),
        key: log.verifier_key(),
        size,
        first: gathered.first,
        last: gathered.last,
        entries: gathered.entries,
        complete: matches!(asked.selection, Selection::Range(_)),
        filter: asked.filter.clone(),
        rows: gathered.rows,
        columns: evidence::columns(stream).map(name).collect(),
        withheld: stream.payload_columns().filter(is_withheld).map(name).collect(),
        sql: asked.sql.clone(),
        snapshot: asked.snapshot,
        exported_by: asked.exported_by.clone(),
        role: asked.role.clone(),
        door: asked.door.clone(),
        exported_at_us: asked.exported_at_us,
        query_id: asked.query_id.clone(),
    }
}

/// The zip, file after file.
fn write(
    out: File,
    manifest: &Manifest,
    text: &str,
    proofs: &Proofs<'_>,
    hashes: &[Hash],
    mut collected: Collected<'_>,
) -> Result<u64> {
    let stream = collected.stream;
    let mut zip = Archive::new(BufWriter::new(out));
    zip.text(evidence::MANIFEST, text)?;
    if let Some(sql) = &manifest.sql {
        zip.text(evidence::SQL, sql)?;
    }
    let Proofs { root_checkpoint, opened: (opened, opened_proof), round } = proofs;
    zip.text(evidence::ROOT_CHECKPOINT, root_checkpoint)?;
    zip.file(evidence::OPENED_ENTRY, Method::Deflated, |file| Ok(file.write_all(opened)?))?;
    zip.text(evidence::OPENED_PROOF, &opened_proof.to_string())?;
    zip.file(evidence::ROUND_ENTRY, Method::Deflated, |file| Ok(file.write_all(&round.entry)?))?;
    zip.text(evidence::ROUND_PROOF, &round.proof.to_string())?;
    collected.entries.rewind()?;
    zip.file(evidence::ENTRIES, Method::Deflated, |file| {
        std::io::copy(collected.entries, file)?;
        Ok(())
    })?;
    zip.file(evidence::HASHES, Method::Stored, |file| {
        for hash in hashes {
            writeln!(file, "{}", hash.to_base64())?;
        }
        Ok(())
    })?;
    collected.payloads.rewind()?;
    zip.file(evidence::PAYLOADS, Method::Deflated, |file| {
        std::io::copy(collected.payloads, file)?;
        Ok(())
    })?;
    zip.file(&evidence::csv_name(stream), Method::Deflated, |file| collected.csv(file))?;
    zip.file(&evidence::parquet_name(stream), Method::Stored, |file| collected.parquet(file))?;
    let custody = page::custody(manifest, zip.sums());
    zip.text(evidence::CUSTODY, &custody)?;
    zip.text(evidence::LIMITS, page::LIMITS)?;
    zip.text(evidence::VERIFY, page::VERIFY)?;
    zip.finish()
}

/// A range of time goes on to the entries that were recorded before and after it, or to the ends of the tree: they show that there is
/// nothing between. The log may have grown since whoever asked looked.
fn reach(tree: &LogTree, size: u64, selection: &Selection, filter: &Filter) -> Result<Selection> {
    let (Selection::Range(range), Filter::Time { .. }) = (selection, filter) else {
        return Ok(selection.clone());
    };
    if range.end > size {
        return Err(ExportError::NotSigned);
    }
    let place = |entry: &Vec<u8>| filter.place(&EntryView::parse(entry)?);
    let mut range = range.clone();
    while range.start > 0 && range.end - range.start <= EVIDENCE_ENTRIES_MAX {
        let first = tree.entries(range.start..range.start + 1)?.pop().unwrap_or_default();
        if place(&first)? == Ordering::Less {
            break;
        }
        range.start -= 1;
    }
    while range.end < size && range.end - range.start <= EVIDENCE_ENTRIES_MAX {
        let next = tree.entries(range.end - 1..(range.end + TILE_WIDTH - 1).min(size))?;
        let places = next.iter().map(place).collect::<schemas::Result<Vec<_>>>()?;
        // The last of the range and those after it, up to one that came after the time.
        match places.iter().position(|place| *place == Ordering::Greater) {
            Some(at) => {
                range.end += at as u64;
                break;
            }
            None => range.end += (next.len() as u64).saturating_sub(1),
        }
    }
    Ok(Selection::Range(range))
}

/// What is read at once: the indices that are wanted, all of one tile of leaves.
fn windows(selection: &Selection, size: u64) -> Result<Vec<Vec<u64>>> {
    let (count, last) = match selection {
        Selection::Range(range) => (range.end.saturating_sub(range.start), range.end.checked_sub(1)),
        Selection::Indices(indices) => (indices.len() as u64, indices.last().copied()),
    };
    if count > EVIDENCE_ENTRIES_MAX {
        return Err(ExportError::TooLarge { what: "entries of a bundle", limit: EVIDENCE_ENTRIES_MAX });
    }
    let Some(last) = last.filter(|_| count > 0) else {
        return Err(schemas::Error::malformed("bundle", "no entry").into());
    };
    if last >= size {
        return Err(ExportError::NotSigned);
    }
    let indices: Vec<u64> = match selection {
        Selection::Range(range) => range.clone().collect(),
        Selection::Indices(indices) => indices.clone(),
    };
    if !indices.is_sorted_by(|a, b| a < b) {
        return Err(schemas::Error::malformed("bundle", "indices that do not ascend").into());
    }
    let same_tile = |a: &u64, b: &u64| a / TILE_WIDTH == b / TILE_WIDTH;
    Ok(indices.chunk_by(same_tile).map(<[u64]>::to_vec).collect())
}

/// What came of collecting.
struct Gathered {
    first: u64,
    last: u64,
    entries: u64,
    rows: u64,
    hashes: Vec<Hash>,
}

struct Collector<'a> {
    log: &'a Log,
    tree: &'a LogTree,
    /// The root of the tree that the round names.
    root: Hash,
    asked: &'a Export,
    entries: BufWriter<&'a mut File>,
    payloads: BufWriter<&'a mut File>,
    /// Bytes that went into the two.
    bytes: u64,
    committer: Committer,
    walk: Walk,
    gathered: Gathered,
}

impl<'a> Collector<'a> {
    fn new(
        log: &'a Log,
        tree: &'a LogTree,
        round: &Covering,
        asked: &'a Export,
        entries: &'a mut File,
        payloads: &'a mut File,
    ) -> Collector<'a> {
        Collector {
            log,
            tree,
            root: round.root,
            asked,
            entries: BufWriter::new(entries),
            payloads: BufWriter::new(payloads),
            bytes: 0,
            committer: Committer::new(),
            walk: Walk::new(round.size),
            gathered: Gathered { first: u64::MAX, last: 0, entries: 0, rows: 0, hashes: Vec::new() },
        }
    }

    /// Takes the wanted entries of one window.
    fn window(&mut self, wanted: &[u64]) -> Result<()> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(()) };
        let read = self.tree.entries(*first..*last + 1)?;
        let mut kept: Vec<(u64, Vec<u8>)> = (*first..).zip(read).collect();
        kept.retain(|(index, _)| wanted.binary_search(index).is_ok());
        let mut with_payload = BTreeSet::new();
        for (index, entry) in &kept {
            let view = EntryView::parse(entry)?;
            if self.asked.filter.admits(&view)? && view.field(PAYLOAD_COMMITMENT)?.is_some() {
                with_payload.insert(*index);
            }
        }
        let mut rows = match with_payload.is_empty() {
            true => std::collections::HashMap::new(),
            false => payloads(&self.log.state, &with_payload)?,
        };
        for (index, entry) in &kept {
            self.entry(*index, entry, rows.remove(index))?;
        }
        Ok(())
    }

    fn entry(&mut self, index: u64, entry: &[u8], payload: Option<PayloadRow>) -> Result<()> {
        let Collector { tree, walk, gathered, .. } = self;
        let hashes = &mut gathered.hashes;
        tree.reading(|nodes| walk.entry(index, entry, &mut between(nodes, hashes)))?;
        within_hashes(hashes)?;
        gathered.first = gathered.first.min(index);
        gathered.last = index + 1;
        gathered.entries += 1;
        let length = u16::try_from(entry.len())
            .map_err(|_| self.tree.damaged(format!("entry {index} is over its limit")))?;
        self.entries.write_all(&length.to_be_bytes())?;
        self.entries.write_all(entry)?;
        self.count(2 + entry.len())?;
        let view = EntryView::parse(entry)?;
        if !self.asked.filter.admits(&view)? {
            return Ok(());
        }
        self.gathered.rows += 1;
        if let Some(commitment) = view.field(PAYLOAD_COMMITMENT)? {
            let missing =
                || self.tree.damaged(format!("entry {index} commits to a payload that is not there"));
            let line = self.shown(index, &payload.ok_or_else(missing)?, commitment)?;
            self.payloads.write_all(line.as_bytes())?;
            self.count(line.len())?;
        }
        Ok(())
    }

    /// The line of an entry's payload: values with their salts, or what commits to them.
    fn shown(&mut self, index: u64, row: &PayloadRow, commitment: &[u8]) -> Result<String> {
        let stream = self.log.origin().stream();
        let mut fields = Vec::new();
        for (id, value) in &row.fields {
            let salt = self.committer.field_salt(&row.salt, *id);
            let name = stream.column_by_id(*id).map_or("", |column| column.name);
            let is_withheld = self.asked.withheld.iter().any(|held| held == name);
            fields.push(match is_withheld {
                true => Field::withheld(*id, name, &salt, value),
                false => Field::disclosed(*id, name, &salt, value),
            });
        }
        let payload = Payload { index, fields };
        let (_, found) = payload.open(stream)?;
        if found.0 != commitment {
            let detail = format!("the payload of entry {index} is not what it commits to");
            return Err(self.tree.damaged(detail).into());
        }
        Ok(payload.to_line()?)
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > EVIDENCE_FILES_BYTES_MAX {
            return Err(ExportError::TooLarge {
                what: "bytes of the files of a bundle",
                limit: EVIDENCE_FILES_BYTES_MAX,
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Gathered> {
        let (walk, hashes) = (self.walk, &mut self.gathered.hashes);
        let root = self.tree.reading(|nodes| walk.finish(&mut between(nodes, hashes)))?;
        within_hashes(hashes)?;
        if root != self.root {
            return Err(self
                .tree
                .damaged("what was read does not have the root that the root log knows")
                .into());
        }
        self.entries.flush()?;
        self.payloads.flush()?;
        Ok(self.gathered)
    }
}

/// Hashes of the tree, kept as they are handed out.
fn between(nodes: &dyn Nodes, kept: &mut Vec<Hash>) -> impl FnMut(u32, u64) -> schemas::Result<Hash> {
    move |level, index| {
        let hash = nodes.node(level, index)?;
        kept.push(hash);
        Ok(hash)
    }
}

fn within_hashes(hashes: &[Hash]) -> Result<()> {
    if hashes.len() <= EVIDENCE_HASHES_MAX {
        return Ok(());
    }
    Err(ExportError::TooLarge { what: "hashes between the entries", limit: EVIDENCE_HASHES_MAX as u64 })
}
