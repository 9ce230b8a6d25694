//! Evidence bundles: what the store exports the verifier accepts with the root key alone, and nothing that was changed in one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use proptest::prelude::*;
use schemas::Stream;
use schemas::entry::EntryView;
use schemas::evidence::archive::{Member, Method, parse_tail, tail};
use schemas::evidence::payload::Payload;
use schemas::evidence::{self, Filter, Kind, Manifest, Sizes, page};
use schemas::limits::{EVIDENCE_DIRECTORY_BYTES_MAX, EVIDENCE_ENTRIES_MAX};
use schemas::note::VerifierKey;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME, payload_ids};
use sha2::{Digest as _, Sha256};
use store::clock::SystemClock;
use store::{Draft, Export, ExportError, Keys, Log, Options, Selection, Store};
use verify::Identity;
use verify::evidence::BundleReport;

const START_US: i64 = 1_795_219_200_000_000;
const PAYLOAD: [&str; 8] =
    ["arguments", "result", "attributes", "error_message", "reason", "decision_reason", "oversize", "raw"];

fn draft(first: u64, rows: u64) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for at in first..first + rows {
        let row = Row::new()
            .text(EVENT_ID, &format!("e-{at}"))
            .int(TIME, START_US + i64::try_from(at).unwrap() * 1_000_000)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, &format!("s-{}", at % 7))
            .text(9, "allow")
            .text(10, "ok")
            .text(20, "=cmd|' /C calc'!A0");
        entries.push(&row).unwrap();
        let payload = match at % 4 {
            0 => Row::new(),
            1 => Row::new().text(payload_ids::ARGUMENTS, &format!("{{\"number\":{at}}}")),
            _ => Row::new()
                .text(payload_ids::ARGUMENTS, "{\"to\":\"carol\",\"text\":\"say \\\"hi\\\"\"}")
                .text(payload_ids::RESULT, "")
                .text(payload_ids::REASON, "because\nof ü"),
        };
        payloads.push(&payload).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: vec![false; usize::try_from(rows).unwrap()],
        scope: "http/t-1".to_string(),
    }
}

/// A store with entries, some of them sealed; entry 0 is the log's own.
struct Made {
    home: tempfile::TempDir,
    store: Store,
    log: Log,
    key: VerifierKey,
}

async fn made(sealed: u64, unsealed: u64) -> Made {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::load_or_create(&home.path().join("keys")).unwrap();
    let options =
        Options { wal_file_bytes: 1 << 20, sign_interval_us: 5_000, seal_rows: 1 << 20, ..Options::default() };
    let store =
        Store::open(&home.path().join("data"), keys, options, Arc::new(SystemClock::new())).unwrap();
    let log = store.log("default", Stream::Events).await.unwrap();
    if sealed > 0 {
        log.append(draft(1, sealed)).await.unwrap();
        store.seal().await.unwrap();
    }
    if unsealed > 0 {
        log.append(draft(1 + sealed, unsealed)).await.unwrap();
    }
    let root = store.existing("_root", Stream::Root).unwrap();
    while log.snapshot().signed < log.durable() || root.snapshot().signed <= log.opened_at() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let key = store.root_key().unwrap().parse().unwrap();
    Made { home, store, log, key }
}

fn blocking<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run)
}

fn asked(kind: Kind, selection: Selection, filter: Filter, withheld: &[&str]) -> Export {
    Export {
        kind,
        selection,
        filter,
        sql: (kind == Kind::Sql).then(|| "SELECT log_index FROM events".to_string()),
        withheld: withheld.iter().map(ToString::to_string).collect(),
        snapshot: Sizes { sealed: 1, signed: 2, durable: 3 },
        exported_by: "os:someone".to_string(),
        role: "admin".to_string(),
        door: "command".to_string(),
        exported_at_us: START_US,
        query_id: "q-1".to_string(),
    }
}

impl Made {
    fn export(&self, asked: &Export) -> Result<PathBuf, ExportError> {
        let path = self.home.path().join("bundle.zip");
        let scratch = [0, 1].map(|_| tempfile::tempfile().unwrap());
        let exported = self.store.export(&self.log, asked, File::create(&path).unwrap(), scratch)?;
        assert_eq!(exported.bytes, std::fs::metadata(&path).unwrap().len());
        Ok(path)
    }

    fn verify(&self, path: &Path) -> BundleReport {
        verify::evidence::run(path, &Identity::Key(self.key.clone())).unwrap()
    }

    fn range(&self, range: std::ops::Range<u64>, withheld: &[&str]) -> PathBuf {
        self.export(&asked(Kind::Range, Selection::Range(range), Filter::All {}, withheld)).unwrap()
    }
}

/// The files of a bundle.
fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let tail = length.min(EVIDENCE_DIRECTORY_BYTES_MAX);
    file.seek(SeekFrom::Start(length - tail)).unwrap();
    let mut end = Vec::new();
    file.read_to_end(&mut end).unwrap();
    let members = parse_tail(&end, length).unwrap();
    let read = members.into_iter().map(|member| {
        file.seek(SeekFrom::Start(member.data_offset())).unwrap();
        let mut packed = vec![0; usize::try_from(member.packed).unwrap()];
        file.read_exact(&mut packed).unwrap();
        let mut contents = Vec::new();
        match member.method {
            Method::Stored => contents = packed,
            Method::Deflated => {
                flate2::read::DeflateDecoder::new(packed.as_slice()).read_to_end(&mut contents).unwrap();
            }
        }
        (member.name, contents)
    });
    read.collect()
}

/// A zip of these files with nothing packed; `edit` may lie in the directory about each.
fn zip(files: &[(String, Vec<u8>)], edit: impl Fn(&mut Member)) -> Vec<u8> {
    let (mut out, mut members) = (Vec::new(), Vec::new());
    for (name, contents) in files {
        let mut crc = flate2::Crc::new();
        crc.update(contents);
        let length = contents.len() as u64;
        let mut member = Member {
            name: name.clone(),
            method: Method::Stored,
            crc: crc.sum(),
            packed: length,
            bytes: length,
            offset: out.len() as u64,
        };
        edit(&mut member);
        out.extend(member.local().unwrap());
        out.extend(contents);
        members.push(member);
    }
    let end = tail(&members, out.len() as u64).unwrap();
    out.extend(end);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Custody page and sums again, as whoever changes a bundle would make them.
fn dressed(files: &mut [(String, Vec<u8>)]) {
    let sums = |files: &[(String, Vec<u8>)], until: &str| -> Vec<(String, String)> {
        let before = files.iter().take_while(|(name, _)| name != until);
        before.map(|(name, contents)| (name.clone(), hex(&Sha256::digest(contents)))).collect()
    };
    if let Ok(manifest) = Manifest::parse(&files[0].1) {
        let custody = page::custody(&manifest, &sums(files, evidence::CUSTODY));
        of(files, evidence::CUSTODY).1 = custody.into_bytes();
    }
    let lines = sums(files, evidence::SUMS);
    let lines: String = lines.iter().map(|(name, digest)| evidence::sums_line(digest, name)).collect();
    of(files, evidence::SUMS).1 = lines.into_bytes();
}

fn of<'a>(files: &'a mut [(String, Vec<u8>)], name: &str) -> &'a mut (String, Vec<u8>) {
    files.iter_mut().find(|(found, _)| found == name).unwrap()
}

/// What is said of a bundle of these files.
fn said(made: &Made, mut files: Vec<(String, Vec<u8>)>) -> BundleReport {
    dressed(&mut files);
    let path = made.home.path().join("other.zip");
    std::fs::write(&path, zip(&files, |_| ())).unwrap();
    made.verify(&path)
}

fn finds(report: &BundleReport, index: Option<u64>, file: &str, words: &str) {
    let found = report.findings.iter().any(|finding| {
        finding.index == index && finding.file.as_deref() == Some(file) && finding.message.contains(words)
    });
    assert!(found && report.exit_code() == 1, "{file} {index:?} {words:?}: {report:#?}");
}

fn edit_manifest(files: &mut [(String, Vec<u8>)], edit: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::parse(&files[0].1).unwrap();
    edit(&mut manifest);
    files[0].1 = manifest.to_text().unwrap().into_bytes();
}

#[test]
fn whatever_is_asked_for_and_withheld_the_bundle_verifies() {
    let made = blocking(made(400, 300));
    let size = made.log.snapshot().signed;
    assert_eq!(size, 701);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let indices = prop::collection::btree_set(0..size, 1..60);
    let strategy = (indices, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..5u8);
    let checked = runner.run(&strategy, |(indices, a, b, withheld, kind)| {
        let withheld: Vec<&str> = (0..8).filter(|bit| withheld >> bit & 1 == 1).map(|bit| PAYLOAD[bit]).collect();
        let (a, b) = (a.index(size as usize) as u64, b.index(size as usize) as u64);
        let range = a.min(b)..a.max(b) + 1;
        let session = |at: u64| at > 0 && at % 7 == 3;
        let filter = Filter::Session { session_id: "s-3".to_string() };
        let (asked, rows) = match kind {
            0 => {
                let rows = range.end - range.start;
                (asked(Kind::Range, Selection::Range(range), Filter::All {}, &withheld), rows)
            }
            1 => {
                let rows = range.clone().filter(|at| session(*at)).count() as u64;
                (asked(Kind::Session, Selection::Range(range), filter, &withheld), rows)
            }
            2 => {
                let indices: Vec<u64> = (0..size).filter(|at| session(*at)).collect();
                let rows = indices.len() as u64;
                (asked(Kind::Session, Selection::Indices(indices), filter, &withheld), rows)
            }
            3 => {
                // Recorded now, and happened in 2026: a range that takes in both.
                let time = Filter::Time { from_us: START_US + 10_000_000, to_us: i64::MAX, lateness_us: 0 };
                let selection = Selection::Range(0..size);
                let rows = made_rows(&made, &time, size);
                (asked(Kind::Range, selection, time, &withheld), rows)
            }
            _ => {
                let rows = indices.len() as u64;
                let selection = Selection::Indices(indices.into_iter().collect());
                (asked(Kind::Sql, selection, Filter::All {}, &withheld), rows)
            }
        };
        let path = made.export(&asked).unwrap();
        let report = made.verify(&path);
        prop_assert_eq!(report.exit_code(), 0, "{:#?}", report);
        prop_assert_eq!(report.rows, rows);
        prop_assert_eq!(report.complete, matches!(asked.selection, Selection::Range(_)));
        // Nothing of what is withheld is in it, in any form, nor any row salt.
        let all: Vec<u8> = files(&path).into_iter().flat_map(|(_, contents)| contents).collect();
        let text = String::from_utf8_lossy(&all);
        if withheld.contains(&"arguments") {
            prop_assert!(!text.contains("carol") && !text.contains("eyJ0byI6ImNhcm9s"));
        }
        prop_assert!(!text.contains(",\"=cmd") , "a formula in the table");
        Ok(())
    });
    checked.unwrap();
}

/// Rows that a filter lets through, by the entries themselves.
fn made_rows(made: &Made, filter: &Filter, size: u64) -> u64 {
    let tree = made.log.tree().unwrap();
    let mut rows = 0;
    for first in (0..size).step_by(256) {
        for entry in tree.entries(first..(first + 256).min(size)).unwrap() {
            rows += u64::from(filter.admits(&EntryView::parse(&entry).unwrap()).unwrap());
        }
    }
    rows
}

#[test]
fn a_changed_byte_of_any_file_is_found_whatever_is_dressed_up() {
    let made = blocking(made(20, 20));
    let good = files(&made.range(3..30, &["result"]));
    assert_eq!(said(&made, good.clone()).exit_code(), 0, "packed again it still verifies");
    let mut tried = 0;
    for at in 0..good.len() {
        // The sums are made again for every bundle here; they have their own test.
        if good[at].0 == evidence::SUMS || good[at].0 == evidence::CUSTODY {
            continue;
        }
        let length = good[at].1.len();
        for place in (0..length).step_by((length / 40).max(1)) {
            let mut other = good.clone();
            other[at].1[place] ^= 1 << (place % 8);
            let report = said(&made, other);
            // Whoever exports says who they are and when, and it stands on the access log: no signature covers it.
            let is_said = at == 0 && Manifest::parse(&{
                let mut text = good[0].1.clone();
                text[place] ^= 1 << (place % 8);
                text
            }).is_ok_and(|changed| {
                let mut known = Manifest::parse(&good[0].1).unwrap();
                known.exported_by = changed.exported_by.clone();
                known.role = changed.role.clone();
                known.door = changed.door.clone();
                known.exported_at_us = changed.exported_at_us;
                known.query_id = changed.query_id.clone();
                known.snapshot = changed.snapshot;
                known == changed
            });
            assert_eq!(report.exit_code(), u8::from(!is_said), "{} byte {place}: {report:#?}", good[at].0);
            tried += 1;
        }
    }
    println!("evidence: {tried} changed bytes, each found");
    for name in [evidence::CUSTODY, evidence::SUMS] {
        let mut other = good.clone();
        let contents = &mut of(&mut other, name).1;
        let middle = contents.len() / 2;
        contents[middle] ^= 1;
        let path = made.home.path().join("other.zip");
        std::fs::write(&path, zip(&other, |_| ())).unwrap();
        assert_eq!(made.verify(&path).exit_code(), 1, "{name}");
    }
}

/// Entries as they are in the file, and back.
fn entries_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut entries) = (bytes, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

fn entries_file(entries: &[Vec<u8>]) -> Vec<u8> {
    let framed = |entry: &Vec<u8>| [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], entry].concat();
    entries.iter().flat_map(framed).collect()
}

fn parquet_with(bytes: &[u8], column: &str, row: usize, text: &str) -> Vec<u8> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes.to_vec())).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let at = batch.schema().index_of(column).unwrap();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let old = columns[at].as_any().downcast_ref::<StringArray>().unwrap();
    let new: StringArray =
        old.iter().enumerate().map(|(place, value)| if place == row { Some(text) } else { value }).collect();
    columns[at] = Arc::new(new);
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn a_row_left_out_a_cell_edited_and_a_withheld_value_swapped_are_found_by_name() {
    let made = blocking(made(20, 20));
    let good = files(&made.range(3..30, &["reason"]));
    let place = |index: u64| usize::try_from(index - 3).unwrap();

    // One row left out of a complete range, everywhere, and everything that can be made again made again.
    let mut other = good.clone();
    let mut entries = entries_of(&of(&mut other, evidence::ENTRIES).1);
    entries.remove(place(12));
    of(&mut other, evidence::ENTRIES).1 = entries_file(&entries);
    let report = said(&made, other.clone());
    assert_eq!(report.exit_code(), 1, "the hash that would cover it is not there");
    finds(&report, None, evidence::ENTRIES, "here are");
    edit_manifest(&mut other, |manifest| {
        (manifest.entries, manifest.rows, manifest.complete, manifest.kind) = (26, 26, false, Kind::Sql);
        manifest.sql = Some(String::new());
    });
    other.insert(1, (evidence::SQL.to_string(), Vec::new()));
    let report = said(&made, other);
    assert_eq!(report.exit_code(), 1, "nor where it is said to be no range: {report:#?}");

    // A cell of an entry: the root is another, and the tables name the place.
    let mut other = good.clone();
    let mut entries = entries_of(&of(&mut other, evidence::ENTRIES).1);
    let entry = &mut entries[place(9)];
    let at = entry.windows(4).position(|bytes| bytes == b"s-2\0" || bytes.starts_with(b"s-2")).unwrap();
    entry[at + 2] = b'5';
    of(&mut other, evidence::ENTRIES).1 = entries_file(&entries);
    let report = said(&made, other);
    finds(&report, None, evidence::ENTRIES, "signed root");
    finds(&report, Some(9), "events.csv", "not what the entry says");
    finds(&report, Some(9), "events.parquet", "not what the entry");

    // A cell of the tables.
    let mut other = good.clone();
    let csv = String::from_utf8(of(&mut other, "events.csv").1.clone()).unwrap();
    of(&mut other, "events.csv").1 = csv.replacen("\"e-17\"", "\"e-71\"", 1).into_bytes();
    finds(&said(&made, other), Some(17), "events.csv", "not what the entry says");
    let mut other = good.clone();
    let parquet = &mut of(&mut other, "events.parquet").1;
    *parquet = parquet_with(parquet, "event_id", place(17), "e-71");
    finds(&said(&made, other), Some(17), "events.parquet", "not what the entry");
    let mut other = good.clone();
    let parquet = &mut of(&mut other, "events.parquet").1;
    *parquet = parquet_with(parquet, "arguments", place(17), "{}");
    finds(&said(&made, other), Some(17), "events.parquet", "not what the entry");

    // What is withheld, exchanged between two rows; what is shown, put in the place of another.
    let mut other = good.clone();
    let text = String::from_utf8(of(&mut other, evidence::PAYLOADS).1.clone()).unwrap();
    let mut lines: Vec<Payload> = text.lines().map(|line| Payload::parse(line.as_bytes()).unwrap()).collect();
    let with_reason = |line: &&mut Payload| line.fields.iter().any(|field| field.name == "reason");
    let mut held: Vec<&mut Payload> = lines.iter_mut().filter(with_reason).take(2).collect();
    let first = held[0].fields.pop().unwrap();
    let second = held[1].fields.pop().unwrap();
    assert!(first.commitment.is_some() && first != second, "equal values have other commitments");
    let indices = [held[0].index, held[1].index];
    held[0].fields.push(second);
    held[1].fields.push(first);
    of(&mut other, evidence::PAYLOADS).1 =
        lines.iter().flat_map(|line| line.to_line().unwrap().into_bytes()).collect();
    let report = said(&made, other);
    indices.iter().for_each(|index| finds(&report, Some(*index), evidence::PAYLOADS, "commits to"));

    // A value that is said to be shown and is not, and the other way.
    let mut other = good.clone();
    edit_manifest(&mut other, |manifest| manifest.withheld.clear());
    assert_eq!(said(&made, other).exit_code(), 1);
}

#[test]
fn a_time_that_the_bundle_does_not_reach_the_ends_of_is_found() {
    let made = blocking(made(20, 20));
    let tree = made.log.tree().unwrap();
    let recorded = |index: u64| {
        let entry = tree.entries(index..index + 1).unwrap().remove(0);
        let view = EntryView::parse(&entry).unwrap();
        let value = view.field(schemas::stream::INGEST_TIME).unwrap().unwrap();
        i64::from_be_bytes(value.try_into().unwrap())
    };
    // The second draft came later than the first: a window over what was recorded with the first alone.
    let (first, second) = (recorded(5), recorded(30));
    assert!(first < second);
    let window = Filter::Time { from_us: first, to_us: second, lateness_us: 0 };
    // Whatever part is asked for, the store goes on to what shows its ends.
    for range in [5..6, 1..21, 0..41, 12..22] {
        let path = made.export(&asked(Kind::Range, Selection::Range(range.clone()), window.clone(), &[]));
        let path = path.unwrap();
        let manifest = Manifest::parse(&files(&path)[0].1).unwrap();
        assert!(manifest.first == 0 && manifest.last >= 22, "{range:?}: {manifest:?}");
        assert_eq!(made.verify(&path).exit_code(), 0, "{range:?}");
    }
    // Whoever shows less than that has no bundle of this time.
    for (range, index, words) in [(0..15, 14, "what came after"), (7..22, 7, "what came before")] {
        let mut short = files(&made.range(range, &[]));
        edit_manifest(&mut short, |manifest| manifest.filter = window.clone());
        finds(&said(&made, short), Some(index), evidence::ENTRIES, words);
    }
    // A time in which nothing was recorded.
    let nothing = Filter::Time { from_us: first - 2, to_us: first - 1, lateness_us: 0 };
    let path = made.export(&asked(Kind::Range, Selection::Range(0..1), nothing, &[])).unwrap();
    let report = made.verify(&path);
    assert!(report.exit_code() == 0 && report.rows == 0 && report.entries == 2, "{report:#?}");
    let open = Filter::Time { from_us: first, to_us: i64::MAX, lateness_us: 0 };
    let report = made.verify(&made.export(&asked(Kind::Range, Selection::Range(0..41), open, &[])).unwrap());
    assert!(report.exit_code() == 0 && report.notes.len() == 1, "the log ended before the time did: {report:#?}");
}

#[test]
fn another_installation_and_no_key_are_told_apart() {
    let (made, stranger) = (blocking(made(5, 5)), blocking(made(5, 5)));
    let path = made.range(0..8, &[]);
    let report = stranger.verify(&path);
    finds(&report, None, evidence::MANIFEST, made.key.name());
    finds(&report, None, evidence::ROOT_CHECKPOINT, stranger.key.name());
    // Their checkpoints in our bundle, and a log of theirs under our root.
    let (ours, theirs) = (files(&path), files(&stranger.range(0..8, &[])));
    for name in [evidence::ROOT_CHECKPOINT, evidence::CHECKPOINT, evidence::OPENED_ENTRY, evidence::OPENED_PROOF] {
        let mut mixed = ours.clone();
        let other = theirs.iter().find(|(found, _)| found == name).unwrap().1.clone();
        of(&mut mixed, name).1 = other;
        assert_eq!(said(&made, mixed).exit_code(), 1, "{name}");
    }
    let none = verify::evidence::run(&path, &Identity::None).unwrap();
    assert_eq!((none.exit_code(), none.verdict), (2, "identity not established"));
    assert_eq!(verify::evidence::run(&path, &Identity::TrustStoreKey).unwrap().exit_code(), 0);
    assert!(verify::evidence::run(&made.home.path().join("nothing"), &Identity::None).is_err());
}

#[test]
fn hostile_zips_are_findings() {
    let made = blocking(made(5, 5));
    let good = files(&made.range(0..8, &[]));
    let path = made.home.path().join("hostile.zip");
    let verdict = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        made.verify(&path)
    };
    let whole = zip(&good, |_| ());
    assert_eq!(verdict(&whole).exit_code(), 0);
    let found = |bytes: &[u8], words: &str| {
        let report = verdict(bytes);
        let said = format!("{:?}", report.findings);
        assert!(report.exit_code() == 1 && said.contains(words), "{words}: {said}");
    };
    let with = |more: (&str, usize)| {
        let mut files = good.clone();
        files.insert(more.1, (more.0.to_string(), b"x".to_vec()));
        zip(&files, |_| ())
    };
    found(&with(("../../etc/passwd", 3)), "no bundle has such a file");
    found(&with(("/tmp/x", 3)), "no bundle has such a file");
    found(&with(("log/entries", 3)), "twice");
    found(&with(("README.md", 3)), "no bundle has such a file");
    for at in 1..good.len() {
        let mut files = good.clone();
        let (name, _) = files.remove(at);
        found(&zip(&files, |_| ()), "missing");
        assert!(verdict(&zip(&files, |_| ())).findings.iter().any(|f| f.file.as_deref() == Some(&name)));
    }
    let mut swapped = good.clone();
    swapped.swap(4, 5);
    found(&zip(&swapped, |_| ()), "in their order");
    // Sizes that are not so: more than there is, and more than may be.
    let lie = |bytes: u64| zip(&good, move |member| if member.name == evidence::HASHES { member.bytes = bytes });
    found(&lie(1 << 20), "the directory says");
    found(&lie(1 << 31), "over the limit");
    // A megabyte of zeros in a kilobyte, said to be one byte.
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &vec![0; 1 << 20]).unwrap();
    let mut bomb = good.clone();
    of(&mut bomb, evidence::HASHES).1 = packed.finish().unwrap();
    let bomb = zip(&bomb, |member| {
        if member.name == evidence::HASHES {
            (member.method, member.bytes) = (Method::Deflated, 1);
        }
    });
    found(&bomb, "the directory says");
    let deflated = zip(&good, |member| {
        if member.name == evidence::HASHES {
            member.method = Method::Deflated;
        }
    });
    assert_eq!(verdict(&deflated).exit_code(), 1);
    found(&[&whole[..], b"more"].concat(), "zip");
    found(&[b"#!/bin/sh\n", &whole[..]].concat(), "layout");
    for cut in (0..whole.len()).step_by(whole.len() / 50) {
        assert_eq!(verdict(&whole[..cut]).exit_code(), 1, "cut at {cut}");
    }
    assert_eq!(verdict(b"").exit_code(), 1);
}

#[test]
fn what_makes_no_bundle_is_said() {
    let made = blocking(made(5, 5));
    let of = |selection: Selection| {
        let kind = if matches!(selection, Selection::Range(_)) { Kind::Range } else { Kind::Sql };
        made.export(&asked(kind, selection, Filter::All {}, &[])).unwrap_err()
    };
    assert!(matches!(of(Selection::Range(3..3)), ExportError::Refused(_)));
    assert!(matches!(of(Selection::Indices(vec![])), ExportError::Refused(_)));
    assert!(matches!(of(Selection::Indices(vec![3, 3])), ExportError::Refused(_)));
    assert!(matches!(of(Selection::Range(3..12)), ExportError::NotSigned));
    assert!(matches!(of(Selection::Range(0..EVIDENCE_ENTRIES_MAX + 1)), ExportError::TooLarge { .. }));
    let root = made.store.existing("_root", Stream::Root).unwrap();
    let scratch = [0, 1].map(|_| tempfile::tempfile().unwrap());
    let export = asked(Kind::Range, Selection::Range(0..1), Filter::All {}, &[]);
    let refused = made.store.export(&root, &export, tempfile::tempfile().unwrap(), scratch);
    assert!(matches!(refused, Err(ExportError::Refused(_))));
    assert_eq!(BTreeSet::from(PAYLOAD).len(), Stream::Events.payload_columns().count());
}
