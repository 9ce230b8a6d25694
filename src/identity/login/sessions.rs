//! Sessions of people who logged in by browser. Kept in memory alone, each under the digest of its cookie: a restart ends
//! them all, and whoever reads the memory's dump has no cookie.
//!
//! What a person may do is not kept: the groups that the provider named are, and the configuration's mapping is asked at each
//! request. A session whose groups have no role any more ends.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

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

#[derive(Debug)]
struct Session {
    person: Person,
    begun_us: i64,
    used_us: i64,
}

/// All of them. Times are of the monotonic clock.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: Mutex<HashMap<Digest, Session>>,
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
    pub(super) fn begin(&self, person: Person, now_us: i64) -> Option<String> {
        let cookie = random()?;
        let digest = digest(&cookie)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, session| !self.is_over(session, now_us));
        let own =
            |session: &Session| session.person.id == person.id && session.person.tenant == person.tenant;
        if kept.values().filter(|session| own(session)).count() >= self.person_max {
            drop_longest_idle(&mut kept, own);
        } else if kept.len() >= self.total_max {
            drop_longest_idle(&mut kept, |_| true);
        }
        kept.insert(digest, Session { person, begun_us: now_us, used_us: now_us });
        Some(cookie)
    }

    /// Whose session it is and what they may do by `role_of`. Counts as a use.
    ///
    /// # Errors
    /// [`Reason::SessionUnknown`], [`Reason::SessionExpired`], [`Reason::AssertionRole`]; it is then over.
    pub(super) fn check(
        &self,
        cookie: &str,
        now_us: i64,
        role_of: impl Fn(&[String]) -> Option<Role>,
    ) -> Result<(Person, Role), Reason> {
        let digest = digest(cookie).ok_or(Reason::SessionUnknown)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get_mut(&digest).ok_or(Reason::SessionUnknown)?;
        let role = match role_of(&session.person.groups) {
            _ if self.is_over(session, now_us) => Err(Reason::SessionExpired),
            Some(role) => Ok(role),
            None => Err(Reason::AssertionRole),
        };
        match role {
            Ok(role) => {
                session.used_us = session.used_us.max(now_us);
                Ok((session.person.clone(), role))
            }
            Err(reason) => {
                kept.remove(&digest);
                Err(reason)
            }
        }
    }

    /// The principal of a session, be it over or not.
    pub(super) fn find(&self, cookie: &str) -> Option<Person> {
        let digest = digest(cookie)?;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&digest).map(|session| session.person.clone())
    }

    /// Microseconds that a session lasts at most from now on.
    pub(super) fn remaining_us(&self, cookie: &str, now_us: i64) -> Option<i64> {
        let digest = digest(cookie)?;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get(&digest)?;
        Some(session.begun_us.saturating_add(self.lasting_us).saturating_sub(now_us))
    }

    /// Ends one; whether there was one.
    pub(super) fn end(&self, cookie: &str) -> bool {
        let Some(digest) = digest(cookie) else { return false };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest).is_some()
    }

    fn is_over(&self, session: &Session, now_us: i64) -> bool {
        now_us.saturating_sub(session.begun_us) >= self.lasting_us
            || now_us.saturating_sub(session.used_us) >= self.idle_us
    }
}

fn drop_longest_idle(kept: &mut HashMap<Digest, Session>, is_meant: impl Fn(&Session) -> bool) {
    let meant = kept.iter().filter(|(_, session)| is_meant(session));
    if let Some(digest) = meant.min_by_key(|(_, session)| session.used_us).map(|(digest, _)| *digest) {
        kept.remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn person(id: &str) -> Person {
        Person { id: id.to_string(), tenant: "acme".to_string(), groups: vec!["sec".to_string()] }
    }

    fn auditors(groups: &[String]) -> Option<Role> {
        groups.contains(&"sec".to_string()).then_some(Role::Auditor)
    }

    #[test]
    fn a_session_ends_by_age_by_rest_by_logout_and_with_its_role() {
        let sessions = Sessions::new(100 * S, 10 * S);
        let cookie = sessions.begin(person("o-a"), 0).unwrap();
        assert_eq!(sessions.check(&cookie, 9 * S, auditors), Ok((person("o-a"), Role::Auditor)));
        assert!(sessions.check(&cookie, 18 * S, auditors).is_ok(), "used in between");
        assert_eq!(sessions.check(&cookie, 28 * S, auditors), Err(Reason::SessionExpired));
        assert_eq!(sessions.check(&cookie, 28 * S, auditors), Err(Reason::SessionUnknown));

        let cookie = sessions.begin(person("o-a"), 0).unwrap();
        for at in 0..20 {
            assert!(sessions.check(&cookie, at * 5 * S, auditors).is_ok(), "{at}");
        }
        assert_eq!(sessions.remaining_us(&cookie, 95 * S), Some(5 * S));
        assert_eq!(sessions.check(&cookie, 100 * S, auditors), Err(Reason::SessionExpired), "used or not");

        let cookie = sessions.begin(person("o-a"), 0).unwrap();
        assert!(sessions.end(&cookie) && !sessions.end(&cookie));
        assert_eq!(sessions.check(&cookie, 0, auditors), Err(Reason::SessionUnknown));

        let cookie = sessions.begin(person("o-a"), 0).unwrap();
        assert_eq!(sessions.check(&cookie, 1, |_| None), Err(Reason::AssertionRole));
        assert_eq!(
            sessions.check(&cookie, 1, auditors),
            Err(Reason::SessionUnknown),
            "it does not come back"
        );
        for bad in ["", "x", &"x".repeat(43), &"x".repeat(9999)] {
            assert_eq!(sessions.check(bad, 0, auditors), Err(Reason::SessionUnknown));
        }
    }

    #[test]
    fn memory_is_bounded_and_the_longest_idle_of_the_same_person_makes_room() {
        let sessions = Sessions::new(100 * S, 100 * S);
        let other = sessions.begin(person("o-b"), 0).unwrap();
        let cookies: Vec<String> = (0..=limits::LOGIN_SESSIONS_PERSON_MAX)
            .map(|at| sessions.begin(person("o-a"), i64::try_from(at).unwrap()).unwrap())
            .collect();
        assert_eq!(sessions.check(&cookies[0], 50, auditors), Err(Reason::SessionUnknown));
        assert!(cookies[1..].iter().all(|cookie| sessions.check(cookie, 50, auditors).is_ok()));
        assert!(sessions.check(&other, 50, auditors).is_ok());
        for at in 0..limits::LOGIN_SESSIONS_MAX {
            sessions.begin(person(&format!("o-{at}")), 60).unwrap();
        }
        assert_eq!(sessions.kept.lock().unwrap().len(), limits::LOGIN_SESSIONS_MAX);
        sessions.begin(person("o-late"), 200 * S).unwrap();
        assert_eq!(sessions.kept.lock().unwrap().len(), 1, "those that are over go first");
    }
}
