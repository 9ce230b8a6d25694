//! Rows to bytes, as they come: one encoder for each format.

use std::str::FromStr;

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::answer::Answer;
use crate::{Error, Result};

mod columnar;
mod csv;
mod json;
mod table;
pub(crate) mod value;

pub(crate) use json::error_line;

/// The form in which an answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One array of objects.
    Json,
    /// One object a line, then `{"$end":{"rows":n}}` or `{"$error":{...}}`.
    Ndjson,
    /// RFC 4180 with a header row.
    Csv,
    /// Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
    /// Aligned columns for a terminal; long values are shown cut.
    Table,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] =
        [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet, Format::Table];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
            Format::Table => "table",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Table => "text/plain; charset=utf-8",
        }
    }

    /// The format that an `Accept` header asks for first, if it names one.
    pub fn accepted(accept: &str) -> Option<Format> {
        accept.split(',').find_map(|range| match range.split(';').next().unwrap_or("").trim() {
            "application/json" => Some(Format::Json),
            "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Some(Format::Ndjson),
            "text/csv" => Some(Format::Csv),
            "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
            "application/vnd.apache.parquet" => Some(Format::Parquet),
            "text/plain" => Some(Format::Table),
            _ => None,
        })
    }

    fn encoder(self, answer: &Answer) -> Result<Box<dyn Encoder>> {
        let schema = answer.schema();
        Ok(match self {
            Format::Json => Box::new(json::Array::new(schema)?),
            Format::Ndjson => Box::new(json::Lines::new(schema)?),
            Format::Csv => Box::new(csv::Csv::new(schema)),
            Format::Arrow => Box::new(columnar::ArrowStream::new(schema)?),
            Format::Parquet => Box::new(columnar::ParquetFile::new(schema)?),
            Format::Table => Box::new(table::Table::new(schema)),
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Format> {
        Format::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| Error::Refused {
            code: "format",
            detail: format!("format {text:?} is not json, ndjson, csv, arrow, parquet or table"),
        })
    }
}

/// Turns batches into bytes.
pub(crate) trait Encoder: Send {
    /// Appends `batch` to `out`; what comes before the first row was appended by then.
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;

    /// Appends what comes after the last row.
    fn end(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()>;

    /// Appends a failure, in a format that can say so after rows; otherwise the stream is cut.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        let _ = (error, out);
        false
    }
}

/// An answer as a stream of bytes.
pub struct Encoded {
    answer: Answer,
    encoder: Box<dyn Encoder>,
    done: bool,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("answer", &self.answer)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Encoded {
    /// `answer` in `format`.
    ///
    /// # Errors
    /// [`Error::Refused`] when the format cannot hold the answer: two columns of one name in JSON, a type that
    /// Parquet does not have.
    pub fn new(answer: Answer, format: Format) -> Result<Encoded> {
        let encoder = format.encoder(&answer)?;
        Ok(Encoded::with(answer, encoder))
    }

    pub(crate) fn with(answer: Answer, encoder: Box<dyn Encoder>) -> Encoded {
        Encoded { answer, encoder, done: false }
    }

    /// The answer behind it.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The next bytes; `None` after the last. After an error the answer is incomplete and there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        while !self.done {
            let mut out = Vec::new();
            let step = match self.answer.next().await {
                Some(Ok(batch)) => self.encoder.batch(&batch, &mut out),
                Some(Err(error)) => Err(error),
                None => {
                    self.done = true;
                    self.encoder.end(self.answer.rows(), &mut out)
                }
            };
            let step = step.and_then(|()| self.answer.count_bytes(out.len()));
            if let Err(error) = step {
                self.done = true;
                let error = self.answer.fail(error);
                out.clear();
                return Some(if self.encoder.error(&error, &mut out) { Ok(out.into()) } else { Err(error) });
            }
            if !out.is_empty() {
                return Some(Ok(out.into()));
            }
        }
        None
    }
}

/// An arrow or parquet failure while encoding.
pub(crate) fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("encoding the answer: {error}"))
}
