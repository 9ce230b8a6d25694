//! Parquet files whose pages are as they were and whose metadata lies. The suites of the program use it too.

use bytes::Bytes;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use parquet::file::writer::TrackedWrite;

/// Writes the pages of `bytes` again under edited metadata.
pub fn with_metadata(bytes: &Bytes, edit: impl Fn(ParquetMetaData) -> ParquetMetaData) -> Vec<u8> {
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(bytes)
        .unwrap();
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let end = chunks.map(|chunk| chunk.byte_range()).map(|(start, length)| start + length).max().unwrap();
    let mut out = TrackedWrite::new(Vec::new());
    std::io::Write::write_all(&mut out, &bytes[..end as usize]).unwrap();
    let mut written = Vec::new();
    {
        let mut tracked = TrackedWrite::new(&mut written);
        std::io::Write::write_all(&mut tracked, &bytes[..end as usize]).unwrap();
        ParquetMetaDataWriter::new_with_tracked(tracked, &edit(metadata)).finish().unwrap();
    }
    written
}

/// The first row group with its columns edited.
pub fn edit_group(
    metadata: ParquetMetaData,
    edit: impl Fn(&mut Vec<ColumnChunkMetaData>),
) -> ParquetMetaData {
    let mut builder = metadata.into_builder();
    let mut groups = builder.take_row_groups();
    let mut group = groups.remove(0).into_builder();
    let mut columns = group.take_columns();
    edit(&mut columns);
    groups.insert(0, group.set_column_metadata(columns).build().unwrap());
    builder.set_row_groups(groups).build()
}
