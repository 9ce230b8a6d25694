//! Cells of a stream's rows, read by name.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use crate::{Error, Result};

/// A batch of rows of one log. A column that the batch does not have is null in every row.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    log: &'a str,
    columns: BTreeMap<&'a str, &'a ArrayRef>,
    rows: usize,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    table: &'a Table<'a>,
    row: usize,
    index: i64,
}

impl<'a> Table<'a> {
    pub fn new(log: &'a str, batch: &'a RecordBatch, schema: &'a arrow::datatypes::Schema) -> Table<'a> {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        Table { log, columns: names.zip(batch.columns()).collect(), rows: batch.num_rows() }
    }

    /// Every row, in order.
    pub fn rows(&'a self) -> impl Iterator<Item = Result<Cells<'a>>> {
        (0..self.rows).map(|row| {
            let nowhere = Cells { table: self, row, index: -1 };
            Ok(Cells { index: nowhere.int("log_index")?, ..nowhere })
        })
    }
}

impl<'a> Cells<'a> {
    /// The row's index in its log, not below 0.
    pub fn index(&self) -> Result<u64> {
        u64::try_from(self.index).map_err(|_| self.error("log_index is below 0".to_owned()))
    }

    pub fn error(&self, detail: String) -> Error {
        Error::Row { log: self.table.log.to_owned(), index: self.index, detail }
    }

    fn array(&self, name: &str) -> Option<&'a ArrayRef> {
        self.table.columns.get(name).copied().filter(|array| array.is_valid(self.row))
    }

    fn mistyped(&self, name: &str, array: &ArrayRef) -> Error {
        self.error(format!("column {name} is of type {}", array.data_type()))
    }

    fn missing(&self, name: &str) -> Error {
        self.error(format!("column {name} has no value"))
    }

    pub fn text_option(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(array) = self.array(name) else { return Ok(None) };
        let texts = array.as_string_opt::<i32>().ok_or_else(|| self.mistyped(name, array))?;
        Ok(Some(texts.value(self.row)))
    }

    pub fn text(&self, name: &str) -> Result<&'a str> {
        self.text_option(name)?.ok_or_else(|| self.missing(name))
    }

    /// An integer, or a time in microseconds.
    pub fn int_option(&self, name: &str) -> Result<Option<i64>> {
        let Some(array) = self.array(name) else { return Ok(None) };
        let int = match array.data_type() {
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(|ints| ints.value(self.row)),
            DataType::Timestamp(..) => {
                array.as_primitive_opt::<TimestampMicrosecondType>().map(|times| times.value(self.row))
            }
            _ => None,
        };
        int.map(Some).ok_or_else(|| self.mistyped(name, array))
    }

    pub fn int(&self, name: &str) -> Result<i64> {
        self.int_option(name)?.ok_or_else(|| self.missing(name))
    }

    /// A list of texts; null is the empty list.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let Some(array) = self.array(name) else { return Ok(Vec::new()) };
        let items = array.as_list_opt::<i32>().ok_or_else(|| self.mistyped(name, array))?.value(self.row);
        let texts = items.as_string_opt::<i32>().ok_or_else(|| self.mistyped(name, array))?;
        Ok(texts.iter().flatten().map(str::to_owned).collect())
    }

    /// A list of integers; null is the empty list.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>> {
        let Some(array) = self.array(name) else { return Ok(Vec::new()) };
        let items = array.as_list_opt::<i32>().ok_or_else(|| self.mistyped(name, array))?.value(self.row);
        let ints = items.as_primitive_opt::<Int64Type>().ok_or_else(|| self.mistyped(name, array))?;
        Ok(ints.iter().flatten().collect())
    }

    /// Bytes as lower-case hex digits.
    pub fn hex_option(&self, name: &str) -> Result<Option<String>> {
        let Some(array) = self.array(name) else { return Ok(None) };
        let bytes = array.as_binary_opt::<i32>().ok_or_else(|| self.mistyped(name, array))?.value(self.row);
        Ok(Some(hex(bytes)))
    }
}

/// Lower-case hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
