//! Segment and payload files as bytes: written by the seal, read again by it, by recovery and by lookups.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use schemas::layout::FileKind;
use schemas::limits::ROW_GROUP_ROWS;
use schemas::{Origin, Stream, segment};

use crate::error::{Error, Result};
use crate::prepare::arrow_error;

/// zstd level: higher ones cost more time than they save bytes (docs/performance.md).
const ZSTD_LEVEL: i32 = 1;
/// Bytes to which statistics of byte arrays are truncated.
const STATISTICS_BYTES_MAX: usize = schemas::limits::STORE_STATISTICS_BYTES_MAX;
/// Columns whose values hardly repeat: a dictionary costs time and bytes there.
const DISTINCT: [&str; 12] = [
    "event_id",
    "call_id",
    "request_id",
    "trace_id",
    "span_id",
    "approval_id",
    "request_hash",
    "response_hash",
    "arguments",
    "result",
    "raw",
    "error_message",
];
/// Of those, the ones whose neighbours share a prefix.
const PREFIXED: [&str; 1] = ["event_id"];
/// Columns of random bytes: nothing compresses them and no range prunes them.
const RANDOM: [&str; 2] = ["payload_commitment", "salt"];
/// Integer columns that grow by small steps.
const STEPPED: [&str; 3] = ["log_index", "ingest_time", "time"];

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
fn parquet_error(error: parquet::errors::ParquetError) -> Error {
    schemas::Error::malformed("parquet file", error.to_string()).into()
}

/// The Parquet file of `batches`, which follow the stream's schema for this kind of file.
pub(crate) fn encode(
    kind: FileKind,
    origin: &Origin,
    range: (u64, u64),
    batches: &[RecordBatch],
) -> Result<Vec<u8>> {
    let stream = origin.stream();
    let schema = match kind {
        FileKind::Segment => stream.entry_schema(),
        FileKind::Payload => stream.payload_schema(),
    };
    let options =
        ArrowWriterOptions::new().with_properties(properties(origin, range)?).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(parquet_error)?;
    for batch in batches {
        writer.write(batch).map_err(parquet_error)?;
    }
    writer.into_inner().map_err(parquet_error)
}

fn properties(origin: &Origin, (first, last): (u64, u64)) -> Result<WriterProperties> {
    let metadata = segment::metadata(origin, first, last)
        .map(|(key, value)| KeyValue { key: key.to_string(), value: Some(value) });
    let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(parquet_error)?);
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("tachograph {}", env!("CARGO_PKG_VERSION")))
        .set_compression(zstd)
        .set_key_value_metadata(Some(metadata.to_vec()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_statistics_enabled(EnabledStatistics::Page);
    let path = ColumnPath::from;
    for name in DISTINCT {
        builder = builder.set_column_dictionary_enabled(path(name), false);
    }
    for name in PREFIXED {
        builder = builder.set_column_encoding(path(name), Encoding::DELTA_BYTE_ARRAY);
    }
    for name in STEPPED {
        builder = stepped(builder, name);
    }
    for name in RANDOM {
        builder = builder
            .set_column_dictionary_enabled(path(name), false)
            .set_column_statistics_enabled(path(name), EnabledStatistics::None);
    }
    Ok(builder.build())
}

fn stepped(builder: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(ColumnPath::from(name), false)
        .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED)
}

/// The batches of a Parquet file, its schema and metadata checked; `columns` keeps only those named.
pub(crate) fn decode(
    kind: FileKind,
    stream: Stream,
    bytes: Vec<u8>,
    columns: Option<&[&str]>,
) -> Result<Vec<RecordBatch>> {
    let bytes = Bytes::from(bytes);
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()).map_err(parquet_error)?;
    segment::check_schema(stream, kind, metadata.schema())?;
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
        .with_batch_size(ROW_GROUP_ROWS.min(8192));
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    let reader = builder.build().map_err(parquet_error)?;
    reader.map(|batch| batch.map_err(arrow_error)).collect()
}

/// Log index to row.
pub(crate) fn index_rows(indices: &arrow::array::Int64Array) -> HashMap<i64, usize> {
    indices.values().iter().enumerate().map(|(row, index)| (*index, row)).collect()
}
