//! Which key of a source goes to which column.
//!
//! `canonical/1` and `simple/1` are read by a table of names, without detours (`names`). Every other mapping is a file
//! (`schemas/mappings/*.toml`, and the user's own): `file` and `rule` read it once into a `plan`, `read` carries it out.
//! A record is of the one mapping from a file whose signs it bears: the user's are asked first, then those built in. Else it is
//! canonical, else simple, else of a generic mapping. Where two of one rank fit, the record is refused rather than guessed at.
//! Files stand before the names of columns because their signs are those of the recording program, while who makes the traffic
//! often chooses some keys of its records.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use schemas::limits::MAPPINGS_MAX;

use crate::error::Error;
use crate::normalise::{Looked, key};
use crate::scan::{Kind, Member, Scanner};

mod file;
pub(crate) mod names;
pub(crate) mod plan;
pub(crate) mod read;
mod rule;
pub(crate) mod walk;

pub(crate) use names::{NAMES, Use, sign};
use plan::Plan;

/// A mapping of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// `canonical/1`: keys are columns.
    Canonical,
    /// `simple/1`: keys are columns in camelCase.
    Simple,
    /// One from a file: its number in the set.
    File(u16),
}

impl Mapping {
    /// The mappings that are in no file, with their names.
    pub(crate) const NAMED: [(Mapping, &'static str); 2] =
        [(Mapping::Canonical, "canonical/1"), (Mapping::Simple, "simple/1")];

    /// A number, from 0.
    pub(crate) fn number(self) -> usize {
        match self {
            Mapping::Canonical => 0,
            Mapping::Simple => 1,
            Mapping::File(at) => 2 + usize::from(at),
        }
    }
}

/// What a mapping is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About<'a> {
    /// `name/version`.
    pub name: &'a str,
    /// What it reads.
    pub about: &'a str,
    /// Whether it is from the user's directory.
    pub is_own: bool,
    /// Whether it reads only what no other does.
    pub is_generic: bool,
}

/// Whose record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recognised {
    None,
    One(Mapping),
    /// More than one, by name.
    Several(String),
}

/// The mappings in force.
#[derive(Debug)]
pub struct Mappings {
    plans: Vec<Plan>,
    /// For each plan, for each of its sets of signs the bits of the keys that must be there.
    needs: Vec<Vec<u128>>,
    /// Bit of every top-level key that a sign names; the 129th and further have none.
    bits: HashMap<String, u128>,
    /// Where the hashes of these keys fall, to pass over other keys quickly.
    slots: [u64; names::SLOTS / 64],
    /// For each set of signs whose keys are all names of columns, bits of the numbers of these names.
    named: Vec<[u64; 4]>,
}

/// All mappings from files.
pub(crate) const ALL_RANKS: RangeInclusive<u8> = 0..=2;
/// Those that read not whatever no other does.
pub(crate) const OWN_SIGNS: RangeInclusive<u8> = 0..=1;

static BUILT_IN: LazyLock<Arc<Mappings>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "constant text, which a test reads")]
    Arc::new(Mappings::with(&[]).expect("the mappings built in can be read"))
});

impl Mappings {
    /// Those that come with the program.
    pub fn built_in() -> &'static Arc<Mappings> {
        &BUILT_IN
    }

    /// Those that come with the program and those of the user's `files`, by name and content. A mapping of the user's with
    /// the name of one built in stands for it.
    ///
    /// # Errors
    /// [`Error::BadMapping`] with file and line.
    pub fn with(files: &[(String, String)]) -> Result<Mappings, Error> {
        let mut plans: Vec<Plan> = Vec::new();
        let own = files.iter().map(|(name, text)| (name.as_str(), text.as_str(), 0));
        let built_in = schemas::mapping::BUILT_IN.iter().map(|(name, text)| (*name, *text, 1));
        for (name, text, rank) in own.chain(built_in) {
            let first = plans.len();
            for plan in file::read(name, text, rank)? {
                match plans.iter().position(|known| known.name == plan.name) {
                    Some(known) if rank == 0 || known >= first => {
                        let reason =
                            format!("mapping {} is there twice; give one another version", plan.name);
                        return Err(Error::BadMapping { file: name.to_string(), line: 1, reason });
                    }
                    Some(_) => {}
                    None => plans.push(plan),
                }
            }
            if plans.len() > MAPPINGS_MAX {
                let reason = format!("there are more than {MAPPINGS_MAX} mappings; take some away");
                return Err(Error::BadMapping { file: name.to_string(), line: 1, reason });
            }
        }
        Ok(Mappings::of(plans))
    }

    fn of(plans: Vec<Plan>) -> Mappings {
        let mut bits: HashMap<String, u128> = HashMap::new();
        let mut needs = Vec::new();
        for plan in &plans {
            let mut sets = Vec::new();
            for signs in &plan.signs {
                let mut need = 0;
                for sign in signs.iter().filter(|sign| !sign.test.passes_nothing()) {
                    let Some(key) = sign.path.first() else { continue };
                    let bit = 1u128.checked_shl(u32::try_from(bits.len()).unwrap_or(u32::MAX)).unwrap_or(0);
                    need |= *bits.entry(key.clone()).or_insert(bit);
                }
                sets.push(need);
            }
            needs.push(sets);
        }
        let mut slots = [0; names::SLOTS / 64];
        for key in bits.keys() {
            let slot = names::hash(key.as_bytes());
            if let Some(word) = slots.get_mut(slot / 64) {
                *word |= 1 << (slot % 64);
            }
        }
        let named = plans.iter().flat_map(|plan| &plan.signs).filter_map(|signs| named(signs)).collect();
        Mappings { plans, needs, bits, slots, named }
    }

    /// Whether a record with these `members` can be of a mapping from a file. Costs next to nothing where all keys are names of
    /// columns.
    pub(crate) fn may_read(&self, text: &str, members: &[Member], looked: &Looked) -> bool {
        let has_all = |named: &[u64; 4]| named.iter().zip(&looked.seen).all(|(need, seen)| need & !seen == 0);
        let is_sign = |key: &str| {
            let slot = names::hash(key.as_bytes());
            let is_near = self.slots.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1);
            is_near && self.bits.contains_key(key)
        };
        self.named.iter().any(has_all)
            || looked.has_others(members.len()) && members.iter().any(|member| is_sign(&key(text, member)))
    }

    /// The mapping called `name`, with or without version.
    ///
    /// # Errors
    /// [`Error::UnknownMapping`] naming those there are.
    pub fn find(&self, name: &str) -> Result<Mapping, Error> {
        let is_it =
            |known: &str| known == name || known.split_once('/').is_some_and(|(short, _)| short == name);
        if let Some((mapping, _)) = Mapping::NAMED.into_iter().find(|(_, known)| is_it(known)) {
            return Ok(mapping);
        }
        let found =
            self.plans.iter().position(|plan| is_it(&plan.name)).and_then(|at| u16::try_from(at).ok());
        found.map(Mapping::File).ok_or_else(|| {
            let known: Vec<&str> = self.list().map(|about| about.name).collect();
            Error::UnknownMapping { name: crate::rejected::quoted(name), known: known.join(", ") }
        })
    }

    /// `name/version` of a mapping of this set.
    pub fn name(&self, mapping: Mapping) -> &str {
        match mapping {
            Mapping::Canonical => Mapping::NAMED[0].1,
            Mapping::Simple => Mapping::NAMED[1].1,
            Mapping::File(_) => self.plan(mapping).map_or("", |plan| &plan.name),
        }
    }

    /// All mappings, in the order in which they are asked.
    pub fn list(&self) -> impl Iterator<Item = About<'_>> {
        let about =
            ["the recorder's own event: keys are columns", "the same in camelCase, with milliseconds"];
        let named = Mapping::NAMED.into_iter().zip(about);
        let named = named.map(|((_, name), about)| About { name, about, is_own: false, is_generic: false });
        let by_rank = (0..=2).flat_map(|rank| self.plans.iter().filter(move |plan| plan.rank == rank));
        named.chain(by_rank.map(|plan| About {
            name: &plan.name,
            about: &plan.about,
            is_own: plan.is_own,
            is_generic: plan.rank == 2,
        }))
    }

    /// Whether `json`, one whole record, is something that an agent did and that a mapping reads. What is not is nothing that
    /// this recorder keeps: traces and logs hold much else.
    pub fn is_activity(&self, json: &str) -> bool {
        let mut scanner = Scanner::default();
        let is_object = scanner.value(json.as_bytes()).is_ok_and(|scanned| scanned.kind == Kind::Object);
        is_object && self.recognise(json, scanner.members(), ALL_RANKS) != Recognised::None
    }

    /// The plan of a mapping from a file.
    pub(crate) fn plan(&self, mapping: Mapping) -> Option<&Plan> {
        match mapping {
            Mapping::File(at) => self.plans.get(usize::from(at)),
            Mapping::Canonical | Mapping::Simple => None,
        }
    }

    /// Which mapping from a file, of these `ranks`, the record `text` with these `members` is of.
    pub(crate) fn recognise(&self, text: &str, members: &[Member], ranks: RangeInclusive<u8>) -> Recognised {
        let there = members.iter().filter(|member| member.kind != Kind::Null);
        let there =
            there.filter_map(|member| self.bits.get(&*key(text, member))).fold(0, |all, bit| all | bit);
        for rank in ranks {
            let mut found: Vec<usize> = Vec::new();
            for (at, (plan, needs)) in self.plans.iter().zip(&self.needs).enumerate() {
                let holds = |(signs, need): (&Vec<plan::Sign>, &u128)| {
                    need & !there == 0
                        && signs.iter().all(|sign| sign.test.passes(walk::find(text, members, &sign.path)))
                };
                if plan.rank == rank && plan.signs.iter().zip(needs).any(holds) {
                    found.push(at);
                }
            }
            match found.as_slice() {
                [] => {}
                [one] => {
                    return u16::try_from(*one)
                        .map_or(Recognised::None, |at| Recognised::One(Mapping::File(at)));
                }
                several => {
                    let names =
                        several.iter().filter_map(|at| self.plans.get(*at)).map(|plan| plan.name.as_str());
                    return Recognised::Several(names.collect::<Vec<_>>().join(" and "));
                }
            }
        }
        Recognised::None
    }
}

/// Bits of the names of columns that a set of signs needs; none where it needs another key.
fn named(signs: &[plan::Sign]) -> Option<[u64; 4]> {
    let mut bits = [0; 4];
    for sign in signs.iter().filter(|sign| !sign.test.passes_nothing()) {
        let name = NAMES.find(sign.path.first()?)?;
        *bits.get_mut(usize::from(name / 64))? |= 1 << (name % 64);
    }
    Some(bits)
}

#[cfg(test)]
mod tests;
