//! What a session did that others do not do: tools and destinations by how many other entities had them, given the workflow.
//!
//! A [`Session`] is a set of distinct elements (a tool, a pair of tools in a row, a value sent to). Each is worth `-ln q`,
//! where `q` is the share of *other entities* of its peer group that had it, and the sum `S` is the session's surprise:
//!
//! ```text
//! q(workflow) = (m + 0.6 q(role)) / (n + 0.6),  q(role) = (m + 0.6 q(all)) / (n + 0.6),  q(all) = (m + 0.3) / (n + 0.6)
//! ```
//!
//! m of n other entities had the element at that level. Entities count and not events: whoever repeats a thing a
//! thousand times is still one. What is new in a workflow and known in the role is a smaller surprise than what nobody ever had.
//! `p` is the rank of `S` among the committed sessions of others with a similar number of elements (conformal: each of them was
//! scored as the new one is, without its own entity), ties counting half.
//!
//! Two more sums are of the tools alone and of the *places* of destinations, whatever tool and argument named them: a tool that is new brings
//! destinations that are new with it, a dozen where it is called a dozen times, and what is unusual about all of these is the tool.
//!
//! [`FirstSeen`] is the other question, of one value at a time: how surprising it is that this entity shows a value that it
//! never showed.
//!
//! Invariants
//! - A commit is a set: neither the order of its sessions nor that of their elements changes the state, bit for bit.
//! - One entity adds at most one to any m, and to n.
//! - Every map is capped by `schemas::limits::NOVELTY_*`. A forgotten element looks new when it comes again: that costs a false
//!   alert. A forgotten workflow is judged by its role, and what a session does beyond its cap of elements is not judged: these can
//!   cost a missed one, so the groups of the fewest entities go first and [`Session::beyond`] counts.
//!
//! It must not know: times (the caller says when a session is committed, and holds back what a person called an attack), and
//! what a hash stood for.

mod element;
mod first_seen;
mod group;
mod peers;
mod pool;
mod shrink;

use std::collections::BTreeMap;

use schemas::limits::NOVELTY_GROUPS_MAX;
use serde::{Deserialize, Serialize};

pub use element::{Element, Session, distinct};
pub use first_seen::FirstSeen;
use group::Group;
pub use peers::Peers;
use pool::Pool;
use shrink::shrink;

/// What the level above counts for, in entities, and its share where there is none above: the two pseudo-counts 0.3 and 0.6.
const WEIGHT: f64 = 0.6;
const UNKNOWN: f64 = 0.5;
/// A part's surprise is a multiple of `1 / GRAIN`, so that sums are exact: sessions of equal parts tie, in whatever order the hashes
/// of their elements put them.
const GRAIN: f64 = 4_294_967_296.0;

/// What was learnt of a tenant's sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    groups: BTreeMap<u64, Group>,
    pool: Pool,
    /// Commits so far: the only clock.
    commits: u64,
}

/// One element of a judged session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    pub element: Element,
    /// `m` of `n` other entities had it, in the narrowest group that others were seen in.
    pub m: u32,
    pub n: u32,
    /// `-ln q`, in nats.
    pub surprise: f64,
}

/// What a session is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Sum of the parts' surprises, in nats.
    pub surprise: f64,
    /// Logarithm of the rank among sessions alike; 0 where there are none to rank among.
    pub ln_p: f64,
    /// How many sessions it was ranked among: `ln_p` cannot be below `-ln(2 (sessions + 1))`.
    pub sessions: u32,
    /// By how much it surpasses the most surprising of them, in nats over what their last tenth is spread by; 0 where one of them is as
    /// surprising.
    pub excess: f64,
    /// The same sum over the tools alone.
    pub tools: f64,
    /// The same over its places, by what is known of them, and how many they are.
    pub places: f64,
    pub places_number: usize,
    /// The most surprising part first.
    pub parts: Vec<Part>,
}

impl Verdict {
    /// What a pool of scores over weeks is fed with: `-ln p` of the rank, and beyond the most surprising session one more for each nat,
    /// so that what nobody ever did has an order too.
    pub fn score(&self) -> f64 {
        self.excess - self.ln_p
    }
}

impl Novelty {
    pub fn new() -> Novelty {
        Novelty::default()
    }

    /// Learns sessions, all at once and as a set; then every kept session is scored anew by what is known now.
    pub fn commit(&mut self, mut sessions: Vec<Session>) {
        // Which session is learnt first decides who is kept at a cap, so it must not be who came first.
        sessions.sort();
        self.commits = self.commits.saturating_add(1);
        for session in &sessions {
            for level in session.peers.levels() {
                let group = self.groups.entry(level).or_default();
                let learnt = session.elements.iter().chain(&session.places).copied();
                group.learn(session.entity, learnt, self.commits);
                // The lowest go, the fewest entities first: workflows without end make room for one another.
                shrink(&mut self.groups, NOVELTY_GROUPS_MAX, |group| (group.entities(), group.seen()));
            }
        }
        // Ranks are of elements.
        sessions.iter_mut().for_each(|session| session.places.clear());
        self.pool.keep(sessions, self.commits);
        let groups = &self.groups;
        self.pool.score(|session| surprise(groups, session, |_| ()));
    }

    /// What a session is worth by what was committed; nothing is learnt.
    pub fn judge(&self, session: &Session) -> Verdict {
        let mut parts = Vec::with_capacity(session.elements.len());
        let surprise = surprise(&self.groups, session, |part| parts.push(part));
        parts.sort_by(|a, b| b.surprise.total_cmp(&a.surprise).then(a.element.cmp(&b.element)));
        let rank = self.pool.rank(session, surprise);
        let tools = parts.iter().filter(|part| !part.element.is_destination());
        let levels = self.levels(session);
        let places = session.places.iter().map(|place| part(&levels, session.entity, *place).surprise);
        Verdict {
            surprise,
            ln_p: rank.ln_p,
            sessions: rank.sessions,
            excess: rank.excess,
            tools: tools.map(|part| part.surprise).sum(),
            places: places.sum(),
            places_number: session.places.len(),
            parts,
        }
    }

    /// What one element of a session is worth, whether it is in it yet or not.
    pub fn part(&self, session: &Session, element: Element) -> Part {
        part(&self.levels(session), session.entity, element)
    }

    /// How many sessions others may be ranked among at most.
    pub fn sessions(&self) -> usize {
        self.pool.len()
    }

    /// Whether sessions of this one's entity were learnt and are remembered.
    pub fn knows(&self, session: &Session) -> bool {
        self.levels(session).iter().any(|group| group.knows(session.entity))
    }

    fn levels(&self, session: &Session) -> Vec<&Group> {
        session.peers.levels().filter_map(|level| self.groups.get(&level)).collect()
    }
}

/// The sum over a session's elements, in their order.
fn surprise(groups: &BTreeMap<u64, Group>, session: &Session, mut each: impl FnMut(Part)) -> f64 {
    let levels: Vec<&Group> = session.peers.levels().filter_map(|level| groups.get(&level)).collect();
    let mut sum = 0.0;
    for element in &session.elements {
        let part = part(&levels, session.entity, *element);
        sum += part.surprise;
        each(part);
    }
    sum
}

/// By the groups of a session, the narrowest first.
fn part(levels: &[&Group], entity: u64, element: Element) -> Part {
    let (mut q, mut narrowest) = (UNKNOWN, (0, 0));
    for group in levels.iter().rev() {
        let (m, n) = group.others(entity, element);
        q = (f64::from(m) + WEIGHT * q) / (f64::from(n) + WEIGHT);
        if n > 0 {
            narrowest = (m, n);
        }
    }
    let surprise = libm::round(-libm::log(q) * GRAIN) / GRAIN;
    Part { element, m: narrowest.0, n: narrowest.1, surprise }
}

#[cfg(test)]
mod tests;
