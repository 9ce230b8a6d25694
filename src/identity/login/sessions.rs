//! Sessions of people who logged in by browser. Kept in memory alone, each under the digest of its cookie: a restart ends
//! them all, and whoever reads the memory's dump has no cookie.
//!
//! What a person may do is not kept: the groups that the provider named are, and the configuration's mapping is asked at each
//! request. A session whose groups have no role any more ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::limits;
use schemas::principal::Role;

use super::secret::{Digest, digest, random};
use crate::identity::Reason;

/// Whom a provider let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Principal id.
    pub(crate) id: String,
    /// In which tenant.
    pub(crate) tenant: String,
    /// The groups of theirs that the configuration had a role for.
    pub(crate) groups: Vec<String>,
}

/// The time, by both clocks. The monotonic one may stand still while the machine sleeps, the other may be set back: what ends by
/// time ends by whichever says so first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) monotonic_us: i64,
    pub(super) wall_us: i64,
}

impl Now {
    /// Microseconds since `then`.
    fn since_us(self, then: Now) -> i64 {
        let monotonic_us = self.monotonic_us.saturating_sub(then.monotonic_us);
        monotonic_us.max(self.wall_us.saturating_sub(then.wall_us))
    }
}

/// Why a session ended that nobody ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It had lasted as long as one may.
    Age,
    /// It was not used for too long.
    Rest,
    /// None of its groups has a role any more.
    Role,
    /// A newer one took its place.
    Crowded,
}

impl End {
    /// In words, for the record.
    pub(super) const fn text(self) -> &'static str {
        match self {
            End::Age => "it had lasted as long as one may",
            End::Rest => "it was not used for too long",
            End::Role => "none of its groups has a role any more",
            End::Crowded => "a newer one took its place",
        }
    }
}

#[derive(Debug)]
struct Session {
    person: Person,
    begun: Now,
    used: Now,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<Digest, Session>,
    /// Those that ended and are not on record as such.
    ended: Vec<(Person, End)>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: Mutex<Kept>,
    lasting_us: i64,
    idle_us: i64,
    total_max: usize,
    person_max: usize,
}

impl Sessions {
    /// None yet; each to last so long at most, and so long without use.
    pub(super) fn new(lasting_us: i64, idle_us: i64) -> Sessions {
        Sessions {
            kept: Mutex::default(),
            lasting_us,
            idle_us,
            total_max: limits::LOGIN_SESSIONS_MAX,
            person_max: limits::LOGIN_SESSIONS_PERSON_MAX,
        }
    }

    /// Begins one; the cookie is given this once. `None` where there is no randomness.
    pub(super) fn begin(&self, person: Person, now: Now) -> Option<String> {
        let cookie = random()?;
        let digest = digest(&cookie)?;
        self.end_those_over(now);
        let mut kept = self.kept();
        let own =
            |session: &Session| session.person.id == person.id && session.person.tenant == person.tenant;
        if kept.sessions.values().filter(|session| own(session)).count() >= self.person_max {
            kept.end_longest_idle(own);
        } else if kept.sessions.len() >= self.total_max {
            kept.end_longest_idle(|_| true);
        }
        kept.sessions.insert(digest, Session { person, begun: now, used: now });
        Some(cookie)
    }

    /// Whose session it is and what they may do by `role_of`. Counts as a use.
    ///
    /// # Errors
    /// [`Reason::SessionUnknown`], [`Reason::SessionExpired`], [`Reason::AssertionRole`]; it is then over.
    pub(super) fn check(
        &self,
        cookie: &str,
        now: Now,
        role_of: impl Fn(&[String]) -> Option<Role>,
    ) -> Result<(Person, Role), Reason> {
        let digest = digest(cookie).ok_or(Reason::SessionUnknown)?;
        let mut kept = self.kept();
        let session = kept.sessions.get_mut(&digest).ok_or(Reason::SessionUnknown)?;
        let (reason, end) = match (self.is_over(session, now), role_of(&session.person.groups)) {
            (None, Some(role)) => {
                session.used.monotonic_us = session.used.monotonic_us.max(now.monotonic_us);
                // As it is: one that was set back ends nothing too late, for the other goes on.
                session.used.wall_us = now.wall_us;
                return Ok((session.person.clone(), role));
            }
            (None, None) => (Reason::AssertionRole, End::Role),
            (Some(end), _) => (Reason::SessionExpired, end),
        };
        kept.end(&digest, end);
        Err(reason)
    }

    /// The principal of a session, be it over or not.
    pub(super) fn find(&self, cookie: &str) -> Option<Person> {
        let digest = digest(cookie)?;
        self.kept().sessions.get(&digest).map(|session| session.person.clone())
    }

    /// Microseconds that a session lasts at most from now on.
    pub(super) fn remaining_us(&self, cookie: &str, now: Now) -> Option<i64> {
        let digest = digest(cookie)?;
        let kept = self.kept();
        let session = kept.sessions.get(&digest)?;
        Some(self.lasting_us.saturating_sub(now.since_us(session.begun)))
    }

    /// Ends one; whether there was one.
    pub(super) fn end(&self, cookie: &str) -> bool {
        let Some(digest) = digest(cookie) else { return false };
        self.kept().sessions.remove(&digest).is_some()
    }

    /// Ends those that are over though nobody has come with their cookies.
    pub(super) fn end_those_over(&self, now: Now) {
        let mut kept = self.kept();
        let Kept { sessions, ended } = &mut *kept;
        let over = sessions.extract_if(|_, session| self.is_over(session, now).is_some());
        ended.extend(over.filter_map(|(_, session)| {
            let end = self.is_over(&session, now)?;
            Some((session.person, end))
        }));
    }

    /// Those that ended by themselves since this was last asked: as many as there were sessions at most.
    pub(super) fn take_ended(&self) -> Vec<(Person, End)> {
        std::mem::take(&mut self.kept().ended)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, session: &Session, now: Now) -> Option<End> {
        if now.since_us(session.begun) >= self.lasting_us {
            Some(End::Age)
        } else if now.since_us(session.used) >= self.idle_us {
            Some(End::Rest)
        } else {
            None
        }
    }
}

impl Kept {
    fn end(&mut self, digest: &Digest, end: End) {
        if let Some(session) = self.sessions.remove(digest) {
            self.ended.push((session.person, end));
        }
    }

    fn end_longest_idle(&mut self, is_meant: impl Fn(&Session) -> bool) {
        let meant = self.sessions.iter().filter(|(_, session)| is_meant(session));
        let longest = meant.min_by_key(|(_, session)| session.used.monotonic_us).map(|(digest, _)| *digest);
        if let Some(digest) = longest {
            self.end(&digest, End::Crowded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn at(us: i64) -> Now {
        Now { monotonic_us: us, wall_us: 1_780_000_000 * S + us }
    }

    fn person(id: &str) -> Person {
        Person { id: id.to_string(), tenant: "acme".to_string(), groups: vec!["sec".to_string()] }
    }

    fn auditors(groups: &[String]) -> Option<Role> {
        groups.contains(&"sec".to_string()).then_some(Role::Auditor)
    }

    #[test]
    fn a_session_ends_by_age_by_rest_by_logout_and_with_its_role() {
        let sessions = Sessions::new(100 * S, 10 * S);
        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        assert_eq!(sessions.check(&cookie, at(9 * S), auditors), Ok((person("o-a"), Role::Auditor)));
        assert!(sessions.check(&cookie, at(18 * S), auditors).is_ok(), "used in between");
        assert_eq!(sessions.check(&cookie, at(28 * S), auditors), Err(Reason::SessionExpired));
        assert_eq!(sessions.check(&cookie, at(28 * S), auditors), Err(Reason::SessionUnknown));

        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        for use_at in 0..20 {
            assert!(sessions.check(&cookie, at(use_at * 5 * S), auditors).is_ok(), "{use_at}");
        }
        assert_eq!(sessions.remaining_us(&cookie, at(95 * S)), Some(5 * S));
        assert_eq!(
            sessions.check(&cookie, at(100 * S), auditors),
            Err(Reason::SessionExpired),
            "used or not"
        );

        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        assert!(sessions.end(&cookie) && !sessions.end(&cookie));
        assert_eq!(sessions.check(&cookie, at(0), auditors), Err(Reason::SessionUnknown));

        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        assert_eq!(sessions.check(&cookie, at(1), |_| None), Err(Reason::AssertionRole));
        assert_eq!(
            sessions.check(&cookie, at(1), auditors),
            Err(Reason::SessionUnknown),
            "it does not come back"
        );
        for bad in ["", "x", &"x".repeat(43), &"x".repeat(9999)] {
            assert_eq!(sessions.check(bad, at(0), auditors), Err(Reason::SessionUnknown));
        }
    }

    #[test]
    fn memory_is_bounded_and_the_longest_idle_of_the_same_person_makes_room() {
        let sessions = Sessions::new(100 * S, 100 * S);
        let other = sessions.begin(person("o-b"), at(0)).unwrap();
        let cookies: Vec<String> = (0..=limits::LOGIN_SESSIONS_PERSON_MAX)
            .map(|number| sessions.begin(person("o-a"), at(i64::try_from(number).unwrap())).unwrap())
            .collect();
        assert_eq!(sessions.check(&cookies[0], at(50), auditors), Err(Reason::SessionUnknown));
        assert!(cookies[1..].iter().all(|cookie| sessions.check(cookie, at(50), auditors).is_ok()));
        assert!(sessions.check(&other, at(50), auditors).is_ok());
        for number in 0..limits::LOGIN_SESSIONS_MAX {
            sessions.begin(person(&format!("o-{number}")), at(60)).unwrap();
        }
        assert_eq!(sessions.kept().sessions.len(), limits::LOGIN_SESSIONS_MAX);
        sessions.begin(person("o-late"), at(200 * S)).unwrap();
        assert_eq!(sessions.kept().sessions.len(), 1, "those that are over go first");
    }

    #[test]
    fn a_machine_that_sleeps_makes_no_session_last_longer() {
        let sessions = Sessions::new(100 * S, 10 * S);
        let asleep = |us: i64, slept_us: i64| Now { monotonic_us: us, wall_us: at(us + slept_us).wall_us };
        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        assert!(sessions.check(&cookie, asleep(1, 9 * S), auditors).is_ok());
        assert!(sessions.check(&cookie, asleep(2, 18 * S), auditors).is_ok(), "used in between");
        assert_eq!(sessions.remaining_us(&cookie, asleep(0, 18 * S)), Some(82 * S));
        assert_eq!(sessions.check(&cookie, asleep(3, 29 * S), auditors), Err(Reason::SessionExpired));
        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        for used_at in 0..20 {
            assert!(sessions.check(&cookie, asleep(1, used_at * 5 * S), auditors).is_ok(), "{used_at}");
        }
        assert_eq!(sessions.check(&cookie, asleep(1, 100 * S), auditors), Err(Reason::SessionExpired));
        // Whoever sets the clock back makes none last longer either.
        let cookie = sessions.begin(person("o-a"), at(0)).unwrap();
        assert!(sessions.check(&cookie, asleep(S, -1000 * S), auditors).is_ok());
        assert_eq!(sessions.check(&cookie, asleep(11 * S, -1000 * S), auditors), Err(Reason::SessionExpired));
    }

    #[test]
    fn every_end_that_no_one_asked_for_is_told_of_once() {
        let sessions = Sessions::new(100 * S, 10 * S);
        let begin = |id: &str, us: i64| sessions.begin(person(id), at(us)).unwrap();
        let ended = || -> Vec<(String, End)> {
            sessions.take_ended().into_iter().map(|(person, end)| (person.id, end)).collect()
        };
        let one = |id: &str, end: End| vec![(id.to_string(), end)];
        let cookie = begin("o-out", 0);
        assert!(sessions.end(&cookie) && ended().is_empty(), "whoever logged out is on record as that");
        begin("o-rest", 0);
        sessions.end_those_over(at(10 * S - 1));
        assert!(ended().is_empty());
        sessions.end_those_over(at(10 * S));
        assert_eq!(ended(), one("o-rest", End::Rest));
        assert!(ended().is_empty(), "once");
        let cookie = begin("o-age", 0);
        for used_at in 0..20 {
            sessions.check(&cookie, at(used_at * 5 * S), auditors).unwrap();
        }
        sessions.end_those_over(at(100 * S));
        assert_eq!(ended(), one("o-age", End::Age));
        let cookie = begin("o-role", 0);
        assert!(sessions.check(&cookie, at(1), |_| None).is_err());
        assert_eq!(ended(), one("o-role", End::Role));
        let cookie = begin("o-late", 0);
        assert!(sessions.check(&cookie, at(10 * S), auditors).is_err());
        assert_eq!(ended(), one("o-late", End::Rest));
        for _ in 0..=limits::LOGIN_SESSIONS_PERSON_MAX {
            begin("o-many", 0);
        }
        assert_eq!(ended(), one("o-many", End::Crowded));
        begin("o-next", 10 * S);
        assert_eq!(ended().len(), limits::LOGIN_SESSIONS_PERSON_MAX, "by a newcomer's room being made");
    }
}
