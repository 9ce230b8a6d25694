//! Committed sessions, to rank others among.

use std::collections::{BTreeMap, BTreeSet};

use schemas::limits::{NOVELTY_SESSION_ELEMENTS_MAX, NOVELTY_SESSIONS_MAX};
use serde::{Deserialize, Serialize, Serializer};

use super::element::Session;
use crate::bits;

/// Entities below which a level is not asked, and sessions that a rank is at least among.
const ENTITIES: usize = 20;
const SESSIONS: usize = 100;
/// Numbers of elements are similar within this factor; further off only as far as [`SESSIONS`] needs.
const SIMILAR: f64 = 2.0;

/// A committed session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    session: Session,
    commit: u64,
    /// Its surprise by what was known at the last commit, its own entity left out.
    #[serde(with = "bits")]
    surprise: f64,
}

/// Sessions of a tenant, the oldest commit first. At the cap the entities with the most lose their oldest, so that none has more
/// than its share; with more entities than sessions, a sample of entities that stays the same has one each.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Vec<Kept>")]
pub(super) struct Pool {
    kept: Vec<Kept>,
    /// The same by level, for ranking; follows from the sessions.
    levels: BTreeMap<u64, Level>,
}

/// The kept sessions of a level.
#[derive(Debug, Clone, Default, PartialEq)]
struct Level {
    placed: Vec<Placed>,
    /// How many sessions an entity has in it.
    entities: BTreeMap<u64, usize>,
}

/// What ranking asks of a session.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Placed {
    entity: u64,
    elements: usize,
    surprise: f64,
}

impl Level {
    fn is_enough(&self, but: u64) -> bool {
        let own = self.entities.get(&but);
        let entities = self.entities.len() - usize::from(own.is_some());
        entities >= ENTITIES && self.placed.len() - own.copied().unwrap_or(0) >= SESSIONS
    }
}

impl From<Vec<Kept>> for Pool {
    fn from(kept: Vec<Kept>) -> Pool {
        let mut levels: BTreeMap<u64, Level> = BTreeMap::new();
        for Kept { session, surprise, .. } in &kept {
            let (entity, elements) = (session.entity, session.elements.len());
            for level in session.peers.levels() {
                let level = levels.entry(level).or_default();
                level.placed.push(Placed { entity, elements, surprise: *surprise });
                *level.entities.entry(entity).or_default() += 1;
            }
        }
        Pool { kept, levels }
    }
}

impl Serialize for Pool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept.serialize(serializer)
    }
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rank {
    pub ln_p: f64,
    pub sessions: u32,
    /// By how much the surprise is beyond that of all of them, in units of what their last tenth is spread by: where sessions are large, so
    /// are the steps from one to the next.
    pub excess: f64,
}

impl Pool {
    /// Takes in the sessions of a commit, which are in order.
    pub fn keep(&mut self, sessions: Vec<Session>, commit: u64) {
        self.kept.extend(sessions.into_iter().map(|session| Kept { session, commit, surprise: 0.0 }));
        if self.kept.len() <= NOVELTY_SESSIONS_MAX {
            return;
        }
        let mut numbers: BTreeMap<u64, usize> = BTreeMap::new();
        for kept in &self.kept {
            *numbers.entry(kept.session.entity).or_default() += 1;
        }
        let share = share(&numbers);
        let entities: BTreeSet<u64> = numbers.keys().copied().take(NOVELTY_SESSIONS_MAX).collect();
        // The oldest come first: of each entity as many are skipped as it has above its share.
        self.kept.retain(|kept| {
            let number = numbers.get_mut(&kept.session.entity);
            let stays = entities.contains(&kept.session.entity)
                && number.as_ref().is_some_and(|number| **number <= share);
            if let Some(number) = number {
                *number = number.saturating_sub(1);
            }
            stays
        });
    }

    /// Scores every session.
    pub fn score(&mut self, surprise: impl Fn(&Session) -> f64) {
        for kept in &mut self.kept {
            kept.surprise = surprise(&kept.session);
        }
        *self = Pool::from(std::mem::take(&mut self.kept));
    }

    /// The rank of a session of that surprise among those of other entities: of the narrowest level that has enough of them, else
    /// of all.
    pub fn rank(&self, session: &Session, surprise: f64) -> Rank {
        let levels = || session.peers.levels().filter_map(|level| self.levels.get(&level));
        let among = levels().find(|level| level.is_enough(session.entity)).or_else(|| levels().next_back());
        let Some(among) = among else { return Rank { ln_p: 0.0, sessions: 0, excess: 0.0 } };
        rank(among, session, surprise)
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    #[cfg(test)]
    pub fn entities(&self) -> impl Iterator<Item = u64> + '_ {
        self.kept.iter().map(|kept| kept.session.entity)
    }
}

/// The most sessions an entity may keep so that all together are within the cap; at least one.
fn share(numbers: &BTreeMap<u64, usize>) -> usize {
    let total = |share: usize| numbers.values().map(|number| (*number).min(share)).sum::<usize>();
    let (mut fits, mut too_many) = (1, NOVELTY_SESSIONS_MAX + 1);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if total(middle) <= NOVELTY_SESSIONS_MAX { fits = middle } else { too_many = middle }
    }
    fits
}

/// The upper mid-rank among the sessions of others of a similar number of elements.
fn rank(among: &Level, session: &Session, surprise: f64) -> Rank {
    let others = || among.placed.iter().filter(|placed| placed.entity != session.entity);
    let elements = session.elements.len();
    let reach = reach(others().map(|placed| placed.elements), elements);
    // By size, once: sessions are many more than sizes.
    let scales: [Option<f64>; NOVELTY_SESSION_ELEMENTS_MAX + 1] =
        std::array::from_fn(|size| (factor(size, elements) <= reach).then(|| scaled_up(size, elements)));
    let alike = || {
        others().filter_map(|placed| {
            let scale = scales.get(placed.elements).copied().flatten()?;
            Some(placed.surprise * scale)
        })
    };
    let (mut above, mut tied, mut all, mut most) = (0_u32, 0_u32, 0_u32, f64::NEG_INFINITY);
    for of_other in alike() {
        all += 1;
        above += u32::from(of_other > surprise);
        tied += u32::from(of_other == surprise);
        most = most.max(of_other);
    }
    if all == 0 {
        return Rank { ln_p: 0.0, sessions: 0, excess: 0.0 };
    }
    let p = (f64::from(above) + 0.5 * f64::from(tied + 1)) / f64::from(all + 1);
    let excess = if surprise > most { (surprise - most) / spread(alike().collect()).max(1.0) } else { 0.0 };
    Rank { ln_p: libm::log(p).min(0.0), sessions: all, excess }
}

/// How far the last tenth lies beyond where it begins, on the mean.
fn spread(mut surprises: Vec<f64>) -> f64 {
    let first = surprises.len() - surprises.len().div_ceil(10);
    let (_, begins, last) = surprises.select_nth_unstable_by(first, f64::total_cmp);
    let begins = *begins;
    // In order, or the sum would be that of whatever order they came in.
    last.sort_unstable_by(f64::total_cmp);
    last.iter().map(|surprise| surprise - begins).sum::<f64>() / (last.len() + 1) as f64
}

/// How many times as much a session of fewer elements than are similar would have been worth, had it gone on in its way.
fn scaled_up(of_other: usize, elements: usize) -> f64 {
    if of_other < elements { (factor(of_other, elements) / SIMILAR).max(1.0) } else { 1.0 }
}

/// The factor within which numbers of elements are similar enough to `elements`: [`SIMILAR`], or what [`SESSIONS`] needs.
fn reach(sizes: impl Iterator<Item = usize>, elements: usize) -> f64 {
    let (mut numbers, mut all) = ([0_usize; NOVELTY_SESSION_ELEMENTS_MAX + 1], 0);
    for size in sizes {
        if let Some(number) = numbers.get_mut(size) {
            *number += 1;
            all += 1;
        }
    }
    let present = numbers.iter().enumerate().filter(|(_, number)| **number > 0);
    let mut off: Vec<(f64, usize)> =
        present.map(|(size, number)| (factor(size, elements), *number)).collect();
    off.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut within = 0;
    let needed = off.iter().find(|(_, number)| {
        within += number;
        within >= SESSIONS.min(all)
    });
    needed.map_or(SIMILAR, |(factor, _)| factor.max(SIMILAR))
}

/// By how much two numbers of elements differ, none counting as one.
fn factor(a: usize, b: usize) -> f64 {
    let (a, b) = (a as f64 + 1.0, b as f64 + 1.0);
    a.max(b) / a.min(b)
}
