//! CSV as in RFC 4180: a header row, CRLF, quotes only where they are needed. Null is empty, empty text is `""`.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::{Encoder, value};
use crate::Result;

pub(super) struct Csv {
    header: Vec<u8>,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef) -> Csv {
        let mut header = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            if at > 0 {
                header.push(b',');
            }
            cell(field.name(), &mut header);
        }
        header.extend_from_slice(b"\r\n");
        Csv { header }
    }
}

fn cell(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty()
        && !text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
        && !text.starts_with(' ')
        && !text.ends_with(' ');
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

impl Encoder for Csv {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        out.append(&mut self.header);
        for row in 0..batch.num_rows() {
            for (at, column) in batch.columns().iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                if column.is_valid(row) {
                    cell(&value::text(column.as_ref(), row)?, out);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn end(&mut self, _rows: u64, out: &mut Vec<u8>) -> Result<()> {
        out.append(&mut self.header);
        Ok(())
    }
}
