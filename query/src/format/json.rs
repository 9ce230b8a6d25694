//! JSON: keys in column order, one row one object.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Encoder, value};
use crate::{Error, Result};

/// The keys of a row, as they are written before each value.
struct Keys(Vec<Vec<u8>>);

impl Keys {
    fn new(schema: &SchemaRef) -> Result<Keys> {
        let mut seen = HashSet::new();
        let mut keys = Vec::new();
        for field in schema.fields() {
            if !seen.insert(field.name()) {
                let detail =
                    format!("two columns are called {:?}: name one with AS, or ask for csv", field.name());
                return Err(Error::Refused { code: "duplicate_column", detail });
            }
            let mut key = Vec::new();
            value::json_text(field.name(), &mut key);
            key.push(b':');
            keys.push(key);
        }
        Ok(Keys(keys))
    }

    fn row(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        for (at, (key, column)) in self.0.iter().zip(batch.columns()).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            value::json(column.as_ref(), row, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

/// One array.
pub(super) struct Array {
    keys: Keys,
    begun: bool,
}

impl Array {
    pub(super) fn new(schema: &SchemaRef) -> Result<Array> {
        Ok(Array { keys: Keys::new(schema)?, begun: false })
    }
}

impl Encoder for Array {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.num_rows() {
            out.extend_from_slice(if self.begun { b",\n" } else { b"[" });
            self.begun = true;
            self.keys.row(batch, row, out)?;
        }
        Ok(())
    }

    fn end(&mut self, _rows: u64, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(if self.begun { b"]\n" } else { b"[]\n" });
        Ok(())
    }
}

/// One object a line, and a last line that says that it is the last.
pub(super) struct Lines {
    keys: Keys,
}

impl Lines {
    pub(super) fn new(schema: &SchemaRef) -> Result<Lines> {
        Ok(Lines { keys: Keys::new(schema)? })
    }
}

impl Encoder for Lines {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.num_rows() {
            self.keys.row(batch, row, out)?;
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(format!("{{\"$end\":{{\"rows\":{rows}}}}}\n").as_bytes());
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        error_line(error, out);
        true
    }
}

/// The line that ends an answer that failed.
pub(crate) fn error_line(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$error\":{\"code\":");
    value::json_text(error.code(), out);
    out.extend_from_slice(b",\"detail\":");
    value::json_text(&error.to_string(), out);
    out.extend_from_slice(b"}}\n");
}
