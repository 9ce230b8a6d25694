//! Scores of what was told, as long as they wait: what a person may yet call true.
//!
//! A score counts from 72 h after its day on (`recalibration`). One of an episode that a person calls true within that time must not be what the
//! next is held against: it is taken out of its pool again, or not filed where it has yet to be. So each score of a told thing is noted here until it
//! counts. State: at most `FILINGS_MAX` of them a rule, about 100 bytes each; beyond, the oldest are forgotten and stay in their pools.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bits;
use crate::detector::Context;
use crate::recalibration::counts_on;

const FILINGS_MAX: usize = schemas::limits::ENGINE_FILINGS_MAX;

/// An episode that a person called true: its entity, and from when to when it was open, on the engine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmed<'a> {
    pub key: &'a str,
    pub since_us: i64,
    pub until_us: i64,
}

impl Confirmed<'_> {
    fn holds(&self, at_us: i64) -> bool {
        (self.since_us..=self.until_us).contains(&at_us)
    }
}

/// When something whose score is not filed yet was told last, and whether a person called that true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    at_us: Option<i64>,
    is_true: bool,
}

impl Told {
    /// It is told now, of the entity of that key, whose open episode it is part of if it does not open another.
    pub fn tell(&mut self, key: &str, opens: bool, context: &Context<'_>) {
        self.at_us = Some(context.watermark_us);
        self.is_true |= !opens && context.episodes.is_confirmed(key);
    }

    pub fn called_true(&mut self, episode: &Confirmed<'_>) {
        self.is_true |= self.at_us.is_some_and(|at_us| episode.holds(at_us));
    }

    /// Whether its score is to be left out.
    pub fn is_true(self) -> bool {
        self.is_true
    }
}

/// One score that waits, and in which of the rule's pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filing<P> {
    key: String,
    told_us: i64,
    pub day: i64,
    #[serde(with = "bits")]
    pub score: f64,
    pub pool: P,
}

/// Filings of one rule, in the order of their days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Filings<P> {
    waiting: VecDeque<Filing<P>>,
}

impl<P> Filings<P> {
    pub fn new() -> Filings<P> {
        Filings { waiting: VecDeque::new() }
    }

    /// A score was filed on a day; noted where it is of something told.
    pub fn file(&mut self, key: &str, told: Told, day: i64, score: f64, pool: P) {
        let Some(told_us) = told.at_us else { return };
        if self.waiting.len() >= FILINGS_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Filing { key: key.to_owned(), told_us, day, score, pool });
    }

    /// Forgets what counts from that day on.
    pub fn turn(&mut self, today: i64) {
        while self.waiting.front().is_some_and(|filing| counts_on(filing.day, today)) {
            self.waiting.pop_front();
        }
    }

    /// Gives up what is of that episode: it is to be taken out of its pools.
    pub fn take(&mut self, episode: &Confirmed<'_>) -> Vec<Filing<P>> {
        let is_of = |filing: &Filing<P>| filing.key == episode.key && episode.holds(filing.told_us);
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = all.partition(is_of);
        self.waiting = left.into();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(filings: &mut Filings<()>, key: &str, day: i64, told_us: i64) {
        filings.file(key, Told { at_us: Some(told_us), is_true: false }, day, 9.0, ());
    }

    #[test]
    fn an_episode_takes_its_own_while_they_wait() {
        let mut filings = Filings::new();
        filings.file("a", Told::default(), 1, 9.0, ());
        for (key, told_us) in [("a", 9), ("a", 10), ("b", 15), ("a", 20), ("a", 21)] {
            file(&mut filings, key, 1, told_us);
        }
        let episode = Confirmed { key: "a", since_us: 10, until_us: 20 };
        let taken: Vec<i64> = filings.take(&episode).iter().map(|filing| filing.told_us).collect();
        assert_eq!((taken, filings.waiting.len()), (vec![10, 20], 3), "what was never told is not noted");
        assert!(filings.take(&episode).is_empty());
        filings.turn(4);
        assert_eq!(filings.waiting.len(), 3, "three days wait");
        filings.turn(5);
        assert!(filings.waiting.is_empty());
    }

    #[test]
    fn at_the_cap_the_oldest_are_forgotten() {
        let mut filings = Filings::new();
        (0..=FILINGS_MAX as i64).for_each(|told_us| file(&mut filings, "a", 1, told_us));
        let all = Confirmed { key: "a", since_us: 0, until_us: i64::MAX };
        let taken = filings.take(&all);
        assert_eq!((taken.len(), taken[0].told_us), (FILINGS_MAX, 1));
    }
}
