//! An earlier moment of the logs, by their sizes: an answer over it can be had again, word for word.
//!
//! A size is what a checkpoint signs, so the moment is one that can be proved. What was erased since is gone from it as
//! well.

use std::collections::BTreeMap;
use std::str::FromStr;

use schemas::Stream;
use serde::Deserialize;

use crate::source::STREAMS;
use crate::{Error, Result};

/// Sizes of logs; a stream that is not named stays as it is.
///
/// As text `events=120;alerts=4`, or what an earlier answer gave as its snapshot; as JSON also `{"events": 120}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Spelling")]
pub struct AsOf(BTreeMap<Stream, u64>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Spelling {
    Text(String),
    Sizes(BTreeMap<String, u64>),
}

fn refused(detail: String) -> Error {
    Error::Refused { code: "as_of", detail }
}

impl AsOf {
    fn new(sizes: impl Iterator<Item = Result<(String, u64)>>) -> Result<AsOf> {
        let mut found = BTreeMap::new();
        for size in sizes {
            let (name, size) = size?;
            let stream = STREAMS.into_iter().find(|stream| stream.name() == name);
            let stream = stream.ok_or_else(|| {
                refused(format!("as_of names {name:?}, which is not events, alerts or access"))
            })?;
            if found.insert(stream, size).is_some() {
                return Err(refused(format!("as_of names {name} twice")));
            }
        }
        if found.is_empty() {
            return Err(refused("as_of names no log: say events=SIZE".to_string()));
        }
        Ok(AsOf(found))
    }

    /// The size of `stream`, if it is named.
    pub(crate) fn size(&self, stream: Stream) -> Option<u64> {
        self.0.get(&stream).copied()
    }

    /// # Errors
    /// [`Error::Refused`] where `stream` has not come so far.
    pub(crate) fn check(&self, stream: Stream, durable: u64) -> Result<()> {
        match self.size(stream) {
            Some(size) if size > durable => {
                Err(refused(format!("as_of names {size} entries of {}, which has {durable}", stream.name())))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for AsOf {
    type Err = Error;

    fn from_str(text: &str) -> Result<AsOf> {
        let malformed = || refused(format!("as_of {text:?} is not like events=120;alerts=4"));
        AsOf::new(text.split(';').map(|part| {
            let (name, sizes) = part.split_once('=').ok_or_else(malformed)?;
            // A snapshot gives sealed, signed and durable: the answer was over what is durable.
            let size = sizes.rsplit('/').next().unwrap_or(sizes);
            let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
            let size = size.parse().ok().filter(|_| is_number).ok_or_else(malformed)?;
            Ok((name.to_string(), size))
        }))
    }
}

impl TryFrom<Spelling> for AsOf {
    type Error = Error;

    fn try_from(spelling: Spelling) -> Result<AsOf> {
        match spelling {
            Spelling::Text(text) => text.parse(),
            Spelling::Sizes(sizes) => AsOf::new(sizes.into_iter().map(Ok)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_and_plain_sizes_are_understood_and_nothing_else() {
        let parsed: AsOf = "events=1/2/3;alerts=0/0/0".parse().unwrap();
        assert_eq!(
            (parsed.size(Stream::Events), parsed.size(Stream::Alerts), parsed.size(Stream::Access)),
            (Some(3), Some(0), None)
        );
        assert_eq!(serde_json::from_str::<AsOf>(r#"{"events":7}"#).unwrap(), "events=7".parse().unwrap());
        assert_eq!(serde_json::from_str::<AsOf>(r#""events=7""#).unwrap(), "events=7".parse().unwrap());
        for text in [
            "",
            "events",
            "events=",
            "events=x",
            "events=+3",
            "root=3",
            "events=1;events=2",
            "events=1/",
            ";",
        ] {
            assert_eq!(text.parse::<AsOf>().unwrap_err().code(), "as_of", "{text}");
        }
        assert!(serde_json::from_str::<AsOf>("{}").is_err());
        assert!(serde_json::from_str::<AsOf>(r#"{"events":-1}"#).is_err());
    }

    #[test]
    fn a_size_that_is_not_reached_is_refused() {
        let parsed: AsOf = "events=3".parse().unwrap();
        assert!(parsed.check(Stream::Events, 3).is_ok() && parsed.check(Stream::Alerts, 0).is_ok());
        assert_eq!(parsed.check(Stream::Events, 2).unwrap_err().code(), "as_of");
    }
}
