//! Sessions where the source names none: the same caller on the same server is in one until it rests for half an hour.
//!
//! Ids are deterministic in the caller and the time of the session's first event. They live in memory: after a restart a
//! session that goes on gets a new id. At most [`SESSIONS_TRACKED_MAX`] are remembered per tenant; the longest unused go
//! first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use schemas::limits::{SESSION_IDLE_US, SESSIONS_TRACKED_MAX};

/// Who is calling what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) user: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) client: &'a str,
    pub(crate) server: &'a str,
}

/// The derived sessions of one tenant.
#[derive(Debug, Default)]
pub struct Sessions {
    tracked: Mutex<Tracked>,
}

type Key = [u8; 32];

/// Two generations: when the young one is half of the limit it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
struct Tracked {
    young: HashMap<Key, Span>,
    old: HashMap<Key, Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start_us: i64,
    last_us: i64,
}

impl Sessions {
    /// None yet.
    pub fn new() -> Sessions {
        Sessions::default()
    }

    /// The session of `caller` at `time_us`: `derived-` and 16 hexadecimal digits.
    pub(crate) fn id(&self, caller: Caller<'_>, time_us: i64) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [caller.tenant, caller.user, caller.agent, caller.client, caller.server] {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
        let key = *hasher.finalize().as_bytes();
        // A panic while the lock is held leaves whole spans behind: nothing to repair.
        let start_us = self.tracked.lock().unwrap_or_else(PoisonError::into_inner).start(key, time_us);
        let id = hasher.update(&start_us.to_be_bytes()).finalize().to_hex();
        format!("derived-{}", id.get(..16).unwrap_or_default())
    }
}

impl Tracked {
    /// Start of the session of `key` that is on at `time_us`.
    fn start(&mut self, key: Key, time_us: i64) -> i64 {
        let known = self.young.get(&key).or_else(|| self.old.get(&key)).copied();
        let span = match known {
            // Long before the session that is on: a late event, grouped with others of its half hour.
            Some(span) if time_us < span.start_us.saturating_sub(SESSION_IDLE_US) => {
                return time_us - time_us.rem_euclid(SESSION_IDLE_US);
            }
            Some(span) if time_us <= span.last_us.saturating_add(SESSION_IDLE_US) => {
                Span { last_us: span.last_us.max(time_us), ..span }
            }
            _ => Span { start_us: time_us, last_us: time_us },
        };
        if self.young.len() >= SESSIONS_TRACKED_MAX / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, span);
        span.start_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Caller<'_> = Caller { tenant: "acme", user: "u", agent: "a", client: "c", server: "s" };

    #[test]
    fn a_session_ends_after_half_an_hour_of_rest() {
        let sessions = Sessions::new();
        let first = sessions.id(CALLER, 0);
        assert_eq!(sessions.id(CALLER, SESSION_IDLE_US), first);
        assert_eq!(sessions.id(CALLER, 2 * SESSION_IDLE_US), first);
        let second = sessions.id(CALLER, 3 * SESSION_IDLE_US + 1);
        assert_ne!(second, first);
        assert_eq!(
            sessions.id(CALLER, 3 * SESSION_IDLE_US),
            second,
            "a little out of order is the same session"
        );
        let late = sessions.id(CALLER, 10);
        assert_ne!(late, second);
        assert_eq!(sessions.id(CALLER, 20), late);
        assert_eq!(sessions.id(CALLER, 3 * SESSION_IDLE_US + 2), second, "a late event moves nothing");
    }

    #[test]
    fn ids_depend_on_every_part_and_on_nothing_else() {
        let id = |caller| Sessions::new().id(caller, 5);
        let base = id(CALLER);
        assert_eq!(base, id(CALLER));
        assert_eq!(base.len(), "derived-".len() + 16);
        for other in [
            Caller { tenant: "x", ..CALLER },
            Caller { user: "x", ..CALLER },
            Caller { agent: "x", ..CALLER },
            Caller { client: "x", ..CALLER },
            Caller { server: "x", ..CALLER },
            Caller { user: "", agent: "ua", ..CALLER },
        ] {
            assert_ne!(id(other), base);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_busy_stay() {
        let mut tracked = Tracked::default();
        let key = |n: usize| *blake3::hash(&n.to_be_bytes()).as_bytes();
        for n in 0..SESSIONS_TRACKED_MAX * 2 {
            assert_eq!(tracked.start(key(0), n as i64), 0);
            tracked.start(key(n + 1), n as i64);
        }
        assert!(tracked.young.len() + tracked.old.len() <= SESSIONS_TRACKED_MAX);
    }
}
