//! `vectors/groups.json`: a write-ahead file header and a group, with what they mean.

use schemas::Stream;
use schemas::group::{
    FileHeader, GROUP_HEADER_BYTES, GroupBuilder, GroupHeader, Position, Section, sections,
};
use schemas::payload::{record_field, record_header};
use serde_json::{Value, json};

use crate::entries::{encode, origin, row};
use crate::hex;

/// The header and the group.
pub fn document() -> Value {
    let header = FileHeader { number: 2, nonce: [0xa5; 16] };
    assert_eq!(FileHeader::parse(&header.encode()).unwrap(), header);
    let group = group();
    json!({
        "file_header": { "bytes": hex(&header.encode()), "number": header.number, "nonce": hex(&header.nonce) },
        "group": { "bytes": hex(&group), "meaning": meaning(&group) },
    })
}

/// A group of two entries, one payload record, a checkpoint and a cursor.
pub fn group() -> Vec<u8> {
    let mut bundle = Vec::new();
    for index in [5, 6] {
        let entry = encode(Stream::Events, index, &row("acme", &json!({})));
        bundle.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
        bundle.extend_from_slice(&entry);
    }
    let mut record = Vec::new();
    record_header(6, &[1; 16], &mut record);
    record_field(200, b"{}", &mut record);
    record_field(203, b"", &mut record);
    let records = [&u32::try_from(record.len()).unwrap().to_be_bytes()[..], &record].concat();
    let mut builder = GroupBuilder::new();
    builder.entries(&origin(Stream::Events), 5, 2, &bundle, &records);
    builder.checkpoint("a note\n\n— x y\n".as_bytes());
    builder.cursor(&origin(Stream::Events), 7, "kafka/topic/0", "17");
    builder.finish(9, [0xa5; 16], Position { file: 2, offset: 512 }).unwrap()
}

fn meaning(group: &[u8]) -> Value {
    let header = GroupHeader::parse(group).unwrap();
    let body = &group[GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.body_bytes];
    header.check_body(body).unwrap();
    let sections: Vec<Value> = sections(body, header.sections).unwrap().iter().map(section).collect();
    json!({
        "number": header.number,
        "nonce": hex(&header.nonce),
        "synced": { "file": header.synced.file, "offset": header.synced.offset },
        "sections": sections,
    })
}

fn section(section: &Section<'_>) -> Value {
    match section {
        Section::Entries(entries) => json!({
            "origin": entries.origin.to_string(),
            "first": entries.first,
            "entries": entries.entries().unwrap().into_iter().map(hex).collect::<Vec<_>>(),
            "payloads": entries.payloads().unwrap().into_iter().map(hex).collect::<Vec<_>>(),
        }),
        Section::Checkpoint(note) => json!({ "checkpoint": String::from_utf8_lossy(note) }),
        Section::Cursor(cursor) => json!({
            "origin": cursor.origin.to_string(),
            "end": cursor.end,
            "cursor": cursor.name,
            "value": cursor.value,
        }),
    }
}
