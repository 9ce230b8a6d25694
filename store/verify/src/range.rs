//! One range of a log: the segment files over it and their payload files, verified together on one thread.
//!
//! Ranges of a log do not overlap, so they can be verified in parallel; what crosses their borders (the tree,
//! the order of times) is left to `assembly`.

use std::io::ErrorKind;
use std::path::PathBuf;

use arrow::array::{
    Array, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use schemas::control::Control;
use schemas::entry::Encoder;
use schemas::layout::{self, FileKind, FileName};
use schemas::manifest::File;
use schemas::payload::Committer;
use schemas::stream::SALT_BYTES;
use schemas::tree::{Hash, leaf_hash};
use schemas::{LogId, Origin};

use crate::data_file;
use crate::report::{Finding, Gathered};
use crate::work::caught;

/// Rows of one range at most: bounds what a hostile manifest can make this allocate.
pub const RANGE_ROWS_MAX: u64 = schemas::limits::VERIFY_RANGE_ROWS_MAX;
/// Findings listed of one range; the rest are counted.
const LISTED_MAX: usize = schemas::limits::VERIFY_LISTED_MAX;

/// A live file and what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// As the manifest lists it.
    pub file: File,
    /// Its path, parsed.
    pub name: FileName,
}

/// Everything one worker needs to verify one range.
#[derive(Debug, Clone)]
pub struct Range {
    /// The log's place among those verified together.
    pub log: usize,
    /// The log.
    pub origin: Origin,
    /// Its id, which every entry holds.
    pub log_id: LogId,
    /// Its directory.
    pub directory: PathBuf,
    /// First index.
    pub first: u64,
    /// One past the last index.
    pub last: u64,
    /// Segment files, ascending; together they cover the range once.
    pub segments: Vec<LiveFile>,
    /// Payload files within the range.
    pub payloads: Vec<LiveFile>,
}

/// What a verified range leaves for the log as a whole.
#[derive(Debug, Default)]
pub struct RangeResult {
    /// What was found.
    pub gathered: Gathered,
    /// Leaf hashes of `first..last`; none for an entry that is missing or unusable.
    pub leaves: Vec<Option<Hash>>,
    /// `ingest_time` of `first..last`, microseconds; meaningless where there is no leaf.
    pub ingest_times_us: Vec<i64>,
    /// Control entries by index, as their text.
    pub controls: Vec<(u64, String)>,
    /// Payload rows that were checked.
    pub payload_rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Whether a file was not there.
    pub is_missing_files: bool,
}

/// Verifies a range. Never panics on the contents of files.
pub fn verify(range: &Range) -> RangeResult {
    let mut work = RangeWork::new(range);
    for segment in &range.segments {
        work.read(segment);
        work.check_segment(segment);
    }
    work.result.bytes += range.payloads.iter().map(|payload| payload.file.bytes).sum::<u64>();
    for payload in &range.payloads {
        work.read(payload);
        work.check_times(payload);
    }
    work.check_payloads_complete();
    work.finish()
}

struct RangeWork<'a> {
    range: &'a Range,
    result: RangeResult,
    times_us: Vec<i64>,
    /// By place; taken once a payload row matched it.
    commitments: Vec<Option<Hash>>,
    /// Whether some payload file could not be read: then its rows are not missing on their own account.
    payloads_unread: bool,
    unlisted: usize,
    scratch: Vec<u8>,
    committer: Committer,
}

impl<'a> RangeWork<'a> {
    fn new(range: &'a Range) -> RangeWork<'a> {
        let rows = usize::try_from(range.last - range.first).unwrap_or(0);
        RangeWork {
            range,
            result: RangeResult {
                leaves: vec![None; rows],
                ingest_times_us: vec![0; rows],
                bytes: range.segments.iter().map(|segment| segment.file.bytes).sum(),
                ..RangeResult::default()
            },
            times_us: vec![0; rows],
            commitments: vec![None; rows],
            payloads_unread: false,
            unlisted: 0,
            scratch: Vec::new(),
            committer: Committer::new(),
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.result.gathered.findings.len() < LISTED_MAX {
            self.result.gathered.find(finding);
        } else {
            self.unlisted += 1;
        }
    }

    fn find_in(&mut self, file: &LiveFile, message: impl Into<String>) {
        self.find(Finding::new(message).file(&file.file.path));
    }

    fn find_at(&mut self, file: &LiveFile, index: u64, message: impl Into<String>) {
        self.find(Finding::new(message).file(&file.file.path).index(index));
    }

    /// Reads one file: digest first, then everything that can still be read of it, to name entries.
    fn read(&mut self, live: &LiveFile) {
        let path = self.range.directory.join(&live.file.path);
        let loaded = match data_file::load(&path, &live.file) {
            Ok(loaded) => loaded,
            Err(error) => {
                self.payloads_unread |= live.name.kind == FileKind::Payload;
                if error.kind() == ErrorKind::NotFound {
                    self.result.is_missing_files = true;
                    self.find_in(live, "a file that the manifest lists is not there");
                } else {
                    let failure = Finding::new(format!("cannot read it: {error}")).file(&live.file.path);
                    self.result.gathered.unread(failure);
                }
                return;
            }
        };
        for problem in loaded.problems {
            self.find_in(live, problem);
        }
        let mut problems = Vec::new();
        let read = caught(|| {
            let problem = |detail| problems.push(detail);
            let rows = live.file.rows;
            data_file::read(&loaded.bytes, &self.range.origin, &live.name, rows, problem, |batch| match live
                .name
                .kind
            {
                FileKind::Segment => self.entries(live, batch),
                FileKind::Payload => self.payload_rows(live, batch),
            })
        });
        let failed = match read {
            Ok(read) => read.err(),
            Err(panic) => Some(format!("the Parquet reader gave up on it: {panic}")),
        };
        if failed.is_some() && live.name.kind == FileKind::Payload {
            self.payloads_unread = true;
        }
        for problem in problems.into_iter().chain(failed) {
            self.find_in(live, problem);
        }
    }

    /// The place of `index` in this range's arrays, if it is one of `file`.
    fn place(&self, file: &LiveFile, index: i64) -> Option<(u64, usize)> {
        let index = u64::try_from(index).ok().filter(|at| (file.name.first..file.name.last).contains(at))?;
        Some((index, usize::try_from(index.checked_sub(self.range.first)?).ok()?))
    }

    fn entries(&mut self, live: &LiveFile, batch: &RecordBatch) {
        let stream = self.range.origin.stream();
        let (encoder, columns) = match (Encoder::entries(stream, batch), EntryColumns::of(batch)) {
            (Ok(encoder), Some(columns)) => (encoder, columns),
            (Err(error), _) => return self.find_in(live, error.to_string()),
            (_, None) => return self.find_in(live, "a column that every stream has is missing"),
        };
        for row in 0..batch.num_rows() {
            let Some((index, at)) = self.place(live, columns.log_index.value(row)) else {
                let index = columns.log_index.value(row);
                self.find_in(live, format!("a row with log index {index}, outside the file's range"));
                continue;
            };
            let mut entry = std::mem::take(&mut self.scratch);
            entry.clear();
            match encoder.entry(&self.range.log_id, row, &mut entry) {
                Ok(()) => {
                    let leaf = Some(leaf_hash(&entry));
                    let place = self.result.leaves.get_mut(at);
                    if place.is_some_and(|place| std::mem::replace(place, leaf).is_some()) {
                        self.find_at(live, index, "the entry is there more than once");
                    }
                }
                Err(error) => self.find_at(live, index, error.to_string()),
            }
            self.scratch = entry;
            if let Some(place) = self.result.ingest_times_us.get_mut(at) {
                *place = columns.ingest_time.value(row);
            }
            if let Some(place) = self.times_us.get_mut(at) {
                *place = columns.time.value(row);
            }
            self.entry_facts(live, &columns, row, (index, at));
        }
    }

    fn entry_facts(
        &mut self,
        live: &LiveFile,
        columns: &EntryColumns<'_>,
        row: usize,
        (index, at): (u64, usize),
    ) {
        let tenant = columns.tenant.value(row);
        if tenant != self.range.origin.tenant() {
            self.find_at(
                live,
                index,
                format!("tenant {tenant:?} in a log of {}", self.range.origin.tenant()),
            );
        }
        if columns.commitment.is_valid(row) {
            match <[u8; 32]>::try_from(columns.commitment.value(row)) {
                Ok(commitment) => {
                    if let Some(place) = self.commitments.get_mut(at) {
                        *place = Some(Hash(commitment));
                    }
                }
                Err(_) => self.find_at(live, index, "a payload commitment that has not 32 bytes"),
            }
        }
        if columns.control.is_valid(row) {
            let text = columns.control.value(row);
            if let Err(error) = Control::parse(text) {
                self.find_at(live, index, error.to_string());
            }
            let is_marked = columns.kind.value(row) == Control::KIND
                && columns.session_id.value(row) == Control::SESSION
                && columns.decision.value(row) == "none"
                && columns.status.value(row) == "ok"
                && columns.source.value(row) == "tachograph"
                && columns.time.value(row) == columns.ingest_time.value(row);
            if !is_marked {
                self.find_at(live, index, "a control entry whose other columns are not those of one");
            }
            self.result.controls.push((index, text.to_string()));
        }
    }

    fn payload_rows(&mut self, live: &LiveFile, batch: &RecordBatch) {
        let encoder = match Encoder::payloads(self.range.origin.stream(), batch) {
            Ok(encoder) => encoder,
            Err(error) => return self.find_in(live, error.to_string()),
        };
        let columns = (|| {
            let log_index: &Int64Array =
                batch.column_by_name("log_index")?.as_primitive_opt::<Int64Type>()?;
            let salt: &BinaryArray = batch.column_by_name("salt")?.as_binary_opt()?;
            Some((log_index, salt))
        })();
        let Some((log_index, salts)) = columns else {
            return self.find_in(live, "column log_index or salt is missing");
        };
        for row in 0..batch.num_rows() {
            let Some((index, at)) = self.place(live, log_index.value(row)) else {
                let index = log_index.value(row);
                self.find_in(live, format!("a payload row with log index {index}, outside the file's range"));
                continue;
            };
            self.result.payload_rows += 1;
            let Ok(salt) = <[u8; SALT_BYTES]>::try_from(salts.value(row)) else {
                self.find_at(live, index, "a salt that has not 16 bytes");
                continue;
            };
            let mut commitment = self.committer.row(salt);
            let hashed = encoder.values(row, &mut self.scratch, |id, value| commitment.field(id, value));
            let found = commitment.finish();
            // Taken, so that a second row for the same entry finds nothing to belong to.
            let expected = self.commitments.get_mut(at).and_then(Option::take);
            match (hashed, expected) {
                (Err(error), _) => self.find_at(live, index, error.to_string()),
                (Ok(()), Some(expected)) if found == Some(expected) => {}
                (Ok(()), Some(_)) => {
                    self.find_at(live, index, "the payload is not the one that the entry commits to");
                }
                (Ok(()), None) => {
                    self.find_at(
                        live,
                        index,
                        "a payload row that no entry commits to, or the second for its entry",
                    );
                }
            }
        }
    }

    fn check_segment(&mut self, live: &LiveFile) {
        let holes = self.holes(live);
        for (first, last) in holes.iter().take(8) {
            let what = if last - first == 1 { "the entry is" } else { "entries from here on are" };
            self.find_at(live, *first, format!("{what} missing or unreadable, {} in a row", last - first));
        }
        if holes.len() > 8 {
            self.find_in(live, format!("{} more stretches of missing entries", holes.len() - 8));
        }
        self.check_times(live);
    }

    fn places(&self, live: &LiveFile) -> std::ops::Range<usize> {
        let place =
            |index: u64| usize::try_from(index.saturating_sub(self.range.first)).unwrap_or(usize::MAX);
        place(live.name.first)..place(live.name.last).min(self.result.leaves.len())
    }

    fn holes(&self, live: &LiveFile) -> Vec<(u64, u64)> {
        let mut holes: Vec<(u64, u64)> = Vec::new();
        for at in self.places(live) {
            if self.result.leaves.get(at).is_some_and(Option::is_none) {
                let index = self.range.first + at as u64;
                match holes.last_mut() {
                    Some((_, last)) if *last == index => *last += 1,
                    _ => holes.push((index, index + 1)),
                }
            }
        }
        holes
    }

    /// The file's date directory and the times that the manifest gives; only where every entry was read.
    fn check_times(&mut self, live: &LiveFile) {
        let places = self.places(live);
        if places.is_empty() || !self.holes(live).is_empty() {
            return;
        }
        let date = self.result.ingest_times_us.get(places.start).map(|time| layout::date(*time));
        if let Some(date) = date.filter(|date| *date != live.name.date) {
            self.find_in(
                live,
                format!("in the directory of another date than {date}, that of its first entry"),
            );
        }
        let times = self.times_us.get(places).unwrap_or_default();
        let (min, max) = (times.iter().min().copied(), times.iter().max().copied());
        if (min, max) != (Some(live.file.time_min_us), Some(live.file.time_max_us)) {
            let found = format!("{} to {}", min.unwrap_or_default(), max.unwrap_or_default());
            self.find_in(live, format!("its times are {found}, the manifest says otherwise"));
        }
    }

    fn check_payloads_complete(&mut self) {
        if self.payloads_unread {
            return;
        }
        let left: Vec<u64> = (self.range.first..)
            .zip(&self.commitments)
            .filter(|(_, left)| left.is_some())
            .map(|(index, _)| index)
            .collect();
        for index in left {
            let holder =
                self.range.segments.iter().find(|live| (live.name.first..live.name.last).contains(&index));
            let finding =
                Finding::new("the entry commits to a payload that no payload file has").index(index);
            self.find(match holder {
                Some(live) => finding.file(&live.file.path),
                None => finding,
            });
        }
    }

    fn finish(mut self) -> RangeResult {
        if self.unlisted > 0 {
            let (first, last) = (self.range.first, self.range.last);
            let more = format!("{} more findings among entries {first} to {last}", self.unlisted);
            self.result.gathered.find(Finding::new(more));
        }
        self.result.controls.sort_unstable();
        self.result
    }
}

/// The columns that every stream has and that mean something beyond their leaf.
struct EntryColumns<'a> {
    log_index: &'a Int64Array,
    ingest_time: &'a TimestampMicrosecondArray,
    time: &'a TimestampMicrosecondArray,
    tenant: &'a StringArray,
    kind: &'a StringArray,
    source: &'a StringArray,
    session_id: &'a StringArray,
    decision: &'a StringArray,
    status: &'a StringArray,
    control: &'a StringArray,
    commitment: &'a BinaryArray,
}

impl<'a> EntryColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Option<EntryColumns<'a>> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let time = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        Some(EntryColumns {
            log_index: batch.column_by_name("log_index")?.as_primitive_opt::<Int64Type>()?,
            ingest_time: time("ingest_time")?,
            time: time("time")?,
            tenant: text("tenant")?,
            kind: text("kind")?,
            source: text("source")?,
            session_id: text("session_id")?,
            decision: text("decision")?,
            status: text("status")?,
            control: text("control")?,
            commitment: batch.column_by_name("payload_commitment")?.as_binary_opt()?,
        })
    }
}
