//! Committed sessions, to rank others among.

use std::collections::{BTreeMap, BTreeSet};

use schemas::limits::NOVELTY_SESSIONS_MAX;
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Pool {
    kept: Vec<Kept>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rank {
    pub ln_p: f64,
    pub sessions: u32,
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
    }

    /// The rank of a session of that surprise among those of other entities: of the narrowest level that has enough of them, else
    /// of all.
    pub fn rank(&self, session: &Session, surprise: f64) -> Rank {
        let others: Vec<&Kept> =
            self.kept.iter().filter(|kept| kept.session.entity != session.entity).collect();
        let mut among = others.clone();
        for level in session.peers.levels() {
            let is_of = |kept: &&Kept| kept.session.peers.levels().any(|of| of == level);
            let of_level: Vec<&Kept> = others.iter().copied().filter(is_of).collect();
            let entities: BTreeSet<u64> = of_level.iter().map(|kept| kept.session.entity).collect();
            if entities.len() >= ENTITIES && of_level.len() >= SESSIONS {
                among = of_level;
                break;
            }
        }
        rank(&among, session.elements.len(), surprise)
    }

    #[cfg(test)]
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

/// The upper mid-rank among the sessions of a similar number of elements.
fn rank(among: &[&Kept], elements: usize, surprise: f64) -> Rank {
    let mut off: Vec<f64> = among.iter().map(|kept| factor(kept.session.elements.len(), elements)).collect();
    off.sort_by(f64::total_cmp);
    let reach = off.get(SESSIONS.min(off.len()).saturating_sub(1)).copied().unwrap_or(SIMILAR).max(SIMILAR);
    let (mut above, mut tied, mut all) = (0_u32, 0_u32, 0_u32);
    for kept in among.iter().filter(|kept| factor(kept.session.elements.len(), elements) <= reach) {
        all += 1;
        above += u32::from(kept.surprise > surprise);
        tied += u32::from(kept.surprise == surprise);
    }
    let p = (f64::from(above) + 0.5 * f64::from(tied + 1)) / f64::from(all + 1);
    Rank { ln_p: if all == 0 { 0.0 } else { libm::log(p).min(0.0) }, sessions: all }
}

/// By how much two numbers of elements differ, none counting as one.
fn factor(a: usize, b: usize) -> f64 {
    let (a, b) = (a as f64 + 1.0, b as f64 + 1.0);
    a.max(b) / a.min(b)
}
