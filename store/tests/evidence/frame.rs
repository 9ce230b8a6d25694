//! A store to export from, and bundles taken apart and put together again.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schemas::Stream;
use schemas::entry::EntryView;
use schemas::evidence::archive::{Member, Method, parse_tail, tail};
use schemas::evidence::{self, Filter, Kind, Manifest, Sizes, page};
use schemas::limits::EVIDENCE_DIRECTORY_BYTES_MAX;
use schemas::note::VerifierKey;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME, payload_ids};
use sha2::{Digest as _, Sha256};
use store::clock::SystemClock;
use store::{Draft, Export, ExportError, Keys, Log, Options, Selection, Store};
use verify::Identity;
use verify::evidence::BundleReport;

pub const START_US: i64 = 1_795_219_200_000_000;
pub const PAYLOAD: [&str; 8] =
    ["arguments", "result", "attributes", "error_message", "reason", "decision_reason", "oversize", "raw"];

pub fn draft(first: u64, rows: u64) -> Draft {
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
pub struct Made {
    pub home: tempfile::TempDir,
    pub store: Store,
    pub log: Log,
    pub key: VerifierKey,
}

pub async fn made(sealed: u64, unsealed: u64) -> Made {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::load_or_create(&home.path().join("keys")).unwrap();
    let options = Options {
        wal_file_bytes: 1 << 20,
        sign_interval_us: 5_000,
        round_interval_us: 5_000,
        seal_rows: 1 << 20,
        ..Options::default()
    };
    let store = Store::open(&home.path().join("data"), keys, options, Arc::new(SystemClock::new())).unwrap();
    let log = store.log("default", Stream::Events).await.unwrap();
    if sealed > 0 {
        log.append(draft(1, sealed)).await.unwrap();
        store.seal().await.unwrap();
    }
    if unsealed > 0 {
        log.append(draft(1 + sealed, unsealed)).await.unwrap();
    }
    let key = store.root_key().unwrap().parse().unwrap();
    let made = Made { home, store, log, key };
    known(&made).await;
    made
}

/// Until the root log knows all of it.
async fn known(made: &Made) {
    let last = made.log.durable() - 1;
    while made.store.prove(&made.log, last, None).unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// More entries.
pub async fn grown(made: &Made, first: u64, rows: u64) {
    made.log.append(draft(first, rows)).await.unwrap();
    known(made).await;
}

pub fn blocking<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run)
}

pub fn asked(kind: Kind, selection: Selection, filter: Filter, withheld: &[&str]) -> Export {
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
        under: None,
    }
}

impl Made {
    pub fn export(&self, asked: &Export) -> Result<PathBuf, ExportError> {
        let path = self.home.path().join("bundle.zip");
        let scratch = [0, 1].map(|_| tempfile::tempfile().unwrap());
        let exported = self.store.export(&self.log, asked, File::create(&path).unwrap(), scratch)?;
        assert_eq!(exported.bytes, std::fs::metadata(&path).unwrap().len());
        Ok(path)
    }

    pub fn verify(&self, path: &Path) -> BundleReport {
        verify::evidence::run(path, &Identity::Key(self.key.clone()), None).unwrap()
    }

    pub fn range(&self, range: std::ops::Range<u64>, withheld: &[&str]) -> PathBuf {
        self.export(&asked(Kind::Range, Selection::Range(range), Filter::All {}, withheld)).unwrap()
    }
}

/// The files of a bundle.
pub fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
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
pub fn zip(files: &[(String, Vec<u8>)], edit: impl Fn(&mut Member)) -> Vec<u8> {
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

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Custody page and sums again, as whoever changes a bundle would make them.
pub fn dressed(files: &mut [(String, Vec<u8>)]) {
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

pub fn of<'a>(files: &'a mut [(String, Vec<u8>)], name: &str) -> &'a mut (String, Vec<u8>) {
    files.iter_mut().find(|(found, _)| found == name).unwrap()
}

/// What is said of a bundle of these files.
pub fn said(made: &Made, mut files: Vec<(String, Vec<u8>)>) -> BundleReport {
    dressed(&mut files);
    let path = made.home.path().join("other.zip");
    std::fs::write(&path, zip(&files, |_| ())).unwrap();
    made.verify(&path)
}

pub fn finds(report: &BundleReport, index: Option<u64>, file: &str, words: &str) {
    let found = report.findings.iter().any(|finding| {
        finding.index == index && finding.file.as_deref() == Some(file) && finding.message.contains(words)
    });
    assert!(found && report.exit_code() == 1, "{file} {index:?} {words:?}: {report:#?}");
}

pub fn edit_manifest(files: &mut [(String, Vec<u8>)], edit: impl FnOnce(&mut Manifest)) {
    let mut manifest = Manifest::parse(&files[0].1).unwrap();
    edit(&mut manifest);
    files[0].1 = manifest.to_text().unwrap().into_bytes();
}

/// Whether only what the exporter says of itself differs: no signature covers it, and the access log has its own record.
pub fn says_the_same(good: &[u8], other: &[u8]) -> bool {
    let (Ok(mut good), Ok(other)) = (Manifest::parse(good), Manifest::parse(other)) else { return false };
    good.exported_by.clone_from(&other.exported_by);
    good.role.clone_from(&other.role);
    good.door.clone_from(&other.door);
    good.query_id.clone_from(&other.query_id);
    (good.exported_at_us, good.snapshot) = (other.exported_at_us, other.snapshot);
    good == other
}

/// What a Parquet file holds, where it can be read.
pub fn batch_of(bytes: &[u8]) -> Option<RecordBatch> {
    let bytes = bytes::Bytes::from(bytes.to_vec());
    let read = std::panic::catch_unwind(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?.build().ok()?;
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().ok()?;
        batches.into_iter().next()
    });
    read.ok().flatten()
}

/// Entries as they are in the file, and back.
pub fn entries_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut entries) = (bytes, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

pub fn entries_file(entries: &[Vec<u8>]) -> Vec<u8> {
    let framed = |entry: &Vec<u8>| [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], entry].concat();
    entries.iter().flat_map(framed).collect()
}

pub fn parquet_with(bytes: &[u8], column: &str, row: usize, text: &str) -> Vec<u8> {
    let batch = batch_of(bytes).unwrap();
    let at = batch.schema().index_of(column).unwrap();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let old = columns[at].as_any().downcast_ref::<StringArray>().unwrap();
    let new: StringArray =
        old.iter().enumerate().map(|(place, value)| if place == row { Some(text) } else { value }).collect();
    columns[at] = Arc::new(new);
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Rows that a filter lets through, by the entries themselves.
pub fn made_rows(made: &Made, filter: &Filter, size: u64) -> u64 {
    let tree = made.log.tree().unwrap();
    let mut rows = 0;
    for first in (0..size).step_by(256) {
        for entry in tree.entries(first..(first + 256).min(size)).unwrap() {
            rows += u64::from(filter.admits(&EntryView::parse(&entry).unwrap()).unwrap());
        }
    }
    rows
}
