//! A mapping as it is carried out: every path of its file once, as a tree, and for each column the rules in order.
//!
//! A value is *taken over* by a column, and is then not in `attributes`, only where that column has this one rule, the rule
//! changes nothing, and no column is derived in its place: so that what the column holds says what the record held. Every
//! other value that a column was made from stays in `attributes` too.

use schemas::Stream;

use crate::normalise::time::from_text;
use crate::scan::{Kind, Value};

/// A mapping file's mapping.
#[derive(Debug)]
pub(crate) struct Plan {
    /// `name/version`.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) about: String,
    /// Whether it is the user's.
    pub(crate) is_own: bool,
    /// Which is asked first: 0 the user's, 1 built in, 2 those that read whatever no other does.
    pub(crate) rank: u8,
    /// Any of these, all of whose signs hold, tells its records.
    pub(crate) signs: Vec<Vec<Sign>>,
    /// Where an array stands of which every item is an event of its own.
    pub(crate) each: Option<Vec<String>>,
    /// Texts that stand for nothing.
    pub(crate) nothing: Vec<String>,
    /// Columns with their rules.
    pub(crate) columns: Vec<Filling>,
    /// The paths; the first is the record itself.
    pub(crate) nodes: Vec<Node>,
}

/// A place in records that the mapping speaks of.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Its name in `attributes`.
    pub(crate) name: String,
    /// Its JSON pointer, with a slash at the end.
    pub(crate) prefix: String,
    /// Whether a rule uses it as a whole: what is inside is then not taken apart.
    pub(crate) is_whole: bool,
    /// Whether what is inside is told by position.
    pub(crate) is_array: bool,
    /// What is inside, ascending by key.
    pub(crate) inside: Vec<(String, usize)>,
}

/// A column, and where its value comes from: the first rule that gives one.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) place: usize,
    pub(crate) rules: Vec<Rule>,
    /// Whether the value is taken over.
    pub(crate) takes: bool,
}

/// One way to a value.
#[derive(Debug)]
pub(crate) struct Rule {
    /// As the file says it, for people.
    pub(crate) text: String,
    pub(crate) from: Source,
    pub(crate) turn: Turn,
    pub(crate) when: Vec<Condition>,
}

/// Where a value comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Path(Path),
    /// All of these that are there, with a text between them; nothing where no path leads to something.
    Join(Vec<Piece>, String),
    /// From the time of the first to that of the second.
    Between(Path, Path),
    Constant(String),
    /// The recorder's clock.
    Arrival,
}

/// A part of what is joined.
#[derive(Debug)]
pub(crate) enum Piece {
    Path(Path),
    Literal(String),
}

/// A place, and a place in the JSON text of the string that stands there.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) node: usize,
    pub(crate) inside: Option<Vec<String>>,
}

/// What is done with a value.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Separator, pieces at most (0 for any number), and which of them.
    pub(crate) split: Option<(String, usize, usize)>,
    pub(crate) words: Vec<(String, String)>,
    pub(crate) kind: Conversion,
}

/// The named conversions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// As the column takes it.
    #[default]
    Plain,
    /// A number of this unit, in nanoseconds.
    Unit(i64),
    /// `1m2.5s`, `10ms`.
    Duration,
    /// A time without an offset is UTC.
    Utc,
    /// JSON text in a string; of anything else its JSON text.
    Json,
    /// The address in front of a port.
    Address,
}

impl Conversion {
    /// By their names.
    pub(crate) const ALL: [(&'static str, Conversion); 9] = [
        ("s", Conversion::Unit(1_000_000_000)),
        ("ms", Conversion::Unit(1_000_000)),
        ("us", Conversion::Unit(1_000)),
        ("ns", Conversion::Unit(1)),
        ("duration", Conversion::Duration),
        ("utc", Conversion::Utc),
        ("json", Conversion::Json),
        ("address", Conversion::Address),
        ("plain", Conversion::Plain),
    ];
}

/// What must hold for a rule.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) path: Path,
    pub(crate) test: Test,
}

/// What must hold for a record to be of a mapping.
#[derive(Debug)]
pub(crate) struct Sign {
    pub(crate) path: Vec<String>,
    pub(crate) test: Test,
}

/// What a value is held against.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// There, or not; null is not.
    Is(bool),
    /// One of these texts; with `*` at its end, its beginning.
    OneOf(Vec<String>),
    /// A whole number of this range, which is wider than the file's numbers where it is open: times of OTLP have 64 bits
    /// without a sign.
    Within(i128, i128),
    /// The text of another place.
    Same(Path),
}

impl Test {
    /// Whether `value` passes.
    pub(crate) fn passes(&self, value: Option<Value<'_>>) -> bool {
        let value = value.filter(|value| value.kind != Kind::Null);
        match self {
            Test::Is(there) => value.is_some() == *there,
            Test::OneOf(texts) => value.and_then(Value::text).is_some_and(|text| {
                texts.iter().any(|wanted| match wanted.strip_suffix('*') {
                    Some(beginning) => text.starts_with(beginning),
                    None => text == wanted.as_str(),
                })
            }),
            Test::Within(least, most) => {
                let number = value.and_then(Value::text).and_then(|text| text.parse::<i128>().ok());
                number.is_some_and(|number| (*least..=*most).contains(&number))
            }
            // Only a record can tell; see `Record::holds`.
            Test::Same(_) => false,
        }
    }

    /// Whether a record in which nothing stands there can pass.
    pub(crate) fn passes_nothing(&self) -> bool {
        matches!(self, Test::Is(false))
    }
}

/// Nanoseconds of one unit of the integer column at `place`; none for columns that are no duration.
pub(crate) fn column_unit_ns(place: usize) -> Option<i64> {
    let name = Stream::Events.columns().get(place)?.name;
    match name.rsplit('_').next() {
        Some("us") => Some(1_000),
        Some("ms") => Some(1_000_000),
        _ => None,
    }
}

/// `number` of a unit of `unit_ns` nanoseconds, in units of `target_ns`; what is finer is dropped of a whole number and rounded
/// of a fraction.
pub(crate) fn scaled(number: &str, unit_ns: i64, target_ns: i64) -> Option<i64> {
    if let Ok(whole) = number.parse::<i128>() {
        let ns = whole.checked_mul(i128::from(unit_ns))?;
        return i64::try_from(ns.div_euclid(i128::from(target_ns))).ok();
    }
    let scaled = number.parse::<f64>().ok()? * unit_ns as f64 / target_ns as f64;
    crate::normalise::time::to_i64(scaled.round())
}

/// A duration such as `1m2.5s` or `250µs`, in units of `target_ns`.
pub(crate) fn duration(text: &str, target_ns: i64) -> Option<i64> {
    const UNITS: [(&str, i64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (mut rest, mut sum_ns) = (text.trim(), 0i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|digits| *digits > 0)?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum_ns = sum_ns.checked_add(scaled(number, *unit_ns, 1)?)?;
        rest = after;
    }
    Some(sum_ns.div_euclid(target_ns))
}

/// The address in front of a port: `1.2.3.4:5`, `[::1]:5`, or an address alone.
pub(crate) fn address(text: &str) -> &str {
    if let Some(inside) = text.strip_prefix('[') {
        return inside.split(']').next().unwrap_or(inside);
    }
    match text.rsplit_once(':') {
        Some((address, port)) if !address.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            address
        }
        _ => text,
    }
}

/// A moment in nanoseconds: a number of `unit_ns`, or text.
pub(crate) fn moment_ns(text: &str, kind: Conversion) -> Option<i128> {
    if let (Conversion::Unit(unit_ns), Ok(whole)) = (kind, text.parse::<i128>()) {
        return whole.checked_mul(i128::from(unit_ns));
    }
    Some(i128::from(from_text(text)?.us) * 1000)
}
