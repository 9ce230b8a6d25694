//! Which type of PostgreSQL stands for a type of the engine, and how its values get there.

use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow_pg::datatypes::field_into_pg_type;
use pgwire::api::Type;

/// How values of a column become values of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Value by value, by `arrow-pg`.
    Direct,
    /// Maps, structures and lists of lists: as JSON.
    Json,
    /// What PostgreSQL has no type for: as text.
    Text,
}

fn is_direct(kind: &DataType) -> bool {
    match kind {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond)
        | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond)
        | DataType::Timestamp(..)
        | DataType::Interval(_)
        | DataType::Duration(_) => true,
        DataType::Decimal128(_, scale) => *scale >= 0,
        _ => false,
    }
}

/// The type of a column, and how its values get there.
pub(crate) fn type_of(field: &Field) -> (Type, Kind) {
    let direct = || field_into_pg_type(&std::sync::Arc::new(field.clone())).ok();
    match field.data_type() {
        DataType::Null => (Type::TEXT, Kind::Direct),
        DataType::Map(..) | DataType::Struct(_) => (Type::JSON, Kind::Json),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match direct().filter(|_| is_direct(item.data_type())) {
                Some(kind) => (kind, Kind::Direct),
                None => (Type::JSON, Kind::Json),
            }
        }
        kind => match direct().filter(|_| is_direct(kind)) {
            Some(kind) => (kind, Kind::Direct),
            None => (Type::TEXT, Kind::Text),
        },
    }
}

/// The name of a type in the words of the SQL standard, as `information_schema` has it.
pub(super) fn standard_name(kind: &Type) -> &'static str {
    match *kind {
        Type::INT8 => "bigint",
        Type::INT4 => "integer",
        Type::TEXT => "text",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::BYTEA => "bytea",
        Type::BOOL => "boolean",
        Type::FLOAT8 => "double precision",
        Type::JSON => "json",
        _ if kind.name().starts_with('_') => "ARRAY",
        _ => "USER-DEFINED",
    }
}

/// Bytes of a value of a type, or -1.
pub(super) fn type_length(kind: &Type) -> i64 {
    match *kind {
        Type::INT8 | Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::FLOAT8 => 8,
        Type::INT4 => 4,
        Type::BOOL => 1,
        _ => -1,
    }
}
