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
use crate::mapping::read::Origin;
use crate::mapping::{ALL_RANKS, Mapping, Mappings, NAMES, OWN_SIGNS, Recognised, Use, sign};
use crate::rejected::{Code, Refusal, quoted};
use crate::scan::{Kind, Member, Value};
use crate::unescape::unescape;

mod cell;
mod derive;
pub(crate) mod time;

use cell::Conversion;
pub(crate) use cell::{Cell, STRING_MARK, Shape, is_decimal, shape};

/// Columns that get a value even where the source has none.
pub(crate) const DERIVED: [usize; 9] = [
    place::EVENT_ID,
    place::KIND,
    place::SESSION_ID,
    place::DECISION,
    place::STATUS,
    place::ACTION,
    place::RISK,
    place::DECISION_BASIS,
    place::DESTINATIONS,
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
    /// Texts that were put together here.
    made: Vec<String>,
    /// Whether the time is that of the recorder's clock.
    pub(crate) is_arrival: bool,
    /// Whether a column is left open because a key that it would be read from stands twice.
    pub(crate) is_ambiguous: bool,
    /// Whether the source says both that it was denied and that it went well.
    pub(crate) is_contradicted: bool,
}

impl<'a> Event<'a> {
    /// Of a record that `mapping` reads: nothing yet.
    pub(crate) fn new(mapping: Mapping) -> Event<'a> {
        Event {
            mapping,
            cells: [Cell::Absent; COLUMNS],
            set: 0,
            attributes: Vec::new(),
            made: Vec::new(),
            is_arrival: false,
            is_ambiguous: false,
            is_contradicted: false,
        }
    }

    /// Keeps `text`, which is no part of the record.
    pub(crate) fn make(&mut self, text: String) -> Cell<'a> {
        self.made.push(text);
        u32::try_from(self.made.len() - 1).map_or(Cell::Absent, Cell::Made)
    }

    /// A text that [`Event::make`] kept.
    pub(crate) fn made(&self, at: u32) -> &str {
        self.made.get(at as usize).map_or("", String::as_str)
    }

    /// The cell of the column at `place`.
    pub(crate) fn cell(&self, place: usize) -> Cell<'a> {
        self.cells.get(place).copied().unwrap_or(Cell::Absent)
    }

    /// The text of the column at `place`, if it has one.
    pub(crate) fn text(&self, place: usize) -> Option<Cow<'_, str>> {
        match self.cell(place) {
            Cell::Text(text) => Some(Cow::Borrowed(text)),
            Cell::Made(at) => Some(Cow::Borrowed(self.made(at))),
            Cell::Escaped(raw) => Some(unescape(raw)),
            _ => None,
        }
    }

    /// Whether the column at `place` has a value.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.set >> place & 1 == 1
    }

    pub(crate) fn put(&mut self, place: usize, value: Cell<'a>) {
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

/// What the keys of a record tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looked {
    /// Bits of [`sign`].
    signs: u8,
    /// Bits of the numbers of the known keys.
    pub(crate) seen: [u64; 4],
}

impl Looked {
    /// Whether a record of so many `keys` has one that is not known.
    pub(crate) fn has_others(&self, keys: usize) -> bool {
        self.seen.iter().map(|word| word.count_ones() as usize).sum::<usize>() < keys
    }
}

/// Reads records; keeps its memory between them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// For each member the number of its known key.
    names: Vec<Option<u8>>,
    /// Which rules filled the columns of the last record that a file's mapping read.
    pub(crate) origins: Vec<Origin>,
}

impl Reader {
    /// Whose record `text` is, an object with these `members`: of the mapping `asked` for, or of the one that its keys tell.
    pub(crate) fn recognise(
        &mut self,
        text: &str,
        members: &[Member],
        asked: Option<Mapping>,
        mappings: &Mappings,
    ) -> Result<Mapping, Refusal> {
        let looked = self.look_up(text, members)?;
        if let Some(mapping @ Mapping::File(_)) = asked {
            return Ok(mapping);
        }
        let named = detect(looked.signs, asked);
        let recognised = match (named, asked) {
            (None, None) => mappings.recognise(text, members, ALL_RANKS),
            (Some(_), None) if mappings.may_read(text, members, &looked) => {
                mappings.recognise(text, members, OWN_SIGNS)
            }
            _ => Recognised::None,
        };
        match (recognised, named) {
            (Recognised::One(mapping), _) | (Recognised::None, Some(mapping)) => Ok(mapping),
            (Recognised::Several(names), _) => {
                let detail =
                    format!("both {names} read this record; name the one that is meant with ?format=");
                Err(Refusal::new(Code::Unmapped, detail))
            }
            (Recognised::None, None) => {
                Err(Refusal::new(Code::Unmapped, unmapped(looked.signs, asked, text, members)))
            }
        }
    }

    /// Reads the record `text`, which was last recognised as one of `mapping`; `now_us` for one without a time.
    pub(crate) fn read<'a>(
        &mut self,
        text: &'a str,
        members: &[Member],
        mapping: Mapping,
        mappings: &'a Mappings,
        now_us: i64,
    ) -> Result<Event<'a>, Refusal> {
        self.origins.clear();
        let mut event = Event::new(mapping);
        match mappings.plan(mapping) {
            Some(plan) => plan.read(&mut event, text, members, now_us, &mut self.origins)?,
            None => self.read_named(&mut event, text, members)?,
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

    /// Reads a record whose keys are names of columns.
    #[inline]
    fn read_named<'a>(
        &self,
        event: &mut Event<'a>,
        text: &'a str,
        members: &[Member],
    ) -> Result<(), Refusal> {
        event.attributes.reserve(8);
        let mut has_spares = false;
        for (member, name) in members.iter().zip(&self.names) {
            let name = name.and_then(|name| NAMES.get(name));
            let target = match event.mapping {
                Mapping::Canonical => name.and_then(|name| name.canonical).map(|at| (at, Use::Plain)),
                Mapping::Simple => name.and_then(|name| name.simple),
                Mapping::File(_) => None,
            };
            match target {
                Some((at, how)) if how != Use::Spare => take(event, text, member, at, how)?,
                spare => {
                    has_spares |= spare.is_some();
                    event.attributes.push((key(text, member), member.value.of(text)));
                }
            }
        }
        if has_spares {
            self.take_spares(event, text, members);
        }
        Ok(())
    }

    /// Finds the known keys; of those that are null there are no signs.
    fn look_up(&mut self, text: &str, members: &[Member]) -> Result<Looked, Refusal> {
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
                    let sign = NAMES.get(name).map_or(0, |name| name.signs);
                    if sign & sign::METHOD == 0 || !is_verb(member.value(text)) {
                        signs |= sign;
                    }
                }
            }
            self.names.push(known);
        }
        Ok(Looked { signs, seen })
    }

    /// Lets spare keys fill columns that nothing else filled, where their values fit.
    fn take_spares<'a>(&self, event: &mut Event<'a>, text: &'a str, members: &[Member]) {
        for (member, name) in members.iter().zip(&self.names) {
            let simple = name.and_then(|name| NAMES.get(name)).and_then(|name| name.simple);
            if let Some((at, Use::Spare)) = simple
                && !event.has(at)
                && let Ok(conversion) = cell::convert(at, Use::Plain, member.value(text))
            {
                event.put(at, conversion.cell);
            }
        }
    }
}

/// Whether a method is one of HTTP: then the record is an access log's, not an event.
fn is_verb(value: Value<'_>) -> bool {
    let inside = value.inside();
    value.kind == Kind::String && !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_uppercase())
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
    let Conversion { cell, original } = cell::convert(at, how, member.value(text)).map_err(|problem| {
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

/// Converts `value`, which is not null, as the column at `at` takes it.
pub(crate) fn convert_plain(at: usize, value: Value<'_>) -> Result<Conversion<'_>, cell::Problem> {
    cell::convert(at, Use::Plain, value)
}

/// The key of `member` as the source means it.
pub(crate) fn key<'a>(text: &'a str, member: &Member) -> Cow<'a, str> {
    let raw = member.key.of(text);
    if member.key_escaped { unescape(raw) } else { Cow::Borrowed(raw) }
}

pub(crate) fn duplicate(key: &str) -> Refusal {
    Refusal::new(
        Code::DuplicateKey,
        format!("key {} stands twice: which value holds is anybody's guess; send one", quoted(key)),
    )
}

fn detect(signs: u8, asked: Option<Mapping>) -> Option<Mapping> {
    let fits = |mapping: &Mapping| missing(*mapping, signs).is_empty();
    match asked {
        Some(mapping) => Some(mapping).filter(fits),
        None if signs & sign::MESSAGE != 0 => None,
        None => [Mapping::Canonical, Mapping::Simple].into_iter().find(fits),
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
        Mapping::File(_) => "",
    }
}

fn unmapped(signs: u8, asked: Option<Mapping>, text: &str, members: &[Member]) -> String {
    let mappings =
        Mapping::NAMED.into_iter().filter(|(mapping, _)| asked.is_none_or(|asked| asked == *mapping));
    let lacks = |(mapping, name)| match missing(mapping, signs) {
        "" => format!("for {name} it has `jsonrpc`, as messages have and events have not"),
        lacks => format!("for {name} it lacks {lacks}"),
    };
    let lacks: Vec<String> = mappings.map(lacks).collect();
    let keys: Vec<Cow<'_, str>> = members.iter().take(16).map(|member| key(text, member)).collect();
    let others = if asked.is_none() { ", and it bears the signs of no other" } else { "" };
    format!(
        "no mapping reads this record: {}{others}; its keys: {}",
        lacks.join(", "),
        quoted(&keys.join(" "))
    )
}
