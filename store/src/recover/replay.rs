//! The write-ahead files, read again in order and applied by the code that commits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::entry::EntryView;
use schemas::group::{
    CursorSection, EntriesSection, FILE_HEADER_BYTES, FileHeader, GROUP_HEADER_BYTES, GroupHeader, Position,
    Section, sections,
};
use schemas::limits::GROUP_ALIGN_BYTES;
use schemas::note::Note;
use schemas::payload::{Committer, RecordView};
use schemas::rows::RowsBuilder;
use schemas::stream::PAYLOAD_COMMITMENT;
use schemas::tree::{CompactRange, Hash, leaf_hash};
use schemas::{Origin, layout};

use super::{Found, Logs, sealed, tampered};
use crate::commit::first_ingest_us;
use crate::disk::Disk;
use crate::durable::failed;
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::prepare::{Filled, payload_batch};
use crate::wal::WalFile;

mod again;

/// File and group numbers over this were not counted up to; the ones after a number must have room.
const NUMBER_MAX: u64 = schemas::limits::STORE_NUMBER_MAX;
/// Runs of entries that are missing in one log before its rows are read no further.
const REPLAY_GAPS_MAX: usize = schemas::limits::REPLAY_GAPS_MAX;

/// How far notes have been checked, and the leaves since.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    range: CompactRange,
    leaves: VecDeque<Hash>,
}

impl Noted {
    pub(crate) fn at(range: CompactRange) -> Noted {
        Noted { range, leaves: VecDeque::new() }
    }

    /// The root at `size`, which may not be below the last asked for.
    fn root_at(&mut self, size: u64) -> Option<Hash> {
        while self.range.size() < size {
            self.range.push(self.leaves.pop_front()?);
        }
        (self.range.size() == size).then(|| self.range.root())
    }
}

/// What was read of a log before the entries that it continues.
///
/// A small log is carried forward: all that it has unsealed is written again, in one group, and its oldest file goes.
/// Files between may stay for other logs. What they hold of this log then has nothing before it, and is there again
/// in the later group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Awaited {
    /// One past the last entry passed over.
    end: u64,
    /// The first of them.
    first: Option<u64>,
    /// Checkpoints of sizes not reached yet, ascending.
    notes: VecDeque<(Checkpoint, Arc<str>)>,
}

/// What the write-ahead files held.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Whose they are.
    writer: String,
    /// The directory they lie in.
    directory: String,
    /// Whether what does not fit is passed over: nothing is served from what is read.
    is_lenient: bool,
    files: Vec<ReplayedFile>,
    /// Of the files, oldest first, so many had been given up and came back.
    given_up: usize,
    last_group: Option<u64>,
    end: Position,
    torn: Option<(Position, Vec<u8>)>,
}

#[derive(Debug)]
struct ReplayedFile {
    number: u64,
    bytes: u64,
    ends: BTreeMap<Origin, u64>,
}

impl Replay {
    /// Of this writer's files in this directory; nothing is read yet.
    pub(crate) fn of(writer: &str, directory: &str) -> Replay {
        Replay {
            writer: writer.to_string(),
            directory: directory.to_string(),
            is_lenient: false,
            files: Vec::new(),
            given_up: 0,
            last_group: None,
            end: Position::default(),
            torn: None,
        }
    }

    /// The same of what can be read of them: one damaged log keeps nobody from reading the others, and of one whose sealed part
    /// is not all here the entries count from the first that is.
    pub(crate) fn read_what_fits(
        writer: &str,
        directory: &str,
        disk: &dyn Disk,
        keys: &Keys,
        logs: &mut Logs,
    ) {
        for _ in 0..=REPLAY_GAPS_MAX {
            let mut replay = Replay { is_lenient: true, ..Replay::of(writer, directory) };
            if let Err(error) = replay.run(disk, keys, logs) {
                tracing::warn!(%error, "the write-ahead files are read up to here");
            }
            let mut has_gap = false;
            for log in logs.values_mut() {
                let awaited = std::mem::take(&mut log.awaited);
                if let Some(first) = awaited.first.filter(|first| *first > log.view.durable) {
                    log.view.durable = first;
                    log.has_gap = true;
                    has_gap = true;
                }
            }
            if !has_gap {
                return;
            }
        }
    }

    /// The group to be written next.
    pub(crate) fn next_group(&self) -> u64 {
        self.last_group.map_or(0, |number| number + 1)
    }

    /// Where the last readable group ends.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// The newest group, where it was begun and not finished.
    pub(crate) fn torn(&self) -> Option<(Position, &[u8])> {
        self.torn.as_ref().map(|(position, bytes)| (*position, bytes.as_slice()))
    }

    /// The files for the writer to go on with.
    pub(crate) fn files(&self, number_of: &dyn Fn(&Origin) -> u64) -> VecDeque<WalFile> {
        let file = |file: &ReplayedFile| WalFile {
            number: file.number,
            bytes: file.bytes,
            needed_to: file.ends.iter().map(|(origin, end)| (number_of(origin), *end)).collect(),
        };
        self.files.iter().map(file).collect()
    }

    /// Reads and applies all files.
    pub(crate) fn run(&mut self, disk: &dyn Disk, keys: &Keys, logs: &mut Logs) -> Result<()> {
        let mut numbers = Vec::new();
        for entry in disk.list(&self.directory).map_err(failed(disk, "list", &self.directory))? {
            // Spares have other names; they hold nothing.
            if let Ok(number) = layout::parse_wal(&entry.name) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        for number in numbers {
            self.file(disk, keys, logs, number)?;
        }
        if self.is_lenient { Ok(()) } else { logs.values().try_for_each(check_awaited) }
    }

    fn pass_over(&self, applied: Result<()>) -> Result<()> {
        match applied {
            Err(error @ (Error::Tampered { .. } | Error::Refused(_))) if self.is_lenient => {
                tracing::warn!(%error, "passed over in a write-ahead file");
                Ok(())
            }
            applied => applied,
        }
    }

    fn file(&mut self, disk: &dyn Disk, keys: &Keys, logs: &mut Logs, number: u64) -> Result<()> {
        let path = layout::wal(number).replacen(layout::WAL, &self.directory, 1);
        let bytes = disk.read(&path).map_err(failed(disk, "read", &path))?;
        let header = FileHeader::parse(&bytes).map_err(|error| tampered(&path, error.to_string()))?;
        if header.number != number || number > NUMBER_MAX {
            return Err(tampered(&path, format!("its header says number {}", header.number)));
        }
        self.files.push(ReplayedFile { number, bytes: bytes.len() as u64, ends: BTreeMap::new() });
        self.end = Position { file: number, offset: FILE_HEADER_BYTES as u64 };
        let mut offset = FILE_HEADER_BYTES;
        while let Some((group, body)) = group_at(&bytes, offset, &header) {
            // Every group is synced before the next is written, and recovery takes a torn one out of its file.
            if let Some((position, _)) = &self.torn {
                let Position { file, offset } = position;
                let before =
                    format!("an unreadable group at byte {offset} of file {file} before a readable one");
                return Err(tampered(&path, before));
            }
            let follows = match self.last_group {
                Some(last) if offset == FILE_HEADER_BYTES && group.number > last + 1 => {
                    self.given_up = self.files.len() - 1;
                    self.are_given_up(logs)
                }
                Some(last) => group.number == last + 1,
                None => true,
            };
            if group.number > NUMBER_MAX || !follows {
                let detail = format!("group {} follows {:?}", group.number, self.last_group);
                return Err(tampered(&path, detail));
            }
            self.apply(keys, logs, &group, body)?;
            self.last_group = Some(group.number);
            offset += usize::try_from(group.padded_bytes()).unwrap_or(usize::MAX);
            self.end = Position { file: number, offset: offset as u64 };
        }
        self.check_rest(&path, &bytes, offset, &header)
    }

    /// What lies behind the last readable group: nothing, an earlier use of the file, or a torn group; never a
    /// readable one.
    fn check_rest(&mut self, path: &str, bytes: &[u8], offset: usize, header: &FileHeader) -> Result<()> {
        let mut later = offset + GROUP_ALIGN_BYTES;
        while later + GROUP_HEADER_BYTES <= bytes.len() {
            if bytes.get(later..later + 8) == Some(b"TACHOGRP") && group_at(bytes, later, header).is_some() {
                return Err(tampered(
                    path,
                    format!("an unreadable group at {offset} before a readable one at {later}"),
                ));
            }
            later += GROUP_ALIGN_BYTES;
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        if let Some(length) = begun(rest, header) {
            let position = Position { file: header.number, offset: offset as u64 };
            self.torn = Some((position, rest.get(..length).unwrap_or(rest).to_vec()));
        }
        Ok(())
    }

    fn apply(&mut self, keys: &Keys, logs: &mut Logs, group: &GroupHeader, body: &[u8]) -> Result<()> {
        for section in sections(body, group.sections)? {
            match section {
                Section::Entries(entries) => {
                    let end = entries.first + u64::from(entries.count);
                    let applied = apply_entries(self.log(keys, logs, &entries.origin)?, &entries);
                    self.pass_over(applied)?;
                    self.note_end(&entries.origin, end);
                }
                Section::Checkpoint(note) => {
                    let text = Note::parse(note)?;
                    let origin = Checkpoint::parse(text.unverified_text())?.origin;
                    let log = self.log(keys, logs, &origin)?;
                    let checkpoint = match open_checkpoint(log, note) {
                        Ok(checkpoint) => checkpoint,
                        Err(error) => {
                            self.pass_over(Err(error))?;
                            continue;
                        }
                    };
                    let size = checkpoint.size;
                    if self.is_lenient {
                        // Whether or not its entries are here: somebody may have been shown it.
                        if size > log.view.signed || log.view.checkpoint.is_empty() {
                            log.view.signed = size;
                            log.view.checkpoint = String::from_utf8_lossy(note).into();
                        }
                        continue;
                    }
                    log.awaited.notes.push_back((checkpoint, String::from_utf8_lossy(note).into()));
                    apply_reached(log)?;
                    self.note_end(&origin, size);
                }
                Section::Cursor(cursor) => apply_cursor(self.log(keys, logs, &cursor.origin)?, &cursor),
            }
        }
        Ok(())
    }

    fn log<'a>(&self, keys: &Keys, logs: &'a mut Logs, origin: &Origin) -> Result<&'a mut Found> {
        if origin.installation() != keys.installation() {
            return Err(tampered(origin, "the write-ahead files are of another installation"));
        }
        if origin.writer() != self.writer {
            let detail = format!("the write-ahead files are of another writer than {}", self.writer);
            return Err(tampered(origin, detail));
        }
        let key = (origin.tenant().to_string(), origin.stream());
        match logs.entry(key) {
            std::collections::btree_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                Ok(free.insert(sealed::empty(keys, origin.clone())?))
            }
        }
    }

    fn note_end(&mut self, origin: &Origin, end: u64) {
        if let Some(file) = self.files.last_mut() {
            let known = file.ends.entry(origin.clone()).or_default();
            *known = (*known).max(end);
        }
    }
}

/// Bytes of a group that was begun at the start of `rest` and is not readable, if there is one. What an earlier use
/// of the file left behind is none.
fn begun(rest: &[u8], file: &FileHeader) -> Option<usize> {
    match GroupHeader::parse(rest) {
        Ok(group) => {
            (group.nonce == file.nonce).then(|| rest.len().min(GROUP_HEADER_BYTES + group.body_bytes))
        }
        Err(_) => {
            // What an earlier use left has another nonce, whatever text its payloads put here.
            let is_ours = rest.get(16..32) == Some(file.nonce.as_slice());
            // Its header is damaged, so its length is not known: everything up to the zeros.
            is_ours.then(|| rest.len() - rest.iter().rev().take_while(|byte| **byte == 0).count())
        }
    }
}

/// The group at `offset`, if one of this use of the file is there, whole.
fn group_at<'a>(bytes: &'a [u8], offset: usize, file: &FileHeader) -> Option<(GroupHeader, &'a [u8])> {
    let header = GroupHeader::parse(bytes.get(offset..)?).ok()?;
    let start = offset + GROUP_HEADER_BYTES;
    let body = bytes.get(start..start.checked_add(header.body_bytes)?)?;
    (header.nonce == file.nonce && header.check_body(body).is_ok()).then_some((header, body))
}

fn apply_entries(log: &mut Found, section: &EntriesSection<'_>) -> Result<()> {
    let end = section.first + u64::from(section.count);
    let durable = log.view.durable;
    if end <= durable {
        return Ok(());
    }
    if section.first > durable {
        log.awaited.end = log.awaited.end.max(end);
        log.awaited.first =
            log.awaited.first.map_or(Some(section.first), |first| Some(first.min(section.first)));
        return Ok(());
    }
    let skip = usize::try_from(durable - section.first).unwrap_or(usize::MAX);
    let filled = refill(log, section, skip)?;
    let bytes = filled.bundle.len() as u64;
    let ingest_us = first_ingest_us(&filled);
    log.noted.leaves.extend(filled.leaves.iter().copied());
    log.view.apply(&filled, bytes, ingest_us)?;
    log.note_last(&filled.entries)?;
    apply_reached(log)
}

/// Takes a cursor in. Below the sealed size the manifest has spoken; past the durable one its entries were passed over,
/// and it comes again with them.
fn apply_cursor(log: &mut Found, section: &CursorSection<'_>) {
    if section.end > log.view.sealed && section.end <= log.view.durable {
        log.view.cursors.apply(section.end, section.name, section.value);
    }
}

/// Whether everything that was passed over has come.
fn check_awaited(log: &Found) -> Result<()> {
    let durable = log.view.durable;
    if log.awaited.end > durable {
        let detail =
            format!("entries up to {} were written, but there is none at {durable}", log.awaited.end);
        return Err(tampered(&log.origin, detail));
    }
    match log.awaited.notes.back() {
        Some((checkpoint, _)) => Err(signed_beyond(log, checkpoint.size)),
        None => Ok(()),
    }
}

fn signed_beyond(log: &Found, size: u64) -> Error {
    tampered(&log.origin, format!("size {size} is signed, only {} entries are here", log.view.durable))
}

/// The range as the commit had it, from its bytes.
fn refill(log: &Found, section: &EntriesSection<'_>, skip: usize) -> Result<Filled> {
    let stream = log.origin.stream();
    let wrong = |detail: String| tampered(&log.origin, detail);
    let mut rows = RowsBuilder::entries(stream);
    let mut commitments: BTreeMap<u64, Hash> = BTreeMap::new();
    let mut leaves = Vec::new();
    let mut bundle = Vec::new();
    let first = section.first + skip as u64;
    for (at, entry) in section.entries()?.into_iter().enumerate().skip(skip) {
        let view = EntryView::parse(entry)?;
        let index = section.first + at as u64;
        if view.index != index || view.log_id != log.keys.log_id {
            return Err(wrong(format!("the entry at index {index} says it is another")));
        }
        rows.push_fields(i64::try_from(index).unwrap_or(i64::MAX), view.fields())?;
        if let Some(commitment) = view.field(PAYLOAD_COMMITMENT)? {
            let commitment =
                commitment.try_into().map_err(|_| wrong(format!("commitment of index {index}")))?;
            commitments.insert(index, Hash(commitment));
        }
        leaves.push(leaf_hash(entry));
        bundle.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    let mut records = Vec::new();
    let mut kept = Vec::new();
    let mut committer = Committer::new();
    for record in section.payloads()? {
        let view = RecordView::parse(record)?;
        if view.index < first {
            continue;
        }
        if view.commitment(&mut committer)? != commitments.remove(&view.index) {
            return Err(wrong(format!(
                "the payload of index {} is not what its entry commits to",
                view.index
            )));
        }
        records.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_be_bytes());
        records.extend_from_slice(record);
        kept.push(view);
    }
    if let Some((index, _)) = commitments.first_key_value() {
        return Err(wrong(format!("index {index} has a commitment and no payload")));
    }
    Ok(Filled {
        first,
        count: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
        bundle,
        records,
        leaves,
        entries: rows.finish()?,
        payloads: payload_batch(stream, &kept)?,
        // They have sections of their own.
        cursors: Vec::new(),
    })
}

fn open_checkpoint(log: &Found, note: &[u8]) -> Result<Checkpoint> {
    Checkpoint::open(note, log.keys.checkpoint.verifier())
        .map_err(|error| tampered(&log.origin, error.to_string()))
}

/// Applies the checkpoints whose entries are there.
fn apply_reached(log: &mut Found) -> Result<()> {
    while let Some((checkpoint, note)) = log.awaited.notes.pop_front() {
        if checkpoint.size > log.view.durable {
            log.awaited.notes.push_front((checkpoint, note));
            break;
        }
        apply_checkpoint(log, &checkpoint, note)?;
    }
    Ok(())
}

/// Checks a checkpoint against what was replayed, and takes it as signed.
fn apply_checkpoint(log: &mut Found, checkpoint: &Checkpoint, note: Arc<str>) -> Result<()> {
    let size = checkpoint.size;
    if size > log.view.durable {
        return Err(signed_beyond(log, size));
    }
    // A note below what is sealed or checked already was checked when it was newest.
    if size < log.view.sealed || size < log.noted.range.size() {
        return Ok(());
    }
    if log.noted.root_at(size) != Some(checkpoint.root) {
        return Err(tampered(
            &log.origin,
            format!("the root signed at size {size} is not that of the entries"),
        ));
    }
    if size > log.view.signed {
        log.view.signed = size;
        log.view.checkpoint = Arc::clone(&note);
        if size > log.view.sealed {
            log.view.notes.push_back((size, note));
        }
    }
    Ok(())
}

/// Holds the copy of the newest checkpoint against what was found: it is never ahead of the write-ahead files.
/// One that cannot be read is rebuilt.
pub(crate) fn check_copy(disk: &dyn Disk, log: &mut Found) -> Result<()> {
    let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::CHECKPOINT);
    let Ok(bytes) = disk.read(&path) else { return Ok(()) };
    match open_checkpoint(log, &bytes) {
        Ok(checkpoint) => apply_checkpoint(log, &checkpoint, String::from_utf8_lossy(&bytes).into()),
        Err(error) => {
            tracing::warn!(log = %log.origin, %error, "the checkpoint copy is unreadable and will be rebuilt");
            Ok(())
        }
    }
}
