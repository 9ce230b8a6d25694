//! One group of a correlation: hits in event time, and whether they are enough.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use schemas::limits::SIGMA_STAGE_HITS_MAX;
use serde::{Deserialize, Serialize};

use crate::correlation::{Correlation, Kind};

/// 128 bits of the BLAKE3 of a value: nobody finds two values that count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mark(u64, u64);

/// A match of a joined rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hit {
    /// Where it counts.
    pub time_us: i64,
    /// When it was, as the event says.
    pub event_us: i64,
    pub index: i64,
    /// Which of the joined rules.
    pub stage: usize,
    /// The value that is counted.
    pub mark: Option<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// In the order of [`Hit::order`].
    hits: Vec<Hit>,
}

/// Hits that are enough.
#[derive(Debug)]
pub(super) struct Found {
    pub evidence: Vec<i64>,
    pub first_us: i64,
    pub is_moved: bool,
    pub count: u64,
}

impl Mark {
    pub fn of(value: &[u8]) -> Mark {
        let digest = blake3::hash(value);
        let mut words = digest.as_bytes().as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        // A digest has four words.
        Mark(words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

impl Hit {
    /// By time; of one event the later stage first, so that no event is followed by itself.
    fn order(&self) -> (i64, i64, Reverse<usize>, Option<Mark>) {
        (self.time_us, self.index, Reverse(self.stage), self.mark)
    }
}

impl Group {
    pub fn new() -> Group {
        Group { hits: Vec::new() }
    }

    /// Time of the latest hit.
    pub fn latest_us(&self) -> i64 {
        self.hits.last().map_or(i64::MIN, |hit| hit.time_us)
    }

    /// Forgets hits before `before_us`, which no window can reach any more.
    pub fn forget(&mut self, before_us: i64) {
        let first = self.hits.partition_point(|hit| hit.time_us < before_us);
        self.hits.drain(..first);
    }

    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// How near it is to a match: hits of a count, joined rules seen of a temporal correlation,
    /// and of an ordered one how many of them in their order: a last step without a first is nothing.
    pub fn progress(&self, correlation: &Correlation) -> usize {
        match correlation.kind {
            Kind::EventCount | Kind::ValueCount(_) => self.hits.len(),
            Kind::Temporal => distinct_stages(&self.hits),
            Kind::TemporalOrdered => {
                self.hits.iter().fold(0, |next, hit| next + usize::from(hit.stage == next))
            }
        }
    }

    /// Of each hit, whether a chain stands on it: for each joined rule the one that ends there and starts latest. What comes next
    /// can only go on from these, whatever else is held.
    fn needed(&self, stages: usize) -> Vec<bool> {
        let mut best: Vec<Option<(i64, usize)>> = vec![None; stages];
        let mut before: Vec<Option<usize>> = Vec::with_capacity(self.hits.len());
        for (at, hit) in self.hits.iter().enumerate() {
            let start = match hit.stage.checked_sub(1) {
                None => Some((hit.time_us, None)),
                Some(stage) => {
                    best.get(stage).copied().flatten().map(|(start_us, last)| (start_us, Some(last)))
                }
            };
            before.push(start.and_then(|(_, last)| last));
            if let (Some((start_us, _)), Some(slot)) = (start, best.get_mut(hit.stage))
                && slot.is_none_or(|(held_us, _)| start_us >= held_us)
            {
                *slot = Some((start_us, at));
            }
        }
        let mut needed = vec![false; self.hits.len()];
        for (_, last) in best.into_iter().flatten() {
            let mut next = Some(last);
            while let Some(at) = next {
                if let Some(flag) = needed.get_mut(at) {
                    *flag = true;
                }
                next = before.get(at).copied().flatten();
            }
        }
        needed
    }

    /// Adds the hits of one event and says whether, with them, there are enough.
    pub fn add(&mut self, correlation: &Correlation, hits: Vec<Hit>) -> Option<Found> {
        let mut added = BTreeSet::new();
        for hit in hits {
            if !self.make_room(correlation, &hit) {
                continue;
            }
            let order = hit.order();
            let at = self.hits.partition_point(|held| held.order() < order);
            self.hits.insert(at, hit);
            added.insert(order);
        }
        let is_added = |hit: &Hit| added.contains(&hit.order());
        let at = self.hits.iter().position(is_added)?;
        match correlation.kind {
            Kind::TemporalOrdered => self.chain(correlation, at, &is_added),
            _ => self.window(correlation, at),
        }
    }

    /// Makes room for a hit, and says whether it has a place. A value stands once, by its latest hit, so that repeating one pushes
    /// out no other. Beyond the cap the earliest goes: what would push out a hit of the current window is as many hits in that
    /// window, and they are a match themselves. Of an ordered correlation the earliest goes that no chain stands on, so that
    /// repeating a step breaks off none.
    fn make_room(&mut self, correlation: &Correlation, hit: &Hit) -> bool {
        let is_rival = |held: &Hit| match correlation.kind {
            Kind::EventCount | Kind::ValueCount(_) => true,
            Kind::Temporal | Kind::TemporalOrdered => held.stage == hit.stage,
        };
        if matches!(correlation.kind, Kind::ValueCount(_)) {
            if self.hits.iter().any(|held| held.mark == hit.mark && held.time_us > hit.time_us) {
                return false;
            }
            self.hits.retain(|held| held.mark != hit.mark);
        }
        let rivals = self.hits.iter().filter(|held| is_rival(held)).count();
        let rivals_max = match correlation.kind {
            Kind::EventCount | Kind::ValueCount(_) => correlation.hits_max(),
            Kind::Temporal | Kind::TemporalOrdered => SIGMA_STAGE_HITS_MAX,
        };
        if rivals < rivals_max {
            return true;
        }
        // At most eight chains stand on a stage of sixteen: there is one that none stands on.
        let needed = match correlation.kind {
            Kind::TemporalOrdered => self.needed(correlation.stages.len()),
            _ => Vec::new(),
        };
        let is_needed = |at: usize| needed.get(at).copied().unwrap_or_default();
        match self.hits.iter().enumerate().position(|(at, held)| is_rival(held) && !is_needed(at)) {
            Some(at) if self.hits.get(at).is_some_and(|first| first.order() < hit.order()) => {
                self.hits.remove(at);
                true
            }
            _ => false,
        }
    }

    /// The first window with enough in it that ends at the new hit or, where that came late, holds it.
    fn window(&self, correlation: &Correlation, at: usize) -> Option<Found> {
        let new_us = self.hits.get(at)?.time_us;
        let bounds = correlation.least..=correlation.most;
        let mut start = 0;
        for (end, last) in self.hits.iter().enumerate().skip(at) {
            if last.time_us.saturating_sub(new_us) > correlation.timespan_us {
                break;
            }
            // Hits of one time are one end: the window ends after the last of them.
            if self.hits.get(end + 1).is_some_and(|next| next.time_us == last.time_us) {
                continue;
            }
            while self
                .hits
                .get(start)
                .is_some_and(|hit| last.time_us.saturating_sub(hit.time_us) > correlation.timespan_us)
            {
                start += 1;
            }
            let inside = self.hits.get(start..=end).unwrap_or_default();
            let count = match correlation.kind {
                Kind::EventCount | Kind::ValueCount(_) => inside.len(),
                Kind::Temporal | Kind::TemporalOrdered => distinct_stages(inside),
            } as u64;
            if bounds.contains(&count) {
                return found(inside, count);
            }
        }
        None
    }

    /// A chain of one hit of each stage in their order, within the time span and with a new hit in it.
    fn chain(&self, correlation: &Correlation, at: usize, is_added: &impl Fn(&Hit) -> bool) -> Option<Found> {
        let stages = correlation.stages.len();
        // For each stage the latest start of a chain up to it, without and with a new hit: the latest start leaves the most time.
        let mut latest: Vec<[Option<i64>; 2]> = vec![[None, None]; stages];
        let new_us = self.hits.get(at)?.time_us;
        let earliest_us = new_us.saturating_sub(correlation.timespan_us);
        for hit in self.hits.iter().filter(|hit| hit.time_us >= earliest_us) {
            let is_new = usize::from(is_added(hit));
            let before = match hit.stage.checked_sub(1) {
                None => [Some(hit.time_us), None],
                Some(stage) => latest.get(stage).copied().unwrap_or_default(),
            };
            for (has_new, start_us) in before.into_iter().enumerate() {
                let Some(start_us) =
                    start_us.filter(|us| hit.time_us.saturating_sub(*us) <= correlation.timespan_us)
                else {
                    continue;
                };
                if let Some(slot) =
                    latest.get_mut(hit.stage).and_then(|slots| slots.get_mut(has_new.max(is_new)))
                {
                    *slot = (*slot).max(Some(start_us));
                }
            }
            if let (true, Some([_, Some(start_us)])) = (hit.stage + 1 == stages, latest.last()) {
                let inside =
                    self.hits.iter().filter(|held| (*start_us..=hit.time_us).contains(&held.time_us));
                return found(&inside.cloned().collect::<Vec<_>>(), stages as u64);
            }
        }
        None
    }
}

fn found(inside: &[Hit], count: u64) -> Option<Found> {
    let first_us = inside.iter().map(|hit| hit.event_us).min()?;
    let is_moved = inside.iter().any(|hit| hit.event_us != hit.time_us);
    Some(Found { evidence: inside.iter().map(|hit| hit.index).collect(), first_us, is_moved, count })
}

fn distinct_stages(hits: &[Hit]) -> usize {
    hits.iter().map(|hit| hit.stage).collect::<BTreeSet<_>>().len()
}
