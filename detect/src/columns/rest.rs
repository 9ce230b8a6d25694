//! The columns that no detector of the engine asks for, as rules in Sigma ask for them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use schemas::{Column, ColumnType};
use sigma::{Fields, Value};

use super::{items_of, number, primitive, text, texts, value};
use crate::error::Result;

/// One row of the columns that are no fields of a record.
#[derive(Debug, Default)]
pub(super) struct Rest<'a> {
    columns: Arc<[(u16, Cells<'a>)]>,
    row: usize,
}

/// A column of any type that a rule may name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cells<'a> {
    Text(&'a StringArray),
    Number(&'a Int64Array),
    Time(&'a PrimitiveArray<TimestampMicrosecondType>),
    Texts(&'a ListArray, &'a StringArray),
}

impl<'a> Cells<'a> {
    pub fn of(log: &str, batch: &'a RecordBatch, column: &Column) -> Result<Cells<'a>> {
        let name = column.name;
        Ok(match column.kind {
            ColumnType::Int64 => Cells::Number(primitive::<Int64Type>(log, batch, name)?),
            ColumnType::Timestamp => Cells::Time(primitive(log, batch, name)?),
            ColumnType::ListUtf8 => {
                let (list, items) = texts(log, batch, name)?;
                Cells::Texts(list, items)
            }
            _ => Cells::Text(text(log, batch, name)?),
        })
    }

    fn value(self, row: usize) -> Value<'a> {
        match self {
            Cells::Text(column) => value(column, row).map_or(Value::Null, Value::Text),
            Cells::Number(column) => number(column, row).map_or(Value::Null, Value::Number),
            Cells::Time(column) if column.is_valid(row) => Value::Number(column.value(row)),
            Cells::Texts(list, items) if list.is_valid(row) => {
                Value::List(Cow::Owned(items_of(list, items, row).collect()))
            }
            Cells::Time(_) | Cells::Texts(..) => Value::Null,
        }
    }
}

impl<'a> Rest<'a> {
    /// Goes to a row of these columns.
    pub fn turn(&mut self, columns: &Arc<[(u16, Cells<'a>)]>, row: usize) {
        if !Arc::ptr_eq(&self.columns, columns) {
            self.columns = Arc::clone(columns);
        }
        self.row = row;
    }
}

impl Fields for Rest<'_> {
    fn value(&self, column: &'static Column) -> Value<'_> {
        match self.columns.binary_search_by_key(&column.id, |(id, _)| *id) {
            Ok(at) => self.columns.get(at).map_or(Value::Null, |(_, cells)| cells.value(self.row)),
            Err(_) => Value::Null,
        }
    }
}
