//! A map from text in no order that anybody could choose, with everything that is seen of it in the order of keys.
//!
//! Rules look a key up with every record, and keys of entities share long beginnings (`server=..;capability=..`): a search tree reads a
//! dozen texts a look-up, a table one. It is keyed anew in each process, so that nobody can choose names that collide; a snapshot
//! of it is that of an ordered map.

use std::collections::BTreeMap;

use ahash::RandomState;
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyed<V> {
    entries: IndexMap<String, V, RandomState>,
}

impl<V> Default for Keyed<V> {
    fn default() -> Keyed<V> {
        Keyed { entries: IndexMap::default() }
    }
}

impl<V> Keyed<V> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// The value of `key`, made if absent. The key is copied only then.
    pub fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.entries.get_index_of(key) {
            Some(at) => at,
            None => self.entries.insert_full(key.to_owned(), make()).0,
        };
        &mut self.entries[at]
    }

    pub fn insert(&mut self, key: &str, value: V) {
        self.entries.insert(key.to_owned(), value);
    }

    pub fn remove(&mut self, key: &str) -> Option<V> {
        self.entries.swap_remove(key)
    }

    pub fn remove_entry(&mut self, key: &str) -> Option<(String, V)> {
        self.entries.swap_remove_entry(key)
    }

    pub fn retain(&mut self, keeps: impl Fn(&str, &V) -> bool) {
        self.entries.retain(|key, value| keeps(key, value));
    }

    /// In no order: for what comes out the same whatever it is.
    pub fn unordered(&self) -> impl Iterator<Item = (&String, &V)> + Clone {
        self.entries.iter()
    }

    /// The same, to change each by itself.
    pub fn unordered_mut(&mut self) -> impl Iterator<Item = (&String, &mut V)> {
        self.entries.iter_mut()
    }

    /// In the order of keys.
    pub fn sorted(&self) -> Vec<(&String, &V)> {
        let mut all: Vec<(&String, &V)> = self.entries.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// In the order of keys.
    pub fn sorted_mut(&mut self) -> Vec<(&String, &mut V)> {
        let mut all: Vec<(&String, &mut V)> = self.entries.iter_mut().collect();
        all.sort_unstable_by_key(|entry| entry.0);
        all
    }

    /// In the order of keys.
    pub fn into_sorted(self) -> Vec<(String, V)> {
        let mut all: Vec<(String, V)> = self.entries.into_iter().collect();
        all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        all
    }
}

impl<V: Serialize> Serialize for Keyed<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.sorted())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Keyed<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keyed<V>, D::Error> {
        let entries = BTreeMap::<String, V>::deserialize(deserializer)?;
        Ok(Keyed { entries: entries.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn does_what_an_ordered_map_does(steps in prop::collection::vec((0..4_u8, "[ab]{0,9}", any::<u32>()), 0..200)) {
            let (mut keyed, mut ordered) = (Keyed::default(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(keyed.remove(&key), ordered.remove(&key)),
                    1 => {
                        keyed.retain(|_, kept| kept % 5 != value % 5);
                        ordered.retain(|_, kept| *kept % 5 != value % 5);
                    }
                    _ => {
                        let one = *keyed.entry(&key, || value);
                        prop_assert_eq!(one, *ordered.entry(key.clone()).or_insert(value));
                    }
                }
                prop_assert_eq!(keyed.len(), ordered.len());
                prop_assert_eq!(keyed.get(&key), ordered.get(&key));
            }
            prop_assert_eq!(keyed.sorted(), ordered.iter().collect::<Vec<_>>());
            prop_assert_eq!(keyed.sorted_mut().len(), ordered.len());
            prop_assert_eq!(serde_json::to_string(&keyed).unwrap(), serde_json::to_string(&ordered).unwrap());
            prop_assert_eq!(keyed.into_sorted(), ordered.into_iter().collect::<Vec<_>>());
        }
    }
}
