//! Where a source has been read up to: a name and a text, persisted beside the entries that were read.
//!
//! The name is `<collector>/<source>/<partition>`; the value is in the collector's own words, and an empty one says that
//! the cursor was forgotten. A cursor says: with the entries below `end`, the source has been read up to here.

use crate::limits::{CURSOR_PART_BYTES_MAX, CURSOR_VALUE_BYTES_MAX};
use crate::{Error, Result};

/// The name of a cursor: who reads, what is read, which part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorName {
    text: String,
    source_bytes: usize,
}

impl CursorName {
    /// Of three parts.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a part that is empty or has a slash or a control character; [`Error::TooLarge`].
    pub fn new(collector: &str, source: &str, partition: &str) -> Result<CursorName> {
        for part in [collector, source, partition] {
            if part.is_empty() || part.contains(|letter: char| letter == '/' || letter.is_control()) {
                let detail = format!("{part:?} is empty or has a slash or a control character");
                return Err(Error::malformed("cursor name", detail));
            }
            if part.len() > CURSOR_PART_BYTES_MAX {
                return Err(Error::TooLarge {
                    what: "bytes of a part of a cursor's name",
                    actual: part.len() as u64,
                    limit: CURSOR_PART_BYTES_MAX as u64,
                });
            }
        }
        let text = format!("{collector}/{source}/{partition}");
        Ok(CursorName { text, source_bytes: collector.len() + 1 + source.len() })
    }

    /// The persisted spelling.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `<collector>/<source>/`: what the names of all partitions of one source begin with.
    pub fn source_prefix(&self) -> &str {
        self.text.get(..=self.source_bytes).unwrap_or_default()
    }

    /// The part of the source that is read.
    pub fn partition(&self) -> &str {
        self.text.get(self.source_bytes + 1..).unwrap_or_default()
    }
}

impl std::str::FromStr for CursorName {
    type Err = Error;

    fn from_str(text: &str) -> Result<CursorName> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(collector), Some(source), Some(partition)) => CursorName::new(collector, source, partition),
            _ => Err(Error::malformed("cursor name", format!("{text:?} has not three parts"))),
        }
    }
}

impl std::fmt::Display for CursorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks a value that is to be written; the empty one forgets the cursor.
///
/// # Errors
/// [`Error::TooLarge`]; [`Error::Malformed`] for a control character.
pub fn check_value(value: &str) -> Result<()> {
    if value.len() > CURSOR_VALUE_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "bytes of a cursor's value",
            actual: value.len() as u64,
            limit: CURSOR_VALUE_BYTES_MAX as u64,
        });
    }
    if value.contains(char::is_control) {
        return Err(Error::malformed("cursor value", "a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_three_parts_within_their_limit() {
        let longest = "x".repeat(CURSOR_PART_BYTES_MAX);
        let name = CursorName::new("kafka", &longest, "0").unwrap();
        assert_eq!(name.source_prefix(), format!("kafka/{longest}/"));
        assert_eq!(name.partition(), "0");
        for (collector, source, partition) in [
            ("", "s", "p"),
            ("c", "a/b", "p"),
            ("c", "s", ""),
            ("c", "s\n", "p"),
            ("c", "s", &format!("{longest}x")),
        ] {
            assert!(
                CursorName::new(collector, source, partition).is_err(),
                "{collector} {source} {partition}"
            );
        }
        for text in ["", "a", "a/b", "a/b/c/d", "a//c"] {
            assert!(text.parse::<CursorName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_is_short_and_plain() {
        check_value("").unwrap();
        check_value(&"9".repeat(CURSOR_VALUE_BYTES_MAX)).unwrap();
        assert!(check_value(&"9".repeat(CURSOR_VALUE_BYTES_MAX + 1)).is_err());
        assert!(check_value("1\n").is_err());
    }

    proptest! {
        #[test]
        fn names_are_read_as_they_were_written(
            collector in "[a-z]{1,9}", source in "[^/\\p{C}]{1,40}", partition in "[0-9a-f-]{1,40}"
        ) {
            let name = CursorName::new(&collector, &source, &partition).unwrap();
            prop_assert_eq!(name.as_str().parse::<CursorName>().unwrap(), name);
        }
    }
}
