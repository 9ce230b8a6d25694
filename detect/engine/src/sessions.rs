//! Sessions of principals, in event time: the machinery under the rules on who does what, where and when.
//!
//! A session begins with the first record of its key and is over once no record came for [`GAP_US`], or [`LENGTH_US`] after it
//! began: one that never pauses would never be judged whole, and whoever is kept awake from the day into the night would not be
//! seen to begin anything. What the key is, its rule says (`docs/decisions/0026-sessions.md`): the principal alone where ids are not
//! to be trusted, or with the id that the source gave.
//!
//! Invariants
//! - **Time** is event time, but no earlier than `lateness_s` before the clock ([`Context::counted_us`]): a source that dates its records back would
//!   else have every session closed before its second record.
//! - **Closing** is by the log's clock, `lateness_s` after the session is over, in the order of deadlines and then of keys; deadlines
//!   catch up when they are met, so that a record costs one lookup.
//! - **Eviction**: at the cap a sixteenth goes, sessions of principals without an open episode first, then by the fewest records, then the
//!   longest idle. A flood of new identities pushes out itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bounded::lowest;
use crate::detector::Context;
use crate::keyed::Keyed;
use crate::settings::microseconds;

/// Idle time after which a session is over.
pub(crate) const GAP_US: i64 = schemas::limits::ENGINE_SESSION_GAP_S * 1_000_000;
/// What is waited for in a tenant that is silent is waited for by whole ones of these, in microseconds.
const TICK: i64 = 300_000_000;
/// How long a session lasts at most.
const LENGTH_US: i64 = schemas::limits::ENGINE_SESSION_LENGTH_S * 1_000_000;

/// One session as far as it went, with what its rule remembers of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session<S> {
    pub first_us: i64,
    pub last_us: i64,
    pub records: u64,
    /// Its place in the order of deadlines; never later than the true one.
    scheduled_us: i64,
    pub of: S,
}

impl<S> Session<S> {
    fn is_over(&self, seen_us: i64) -> bool {
        seen_us > self.over_us()
    }

    /// The last moment of which a record would still be its own.
    fn over_us(&self) -> i64 {
        self.last_us.saturating_add(GAP_US).min(self.first_us.saturating_add(LENGTH_US))
    }
}

/// What a record did to the sessions.
#[derive(Debug)]
pub(crate) enum Touched<S> {
    GoesOn,
    /// A session began with it; the one before, if that was open still.
    Begins(Option<Session<S>>),
}

/// Open sessions by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sessions<S> {
    open: Keyed<Session<S>>,
    evicted: u64,
    /// (`scheduled_us`, key) of every open session; rebuilt after a restore.
    #[serde(skip)]
    deadlines: BTreeSet<(i64, String)>,
}

impl<S> Sessions<S> {
    pub fn new() -> Sessions<S> {
        Sessions { open: Keyed::default(), evicted: 0, deadlines: BTreeSet::new() }
    }

    /// After a snapshot was read.
    pub fn restored(&mut self) {
        let deadlines = self.open.unordered().map(|(key, session)| (session.scheduled_us, key.clone()));
        self.deadlines = deadlines.collect();
    }

    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    pub fn get(&self, key: &str) -> Option<&Session<S>> {
        self.open.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Session<S>> {
        self.open.get_mut(key)
    }

    /// In no order: to change each by itself.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Session<S>> {
        self.open.unordered_mut().map(|(_, session)| session)
    }

    /// Takes in a record of a session that goes on, with one lookup: most records are of one. None, and nothing done, where it does not.
    pub fn go_on(&mut self, key: &str, seen_us: i64) -> Option<&mut Session<S>> {
        let session = self.open.get_mut(key).filter(|session| !session.is_over(seen_us))?;
        session.records = session.records.saturating_add(1);
        session.first_us = session.first_us.min(seen_us);
        session.last_us = session.last_us.max(seen_us);
        Some(session)
    }

    /// Takes in a record seen at `seen_us`. A session that begins is made by `make`, after room was made for it; `is_kept` says
    /// whose sessions go last.
    pub fn touch(
        &mut self,
        key: &str,
        seen_us: i64,
        context: &Context<'_>,
        is_kept: impl Fn(&str, &S) -> bool,
        make: impl FnOnce() -> S,
    ) -> Touched<S> {
        if self.go_on(key, seen_us).is_some() {
            return Touched::GoesOn;
        }
        let before = self.end(key);
        self.make_room(context.settings.entities_max, is_kept);
        let mut session =
            Session { first_us: seen_us, last_us: seen_us, records: 1, scheduled_us: 0, of: make() };
        session.scheduled_us = deadline_us(&session, context.settings.lateness_s);
        self.deadlines.insert((session.scheduled_us, key.to_owned()));
        self.open.insert(key, session);
        Touched::Begins(before)
    }

    /// Takes out a session before it is over.
    pub fn end(&mut self, key: &str) -> Option<Session<S>> {
        let (key, session) = self.open.remove_entry(key)?;
        self.deadlines.remove(&(session.scheduled_us, key));
        Some(session)
    }

    /// When the next session may be due, on the engine's clock.
    pub fn due_us(&self) -> Option<i64> {
        self.deadlines.first().map(|(due_us, _)| *due_us)
    }

    /// When the first of those sessions is over that somebody waits for, to the next whole [`TICK`]: a fleet that falls silent is
    /// closed in a few steps. The order of deadlines may be behind, but never ahead.
    pub fn awaits_us(&self, lateness_s: i64, is_awaited: impl Fn(&Session<S>) -> bool) -> Option<i64> {
        let mut first_us: Option<i64> = None;
        for (scheduled_us, key) in &self.deadlines {
            if first_us.is_some_and(|first_us| first_us <= *scheduled_us) {
                break;
            }
            let Some(session) = self.open.get(key).filter(|session| is_awaited(session)) else { continue };
            let deadline_us = deadline_us(session, lateness_s);
            first_us = Some(first_us.map_or(deadline_us, |first_us| first_us.min(deadline_us)));
        }
        let tick = first_us?.div_euclid(TICK).saturating_add(1);
        tick.checked_mul(TICK)
    }

    /// Takes out the next session if it is due; else its deadline catches up.
    pub fn close(&mut self, context: &Context<'_>) -> Option<(String, Session<S>)> {
        let (due_us, key) = self.deadlines.pop_first()?;
        let session = self.open.get_mut(&key)?;
        let deadline_us = deadline_us(session, context.settings.lateness_s);
        if deadline_us > due_us {
            session.scheduled_us = deadline_us;
            self.deadlines.insert((deadline_us, key));
            return None;
        }
        self.open.remove_entry(&key)
    }

    fn make_room(&mut self, sessions_max: usize, is_kept: impl Fn(&str, &S) -> bool) {
        if self.open.len() < sessions_max.max(1) {
            return;
        }
        let rank =
            |key: &str, session: &Session<S>| (is_kept(key, &session.of), session.records, session.last_us);
        for key in lowest(self.open.unordered(), (sessions_max / 16).max(1), rank) {
            self.end(&key);
            self.evicted = self.evicted.saturating_add(1);
        }
    }
}

fn deadline_us<S>(session: &Session<S>, lateness_s: i64) -> i64 {
    session.over_us().saturating_add(microseconds(lateness_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::Episodes;
    use crate::settings::Settings;

    const MINUTE_US: i64 = 60_000_000;

    fn with<R>(watermark_us: i64, entities_max: usize, run: impl FnOnce(&Context<'_>) -> R) -> R {
        let settings = Settings { entities_max, ..Settings::default() };
        run(&Context { settings: &settings, tenant: "t", watermark_us, episodes: &Episodes::new() })
    }

    fn touch(sessions: &mut Sessions<u8>, key: &str, minute: i64) -> Touched<u8> {
        let seen_us = minute.saturating_mul(MINUTE_US);
        with(seen_us, 8, |context| sessions.touch(key, seen_us, context, |_, of| *of == 1, || 0))
    }

    #[test]
    fn a_session_ends_with_half_an_hour_of_silence_or_after_eight_hours() {
        let mut sessions = Sessions::new();
        assert!(matches!(touch(&mut sessions, "a", 0), Touched::Begins(None)));
        assert!(matches!(touch(&mut sessions, "a", 30), Touched::GoesOn));
        assert!(
            matches!(touch(&mut sessions, "a", 20), Touched::GoesOn),
            "late, and no earlier than the last"
        );
        let Touched::Begins(Some(before)) = touch(&mut sessions, "a", 61) else { panic!("it was over") };
        assert_eq!((before.records, before.first_us, before.last_us), (3, 0, 30 * MINUTE_US));
        let begins =
            (62..1_000).filter(|minute| matches!(touch(&mut sessions, "a", *minute), Touched::Begins(_)));
        assert_eq!(begins.collect::<Vec<_>>(), [542], "eight hours after it began");
    }

    #[test]
    fn deadlines_catch_up_and_close_in_order() {
        let mut sessions = Sessions::new();
        touch(&mut sessions, "b", 0);
        touch(&mut sessions, "a", 0);
        touch(&mut sessions, "a", 25);
        let mut closed = Vec::new();
        while let Some(due_us) = sessions.due_us() {
            closed.extend(
                with(due_us, 8, |context| sessions.close(context)).map(|(key, _)| (due_us / MINUTE_US, key)),
            );
        }
        assert_eq!(closed, [(40, "b".to_owned()), (65, "a".to_owned())]);
    }

    #[test]
    fn extreme_times_end() {
        let mut sessions = Sessions::new();
        for seen_us in [i64::MIN, -1, 0, i64::MAX, i64::MAX, i64::MIN] {
            with(seen_us, 8, |context| {
                sessions.touch("a", seen_us, context, |_, _| false, || 0);
            });
            for _ in 0..4 {
                if sessions.due_us().is_some_and(|due_us| due_us <= seen_us) {
                    with(seen_us, 8, |context| {
                        sessions.close(context);
                    });
                }
            }
            assert!(sessions.due_us().is_none_or(|due_us| due_us > seen_us));
        }
    }

    #[test]
    fn a_flood_pushes_out_itself() {
        let mut sessions = Sessions::new();
        (0..3).for_each(|minute| {
            touch(&mut sessions, "victim", minute);
        });
        with(0, 8, |context| {
            sessions.touch("told", 0, context, |_, of| *of == 1, || 1);
        });
        (0..1_000).for_each(|at| {
            touch(&mut sessions, &at.to_string(), 4);
        });
        assert!(sessions.get("victim").is_some() && sessions.get("told").is_some());
        assert_eq!((sessions.open.len(), sessions.deadlines.len(), sessions.evicted()), (8, 8, 994));
    }
}
