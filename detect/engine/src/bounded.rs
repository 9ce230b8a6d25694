//! A map that forgets the least telling entries first.

use serde::{Deserialize, Serialize};

use crate::keyed::Keyed;

/// What an entry is worth keeping; the lowest goes first: without an open episode before with one, then by
/// evidence, then by the last touch. Never by age alone: a flood of new identities must not flush a victim.
pub(crate) type Rank = (bool, u64, i64);

/// Ordered map with a cap that is given on insertion. When full, a sixteenth goes at once, so that the
/// search for the lowest is paid for by the insertions that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounded<V> {
    entries: Keyed<V>,
    evicted: u64,
}

impl<V> Bounded<V> {
    pub fn new() -> Bounded<V> {
        Bounded { entries: Keyed::default(), evicted: 0 }
    }

    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key)
    }

    pub fn remove(&mut self, key: &str) -> Option<V> {
        self.entries.remove(key)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets what nothing is lost with.
    pub fn retain(&mut self, keeps: impl Fn(&str, &V) -> bool) {
        self.entries.retain(keeps);
    }

    /// In the order of keys.
    pub fn each(&mut self) -> impl Iterator<Item = (&String, &mut V)> {
        self.entries.sorted_mut().into_iter()
    }

    /// In no order, to change each by itself.
    pub fn each_unordered(&mut self) -> impl Iterator<Item = (&String, &mut V)> {
        self.entries.unordered_mut()
    }

    /// In the order of keys.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.entries.sorted().into_iter().map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// The entry of `key`, made by `make` if absent, after room was made by `rank`.
    pub fn entry(
        &mut self,
        key: &str,
        entries_max: usize,
        rank: impl Fn(&str, &V) -> Rank,
        make: impl FnOnce() -> V,
    ) -> &mut V {
        self.make_room(key, entries_max, rank);
        self.entries.entry(key, make)
    }

    /// The same after [`Bounded::make_room`].
    pub fn entry_there_is_room_for(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        self.entries.entry(key, make)
    }

    /// Makes room for `key` unless it is there already; gives back what had to go.
    pub fn make_room(&mut self, key: &str, entries_max: usize, rank: impl Fn(&str, &V) -> Rank) -> Vec<V> {
        let entries_max = entries_max.max(1);
        if self.entries.len() < entries_max || self.entries.contains_key(key) {
            return Vec::new();
        }
        let surplus = self.entries.len().saturating_sub(entries_max).saturating_add(1);
        let keys = lowest(self.entries.unordered(), surplus.max(entries_max / 16), rank);
        self.evicted = self.evicted.saturating_add(keys.len() as u64);
        keys.iter().filter_map(|key| self.entries.remove(key)).collect()
    }
}

/// Keys of the `count` lowest entries, lowest first. The key breaks ties, so the choice is total.
pub(crate) fn lowest<'a, V: 'a>(
    entries: impl IntoIterator<Item = (&'a String, &'a V)>,
    count: usize,
    rank: impl Fn(&str, &V) -> Rank,
) -> Vec<String> {
    let mut ranked: Vec<(Rank, &String)> =
        entries.into_iter().map(|(key, value)| (rank(key, value), key)).collect();
    let count = count.min(ranked.len());
    if count < ranked.len() {
        ranked.select_nth_unstable(count);
    }
    ranked.truncate(count);
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, key)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_outlives_a_flood_of_newcomers() {
        let mut map: Bounded<(u64, i64)> = Bounded::new();
        let rank = |_: &str, value: &(u64, i64)| (false, value.0, value.1);
        map.entry("victim", 64, rank, || (5, 0));
        for flood in 0..10_000 {
            map.entry(&format!("flood-{flood}"), 64, rank, || (1, flood));
        }
        assert!(map.get("victim").is_some());
        assert!(map.entries.len() <= 64);
        assert_eq!(map.evicted, 10_001 - map.entries.len() as u64);
    }

    #[test]
    fn an_open_episode_outranks_evidence() {
        let mut map: Bounded<u64> = Bounded::new();
        let rank = |key: &str, value: &u64| (key == "open", *value, 0);
        for (key, value) in [("open", 1), ("a", 9), ("b", 8)] {
            map.entry(key, 3, rank, || value);
        }
        map.entry("c", 3, rank, || 1);
        assert!(map.get("open").is_some() && map.get("b").is_none());
    }
}
