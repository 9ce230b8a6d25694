//! The pages of a column chunk as their own headers tell them, for holding the offset index against.
//!
//! A reader that skips pages goes by the offset index, one that reads all goes by the headers; both must see
//! the same pages. Page headers are Thrift compact protocol structs:
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

/// Page header fields that this needs: type, sizes, and the count inside the header of its kind.
const DATA_PAGE: i64 = 0;
const INDEX_PAGE: i64 = 1;
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;
/// Structs inside structs at most.
const DEPTH_MAX: usize = 8;

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

/// The data pages of the chunk that takes up `file[start..start + length]`, in order.
///
/// # Errors
/// A sentence saying what is wrong with the chunk.
pub fn data_pages(file: &[u8], start: u64, length: u64) -> Result<Vec<DataPage>, String> {
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
        let mut reader = Compact { rest };
        let header = PageHeader::read(&mut reader)
            .ok_or_else(|| format!("no readable page header at offset {offset}"))?;
        let header_bytes = rest.len() - reader.rest.len();
        let body = usize::try_from(header.compressed_bytes).ok().filter(|body| *body <= reader.rest.len());
        let Some(after) = body.and_then(|body| reader.rest.get(body..)) else {
            return Err(format!("the page at offset {offset} reaches past its chunk"));
        };
        if header.has_statistics {
            return Err(format!("the page at offset {offset} has statistics in its header"));
        }
        let bytes = (rest.len() - after.len()) as u64;
        debug_assert!(header_bytes as u64 <= bytes, "a page holds its header");
        match header.kind {
            DATA_PAGE | DATA_PAGE_V2 => {
                let values = u64::try_from(header.values)
                    .map_err(|_| format!("the page at offset {offset} has {} values", header.values))?;
                pages.push(DataPage { offset, bytes, values });
            }
            DICTIONARY_PAGE if rest.len() == chunk.len() => {}
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
    compressed_bytes: i64,
    values: i64,
    has_statistics: bool,
}

impl PageHeader {
    fn read(reader: &mut Compact<'_>) -> Option<PageHeader> {
        let mut header = PageHeader { kind: -1, compressed_bytes: -1, values: -1, has_statistics: false };
        let mut id = 0;
        while let Some(kind) = reader.field(&mut id)? {
            match id {
                1 => header.kind = reader.integer(kind)?,
                3 => header.compressed_bytes = reader.integer(kind)?,
                5 | 8 if kind == Compact::STRUCT => {
                    let statistics = if id == 5 { 5 } else { 8 };
                    let mut inner = 0;
                    while let Some(kind) = reader.field(&mut inner)? {
                        match inner {
                            1 => header.values = reader.integer(kind)?,
                            _ => {
                                header.has_statistics |= inner == statistics;
                                reader.skip(kind, DEPTH_MAX)?;
                            }
                        }
                    }
                }
                _ => reader.skip(kind, DEPTH_MAX)?,
            }
        }
        Some(header)
    }
}

/// A reader of the Thrift compact protocol; every method is `None` at malformed input.
struct Compact<'a> {
    rest: &'a [u8],
}

impl Compact<'_> {
    const STRUCT: u8 = 12;

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some(i64::try_from(value >> 1).ok()? ^ -i64::from(value & 1 == 1))
    }

    /// The next field's type, its id put into `id`; `Some(None)` at the end of the struct.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.zigzag()?,
            step => id.checked_add(i64::from(step))?,
        };
        Some(Some(byte & 0x0f))
    }

    fn integer(&mut self, kind: u8) -> Option<i64> {
        matches!(kind, 4..=6).then(|| self.zigzag())?
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => Some(()),
            3 => self.take(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.take(8),
            8 => {
                let length = self.varint()?;
                self.take(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| match head & 0x0f {
                    1 | 2 => self.take(1),
                    kind => self.skip(kind, depth),
                })
            }
            Self::STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// type 0, uncompressed 10, compressed 3, data page header { 7 values, encoding 0, 3, 3 }, then 3 bytes.
    const PAGE: [u8; 19] =
        [0x15, 0, 0x15, 20, 0x15, 6, 0x2c, 0x15, 14, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 1, 2];

    #[test]
    fn pages_are_read_and_cut_ones_refused() {
        let one = [&PAGE[..], &[3]].concat();
        let two = [&[9, 9][..], &one, &one].concat();
        let expected = |offset| DataPage { offset, bytes: 20, values: 7 };
        assert_eq!(data_pages(&two, 2, 40).unwrap(), [expected(2), expected(22)]);
        for length in [1, 19, 21, 39, 41] {
            assert!(data_pages(&two, 2, length).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0u64..220, length in any::<u64>()) {
            let _pages = data_pages(&bytes, start, length);
            let _pages = data_pages(&bytes, 0, bytes.len() as u64);
        }
    }
}
