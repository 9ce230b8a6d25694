//! Ended sessions that wait to be learnt.
//!
//! A day has room for so many, and who comes first has no more right to it: at the cap newcomers make room for those that are known; of the
//! known the one with the most loses its last; of newcomers those go whose names have the greatest hash of that day, a sample that says
//! nothing of when they came. Names that are made up are many, so that a sample holds few of the others, but some every day.

use std::collections::BTreeMap;

use schemas::limits::{ENGINE_NEWCOMER_SESSIONS_MAX, ENGINE_SESSIONS_WAITING_MAX};
use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
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
    /// How many sessions a principal had today; beyond the cap those with the fewest are forgotten, and begin anew.
    numbers: Bounded<u64>,
    /// Sessions that nobody will learn, for want of room.
    dropped: u64,
}

/// By principal, in an order that differs from day to day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    sessions: usize,
    known: BTreeMap<u64, Vec<Session>>,
    /// Of principals that were not known when they came.
    new: BTreeMap<u64, Vec<Session>>,
}

/// A principal's place among those of a day (the finisher of SplitMix64).
fn place(entity: u64, day: i64) -> u64 {
    let mut mixed = entity ^ day.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Batch {
    /// Takes a session in; false if it, or another one, had to go for it.
    fn put(&mut self, place: u64, is_known: bool, session: Session) -> bool {
        if !is_known && self.new.get(&place).is_some_and(|own| own.len() >= ENGINE_NEWCOMER_SESSIONS_MAX) {
            return false;
        }
        let of = if is_known { &mut self.known } else { &mut self.new };
        of.entry(place).or_default().push(session);
        self.sessions = self.sessions.saturating_add(1);
        if self.sessions <= ENGINE_SESSIONS_WAITING_MAX {
            return true;
        }
        if let Some(mut newcomer) = self.new.last_entry() {
            newcomer.get_mut().pop();
            if newcomer.get().is_empty() {
                newcomer.remove();
            }
        } else if let Some((_, most)) = self.known.iter_mut().max_by_key(|(_, own)| own.len()) {
            most.pop();
        }
        self.sessions = self.sessions.saturating_sub(1);
        false
    }
}

impl Waiting {
    pub fn new() -> Waiting {
        Waiting { due: BTreeMap::new(), numbers: Bounded::new(), dropped: 0 }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The how manieth session of this principal it is today. Only those of known principals are counted; whoever makes up names is
    /// always at its first.
    pub fn number(&mut self, principal: &str, is_known: bool, principals_max: usize) -> usize {
        if !is_known && self.numbers.get(principal).is_none() {
            return 1;
        }
        let number = self.numbers.entry(principal, principals_max, |_, number| (false, *number, 0), || 0);
        *number = number.saturating_add(1);
        usize::try_from(*number).unwrap_or(usize::MAX)
    }

    /// How many it had so far.
    pub fn had(&self, principal: &str) -> usize {
        self.numbers.get(principal).map_or(0, |number| usize::try_from(*number).unwrap_or(usize::MAX))
    }

    /// Puts a session by until its time.
    pub fn put(&mut self, day: i64, is_held: bool, is_known: bool, session: Session) {
        let due_day = day.saturating_add(if is_held { HELD_DAYS } else { DELAY_DAYS });
        let place = place(session.entity(), due_day);
        if !self.due.entry(due_day).or_default().put(place, is_known, session) {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Turns to a day: what is to be learnt now.
    pub fn turn(&mut self, day: i64) -> Vec<Session> {
        self.numbers.retain(|_, _| false);
        let later = self.due.split_off(&day.saturating_add(1));
        let due = std::mem::replace(&mut self.due, later);
        let batches =
            due.into_values().flat_map(|batch| batch.known.into_values().chain(batch.new.into_values()));
        batches.flatten().collect()
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

    fn of(learnt: &[Session], name: &str) -> usize {
        learnt.iter().filter(|learnt| **learnt == session(name)).count()
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
        assert_eq!(of(&learnt, "victim"), 5);
    }

    #[test]
    fn the_known_share_a_day_whenever_in_it_they_come() {
        let mut waiting = Waiting::new();
        let busy = ENGINE_SESSIONS_WAITING_MAX / 16;
        for principal in 0..busy {
            (0..16).for_each(|_| waiting.put(0, false, true, session(&format!("morning-{principal}"))));
        }
        (0..40).for_each(|principal| waiting.put(0, false, true, session(&format!("evening-{principal}"))));
        let learnt = waiting.turn(4);
        assert_eq!((learnt.len(), waiting.dropped()), (ENGINE_SESSIONS_WAITING_MAX, 40));
        assert!((0..40).all(|principal| of(&learnt, &format!("evening-{principal}")) == 1));
        assert!((0..busy).all(|principal| of(&learnt, &format!("morning-{principal}")) >= 15));
    }

    #[test]
    fn newcomers_are_a_sample_whoever_comes_first() {
        let mut late = 0;
        for day in 0..10 {
            let mut waiting = Waiting::new();
            for flood in 0..2 * ENGINE_SESSIONS_WAITING_MAX {
                // One of them tries to fill the day alone.
                waiting.put(day, false, false, session("greedy"));
                waiting.put(day, false, false, session(&format!("flood-{day}-{flood}")));
            }
            (0..40).for_each(|name| waiting.put(day, false, false, session(&format!("late-{name}"))));
            let learnt = waiting.turn(day + 4);
            assert_eq!(learnt.len(), ENGINE_SESSIONS_WAITING_MAX);
            assert!(of(&learnt, "greedy") <= ENGINE_NEWCOMER_SESSIONS_MAX);
            late += (0..40).map(|name| of(&learnt, &format!("late-{name}"))).sum::<usize>();
        }
        assert!((120..280).contains(&late), "{late} of 400, where half is a fair share");
    }

    #[test]
    fn sessions_are_numbered_by_principal_and_day() {
        let mut waiting = Waiting::new();
        let mut number = |name, is_known| waiting.number(name, is_known, 2);
        assert_eq!(
            [number("a", true), number("a", true), number("b", true), number("b", true)],
            [1, 2, 1, 2]
        );
        assert_eq!([number("c", false), number("c", false)], [1, 1]);
        // Full: who had more stays.
        assert_eq!([number("a", true), number("d", true), number("a", true)], [3, 1, 4]);
        assert_eq!((waiting.had("a"), waiting.had("b")), (4, 0));
        waiting.turn(1);
        assert_eq!((waiting.number("a", true, 2), waiting.had("c")), (1, 0));
    }
}
