//! The views of a bundle, made from what was collected for it: one row after the other, as often as they are needed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use schemas::entry::EntryView;
use schemas::evidence::payload::{Payload, Shown};
use schemas::evidence::{Filter, csv, view_schema};
use schemas::limits::{EVIDENCE_VIEW_BYTES, EVIDENCE_VIEW_ROWS, STORE_STATISTICS_BYTES_MAX};
use schemas::rows::RowsBuilder;
use schemas::{Stream, entry::value};

use super::{ExportError, Result};

/// zstd level of the Parquet view, as that of segments.
const ZSTD_LEVEL: i32 = 1;

/// What was collected: `log/entries` and `log/payloads.ndjson`, in files of this export alone.
#[derive(Debug)]
pub(super) struct Collected<'a> {
    pub(super) stream: Stream,
    pub(super) filter: &'a Filter,
    pub(super) entries: &'a mut File,
    pub(super) payloads: &'a mut File,
}

impl Collected<'_> {
    /// Goes over the rows of the views.
    fn each_row(
        &mut self,
        mut each: impl FnMut(&EntryView<'_>, &[(u16, Shown)]) -> Result<()>,
    ) -> Result<()> {
        self.entries.rewind()?;
        self.payloads.rewind()?;
        let mut entries = BufReader::new(&mut *self.entries);
        let mut payloads = BufReader::new(&mut *self.payloads);
        let mut line = Vec::new();
        let mut payload: Option<Payload> = None;
        let (mut length, mut entry) = ([0; 2], Vec::new());
        while !entries.fill_buf()?.is_empty() {
            entries.read_exact(&mut length)?;
            entry.resize(usize::from(u16::from_be_bytes(length)), 0);
            entries.read_exact(&mut entry)?;
            let view = EntryView::parse(&entry)?;
            if !self.filter.admits(&view)? {
                continue;
            }
            if payload.is_none() {
                line.clear();
                payloads.read_until(b'\n', &mut line)?;
                payload = match line.strip_suffix(b"\n") {
                    Some(line) => Some(Payload::parse(line)?),
                    None => None,
                };
            }
            match payload.take_if(|payload| payload.index == view.index) {
                Some(payload) => each(&view, &payload.open(self.stream)?.0)?,
                None => each(&view, &[])?,
            }
        }
        Ok(())
    }

    /// Writes the CSV view.
    pub(super) fn csv(&mut self, out: &mut impl Write) -> Result<()> {
        let stream = self.stream;
        out.write_all(csv::header(stream).as_bytes())?;
        self.each_row(|entry, payload| Ok(out.write_all(csv::row(stream, entry, payload)?.as_bytes())?))
    }

    /// Writes the Parquet view.
    pub(super) fn parquet(&mut self, out: &mut (impl Write + Send)) -> Result<()> {
        let stream = self.stream;
        let options = ArrowWriterOptions::new().with_properties(properties()?).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(out, view_schema(stream), options)?;
        let mut rows = Rows::new(stream);
        self.each_row(|entry, payload| {
            rows.push(entry, payload)?;
            if rows.is_full() {
                writer.write(&rows.take()?)?;
            }
            if writer.in_progress_size() > EVIDENCE_VIEW_BYTES {
                writer.flush()?;
            }
            Ok(())
        })?;
        if rows.entries.rows() > 0 {
            writer.write(&rows.take()?)?;
        }
        writer.close()?;
        Ok(())
    }
}

/// Rows of the Parquet view under construction.
struct Rows {
    stream: Stream,
    entries: RowsBuilder,
    payloads: RowsBuilder,
    bytes: usize,
}

impl Rows {
    fn new(stream: Stream) -> Rows {
        let (entries, payloads) = (RowsBuilder::entries(stream), RowsBuilder::payloads(stream));
        Rows { stream, entries, payloads, bytes: 0 }
    }

    fn push(&mut self, entry: &EntryView<'_>, payload: &[(u16, Shown)]) -> Result<()> {
        let index = value::int("log_index", &entry.index.to_be_bytes())?;
        self.entries.push_fields(index, entry.fields())?;
        let shown = payload.iter().filter_map(|(id, shown)| match shown {
            Shown::Value(value) => Some((*id, value.as_slice())),
            Shown::Withheld => None,
        });
        self.bytes += shown.clone().map(|(_, value)| value.len()).sum::<usize>();
        self.payloads.push_values(shown.map(Ok))?;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.entries.rows() >= EVIDENCE_VIEW_ROWS || self.bytes >= EVIDENCE_VIEW_BYTES
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let (entries, payloads) = (self.entries.finish()?, self.payloads.finish()?);
        self.bytes = 0;
        let columns = entries.columns().iter().chain(payloads.columns()).map(Arc::clone).collect();
        RecordBatch::try_new(view_schema(self.stream), columns)
            .map_err(|error| schemas::Error::malformed("view", error.to_string()).into())
    }
}

fn properties() -> Result<WriterProperties> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?);
    Ok(WriterProperties::builder()
        .set_created_by(format!("tachograph {}", env!("CARGO_PKG_VERSION")))
        .set_compression(zstd)
        .set_statistics_truncate_length(Some(STORE_STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STORE_STATISTICS_BYTES_MAX))
        .set_statistics_enabled(EnabledStatistics::Page)
        .build())
}

impl From<ParquetError> for ExportError {
    fn from(error: ParquetError) -> ExportError {
        // What the bundle's own limit stopped comes back wrapped.
        match error {
            ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                Ok(error) => (*error).into(),
                Err(error) => schemas::Error::malformed("Parquet view", error.to_string()).into(),
            },
            error => schemas::Error::malformed("Parquet view", error.to_string()).into(),
        }
    }
}
