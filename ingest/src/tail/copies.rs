//! Files that are copies of others, as far as they were held against them.

use std::collections::BTreeMap;

use super::directory::Seen;
use super::position::{Identity, Position, comparable};

/// Where a file that the log does not know may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At its start, where it is no copy.
    Anywhere,
    /// Only where another was.
    Inherited,
}

/// What a file that the log does not know is.
pub(super) enum Inherited {
    /// A new one.
    Nothing,
    /// A copy of one that is still there; or one that was made before all of what was read was there, of one that is not.
    IsCopy(Copy),
    /// So short that it may be one.
    IsPerhapsCopy,
    /// What is left of one that is gone or began anew.
    From(Identity, Position),
}

/// One copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    /// What it is a copy of.
    pub(super) of: Identity,
    /// Whether it holds nothing that was not read; the others are looked at again when something begins anew.
    pub(super) is_spent: bool,
    /// Bytes that are the same.
    pub(super) compared: u64,
    /// Its size then.
    pub(super) bytes: u64,
}

/// All copies of one tail.
#[derive(Debug, Default)]
pub(super) struct Copies(BTreeMap<Identity, Copy>);

impl Copies {
    pub(super) fn insert(&mut self, identity: Identity, copy: Copy) {
        self.0.insert(identity, copy);
    }

    pub(super) fn contains(&self, identity: Identity) -> bool {
        self.0.contains_key(&identity)
    }

    /// Those that are to be held against the others anew: something began anew.
    pub(super) fn keep_spent(&mut self) {
        self.0.retain(|_, copy| copy.is_spent);
    }

    /// Forgets what is gone, what grew, and what can be compared further than it was: it may go on otherwise.
    pub(super) fn keep_unchanged(&mut self, seen: &[Seen], positions: &BTreeMap<Identity, Position>) {
        let bytes: BTreeMap<Identity, u64> = seen.iter().map(|seen| (seen.identity, seen.bytes)).collect();
        self.0.retain(|identity, copy| {
            // What all is on record of needs no other look; what it was copied from may have begun anew long since.
            let offset =
                positions.get(&copy.of).filter(|_| !copy.is_spent).map_or(0, |position| position.offset);
            bytes.get(identity) == Some(&copy.bytes) && comparable(offset, copy.bytes) <= copy.compared
        });
    }
}
