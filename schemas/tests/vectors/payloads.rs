//! `vectors/payloads.json`: payload fields, their salts and commitments.

use schemas::Stream;
use schemas::entry::Encoder;
use schemas::payload::{Committer, RecordView, field_commitment, record_field, record_header};
use schemas::rows::RowsBuilder;
use schemas::stream::SALT_BYTES;
use serde_json::{Value, json};

use crate::entries::canonical;
use crate::hex;

/// Payload rows of `events` with all that is derived from them.
pub fn document() -> Value {
    let rows = [
        ([0x00; SALT_BYTES], json!({ "arguments": "{}" })),
        ([0xff; SALT_BYTES], json!({ "arguments": "", "result": "größe 読む" })),
        ([0x5a; SALT_BYTES], json!({ "attributes": [], "raw": "x" })),
        (
            *b"sixteen bytes ok",
            json!({
                "arguments": "{\"path\":\"/etc/passwd\"}",
                "attributes": [["", "empty key"], ["a", ""], ["aa", "b"], ["z", "é"], ["é", "after z"], ["👩", "last"]],
                "error_message": "no\nsuch\u{0}file",
                "oversize": [["target", "y"]],
            }),
        ),
    ];
    json!({ "rows": rows.map(|(salt, values)| vector(salt, &values)) })
}

fn vector(salt: [u8; SALT_BYTES], values: &Value) -> Value {
    let mut given: Vec<(u16, Vec<u8>)> = Vec::new();
    for (name, value) in values.as_object().unwrap() {
        let column = Stream::Events.column(name).unwrap();
        given.push((column.id, canonical(column.kind, value)));
    }
    given.sort();
    let mut rows = RowsBuilder::payloads(Stream::Events);
    rows.push_values(given.iter().map(|(id, bytes)| Ok((*id, bytes.as_slice())))).unwrap();
    let batch = rows.finish().unwrap();

    let mut committer = Committer::new();
    let mut read: Vec<(u16, Vec<u8>)> = Vec::new();
    let encoder = Encoder::payloads(Stream::Events, &batch).unwrap();
    encoder.values(0, &mut Vec::new(), |id, bytes| read.push((id, bytes.to_vec()))).unwrap();
    assert_eq!(read, given);

    let mut record = Vec::new();
    record_header(5, &salt, &mut record);
    let mut fields = Vec::new();
    for (id, bytes) in &given {
        record_field(*id, bytes, &mut record);
        let field_salt = committer.field_salt(&salt, *id);
        fields.push(json!({
            "id": id,
            "value": hex(bytes),
            "field_salt": hex(&field_salt),
            "c_f": hex(&field_commitment(*id, &field_salt, bytes).0),
        }));
    }
    let commitment = RecordView::parse(&record).unwrap().commitment(&mut committer).unwrap().unwrap();
    json!({
        "salt": hex(&salt),
        "values": values,
        "fields": fields,
        "commitment": hex(&commitment.0),
        "record": { "index": 5, "bytes": hex(&record) },
    })
}
