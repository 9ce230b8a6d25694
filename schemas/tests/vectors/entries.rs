//! `vectors/entries.json`: rows as values by column, and the entries and leaf hashes that they make.

use schemas::entry::{Encoder, EntryView, value};
use schemas::rows::RowsBuilder;
use schemas::stream::LOG_INDEX;
use schemas::tree::leaf_hash;
use schemas::{ColumnType, LogId, Origin, Stream};
use serde_json::{Value, json};

use crate::hex;

/// The rows of all streams with their entries.
pub fn document() -> Value {
    let rows: Vec<Value> =
        rows().into_iter().map(|(stream, index, values)| vector(stream, index, &values)).collect();
    json!({
        "values": "numbers, texts, lists of them; Binary is hex, MapUtf8 a list of [key, value]; an absent column is null",
        "rows": rows,
    })
}

/// The log id of the vectors of a stream.
pub fn log_id(stream: Stream) -> LogId {
    origin(stream).log_id(&[7; 32])
}

/// The origin of the vectors of a stream.
pub fn origin(stream: Stream) -> Origin {
    let tenant = if stream == Stream::Root { "_root" } else { "acme" };
    Origin::new("fleet-1", tenant, stream, "w0").unwrap()
}

fn vector(stream: Stream, index: u64, values: &Value) -> Value {
    let entry = encode(stream, index, values);
    json!({
        "stream": stream.name(),
        "log_id": hex(&log_id(stream).0),
        "index": index,
        "values": values,
        "entry": hex(&entry),
        "leaf": hex(&leaf_hash(&entry).0),
    })
}

/// The entry of a row, by way of the Arrow batch that a segment file holds; it is read back and compared.
pub fn encode(stream: Stream, index: u64, values: &Value) -> Vec<u8> {
    let mut fields = vec![(LOG_INDEX, index.to_be_bytes().to_vec())];
    for (name, value) in values.as_object().unwrap() {
        let column = stream.column(name).unwrap_or_else(|| panic!("no column {name}"));
        fields.push((column.id, canonical(column.kind, value)));
    }
    fields.sort();
    let mut rows = RowsBuilder::entries(stream);
    rows.push_values(fields.iter().map(|(id, bytes)| Ok((*id, bytes.as_slice())))).unwrap();
    let batch = rows.finish().unwrap();
    let mut entry = Vec::new();
    Encoder::entries(stream, &batch).unwrap().entry(&log_id(stream), 0, &mut entry).unwrap();

    let view = EntryView::parse(&entry).unwrap();
    let read: Vec<_> =
        view.fields().map(|field| field.map(|(id, bytes)| (id, bytes.to_vec())).unwrap()).collect();
    assert_eq!((view.log_id, view.index, read.as_slice()), (log_id(stream), index, &fields[1..]));
    entry
}

/// The canonical bytes of a JSON value.
pub fn canonical(kind: ColumnType, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let items = || value.as_array().unwrap().iter();
    match kind {
        ColumnType::Int64 | ColumnType::Timestamp => return value.as_i64().unwrap().to_be_bytes().to_vec(),
        ColumnType::Utf8 => return value.as_str().unwrap().as_bytes().to_vec(),
        ColumnType::Binary => return unhex(value.as_str().unwrap()),
        ColumnType::ListUtf8 => value::list(items().map(|item| item.as_str().unwrap().as_bytes()), &mut out),
        ColumnType::ListInt64 => {
            let items: Vec<_> = items().map(|item| item.as_i64().unwrap().to_be_bytes()).collect();
            value::list(items.iter().map(<[u8; 8]>::as_slice), &mut out);
        }
        ColumnType::MapUtf8 => {
            let pairs = items().map(|item| (item[0].as_str().unwrap(), item[1].as_str().unwrap()));
            value::map("map", pairs, &mut out).unwrap();
        }
    }
    out
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The required columns, and those of `more`.
pub fn row(tenant: &str, more: &Value) -> Value {
    let mut values = json!({
        "ingest_time": 1_795_219_200_000_001_i64,
        "event_id": "e-1",
        "time": 1_795_219_199_999_999_i64,
        "tenant": tenant,
        "kind": "tool_call",
        "source": "otlp/1",
        "session_id": "s-1",
        "decision": "allow",
        "status": "ok",
    });
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    values
}

fn control(tenant: &str, text: &str) -> Value {
    let time = 1_795_219_200_000_001_i64;
    row(
        tenant,
        &json!({
            "kind": "control", "session_id": "_control", "decision": "none", "status": "ok", "source": "tachograph",
            "time": time, "ingest_time": time, "control": text,
        }),
    )
}

fn rows() -> Vec<(Stream, u64, Value)> {
    let opened = r#"{"control":"log_opened","number":1,"origin":"fleet-1/acme/events/w0","key":"k","manifest_key":"m"}"#;
    vec![
        (Stream::Events, 0, control("acme", opened)),
        (Stream::Events, 1, row("acme", &json!({}))),
        (
            Stream::Events,
            2,
            row("acme", &json!({ "capability": "", "target": "größe/読む/👩‍👩‍👧/e\u{301}/\u{e9}" })),
        ),
        (
            Stream::Events,
            3,
            row("acme", &json!({ "latency_us": -1, "attempt": i64::MIN, "input_tokens": i64::MAX })),
        ),
        (
            Stream::Events,
            4,
            row("acme", &json!({ "scopes": [], "delegation": ["", "a", "", "ü"], "tags": ["late"] })),
        ),
        (Stream::Events, 5, row("acme", &json!({ "time": -1, "credential_expires": 0, "status": "" }))),
        (
            Stream::Events,
            255,
            row("acme", &json!({ "payload_commitment": "00ff".repeat(16), "event_id": "\u{0}\n\"\\" })),
        ),
        (
            Stream::Events,
            i64::MAX as u64,
            row("acme", &json!({ "target": "x".repeat(2048), "cut": ["target"] })),
        ),
        (
            Stream::Alerts,
            256,
            row("acme", &json!({ "evidence": [0, -1, i64::MAX, i64::MIN], "references": [""] })),
        ),
        (
            Stream::Alerts,
            257,
            row("acme", &json!({ "evidence": [], "count": 0, "observables": ["ip", "10.0.0.1"] })),
        ),
        (Stream::Access, 1, row("acme", &json!({ "statement": "SELECT 'ß'", "rows": 0, "format": "arrow" }))),
        (
            Stream::Access,
            2,
            control(
                "acme",
                r#"{"control":"token_created","id":"t1","role":"reader","tenant":"acme","by":"\"ü\"\n"}"#,
            ),
        ),
        (Stream::Events, 300, control("acme", r#"{"control":"clock_read","due_us":5}"#)),
        (
            Stream::Events,
            301,
            control(
                "acme",
                r#"{"control":"verdict","alert_id":"0a","verdict":"benign","muted_until_us":0,"by":"t-1"}"#,
            ),
        ),
        (
            Stream::Events,
            302,
            control(
                "acme",
                r#"{"control":"verdict","alert_id":"0a","verdict":"true","muted_until_us":7,"by":"t-1","note":"moved"}"#,
            ),
        ),
        (Stream::Root, 3, control("_root", r#"{"control":"heartbeat","logs":2}"#)),
        (Stream::Root, 4, control("_root", r#"{"control":"clock_run","last_us":5,"first_us":-5}"#)),
    ]
}
