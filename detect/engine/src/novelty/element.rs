//! What a session is made of, as hashes.

use std::collections::BTreeSet;

use schemas::limits::NOVELTY_SESSION_ELEMENTS_MAX;
use serde::{Deserialize, Serialize};

use super::peers::Peers;

/// One thing that a session did, as the first 64 bits of BLAKE3 over its parts with their lengths. Two things share a hash by chance
/// about once in 10^12 at the size of a group; destinations come keyed by the tenant's secret, so that nobody outside can
/// look for a value that shares the hash of a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Element(u64);

/// The bit of a hash that says what it is of.
const DESTINATION: u64 = 1;

impl Element {
    /// A tool was called.
    pub fn tool(tool: &str) -> Element {
        Element(hash(&["tool", tool]) & !DESTINATION)
    }

    /// One tool was called right after another.
    pub fn pair(first: &str, second: &str) -> Element {
        Element(hash(&["pair", first, second]) & !DESTINATION)
    }

    /// Something was sent to a destination: an item of the column `destinations`.
    pub fn destination(item: &str) -> Element {
        Element(hash(&["destination", item]) | DESTINATION)
    }

    /// Where that is, by class and fingerprint alone: whom a workflow knows by one tool is nobody new by another.
    pub fn place(item: &str) -> Element {
        let mut parts = item.rsplitn(3, ':');
        let hash = match (parts.next(), parts.next(), parts.next()) {
            (Some(fingerprint), Some(class), Some(_)) => hash(&["place", class, fingerprint]),
            _ => hash(&["place", item]),
        };
        Element(hash | DESTINATION)
    }

    /// Whether it is where something was sent, and not a tool.
    pub fn is_destination(self) -> bool {
        self.0 & DESTINATION != 0
    }

    /// A value of an attribute.
    pub(super) fn value(value: &str) -> Element {
        Element(hash(&["value", value]))
    }

    pub(super) fn key(self) -> u64 {
        self.0
    }
}

/// First 64 bits of BLAKE3 over each part's length and bytes, so that no choice of parts is another's.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

/// A session: whose it is, among whom, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub(super) entity: u64,
    pub(super) peers: Peers,
    /// Ordered, and at most `NOVELTY_SESSION_ELEMENTS_MAX`.
    pub(super) elements: BTreeSet<Element>,
    /// Where its destinations are, at most as many; not among the elements, and kept no longer than until they are learnt.
    pub(super) places: BTreeSet<Element>,
    /// Elements that came when it was full.
    beyond: u64,
}

impl Session {
    /// A session of `entity` that has done nothing yet.
    pub fn new(entity: &str, peers: Peers) -> Session {
        let entity = hash(&["entity", entity]);
        Session { entity, peers, elements: BTreeSet::new(), places: BTreeSet::new(), beyond: 0 }
    }

    /// Adds a call: its tool, and its items of the column `destinations`.
    pub fn call(&mut self, tool: &str, destinations: &[String]) {
        self.add(Element::tool(tool));
        for item in distinct(destinations) {
            self.add(Element::destination(item));
            self.reach(Element::place(item));
        }
    }

    /// Adds a place, as long as there is room; whether it was added.
    pub fn reach(&mut self, place: Element) -> bool {
        self.places.len() < NOVELTY_SESSION_ELEMENTS_MAX && self.places.insert(place)
    }

    /// Adds an element; beyond the cap it is only counted.
    pub fn add(&mut self, element: Element) {
        self.insert(element);
    }

    /// The same, and says whether it was added: it was not there, and there was room.
    pub fn insert(&mut self, element: Element) -> bool {
        if self.elements.len() < NOVELTY_SESSION_ELEMENTS_MAX {
            return self.elements.insert(element);
        }
        if !self.elements.contains(&element) {
            self.beyond = self.beyond.saturating_add(1);
        }
        false
    }

    /// Whose it is, as a hash.
    pub fn entity(&self) -> u64 {
        self.entity
    }

    /// How many distinct elements it has.
    pub fn elements(&self) -> usize {
        self.elements.len()
    }

    pub fn is_full(&self) -> bool {
        self.elements.len() >= NOVELTY_SESSION_ELEMENTS_MAX
    }

    /// The session without some of its elements and places.
    pub fn without(mut self, elements: &BTreeSet<Element>) -> Session {
        self.elements.retain(|element| !elements.contains(element));
        self.places.retain(|place| !elements.contains(place));
        self
    }

    /// How many elements came when it was full, and were not judged.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

/// The items of a column `destinations` that are destinations of their own: where a URL is there with its host, the host stands for
/// both.
pub fn distinct<S: AsRef<str>>(items: &[S]) -> impl Iterator<Item = &str> {
    let hosts = items.iter().filter_map(|item| class(item.as_ref())).filter(|class| class.1 == "host");
    let arguments: BTreeSet<&str> = hosts.map(|class| class.0).collect();
    let is_host_there = move |item: &&str| {
        class(item).is_some_and(|(argument, class)| class == "url" && arguments.contains(argument))
    };
    items.iter().map(AsRef::as_ref).filter(move |item| !is_host_there(item))
}

/// `tool:argument` and the class of an item `tool:argument:class:fingerprint`; names may hold colons, the last two parts do not.
fn class(item: &str) -> Option<(&str, &str)> {
    item.rsplit_once(':')?.0.rsplit_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_host_is_one_destination() {
        let items = |items: &[&str]| {
            let mut session = Session::new("e", Peers::new("r", None));
            session.call("t", &items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
            session.elements.len()
        };
        assert_eq!(items(&["t:a:url:1", "t:a:host:2"]), 2);
        assert_eq!(items(&["t:a:url:1", "t:b:host:2"]), 3);
        assert_eq!(items(&["t:a:url:1", "t:a:recipient:2", ":", ""]), 5);
    }

    #[test]
    fn a_session_holds_so_many_elements_and_counts_the_rest() {
        let mut session = Session::new("e", Peers::new("r", None));
        for at in 0..NOVELTY_SESSION_ELEMENTS_MAX + 3 {
            let is_new = session.insert(Element::tool(&at.to_string()));
            assert_eq!(is_new, at < NOVELTY_SESSION_ELEMENTS_MAX);
            assert!(!session.insert(Element::tool("0")));
        }
        assert_eq!((session.elements.len(), session.beyond()), (NOVELTY_SESSION_ELEMENTS_MAX, 3));
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(Element::pair("a", "bc"), Element::pair("ab", "c"));
        assert_ne!(Element::tool("a"), Element::destination("a"));
    }

    #[test]
    fn a_place_is_the_same_by_whatever_tool_and_a_destination_is_not() {
        let (one, other) = ("send:to:recipient:1", "draft:cc:recipient:1");
        assert_eq!(Element::place(one), Element::place(other));
        assert_ne!(Element::destination(one), Element::destination(other));
        assert_ne!(Element::place("send:to:recipient:1"), Element::place("send:to:account:1"));
        assert_ne!(Element::place("odd"), Element::place("other"));
        assert!(Element::place(one).is_destination() && Element::destination(one).is_destination());
        assert!(!Element::tool("a").is_destination() && !Element::pair("a", "b").is_destination());
    }
}
