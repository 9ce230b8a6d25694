//! Payload commitments and payload records: the side of an event that may be erased.
//!
//! ```text
//! field salt_f = first 16 bytes of BLAKE3 derive-key(FIELD_SALT_CONTEXT, salt (16) || id u16 BE)
//! c_f          = SHA-256(0x02 || id u16 BE || field salt_f || value)
//! commitment   = SHA-256(0x03 || (id u16 BE || c_f)*)          ids ascending, non-null fields only
//! record       = index u64 BE | salt (16) | (id u16 BE | length u32 BE | value)*
//! ```
//! With the row its salt dies, so an erased low-entropy argument cannot be guessed back from the commitment.

use sha2::{Digest, Sha256};

use crate::stream::SALT_BYTES;
use crate::tree::Hash;
use crate::{Error, Result};

/// BLAKE3 context string under which field salts derive from a row salt.
pub const FIELD_SALT_CONTEXT: &str = "tachograph 2026-11 payload field salt v1";

/// Domain byte of a field commitment.
const FIELD_PREFIX: u8 = 2;
/// Domain byte of a row commitment.
const ROW_PREFIX: u8 = 3;

/// Derives field salts; one per thread, because setting the context up costs a compression.
#[derive(Debug, Clone)]
pub struct Committer {
    derive: blake3::Hasher,
}

impl Default for Committer {
    fn default() -> Self {
        Committer::new()
    }
}

impl Committer {
    /// A committer.
    pub fn new() -> Committer {
        Committer { derive: blake3::Hasher::new_derive_key(FIELD_SALT_CONTEXT) }
    }

    /// The salt of one field of the row with salt `salt`.
    pub fn field_salt(&mut self, salt: &[u8; SALT_BYTES], id: u16) -> [u8; SALT_BYTES] {
        self.derive.reset();
        self.derive.update(salt);
        self.derive.update(&id.to_be_bytes());
        let mut out = [0; SALT_BYTES];
        self.derive.finalize_xof().fill(&mut out);
        out
    }

    /// Starts the commitment of one row.
    pub fn row(&mut self, salt: [u8; SALT_BYTES]) -> RowCommitment<'_> {
        let mut hasher = Sha256::new();
        hasher.update([ROW_PREFIX]);
        RowCommitment { committer: self, salt, hasher, fields: 0 }
    }
}

/// `c_f` of one field: what a bundle carries of a value that it withholds.
pub fn field_commitment(id: u16, field_salt: &[u8; SALT_BYTES], value: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([FIELD_PREFIX]);
    hasher.update(id.to_be_bytes());
    hasher.update(field_salt);
    hasher.update(value);
    Hash(hasher.finalize().into())
}

/// The commitment of a row from the `c_f` of its fields, ascending by id; none where there is no field. For who has only
/// some of the values.
pub fn row_commitment(fields: impl IntoIterator<Item = (u16, Hash)>) -> Option<Hash> {
    let mut hasher = Sha256::new();
    hasher.update([ROW_PREFIX]);
    let mut is_empty = true;
    for (id, commitment) in fields {
        hasher.update(id.to_be_bytes());
        hasher.update(commitment.0);
        is_empty = false;
    }
    (!is_empty).then(|| Hash(hasher.finalize().into()))
}

/// The commitment of one row, field by field in ascending id order.
#[derive(Debug)]
pub struct RowCommitment<'a> {
    committer: &'a mut Committer,
    salt: [u8; SALT_BYTES],
    hasher: Sha256,
    fields: usize,
}

impl RowCommitment<'_> {
    /// Adds one field.
    pub fn field(&mut self, id: u16, value: &[u8]) {
        let salt = self.committer.field_salt(&self.salt, id);
        self.hasher.update(id.to_be_bytes());
        self.hasher.update(field_commitment(id, &salt, value).0);
        self.fields += 1;
    }

    /// The commitment, or none where the row has no field.
    pub fn finish(self) -> Option<Hash> {
        (self.fields > 0).then(|| Hash(self.hasher.finalize().into()))
    }
}

/// Starts a payload record.
pub fn record_header(index: u64, salt: &[u8; SALT_BYTES], out: &mut Vec<u8>) {
    out.extend_from_slice(&index.to_be_bytes());
    out.extend_from_slice(salt);
}

/// Appends one field to a payload record.
pub fn record_field(id: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

/// A payload record, split; fields are checked as they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The entry the payload belongs to.
    pub index: u64,
    /// The row salt.
    pub salt: [u8; SALT_BYTES],
    fields: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Splits `record`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is shorter than its header or has no field.
    pub fn parse(record: &'a [u8]) -> Result<RecordView<'a>> {
        let short = || Error::malformed("payload record", format!("{} bytes, too short", record.len()));
        let (index, rest) = record.split_first_chunk::<8>().ok_or_else(short)?;
        let (salt, fields) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(short)?;
        if fields.is_empty() {
            return Err(short());
        }
        Ok(RecordView { index: u64::from_be_bytes(*index), salt: *salt, fields })
    }

    /// The fields, `(id, value bytes)` in strictly ascending id order.
    pub fn fields(&self) -> impl Iterator<Item = Result<(u16, &'a [u8])>> + use<'a> {
        let mut rest = self.fields;
        let mut last_id = 0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let field = (|| {
                let (id, rest) = rest.split_first_chunk::<2>()?;
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
                let (value, rest) = rest.split_at_checked(length)?;
                Some((u16::from_be_bytes(*id), value, rest))
            })();
            match field {
                Some((id, value, after)) if id > last_id => {
                    (rest, last_id) = (after, id);
                    Some(Ok((id, value)))
                }
                Some((id, ..)) => {
                    rest = &[];
                    Some(Err(Error::malformed("payload record", format!("field id {id} follows {last_id}"))))
                }
                None => {
                    rest = &[];
                    Some(Err(Error::malformed("payload record", "it ends inside a field")))
                }
            }
        })
    }

    /// The commitment of this record.
    ///
    /// # Errors
    /// As [`RecordView::fields`].
    pub fn commitment(&self, committer: &mut Committer) -> Result<Option<Hash>> {
        let mut row = committer.row(self.salt);
        for field in self.fields() {
            let (id, value) = field?;
            row.field(id, value);
        }
        Ok(row.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_commits_to_every_field_and_to_its_salt() {
        let mut committer = Committer::new();
        let mut record = Vec::new();
        record_header(7, &[9; SALT_BYTES], &mut record);
        record_field(200, b"{}", &mut record);
        record_field(203, b"", &mut record);
        let view = RecordView::parse(&record).unwrap();
        assert_eq!((view.index, view.salt), (7, [9; SALT_BYTES]));
        let fields: Vec<(u16, Hash)> = view
            .fields()
            .map(|field| {
                let (id, value) = field.unwrap();
                (id, field_commitment(id, &committer.field_salt(&view.salt, id), value))
            })
            .collect();
        assert_eq!(row_commitment(fields), view.commitment(&mut committer).unwrap());
        let commitment = view.commitment(&mut committer).unwrap().unwrap();
        for at in 8..record.len() {
            let mut other = record.clone();
            other[at] ^= 1;
            let changed = RecordView::parse(&other).and_then(|view| view.commitment(&mut committer));
            assert_ne!(changed.ok().flatten(), Some(commitment), "byte {at}");
        }
    }

    #[test]
    fn a_null_field_and_an_empty_one_differ() {
        let mut committer = Committer::new();
        let mut with_empty = committer.row([1; SALT_BYTES]);
        with_empty.field(200, b"a");
        with_empty.field(201, b"");
        let with_empty = with_empty.finish();
        let mut without = committer.row([1; SALT_BYTES]);
        without.field(200, b"a");
        assert_ne!(with_empty, without.finish());
        assert_eq!(committer.row([1; SALT_BYTES]).finish(), None);
    }

    #[test]
    fn cut_and_disordered_records_are_refused() {
        let mut record = Vec::new();
        record_header(7, &[9; SALT_BYTES], &mut record);
        assert!(RecordView::parse(&record).is_err(), "no field");
        record_field(201, b"x", &mut record);
        record_field(200, b"x", &mut record);
        assert!(RecordView::parse(&record).unwrap().fields().any(|field| field.is_err()));
        record.truncate(record.len() - 8);
        assert!(RecordView::parse(&record).unwrap().fields().any(|field| field.is_err()));
    }
}
