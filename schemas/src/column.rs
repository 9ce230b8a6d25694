//! One column of a stream: its name, field id, type, place and cap.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// The types that a store column may have. No unsigned, no nanoseconds, no floats: other engines lose them,
/// and canonical bytes need one spelling per value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Arrow `Int64`; 8 bytes big-endian two's complement.
    Int64,
    /// Arrow `Timestamp(Microsecond, "UTC")`; 8 bytes big-endian two's complement.
    Timestamp,
    /// Arrow `Utf8`; its bytes as given, no normalisation.
    Utf8,
    /// Arrow `Binary`; its bytes.
    Binary,
    /// Arrow `List<Utf8 not null>`; u32 count, then u32 length and bytes of each item.
    ListUtf8,
    /// Arrow `List<Int64 not null>`; u32 count, then u32 length (8) and 8 bytes of each item.
    ListInt64,
    /// Arrow `Map<Utf8 not null, Utf8 not null>`; u32 count of pairs, then key and value of each, framed as
    /// list items, in ascending byte order of the keys, no key twice.
    MapUtf8,
}

/// On which side of an event a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// In the segment file and in the canonical bytes.
    Entry,
    /// In the payload file, erasable, covered by `payload_commitment`.
    Payload,
}

/// One column, as the schema table of a stream lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Persisted: Parquet `field_id` and the id in canonical bytes. Never reused.
    pub id: u16,
    /// Persisted: the name in Parquet and SQL.
    pub name: &'static str,
    /// Persisted: the type.
    pub kind: ColumnType,
    /// Whether every row has a value.
    pub required: bool,
    /// Where the column is stored.
    pub side: Side,
    /// Bytes of the encoded value at most; a longer source value is cut, and `cut` names the column.
    pub bytes_max: usize,
    /// One sentence for people who ask in SQL.
    pub doc: &'static str,
}

/// Arrow metadata key under which Parquet keeps a column's field id.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

impl ColumnType {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Utf8 => DataType::Utf8,
            ColumnType::Binary => DataType::Binary,
            ColumnType::ListUtf8 => DataType::new_list(DataType::Utf8, false).with_item_name(),
            ColumnType::ListInt64 => DataType::new_list(DataType::Int64, false).with_item_name(),
            ColumnType::MapUtf8 => {
                let pair = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Utf8, false),
                ]);
                DataType::Map(Field::new("key_value", DataType::Struct(pair), false).into(), false)
            }
        }
    }
}

/// Names a list's item field `element`, as the Parquet specification does.
trait WithItemName {
    fn with_item_name(self) -> DataType;
}

impl WithItemName for DataType {
    fn with_item_name(self) -> DataType {
        match self {
            DataType::List(item) => DataType::List(Field::clone(&item).with_name("element").into()),
            other => other,
        }
    }
}

impl Column {
    /// The Arrow field, with its Parquet field id.
    pub fn field(&self) -> Field {
        Field::new(self.name, self.kind.data_type(), !self.required)
            .with_metadata(HashMap::from([(FIELD_ID_KEY.to_string(), self.id.to_string())]))
    }
}
