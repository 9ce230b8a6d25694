//! A small writer of stores, made from the format document: only `schemas`, Parquet and Ed25519.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use ed25519_dalek::{Signer as _, SigningKey};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schemas::checkpoint::Checkpoint;
use schemas::control::{Control, LogOpened, Round, RoundLog};
use schemas::entry::Encoder;
use schemas::layout::{self, FileKind, FileName};
use schemas::manifest::{self, File, Manifest, NO_PREVIOUS, is_snapshot};
use schemas::note::{SignatureLine, VerifierKey, assemble};
use schemas::payload::Committer;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::SALT_BYTES;
use schemas::tile::{TileBuilder, TileId};
use schemas::tree::{Hash, leaf_hash, root};
use schemas::{LogId, Origin, Stream, segment};

/// 2026-11-21 00:00 UTC.
pub const START_US: i64 = 1_795_219_200_000_000;

/// What a test changes about a manifest before it is signed.
pub type EditManifest<'a> = &'a dyn Fn(&mut Manifest);

#[derive(Clone)]
pub struct Entry {
    pub row: Row,
    /// Field id to canonical bytes, and the salt.
    pub payload: Option<(BTreeMap<u16, Vec<u8>>, [u8; SALT_BYTES])>,
}

pub struct Log {
    pub origin: Origin,
    pub number: u64,
    pub key: SigningKey,
    pub manifest_key: SigningKey,
    pub log_id: LogId,
    pub directory: PathBuf,
    pub entries: Vec<Entry>,
    pub batches: Vec<RecordBatch>,
    pub leaves: Vec<Hash>,
    pub bytes: Vec<Vec<u8>>,
    pub manifests: Vec<(String, u64)>,
    pub live: Vec<File>,
    pub sealed: usize,
    pub page_rows: usize,
    pub clock_us: i64,
    committer: Committer,
}

pub struct Store {
    pub data: tempfile::TempDir,
    pub seed: u8,
    pub logs: Vec<Log>,
    pub page_rows: usize,
}

fn verifier(name: &str, key: &SigningKey) -> VerifierKey {
    VerifierKey::new(name, &key.verifying_key().to_bytes()).unwrap()
}

pub fn sign(name: &str, key: &SigningKey, text: &str) -> String {
    let line = SignatureLine::new(&verifier(name, key), &key.sign(text.as_bytes()).to_bytes());
    assemble(text, &[line])
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

impl Store {
    pub fn new(seed: u8, page_rows: usize) -> Store {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store { data, seed, logs: Vec::new(), page_rows };
        store.open("_root", Stream::Root);
        store
    }

    pub fn log_directory(&self) -> PathBuf {
        self.data.path().join("log")
    }

    pub fn root_key(&self) -> VerifierKey {
        self.logs[0].verifier()
    }

    /// Opens a log: entry 0 of its own, and the same text in the root log.
    pub fn open(&mut self, tenant: &str, stream: Stream) -> usize {
        let origin = Origin::new("acme-1f", tenant, stream, "w1").unwrap();
        let derive = |context: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(&[self.seed; 32]);
            hasher.update(origin.to_string().as_bytes());
            SigningKey::from_bytes(hasher.finalize().as_bytes())
        };
        let key = derive("tachograph 2026-11 checkpoint key v1");
        let manifest_key = derive("tachograph 2026-11 manifest key v1");
        let mut log = Log {
            log_id: origin.log_id(&key.verifying_key().to_bytes()),
            directory: self.data.path().join(layout::origin_dir(&origin)),
            origin,
            number: self.logs.len() as u64,
            key,
            manifest_key,
            entries: Vec::new(),
            batches: Vec::new(),
            leaves: Vec::new(),
            bytes: Vec::new(),
            manifests: Vec::new(),
            live: Vec::new(),
            sealed: 0,
            page_rows: self.page_rows,
            clock_us: START_US,
            committer: Committer::new(),
        };
        let opened = log.opened();
        let text = Control::LogOpened(opened.clone()).to_text().unwrap();
        log.control(&text);
        let json = format!(
            "{{\"format\":1,\"origin\":\"{}\",\"key\":\"{}\",\"manifest_key\":\"{}\"}}\n",
            opened.origin, opened.key, opened.manifest_key
        );
        put(&log.directory.join("log.json"), json.as_bytes());
        self.logs.push(log);
        if self.logs.len() > 1 {
            self.logs[0].control(&text);
        }
        self.logs.len() - 1
    }

    /// One round entry over all logs but the root log.
    pub fn round(&mut self) {
        self.round_with(|_| {});
    }

    pub fn round_with(&mut self, edit: impl Fn(&mut Round)) {
        let logs = self.logs.iter().skip(1).map(|log| {
            let manifest = log.manifests.len() as u64;
            let (manifest_digest, sealed) = log.manifests.last().cloned().unwrap_or_default();
            let root = root(&log.leaves).to_base64();
            RoundLog {
                number: log.number,
                size: log.leaves.len() as u64,
                root,
                manifest,
                manifest_digest,
                sealed,
            }
        });
        let mut round = Round { logs: logs.collect() };
        edit(&mut round);
        let text = Control::Round(round).to_text().unwrap();
        self.logs[0].control(&text);
    }

    /// The small store of most tests: three logs, several seals, pages and row groups, full tiles.
    pub fn small() -> Store {
        Store::sized(7, 40, 300)
    }

    pub fn sized(seed: u8, page_rows: usize, events: usize) -> Store {
        let mut store = Store::new(seed, page_rows);
        let events_log = store.open("default", Stream::Events);
        let access = store.open("default", Stream::Access);
        store.logs[0].seal();
        store.logs[events_log].events(events / 3);
        store.logs[events_log].seal();
        store.logs[access].control(r#"{"control":"configuration","version":"0.1.0","digest":"00"}"#);
        store.logs[access].access(7);
        store.logs[access].seal();
        store.round();
        store.logs[0].seal();
        let before = store.logs[events_log].clock_us;
        store.logs[events_log].clock_us = before - 5_000_000;
        let now = before - 5_000_000 + 1;
        store.logs[events_log]
            .control(&format!(r#"{{"control":"clock_run","last_us":{before},"first_us":{now}}}"#));
        store.logs[events_log].events(events - events / 3);
        store.logs[events_log].seal();
        store.round();
        store.logs[0].control(r#"{"control":"heartbeat","logs":2}"#);
        store.logs[0].seal();
        store
    }
}

impl Log {
    pub fn verifier(&self) -> VerifierKey {
        verifier(&self.origin.to_string(), &self.key)
    }

    pub fn opened(&self) -> LogOpened {
        LogOpened {
            number: self.number,
            origin: self.origin.to_string(),
            key: self.verifier().to_string(),
            manifest_key: verifier(&manifest::key_name(&self.origin), &self.manifest_key).to_string(),
            predecessor: None,
        }
    }

    fn row(&mut self, kind: &str, session: &str) -> Row {
        self.clock_us += 1;
        let index = self.entries.len() as i64;
        Row::new()
            .int(1, index)
            .int(2, self.clock_us)
            .text(3, &format!("event-{index}"))
            .int(4, self.clock_us)
            .text(5, self.origin.tenant())
            .text(6, kind)
            .text(7, "tachograph")
            .text(8, session)
            .text(9, "none")
            .text(10, "ok")
    }

    pub fn control(&mut self, text: &str) {
        let row = self.row("control", "_control").text(11, text);
        self.push(Entry { row, payload: None });
    }

    pub fn access(&mut self, count: usize) {
        for at in 0..count {
            let row = self.row("access", "s").text(16, &format!("q{at}")).int(25, at as i64);
            self.push(Entry { row, payload: None });
        }
        self.flush();
    }

    pub fn events(&mut self, count: usize) {
        for at in 0..count {
            let index = self.entries.len();
            let mut row = self
                .row("tool_call", &format!("session-{}", index / 9))
                .text(21, &format!("agent-{}", index % 5))
                .text(50, "tools/call")
                .text(51, ["github", "jira", "files"][index % 3])
                .text(54, &format!("tool_{}", index % 11))
                .text(23, &format!("model-{}", "x".repeat(70 + index % 3)))
                .int(92, (index as i64 * 7919) % 100_000 - 50);
            if at % 2 == 0 {
                row = row.texts(28, &["read", "write"]).text(55, &format!("/srv/{index}"));
            }
            if at % 5 == 0 {
                row = row.bytes(13, &[0, 0, 0, 0]);
            }
            let mut fields = BTreeMap::new();
            if at % 4 != 3 {
                fields.insert(200, format!("{{\"path\":\"/srv/{index}\",\"n\":{at}}}").into_bytes());
            }
            if at % 3 == 0 {
                let mut map = Vec::new();
                let pairs = [("a", "1"), ("b", "two")];
                schemas::entry::value::map("attributes", pairs.into_iter(), &mut map).unwrap();
                fields.insert(202, map);
                fields.insert(203, Vec::new());
            }
            let salt = *blake3::hash(&index.to_be_bytes()).as_bytes().first_chunk().unwrap();
            let payload = (!fields.is_empty()).then_some((fields, salt));
            if let Some((fields, salt)) = &payload {
                let mut commitment = self.committer.row(*salt);
                fields.iter().for_each(|(id, value)| commitment.field(*id, value));
                row = row.bytes(15, &commitment.finish().unwrap().0);
            }
            self.push(Entry { row, payload });
        }
        self.flush();
    }

    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Hashes the entries appended since the last flush.
    pub fn flush(&mut self) {
        if self.entries.len() == self.leaves.len() {
            return;
        }
        let mut builder = RowsBuilder::entries(self.origin.stream());
        for entry in &self.entries[self.leaves.len()..] {
            builder.push(&entry.row).unwrap();
        }
        let batch = builder.finish().unwrap();
        let encoder = Encoder::entries(self.origin.stream(), &batch).unwrap();
        for row in 0..batch.num_rows() {
            let mut bytes = Vec::new();
            encoder.entry(&self.log_id, row, &mut bytes).unwrap();
            self.leaves.push(leaf_hash(&bytes));
            self.bytes.push(bytes);
        }
        drop(encoder);
        self.batches.push(batch);
    }

    /// The entry-side batch of `first..last`.
    pub fn batch(&self, first: usize, last: usize) -> RecordBatch {
        let all =
            arrow::compute::concat_batches(&self.origin.stream().entry_schema(), &self.batches).unwrap();
        all.slice(first, last - first)
    }

    pub fn payload_batch(&self, first: usize, last: usize) -> Option<RecordBatch> {
        let mut builder = RowsBuilder::payloads(self.origin.stream());
        let (mut indices, mut salts) = (Vec::new(), Vec::new());
        for index in first..last {
            if let Some((fields, salt)) = &self.entries[index].payload {
                let row = fields.iter().fold(Row::new(), |row, (id, value)| row.bytes(*id, value));
                builder.push(&row).unwrap();
                indices.push(index as i64);
                salts.push(salt.to_vec());
            }
        }
        if indices.is_empty() {
            return None;
        }
        let batch = builder.finish().unwrap();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(indices))];
        columns.extend(batch.columns().iter().cloned());
        columns.push(Arc::new(BinaryArray::from_iter_values(&salts)));
        Some(RecordBatch::try_new(self.origin.stream().payload_schema(), columns).unwrap())
    }

    /// The bytes of a Parquet file over `first..last` with these rows.
    pub fn parquet(&self, batch: &RecordBatch, first: usize, last: usize) -> Vec<u8> {
        let metadata = segment::metadata(&self.origin, first as u64, last as u64);
        parquet_file(
            batch,
            metadata.map(|(key, value)| KeyValue::new(key.to_string(), value)).to_vec(),
            self.page_rows,
        )
    }

    pub fn checkpoint(&self, size: usize) -> String {
        let checkpoint =
            Checkpoint { origin: self.origin.clone(), size: size as u64, root: root(&self.leaves[..size]) };
        sign(&self.origin.to_string(), &self.key, &checkpoint.to_string())
    }

    pub fn manifest_path(&self, number: usize) -> PathBuf {
        self.directory.join(layout::manifest(number as u64))
    }

    /// Puts a data file down and describes it.
    pub fn place(
        &self,
        kind: FileKind,
        first: usize,
        last: usize,
        batch: &RecordBatch,
        bytes: &[u8],
    ) -> File {
        let digest = manifest::digest(bytes);
        let time = |column: &str, rows: &RecordBatch| {
            let array = rows.column_by_name(column).unwrap();
            let array: &arrow::array::TimestampMicrosecondArray = array.as_any().downcast_ref().unwrap();
            array.values().to_vec()
        };
        let entries = self.batch(first, last);
        let times = time("time", &entries);
        let name = FileName {
            kind,
            date: layout::date(time("ingest_time", &entries)[0]),
            first: first as u64,
            last: last as u64,
            digest: digest[..16].to_string(),
        };
        put(&self.directory.join(name.path()), bytes);
        File {
            path: name.path(),
            rows: batch.num_rows() as u64,
            bytes: bytes.len() as u64,
            blake3: digest,
            time_min_us: *times.iter().min().unwrap(),
            time_max_us: *times.iter().max().unwrap(),
        }
    }

    pub fn seal(&mut self) {
        self.seal_with(&|batch| batch, &|_| {});
    }

    /// Seals everything appended; `rows` may change the batch of the segment, `edit` the manifest.
    pub fn seal_with(&mut self, rows: &dyn Fn(RecordBatch) -> RecordBatch, edit: EditManifest<'_>) {
        self.flush();
        let (first, last) = (self.sealed, self.entries.len());
        let batch = rows(self.batch(first, last));
        // Any row order: odd rows first.
        let order = (0..batch.num_rows() as u32).partition::<Vec<u32>, _>(|row| row % 2 == 1);
        let order = UInt32Array::from([order.0, order.1].concat());
        let batch = take_record_batch(&batch, &order).unwrap();
        let mut add =
            vec![self.place(FileKind::Segment, first, last, &batch, &self.parquet(&batch, first, last))];
        if let Some(payloads) = self.payload_batch(first, last) {
            let bytes = self.parquet(&payloads, first, last);
            add.push(self.place(FileKind::Payload, first, last, &payloads, &bytes));
        }
        self.tiles(first, last);
        self.sealed = last;
        self.live.extend(add.clone());
        self.publish(add, Vec::new(), edit);
    }

    fn tiles(&self, first: usize, last: usize) {
        let mut builder = TileBuilder::new();
        let write = |id: TileId, hashes: &[Hash]| {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            put(&self.directory.join(layout::tile(id)), &bytes);
        };
        for (at, leaf) in self.leaves[..last].iter().enumerate() {
            if at == first {
                for (id, _) in builder.partials() {
                    fs::remove_file(self.directory.join(layout::tile(id))).unwrap();
                }
            }
            builder.push(*leaf, &mut |id, hashes| {
                if at >= first {
                    write(id, hashes);
                }
            });
        }
        builder.partials().into_iter().for_each(|(id, hashes)| write(id, hashes));
    }

    /// Writes the next manifest over everything sealed.
    pub fn publish(&mut self, add: Vec<File>, remove: Vec<String>, edit: EditManifest<'_>) {
        let number = self.manifests.len() as u64 + 1;
        let snapshot = is_snapshot(number);
        let mut manifest = Manifest {
            version: 1,
            origin: self.origin.to_string(),
            number,
            previous: self.manifests.last().map_or(NO_PREVIOUS.to_string(), |(digest, _)| digest.clone()),
            size: self.sealed as u64,
            checkpoint: self.checkpoint(self.sealed),
            snapshot,
            add: if snapshot { self.live.clone() } else { add },
            remove,
            cursors: BTreeMap::new(),
        };
        edit(&mut manifest);
        let note = self.signed_manifest(&manifest);
        put(&self.manifest_path(number as usize), note.as_bytes());
        self.manifests.push((manifest::digest(note.as_bytes()), manifest.size));
        put(&self.directory.join("checkpoint"), self.checkpoint(self.leaves.len()).as_bytes());
    }

    pub fn signed_manifest(&self, manifest: &Manifest) -> String {
        sign(&manifest::key_name(&self.origin), &self.manifest_key, &manifest.to_text().unwrap())
    }

    /// Replaces all live files by one segment and one payload file.
    pub fn compact(&mut self, keep_old: bool) {
        let (first, last) = (0, self.sealed);
        let batch = self.batch(first, last);
        let mut add =
            vec![self.place(FileKind::Segment, first, last, &batch, &self.parquet(&batch, first, last))];
        if let Some(payloads) = self.payload_batch(first, last) {
            add.push(self.place(
                FileKind::Payload,
                first,
                last,
                &payloads,
                &self.parquet(&payloads, first, last),
            ));
        }
        let remove: Vec<String> =
            std::mem::replace(&mut self.live, add.clone()).into_iter().map(|f| f.path).collect();
        if !keep_old {
            remove.iter().for_each(|path| fs::remove_file(self.directory.join(path)).unwrap());
        }
        self.publish(add, remove, &|_| {});
    }

    /// Replaces the newest manifest: the file at `path` of its list is now `file`. Signed by the manifest key alone.
    pub fn resign_newest(&mut self, path: &str, file: &File) {
        let number = self.manifests.len();
        let text = fs::read_to_string(self.manifest_path(number)).unwrap();
        let mut manifest = Manifest::parse(&format!("{}\n", text.lines().next().unwrap())).unwrap();
        for listed in &mut manifest.add {
            if listed.path == path {
                *listed = file.clone();
            }
        }
        let note = self.signed_manifest(&manifest);
        put(&self.manifest_path(number), note.as_bytes());
        self.manifests[number - 1].0 = manifest::digest(note.as_bytes());
    }
}

pub fn parquet_file(batch: &RecordBatch, metadata: Vec<KeyValue>, page_rows: usize) -> Vec<u8> {
    parquet_file_with(batch, metadata, |properties| {
        properties
            .set_data_page_row_count_limit(page_rows)
            .set_write_batch_size(page_rows)
            .set_max_row_group_row_count(Some(page_rows * 4))
    })
}

pub fn parquet_file_with(
    batch: &RecordBatch,
    metadata: Vec<KeyValue>,
    more: impl FnOnce(
        parquet::file::properties::WriterPropertiesBuilder,
    ) -> parquet::file::properties::WriterPropertiesBuilder,
) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_key_value_metadata(Some(metadata))
        .set_column_index_truncate_length(Some(64))
        .set_statistics_truncate_length(Some(64));
    let options =
        ArrowWriterOptions::new().with_properties(more(properties).build()).with_skip_arrow_metadata(true);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}
