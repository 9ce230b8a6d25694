//! What is in the log of a process that has ended.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::Stream;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub kind: String,
    pub method: String,
    pub capability: String,
    /// As texts, one after another.
    pub attributes: String,
}

/// All rows of the events log but the recorder's own, in order.
pub fn rows(home: &Path) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = super::child::open(home);
    let snapshot = store.snapshot("default", Stream::Events).unwrap();
    let mut found = Vec::new();
    let read = |path: &Path| -> Vec<RecordBatch> {
        let file = std::fs::File::open(path).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
    };
    for segment in snapshot.segments.iter() {
        let payloads = segment.payloads.as_ref().map(|payloads| read(&payloads.path)).unwrap_or_default();
        for batch in read(&segment.entries.path) {
            found.extend(take(&batch, &payloads));
        }
    }
    for unsealed in &snapshot.unsealed {
        found.extend(take(&unsealed.entries, std::slice::from_ref(&unsealed.payloads)));
    }
    runtime.block_on(store.close()).unwrap();
    found
}

fn take(batch: &RecordBatch, payloads: &[RecordBatch]) -> Vec<Row> {
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        if column.is_valid(row) { column.value(row).to_string() } else { String::new() }
    };
    let index = |batch: &RecordBatch, row: usize| {
        let column = batch.column_by_name("log_index").unwrap();
        column.as_primitive::<arrow::datatypes::Int64Type>().value(row)
    };
    let attributes = |of: i64| -> String {
        for payloads in payloads {
            let Some(row) = (0..payloads.num_rows()).find(|row| index(payloads, *row) == of) else {
                continue;
            };
            let map = payloads.column_by_name("attributes").unwrap().as_map();
            if map.is_null(row) {
                continue;
            }
            let pairs = map.value(row);
            let (keys, values) = (pairs.column(0).as_string::<i32>(), pairs.column(1).as_string::<i32>());
            let pairs = keys.iter().zip(values.iter());
            return pairs
                .map(|(key, value)| format!("{}={}\n", key.unwrap(), value.unwrap_or_default()))
                .collect();
        }
        String::new()
    };
    let rows = (0..batch.num_rows()).filter(|row| text("kind", *row) != "control");
    rows.map(|row| {
        let kind = text("kind", row);
        // Only notices are looked into.
        let attributes = if kind == "integrity" { attributes(index(batch, row)) } else { String::new() };
        Row { kind, method: text("method", row), capability: text("capability", row), attributes }
    })
    .collect()
}

/// The number that the notices of `method` give as `name`, in all.
pub fn told(rows: &[Row], method: &str, name: &str) -> u64 {
    let notices = rows.iter().filter(|row| row.kind == "integrity" && row.method == method);
    let number = |row: &Row| -> u64 {
        let line = row.attributes.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{row:?}")).parse().unwrap()
    };
    notices.map(number).sum()
}

/// Verifies the files of a store that was closed.
pub fn verify_closed(home: &Path, when: &str) {
    let options = verify::Options::new(home.join("data"), verify::Identity::TrustStoreKey);
    let report = verify::run(&options, &|_| {}).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(report.exit_code(), 0, "{when}: {:#?}", report.findings);
}

/// Verifies the files as a process left them.
pub fn verify(home: &Path, when: &str) {
    let options = verify::Options::new(home.join("data"), verify::Identity::TrustStoreKey);
    match verify::run(&options, &|_| {}) {
        Ok(report) => assert_eq!(report.exit_code(), 0, "{when}: {:#?}", report.findings),
        // Killed before the first group of a new store.
        Err(error) => assert!(!home.join("durable").exists(), "{when}: {error}"),
    }
}
