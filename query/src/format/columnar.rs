//! Arrow IPC and Parquet, by their own writers; what they have written so far is taken out after each batch.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Encoder, failed};
use crate::{Error, Result};

pub(super) struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub(super) fn new(schema: &SchemaRef) -> Result<ArrowStream> {
        Ok(ArrowStream { writer: StreamWriter::try_new(Vec::new(), schema).map_err(failed)? })
    }
}

impl Encoder for ArrowStream {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.writer.write(batch).map_err(failed)?;
        out.append(self.writer.get_mut());
        Ok(())
    }

    fn end(&mut self, _rows: u64, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(failed)?;
        out.append(self.writer.get_mut());
        Ok(())
    }
}

pub(super) struct ParquetFile {
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl ParquetFile {
    pub(super) fn new(schema: &SchemaRef) -> Result<ParquetFile> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
            .set_max_row_group_row_count(Some(schemas::limits::ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(|error| {
            Error::Refused { code: "format", detail: format!("Parquet cannot hold this answer: {error}") }
        })?;
        Ok(ParquetFile { writer: Some(writer) })
    }
}

impl Encoder for ParquetFile {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch).map_err(failed)?;
            out.append(writer.inner_mut());
        }
        Ok(())
    }

    fn end(&mut self, _rows: u64, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            out.append(&mut writer.into_inner().map_err(failed)?);
        }
        Ok(())
    }
}
