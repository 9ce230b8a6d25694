//! A small sealed store, written by the real program: every byte of every file flipped in turn is found, and so are
//! files lost, copied, cut, edited and rewritten. Each finding names the log and the file, and the entry where one differs.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use verify::{Finding, Report};

use super::main_job::files_below;
use crate::support::{Seeded, Service, event, is_full, run, verify as verified};

/// Bytes that cannot matter, with the reason. Kept empty: a file that a manifest names is covered by its digest, and
/// every other file is compared with what it must be.
const CANNOT_MATTER: [(&str, &str); 0] = [];
/// Bytes of the store, at most.
const STORE_BYTES_MAX: u64 = 200 << 10;

/// A store, its files, and where they lie.
struct Small {
    home: tempfile::TempDir,
    log: PathBuf,
    files: Vec<PathBuf>,
    /// The root log's verifier key.
    key: String,
}

/// A sealed store of at most 200 KiB.
fn small_store() -> Small {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    for at in 0..3 {
        let body: Vec<String> = (0..90).map(|line| event(&format!("{at}-{line}"))).collect();
        assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);
    }
    service.sql("SELECT count(*) FROM events");
    assert_eq!(service.stop(), Some(0));
    let log = home.path().join("data/log");
    let files = files_below(&log);
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= STORE_BYTES_MAX, "{bytes} bytes");
    let (code, text) = verified(home.path());
    assert_eq!(code, 0, "{text}");
    let (data, keys) = (home.path().join("data"), home.path().join("keys"));
    let place = ["--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
    let shown = run(&[&["keys", "show", "--root"], &place[..]].concat());
    let key = String::from_utf8(shown.stdout).unwrap().lines().last().unwrap().to_string();
    Small { home, log, files, key }
}

impl Small {
    /// What `tacho verify --json --key` reports. The root key comes from outside, as an auditor's does: one taken from the store
    /// itself would leave open, where the root log's first entry is damaged, which log is the root.
    fn check(&self) -> Report {
        let identity = verify::Identity::Key(self.key.parse().unwrap());
        let options = verify::Options::new(self.home.path().join("data"), identity);
        verify::run(&options, &|_| {}).expect("verify runs")
    }

    /// The one file of `kind` in the log of events.
    fn of_events(&self, kind: &str) -> &Path {
        let within = self.log.join("default/events/w1").join(kind);
        self.files.iter().find(|file| file.starts_with(&within)).unwrap()
    }

    /// `<tenant>/<stream>/<writer>`, and the path below it.
    fn place(&self, file: &Path) -> (String, String) {
        let name = file.strip_prefix(&self.log).unwrap().display().to_string();
        let parts: Vec<&str> = name.splitn(4, '/').collect();
        (parts[..3].join("/"), parts[3].to_string())
    }

    /// The findings that name this file and its log.
    fn named<'a>(&self, report: &'a Report, file: &Path) -> Vec<&'a Finding> {
        let (log, below) = self.place(file);
        let is_its_log = |named: &str| {
            // A damaged entry 0 of the root log leaves nobody who knows the installation's name: its directory stands
            // in for the origin.
            named.ends_with(&format!("/{log}")) || log.starts_with(&format!("{named}/"))
        };
        let is_named = |finding: &&Finding| {
            finding.file.as_deref() == Some(&below) && finding.log.as_deref().is_some_and(is_its_log)
        };
        report.findings.iter().filter(is_named).collect()
    }

    /// Fails unless the damage is found under this file's name; its findings.
    fn assert_named(&self, what: &str, file: &Path) -> Vec<Finding> {
        let report = self.check();
        let named = self.named(&report, file);
        assert!(!named.is_empty(), "{what} of {} is not named: {:#?}", file.display(), report.findings);
        named.into_iter().cloned().collect()
    }
}

/// What a reader of Parquet sees in a file; `None` where it sees none.
pub fn rows(bytes: Vec<u8>) -> Option<Vec<RecordBatch>> {
    let read = || {
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).ok()?.build().ok()?;
        reader.collect::<Result<Vec<_>, _>>().ok()
    };
    // A reader that panics over a damaged file has not read it.
    catch_unwind(std::panic::AssertUnwindSafe(read)).ok().flatten()
}

fn values(batches: &[RecordBatch]) -> Vec<&[ArrayRef]> {
    batches.iter().map(RecordBatch::columns).collect()
}

/// Why a finding names no entry; a panic when it should.
fn excuse(
    small: &Small,
    file: &Path,
    original: &[u8],
    changed: &[u8],
    at: usize,
    named: &[Finding],
) -> &'static str {
    let (_, below) = small.place(file);
    let what = || format!("byte {at} of {below} was found without the index of an entry");
    match below.split('/').collect::<Vec<_>>()[..] {
        // One hash of a higher level stands for 256 entries or more; which of them is not said, nor does any differ.
        ["tile", level, ..] => {
            assert_ne!(level, "0", "{}", what());
            "stand for many entries"
        }
        ["segments" | "payloads", ..] => match rows(changed.to_vec()) {
            // The bytes between the values: magic, page headers, statistics, footer. No entry differs; that the file is
            // not the one that was signed shows in its digest.
            // Names and notes of the schema are no values either.
            Some(read) if values(&read) == values(&rows(original.to_vec()).unwrap()) => "change no entry",
            // A page that no reader takes, or a footer that describes other columns than the stream's: which rows were in
            // it nobody can say. The file's name gives their range, and a finding beside the digest's must say what
            // is wrong with it.
            _ => {
                let is_said = named.iter().any(|finding| !finding.message.contains("BLAKE3"));
                assert!(is_said, "{}: {named:#?}", what());
                "leave rows unread"
            }
        },
        // Manifests, checkpoints and descriptions hold no entries.
        _ => "hold no entries",
    }
}

#[test]
fn every_flipped_byte_is_found() {
    let small = small_store();
    let bytes: u64 = small.files.iter().map(|file| file.metadata().unwrap().len()).sum();
    let mut seeded = Seeded(7);
    let (mut flipped, mut found, mut indexed) = (0u64, 0u64, 0u64);
    let mut excused = std::collections::BTreeMap::<&str, u64>::new();
    for file in &small.files {
        let original = std::fs::read(file).unwrap();
        let name = file.strip_prefix(&small.log).unwrap().display().to_string();
        let step = (original.len() / 12).max(1);
        let mut at = 0;
        while at < original.len() {
            let mut changed = original.clone();
            changed[at] ^= 1 << seeded.below(8);
            std::fs::write(file, &changed).unwrap();
            flipped += 1;
            if !CANNOT_MATTER.iter().any(|(place, _)| name.contains(place)) {
                let named = small.assert_named(&format!("flipped byte {at}"), file);
                found += 1;
                if named.iter().any(|finding| finding.index.is_some()) {
                    indexed += 1;
                } else {
                    *excused.entry(excuse(&small, file, &original, &changed, at, &named)).or_default() += 1;
                }
            }
            at += if is_full() { 1 } else { 1 + seeded.below(step as u64 * 2) as usize };
        }
        std::fs::write(file, &original).unwrap();
    }
    assert!(small.check().findings.is_empty(), "restored");
    println!(
        "{flipped} of {bytes} bytes in {} files flipped, {found} found and named, {indexed} with the entry; the others: {excused:?}",
        small.files.len()
    );
    assert_eq!(found, flipped);
    assert!(!is_full() || flipped == bytes, "every byte");
}

#[test]
fn files_lost_copied_and_cut_are_found() {
    let small = small_store();
    let newest =
        small.files.iter().filter(|file| file.starts_with(small.log.join("_root/root/w1/manifest"))).max();
    let newest = newest.cloned();
    for file in &small.files {
        let original = std::fs::read(file).unwrap();
        // A checkpoint can be made again from the manifest; one that is not there says nothing wrong.
        if !file.ends_with("checkpoint") {
            std::fs::remove_file(file).unwrap();
            if Some(file) == newest.as_ref() {
                // Nothing else speaks of the newest manifest of the root log; what shows is that its entries are gone.
                let report = small.check();
                let of_root = |finding: &Finding| {
                    let log = finding.log.as_deref().unwrap_or_default();
                    log.ends_with("/_root/root/w1") && finding.index.is_some()
                };
                assert!(report.findings.iter().any(of_root), "{:#?}", report.findings);
            } else {
                small.assert_named("the loss", file);
            }
        }
        std::fs::write(file, &original).unwrap();
        let mut copy = file.clone().into_os_string();
        copy.push("-copy");
        let copy = PathBuf::from(copy);
        std::fs::write(&copy, &original).unwrap();
        small.assert_named("a copy", &copy);
        std::fs::remove_file(&copy).unwrap();
        for bytes in [0, original.len() / 2, original.len() - 1] {
            std::fs::write(file, &original[..bytes]).unwrap();
            if bytes == 0 && file.ends_with("checkpoint") {
                // As one that is not there, and what a power cut leaves of it.
                let report = small.check();
                let is_named = |note: &Finding| note.file.as_deref() == Some("checkpoint");
                assert!(report.findings.is_empty() && report.notes.iter().any(is_named), "{report:#?}");
                continue;
            }
            small.assert_named(&format!("all but {bytes} bytes"), file);
        }
        std::fs::write(file, [original.as_slice(), b"x"].concat()).unwrap();
        small.assert_named("one more byte", file);
        std::fs::write(file, &original).unwrap();
    }
    assert!(small.check().findings.is_empty(), "restored");
}

#[test]
fn a_copy_of_a_segment_under_a_valid_name_is_found() {
    let small = small_store();
    let segment = small.of_events("segments");
    let bytes = std::fs::read(segment).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    let [first, last, digest] = name.split('-').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let last: u64 = last.parse().unwrap();
    let copy = |name: String| segment.with_file_name(name);
    for name in [
        format!("{first}-{last:020}-0123456789abcdef.parquet"),
        format!("{first}-{:020}-{digest}", last - 1),
        format!("{:020}-{last:020}-{digest}", 1),
    ] {
        std::fs::write(copy(name.clone()), &bytes).unwrap();
        small.assert_named("a copy", &copy(name.clone()));
        std::fs::remove_file(copy(name)).unwrap();
    }
    // Above the sealed size it may be what a seal left that did not come to its manifest: no entry, and no proof of anything.
    // The report names it all the same.
    let above = copy(format!("{last:020}-{:020}-{digest}", 2 * last));
    std::fs::write(&above, &bytes).unwrap();
    let report = small.check();
    let below = small.place(&above).1;
    let mut said = report.findings.iter().chain(&report.notes);
    assert!(said.any(|finding| finding.file.as_deref() == Some(&below)), "{report:#?}");
    std::fs::remove_file(above).unwrap();
    assert!(small.check().findings.is_empty(), "restored");
}

/// A valid Parquet file of these rows with the file's own schema and metadata, compressed harder.
pub fn rewritten(original: &[u8], batches: &[RecordBatch]) -> Vec<u8> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(original.to_vec())).unwrap();
    let metadata = builder.metadata().file_metadata().key_value_metadata().cloned();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9).unwrap()))
        .set_key_value_metadata(metadata)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

/// The rows with one cell of `column` changed.
fn edited(batch: &RecordBatch, column: &str, row: usize) -> RecordBatch {
    let at = batch.schema().index_of(column).unwrap();
    let old = batch.column(at);
    let new: ArrayRef = match old.as_string_opt::<i32>() {
        Some(texts) => {
            let text =
                |other: usize| if other == row { Some("u-2") } else { texts.iter().nth(other).unwrap() };
            Arc::new((0..batch.num_rows()).map(text).collect::<StringArray>())
        }
        None => {
            let numbers = old.as_primitive::<Int64Type>();
            let number = |(other, value): (usize, Option<i64>)| if other == row { Some(7) } else { value };
            Arc::new(numbers.iter().enumerate().map(number).collect::<Int64Array>())
        }
    };
    assert_ne!(old, &new);
    let mut columns = batch.columns().to_vec();
    columns[at] = new;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn a_typed_cell_edited_and_a_file_rewritten_are_found() {
    let small = small_store();
    for (kind, column) in [
        ("segments", "user_id"),
        ("segments", "latency_us"),
        ("segments", "decision"),
        ("payloads", "arguments"),
        ("payloads", "result"),
    ] {
        let file = small.of_events(kind);
        let original = std::fs::read(file).unwrap();
        let batches = rows(original.clone()).unwrap();
        assert_eq!(batches.len(), 1);
        let row = 41;
        let index = batches[0].column_by_name("log_index").unwrap().as_primitive::<Int64Type>().value(row);
        let forged = rewritten(&original, &[edited(&batches[0], column, row)]);
        assert_ne!(rows(forged.clone()).unwrap(), batches, "the edit is there");
        std::fs::write(file, forged).unwrap();
        let found = small.assert_named(&format!("an edit of {column}"), file);
        let indices: Vec<u64> = found.iter().filter_map(|finding| finding.index).collect();
        assert!(indices.contains(&(index as u64)), "{column} of entry {index}: {found:#?}");
        // The same rows in other bytes: no entry differs, and yet it is not the file that was signed.
        let same = rewritten(&original, &batches);
        assert_eq!(rows(same.clone()).unwrap(), batches);
        std::fs::write(file, same).unwrap();
        let found = small.assert_named("a rewritten file", file);
        assert!(found.iter().any(|finding| finding.message.contains("BLAKE3")), "{found:#?}");
        std::fs::write(file, &original).unwrap();
    }
    assert!(small.check().findings.is_empty(), "restored");
}

#[test]
fn a_tenant_or_a_stream_deleted_is_named() {
    let small = small_store();
    let aside = small.home.path().join("aside");
    for (gone, logs) in [
        ("default", &["default/events/w1", "default/access/w1"][..]),
        ("default/access", &["default/access/w1"][..]),
        ("default/events/w1", &["default/events/w1"][..]),
    ] {
        std::fs::rename(small.log.join(gone), &aside).unwrap();
        let report = small.check();
        for log in logs {
            let is_said = |finding: &Finding| {
                finding.log.as_deref().is_some_and(|named| named.ends_with(&format!("/{log}")))
                    && finding.message.contains("directory is missing")
            };
            assert!(report.findings.iter().any(is_said), "{gone}: {log}: {:#?}", report.findings);
        }
        std::fs::rename(&aside, small.log.join(gone)).unwrap();
    }
    assert!(small.check().findings.is_empty(), "restored");
}
