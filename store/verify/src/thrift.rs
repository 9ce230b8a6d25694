//! The Thrift compact protocol, as far as Parquet metadata needs it: to read page headers, and to make sure,
//! before a Parquet reader allocates for it, that metadata holds as much as it says.

/// Values inside values at most.
const DEPTH_MAX: usize = schemas::limits::VERIFY_THRIFT_DEPTH_MAX;
/// Elements of a Parquet schema at most: the widest stream has a quarter of this, and readers recurse over them.
const SCHEMA_ELEMENTS_MAX: u64 = schemas::limits::VERIFY_SCHEMA_ELEMENTS_MAX;
/// Field of the schema in a file's metadata.
const SCHEMA_FIELD: i64 = 2;

/// Checks the metadata at the end of a Parquet file: every list in it is as long as it says, the schema is not
/// absurd.
///
/// # Errors
/// A sentence.
pub fn check_footer(file: &[u8]) -> Result<(), String> {
    let footer = file.split_last_chunk::<8>().and_then(|(before, tail)| {
        let [a, b, c, d, magic @ ..] = *tail;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        (magic == *b"PAR1").then(|| before.get(before.len().checked_sub(length)?..))?
    });
    let footer = footer.ok_or("it does not end as a Parquet file does")?;
    let mut reader = Compact::new(footer);
    let mut id = 0;
    let sound = (|| {
        while let Some(kind) = reader.field(&mut id)? {
            if id == SCHEMA_FIELD {
                let (count, _) = Compact::new(reader.rest()).list()?;
                (count <= SCHEMA_ELEMENTS_MAX).then_some(())?;
            }
            reader.skip(kind)?;
        }
        reader.rest().is_empty().then_some(())
    })();
    sound.ok_or_else(|| "its metadata is malformed".to_string())
}

/// Checks that `bytes` are one Thrift struct and nothing else.
pub fn is_struct(bytes: &[u8]) -> bool {
    let mut reader = Compact::new(bytes);
    reader.skip(Compact::STRUCT).is_some() && reader.rest().is_empty()
}

/// A reader of the Thrift compact protocol; every method is `None` at malformed input.
#[derive(Debug)]
pub struct Compact<'a> {
    rest: &'a [u8],
}

impl<'a> Compact<'a> {
    /// The type of a struct.
    pub const STRUCT: u8 = 12;

    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Compact<'a> {
        Compact { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    /// Count and type of the items of a list that starts here.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Some((count, head & 0x0f))
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
    pub fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
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

    /// An integer of type `kind`.
    pub fn integer(&mut self, kind: u8) -> Option<i64> {
        matches!(kind, 4..=6).then(|| self.zigzag())?
    }

    /// Reads over a value of type `kind`. A list cannot hold more items than bytes follow: then this is `None`.
    pub fn skip(&mut self, kind: u8) -> Option<()> {
        self.skip_within(kind, DEPTH_MAX)
    }

    fn skip_within(&mut self, kind: u8, depth: usize) -> Option<()> {
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
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| match kind {
                    1 | 2 => self.take(1),
                    kind => self.skip_within(kind, depth),
                })
            }
            Self::STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip_within(kind, depth)?;
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

    #[test]
    fn lists_longer_than_their_bytes_are_refused() {
        assert!(is_struct(&[0x19, 0x2c, 0, 0, 0]), "a list of two empty structs");
        assert!(!is_struct(&[0x19, 0x3c, 0, 0, 0]), "of three");
        assert!(!is_struct(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0]), "of 2^31");
        let nested = [[0x1c; 20].as_slice(), &[0; 21]].concat();
        assert!(!is_struct(&nested), "too deep");
    }

    #[test]
    fn an_absurd_schema_is_refused() {
        let footer = |count: usize| {
            let mut metadata = vec![0x29, 0xfc, (count & 0x7f) as u8 | 0x80, (count >> 7) as u8];
            metadata.resize(metadata.len() + count + 1, 0);
            let length = metadata.len() as u32;
            [metadata, length.to_le_bytes().to_vec(), b"PAR1".to_vec()].concat()
        };
        assert_eq!(check_footer(&footer(1024)), Ok(()));
        assert!(check_footer(&footer(1025)).is_err());
        assert!(check_footer(b"PAR1").is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _sound = is_struct(&bytes);
            let tail = (bytes.len() as u32).to_le_bytes();
            let _sound = check_footer(&[&bytes[..], &tail, b"PAR1"].concat());
        }
    }
}
