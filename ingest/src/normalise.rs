//! One record of a source to the cells of one event.
//!
//! Invariants
//! - Lossless: the columns and `attributes` together regenerate every key and value of the source (null meaning the
//!   same as absent); where both speak of a key, `attributes` has the source's own spelling.
//! - Borrows from the record and allocates only for what is rare; touches no column builder, so that a refused record
//!   leaves no trace.
//! - Sees redacted text only: what it quotes in a refusal cannot be a secret that redaction knows.
//!
//! How a JSON value is kept
//! - text column: the string. `event_id`, `request_id` and `error_code` also take a number, which JSON-RPC uses.
//! - `arguments`, `result`: a string as the text it stands for, anything else as its JSON text. Where such a text would
//!   itself parse as JSON, `attributes` has the key with the value `"string"`, so that the two stay apart.
//! - keys no column takes: in `attributes`, original key to JSON text. Duplicate keys of the record are refused; those
//!   further inside are part of the JSON text and kept.

use std::borrow::Cow;

use schemas::Stream;

use crate::columns::{COLUMNS, place};
use crate::mapping::{Mapping, NAMES, Use, sign};
use crate::rejected::{Code, Refusal, quoted};
use crate::scan::{Kind, Member};
use crate::unescape::unescape;

mod cell;
mod derive;
pub(crate) mod time;

pub(crate) use cell::Cell;
use cell::Conversion;

/// Columns that get a value even where the source has none.
const DERIVED: [usize; 8] = [
    place::EVENT_ID,
    place::KIND,
    place::SESSION_ID,
    place::DECISION,
    place::STATUS,
    place::ACTION,
    place::RISK,
    place::DECISION_BASIS,
];

/// A record as columns will have it.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// The mapping that read it.
    pub(crate) mapping: Mapping,
    cells: [Cell<'a>; COLUMNS],
    /// Bit `place` for every cell that is not absent.
    set: u128,
    /// Original key to JSON text, ascending by key.
    pub(crate) attributes: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Event<'a> {
    /// The cell of the column at `place`.
    pub(crate) fn cell(&self, place: usize) -> Cell<'a> {
        self.cells.get(place).copied().unwrap_or(Cell::Absent)
    }

    /// The text of the column at `place`, if it has one.
    pub(crate) fn text(&self, place: usize) -> Option<Cow<'a, str>> {
        match self.cell(place) {
            Cell::Text(text) => Some(Cow::Borrowed(text)),
            Cell::Escaped(raw) => Some(unescape(raw)),
            _ => None,
        }
    }

    /// Whether the column at `place` has a value.
    fn has(&self, place: usize) -> bool {
        self.set >> place & 1 == 1
    }

    fn put(&mut self, place: usize, value: Cell<'a>) {
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = value;
            self.set |= u128::from(value != Cell::Absent) << place;
        }
    }

    /// The places that have a value, ascending.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.set;
        std::iter::from_fn(move || {
            let at = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (at < COLUMNS).then_some(at)
        })
    }
}

/// Reads records; keeps its memory between them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// For each member the number of its known key.
    names: Vec<Option<u8>>,
}

impl Reader {
    /// Reads the record `text`, an object with these `members`, under `mapping` or under the one that its keys tell.
    pub(crate) fn read<'a>(
        &mut self,
        text: &'a str,
        members: &[Member],
        mapping: Option<Mapping>,
    ) -> Result<Event<'a>, Refusal> {
        let signs = self.look_up(text, members)?;
        let mapping = detect(signs, mapping)
            .ok_or_else(|| Refusal::new(Code::Unmapped, unmapped(signs, mapping, text, members)))?;
        let mut event =
            Event { mapping, cells: [Cell::Absent; COLUMNS], set: 0, attributes: Vec::with_capacity(8) };
        let mut has_spares = false;
        for (member, name) in members.iter().zip(&self.names) {
            let name = name.and_then(|name| NAMES.get(name));
            let target = match mapping {
                Mapping::Canonical => name.and_then(|name| name.canonical).map(|at| (at, Use::Plain)),
                Mapping::Simple => name.and_then(|name| name.simple),
            };
            match target {
                Some((at, how)) if how != Use::Spare => take(&mut event, text, member, at, how)?,
                spare => {
                    has_spares |= spare.is_some();
                    event.attributes.push((key(text, member), member.value.of(text)));
                }
            }
        }
        if has_spares {
            self.take_spares(&mut event, text, members);
        }
        event.attributes.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        if let Some([(twice, _), _]) =
            event.attributes.array_windows().find(|[left, right]| left.0 == right.0)
        {
            return Err(duplicate(twice));
        }
        derive::fill(&mut event);
        Ok(event)
    }

    /// Finds the known keys; gives the bits of [`sign`] of those that are not null.
    fn look_up(&mut self, text: &str, members: &[Member]) -> Result<u8, Refusal> {
        self.names.clear();
        let mut seen = [0u64; 4];
        let mut signs = 0;
        for member in members {
            let known = if member.key_escaped {
                NAMES.find(&key(text, member))
            } else {
                NAMES.find(member.key.of(text))
            };
            if let Some(name) = known {
                let bit = 1 << (name % 64);
                if let Some(word) = seen.get_mut(usize::from(name / 64)) {
                    if *word & bit != 0 {
                        return Err(duplicate(&key(text, member)));
                    }
                    *word |= bit;
                }
                if member.kind != Kind::Null {
                    signs |= NAMES.get(name).map_or(0, |name| name.signs);
                }
            }
            self.names.push(known);
        }
        Ok(signs)
    }

    /// Lets spare keys fill columns that nothing else filled, where their values fit.
    fn take_spares<'a>(&self, event: &mut Event<'a>, text: &'a str, members: &[Member]) {
        for (member, name) in members.iter().zip(&self.names) {
            let simple = name.and_then(|name| NAMES.get(name)).and_then(|name| name.simple);
            if let Some((at, Use::Spare)) = simple
                && !event.has(at)
                && let Ok(conversion) = cell::convert(at, Use::Plain, text, member)
            {
                event.put(at, conversion.cell);
            }
        }
    }
}

/// Puts the value of `member` into the column at `at`, and its original beside it where the column alone would not
/// bring it back.
fn take<'a>(
    event: &mut Event<'a>,
    text: &'a str,
    member: &Member,
    at: usize,
    how: Use,
) -> Result<(), Refusal> {
    if member.kind == Kind::Null {
        if DERIVED.contains(&at) {
            event.attributes.push((key(text, member), "null"));
        }
        return Ok(());
    }
    let Conversion { cell, original } = cell::convert(at, how, text, member).map_err(|problem| {
        let key = quoted(&key(text, member));
        let column = Stream::Events.columns().get(at).map_or("", |column| column.name);
        let of = if key.trim_matches('"') == column { String::new() } else { format!(" (column {column})") };
        Refusal::new(
            problem.code,
            format!("key {key}{of}: expected {}, found {}", problem.expected, problem.found),
        )
    })?;
    event.put(at, cell);
    if let Some(original) = original {
        event.attributes.push((key(text, member), original));
    }
    Ok(())
}

/// The key of `member` as the source means it.
fn key<'a>(text: &'a str, member: &Member) -> Cow<'a, str> {
    let raw = member.key.of(text);
    if member.key_escaped { unescape(raw) } else { Cow::Borrowed(raw) }
}

fn duplicate(key: &str) -> Refusal {
    Refusal::new(
        Code::DuplicateKey,
        format!("key {} stands twice: which value holds is anybody's guess; send one", quoted(key)),
    )
}

fn detect(signs: u8, asked: Option<Mapping>) -> Option<Mapping> {
    let fits = |mapping: &Mapping| missing(*mapping, signs).is_empty();
    match asked {
        Some(mapping) => Some(mapping).filter(fits),
        None => Mapping::ALL.into_iter().find(fits),
    }
}

/// What a record with these signs lacks of `mapping`; empty for nothing.
fn missing(mapping: Mapping, signs: u8) -> &'static str {
    let has = |sign: u8| signs & sign != 0;
    match mapping {
        Mapping::Canonical => match (has(sign::TIME), has(sign::SUBJECT)) {
            (true, true) => "",
            (false, true) => "`time`",
            (true, false) => "one of `kind`, `method`, `capability`",
            (false, false) => "`time` and one of `kind`, `method`, `capability`",
        },
        Mapping::Simple => match (has(sign::TIMESTAMP), has(sign::SIMPLE_SUBJECT)) {
            (true, true) => "",
            (false, true) => "`timestamp`",
            (true, false) => "`server` or `capabilityName`",
            (false, false) => "`timestamp` and `server` or `capabilityName`",
        },
    }
}

fn unmapped(signs: u8, asked: Option<Mapping>, text: &str, members: &[Member]) -> String {
    let mappings = Mapping::ALL.into_iter().filter(|mapping| asked.is_none_or(|asked| asked == *mapping));
    let lacks: Vec<String> =
        mappings.map(|mapping| format!("for {mapping} it lacks {}", missing(mapping, signs))).collect();
    let keys: Vec<Cow<'_, str>> = members.iter().take(16).map(|member| key(text, member)).collect();
    format!("no mapping reads this record: {}; its keys: {}", lacks.join(", "), quoted(&keys.join(" ")))
}
