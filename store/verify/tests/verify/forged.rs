//! What somebody could do who has the manifest key but not the checkpoint key, or who lies in what they sign.

use std::fs;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{ColumnIndexBuilder, KeyValue, OffsetIndexBuilder, ParquetMetaData};
use parquet::file::statistics::Statistics;
use schemas::layout::FileKind;
use schemas::manifest::File;
use verify::Finding;

use crate::clean::{assert_clean, verified};
use crate::metadata::{edit_group, with_metadata};
use crate::writer::{Store, parquet_file, parquet_file_with};

/// A store whose newest events manifest no round names, so that only the entries themselves can tell.
fn store() -> Store {
    let mut store = Store::small();
    store.logs[1].events(60);
    store.logs[1].seal();
    store
}

/// Replaces the newest segment (or payload file) by `bytes`, hashed, named and signed anew.
fn replace(store: &mut Store, kind: FileKind, bytes: &[u8]) -> Vec<Finding> {
    let log = &mut store.logs[1];
    let old: File = log.live.iter().rfind(|file| file.name().unwrap().kind == kind).unwrap().clone();
    let name = old.name().unwrap();
    let (first, last) = (name.first as usize, name.last as usize);
    fs::remove_file(log.directory.join(&old.path)).unwrap();
    let placed = log.place(kind, first, last, &log.batch(first, last), bytes);
    log.resign_newest(&old.path, &File { rows: old.rows, ..placed });
    verified(store).findings
}

fn newest(store: &Store, kind: FileKind) -> (RecordBatch, Vec<KeyValue>, Bytes) {
    let log = &store.logs[1];
    let file = log.live.iter().rfind(|file| file.name().unwrap().kind == kind).unwrap();
    let bytes = Bytes::from(fs::read(log.directory.join(&file.path)).unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    (arrow::compute::concat_batches(&schema, &batches).unwrap(), metadata, bytes)
}

fn with_column(batch: &RecordBatch, name: &str, edit: impl Fn(&StringArray) -> StringArray) -> RecordBatch {
    let at = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[at] = Arc::new(edit(columns[at].as_any().downcast_ref().unwrap())) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn assert_found(findings: &[Finding], text: &str) {
    assert!(findings.iter().any(|finding| finding.message.contains(text)), "{text}: {findings:#?}");
}

#[test]
fn the_same_file_signed_anew_is_clean() {
    let mut store = store();
    let (batch, metadata, _) = newest(&store, FileKind::Segment);
    assert!(replace(&mut store, FileKind::Segment, &parquet_file(&batch, metadata, 33)).is_empty());
}

#[test]
fn a_changed_cell_is_found_by_the_tree_alone() {
    let mut store = store();
    let (batch, metadata, _) = newest(&store, FileKind::Segment);
    let indices: &arrow::array::Int64Array = batch.column(0).as_any().downcast_ref().unwrap();
    let index = indices.value(5) as u64;
    let batch = with_column(&batch, "server", |column| {
        column.iter().enumerate().map(|(row, value)| if row == 5 { Some("evil") } else { value }).collect()
    });
    let findings = replace(&mut store, FileKind::Segment, &parquet_file(&batch, metadata, 33));
    let named =
        findings.iter().find(|finding| finding.message.contains("not the one that was signed")).unwrap();
    assert_eq!(named.index, Some(index), "{findings:#?}");
    assert!(named.file.as_ref().unwrap().starts_with("segments/"));
    assert_eq!(named.log.as_deref(), Some("acme-1f/default/events/w1"));
}

#[test]
fn an_unsigned_changed_cell_is_named_too() {
    let store = store();
    let (batch, metadata, _) = newest(&store, FileKind::Segment);
    let batch = with_column(&batch, "server", |column| column.iter().map(|_| Some("evil")).collect());
    let log = &store.logs[1];
    let path = &log.live.iter().rfind(|file| file.path.starts_with("segments")).unwrap().path;
    fs::write(log.directory.join(path), parquet_file(&batch, metadata, 33)).unwrap();
    let findings = verified(&store).findings;
    assert_found(&findings, "BLAKE3");
    assert_eq!(
        findings.iter().filter(|finding| finding.message.contains("not the one that was signed")).count(),
        60
    );
}

#[test]
fn swapped_columns_and_nulled_cells_are_found() {
    for (name, other) in [("server", "server_version"), ("event_id", "kind")] {
        let mut store = store();
        let (batch, metadata, _) = newest(&store, FileKind::Segment);
        let schema = batch.schema();
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .map(|field| match field.name() {
                found if found == name => Field::clone(field).with_name(other),
                found if found == other => Field::clone(field).with_name(name),
                _ => Field::clone(field),
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec()).unwrap();
        assert_found(
            &replace(&mut store, FileKind::Segment, &parquet_file(&batch, metadata, 33)),
            "expected",
        );
    }
    let mut store = store();
    let (batch, metadata, _) = newest(&store, FileKind::Segment);
    let batch = with_column(&batch, "agent_id", |column| (0..column.len()).map(|_| None::<&str>).collect());
    let findings = replace(&mut store, FileKind::Segment, &parquet_file(&batch, metadata, 33));
    assert_found(&findings, "not the one that was signed");
}

#[test]
fn rows_twice_or_missing_are_found() {
    let mut store = store();
    let (batch, metadata, _) = newest(&store, FileKind::Segment);
    let doubled =
        arrow::compute::concat_batches(&batch.schema(), [&batch.slice(0, 59), &batch.slice(7, 1)]).unwrap();
    let findings = replace(&mut store, FileKind::Segment, &parquet_file(&doubled, metadata, 33));
    assert_found(&findings, "more than once");
    assert_found(&findings, "missing or unreadable");
}

#[test]
fn changed_missing_and_doubled_payloads_are_found() {
    let edits: [(&str, fn(&RecordBatch) -> RecordBatch); 3] = [
        ("not the one that the entry commits to", |batch| {
            with_column(batch, "arguments", |column| column.iter().map(|value| value.map(|_| "{}")).collect())
        }),
        ("no payload file has", |batch| {
            arrow::compute::concat_batches(
                &batch.schema(),
                [&batch.slice(0, batch.num_rows() - 1), &batch.slice(0, 1)],
            )
            .unwrap()
        }),
        ("or the second for its entry", |batch| {
            arrow::compute::concat_batches(
                &batch.schema(),
                [&batch.slice(0, batch.num_rows() - 1), &batch.slice(0, 1)],
            )
            .unwrap()
        }),
    ];
    for (text, edit) in edits {
        let mut store = store();
        let (batch, metadata, _) = newest(&store, FileKind::Payload);
        let bytes = parquet_file(&edit(&batch), metadata, 33);
        assert_found(&replace(&mut store, FileKind::Payload, &bytes), text);
    }
}

#[test]
fn foreign_metadata_and_bloom_filters_are_found() {
    let mut store = store();
    let (batch, mut metadata, _) = newest(&store, FileKind::Segment);
    let bytes =
        parquet_file_with(&batch, metadata.clone(), |properties| properties.set_bloom_filter_enabled(true));
    assert_found(&replace(&mut store, FileKind::Segment, &bytes), "bloom filter");
    metadata.push(KeyValue::new("more".to_string(), "x".to_string()));
    let mut store = self::store();
    assert_found(
        &replace(&mut store, FileKind::Segment, &parquet_file(&batch, metadata, 33)),
        "key-value metadata",
    );
}

#[test]
fn metadata_written_again_unchanged_is_clean() {
    let mut store = store();
    let (_, _, bytes) = newest(&store, FileKind::Segment);
    assert_eq!(replace(&mut store, FileKind::Segment, &with_metadata(&bytes, |metadata| metadata)), []);
    assert_clean(&verified(&store));
}

#[test]
fn false_statistics_of_a_chunk_are_found() {
    let server = 42;
    let lies: [(&str, Statistics); 4] = [
        (
            "minimum of the chunk",
            Statistics::byte_array(Some("zzz".into()), Some("zzzz".into()), None, Some(0), false),
        ),
        (
            "maximum of the chunk",
            Statistics::byte_array(Some("a".into()), Some("b".into()), None, Some(0), false),
        ),
        ("null count", Statistics::byte_array(Some("a".into()), Some("zzzz".into()), None, Some(7), false)),
        (
            "distinct count",
            Statistics::byte_array(Some("a".into()), Some("zzzz".into()), Some(3), Some(0), false),
        ),
    ];
    for (text, lie) in lies {
        let mut store = store();
        let (_, _, bytes) = newest(&store, FileKind::Segment);
        let bytes = with_metadata(&bytes, |metadata| {
            edit_group(metadata, |columns| {
                let at = columns
                    .iter()
                    .position(|column| column.column_path().string() == "server")
                    .unwrap_or(server);
                let column = columns.remove(at);
                columns.insert(at, column.into_builder().set_statistics(lie.clone()).build().unwrap());
            })
        });
        assert_found(&replace(&mut store, FileKind::Segment, &bytes), text);
    }
}

fn leaf_of(metadata: &ParquetMetaData, path: &str) -> usize {
    metadata.row_group(0).columns().iter().position(|column| column.column_path().string() == path).unwrap()
}

#[test]
fn false_page_indexes_are_found() {
    for (text, min, max, nulls) in [
        ("minimum of page", "zzz", "zzzz", 0),
        ("maximum of page", "a", "b", 0),
        ("null count of a page", "a", "zzz", 3),
    ] {
        let mut store = store();
        let (_, _, bytes) = newest(&store, FileKind::Segment);
        let bytes = with_metadata(&bytes, |metadata| {
            let at = leaf_of(&metadata, "server");
            let pages = metadata.offset_index().unwrap()[0][at].page_locations().len();
            let mut index = ColumnIndexBuilder::new(parquet::basic::Type::BYTE_ARRAY);
            for _ in 0..pages {
                index.append(false, min.into(), max.into(), nulls);
            }
            let mut builder = metadata.into_builder();
            let mut indexes = builder.take_column_index().unwrap();
            indexes[0][at] = index.build().unwrap();
            builder.set_column_index(Some(indexes)).build()
        });
        assert_found(&replace(&mut store, FileKind::Segment, &bytes), text);
    }
    let mut store = store();
    let (_, _, bytes) = newest(&store, FileKind::Segment);
    let bytes = with_metadata(&bytes, |metadata| {
        let at = leaf_of(&metadata, "server");
        let locations = metadata.offset_index().unwrap()[0][at].page_locations().clone();
        assert!(locations.len() > 1);
        let mut index = OffsetIndexBuilder::new();
        let mut last = 0;
        for (page, location) in locations.iter().enumerate() {
            index.append_offset_and_size(location.offset, location.compressed_page_size);
            // The first page is said to hold one row less than it does.
            let next = locations.get(page + 1).map_or(60, |next| next.first_row_index);
            let end = if page == 0 { next - 1 } else { next };
            index.append_row_count(end - last);
            last = end;
        }
        let mut builder = metadata.into_builder();
        let mut indexes = builder.take_offset_index().unwrap();
        indexes[0][at] = index.build();
        builder.set_offset_index(Some(indexes)).build()
    });
    assert_found(&replace(&mut store, FileKind::Segment, &bytes), "values of a page by the offset index");
}

#[test]
fn lies_of_a_manifest_are_found() {
    let lies: [(&str, fn(&mut schemas::manifest::Manifest)); 6] = [
        ("the manifest says otherwise", |manifest| manifest.add[0].time_max_us += 1),
        ("expected", |manifest| manifest.add[1].rows += 1),
        ("the manifest says", |manifest| manifest.add[0].bytes += 1),
        ("another digest", |manifest| manifest.previous = "0".repeat(64)),
        ("not live", |manifest| manifest.remove.push("segments/x".to_string())),
        ("it says number", |manifest| manifest.number += 1),
    ];
    for (text, lie) in lies {
        let mut store = Store::small();
        store.logs[1].events(60);
        store.logs[1].seal_with(&|batch| batch, &lie);
        assert_found(&verified(&store).findings, text);
    }
}

#[test]
fn lies_of_a_round_are_found() {
    let lies: [(&str, fn(&mut schemas::control::Round)); 6] = [
        ("that the round", |round| round.logs[0].root = schemas::tree::empty_root().to_base64()),
        ("another digest", |round| round.logs[0].manifest_digest = "0".repeat(64)),
        ("says sealed size", |round| round.logs[0].sealed -= 1),
        ("not there", |round| round.logs[0].manifest += 1),
        ("(size, manifest, sealed)", |round| round.logs[0].size = 3),
        ("not opened before", |round| round.logs[1].number = 9),
    ];
    for (text, lie) in lies {
        let mut store = Store::small();
        store.round_with(lie);
        store.logs[0].seal();
        assert_found(&verified(&store).findings, text);
    }
}

#[test]
fn control_entries_in_the_wrong_place_or_spelling_are_found() {
    for (text, control) in [
        ("canonical", r#"{"control": "heartbeat","logs":1}"#),
        ("does not belong", r#"{"control":"heartbeat","logs":1}"#),
        ("does not belong", r#"{"control":"configuration","version":"1","digest":"d"}"#),
        (
            "malformed",
            r#"{"control":"verdict","alert_id":"a","verdict":"maybe","muted_until_us":0,"by":"x"}"#,
        ),
        (
            "canonical",
            r#"{"control":"verdict","alert_id":"a","verdict":"true","muted_until_us":0,"by":"x","note":""}"#,
        ),
        ("malformed", r#"{"control":"expiry"}"#),
        ("clock run", r#"{"control":"clock_run","last_us":1,"first_us":2}"#),
    ] {
        let mut store = Store::small();
        store.logs[1].control(control);
        store.logs[1].seal();
        assert_found(&verified(&store).findings, text);
    }
    let mut store = Store::small();
    store.logs[1].clock_us -= 1_000_000;
    store.logs[1].events(3);
    store.logs[1].seal();
    let findings = verified(&store).findings;
    assert_found(&findings, "without a clock run");
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn a_column_of_another_tenant_is_found_even_when_signed() {
    let mut store = Store::small();
    let at = store.logs[1].entries.len();
    store.logs[1].events(1);
    // Rebuilds the one new entry under a lie that everything signs.
    let entry = store.logs[1].entries.pop().unwrap();
    store.logs[1].leaves.pop();
    store.logs[1].bytes.pop();
    store.logs[1].batches.pop();
    let row = entry.row.clone().text(5, "other");
    store.logs[1].push(crate::writer::Entry { row, ..entry });
    store.logs[1].seal();
    let findings = verified(&store).findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].index, Some(at as u64));
}
