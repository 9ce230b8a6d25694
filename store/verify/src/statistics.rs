//! Footer statistics and page indexes, recomputed from the values: whoever filters by them must see what
//! whoever reads everything sees.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use parquet::basic::BoundaryOrder;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;
use schemas::limits::LIST_ITEMS_MAX;

use crate::pages::{ChunkClaims, DataPage, data_pages};

/// A least or greatest value; byte strings compare byte by byte, as Parquet orders them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Int(i64),
    Bytes(Vec<u8>),
}

/// Which Parquet leaf of an Arrow column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Items,
    Keys,
    Values,
}

/// What is true of the values of one page.
#[derive(Debug, Clone, Default)]
struct Facts {
    rows: u64,
    nulls: u64,
    empties: u64,
    values: u64,
    bytes: u64,
    /// Rows whose list or map has an item.
    filled: u64,
    min: Option<Bound>,
    max: Option<Bound>,
}

/// One Parquet leaf column of one row group.
#[derive(Debug)]
struct Leaf {
    column: usize,
    part: Part,
    /// First row of each page; one page where there is no offset index.
    starts: Vec<u64>,
    pages: Vec<Facts>,
    /// The pages as their own headers tell them.
    data_pages: Vec<DataPage>,
    page: usize,
    row: u64,
}

/// Gathers the values of one row group, batch by batch, and holds the metadata against them.
#[derive(Debug)]
pub struct GroupStatistics {
    leaves: Vec<Leaf>,
}

impl GroupStatistics {
    /// For row group `group` of `file`, whose Arrow columns have `types`. After this, decoding the row group
    /// allocates no more than its metadata says.
    ///
    /// # Errors
    /// A sentence, when pages or an offset index cannot be followed at all.
    pub fn new<'a>(
        file: &[u8],
        metadata: &ParquetMetaData,
        group: usize,
        types: impl Iterator<Item = &'a DataType>,
    ) -> Result<GroupStatistics, String> {
        let row_group = metadata.row_group(group);
        let mut leaves = Vec::new();
        for (column, data_type) in types.enumerate() {
            let parts: &[Part] = match data_type {
                DataType::List(_) => &[Part::Items],
                DataType::Map(..) => &[Part::Keys, Part::Values],
                _ => &[Part::Whole],
            };
            for part in parts {
                let chunk =
                    row_group.columns().get(leaves.len()).ok_or("a row group with too few columns")?;
                let data_pages = chunk_pages(file, chunk, row_group.num_rows(), *part).map_err(|detail| {
                    format!("row group {group}, column {}: {detail}", chunk.column_path())
                })?;
                let starts = match offset_index(metadata, group, leaves.len()) {
                    Some(index) => {
                        page_starts(index, metadata.row_group(group).num_rows()).ok_or_else(|| {
                            format!("the offset index of leaf column {} does not ascend", leaves.len())
                        })?
                    }
                    None => vec![0],
                };
                let pages = vec![Facts::default(); starts.len()];
                leaves.push(Leaf { column, part: *part, starts, pages, data_pages, page: 0, row: 0 });
            }
        }
        Ok(GroupStatistics { leaves })
    }

    /// Adds the next rows.
    pub fn add(&mut self, columns: &[ArrayRef]) {
        for leaf in &mut self.leaves {
            if let Some(array) = columns.get(leaf.column) {
                leaf.add(array.as_ref());
            }
        }
    }

    /// Sentences about all that the metadata of the row group says and that is not true of the values.
    pub fn check(&self, metadata: &ParquetMetaData, group: usize) -> Vec<String> {
        let row_group = metadata.row_group(group);
        let mut wrong = Vec::new();
        if row_group.num_columns() != self.leaves.len() {
            return vec![format!("row group {group} has {} columns", row_group.num_columns())];
        }
        for (at, (leaf, chunk)) in self.leaves.iter().zip(row_group.columns()).enumerate() {
            let checked = leaf
                .check_chunk(chunk)
                .and_then(|()| leaf.check_pages(offset_index(metadata, group, at)))
                .and_then(|()| leaf.check_column_index(column_index(metadata, group, at)));
            if let Err(detail) = checked {
                wrong.push(format!("row group {group}, column {}: {detail}", chunk.column_path()));
            }
        }
        wrong
    }
}

fn offset_index(metadata: &ParquetMetaData, group: usize, leaf: usize) -> Option<&OffsetIndexMetaData> {
    metadata.offset_index()?.get(group)?.get(leaf)
}

fn column_index(metadata: &ParquetMetaData, group: usize, leaf: usize) -> Option<&ColumnIndexMetaData> {
    metadata.column_index()?.get(group)?.get(leaf)
}

fn page_starts(index: &OffsetIndexMetaData, rows: i64) -> Option<Vec<u64>> {
    let starts: Vec<i64> = index.page_locations().iter().map(|page| page.first_row_index).collect();
    let ascends = starts.first() == Some(&0)
        && starts.is_sorted_by(|a, b| a < b)
        && starts.last().is_some_and(|last| *last < rows);
    ascends.then(|| starts.into_iter().map(i64::cast_unsigned).collect())
}

/// Checks what a row group says of itself that is no statistic: nothing that this format does not have.
pub fn check_group(row_group: &RowGroupMetaData, file_bytes: u64) -> Result<(), String> {
    if row_group.sorting_columns().is_some() {
        return Err("it claims a sort order, which this format does not have".to_string());
    }
    for chunk in row_group.columns() {
        let name = chunk.column_path();
        if chunk.bloom_filter_offset().is_some() || chunk.bloom_filter_length().is_some() {
            return Err(format!("column {name} has a bloom filter"));
        }
        if chunk.file_path().is_some() {
            return Err(format!("column {name} is said to lie in another file"));
        }
        if !matches!(chunk.compression(), parquet::basic::Compression::ZSTD(_)) {
            return Err(format!("column {name} is compressed as {}, not zstd", chunk.compression()));
        }
        let (compressed, whole) = (chunk.compressed_size(), chunk.uncompressed_size());
        if compressed < 0 || compressed.cast_unsigned() > file_bytes {
            return Err(format!("column {name} has {compressed} bytes in a file of {file_bytes}"));
        }
        if !(0..=UNCOMPRESSED_BYTES_MAX).contains(&whole) {
            return Err(format!("column {name} has {whole} bytes uncompressed"));
        }
    }
    Ok(())
}

fn chunk_pages(
    file: &[u8],
    chunk: &ColumnChunkMetaData,
    rows: i64,
    part: Part,
) -> Result<Vec<DataPage>, String> {
    let (values, items_max) =
        (chunk.num_values(), if part == Part::Whole { 1 } else { LIST_ITEMS_MAX as i64 });
    if !(rows..=rows.saturating_mul(items_max)).contains(&values) {
        return Err(format!("{values} values in {rows} rows"));
    }
    let (start, length) = chunk.byte_range();
    data_pages(file, ChunkClaims { start, length, uncompressed: chunk.uncompressed_size(), values })
}

/// Bytes of one decompressed column chunk at most: what 32-bit offsets of a string array can hold.
const UNCOMPRESSED_BYTES_MAX: i64 = schemas::limits::VERIFY_UNCOMPRESSED_BYTES_MAX;

impl Leaf {
    fn add(&mut self, array: &dyn Array) {
        let mut start = 0;
        while start < array.len() {
            while self.starts.get(self.page + 1).is_some_and(|next| *next <= self.row) {
                self.page += 1;
            }
            let left = (array.len() - start) as u64;
            let count = self.starts.get(self.page + 1).map_or(left, |next| left.min(next - self.row));
            let end = start + usize::try_from(count).unwrap_or(array.len());
            if let Some(facts) = self.pages.get_mut(self.page) {
                facts.add(array, self.part, start..end);
            }
            self.row += count;
            start = end;
        }
    }

    fn total(&self) -> Facts {
        let mut total = Facts::default();
        for page in &self.pages {
            total.rows += page.rows;
            total.nulls += page.nulls;
            total.empties += page.empties;
            total.values += page.values;
            total.bytes += page.bytes;
            total.filled += page.filled;
            total.include(page.min.clone(), page.max.clone());
        }
        total
    }

    fn is_nested(&self) -> bool {
        self.part != Part::Whole
    }

    fn check_chunk(&self, chunk: &ColumnChunkMetaData) -> Result<(), String> {
        let total = self.total();
        equal("number of values", chunk.num_values(), total.levels())?;
        if let Some(statistics) = chunk.statistics() {
            check_statistics(statistics, &total)?;
        }
        if let (Some(bytes), Some(Bound::Bytes(_)) | None) =
            (chunk.unencoded_byte_array_data_bytes(), &total.min)
        {
            equal("unencoded bytes", bytes, total.bytes)?;
        }
        let definition = chunk.definition_level_histogram().map(|levels| levels.values());
        self.check_histogram("definition", definition, &total.definition_levels(self, chunk))?;
        let repetition = chunk.repetition_level_histogram().map(|levels| levels.values());
        self.check_histogram("repetition", repetition, &total.repetition_levels())
    }

    fn check_histogram(&self, name: &str, said: Option<&[i64]>, is: &[u64]) -> Result<(), String> {
        match said {
            Some(said)
                if !said.iter().map(|count| u64::try_from(*count).ok()).eq(is.iter().copied().map(Some)) =>
            {
                Err(format!("{name} level histogram is {said:?}, the values make {is:?}"))
            }
            _ => Ok(()),
        }
    }

    fn check_pages(&self, index: Option<&OffsetIndexMetaData>) -> Result<(), String> {
        let pages = &self.data_pages;
        let Some(index) = index else { return Ok(()) };
        equal_counts("pages in the offset index", index.page_locations().len() as u64, pages.len() as u64)?;
        for (at, (said, page)) in index.page_locations().iter().zip(pages).enumerate() {
            let facts = self.pages.get(at).ok_or("a page without rows")?;
            equal("offset of a page", said.offset, page.offset)?;
            equal("bytes of a page", i64::from(said.compressed_page_size), page.bytes)?;
            equal_counts("values of a page by the offset index", facts.levels(), page.values)?;
            let bytes = index.unencoded_byte_array_data_bytes().and_then(|bytes| bytes.get(at));
            if let Some(bytes) = bytes {
                equal("unencoded bytes of a page", *bytes, facts.bytes)?;
            }
        }
        Ok(())
    }

    fn check_column_index(&self, index: Option<&ColumnIndexMetaData>) -> Result<(), String> {
        let Some(index) = index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE)) else {
            return Ok(());
        };
        equal_counts("pages in the column index", index.num_pages(), self.pages.len() as u64)?;
        let mut bounds = Vec::new();
        for (at, facts) in self.pages.iter().enumerate() {
            let is_null = facts.values == 0;
            if index.is_null_page(at) != is_null {
                return Err(format!(
                    "page {at} is said to be {} nulls",
                    if is_null { "not all" } else { "all" }
                ));
            }
            if let Some(nulls) = index.null_count(at) {
                equal("null count of a page", nulls, facts.nulls + facts.empties)?;
            }
            let (min, max) = match index {
                ColumnIndexMetaData::INT64(index) => (
                    index.min_value(at).copied().map(Bound::Int),
                    index.max_value(at).copied().map(Bound::Int),
                ),
                ColumnIndexMetaData::BYTE_ARRAY(index) => {
                    let bytes = |value: Option<&[u8]>| value.map(|bytes| Bound::Bytes(bytes.to_vec()));
                    (bytes(index.min_value(at)), bytes(index.max_value(at)))
                }
                _ => return Err("the column index has another type".to_string()),
            };
            if !is_null {
                check_bounds(&format!("page {at}"), min.as_ref(), max.as_ref(), facts)?;
                bounds.push((min, max));
            }
        }
        let ordered = match index.get_boundary_order() {
            Some(BoundaryOrder::ASCENDING) => bounds.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1),
            Some(BoundaryOrder::DESCENDING) => bounds.is_sorted_by(|a, b| a.0 >= b.0 && a.1 >= b.1),
            _ => true,
        };
        if ordered {
            Ok(())
        } else {
            Err("the column index claims an order that its pages do not have".to_string())
        }
    }
}

fn equal(what: &str, said: i64, is: u64) -> Result<(), String> {
    if u64::try_from(said) == Ok(is) { Ok(()) } else { Err(format!("{what} is said to be {said}, is {is}")) }
}

fn equal_counts(what: &str, said: u64, is: u64) -> Result<(), String> {
    if said == is { Ok(()) } else { Err(format!("{what}: {said}, found {is}")) }
}

fn check_statistics(statistics: &Statistics, total: &Facts) -> Result<(), String> {
    if statistics.distinct_count_opt().is_some() {
        return Err("a distinct count, which this format does not have".to_string());
    }
    if let Some(nulls) = statistics.null_count_opt() {
        equal_counts("null count", nulls, total.nulls + total.empties)?;
    }
    let bound = |bytes: Option<&[u8]>| match statistics {
        Statistics::Int64(_) => {
            bytes.map(|bytes| bytes.try_into().map(i64::from_le_bytes).map(Bound::Int)).transpose()
        }
        _ => Ok(bytes.map(|bytes| Bound::Bytes(bytes.to_vec()))),
    };
    let (min, max) = bound(statistics.min_bytes_opt())
        .and_then(|min| Ok((min, bound(statistics.max_bytes_opt())?)))
        .map_err(|_| "an integer bound that has not 8 bytes".to_string())?;
    if total.values > 0 {
        check_bounds("the chunk", min.as_ref(), max.as_ref(), total)?;
    }
    // An engine may answer MIN and MAX from bounds that claim to be exact.
    if (statistics.min_is_exact() && min.is_some() && min != total.min)
        || (statistics.max_is_exact() && max.is_some() && max != total.max)
    {
        return Err("a bound that claims to be exact and is not".to_string());
    }
    Ok(())
}

/// Whether the stored bounds contain the values; absent ones claim nothing.
fn check_bounds(what: &str, min: Option<&Bound>, max: Option<&Bound>, facts: &Facts) -> Result<(), String> {
    let fits = |said: &Bound, is: &Bound| std::mem::discriminant(said) == std::mem::discriminant(is);
    let below = |said: &Bound| facts.min.as_ref().is_none_or(|least| fits(said, least) && said <= least);
    let above = |said: &Bound| facts.max.as_ref().is_none_or(|most| fits(said, most) && said >= most);
    if !min.is_none_or(below) {
        return Err(format!("the minimum of {what} is above its least value"));
    }
    if !max.is_none_or(above) {
        return Err(format!("the maximum of {what} is below its greatest value"));
    }
    Ok(())
}

impl Facts {
    /// Values, nulls and empty lists: what Parquet counts as values.
    fn levels(&self) -> u64 {
        self.nulls + self.empties + self.values
    }

    fn definition_levels(&self, leaf: &Leaf, chunk: &ColumnChunkMetaData) -> Vec<u64> {
        match (leaf.is_nested(), chunk.column_descr().max_def_level()) {
            (true, _) => vec![self.nulls, self.empties, self.values],
            (false, 0) => vec![self.values],
            (false, _) => vec![self.nulls, self.values],
        }
    }

    fn repetition_levels(&self) -> Vec<u64> {
        vec![self.rows, self.values - self.filled]
    }

    fn include(&mut self, min: Option<Bound>, max: Option<Bound>) {
        if min.is_some() && self.min.as_ref().is_none_or(|least| min.as_ref() < Some(least)) {
            self.min = min;
        }
        if max.as_ref() > self.max.as_ref() {
            self.max = max;
        }
    }

    fn add(&mut self, array: &dyn Array, part: Part, rows: Range<usize>) {
        self.rows += rows.len() as u64;
        match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let items = self.add_rows(array, list.value_offsets(), rows);
                self.add_values(list.values().as_ref(), items);
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let items = self.add_rows(array, map.value_offsets(), rows);
                let values = if part == Part::Keys { map.keys() } else { map.values() };
                self.add_values(values.as_ref(), items);
            }
            _ => self.add_values(array, rows),
        }
    }

    /// Counts the null, empty and filled rows of a nested array and gives the range of their items.
    fn add_rows(&mut self, array: &dyn Array, offsets: &[i32], rows: Range<usize>) -> Range<usize> {
        let offset = |at: usize| usize::try_from(offsets.get(at).copied().unwrap_or(0)).unwrap_or(0);
        for row in rows.clone() {
            if array.is_null(row) {
                self.nulls += 1;
            } else if offset(row) == offset(row + 1) {
                self.empties += 1;
            } else {
                self.filled += 1;
            }
        }
        offset(rows.start)..offset(rows.end)
    }

    fn add_values(&mut self, array: &dyn Array, range: Range<usize>) {
        match array.data_type() {
            DataType::Int64 => self.add_ints(array, array.as_primitive::<Int64Type>(), range),
            DataType::Timestamp(..) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                self.add_ints(array, &values.reinterpret_cast::<Int64Type>(), range);
            }
            DataType::Utf8 => {
                let values: &StringArray = array.as_string();
                self.add_bytes(array, range, |at| values.value(at).as_bytes());
            }
            _ => {
                let values: &BinaryArray = array.as_binary();
                self.add_bytes(array, range, |at| values.value(at));
            }
        }
    }

    fn add_ints(&mut self, array: &dyn Array, values: &Int64Array, range: Range<usize>) {
        let mut bounds: Option<(i64, i64)> = None;
        let mut count = 0;
        for at in range.clone() {
            if array.is_valid(at) {
                let value = values.value(at);
                bounds = Some(bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
                count += 1;
            }
        }
        self.count(range, count);
        self.include(bounds.map(|(min, _)| Bound::Int(min)), bounds.map(|(_, max)| Bound::Int(max)));
    }

    fn add_bytes<'a>(&mut self, array: &dyn Array, range: Range<usize>, value: impl Fn(usize) -> &'a [u8]) {
        if array.null_count() == array.len() {
            return self.count(range, 0);
        }
        let mut bounds: Option<(&[u8], &[u8])> = None;
        let mut count = 0;
        for at in range.clone() {
            if array.is_valid(at) {
                let value = value(at);
                bounds = Some(bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
                count += 1;
                self.bytes += value.len() as u64;
            }
        }
        self.count(range, count);
        let owned = |bytes: &[u8]| Some(Bound::Bytes(bytes.to_vec()));
        if let Some((min, max)) = bounds {
            self.include(owned(min), owned(max));
        }
    }

    fn count(&mut self, range: Range<usize>, values: u64) {
        self.values += values;
        self.nulls += range.len() as u64 - values;
    }
}
