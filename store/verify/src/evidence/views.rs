//! Payloads and views of a bundle, held against its entries.

use std::sync::Mutex;

use arrow::array::RecordBatch;
use bytes::Bytes;
use schemas::entry::{Encoder, EntryView};
use schemas::evidence::payload::{Payload, Shown};
use schemas::evidence::{Manifest, csv, view_schema};
use schemas::rows::RowsBuilder;
use schemas::stream::PAYLOAD_COMMITMENT;
use schemas::{Error, LogId, Result, Stream};

use super::entries::{Entries, Say};
use crate::data_file::{Expected, read_columns};
use crate::work;

/// What is shown of the payload of a row, by its place among the rows.
pub(super) type Payloads = Vec<Vec<(u16, Shown)>>;

/// Goes over `log/payloads.ndjson`: one line for every row that commits to a payload, and for no other.
pub(super) fn check_payloads(
    bytes: &[u8],
    entries: &Entries,
    manifest: &Manifest,
    stream: Stream,
    say: Say<'_>,
) -> Payloads {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut found = Payloads::new();
    for at in 0..entries.rows() {
        let Some(view) = entries.row(at).and_then(|entry| EntryView::parse(entry).ok()) else { break };
        let commitment = view.field(PAYLOAD_COMMITMENT).ok().flatten();
        let shown = match commitment {
            None => Vec::new(),
            Some(commitment) => match opened(lines.next(), &view, commitment, manifest, stream) {
                Ok(shown) => shown,
                Err(error) => {
                    say(Some(view.index), error.to_string());
                    Vec::new()
                }
            },
        };
        found.push(shown);
    }
    let left = lines.count();
    if left > 0 {
        say(None, format!("{left} lines more than there are rows with a payload"));
    }
    found
}

fn opened(
    line: Option<&[u8]>,
    entry: &EntryView<'_>,
    commitment: &[u8],
    manifest: &Manifest,
    stream: Stream,
) -> Result<Vec<(u16, Shown)>> {
    let wrong = |detail: String| Error::mismatch("payload", detail);
    let line = line.and_then(|line| line.strip_suffix(b"\n"));
    let line = line.ok_or_else(|| wrong("no line for it, or one without its end".to_string()))?;
    let payload = Payload::parse(line)?;
    if payload.index != entry.index {
        return Err(wrong(format!("the line is of entry {}", payload.index)));
    }
    let (shown, found) = payload.open(stream)?;
    if found.0 != commitment {
        return Err(wrong("it is not what the entry commits to".to_string()));
    }
    for (id, shown) in &shown {
        let Some(column) = stream.column_by_id(*id) else { continue };
        if (*shown == Shown::Withheld) != manifest.withholds(column) {
            return Err(wrong(format!(
                "{} is shown or withheld, and bundle.json says otherwise",
                column.name
            )));
        }
    }
    // Values of their types: what is shown is canonical or it is nothing.
    RowsBuilder::payloads(stream).push_values(values(&shown))?;
    Ok(shown)
}

fn values(shown: &[(u16, Shown)]) -> impl Iterator<Item = Result<(u16, &[u8])>> {
    shown.iter().filter_map(|(id, shown)| match shown {
        Shown::Value(value) => Some(Ok((*id, value.as_slice()))),
        Shown::Withheld => None,
    })
}

/// Makes the CSV view again and compares it, line by line as far as both go.
pub(super) fn check_csv(bytes: &[u8], entries: &Entries, payloads: &Payloads, stream: Stream, say: Say<'_>) {
    let header = csv::header(stream);
    let Some(mut rest) = bytes.strip_prefix(header.as_bytes()) else {
        return say(None, "another header row".to_string());
    };
    for (at, shown) in payloads.iter().enumerate() {
        let Some(view) = entries.row(at).and_then(|entry| EntryView::parse(entry).ok()) else { return };
        let row = match csv::row(stream, &view, shown) {
            Ok(row) => row,
            Err(error) => return say(Some(view.index), error.to_string()),
        };
        match rest.strip_prefix(row.as_bytes()) {
            Some(after) => rest = after,
            // Where rows begin after this one cannot be told.
            None => return say(Some(view.index), "the row is not what the entry says".to_string()),
        }
    }
    if !rest.is_empty() {
        say(None, format!("{} bytes after the last row", rest.len()));
    }
}

/// Reads the Parquet view and holds every row against its entry and payload. A panic of the reader is a finding.
pub(super) fn check_parquet(
    bytes: Vec<u8>,
    entries: &Entries,
    payloads: &Payloads,
    log_id: LogId,
    stream: Stream,
    say: Say<'_>,
) -> std::result::Result<(), crate::Error> {
    let expected =
        Expected { stream, schema: view_schema(stream), metadata: Vec::new(), rows: payloads.len() as u64 };
    if !bytes.starts_with(b"PAR1") {
        // The reader goes by the end of the file.
        say(None, "it does not begin as a Parquet file does".to_string());
    }
    let bytes = Bytes::from(bytes);
    let check = |(): &()| {
        let said = Mutex::new(Vec::new());
        let tell = |index: Option<u64>, detail: String| {
            if let Ok(mut said) = said.lock() {
                said.push((index, detail));
            }
        };
        let mut at = 0;
        let read = read_columns(
            &bytes,
            &expected,
            |problem| tell(None, problem),
            |batch| {
                for row in 0..batch.num_rows() {
                    if let Err((index, detail)) =
                        check_row(batch, row, at, (entries, payloads), log_id, stream)
                    {
                        tell(index, detail);
                    }
                    at += 1;
                }
            },
        );
        if let Err(problem) = read {
            tell(None, problem);
        }
        said.into_inner().unwrap_or_default()
    };
    // On a thread of its own, whose panics are not printed.
    work::ordered(1, &[()], check, |(), said| match said {
        Ok(said) => said.into_iter().for_each(|(index, detail)| say(index, detail)),
        Err(panic) => say(None, format!("it cannot be read: {panic}")),
    })
}

fn check_row(
    batch: &RecordBatch,
    row: usize,
    at: usize,
    (entries, payloads): (&Entries, &Payloads),
    log_id: LogId,
    stream: Stream,
) -> std::result::Result<(), (Option<u64>, String)> {
    let entry = entries.row(at).unwrap_or_default();
    let index = EntryView::parse(entry).ok().map(|view| view.index);
    let failed = |error: &dyn std::fmt::Display| (index, error.to_string());
    let of_entry = stream.entry_columns().count();
    let sides = [(0..of_entry).collect::<Vec<_>>(), (of_entry..batch.num_columns()).collect()];
    let [entry_side, payload_side] = sides.map(|columns| batch.slice(row, 1).project(&columns));
    let entry_side = entry_side.map_err(|error| failed(&error))?;
    let payload_side = payload_side.map_err(|error| failed(&error))?;
    let mut encoded = Vec::new();
    let encoder = Encoder::entries(stream, &entry_side).map_err(|error| failed(&error))?;
    encoder.entry(&log_id, 0, &mut encoded).map_err(|error| failed(&error))?;
    let mut found = Vec::new();
    let encoder = Encoder::payloads(stream, &payload_side).map_err(|error| failed(&error))?;
    let mut scratch = Vec::new();
    encoder
        .values(0, &mut scratch, |id, value| found.push((id, value.to_vec())))
        .map_err(|error| failed(&error))?;
    let shown = payloads.get(at).map(Vec::as_slice).unwrap_or_default();
    let shown = values(shown).map_while(Result::ok).map(|(id, value)| (id, value.to_vec()));
    if encoded != entry || !shown.eq(found) {
        return Err((index, "the row is not what the entry and its payload say".to_string()));
    }
    Ok(())
}
