//! Table `columns`: what there is to ask, for whoever asks; there is no information schema.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::{Documented, schema};

/// The columns.
pub(super) fn columns() -> Vec<Documented> {
    use DataType::{Boolean, Int64, Utf8};
    vec![
        Documented::new("table_name", Utf8, "Table."),
        Documented::new("position", Int64, "Place in the table, from 1."),
        Documented::new("column_name", Utf8, "Column."),
        Documented::new(
            "type",
            Utf8,
            "Type: bigint, timestamp, text, double, binary, text[], bigint[], map, boolean.",
        ),
        Documented::new("nullable", Boolean, "Whether it can be null."),
        Documented::new("doc", Utf8, "What it says."),
    ]
}

/// A type in SQL's words.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Int64 => "bigint".to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "timestamp".to_string(),
        DataType::Float64 => "double".to_string(),
        DataType::Utf8 => "text".to_string(),
        DataType::Binary => "binary".to_string(),
        DataType::Boolean => "boolean".to_string(),
        DataType::List(item) => format!("{}[]", type_name(item.data_type())),
        DataType::Map(..) => "map".to_string(),
        other => other.to_string(),
    }
}

/// One row for each column of `tables`.
pub(super) fn rows(tables: &[(&'static str, Vec<Documented>)]) -> Result<RecordBatch, ArrowError> {
    let all: Vec<(&str, i64, &Documented)> = tables
        .iter()
        .flat_map(|(table, columns)| (1..).zip(columns).map(|(position, column)| (*table, position, column)))
        .collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(all.iter().map(|(table, _, _)| Some(*table)).collect::<StringArray>()),
        Arc::new(all.iter().map(|(_, position, _)| Some(*position)).collect::<Int64Array>()),
        Arc::new(all.iter().map(|(_, _, column)| Some(column.name)).collect::<StringArray>()),
        Arc::new(all.iter().map(|(_, _, column)| Some(type_name(&column.kind))).collect::<StringArray>()),
        Arc::new(all.iter().map(|(_, _, column)| Some(column.nullable)).collect::<BooleanArray>()),
        Arc::new(all.iter().map(|(_, _, column)| Some(column.doc)).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(&columns()), arrays)
}
