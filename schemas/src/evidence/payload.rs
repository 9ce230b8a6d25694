//! Payloads in a bundle, field by field: value and field salt of what is disclosed, `c_f` of what is withheld. The row salt never
//! leaves, so nothing can be learnt of a withheld value, however few it may be of.
//!
//! One line of canonical JSON an entry, ascending by index:
//! ```text
//! {"index":7,"fields":[{"id":200,"name":"arguments","salt":"<base64>","value":"<base64>"},{"id":201,"name":"result","commitment":"<base64>"}]}
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::payload::{field_commitment, row_commitment};
use crate::stream::{SALT_BYTES, Stream};
use crate::tree::Hash;
use crate::{Error, Result};

/// The payload of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// The entry.
    pub index: u64,
    /// Its payload fields that are not null, ascending by id.
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Field id.
    pub id: u16,
    /// Column name.
    pub name: String,
    /// Field salt, base64; only with `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Canonical bytes of the value, base64; only with `salt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `c_f`, base64, where the value is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
}

/// A field as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The value's canonical bytes.
    Value(Vec<u8>),
    /// It is not shown.
    Withheld,
}

impl Field {
    /// A field that is disclosed.
    pub fn disclosed(id: u16, name: &str, salt: &[u8; SALT_BYTES], value: &[u8]) -> Field {
        let (salt, value) = (Some(STANDARD.encode(salt)), Some(STANDARD.encode(value)));
        Field { id, name: name.to_string(), salt, value, commitment: None }
    }

    /// A field that is withheld.
    pub fn withheld(id: u16, name: &str, salt: &[u8; SALT_BYTES], value: &[u8]) -> Field {
        let commitment = Some(field_commitment(id, salt, value).to_base64());
        Field { id, name: name.to_string(), salt: None, value: None, commitment }
    }

    /// What it shows, and its `c_f`.
    fn read(&self) -> Result<(Shown, Hash)> {
        let wrong =
            || Error::malformed("payload", format!("field {} is neither shown nor withheld", self.id));
        match (&self.salt, &self.value, &self.commitment) {
            (Some(salt), Some(value), None) => {
                let salt: [u8; SALT_BYTES] = bytes(salt)?.try_into().map_err(|_| wrong())?;
                let value = bytes(value)?;
                let commitment = field_commitment(self.id, &salt, &value);
                Ok((Shown::Value(value), commitment))
            }
            (None, None, Some(commitment)) => Ok((Shown::Withheld, Hash::from_base64(commitment)?)),
            _ => Err(wrong()),
        }
    }
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text);
    bytes.ok_or_else(|| Error::malformed("payload", "a value that is not base64"))
}

impl Payload {
    /// The line, with its newline.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn to_line(&self) -> Result<String> {
        let text =
            serde_json::to_string(self).map_err(|error| Error::malformed("payload", error.to_string()))?;
        Ok(format!("{text}\n"))
    }

    /// Parses a line without its newline.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything that [`Payload::to_line`] does not write.
    pub fn parse(line: &[u8]) -> Result<Payload> {
        let wrong = |detail: String| Error::malformed("payload", detail);
        let parsed: Payload = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        if parsed.to_line()?.as_bytes().strip_suffix(b"\n") != Some(line) {
            return Err(wrong("it is not spelled canonically".to_string()));
        }
        Ok(parsed)
    }

    /// The fields, ascending by id, and the commitment that they make.
    ///
    /// # Errors
    /// [`Error::Malformed`] for fields that are not the stream's, out of order, or neither shown nor withheld.
    pub fn open(&self, stream: Stream) -> Result<(Vec<(u16, Shown)>, Hash)> {
        let wrong = |detail: String| Error::malformed("payload", detail);
        let mut known = stream.payload_columns();
        let (mut shown, mut commitments) = (Vec::new(), Vec::new());
        for field in &self.fields {
            // Columns ascend by id, so a field out of order is not found either.
            if !known.any(|column| column.id == field.id && column.name == field.name) {
                return Err(wrong(format!("field {} is unknown, misnamed or out of order", field.id)));
            }
            let (value, commitment) = field.read()?;
            shown.push((field.id, value));
            commitments.push((field.id, commitment));
        }
        let commitment = row_commitment(commitments).ok_or_else(|| wrong("no field".to_string()))?;
        Ok((shown, commitment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Committer;

    fn payload(withheld: &[u16]) -> (Payload, Hash) {
        let salt = [7; SALT_BYTES];
        let mut committer = Committer::new();
        let values: [(u16, &str, &[u8]); 3] =
            [(200, "arguments", b"{\"a\":1}"), (201, "result", b""), (204, "reason", "ü".as_bytes())];
        let fields = values.map(|(id, name, value)| {
            let salt = committer.field_salt(&salt, id);
            match withheld.contains(&id) {
                true => Field::withheld(id, name, &salt, value),
                false => Field::disclosed(id, name, &salt, value),
            }
        });
        let mut row = committer.row(salt);
        values.iter().for_each(|(id, _, value)| row.field(*id, value));
        let commitment = row.finish().unwrap();
        (Payload { index: 7, fields: fields.to_vec() }, commitment)
    }

    #[test]
    fn whatever_is_withheld_the_commitment_is_that_of_the_row() {
        for withheld in [&[][..], &[200], &[201], &[200, 201, 204]] {
            let (made, commitment) = payload(withheld);
            let line = made.to_line().unwrap();
            let read = Payload::parse(line.trim_end().as_bytes()).unwrap();
            assert_eq!(read, made);
            let (shown, found) = read.open(Stream::Events).unwrap();
            assert_eq!(found, commitment);
            for (id, shown) in shown {
                assert_eq!(shown == Shown::Withheld, withheld.contains(&id), "{id}");
            }
            for value in ["{\"a\":1}", "ü"] {
                let value = STANDARD.encode(value);
                assert_eq!(
                    line.contains(&value),
                    !withheld.contains(&if value.starts_with('e') { 200 } else { 204 })
                );
            }
        }
    }

    #[test]
    fn every_changed_byte_is_found() {
        let (made, commitment) = payload(&[201]);
        let line = made.to_line().unwrap();
        let line = line.trim_end().as_bytes();
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut other = line.to_vec();
                other[at] ^= 1 << bit;
                let read = Payload::parse(&other)
                    .and_then(|payload| Ok((payload.index, payload.open(Stream::Events)?)));
                let same = read.is_ok_and(|(index, (_, found))| index == 7 && found == commitment);
                assert!(!same, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn fields_out_of_order_swapped_or_of_no_such_column_are_refused() {
        let (made, commitment) = payload(&[200, 201]);
        let mut disordered = made.clone();
        disordered.fields.swap(0, 1);
        assert!(disordered.open(Stream::Events).is_err());
        let mut twice = made.clone();
        twice.fields.insert(0, twice.fields[0].clone());
        assert!(twice.open(Stream::Events).is_err());
        let mut swapped = made.clone();
        let held = swapped.fields[0].commitment.take();
        swapped.fields[0].commitment = swapped.fields[1].commitment.replace(held.unwrap());
        assert_ne!(swapped.open(Stream::Events).unwrap().1, commitment);
        assert!(made.open(Stream::Alerts).is_err());
        assert!(Payload { index: 7, fields: Vec::new() }.open(Stream::Events).is_err());
    }
}
