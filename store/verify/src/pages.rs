//! The pages of a column chunk as their own headers tell them, for holding the offset index against.
//!
//! A reader that skips pages goes by the offset index, one that reads all goes by the headers; both must see
//! the same pages. Page headers are Thrift compact protocol structs:
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use crate::thrift::Compact;

/// Page header fields that this needs: type, sizes, and the count inside the header of its kind.
const DATA_PAGE: i64 = 0;
const INDEX_PAGE: i64 = 1;
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;

/// One data page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataPage {
    /// Where its header starts in the file.
    pub offset: u64,
    /// Bytes of header and page.
    pub bytes: u64,
    /// Values in it, nulls and empty lists included.
    pub values: u64,
}

/// What a chunk says of itself, so that no page of it may claim more.
#[derive(Debug, Clone, Copy)]
pub struct ChunkClaims {
    /// Where it starts in the file.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
    /// Its bytes uncompressed.
    pub uncompressed: i64,
    /// Its values.
    pub values: i64,
}

/// The data pages of a chunk of `file`, in order. Decoding them afterwards allocates no more than the chunk says.
///
/// # Errors
/// A sentence saying what is wrong with the chunk.
pub fn data_pages(file: &[u8], chunk: ChunkClaims) -> Result<Vec<DataPage>, String> {
    let ChunkClaims { start, length, mut uncompressed, values } = chunk;
    let range = usize::try_from(start)
        .ok()
        .zip(start.checked_add(length).and_then(|end| usize::try_from(end).ok()))
        .filter(|(start, end)| start <= end && *end <= file.len());
    let Some(chunk) = range.and_then(|(start, end)| file.get(start..end)) else {
        return Err("it lies outside the file".to_string());
    };
    let mut pages = Vec::new();
    let mut rest = chunk;
    while !rest.is_empty() {
        let offset = start + (chunk.len() - rest.len()) as u64;
        let mut reader = Compact::new(rest);
        let header = PageHeader::read(&mut reader)
            .ok_or_else(|| format!("no readable page header at offset {offset}"))?;
        let body = usize::try_from(header.compressed_bytes).ok().filter(|body| *body <= reader.rest().len());
        let Some(after) = body.and_then(|body| reader.rest().get(body..)) else {
            return Err(format!("the page at offset {offset} reaches past its chunk"));
        };
        if header.has_statistics {
            return Err(format!("the page at offset {offset} has statistics in its header"));
        }
        let bytes = (rest.len() - after.len()) as u64;
        uncompressed = uncompressed.saturating_sub(header.uncompressed_bytes.max(0));
        if uncompressed < 0 || header.uncompressed_bytes < 0 {
            return Err(format!("the page at offset {offset} is larger uncompressed than its chunk"));
        }
        match header.kind {
            DATA_PAGE | DATA_PAGE_V2 => {
                let count = u64::try_from(header.values).ok().filter(|_| header.values <= values);
                let Some(count) = count else {
                    return Err(format!("the page at offset {offset} has {} values", header.values));
                };
                pages.push(DataPage { offset, bytes, values: count });
            }
            // A value in a dictionary has at least the four bytes of its length.
            DICTIONARY_PAGE
                if rest.len() == chunk.len()
                    && (0..=header.uncompressed_bytes / 4).contains(&header.values) => {}
            DICTIONARY_PAGE | INDEX_PAGE => return Err(format!("an unexpected page at offset {offset}")),
            kind => return Err(format!("a page of unknown type {kind} at offset {offset}")),
        }
        rest = after;
    }
    Ok(pages)
}

#[derive(Debug, Default)]
struct PageHeader {
    kind: i64,
    uncompressed_bytes: i64,
    compressed_bytes: i64,
    values: i64,
    has_statistics: bool,
}

impl PageHeader {
    fn read(reader: &mut Compact<'_>) -> Option<PageHeader> {
        let mut header = PageHeader {
            kind: -1,
            uncompressed_bytes: -1,
            compressed_bytes: -1,
            values: -1,
            has_statistics: false,
        };
        let mut id = 0;
        while let Some(kind) = reader.field(&mut id)? {
            match id {
                1 => header.kind = reader.integer(kind)?,
                2 => header.uncompressed_bytes = reader.integer(kind)?,
                3 => header.compressed_bytes = reader.integer(kind)?,
                5 | 7 | 8 if kind == Compact::STRUCT => {
                    // Field of the statistics in each of the three; a dictionary page has none.
                    let statistics = if id == 5 { 5 } else { 8 };
                    let mut inner = 0;
                    while let Some(kind) = reader.field(&mut inner)? {
                        match inner {
                            1 => header.values = reader.integer(kind)?,
                            _ => {
                                header.has_statistics |= inner == statistics;
                                reader.skip(kind)?;
                            }
                        }
                    }
                }
                _ => reader.skip(kind)?,
            }
        }
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// type 0, uncompressed 10, compressed 3, data page header { 7 values, encoding 0, 3, 3 }, then 3 bytes.
    const PAGE: [u8; 19] =
        [0x15, 0, 0x15, 20, 0x15, 6, 0x2c, 0x15, 14, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 1, 2];

    fn claims(start: u64, length: u64) -> ChunkClaims {
        ChunkClaims { start, length, uncompressed: 20, values: 14 }
    }

    #[test]
    fn pages_are_read_and_cut_ones_refused() {
        let one = [&PAGE[..], &[3]].concat();
        let two = [&[9, 9][..], &one, &one].concat();
        let expected = |offset| DataPage { offset, bytes: 20, values: 7 };
        assert_eq!(data_pages(&two, claims(2, 40)).unwrap(), [expected(2), expected(22)]);
        for length in [1, 19, 21, 39, 41] {
            assert!(data_pages(&two, claims(2, length)).is_err(), "{length}");
        }
        let smaller = |uncompressed, values| ChunkClaims { uncompressed, values, ..claims(2, 40) };
        assert!(data_pages(&two, smaller(19, 14)).is_err());
        assert!(data_pages(&two, smaller(20, 6)).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0u64..220, length in any::<u64>()) {
            let _pages = data_pages(&bytes, claims(start, length));
            let _pages = data_pages(&bytes, claims(0, bytes.len() as u64));
        }
    }
}
