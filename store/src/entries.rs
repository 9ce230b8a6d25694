//! The durable rows of a log in index order: sealed ones from their Parquet files, the rest from memory.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use schemas::Stream;
use schemas::layout::FileKind;

use crate::{DataFile, LogSnapshot, Segment, Unsealed};

/// Why entries could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A stored file could not be read; it may be readable later.
    #[error("read {path}: {source}; check the disk")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What was read is not what the log's manifest and schema promise.
    #[error("log {log} is damaged: {detail}; verify the store before trusting what follows from it")]
    Damaged {
        /// The log.
        log: String,
        /// What was found.
        detail: String,
    },
    /// Nothing is wrong with it, and there is no proof of it, now or later.
    #[error("an entry of log {log} cannot be proved: {detail}")]
    Unprovable {
        /// The log.
        log: String,
        /// What there is no proof of.
        detail: String,
    },
}

type Result<T> = std::result::Result<T, ReadError>;

/// Rows decoded at once.
const BATCH_ROWS: usize = 8_192;

/// Reads entries `first..` of one snapshot, batch by batch.
#[derive(Debug)]
pub struct Entries {
    log: String,
    stream: Stream,
    columns: &'static [&'static str],
    segments: VecDeque<Arc<Segment>>,
    unsealed: VecDeque<Unsealed>,
    open: Option<ParquetRecordBatchReader>,
    next: u64,
    end: u64,
}

impl Entries {
    /// Entries from `first` on, of which `columns` are read; `log_index` must be among them.
    pub fn new(snapshot: LogSnapshot, first: u64, columns: &'static [&'static str]) -> Entries {
        let segments = snapshot.segments.iter().filter(|segment| segment.last > first).cloned().collect();
        let unsealed = snapshot
            .unsealed
            .into_iter()
            .filter(|batch| batch.first + rows(&batch.entries) > first)
            .collect();
        Entries {
            log: snapshot.origin.to_string(),
            stream: snapshot.origin.stream(),
            columns,
            segments,
            unsealed,
            open: None,
            next: first,
            end: snapshot.durable,
        }
    }

    /// As [`Entries::new`], but where there are sealed entries to read only those, so that a long read does not
    /// hold on to what the store seals meanwhile.
    pub fn sealed_first(mut snapshot: LogSnapshot, first: u64, columns: &'static [&'static str]) -> Entries {
        if first < snapshot.sealed {
            snapshot.unsealed.clear();
            snapshot.durable = snapshot.sealed;
        }
        Entries::new(snapshot, first, columns)
    }

    /// The log that is read.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The next rows, at least one, contiguous with those before; `None` at the end of the snapshot.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.next < self.end {
            let Some(batch) = self.following()? else { continue };
            let first = self.check_contiguous(&batch)?;
            // A run of unsealed entries may begin before the first entry that is asked for.
            let behind = usize::try_from(self.next - first).unwrap_or(usize::MAX).min(batch.num_rows());
            let batch = batch.slice(behind, batch.num_rows() - behind);
            if batch.num_rows() > 0 {
                self.next += rows(&batch);
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Rows from whatever holds the next entry; `None` when that only opened or ended a file.
    fn following(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(reader) = &mut self.open {
            match reader.next() {
                Some(batch) => return batch.map(Some).map_err(|error| self.damaged(error.to_string())),
                None => self.open = None,
            }
            return Ok(None);
        }
        if let Some(segment) = self.segments.pop_front() {
            self.open = Some(self.opened(&segment)?);
            return Ok(None);
        }
        match self.unsealed.pop_front() {
            Some(unsealed) => Ok(Some(unsealed.entries)),
            None => Err(self.damaged(format!("entry {} is missing", self.next))),
        }
    }

    fn opened(&self, segment: &Segment) -> Result<ParquetRecordBatchReader> {
        let skipped = usize::try_from(self.next.saturating_sub(segment.first)).unwrap_or(usize::MAX);
        open_segment(&self.log, self.stream, &segment.entries, self.columns, skipped)
    }

    /// The index of the first row, which is at most the next one; no row is missing between or after.
    fn check_contiguous(&self, batch: &RecordBatch) -> Result<u64> {
        let column =
            batch.column_by_name("log_index").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(column) = column else {
            return Err(self.damaged("column log_index is missing or not of its type".to_owned()));
        };
        let indices = column.values();
        let first = indices.first().copied().and_then(|first| u64::try_from(first).ok());
        let first = first.filter(|first| *first <= self.next);
        let Some(first) = first else {
            return Err(self.damaged(format!("entry {} is missing", self.next)));
        };
        match indices.windows(2).find(|pair| matches!(pair, [a, b] if a.checked_add(1) != Some(*b))) {
            None => Ok(first),
            Some(pair) => Err(self.damaged(format!("entries {pair:?} follow one another"))),
        }
    }

    fn damaged(&self, detail: String) -> ReadError {
        ReadError::Damaged { log: self.log.clone(), detail }
    }
}

/// The rows of a segment file from row `skipped` on. The file is what the manifest says or it is not read.
pub fn open_segment(
    log: &str,
    stream: Stream,
    file: &DataFile,
    columns: &[&str],
    skipped: usize,
) -> Result<ParquetRecordBatchReader> {
    let damaged = |detail: String| ReadError::Damaged { log: log.to_owned(), detail };
    let bytes =
        std::fs::read(&file.path).map_err(|source| ReadError::Read { path: file.path.clone(), source })?;
    if blake3::hash(&bytes).to_hex().as_str() != file.file.blake3 {
        return Err(damaged(format!("{} does not have the digest that its manifest names", file.file.path)));
    }
    let bytes = Bytes::from(bytes);
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())
        .map_err(|error| damaged(error.to_string()))?;
    schemas::segment::check_schema(stream, FileKind::Segment, metadata.schema())
        .map_err(|error| damaged(error.to_string()))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .with_offset(skipped)
        .build()
        .map_err(|error| damaged(error.to_string()))
}

fn rows(batch: &RecordBatch) -> u64 {
    batch.num_rows() as u64
}
