//! What a sink remembers: how far it is in each tenant's log, its dead letters, and what it is to send again. One JSON file, replaced whole.
//!
//! Written after the other side has taken something: a crash between the two sends that once more, and so does one after a write that failed. A place
//! is bound to its log by origin; of another log, which a restored or adopted store begins, nothing was sent.

use std::collections::BTreeMap;

use schemas::limits::{SINK_REASON_BYTES_MAX, SINK_REPLAYS_MAX};
use serde::{Deserialize, Serialize};
use store::OwnFiles;

use crate::error::{Error, Result};

/// Persisted.
const VERSION: u32 = 1;
/// Persisted.
const FILE: &str = "state.json";

/// Everything that one sink remembers. Persisted: keep the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u32,
    /// By tenant.
    pub places: BTreeMap<String, Place>,
}

/// How far a sink is with one tenant's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Origin of the log.
    pub log: String,
    /// Everything below it is settled.
    pub next: u64,
    /// Ascending, apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead: Vec<Dead>,
    /// What is to be sent again, first come first served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Again>,
    /// Of a sink that is sent digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestPlace>,
}

/// Which day is to be told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DigestPlace {
    /// Days since 1970-01-01, UTC.
    pub day: i64,
    /// The log's first entry of that day, or before it.
    pub first: u64,
}

/// A run of entries that the other side will not take, with entries between them that were none of the sink's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dead {
    /// First log index.
    pub first: u64,
    /// One past the last.
    pub end: u64,
    /// How many messages.
    pub messages: u64,
    /// What the other side said of the first.
    pub reason: String,
    /// When the last came to it, microseconds.
    pub at_us: i64,
}

/// A range of the log that is to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    /// Everything of the range below it is settled.
    pub next: u64,
    /// One past the last.
    pub end: u64,
}

impl Default for State {
    fn default() -> State {
        State { version: VERSION, places: BTreeMap::new() }
    }
}

impl State {
    /// Reads it; none where nothing was ever written.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::File`].
    pub(crate) fn read(files: &OwnFiles) -> Result<Option<State>> {
        let bytes = files.read(FILE).map_err(|error| file(files, error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let damaged = |detail: String| Error::Damaged { path: files.path(FILE), detail };
        let state: State = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if state.version != VERSION {
            return Err(damaged(format!("version {}, this program writes {VERSION}", state.version)));
        }
        Ok(Some(state))
    }

    /// Writes it; once this returns it is there after any crash.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn write(&self, files: &OwnFiles) -> Result<()> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Error::Damaged { path: files.path(FILE), detail: error.to_string() })?;
        files.replace(FILE, &bytes).map_err(|error| file(files, error))
    }

    /// Dead letters of all tenants.
    #[cfg(test)]
    pub(crate) fn dead_messages(&self) -> u64 {
        self.places.values().flat_map(|place| &place.dead).map(|dead| dead.messages).sum()
    }
}

impl Place {
    pub(crate) fn new(log: &str, next: u64) -> Place {
        Place { log: log.to_owned(), next, dead: Vec::new(), again: Vec::new(), digest: None }
    }

    /// Adds a dead letter: the message whose entry ends the range `first..end`, with nothing of the sink's before it in there.
    pub(crate) fn bury(&mut self, first: u64, end: u64, reason: &str, at_us: i64) {
        let reason = reason.get(..reason.floor_char_boundary(SINK_REASON_BYTES_MAX)).unwrap_or_default();
        let at = self.dead.partition_point(|dead| dead.end <= first);
        let before = at.checked_sub(1).and_then(|before| self.dead.get_mut(before));
        if let Some(before) = before
            && before.end == first
            && before.reason == reason
        {
            before.end = end;
            before.messages = before.messages.saturating_add(1);
            before.at_us = at_us;
            return;
        }
        self.dead.insert(at, Dead { first, end, messages: 1, reason: reason.to_owned(), at_us });
    }

    /// Forgets what is beyond the end of the log: an older copy was restored, and what comes there now is other than what was.
    pub(crate) fn cut(&mut self, durable: u64) {
        self.next = self.next.min(durable);
        self.dead.retain(|dead| dead.end <= durable);
        for again in &mut self.again {
            again.end = again.end.min(durable);
        }
        self.again.retain(|again| again.next < again.end);
        if let Some(digest) = &mut self.digest {
            digest.first = digest.first.min(durable);
        }
    }

    /// Has all dead letters sent again. What is refused once more comes back.
    pub(crate) fn resurrect(&mut self) -> u64 {
        let room = SINK_REPLAYS_MAX.saturating_sub(self.again.len());
        let dead: Vec<Dead> = self.dead.drain(..room.min(self.dead.len())).collect();
        self.again.extend(dead.iter().map(|dead| Again { next: dead.first, end: dead.end }));
        dead.iter().map(|dead| dead.messages).sum()
    }
}

fn file(files: &OwnFiles, error: store::Error) -> Error {
    match error {
        store::Error::Io { action, path, source } => Error::File { action, path, source },
        other => Error::Damaged { path: files.path(FILE), detail: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let files = OwnFiles::open(dir.path()).unwrap();
        assert_eq!(State::read(&files).unwrap(), None);
        let mut state = State::default();
        let mut place = Place::new("i/acme/alerts/w1", 7);
        place.bury(3, 4, "no", 9);
        place.again.push(Again { next: 1, end: 2 });
        state.places.insert("acme".to_owned(), place);
        state.write(&files).unwrap();
        assert_eq!(State::read(&files).unwrap(), Some(state));
        for wrong in
            [&b""[..], b"{", b"{\"version\":2,\"places\":{}}", b"{\"version\":1,\"places\":{},\"more\":1}"]
        {
            files.replace(FILE, wrong).unwrap();
            assert!(matches!(State::read(&files), Err(Error::Damaged { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn dead_letters_beside_one_another_are_one_run_and_come_back() {
        let mut place = Place::new("log", 0);
        place.bury(0, 3, "too large", 1);
        place.bury(3, 4, "too large", 2);
        place.bury(4, 6, "another", 3);
        place.bury(9, 10, "another", 4);
        let runs: Vec<_> =
            place.dead.iter().map(|dead| (dead.first, dead.end, dead.messages, dead.at_us)).collect();
        assert_eq!(runs, [(0, 4, 2, 2), (4, 6, 1, 3), (9, 10, 1, 4)]);
        assert_eq!(place.resurrect(), 4);
        assert!(place.dead.is_empty());
        assert_eq!(place.again.len(), 3);
        // Refused again, in the middle of what is there.
        place.bury(20, 21, "x", 5);
        place.bury(0, 3, "x", 6);
        assert_eq!(place.dead.iter().map(|dead| dead.first).collect::<Vec<_>>(), [0, 20]);
    }

    proptest! {
        #[test]
        fn reasons_are_cut_at_a_character(reason in "(a|é|😀){0,400}") {
            let mut place = Place::new("log", 0);
            place.bury(0, 1, &reason, 0);
            let kept = &place.dead[0].reason;
            prop_assert!(reason.starts_with(kept.as_str()) && kept.len() <= SINK_REASON_BYTES_MAX);
            prop_assert!(kept.len() == reason.len() || kept.len() + 4 > SINK_REASON_BYTES_MAX);
        }
    }
}
