//! A record to an event by a plan: one walk over the record finds every path, then the rules fill the columns, and what no
//! column took over is an attribute.
//!
//! Attributes have the key's own name; what stands deeper, in an object that the mapping looks into, has its JSON pointer as
//! name. A top-level key that begins with a slash is written as a pointer too, so that no two places share a name.

use std::borrow::Cow;
use std::ops::ControlFlow;

use schemas::limits::{EVENT_KEYS_MAX, MAPPING_PARTS_MAX, PAYLOAD_VALUE_BYTES_MAX, VALUE_BYTES_MAX};
use schemas::vocabulary::UNKNOWN;

use super::plan::{
    Condition, Conversion, Filling, Path, Piece, Plan, Rule, Source, Test, Turn, address, column_unit_ns,
    duration, moment_ns, scaled,
};
use super::walk::{Found, Walk, find, inside};
use crate::columns::place;
use crate::normalise::time::{self, from_text};
use crate::normalise::{Cell, Event, STRING_MARK, Shape, convert_plain, duplicate, is_decimal, key, shape};
use crate::rejected::{Code, Refusal, quoted};
use crate::scan::{self, Kind, Member, Value};

/// Bytes that canonical encoding may add per attribute.
const KEY_OVERHEAD_BYTES: usize = schemas::limits::MAPPING_KEY_OVERHEAD_BYTES;

/// Which rule filled a column: its place, and the number of the rule.
pub(crate) type Origin = (usize, usize);

impl Plan {
    /// Reads the record `text` with these `members` into `event`; notes in `origins` which rules filled columns.
    pub(crate) fn read<'a>(
        &'a self,
        event: &mut Event<'a>,
        text: &'a str,
        members: &[Member],
        now_us: i64,
        origins: &mut Vec<Origin>,
    ) -> Result<(), Refusal> {
        let Walk { found, leaf, loose, twice, .. } = self.walk(text, members);
        if loose.len() > EVENT_KEYS_MAX {
            return Err(too_many_keys());
        }
        if let Some(twice) = twice {
            return Err(duplicate(&twice));
        }
        let record = Record { plan: self, found };
        let mut taken: Vec<(usize, Option<&'static str>)> = Vec::new();
        for filling in &self.columns {
            record.fill(event, filling, now_us, &mut taken, origins)?;
        }
        if !event.has(place::TIME) {
            return Err(Refusal::new(Code::Unmapped, record.no_time()));
        }
        event.attributes = loose;
        for (at, (node, value)) in self.nodes.iter().zip(&record.found).enumerate() {
            if let (Found::One(value), Some(true)) = (value, leaf.get(at)) {
                match taken.iter().find(|(node, _)| *node == at) {
                    Some((_, None)) => {}
                    Some((_, Some(mark))) => event.attributes.push((Cow::Borrowed(&node.name), *mark)),
                    None => event.attributes.push((Cow::Borrowed(&node.name), value.json)),
                }
            }
        }
        check_size(event)
    }

    fn walk<'a>(&'a self, text: &'a str, members: &[Member]) -> Walk<'a> {
        let mut walk = Walk {
            plan: self,
            found: vec![Found::Nothing; self.nodes.len()],
            leaf: vec![false; self.nodes.len()],
            loose: Vec::with_capacity(16),
            twice: None,
        };
        let Some(root) = self.nodes.first() else { return walk };
        for member in members {
            walk.member(root, key(text, member), member.value(text), false);
            if walk.goes_on().is_break() {
                break;
            }
        }
        walk
    }

    /// How many attributes without a name in the mapping the walk over a record keeps.
    #[cfg(test)]
    pub(crate) fn walked(&self, text: &str, members: &[Member]) -> usize {
        self.walk(text, members).loose.len()
    }

    /// The records of which `text` is several; none where it is one.
    pub(crate) fn parts(&self, text: &str, members: &[Member]) -> Result<Option<Vec<String>>, Refusal> {
        let Some(array) = self.each.as_ref().and_then(|path| find(text, members, path)) else {
            return Ok(None);
        };
        let start = (array.json.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let end = start.saturating_add(array.json.len());
        let (Kind::Array, Some(before), Some(after)) = (array.kind, text.get(..start), text.get(end..))
        else {
            return Ok(None);
        };
        let mut items = Vec::new();
        scan::items(array.json, |_, item| {
            items.push(item.json);
            if items.len() > MAPPING_PARTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if items.len() > MAPPING_PARTS_MAX {
            let what = format!(
                "the array of calls has more than {MAPPING_PARTS_MAX} items; send them in several records"
            );
            return Err(Refusal::new(Code::TooLarge, what));
        }
        if items.len().saturating_mul(text.len()) > VALUE_BYTES_MAX {
            let what = format!(
                "with what every call shares, the calls are over {VALUE_BYTES_MAX} bytes; send them in several records"
            );
            return Err(Refusal::new(Code::TooLarge, what));
        }
        let part = |item: &&str| format!("{before}[{item}]{after}");
        Ok((items.len() > 1).then(|| items.iter().map(part).collect()))
    }
}

/// Refuses what could not be stored as one value.
fn check_size(event: &Event<'_>) -> Result<(), Refusal> {
    if event.attributes.len() > EVENT_KEYS_MAX {
        return Err(too_many_keys());
    }
    let bytes = event
        .attributes
        .iter()
        .map(|(name, json)| name.len() + json.len() + KEY_OVERHEAD_BYTES)
        .sum::<usize>();
    if bytes > PAYLOAD_VALUE_BYTES_MAX {
        let detail = format!("with its keys framed the record is over {PAYLOAD_VALUE_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    Ok(())
}

fn too_many_keys() -> Refusal {
    let detail = format!("the record has over {EVENT_KEYS_MAX} keys that no column takes; nest some of them");
    Refusal::new(Code::TooManyKeys, detail)
}

/// Why a column has no value by any rule.
enum Stop {
    /// What a rule asks for stands twice inside what is kept whole: which of the two holds is anybody's guess.
    Twice,
    Refused(Refusal),
}

/// A value, or one from inside the JSON text of a string.
enum Fetched<'a> {
    Here(Value<'a>),
    Inside { json: String, kind: Kind, escaped: bool },
}

impl Fetched<'_> {
    fn value(&self) -> Value<'_> {
        match self {
            Fetched::Here(value) => *value,
            Fetched::Inside { json, kind, escaped } => Value { json, kind: *kind, escaped: *escaped },
        }
    }
}

/// A cell; whether it says all that the value said, and the mark that tells two readings apart.
struct Outcome<'a> {
    cell: Cell<'a>,
    is_exact: bool,
    mark: Option<&'static str>,
}

impl<'a> Outcome<'a> {
    fn of(cell: Cell<'a>) -> Outcome<'a> {
        Outcome { cell, is_exact: false, mark: None }
    }
}

/// What the walk found.
struct Record<'a> {
    plan: &'a Plan,
    found: Vec<Found<'a>>,
}

impl<'a> Record<'a> {
    /// Fills one column by the first rule that gives a value. One that cannot be told whether it does leaves the column open:
    /// a later one must not speak in its place.
    fn fill(
        &self,
        event: &mut Event<'a>,
        filling: &'a Filling,
        now_us: i64,
        taken: &mut Vec<(usize, Option<&'static str>)>,
        origins: &mut Vec<Origin>,
    ) -> Result<(), Refusal> {
        for (number, rule) in filling.rules.iter().enumerate() {
            let outcome = match self.result(event, filling.place, rule, now_us) {
                Ok(Some(outcome)) => outcome,
                Ok(None) => continue,
                Err(Stop::Refused(refusal)) => return Err(refusal),
                Err(Stop::Twice) => {
                    event.is_ambiguous = true;
                    if let Shape::Word(_) = shape(filling.place) {
                        event.put(filling.place, Cell::Text(UNKNOWN));
                    }
                    origins.push((filling.place, number));
                    break;
                }
            };
            event.put(filling.place, outcome.cell);
            origins.push((filling.place, number));
            if let (true, true, Some(node)) = (filling.takes, outcome.is_exact, rule.taken_node()) {
                taken.push((node, outcome.mark));
            }
            break;
        }
        Ok(())
    }

    /// What `rule` gives.
    fn result(
        &self,
        event: &mut Event<'a>,
        at: usize,
        rule: &'a Rule,
        now_us: i64,
    ) -> Result<Option<Outcome<'a>>, Stop> {
        for condition in &rule.when {
            if !self.holds(condition)? {
                return Ok(None);
            }
        }
        self.outcome(event, at, rule, now_us)
    }

    fn holds(&self, condition: &Condition) -> Result<bool, Stop> {
        let fetched = self.fetch(&condition.path)?;
        let value = fetched.as_ref().map(Fetched::value);
        Ok(match &condition.test {
            Test::Same(other) => {
                let other = self.fetch(other)?;
                let other = other.as_ref().and_then(|other| other.value().text());
                other.is_some() && value.and_then(Value::text) == other
            }
            test => test.passes(value),
        })
    }

    /// The text of what stands at `path`.
    fn text(&self, path: &Path) -> Result<Option<String>, Stop> {
        Ok(self.fetch(path)?.and_then(|fetched| fetched.value().text().map(Cow::into_owned)))
    }

    fn outcome(
        &self,
        event: &mut Event<'a>,
        at: usize,
        rule: &'a Rule,
        now_us: i64,
    ) -> Result<Option<Outcome<'a>>, Stop> {
        let text = match &rule.from {
            Source::Constant(text) => {
                return Ok(match (shape(at), text.parse::<i64>()) {
                    (Shape::Int, Ok(value)) => Some(Outcome::of(Cell::Int(value))),
                    (Shape::Word(words), _) => {
                        words.canonical(text).map(|word| Outcome::of(Cell::Text(word)))
                    }
                    _ => Some(Outcome::of(Cell::Text(text))),
                });
            }
            Source::Arrival => {
                event.is_arrival = true;
                return Ok(Some(Outcome::of(Cell::Int(now_us))));
            }
            Source::Between(start, end) => {
                // A start of 0 is one that nobody set.
                let moment = |text: Option<String>| moment_ns(&text?, rule.turn.kind).filter(|ns| *ns > 0);
                let (start, end) = (moment(self.text(start)?), moment(self.text(end)?));
                let ns = start.zip(end).filter(|(start, end)| start <= end);
                let target_ns = column_unit_ns(at).map(i128::from);
                let span = ns
                    .zip(target_ns)
                    .and_then(|((start, end), ns)| i64::try_from((end - start).div_euclid(ns)).ok());
                return Ok(span.map(|span| Outcome::of(Cell::Int(span))));
            }
            Source::Join(pieces, with) => {
                let (mut texts, mut is_there) = (Vec::new(), false);
                for piece in pieces {
                    let text = match piece {
                        Piece::Literal(text) => Some(text.clone()),
                        Piece::Path(path) => self.text(path)?,
                    };
                    is_there |= text.is_some() && matches!(piece, Piece::Path(_));
                    texts.extend(text);
                }
                if !is_there {
                    return Ok(None);
                }
                Cow::Owned(texts.join(with.as_str()))
            }
            Source::Path(path) => {
                let Some(fetched) = self.fetch(path)? else { return Ok(None) };
                if let (Fetched::Here(value), true) = (&fetched, rule.turn.is_plain())
                    && let Some(outcome) = plain(at, *value, rule.turn.kind)
                {
                    return Ok(Some(outcome));
                }
                let value = fetched.value();
                match (value.text(), rule.turn.kind) {
                    (Some(text), _) => Cow::Owned(text.into_owned()),
                    (None, Conversion::Json) => Cow::Owned(value.json.to_string()),
                    // An object in a column that is a text: it stays where it was.
                    (None, _) if matches!(shape(at), Shape::Json) => Cow::Owned(value.json.to_string()),
                    (None, _) => return Ok(None),
                }
            }
        };
        let cell = turned(event, at, &rule.turn, text);
        if cell.is_none() && at == place::TIME {
            let detail = format!("mapping {}: no time comes of {}", self.plan.name, rule.text);
            return Err(Stop::Refused(Refusal::new(Code::BadTime, detail)));
        }
        Ok(cell.map(Outcome::of))
    }

    /// What stands at `path`, if it is something.
    fn fetch(&self, path: &Path) -> Result<Option<Fetched<'a>>, Stop> {
        let outer = match self.found.get(path.node) {
            Some(Found::One(outer)) => *outer,
            Some(Found::Twice) => return Err(Stop::Twice),
            Some(Found::Nothing) | None => return Ok(None),
        };
        let Some(keys) = &path.inside else {
            return Ok(self.is_something(outer).then_some(Fetched::Here(outer)));
        };
        let Some(text) = outer.text().filter(|_| outer.kind == Kind::String) else { return Ok(None) };
        let json = text.trim();
        let Some(whole) = scan::value(json).filter(|_| scan::is_json(json)) else { return Ok(None) };
        match inside(whole, keys) {
            Found::One(value) if self.is_something(value) => Ok(Some(Fetched::Inside {
                json: value.json.to_string(),
                kind: value.kind,
                escaped: value.escaped,
            })),
            Found::One(_) | Found::Nothing => Ok(None),
            Found::Twice => Err(Stop::Twice),
        }
    }

    fn is_something(&self, value: Value<'_>) -> bool {
        let is_nothing =
            || value.text().is_some_and(|text| self.plan.nothing.iter().any(|nothing| *nothing == text));
        value.kind != Kind::Null && !(value.kind == Kind::String && is_nothing())
    }

    fn no_time(&self) -> String {
        let time = self.plan.columns.iter().find(|filling| filling.place == place::TIME);
        let rules: Vec<&str> =
            time.iter().flat_map(|filling| &filling.rules).map(|rule| rule.text.as_str()).collect();
        format!(
            "mapping {} reads this record, but there is no time: {}",
            self.plan.name,
            quoted(&rules.join(", "))
        )
    }
}

impl Turn {
    /// Whether nothing is done with the value but what the column does itself.
    fn is_plain(&self) -> bool {
        self.split.is_none()
            && self.words.is_empty()
            && matches!(self.kind, Conversion::Plain | Conversion::Json)
    }
}

/// The value as the column takes it; none where it does not fit.
fn plain(at: usize, value: Value<'_>, kind: Conversion) -> Option<Outcome<'_>> {
    let is_text = matches!(shape(at), Shape::Text | Shape::TextOrNumber);
    if kind == Conversion::Json {
        let cell = match value.kind {
            Kind::String if value.escaped => Cell::Escaped(value.inside()),
            Kind::String => Cell::Text(value.inside()),
            _ => Cell::Text(value.json),
        };
        return Some(Outcome { cell, is_exact: value.kind == Kind::String, mark: None });
    }
    match convert_plain(at, value) {
        Ok(conversion) if conversion.cell == Cell::Absent => None,
        Ok(conversion) => {
            let mark = conversion.original.filter(|_| matches!(shape(at), Shape::Json)).map(|_| STRING_MARK);
            Some(Outcome {
                cell: conversion.cell,
                is_exact: conversion.original.is_none() || mark.is_some(),
                mark,
            })
        }
        Err(_) if is_text && matches!(value.kind, Kind::Number | Kind::Bool) => {
            Some(Outcome::of(Cell::Text(value.json)))
        }
        Err(_) => None,
    }
}

/// The cell that `text` becomes.
fn turned<'a>(event: &mut Event<'a>, at: usize, turn: &Turn, text: Cow<'_, str>) -> Option<Cell<'a>> {
    let mut text = match &turn.split {
        Some((separator, 0, part)) => Cow::Owned(text.split(separator.as_str()).nth(*part)?.to_string()),
        Some((separator, pieces, part)) => {
            Cow::Owned(text.splitn(*pieces, separator.as_str()).nth(*part)?.to_string())
        }
        None => text,
    };
    if text.is_empty() && turn.split.is_some() {
        return None;
    }
    let meaning = |word: &str| turn.words.iter().find(|(known, _)| known == word).map(|(_, meaning)| meaning);
    if let Some(meaning) = meaning(&text).or_else(|| meaning("*")) {
        text = Cow::Borrowed(meaning);
    }
    let is_time = matches!(shape(at), Shape::Time);
    match turn.kind {
        Conversion::Unit(unit_ns) if is_time => {
            scaled(&text, unit_ns, 1_000).filter(|us| time::is_in_range(*us)).map(Cell::Int)
        }
        Conversion::Unit(unit_ns) => scaled(&text, unit_ns, column_unit_ns(at)?).map(Cell::Int),
        Conversion::Duration => duration(&text, column_unit_ns(at)?).map(Cell::Int),
        Conversion::Utc => {
            from_text(&text).or_else(|| from_text(&format!("{text}Z"))).map(|instant| Cell::Int(instant.us))
        }
        Conversion::Address => Some(event.make(address(&text).to_string())),
        Conversion::Plain | Conversion::Json => match shape(at) {
            Shape::Text | Shape::TextOrNumber | Shape::Json => Some(event.make(text.into_owned())),
            Shape::Word(words) => Some(Cell::Text(words.canonical(&text).unwrap_or(UNKNOWN))),
            Shape::Int if is_decimal(&text) => text.parse().ok().map(Cell::Int),
            Shape::Time => from_text(&text).map(|instant| Cell::Int(instant.us)),
            Shape::Int | Shape::List | Shape::Closed => None,
        },
    }
}
