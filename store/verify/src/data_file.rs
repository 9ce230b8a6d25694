//! One Parquet file: its bytes against the manifest, its metadata against the format, its batches one by one.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use schemas::layout::{FileKind, FileName};
use schemas::manifest::File;
use schemas::{Origin, Stream, segment};

use crate::statistics::{GroupStatistics, check_group};
use crate::thrift::{check_footer, is_struct};

/// Rows decoded at once: small enough that the columns of a batch stay in the cache.
const BATCH_ROWS: usize = 2048;
/// Bytes of a file that is not of its declared length, at most, that are still looked into.
const ODD_FILE_BYTES_MAX: u64 = schemas::limits::VERIFY_ODD_FILE_BYTES_MAX;

/// The bytes of a file and what is wrong with them.
#[derive(Debug)]
pub struct Loaded {
    /// All of it.
    pub bytes: Bytes,
    /// Sentences: another length or digest than the manifest says.
    pub problems: Vec<String>,
}

/// Reads the file that a manifest describes.
///
/// # Errors
/// When it cannot be read, for one because it is not there.
pub fn load(path: &Path, file: &File) -> io::Result<Loaded> {
    let mut problems = Vec::new();
    let mut handle = fs::File::open(path)?;
    let length = handle.metadata()?.len();
    if length != file.bytes {
        problems.push(format!("{length} bytes, the manifest says {}", file.bytes));
        if length > ODD_FILE_BYTES_MAX {
            problems.push("too large to look into".to_string());
            return Ok(Loaded { bytes: Bytes::new(), problems });
        }
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    handle.by_ref().take(length).read_to_end(&mut bytes)?;
    if blake3::hash(&bytes).to_hex().as_str() != file.blake3 {
        problems.push("its BLAKE3 is not what the manifest says".to_string());
    }
    Ok(Loaded { bytes: bytes.into(), problems })
}

/// Reads all of a Parquet file: sentences about its metadata go to `problem`, its batches to `each`.
///
/// # Errors
/// A sentence, when it cannot be read on.
pub fn read(
    bytes: &Bytes,
    origin: &Origin,
    name: &FileName,
    rows: u64,
    problem: impl FnMut(String),
    each: impl FnMut(&RecordBatch),
) -> Result<(), String> {
    let schema = match name.kind {
        FileKind::Segment => origin.stream().entry_schema(),
        FileKind::Payload => origin.stream().payload_schema(),
    };
    let metadata = segment::metadata(origin, name.first, name.last).to_vec();
    read_columns(bytes, &Expected { stream: origin.stream(), schema, metadata, rows }, problem, each)
}

/// What a Parquet file must say of itself.
#[derive(Debug)]
pub struct Expected {
    /// Whose columns it has.
    pub stream: Stream,
    /// These, all of them.
    pub schema: SchemaRef,
    /// Key-value metadata, all of it, in order.
    pub metadata: Vec<(&'static str, String)>,
    /// How many rows.
    pub rows: u64,
}

/// [`read`] of a file with any columns of a stream.
///
/// # Errors
/// As [`read`].
pub fn read_columns(
    bytes: &Bytes,
    expected: &Expected,
    mut problem: impl FnMut(String),
    mut each: impl FnMut(&RecordBatch),
) -> Result<(), String> {
    let metadata = read_metadata(bytes)?;
    check_metadata(&metadata, expected, bytes.len() as u64)?;
    // Reads page after page by their own headers: the offset index is checked, not followed.
    let plain = metadata.clone().into_builder().set_offset_index(None).set_column_index(None).build();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ArrowReaderMetadata::try_new(Arc::new(plain), options).map_err(|error| error.to_string())?;
    check_schema(&metadata, &reader, expected)?;
    for group in 0..metadata.num_row_groups() {
        let types = reader.schema().fields().iter().map(|field| field.data_type());
        let mut statistics = GroupStatistics::new(bytes, &metadata, group, types)?;
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), reader.clone())
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| format!("row group {group}: {error}"))?;
        let mut found = 0;
        for batch in batches {
            let batch = batch.map_err(|error| format!("row group {group}, after row {found}: {error}"))?;
            found += batch.num_rows() as u64;
            statistics.add(batch.columns());
            each(&batch);
        }
        let said = metadata.row_group(group).num_rows();
        if u64::try_from(said) != Ok(found) {
            problem(format!("row group {group} says {said} rows and has {found}"));
        }
        statistics.check(&metadata, group).into_iter().for_each(&mut problem);
    }
    Ok(())
}

/// The footer and the page indexes; each is checked to hold what it says before the reader allocates for it.
fn read_metadata(bytes: &Bytes) -> Result<ParquetMetaData, String> {
    let unreadable = |error: ParquetError| format!("not a readable Parquet file: {error}");
    check_footer(bytes)?;
    let footer = ParquetMetaDataReader::new().parse_and_finish(bytes).map_err(unreadable)?;
    for chunk in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let indexes = [
            (chunk.offset_index_offset(), chunk.offset_index_length()),
            (chunk.column_index_offset(), chunk.column_index_length()),
        ];
        for (offset, length) in indexes {
            let (Some(offset), Some(length)) = (offset, length) else { continue };
            let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
            let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
            if !range.and_then(|range| bytes.get(range)).is_some_and(is_struct) {
                return Err(format!("column {}: a malformed page index", chunk.column_path()));
            }
        }
    }
    let mut reader =
        ParquetMetaDataReader::new_with_metadata(footer).with_page_index_policy(PageIndexPolicy::Optional);
    reader.read_page_indexes(bytes).map_err(unreadable)?;
    reader.finish().map_err(unreadable)
}

/// All that must hold before a value is decoded, so that no declared size makes the reader allocate wildly.
fn check_metadata(
    metadata: &ParquetMetaData,
    Expected { metadata: expected, rows, .. }: &Expected,
    file_bytes: u64,
) -> Result<(), String> {
    let file = metadata.file_metadata();
    let found = file.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, (key, value))| found.key == *key && found.value.as_deref() == Some(value.as_str()));
    if !same {
        return Err(format!("key-value metadata {found:?}, expected {expected:?}"));
    }
    let groups = metadata.row_groups();
    let sum = groups
        .iter()
        .try_fold(0i64, |sum, group| (group.num_rows() > 0).then(|| sum.checked_add(group.num_rows()))?);
    if sum != Some(file.num_rows()) || u64::try_from(file.num_rows()) != Ok(*rows) {
        return Err(format!("{} rows in {} row groups, expected {rows}", file.num_rows(), groups.len()));
    }
    for (at, group) in groups.iter().enumerate() {
        check_group(group, file_bytes).map_err(|detail| format!("row group {at}: {detail}"))?;
    }
    Ok(())
}

/// Arrow schema and every Parquet leaf, so that engines that never heard of Arrow see the same types.
fn check_schema(
    metadata: &ParquetMetaData,
    reader: &ArrowReaderMetadata,
    Expected { stream, schema, .. }: &Expected,
) -> Result<(), String> {
    segment::check_columns(*stream, schema, reader.schema()).map_err(|error| error.to_string())?;
    let expected = ArrowSchemaConverter::new().convert(schema).map_err(|error| error.to_string())?;
    let found = metadata.file_metadata().schema_descr();
    for (found, expected) in found.columns().iter().zip(expected.columns()) {
        let same = found.path() == expected.path()
            && found.physical_type() == expected.physical_type()
            && found.logical_type_ref() == expected.logical_type_ref()
            && found.max_def_level() == expected.max_def_level()
            && found.max_rep_level() == expected.max_rep_level();
        if !same {
            return Err(format!("Parquet column {} is not stored as the schema says", found.path()));
        }
    }
    Ok(())
}
