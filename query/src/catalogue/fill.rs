//! Tables of few rows, of which only the columns that say something are written down.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::MemTable;

/// Some columns of a row by name.
pub(super) type Row = Vec<(&'static str, ScalarValue)>;

/// A text.
pub(super) fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

/// A whole number; becomes as wide as its column.
pub(super) fn int(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

/// A truth value.
pub(super) fn bool(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

/// What a column holds where a row does not say: null where it may, else the zero of its type.
fn unsaid(field: &Field) -> Result<ScalarValue> {
    match field.data_type() {
        kind if field.is_nullable() => ScalarValue::try_new_null(kind),
        DataType::Utf8 => Ok(text("")),
        DataType::Boolean => Ok(bool(false)),
        kind => ScalarValue::try_new_null(kind).and_then(|null| int(0).cast_to(kind).or(Ok(null))),
    }
}

/// A table of `schema` with `rows`.
///
/// # Errors
/// Where a value does not fit its column, which is a bug.
pub(super) fn table(schema: &SchemaRef, rows: &[Row]) -> Result<Arc<dyn TableProvider>> {
    let batch = if rows.is_empty() {
        RecordBatch::new_empty(Arc::clone(schema))
    } else {
        let column = |field: &Arc<Field>| -> Result<ArrayRef> {
            let unsaid = unsaid(field)?;
            let value = |row: &Row| match row.iter().find(|(name, _)| name == field.name()) {
                Some((_, value)) => value.cast_to(field.data_type()),
                None => Ok(unsaid.clone()),
            };
            ScalarValue::iter_to_array(rows.iter().map(value).collect::<Result<Vec<_>>>()?)
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns)?
    };
    Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![vec![batch]])?))
}
