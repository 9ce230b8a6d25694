//! How surprising a value is that an entity shows for the first time.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemas::limits::{NOVELTY_OWNERS_MAX, NOVELTY_VALUES_MAX};
use serde::{Deserialize, Serialize};

use super::element::{Element, hash};
use super::group::{Group, Held};
use super::shrink::shrink;

/// Discount and strength of the Pitman-Yor process: an entity that has shown K values in n observations shows a new one with
/// probability `(theta + d K) / (n + theta)` (Pitman and Yor 1997).
const DISCOUNT: f64 = 0.25;
const STRENGTH: f64 = 1.0;

/// One attribute (networks, countries, clients) of the entities of a peer group.
///
/// The first time that an entity shows a value has
///
/// ```text
/// p = (theta + d K) / (n + theta)  *  P(P_peer(V) <= P_peer(v))
/// ```
///
/// The first factor is that the entity shows anything new: who roams has many values (K) and is expected to. The second is
/// how rare the value is among peers, as a tail over their values, each peer counting once a value.
///
/// An entity keeps at most `NOVELTY_VALUES_MAX` values: beyond, the one seen least goes, and is new again when it comes back, at
/// the price of a larger K. Entities beyond `NOVELTY_OWNERS_MAX` forget theirs, the fewest observations first, and are then
/// judged as newcomers: p is that of their peers alone. State is about 700 bytes an entity and 600 kB the peers at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstSeen {
    owners: BTreeMap<u64, Owner>,
    peers: Group,
    /// Observations so far: the only clock.
    observations: u64,
    /// Made when it is first asked for after the peers changed, so that whoever shows something new with every record has nobody walk
    /// over all that was ever shown.
    #[serde(skip)]
    held: Kept,
}

/// What follows from the peers, and so says nothing of its own.
#[derive(Debug, Clone, Default)]
struct Kept(OnceLock<Held>);

impl PartialEq for Kept {
    fn eq(&self, _other: &Kept) -> bool {
        true
    }
}

impl Eq for Kept {}

/// What an entity has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    values: BTreeMap<u64, Shown>,
    /// n and K; K counts values that were forgotten too.
    observations: u64,
    distinct: u64,
}

/// How often, and when last.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    times: u64,
    last: u64,
}

impl FirstSeen {
    pub fn new() -> FirstSeen {
        FirstSeen::default()
    }

    /// Whether this entity has shown the value, and it is remembered.
    pub fn knows(&self, entity: &str, value: &str) -> bool {
        self.has_shown(entity_key(entity), Element::value(value))
    }

    fn has_shown(&self, entity: u64, value: Element) -> bool {
        self.owners.get(&entity).is_some_and(|owner| owner.values.contains_key(&value.key()))
    }

    /// ln p of a value that this entity shows for the first time; none if it has shown it.
    pub fn ln_p(&self, entity: &str, value: &str) -> Option<f64> {
        let (entity, value) = (entity_key(entity), Element::value(value));
        if self.has_shown(entity, value) {
            return None;
        }
        let owner = self.owners.get(&entity);
        let (n, distinct) = owner.map_or((0, 0), |owner| (owner.observations, owner.distinct));
        let new = (STRENGTH + DISCOUNT * distinct as f64) / (n as f64 + STRENGTH);
        // K is at most n, but for values that were forgotten and came again.
        Some(libm::log(new.min(1.0)) + libm::log(self.tail(entity, value)))
    }

    /// How often an entity was learnt of, 0 for newcomers and those that were forgotten.
    pub fn observations(&self, entity: &str) -> u64 {
        self.owners.get(&entity_key(entity)).map_or(0, |owner| owner.observations)
    }

    /// Learns what an entity has shown.
    pub fn learn(&mut self, entity: &str, value: &str) {
        let (entity, value) = (entity_key(entity), Element::value(value));
        self.observations = self.observations.saturating_add(1);
        if self.peers.learn(entity, std::iter::once(value), self.observations) {
            self.held = Kept::default();
        }
        let owner = self.owners.entry(entity).or_default();
        owner.observations = owner.observations.saturating_add(1);
        let shown = owner.values.entry(value.key()).or_default();
        owner.distinct = owner.distinct.saturating_add(u64::from(shown.times == 0));
        *shown = Shown { times: shown.times.saturating_add(1), last: self.observations };
        if owner.values.len() > NOVELTY_VALUES_MAX {
            let others = owner.values.iter().filter(|(key, _)| **key != value.key());
            let least = others.min_by_key(|(_, shown)| (*shown).clone()).map(|(key, _)| *key);
            least.and_then(|least| owner.values.remove(&least));
        }
        shrink(&mut self.owners, NOVELTY_OWNERS_MAX, |owner| (owner.observations, owner.distinct));
    }

    /// `P(P_peer(V) <= P_peer(v))` by the other entities: what no peer has shown, and all that as few or fewer of them have.
    fn tail(&self, entity: u64, value: Element) -> f64 {
        let of_value = self.peers.others(entity, value).0;
        let held = self.held.0.get_or_init(|| self.peers.held());
        let (mut all, mut distinct, mut rarer) = (0_u64, 0_u64, 0.0);
        for (m, number) in self.peers.held_but(entity, held).filter(|(m, _)| *m > 0) {
            all += u64::from(m) * number;
            distinct += number;
            if m <= of_value {
                // Quarters, far below where a float has none: exact, in whatever order.
                rarer += (f64::from(m) - DISCOUNT) * number as f64;
            }
        }
        let unseen = STRENGTH + DISCOUNT * distinct as f64;
        ((unseen + rarer) / (all as f64 + STRENGTH)).min(1.0)
    }
}

fn entity_key(entity: &str) -> u64 {
    hash(&["entity", entity])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use schemas::limits::NOVELTY_ELEMENTS_MAX;

    use super::*;

    fn p(seen: &FirstSeen, entity: &str, value: &str) -> f64 {
        libm::exp(seen.ln_p(entity, value).unwrap())
    }

    #[test]
    fn a_first_value_is_worth_what_the_formula_says() {
        let mut seen = FirstSeen::new();
        assert_eq!(p(&seen, "a", "x"), 1.0);
        for peer in ["p", "q", "r"] {
            seen.learn(peer, "common");
        }
        seen.learn("p", "rare");
        (0..9).for_each(|_| seen.learn("a", "own"));
        // K = 1, n = 9. Peers: common 3 times, rare once, so 4 in all of 2 values.
        let new = 1.25 / 10.0;
        assert!((p(&seen, "a", "common") - new).abs() < 1e-12);
        assert!((p(&seen, "a", "rare") - new * (1.5 + 0.75) / 5.0).abs() < 1e-12);
        assert!((p(&seen, "a", "never") - new * 1.5 / 5.0).abs() < 1e-12);
        assert_eq!(seen.ln_p("a", "own"), None);
    }

    #[test]
    fn who_roams_is_expected_to_roam_and_who_repeats_counts_once() {
        let mut seen = FirstSeen::new();
        for day in 0..100 {
            seen.learn("roams", &day.to_string());
            seen.learn("stays", "home");
        }
        assert!(p(&seen, "roams", "new") > 10.0 * p(&seen, "stays", "new"));
        let mut again = seen.clone();
        (0..1_000).for_each(|_| again.learn("stays", "home"));
        assert_eq!(again.ln_p("roams", "home"), seen.ln_p("roams", "home"));
    }

    #[test]
    fn values_and_owners_are_bounded() {
        let mut seen = FirstSeen::new();
        (0..50).for_each(|_| seen.learn("a", "home"));
        for at in 0..20_000 {
            seen.learn("a", &at.to_string());
            seen.learn(&at.to_string(), "home");
        }
        assert!(seen.owners.values().all(|owner| owner.values.len() <= NOVELTY_VALUES_MAX));
        assert!(seen.owners.len() <= NOVELTY_OWNERS_MAX && seen.peers.elements() <= NOVELTY_ELEMENTS_MAX);
        assert_eq!(seen.ln_p("a", "home"), None);
        assert!(seen.ln_p("a", "1").is_some());
    }

    /// The tail as it is defined, by a walk over all that peers have shown.
    fn walked(seen: &FirstSeen, entity: &str, value: &str) -> f64 {
        let (entity, value) = (entity_key(entity), Element::value(value));
        let of_value = seen.peers.others(entity, value).0;
        let shown: Vec<u32> = seen.peers.owners_but(entity).filter(|m| *m > 0).collect();
        let all: u64 = shown.iter().map(|m| u64::from(*m)).sum();
        let rarer: f64 = shown.iter().filter(|m| **m <= of_value).map(|m| f64::from(*m) - DISCOUNT).sum();
        ((STRENGTH + DISCOUNT * shown.len() as f64 + rarer) / (all as f64 + STRENGTH)).min(1.0)
    }

    #[test]
    fn what_is_asked_again_and_again_is_counted_once() {
        let mut seen = FirstSeen::new();
        for at in 0..4_000 {
            seen.learn(&format!("e{}", at % 200), &format!("v{}", at % 1_700));
        }
        assert!(seen.held.0.get().is_none(), "nobody asked");
        let _ = seen.ln_p("e1", "new");
        assert!(seen.held.0.get().is_some());
        // Nothing of this changes who has what.
        assert!(seen.knows("e199", "v599") && !seen.knows("e199", "new"));
        seen.learn("e199", "v599");
        assert!(seen.held.0.get().is_some());
        seen.learn("e199", "new");
        assert!(seen.held.0.get().is_none());
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_a_walk_finds(steps in proptest::collection::vec((0..300_u16, 0..90_u8), 0..400)) {
            let mut seen = FirstSeen::new();
            for (entity, value) in &steps {
                let (entity, value) = (entity.to_string(), value.to_string());
                let tail = seen.tail(entity_key(&entity), Element::value(&value));
                prop_assert_eq!(tail.to_bits(), walked(&seen, &entity, &value).to_bits());
                seen.learn(&entity, &value);
            }
        }

        #[test]
        fn a_snapshot_goes_on_to_the_same_bits(steps in proptest::collection::vec((0..40_u8, 0..60_u8), 0..200), cut in 0..200_usize) {
            let fold = |seen: &mut FirstSeen, steps: &[(u8, u8)]| {
                steps.iter().map(|(entity, value)| {
                    let (entity, value) = (entity.to_string(), value.to_string());
                    let ln_p = seen.ln_p(&entity, &value).map(f64::to_bits);
                    seen.learn(&entity, &value);
                    ln_p
                }).collect::<Vec<_>>()
            };
            let cut = cut.min(steps.len());
            let mut whole = FirstSeen::new();
            let scores = fold(&mut whole, &steps);
            prop_assert!(scores.iter().flatten().all(|bits| f64::from_bits(*bits) <= 0.0 && f64::from_bits(*bits).is_finite()));
            let mut first = FirstSeen::new();
            fold(&mut first, &steps[..cut]);
            let bytes = serde_json::to_vec(&first).unwrap();
            let mut restored: FirstSeen = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(&fold(&mut restored, &steps[cut..]), &scores[cut..]);
            prop_assert_eq!(serde_json::to_vec(&restored).unwrap(), serde_json::to_vec(&whole).unwrap());
        }
    }
}
