//! `vectors/schema.json`: the tables of all streams.

use schemas::column::Side;
use schemas::limits::LIST_ITEMS_MAX;
use schemas::stream::{PAYLOAD_SALT, SALT_BYTES};
use schemas::{Column, ColumnType, Stream};
use serde_json::{Value, json};

/// The tables, by stream, with the list cap that FORMAT.md leaves to the code.
pub fn document() -> Value {
    let columns = |stream: Stream| stream.columns().iter().map(describe).chain([salt()]).collect::<Value>();
    let streams: serde_json::Map<String, Value> =
        Stream::ALL.iter().map(|stream| (stream.name().to_string(), columns(*stream))).collect();
    json!({ "format": 1, "list_items_max": LIST_ITEMS_MAX, "streams": streams })
}

fn describe(column: &Column) -> Value {
    json!({
        "id": column.id,
        "name": column.name,
        "type": type_name(column.kind),
        "required": column.required,
        "side": match column.side { Side::Entry => "entry", Side::Payload => "payload" },
        "bytes_max": column.bytes_max,
        "doc": column.doc,
    })
}

/// The last column of a payload file, which no table of a stream lists.
fn salt() -> Value {
    let schema = Stream::Events.payload_schema();
    let field = schema.fields().last().expect("a payload file has columns");
    json!({
        "id": PAYLOAD_SALT,
        "name": field.name(),
        "type": "Binary",
        "required": !field.is_nullable(),
        "side": "payload",
        "bytes_max": SALT_BYTES,
        "doc": "16 random bytes from which the field salts of the commitment derive.",
    })
}

/// The name of a type in FORMAT.md section 4.
pub fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int64 => "Int64",
        ColumnType::Timestamp => "Timestamp",
        ColumnType::Utf8 => "Utf8",
        ColumnType::Binary => "Binary",
        ColumnType::ListUtf8 => "ListUtf8",
        ColumnType::ListInt64 => "ListInt64",
        ColumnType::MapUtf8 => "MapUtf8",
    }
}
