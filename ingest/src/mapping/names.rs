//! The names of `canonical/1` and `simple/1`.
//!
//! `canonical/1` has the columns' own names. `simple/1` has them in camelCase, `timestamp` for `time`, `capabilityName`
//! for `capability`, `latencyMs` in milliseconds and `id` beside `eventId`; where such a name is absent the column's own
//! name is taken too, and kept in `attributes` beside.

use std::sync::LazyLock;

use schemas::Stream;

use crate::columns::{COLUMNS, place};

/// Keys that tell mappings apart.
pub(crate) mod sign {
    pub(crate) const TIME: u8 = 1;
    pub(crate) const SUBJECT: u8 = 2;
    pub(crate) const TIMESTAMP: u8 = 4;
    pub(crate) const SIMPLE_SUBJECT: u8 = 8;
    /// A subject, unless its value is a method of HTTP.
    pub(crate) const METHOD: u8 = 16;
    /// A message of the wire, whose author chooses its keys: no event, unless the sender says so.
    pub(crate) const MESSAGE: u8 = 32;
}

/// How a value becomes a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// As it is.
    Plain,
    /// Milliseconds to microseconds.
    Milliseconds,
    /// Only where no other key gives the column; kept in `attributes` too.
    Spare,
}

/// A known key: where each mapping puts its value.
#[derive(Debug)]
pub(crate) struct Name {
    key: String,
    /// Place of the column under `canonical/1`.
    pub(crate) canonical: Option<usize>,
    /// Place of the column under `simple/1`, and how.
    pub(crate) simple: Option<(usize, Use)>,
    /// Bits of [`sign`].
    pub(crate) signs: u8,
}

/// Columns that no source fills under their name: the recorder's own.
pub(crate) const RESERVED: [&str; 12] = [
    "tenant",
    "log_index",
    "ingest_time",
    "control",
    "payload_commitment",
    "cut",
    "tags",
    "redactions",
    "source",
    "attributes",
    "oversize",
    "raw",
];

pub(super) const SLOTS: usize = 1024;

/// All known keys, found by an open-addressing table over [`hash`].
#[derive(Debug)]
pub(crate) struct Names {
    names: Vec<Name>,
    /// Index into `names`, or none.
    slots: Vec<Option<u8>>,
}

/// The table.
pub(crate) static NAMES: LazyLock<Names> = LazyLock::new(Names::new);

impl Names {
    fn new() -> Names {
        let mut names = Names { names: Vec::new(), slots: vec![None; SLOTS] };
        for (at, column) in Stream::Events.columns().iter().enumerate().take(COLUMNS) {
            if RESERVED.contains(&column.name) {
                continue;
            }
            names.name(column.name).canonical = Some(at);
            let camel = camel(column.name);
            let simple = match at {
                place::TIME => "timestamp",
                place::CAPABILITY => "capabilityName",
                place::LATENCY_US => "latencyMs",
                _ => &camel,
            };
            let how = if at == place::LATENCY_US { Use::Milliseconds } else { Use::Plain };
            names.name(simple).simple = Some((at, how));
            for spare in [column.name, camel.as_str()] {
                names.name(spare).simple.get_or_insert((at, Use::Spare));
            }
        }
        names.name("id").simple = Some((place::EVENT_ID, Use::Spare));
        for (key, sign) in [
            ("time", sign::TIME),
            ("kind", sign::SUBJECT),
            ("method", sign::SUBJECT | sign::METHOD),
            ("capability", sign::SUBJECT),
            ("timestamp", sign::TIMESTAMP),
            ("server", sign::SIMPLE_SUBJECT),
            ("capabilityName", sign::SIMPLE_SUBJECT),
            ("jsonrpc", sign::MESSAGE),
        ] {
            names.name(key).signs |= sign;
        }
        names
    }

    /// The entry of `key`, made if it is new.
    fn name(&mut self, key: &str) -> &mut Name {
        let at = self.find(key).map(usize::from).unwrap_or_else(|| {
            let at = self.names.len();
            let mut slot = hash(key.as_bytes());
            while self.slots.get(slot).is_some_and(Option::is_some) {
                slot = (slot + 1) % SLOTS;
            }
            if let (Some(place), Ok(at)) = (self.slots.get_mut(slot), u8::try_from(at)) {
                *place = Some(at);
            }
            self.names.push(Name { key: key.to_string(), canonical: None, simple: None, signs: 0 });
            at
        });
        #[expect(
            clippy::indexing_slicing,
            reason = "found or just pushed; runs once, on names of this crate"
        )]
        &mut self.names[at]
    }

    /// The number of the known key `key`.
    #[inline]
    pub(crate) fn find(&self, key: &str) -> Option<u8> {
        let mut slot = hash(key.as_bytes());
        loop {
            let at = (*self.slots.get(slot)?)?;
            if self.names.get(usize::from(at))?.key == key {
                return Some(at);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The known key with this number.
    #[inline]
    pub(crate) fn get(&self, at: u8) -> Option<&Name> {
        self.names.get(usize::from(at))
    }
}

/// A place in the table: the ends and the length of a key tell the known ones well apart.
#[inline]
pub(super) fn hash(key: &[u8]) -> usize {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (word(head), word(tail)),
        _ => (key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0),
    };
    let mixed = (head ^ tail.rotate_left(29) ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 54) as usize % SLOTS
}

/// `snake_case` as `snakeCase`.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let mut chars = part.chars();
        out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(key: &str) -> Option<(&'static str, Use)> {
        let (at, how) = NAMES.get(NAMES.find(key)?)?.simple?;
        Some((Stream::Events.columns()[at].name, how))
    }

    #[test]
    fn every_column_is_found_under_its_names() {
        assert!(NAMES.names.len() < 255, "{} names, numbers are one byte", NAMES.names.len());
        for column in Stream::Events.columns() {
            let found = NAMES.find(column.name).and_then(|at| NAMES.get(at)?.canonical);
            assert_eq!(found.is_some(), !RESERVED.contains(&column.name), "{}", column.name);
        }
        for name in &NAMES.names {
            assert_eq!(NAMES.find(&name.key).and_then(|at| NAMES.get(at)).unwrap().key, name.key);
        }
        assert_eq!(NAMES.find("nobody"), None);
        assert_eq!(NAMES.find(""), None);
    }

    #[test]
    fn simple_names_lead_to_columns() {
        assert_eq!(simple("timestamp"), Some(("time", Use::Plain)));
        assert_eq!(simple("time"), Some(("time", Use::Spare)));
        assert_eq!(simple("userId"), Some(("user_id", Use::Plain)));
        assert_eq!(simple("user_id"), Some(("user_id", Use::Spare)));
        assert_eq!(simple("latencyMs"), Some(("latency_us", Use::Milliseconds)));
        assert_eq!(simple("latencyUs"), Some(("latency_us", Use::Spare)));
        assert_eq!(simple("capabilityName"), Some(("capability", Use::Plain)));
        assert_eq!(simple("eventId"), Some(("event_id", Use::Plain)));
        assert_eq!(simple("id"), Some(("event_id", Use::Spare)));
        assert_eq!(simple("status"), Some(("status", Use::Plain)));
        assert_eq!(simple("tenant"), None);
        assert_eq!(NAMES.find("id").and_then(|at| NAMES.get(at)?.canonical), None);
    }
}
