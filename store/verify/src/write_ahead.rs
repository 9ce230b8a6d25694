//! The write-ahead files of a data directory, read only: what is durable but not sealed yet.
//!
//! A writer may be appending. Only complete groups count; an unreadable newest one is a note, because a torn
//! write and corruption cannot be told apart there. Everything else that does not add up is a finding.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::cursor::check_value;
use schemas::entry::{EntryView, value};
use schemas::group::{
    CursorSection, EntriesSection, FILE_HEADER_BYTES, FileHeader, GROUP_HEADER_BYTES, GroupHeader, Position,
    Section, padded, sections,
};
use schemas::layout;
use schemas::limits::{GROUP_ALIGN_BYTES, GROUP_BODY_BYTES_MAX, WAL_FILE_BYTES};
use schemas::note::Note;
use schemas::payload::{Committer, RecordView};
use schemas::rows::RowsBuilder;
use schemas::stream::{CONTROL, INGEST_TIME, PAYLOAD_COMMITMENT, TENANT};
use schemas::tree::{Hash, leaf_hash};
use schemas::{CursorName, LogId, Origin};

use crate::report::{Finding, Gathered};

/// What all write-ahead files hold.
#[derive(Debug, Default)]
pub struct WriteAhead {
    /// By log.
    pub logs: BTreeMap<Origin, WriteAheadLog>,
    /// Groups that are missing between files.
    pub gaps: Vec<Gap>,
    /// What was found.
    pub gathered: Gathered,
}

/// Groups that are missing before the first group of a file.
#[derive(Debug)]
pub struct Gap {
    /// What is wrong with it, where it is not of files that came back.
    pub finding: Finding,
    /// The files before it, from the gap before it on.
    before: Vec<String>,
    /// How far all files before it go in each log that they hold anything of.
    ends: BTreeMap<Origin, u64>,
}

impl Gap {
    /// What is to be said of it, where so much of each log is sealed.
    ///
    /// A writer gives its files up oldest first, and each only once all in it is sealed. A power cut may undo the removal of
    /// some and not of those after them. Whoever leaves such a gap on purpose gains nothing: without the files before it,
    /// which hold only what is sealed, there would be none.
    pub fn judge(self, sealed: &BTreeMap<&str, u64>, out: &mut Gathered) {
        let is_sealed = |(origin, end): (&Origin, &u64)| {
            sealed.get(origin.to_string().as_str()).is_some_and(|sealed| sealed >= end)
        };
        if !self.ends.iter().all(is_sealed) {
            out.find(self.finding);
            return;
        }
        for path in self.before {
            let back = "all in it is sealed: it was given up and came back, as after a power cut; the next start of the \
                        service removes it";
            out.note(Finding::new(back).file(path));
        }
    }
}

/// What they hold of one log.
#[derive(Debug, Default)]
pub struct WriteAheadLog {
    /// Entries by index; an entry that was copied forward is here once.
    pub entries: BTreeMap<u64, WriteAheadEntry>,
    /// Signed checkpoint notes, not verified yet, with their place.
    pub checkpoints: Vec<(String, Vec<u8>)>,
    /// Cursors by name, their values by end.
    pub cursors: BTreeMap<String, BTreeMap<u64, String>>,
}

impl WriteAheadLog {
    /// One past the last entry.
    pub fn end(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(index, _)| index.saturating_add(1))
    }
}

/// One entry, as far as others need it.
#[derive(Debug)]
pub struct WriteAheadEntry {
    /// Its leaf hash.
    pub leaf: Hash,
    /// The log it says it is of.
    pub log_id: LogId,
    /// Its `ingest_time`, microseconds.
    pub ingest_time_us: i64,
    /// Its `control` text.
    pub control: Option<String>,
    /// File and group.
    pub place: Arc<str>,
}

/// The readable groups of one file.
struct FileGroups {
    number: u64,
    /// First and last group number, if there is a group.
    groups: Option<(u64, u64)>,
    /// One past the last entry, or the greatest signed size, of each log in them.
    ends: BTreeMap<Origin, u64>,
    /// Where the readable groups end.
    end: u64,
    /// Whether something that may be a group of this use of the file follows.
    is_torn: bool,
    /// Whether a readable group follows that.
    has_later: bool,
}

/// Reads all write-ahead files below `directory`.
pub fn read(directory: &Path) -> WriteAhead {
    let mut out = WriteAhead::default();
    let mut numbers = Vec::new();
    let listed = fs::read_dir(directory).and_then(|entries| {
        for entry in entries {
            let name = entry?.file_name();
            match name.to_str().and_then(|name| layout::parse_wal(name).ok()) {
                Some(number) => numbers.push(number),
                None => {
                    let path = format!("{}/{}", layout::WAL, name.to_string_lossy());
                    out.gathered.note(Finding::new("not a write-ahead file").file(path));
                }
            }
        }
        Ok(())
    });
    if let Err(error) = listed {
        out.gathered.unread(Finding::new(format!("cannot list {}: {error}", directory.display())));
        return out;
    }
    numbers.sort_unstable();
    let mut files = Vec::new();
    let mut unusable = Vec::new();
    let mut synced = Position::default();
    for number in numbers {
        let path = layout::wal(number);
        let name = path.strip_prefix(layout::WAL).unwrap_or_default().trim_start_matches('/');
        let bytes = match fs::metadata(directory.join(name)).and_then(|metadata| {
            if metadata.len() > WAL_FILE_BYTES.max(GROUP_BODY_BYTES_MAX as u64) * 2 {
                return Err(std::io::Error::other(format!("{} bytes, too large", metadata.len())));
            }
            fs::read(directory.join(name))
        }) {
            Ok(bytes) => bytes,
            // Sealed in the meantime, and so is all that came before it: files go oldest first. What follows it need not
            // follow what was read.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                files.clear();
                unusable.clear();
                continue;
            }
            Err(error) => {
                out.gathered.unread(Finding::new(format!("cannot read it: {error}")).file(path));
                continue;
            }
        };
        match FileHeader::parse(&bytes) {
            Ok(header) if header.number == number => {
                let last = files.iter().rev().find_map(|file: &FileGroups| file.groups).map(|(_, last)| last);
                files.push(out.walk(&path, &header, &bytes, last, &mut synced));
            }
            Ok(header) => unusable.push((number, format!("its header says file {}", header.number))),
            // A header is one sector: it is never torn once groups follow it.
            Err(error) if has_group(&bytes) => out.gathered.find(Finding::new(error.to_string()).file(path)),
            Err(error) => unusable.push((number, error.to_string())),
        }
    }
    out.check_order(&files, &unusable, synced);
    out
}

impl WriteAhead {
    /// Reads the groups of one file; `last` is the last group of those before.
    fn walk(
        &mut self,
        path: &str,
        header: &FileHeader,
        bytes: &[u8],
        last: Option<u64>,
        synced: &mut Position,
    ) -> FileGroups {
        let mut at = FILE_HEADER_BYTES;
        let mut groups: Option<(u64, u64)> = None;
        let mut ends = BTreeMap::new();
        while let Some((group, body)) = group_at(bytes, at, header) {
            let place = format!("{path} group {}", group.number);
            let end = at + padded(GROUP_HEADER_BYTES + body.len());
            let padding = bytes.get(at + GROUP_HEADER_BYTES + body.len()..end).unwrap_or_default();
            if padding.iter().any(|byte| *byte != 0) {
                self.gathered.find(Finding::new("bytes after the group are not zero").file(&place));
            }
            if let Some((_, last)) = groups.filter(|(_, last)| last.checked_add(1) != Some(group.number)) {
                let wrong = format!("group {} follows group {last}", group.number);
                self.gathered.find(Finding::new(wrong).file(&place));
            }
            if groups.is_none() && last.is_some_and(|last| last.checked_add(1) != Some(group.number)) {
                // What moved on in the groups that are missing is not known: a manifest may say more than those before them.
                self.logs.values_mut().for_each(|log| log.cursors.clear());
            }
            groups = Some((groups.map_or(group.number, |(first, _)| first), group.number));
            *synced = group.synced.max(*synced);
            if let Err(error) = self.group(&place, &group, body, &mut ends) {
                self.gathered.find(Finding::new(error.to_string()).file(&place));
            }
            at = end;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let is_torn = rest.get(16..32) == Some(header.nonce.as_slice());
        let has_later = (at + GROUP_ALIGN_BYTES..bytes.len())
            .step_by(GROUP_ALIGN_BYTES)
            .any(|later| group_at(bytes, later, header).is_some());
        FileGroups { number: header.number, groups, ends, end: at as u64, is_torn, has_later }
    }

    fn group(
        &mut self,
        place: &str,
        group: &GroupHeader,
        body: &[u8],
        ends: &mut BTreeMap<Origin, u64>,
    ) -> schemas::Result<()> {
        let mut goes_to = |origin: &Origin, end: u64| {
            let known = ends.entry(origin.clone()).or_default();
            *known = end.max(*known);
        };
        for section in sections(body, group.sections)? {
            match section {
                Section::Entries(section) => {
                    goes_to(&section.origin, section.first.saturating_add(u64::from(section.count)));
                    self.entries(place, &section)?;
                }
                Section::Checkpoint(note) => {
                    let text = Note::parse(note)?;
                    let Checkpoint { origin, size, .. } = Checkpoint::parse(text.unverified_text())?;
                    goes_to(&origin, size);
                    self.logs.entry(origin).or_default().checkpoints.push((place.to_string(), note.to_vec()));
                }
                Section::Cursor(cursor) => self.cursor(place, &cursor),
            }
        }
        Ok(())
    }

    fn entries(&mut self, place: &str, section: &EntriesSection<'_>) -> schemas::Result<()> {
        let log = self.logs.entry(section.origin.clone()).or_default();
        let mut rows = RowsBuilder::entries(section.origin.stream());
        let mut commitments: HashMap<u64, Hash> = HashMap::new();
        let mut wrong = Vec::new();
        let shared_place: Arc<str> = place.into();
        for (index, bytes) in (section.first..).zip(section.entries()?) {
            let view = EntryView::parse(bytes)?;
            if view.index != index {
                wrong.push((index, format!("it says index {}", view.index)));
            }
            let signed_index =
                i64::try_from(index).map_err(|_| schemas::Error::malformed("entry", "index"))?;
            rows.push_fields(signed_index, view.fields())?;
            if view.field(TENANT)? != Some(section.origin.tenant().as_bytes()) {
                wrong.push((index, "another tenant than its log's".to_string()));
            }
            if let Some(commitment) = view.field(PAYLOAD_COMMITMENT)? {
                match <[u8; 32]>::try_from(commitment) {
                    Ok(commitment) => _ = commitments.insert(index, Hash(commitment)),
                    Err(_) => wrong.push((index, "a payload commitment that has not 32 bytes".to_string())),
                }
            }
            let control = view.field(CONTROL)?.map(|text| value::text("control", text)).transpose()?;
            let entry = WriteAheadEntry {
                leaf: leaf_hash(bytes),
                log_id: view.log_id,
                ingest_time_us: value::int("ingest_time", view.field(INGEST_TIME)?.unwrap_or_default())?,
                control: control.map(str::to_string),
                place: Arc::clone(&shared_place),
            };
            match log.entries.get(&index) {
                Some(before) if before.leaf != entry.leaf => {
                    wrong.push((index, format!("another entry than in {}", before.place)));
                }
                Some(_) => {}
                None => _ = log.entries.insert(index, entry),
            }
        }
        let mut committer = Committer::new();
        for record in section.payloads()? {
            let record = RecordView::parse(record)?;
            let expected = commitments.remove(&record.index);
            if expected.is_none() || record.commitment(&mut committer)? != expected {
                wrong.push((record.index, "a payload that its entry does not commit to".to_string()));
            }
        }
        let without =
            commitments.into_keys().map(|index| (index, "a commitment without its payload".to_string()));
        for (index, detail) in wrong.into_iter().chain(without) {
            self.gathered.find(Finding::new(detail).log(section.origin.to_string()).index(index).file(place));
        }
        Ok(())
    }

    /// A cursor stands behind an entry that is there, and is repeated as it was.
    fn cursor(&mut self, place: &str, cursor: &CursorSection<'_>) {
        let mut wrong = Vec::new();
        let log = self.logs.entry(cursor.origin.clone()).or_default();
        if cursor.end.checked_sub(1).is_none_or(|last| !log.entries.contains_key(&last)) {
            wrong.push(format!("cursor {:?} is ahead of the entries: it says {}", cursor.name, cursor.end));
        }
        if cursor.name.parse::<CursorName>().is_err() || check_value(cursor.value).is_err() {
            wrong.push(format!("cursor {:?} has a name or value that none has", cursor.name));
        }
        let of_name = log.cursors.entry(cursor.name.to_string()).or_default();
        if of_name.get(&cursor.end).is_some_and(|before| before != cursor.value) {
            wrong.push(format!("cursor {:?} is somewhere else than in an earlier group", cursor.name));
        }
        of_name.insert(cursor.end, cursor.value.to_string());
        for detail in wrong {
            self.gathered.find(Finding::new(detail).log(cursor.origin.to_string()).file(place));
        }
    }

    /// What the files say of one another: consecutive groups, nothing unreadable before something readable.
    fn check_order(&mut self, files: &[FileGroups], unusable: &[(u64, String)], synced: Position) {
        let newest = files.iter().filter(|file| file.groups.is_some()).map(|file| file.number).max();
        for (number, detail) in unusable {
            let finding = Finding::new(detail).file(layout::wal(*number));
            if newest.is_some_and(|newest| *number < newest) || *number == synced.file {
                self.gathered.find(finding);
            } else {
                self.gathered.note(finding);
            }
        }
        let mut last: Option<u64> = None;
        let mut ends: BTreeMap<Origin, u64> = BTreeMap::new();
        let mut before = Vec::new();
        for file in files {
            let path = layout::wal(file.number);
            if let (Some(last), Some((first, _))) = (last, file.groups)
                && last.checked_add(1) != Some(first)
            {
                let wrong = format!("its first group is {first}, the one before it {last}");
                let finding = Finding::new(wrong).file(&path);
                if first > last {
                    self.gaps.push(Gap { finding, before: std::mem::take(&mut before), ends: ends.clone() });
                } else {
                    self.gathered.find(finding);
                }
            }
            last = file.groups.map(|(_, last)| last).or(last);
            before.push(path.clone());
            for (origin, end) in &file.ends {
                let known = ends.entry(origin.clone()).or_default();
                *known = (*end).max(*known);
            }
            let is_newest = newest.is_none_or(|newest| file.number >= newest);
            if file.has_later {
                let wrong = format!("an unreadable group at byte {} before a readable one", file.end);
                self.gathered.find(Finding::new(wrong).file(path));
            } else if file.number == synced.file && file.end < synced.offset {
                let wrong = format!("readable to byte {}, but once synced to {}", file.end, synced.offset);
                self.gathered.find(Finding::new(wrong).file(path));
            } else if file.is_torn && is_newest {
                let torn = format!("the group at byte {} is torn or still being written", file.end);
                self.gathered.note(Finding::new(torn).file(path));
            } else if file.is_torn {
                let wrong = format!("an unreadable group at byte {}, and a later file has groups", file.end);
                self.gathered.find(Finding::new(wrong).file(path));
            }
        }
    }
}

/// Whether there is a group header where the first one would be, of whatever use of the file.
fn has_group(bytes: &[u8]) -> bool {
    bytes.get(FILE_HEADER_BYTES..).is_some_and(|rest| GroupHeader::parse(rest).is_ok())
}

/// The readable group at byte `at`, if it was written for this use of the file.
fn group_at<'a>(bytes: &'a [u8], at: usize, header: &FileHeader) -> Option<(GroupHeader, &'a [u8])> {
    let rest = bytes.get(at..)?;
    let group = GroupHeader::parse(rest).ok().filter(|group| group.nonce == header.nonce)?;
    let body = rest.get(GROUP_HEADER_BYTES..GROUP_HEADER_BYTES.checked_add(group.body_bytes)?)?;
    group.check_body(body).ok()?;
    Some((group, body))
}
