//! What a source numbers, and which of its numbers never came.
//!
//! The *main* strand is all from the least to the greatest number. One that it has already, or that lies far below, is either a
//! record that came twice or of a source that counts anew: it begins a *pass*, and that is believed once its numbers follow one another
//! ([`PROVEN`]). So one number that somebody made up begins nothing, and a restart hides no more than its first few. Passes run beside the
//! main strand, so that neither takes the other's place; of those that are too many the least proven goes.
//!
//! A hole that was told is remembered: where the source goes on in it, what is skipped there is a hole of its own. A made-up number far
//! ahead so makes no later one a duplicate, however many there are of such. Of too many told holes the narrowest is forgotten; what
//! comes in it is then a pass.

use std::collections::BTreeMap;

use schemas::limits::{ENGINE_HOLES_MAX, ENGINE_PASSES_MAX};
use serde::{Deserialize, Serialize};

use crate::entity::Entity;

/// How far off the end of a strand a number may be and still belong to it.
const REACH: u64 = 1_000;
/// The score from which on a pass is believed: two for each number that follows its predecessor, one where up to [`LOST`] between them
/// are missing. Numbers in no order hardly ever follow one another.
const PROVEN: u64 = 16;
const LOST: u64 = 2;

/// Numbers that have not come yet; its first is its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hole {
    pub last: u64,
    /// The engine's clock when it was noticed, and the record that it was noticed by.
    pub noticed_us: i64,
    pub index: i64,
    pub event_us: i64,
    /// Whether it is part of one that was told before.
    pub was_told: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strand {
    low: u64,
    /// One more than the greatest number.
    next: u64,
    /// What may still come, and what was told: apart from one another, and both below `next`.
    holes: BTreeMap<u64, Hole>,
    told: BTreeMap<u64, u64>,
}

/// Numbering that began anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pass {
    strand: Strand,
    score: u64,
    last_index: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub source: Entity,
    main: Strand,
    passes: Vec<Pass>,
    /// The engine's clock when it began.
    began_us: i64,
    pub numbers: u64,
    pub last_index: i64,
    pub environment: Option<String>,
}

impl Strand {
    fn new(number: u64) -> Strand {
        Strand { low: number, next: number, holes: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Takes in a number that comes next, or is ahead.
    fn advance(&mut self, number: u64, hole: &Hole) {
        self.open(self.next, number, hole);
        self.next = number.saturating_add(1);
    }

    /// Opens the hole of numbers from `first` up to and without `end`, if there are any.
    fn open(&mut self, first: u64, end: u64, hole: &Hole) {
        if first < end {
            self.holes.insert(first, Hole { last: end - 1, ..*hole });
        }
    }

    /// Whether the number was missing, and may have been told; it is not any more.
    fn fill(&mut self, number: u64, hole: &Hole) -> bool {
        if let Some((first, filled)) =
            self.holes.range(..=number).next_back().map(|(first, hole)| (*first, *hole))
            && number <= filled.last
        {
            self.holes.remove(&first);
            self.open(first, number, &filled);
            if number < filled.last {
                self.holes.insert(number + 1, filled);
            }
            return true;
        }
        let Some((first, last)) = self.told.range(..=number).next_back().map(|(first, last)| (*first, *last))
        else {
            return false;
        };
        if last < number {
            return false;
        }
        self.told.remove(&first);
        self.open(first, number, &Hole { was_told: true, ..*hole });
        if number < last {
            self.told.insert(number + 1, last);
        }
        true
    }

    fn noticed_us(&self) -> Option<i64> {
        self.holes.values().map(|hole| hole.noticed_us).min()
    }

    /// Takes out the holes that were noticed up to then.
    fn tell(&mut self, noticed_us: i64) -> Vec<(u64, Hole)> {
        let told: Vec<(u64, Hole)> =
            self.holes.extract_if(.., |_, hole| hole.noticed_us <= noticed_us).collect();
        for (first, hole) in &told {
            self.told.insert(*first, hole.last);
            if self.told.len() > ENGINE_HOLES_MAX {
                let narrowest = self.told.iter().min_by_key(|(first, last)| **last - **first);
                narrowest.map(|(first, _)| *first).and_then(|first| self.told.remove(&first));
            }
        }
        told
    }
}

impl Run {
    pub fn new(source: Entity, number: u64, began_us: i64) -> Run {
        let main = Strand::new(number);
        let (passes, environment) = (Vec::new(), None);
        Run { source, main, passes, began_us, numbers: 0, last_index: 0, environment }
    }

    /// Takes in the number that all wait for; false, and nothing done, where it is another one. Nearly all are.
    pub fn go_on(&mut self, number: u64, index: i64) -> bool {
        if number != self.main.next {
            return false;
        }
        self.main.next = number.saturating_add(1);
        self.note(index);
        true
    }

    fn note(&mut self, index: i64) {
        self.numbers = self.numbers.saturating_add(1);
        self.last_index = index;
    }

    /// Takes a number in. Below the least it belongs to the main strand for as long as late records are waited for.
    pub fn take(&mut self, number: u64, hole: &Hole, lateness_us: i64) {
        self.note(hole.index);
        if number >= self.main.next {
            return self.main.advance(number, hole);
        }
        if self.main.fill(number, hole) {
            return;
        }
        let is_young = hole.noticed_us.saturating_sub(self.began_us) <= lateness_us;
        let follows = self.passes.iter().any(|pass| pass.strand.next == number);
        let below = self.main.low.saturating_sub(number);
        if !follows && is_young && (1..=REACH).contains(&below) {
            self.main.open(number.saturating_add(1), self.main.low, hole);
            self.main.low = number;
            return;
        }
        self.again(number, hole);
    }

    /// Takes in a number that the main strand has, or that is far below.
    fn again(&mut self, number: u64, hole: &Hole) {
        let ahead = |pass: &Pass| number.checked_sub(pass.strand.next).filter(|ahead| *ahead <= REACH);
        let nearest = self.passes.iter_mut().filter(|pass| ahead(pass).is_some());
        let nearest = nearest.min_by_key(|pass| ahead(pass));
        // A source that starts again does not jump at once: the first number of a pass must not be taken for one far on in another.
        if let Some(pass) = nearest
            && let Some(ahead) = ahead(pass).filter(|ahead| *ahead <= LOST || pass.score >= PROVEN)
        {
            let worth = match ahead {
                0 => 2,
                1..=LOST => 1,
                _ => 0,
            };
            pass.score = pass.score.saturating_add(worth);
            pass.last_index = hole.index;
            return pass.strand.advance(number, hole);
        }
        if self.passes.iter_mut().any(|pass| pass.strand.fill(number, hole)) {
            return;
        }
        if self.passes.len() >= ENGINE_PASSES_MAX {
            let least = (0..).zip(&self.passes).min_by_key(|(_, pass)| (pass.score, pass.last_index));
            let least: Option<usize> = least.map(|(at, _)| at);
            least.into_iter().for_each(|at| drop(self.passes.remove(at)));
        }
        let strand = Strand { next: number.saturating_add(1), ..Strand::new(number) };
        self.passes.push(Pass { strand, score: 0, last_index: hole.index });
    }

    /// When the oldest hole was noticed.
    pub fn noticed_us(&self) -> Option<i64> {
        let passes = self.passes.iter().filter_map(|pass| pass.strand.noticed_us());
        passes.chain(self.main.noticed_us()).min()
    }

    /// Takes out the holes that were noticed up to then; those of passes that are not proven are none.
    pub fn tell(&mut self, noticed_us: i64) -> Vec<(u64, Hole)> {
        let mut told = self.main.tell(noticed_us);
        for pass in &mut self.passes {
            let of_pass = pass.strand.tell(noticed_us);
            if pass.score >= PROVEN {
                told.extend(of_pass);
            }
        }
        told
    }

    /// What has to be told at once, where holes are too many.
    pub fn tell_surplus(&mut self) -> Vec<(u64, Hole)> {
        let holes = |strand: &Strand| strand.holes.len() > ENGINE_HOLES_MAX;
        if !holes(&self.main) && !self.passes.iter().any(|pass| holes(&pass.strand)) {
            return Vec::new();
        }
        self.noticed_us().map(|oldest_us| self.tell(oldest_us)).unwrap_or_default()
    }
}
