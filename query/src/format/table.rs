//! Aligned columns for a terminal. Widths come from the first rows; longer cells are shown cut, with an ellipsis.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::{Encoder, value};
use crate::Result;

/// Characters of one cell.
const WIDTH_MAX: usize = schemas::limits::QUERY_WIDTH_MAX;
/// Rows from which widths are taken.
const ROWS_MEASURED: usize = 1_000;

pub(super) struct Table {
    names: Vec<String>,
    widths: Vec<usize>,
    /// Rows held back until the widths are known; `None` after that.
    held: Option<Vec<Vec<String>>>,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef) -> Table {
        let names: Vec<String> = schema.fields().iter().map(|field| shown(field.name())).collect();
        Table {
            widths: names.iter().map(|name| name.chars().count()).collect(),
            names,
            held: Some(Vec::new()),
        }
    }

    fn line(&self, cells: &[String], out: &mut Vec<u8>) {
        let last = cells.len().saturating_sub(1);
        for (at, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            if at > 0 {
                out.extend_from_slice(b"  ");
            }
            let cut = cut(cell, *width);
            out.extend_from_slice(cut.as_bytes());
            let pad = if at == last { 0 } else { width - cut.chars().count() };
            out.extend(std::iter::repeat_n(b' ', pad));
        }
        out.push(b'\n');
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        let Some(rows) = self.held.take() else { return };
        self.line(&self.names, out);
        let rules: Vec<String> = self.widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&rules, out);
        for row in &rows {
            self.line(row, out);
        }
    }
}

/// Recorded text is an attacker's: what a terminal would obey is shown instead.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(WIDTH_MAX + 1).collect();
    cut(&value::visible(&short, false), WIDTH_MAX)
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

impl Encoder for Table {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(batch.num_columns());
            for column in batch.columns() {
                cells.push(if column.is_valid(row) {
                    shown(&value::text(column.as_ref(), row)?)
                } else {
                    String::new()
                });
            }
            match &mut self.held {
                None => self.line(&cells, out),
                Some(held) => {
                    for (width, cell) in self.widths.iter_mut().zip(&cells) {
                        *width = (*width).max(cell.chars().count());
                    }
                    held.push(cells);
                    if held.len() >= ROWS_MEASURED {
                        self.release(out);
                    }
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()> {
        self.release(out);
        out.extend_from_slice(format!("({rows} {})\n", if rows == 1 { "row" } else { "rows" }).as_bytes());
        Ok(())
    }
}
