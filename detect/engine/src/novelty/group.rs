//! Which of a peer group's entities had which element.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemas::limits::{NOVELTY_ELEMENTS_MAX, NOVELTY_ENTITIES_MAX};
use serde::{Deserialize, Serialize};

use super::element::Element;
use super::shrink::shrink;

/// Words of 64 bits in a set of slots.
const WORDS: usize = NOVELTY_ENTITIES_MAX.div_ceil(64);

/// A set of slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Slots([u64; WORDS]);

impl Slots {
    fn holds(&self, slot: u16) -> bool {
        self.0.get(usize::from(slot / 64)).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    fn insert(&mut self, slot: u16) {
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word |= 1 << (slot % 64);
        }
    }

    fn without(mut self, others: &Slots) -> Slots {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word &= !other;
        }
        self
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn each(&self) -> impl Iterator<Item = u16> + '_ {
        (0_u16..).zip(&self.0).flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as u16;
                left &= left.checked_sub(1)?;
                Some(at * 64 + bit)
            })
        })
    }

    /// The lowest slot in it.
    fn first(&self) -> Option<u16> {
        let (at, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(at as u16 * 64 + word.trailing_zeros() as u16)
    }

    /// The lowest slot that is not in it.
    fn first_free(&self) -> Option<u16> {
        Slots(self.0.map(|word| !word)).first()
    }
}

/// An entity that counts as a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    slot: u16,
    /// How many commits it had a session in, and the last. Sessions would be cheap to make up within one commit.
    commits: u32,
    seen: u64,
}

/// Who had an element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owners {
    slots: Slots,
    /// The last commit that it was seen in.
    seen: u64,
}

/// Elements by how many entities had them. Follows from a group, in one walk over it, and is good until who has what changes there.
#[derive(Debug, Clone)]
pub(super) struct Held {
    all: BTreeMap<u32, u64>,
    /// By slot, of those that its entity had: by how many had them, itself among these.
    own: Vec<BTreeMap<u32, u64>>,
}

/// The entities of a peer group and what they had. About 150 bytes an element, 60 an entity.
///
/// At the cap of entities those of the fewest commits go, so that a flood of new identities drives out one another and not
/// those that stand; a group of more is judged by the ones it keeps. At the cap of elements those of the fewest entities go, and
/// among those of one entity the ones of whoever has the most, its oldest first: who invents elements drives out
/// its own. An element that went looks new when it comes again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    members: BTreeMap<u64, Member>,
    elements: BTreeMap<u64, Owners>,
    /// The last commit that had a session of it.
    seen: u64,
}

impl Group {
    /// Learns that an entity had these elements in a commit; whether that changed who has what.
    pub fn learn(&mut self, entity: u64, elements: impl Iterator<Item = Element>, commit: u64) -> bool {
        self.seen = commit;
        // Only for somebody new, or for something new, does anything have to go.
        let mut is_changed = !self.members.contains_key(&entity);
        let slot = self.slot(entity, commit);
        for element in elements {
            let owners =
                self.elements.entry(element.key()).or_insert(Owners { slots: Slots::default(), seen: 0 });
            is_changed |= !owners.slots.holds(slot);
            owners.slots.insert(slot);
            owners.seen = commit;
        }
        self.forget_elements();
        is_changed
    }

    /// How many of the entities but this one had the element, and how many there are.
    pub fn others(&self, entity: u64, element: Element) -> (u32, u32) {
        let own = self.members.get(&entity).map(|member| member.slot);
        let owners = self.elements.get(&element.key()).map(|owners| owners.slots).unwrap_or_default();
        let is_own = own.is_some_and(|slot| owners.holds(slot));
        let members = self.members.len() as u32;
        (owners.count() - u32::from(is_own), members - u32::from(own.is_some()))
    }

    /// Of each element how many of the entities but this one had it, in the elements' order. [`Held`] knows the same by number.
    #[cfg(test)]
    pub fn owners_but(&self, entity: u64) -> impl Iterator<Item = u32> + '_ {
        let mut own = Slots::default();
        self.members.get(&entity).into_iter().for_each(|member| own.insert(member.slot));
        self.elements.values().map(move |owners| owners.slots.without(&own).count())
    }

    /// How many elements so many entities had, of all and of each entity's.
    pub fn held(&self) -> Held {
        let mut held = Held { all: BTreeMap::new(), own: vec![BTreeMap::new(); NOVELTY_ENTITIES_MAX] };
        for owners in self.elements.values() {
            let count = owners.slots.count();
            *held.all.entry(count).or_default() += 1;
            for slot in owners.slots.each() {
                if let Some(own) = held.own.get_mut(usize::from(slot)) {
                    *own.entry(count).or_default() += 1;
                }
            }
        }
        held
    }

    /// By how many entities but this one, the fewest first, how many elements are held.
    pub fn held_but<'a>(&self, entity: u64, held: &'a Held) -> impl Iterator<Item = (u32, u64)> + 'a {
        let slot = self.members.get(&entity).map(|member| usize::from(member.slot));
        let own = slot.and_then(|slot| held.own.get(slot));
        held.all.iter().flat_map(move |(count, number)| {
            let own = own.and_then(|own| own.get(count)).copied().unwrap_or(0);
            [(count.saturating_sub(1), own), (*count, number.saturating_sub(own))]
        })
    }

    pub fn knows(&self, entity: u64) -> bool {
        self.members.contains_key(&entity)
    }

    pub fn entities(&self) -> usize {
        self.members.len()
    }

    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The slot of an entity, which gets one if it has none.
    fn slot(&mut self, entity: u64, commit: u64) -> u16 {
        if let Some(member) = self.members.get_mut(&entity) {
            member.commits = member.commits.saturating_add(u32::from(member.seen != commit));
            member.seen = commit;
            return member.slot;
        }
        let mut taken = self.taken();
        if taken.first_free().is_none() {
            self.forget_members();
            taken = self.taken();
        }
        // There is room: at least one was just forgotten if there was none.
        let slot = taken.first_free().unwrap_or_default();
        self.members.insert(entity, Member { slot, commits: 1, seen: commit });
        slot
    }

    fn taken(&self) -> Slots {
        let mut taken = Slots::default();
        self.members.values().for_each(|member| taken.insert(member.slot));
        taken
    }

    fn forget_members(&mut self) {
        let before = self.taken();
        shrink(&mut self.members, NOVELTY_ENTITIES_MAX - 1, |member| (member.commits, member.seen));
        let gone = before.without(&self.taken());
        self.elements.retain(|_, owners| {
            owners.slots = owners.slots.without(&gone);
            owners.slots != Slots::default()
        });
    }

    fn forget_elements(&mut self) {
        if self.elements.len() <= NOVELTY_ELEMENTS_MAX {
            return;
        }
        // Sorted by owner, newest first, an element's place among its owner's says how many newer ones there are.
        let mut alone = Vec::new();
        let mut ranked = Vec::with_capacity(self.elements.len());
        for (key, owners) in &self.elements {
            match (owners.slots.count(), owners.slots.first()) {
                (1, Some(owner)) => alone.push((owner, Reverse(owners.seen), *key)),
                (count, _) => ranked.push((count, Reverse(0), owners.seen, *key)),
            }
        }
        alone.sort_unstable();
        for of_one in alone.chunk_by(|a, b| a.0 == b.0) {
            ranked
                .extend(of_one.iter().enumerate().map(|(at, (_, seen, key))| (1, Reverse(at), seen.0, *key)));
        }
        ranked.sort_unstable();
        let surplus = self.elements.len() - (NOVELTY_ELEMENTS_MAX - NOVELTY_ELEMENTS_MAX / 16);
        for (.., key) in ranked.into_iter().take(surplus) {
            self.elements.remove(&key);
        }
    }

    #[cfg(test)]
    pub fn elements(&self) -> usize {
        self.elements.len()
    }
}
