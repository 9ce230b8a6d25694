//! Ended sessions that wait to be learnt.

use std::collections::BTreeMap;

use schemas::limits::ENGINE_SESSIONS_WAITING_MAX;
use serde::{Deserialize, Serialize};

use crate::novelty::Session;

/// Whole days that a session waits: 72 h, so that an incident is not its own yardstick.
const DELAY_DAYS: i64 = 4;
/// The same for a session that ended while an episode of its principal was open: time for somebody to look, and no longer, or whoever
/// was told to use a new tool would be told of for ever.
const HELD_DAYS: i64 = 8;

/// Sessions by the day on which they are learnt, at most `ENGINE_SESSIONS_WAITING_MAX` a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    due: BTreeMap<i64, Batch>,
    /// How many sessions a principal had today.
    numbers: BTreeMap<String, usize>,
    /// Sessions that nobody will learn, for want of room.
    dropped: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    known: Vec<Session>,
    /// Of principals that were not known when they came.
    new: Vec<Session>,
}

impl Waiting {
    pub fn new() -> Waiting {
        Waiting { due: BTreeMap::new(), numbers: BTreeMap::new(), dropped: 0 }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The how manieth session of this principal it is today. Only those of known principals are counted; whoever makes up names is
    /// always at its first.
    pub fn number(&mut self, principal: &str, is_known: bool, principals_max: usize) -> usize {
        if let Some(number) = self.numbers.get_mut(principal) {
            *number = number.saturating_add(1);
            return *number;
        }
        if is_known && self.numbers.len() < principals_max.max(1) {
            self.numbers.insert(principal.to_owned(), 1);
        }
        1
    }

    /// Puts a session by until its time. Newcomers make room for those that are known.
    pub fn put(&mut self, day: i64, is_held: bool, is_known: bool, session: Session) {
        let batch =
            self.due.entry(day.saturating_add(if is_held { HELD_DAYS } else { DELAY_DAYS })).or_default();
        if batch.known.len() + batch.new.len() >= ENGINE_SESSIONS_WAITING_MAX {
            self.dropped = self.dropped.saturating_add(1);
            if !is_known || batch.new.pop().is_none() {
                return;
            }
        }
        if is_known { batch.known.push(session) } else { batch.new.push(session) }
    }

    /// Turns to a day: what is to be learnt now.
    pub fn turn(&mut self, day: i64) -> Vec<Session> {
        self.numbers.clear();
        let later = self.due.split_off(&day.saturating_add(1));
        let due = std::mem::replace(&mut self.due, later);
        due.into_values().flat_map(|batch| batch.known.into_iter().chain(batch.new)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::novelty::{Element, Peers};

    fn session(name: &str) -> Session {
        let mut session = Session::new(name, Peers::new("r", None));
        session.add(Element::tool("t"));
        session
    }

    #[test]
    fn sessions_wait_their_time_and_held_ones_longer() {
        let mut waiting = Waiting::new();
        waiting.put(10, false, true, session("a"));
        waiting.put(10, true, true, session("b"));
        assert!(waiting.turn(13).is_empty());
        assert_eq!(waiting.turn(14), [session("a")]);
        assert!(waiting.turn(17).is_empty());
        assert_eq!(waiting.turn(18), [session("b")]);
    }

    #[test]
    fn newcomers_make_room_for_those_that_are_known() {
        let mut waiting = Waiting::new();
        for flood in 0..ENGINE_SESSIONS_WAITING_MAX + 10 {
            waiting.put(0, false, false, session(&flood.to_string()));
        }
        (0..5).for_each(|_| waiting.put(0, false, true, session("victim")));
        let learnt = waiting.turn(4);
        assert_eq!((learnt.len(), waiting.dropped()), (ENGINE_SESSIONS_WAITING_MAX, 15));
        assert_eq!(learnt.iter().filter(|learnt| **learnt == session("victim")).count(), 5);
    }

    #[test]
    fn sessions_are_numbered_by_principal_and_day() {
        let mut waiting = Waiting::new();
        let mut number = |name, is_known| waiting.number(name, is_known, 1);
        assert_eq!(
            [number("a", true), number("a", true), number("b", true), number("b", true)],
            [1, 2, 1, 1]
        );
        assert_eq!([number("c", false), number("c", false)], [1, 1]);
        waiting.turn(1);
        assert_eq!(waiting.number("a", true, 1), 1);
    }
}
