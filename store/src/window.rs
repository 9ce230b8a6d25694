//! The idempotency window: which event ids a log has seen lately, so that a retried delivery is recorded once.
//!
//! Three generations, the oldest dropped when the newest is full or has lasted its share of the window: an id is
//! remembered for at least two thirds of the window's time or ids, whichever ends first. Memory alone; it is
//! rebuilt from the log on start.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use schemas::Origin;

use crate::error::Result;
use crate::keys::Keys;

/// Marks the place of an entry in a log before: how far it is from that log's end, and from those of the logs between.
const BEFORE: u64 = 1 << 62;

/// A place as a window keeps it; below 0 in the logs before, -1 their last entry.
pub(crate) fn index_of(place: i64) -> u64 {
    if place < 0 { BEFORE | place.unsigned_abs() } else { place.unsigned_abs() }
}

/// The place that an index of a window is.
pub(crate) fn place_of(index: u64) -> i64 {
    let place = i64::try_from(index & !BEFORE).unwrap_or(i64::MAX);
    if index & BEFORE == 0 { place } else { -place }
}

/// A keyed digest of (scope, event id).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdKey([u8; 16]);

impl IdKey {
    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::hash::Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// The keys are digests already.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NoHash(u64);

impl Hasher for NoHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Digests event ids of one log.
#[derive(Debug, Clone)]
pub(crate) struct IdDigester {
    keyed: blake3::Hasher,
}

impl IdDigester {
    pub(crate) fn new(keys: &Keys, origin: &Origin) -> Result<IdDigester> {
        Ok(IdDigester { keyed: blake3::Hasher::new_keyed(&*keys.idempotency_key(origin)?) })
    }

    /// The key of other content under an id that is taken.
    pub(crate) fn digest_conflict(&self, id: &IdKey, content: &[u8; 32]) -> IdKey {
        let mut hasher = self.keyed.clone();
        // No scope starts with a newline.
        hasher.update(b"\n").update(&id.0).update(content);
        let mut out = [0; 16];
        hasher.finalize_xof().fill(&mut out);
        IdKey(out)
    }

    /// `scope` has no newline, being part of an origin-like text.
    pub(crate) fn digest(&self, scope: &str, event_id: &str) -> IdKey {
        let mut hasher = self.keyed.clone();
        hasher.update(scope.as_bytes());
        hasher.update(b"\n");
        hasher.update(event_id.as_bytes());
        let mut out = [0; 16];
        hasher.finalize_xof().fill(&mut out);
        IdKey(out)
    }
}

/// `<collector>/<credential>` of a `source` column's text.
pub(crate) fn scope_of(source: &str) -> &str {
    let end = source.match_indices('/').nth(1).map_or(source.len(), |(at, _)| at);
    source.get(..end).unwrap_or(source)
}

type Generation = HashMap<IdKey, u64, BuildHasherDefault<NoHash>>;

/// Event ids of one log to the index each was recorded at.
#[derive(Debug)]
pub(crate) struct Window {
    newest: Generation,
    older: [Generation; 2],
    started_us: i64,
    ids_max: usize,
    age_max_us: i64,
}

impl Window {
    pub(crate) fn new(ids_max: usize, age_max_us: i64) -> Window {
        Window {
            newest: Generation::default(),
            older: [Generation::default(), Generation::default()],
            started_us: 0,
            ids_max: (ids_max / 2).max(1),
            age_max_us: age_max_us / 2,
        }
    }

    /// Where `key` was recorded.
    pub(crate) fn get(&self, key: &IdKey) -> Option<u64> {
        let [old, oldest] = &self.older;
        self.newest.get(key).or_else(|| old.get(key)).or_else(|| oldest.get(key)).copied()
    }

    /// Remembers `key`.
    pub(crate) fn insert(&mut self, key: IdKey, index: u64, now_us: i64) {
        if self.newest.len() >= self.ids_max || now_us - self.started_us > self.age_max_us {
            let [old, oldest] = &mut self.older;
            *oldest = std::mem::take(old);
            *old = std::mem::take(&mut self.newest);
            self.started_us = now_us;
        }
        self.newest.insert(key, index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_for_the_window_and_no_longer() {
        let keys = Keys::from_seed([1; 32], "i").unwrap();
        let digester = IdDigester::new(&keys, &"i/t/events/w1".parse().unwrap()).unwrap();
        let mut window = Window::new(100, 1000);
        for at in 0..1000u64 {
            window.insert(digester.digest("http/t-1", &at.to_string()), at, 0);
            for back in 0..100.min(at) {
                let seen = window.get(&digester.digest("http/t-1", &(at - back).to_string()));
                assert_eq!(seen, Some(at - back));
            }
        }
        assert_eq!(window.get(&digester.digest("http/t-1", "1")), None, "long gone");
        assert_eq!(window.get(&digester.digest("http/t-2", "999")), None, "another credential");
        window.insert(digester.digest("http/t-1", "late"), 1, 700);
        window.insert(digester.digest("http/t-1", "later"), 2, 1300);
        assert_eq!(window.get(&digester.digest("http/t-1", "late")), Some(1));
        assert_eq!(window.get(&digester.digest("http/t-1", "999")), Some(999), "the last but two");
        window.insert(digester.digest("http/t-1", "last"), 3, 1900);
        assert_eq!(window.get(&digester.digest("http/t-1", "999")), None);
    }

    #[test]
    fn a_scope_is_the_first_two_parts_of_a_source() {
        assert_eq!(scope_of("http/t-1/canonical/1"), "http/t-1");
        assert_eq!(scope_of("http"), "http");
    }
}
