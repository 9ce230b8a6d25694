//! A map from text that is fast for many keys with a common beginning, and in no order that anybody could choose.
//!
//! Keys of entities share long beginnings (`server=..;capability=..`), and a search tree of them reads a dozen texts a look-up.
//! Here the tree is of fingerprints, integers that lie beside each other; the text is compared once. Whoever makes fingerprints
//! collide gets an ordered tree of his texts, so that no choice of names makes a look-up more than logarithmic.
//!
//! Everything that is seen of it is in the order of keys, and a snapshot of it is that of an ordered map.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What has one fingerprint: nearly always one key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot<V> {
    One(String, V),
    Many(BTreeMap<String, V>),
}

impl<V> Default for Slot<V> {
    fn default() -> Slot<V> {
        Slot::Many(BTreeMap::new())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyed<V> {
    slots: BTreeMap<u64, Slot<V>>,
    len: usize,
}

impl<V> Default for Keyed<V> {
    fn default() -> Keyed<V> {
        Keyed { slots: BTreeMap::new(), len: 0 }
    }
}

/// The same for equal texts; which others share it decides nothing but time.
fn fingerprint(key: &str) -> u64 {
    let (words, rest) = key.as_bytes().as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(hash, rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)))
}

impl<V> Slot<V> {
    fn get(&self, key: &str) -> Option<&V> {
        match self {
            Slot::One(own, value) => (own == key).then_some(value),
            Slot::Many(many) => many.get(key),
        }
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        match self {
            Slot::One(own, value) => (own == key).then_some(value),
            Slot::Many(many) => many.get_mut(key),
        }
    }

    fn insert(&mut self, key: &str, value: V) {
        *self = match std::mem::take(self) {
            Slot::Many(many) if many.is_empty() => Slot::One(key.to_owned(), value),
            Slot::One(own, other) => Slot::Many(BTreeMap::from([(own, other), (key.to_owned(), value)])),
            Slot::Many(mut many) => {
                many.insert(key.to_owned(), value);
                Slot::Many(many)
            }
        };
    }

    fn len(&self) -> usize {
        match self {
            Slot::One(..) => 1,
            Slot::Many(many) => many.len(),
        }
    }
}

impl<V> Keyed<V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.slots.get(&fingerprint(key))?.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.slots.get_mut(&fingerprint(key))?.get_mut(key)
    }

    /// The value of `key`, made if absent. The key is copied only then.
    pub fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        let slot = self.slots.entry(fingerprint(key)).or_default();
        if slot.get(key).is_none() {
            slot.insert(key, make());
            self.len += 1;
        }
        slot.get_mut(key).expect("it was there or is now")
    }

    pub fn remove(&mut self, key: &str) -> Option<V> {
        let Entry::Occupied(mut occupied) = self.slots.entry(fingerprint(key)) else { return None };
        let removed = match occupied.get_mut() {
            Slot::One(own, _) if own != key => return None,
            Slot::One(..) => None,
            Slot::Many(many) => Some(many.remove(key)?),
        };
        self.len -= 1;
        if removed.is_some() && occupied.get().len() > 0 {
            return removed;
        }
        match occupied.remove() {
            Slot::One(_, value) => Some(value),
            Slot::Many(_) => removed,
        }
    }

    pub fn retain(&mut self, keeps: impl Fn(&str, &V) -> bool) {
        self.slots.retain(|_, slot| match slot {
            Slot::One(key, value) => keeps(key, value),
            Slot::Many(many) => {
                many.retain(|key, value| keeps(key, value));
                !many.is_empty()
            }
        });
        self.len = self.slots.values().map(Slot::len).sum();
    }

    /// In the order of keys.
    pub fn sorted(&self) -> Vec<(&String, &V)> {
        let mut all = Vec::with_capacity(self.len);
        for slot in self.slots.values() {
            match slot {
                Slot::One(key, value) => all.push((key, value)),
                Slot::Many(many) => all.extend(many),
            }
        }
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// In the order of keys.
    pub fn sorted_mut(&mut self) -> Vec<(&String, &mut V)> {
        let mut all = Vec::with_capacity(self.len);
        for slot in self.slots.values_mut() {
            match slot {
                Slot::One(key, value) => all.push((&*key, value)),
                Slot::Many(many) => all.extend(many.iter_mut()),
            }
        }
        all.sort_unstable_by_key(|entry| entry.0);
        all
    }

    /// In the order of keys.
    pub fn into_sorted(self) -> BTreeMap<String, V> {
        let mut all = BTreeMap::new();
        for slot in self.slots.into_values() {
            match slot {
                Slot::One(key, value) => {
                    all.insert(key, value);
                }
                Slot::Many(many) => all.extend(many),
            }
        }
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
        let mut keyed = Keyed::default();
        for (key, value) in BTreeMap::<String, V>::deserialize(deserializer)? {
            keyed.entry(&key, || value);
        }
        Ok(keyed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: [&str; 2] = ["one", "other"];

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
            prop_assert_eq!(keyed.into_sorted(), ordered);
        }
    }

    #[test]
    fn keys_of_one_fingerprint_are_kept_apart() {
        let mut slot = Slot::default();
        for (number, key) in KEYS.iter().enumerate() {
            assert_eq!(slot.get(key), None);
            slot.insert(key, number);
        }
        assert_eq!(slot.len(), 2);
        assert_eq!(KEYS.map(|key| slot.get(key).copied()), [Some(0), Some(1)]);
    }
}
