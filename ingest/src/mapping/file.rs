//! A mapping file (TOML) to its plans. What is wrong is said with the file, the line and what to do.

use std::collections::HashSet;
use std::ops::Range;

use schemas::Stream;
use schemas::limits::{JSON_DEPTH_MAX, MAPPING_FILE_BYTES_MAX};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names::RESERVED;
use super::plan::{Conversion, Filling, Plan, Sign, Test, column_unit_ns};
use super::rule::Rules;
use crate::columns::{COLUMNS, place};
use crate::error::Error;
use crate::normalise::{DERIVED, Shape, shape};

/// A value of the file, with where it stands.
pub(super) type At<'i> = Spanned<DeValue<'i>>;

/// A file under reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'t> {
    name: &'t str,
    text: &'t str,
}

/// Reads the mappings of the file `name`, whose content is `text`; `rank` is that of mappings that read not everything.
pub(super) fn read(name: &str, text: &str, rank: u8) -> Result<Vec<Plan>, Error> {
    let file = File { name, text };
    if text.len() > MAPPING_FILE_BYTES_MAX {
        return Err(file.error(0..0, format!("the file is over {MAPPING_FILE_BYTES_MAX} bytes; split it")));
    }
    let table = DeTable::parse(text)
        .map_err(|error| file.error(error.span().unwrap_or_default(), error.message().to_string()))?;
    let mut plans = Vec::new();
    for (key, value) in table.get_ref().iter() {
        if key.get_ref() != "mapping" {
            return Err(file.unknown(key.span(), key.get_ref(), "[[mapping]]"));
        }
        let DeValue::Array(tables) = value.get_ref() else {
            return Err(file.error(value.span(), "write [[mapping]], in two brackets"));
        };
        for table in tables.iter() {
            plans.push(plan(file, table, rank)?);
        }
    }
    if plans.is_empty() {
        return Err(file.error(0..0, "there is no [[mapping]] in the file; add one or take the file away"));
    }
    Ok(plans)
}

impl File<'_> {
    /// An error about the bytes `at`.
    pub(super) fn error(self, at: Range<usize>, reason: impl Into<String>) -> Error {
        let before = self.text.get(..at.start).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Error::BadMapping { file: self.name.to_string(), line, reason: reason.into() }
    }

    /// What the file says there, on one line.
    pub(super) fn source(self, at: Range<usize>) -> String {
        self.text.get(at).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub(super) fn unknown(self, at: Range<usize>, key: &str, known: &str) -> Error {
        self.error(at, format!("key {key:?} is not known here; these are: {known}"))
    }

    pub(super) fn table<'v, 'i>(self, value: &'v At<'i>, what: &str) -> Result<&'v DeTable<'i>, Error> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.error(value.span(), format!("{what} must be a table"))),
        }
    }

    pub(super) fn string<'v>(self, value: &'v At<'_>, what: &str) -> Result<&'v str, Error> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.error(value.span(), format!("{what} must be a text in quotes"))),
        }
    }

    pub(super) fn bool(self, value: &At<'_>, what: &str) -> Result<bool, Error> {
        match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.error(value.span(), format!("{what} must be true or false"))),
        }
    }

    pub(super) fn integer(self, value: &At<'_>, what: &str) -> Result<i64, Error> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number.ok_or_else(|| self.error(value.span(), format!("{what} must be a whole number of 64 bits")))
    }

    /// A text or several.
    pub(super) fn strings(self, value: &At<'_>, what: &str) -> Result<Vec<String>, Error> {
        match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().map(|item| self.string(item, what).map(str::to_string)).collect()
            }
            _ => Ok(vec![self.string(value, what)?.to_string()]),
        }
    }

    /// A JSON pointer (RFC 6901) as its keys, and those of a second one behind `#`. `~2` stands for `#`.
    pub(super) fn pointer(
        self,
        at: Range<usize>,
        text: &str,
    ) -> Result<(Vec<String>, Option<Vec<String>>), Error> {
        let keys = |text: &str| -> Option<Vec<String>> {
            let plain = |key: &str| key.replace("~2", "#").replace("~1", "/").replace("~0", "~");
            Some(text.strip_prefix('/')?.split('/').map(plain).collect())
        };
        let (outer, inner) = match text.split_once('#') {
            Some((outer, inner)) => (outer, Some(inner)),
            None => (text, None),
        };
        let bad = || {
            let what = "a path is a JSON pointer, such as \"/attributes/tool.name\", and may go on behind # in the JSON text of a string";
            self.error(at.clone(), format!("{text:?}: {what}"))
        };
        let keys = |text: &str| match keys(text).ok_or_else(bad)? {
            // No record is deeper.
            keys if keys.len() > JSON_DEPTH_MAX => {
                let what = format!("a path has at most {JSON_DEPTH_MAX} keys, this one has {}", keys.len());
                Err(self.error(at.clone(), what))
            }
            keys => Ok(keys),
        };
        Ok((keys(outer)?, inner.map(keys).transpose()?))
    }

    pub(super) fn test(self, value: &At<'_>) -> Result<Test, Error> {
        Ok(match value.get_ref() {
            DeValue::Boolean(there) => Test::Is(*there),
            DeValue::Integer(number) => Test::OneOf(vec![number.to_string()]),
            DeValue::Table(table) => {
                let (mut least, mut most) = (i128::MIN, i128::MAX);
                for (key, value) in table.iter() {
                    match &**key.get_ref() {
                        "min" => least = self.integer(value, "min")?.into(),
                        "max" => most = self.integer(value, "max")?.into(),
                        other => {
                            return Err(self.unknown(
                                key.span(),
                                other,
                                "min, max, and same in the when of a rule",
                            ));
                        }
                    }
                }
                Test::Within(least, most)
            }
            DeValue::Array(items) => {
                let text = |item: &At<'_>| match item.get_ref() {
                    DeValue::Integer(_) => self.integer(item, "a number").map(|number| number.to_string()),
                    _ => self.string(item, "what a value is held against").map(str::to_string),
                };
                Test::OneOf(items.iter().map(text).collect::<Result<_, _>>()?)
            }
            _ => Test::OneOf(vec![self.string(value, "what a value is held against")?.to_string()]),
        })
    }
}

const KEYS: &str = "name, about, when, each, nothing, generic, columns";

fn plan(file: File<'_>, value: &At<'_>, rank: u8) -> Result<Plan, Error> {
    let (mut name, mut about, mut columns) = (None, String::new(), None);
    let (mut signs, mut each, mut is_generic) = (Vec::new(), None, false);
    let mut nothing = vec![String::new()];
    for (key, value) in file.table(value, "a mapping")?.iter() {
        match &**key.get_ref() {
            "name" => name = Some(checked_name(file, value)?),
            "about" => about = file.string(value, "about")?.to_string(),
            "when" => signs = any_of(file, value)?,
            "each" => each = Some(file.pointer(value.span(), file.string(value, "each")?)?.0),
            "nothing" => nothing = file.strings(value, "nothing")?,
            "generic" => is_generic = file.bool(value, "generic")?,
            "columns" => columns = Some(file.table(value, "columns")?),
            other => return Err(file.unknown(key.span(), other, KEYS)),
        }
    }
    let lacks = |what: &str| file.error(value.span(), format!("this mapping lacks {what}"));
    let name = name.ok_or_else(|| lacks("name = \"NAME/VERSION\""))?;
    if signs.is_empty() {
        return Err(lacks("when = { ... }, which says how its records are told from others"));
    }
    let columns = columns.ok_or_else(|| lacks("a table columns"))?;
    let mut rules = Rules::new(file);
    let mut fillings = Vec::new();
    for (key, value) in columns.iter() {
        let place = column(file, key.span(), key.get_ref())?;
        fillings.push(Filling { place, rules: rules.of(place, value)?, takes: false });
    }
    if !fillings.iter().any(|filling| filling.place == place::TIME) {
        return Err(lacks("the column time; where records have none, say time = { arrival = true }"));
    }
    fillings.sort_by_key(|filling| filling.place);
    let nodes = rules.finish();
    let covered = covered(&nodes);
    for filling in &mut fillings {
        filling.takes = match filling.rules.as_slice() {
            [rule] if !DERIVED.contains(&filling.place) => {
                rule.taken_node().is_some_and(|node| !covered.contains(&node))
            }
            _ => false,
        };
    }
    let is_own = rank == 0;
    let rank = if is_generic { 2 } else { rank };
    Ok(Plan { name, about, is_own, rank, signs, each, nothing, columns: fillings, nodes })
}

/// Nodes inside one that is used whole.
fn covered(nodes: &[super::plan::Node]) -> HashSet<usize> {
    let mut covered = HashSet::new();
    // A node comes after what it is inside of.
    for (at, node) in nodes.iter().enumerate() {
        if node.is_whole || covered.contains(&at) {
            covered.extend(node.inside.iter().map(|(_, at)| *at));
        }
    }
    covered
}

fn checked_name(file: File<'_>, value: &At<'_>) -> Result<String, Error> {
    let name = file.string(value, "name")?;
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let is_good = name.split_once('/').is_some_and(|(word, version)| {
        is_word(word) && version.parse::<u32>().is_ok() && !["canonical", "simple"].contains(&word)
    });
    if !is_good || name.len() > 64 {
        let what = "a name is lower-case letters, digits and -, then / and a version, such as \"my-gateway/1\"; canonical and simple are taken";
        return Err(file.error(value.span(), format!("{name:?}: {what}")));
    }
    Ok(name.to_string())
}

fn any_of(file: File<'_>, value: &At<'_>) -> Result<Vec<Vec<Sign>>, Error> {
    match value.get_ref() {
        DeValue::Array(tables) => tables.iter().map(|table| all_of(file, table)).collect(),
        _ => Ok(vec![all_of(file, value)?]),
    }
}

fn all_of(file: File<'_>, value: &At<'_>) -> Result<Vec<Sign>, Error> {
    let mut signs = Vec::new();
    for (key, value) in file.table(value, "when")?.iter() {
        let (path, inside) = file.pointer(key.span(), key.get_ref())?;
        if inside.is_some() {
            return Err(file.error(key.span(), "a sign cannot be inside a string"));
        }
        signs.push(Sign { path, test: file.test(value)? });
    }
    if signs.iter().all(|sign| sign.test.passes_nothing()) {
        return Err(file.error(value.span(), "when must name something that is there"));
    }
    Ok(signs)
}

/// The place of a column that a source may fill.
fn column(file: File<'_>, at: Range<usize>, name: &str) -> Result<usize, Error> {
    if RESERVED.contains(&name) {
        return Err(file.error(at, format!("column {name} is the recorder's own; a mapping cannot fill it")));
    }
    let found = Stream::Events.columns().iter().take(COLUMNS).position(|column| column.name == name);
    found.ok_or_else(|| {
        let known = Stream::Events.columns().iter().map(|column| column.name);
        let known: Vec<&str> = known.filter(|name| !RESERVED.contains(name)).collect();
        file.error(at, format!("there is no column {name}; there are: {}", known.join(", ")))
    })
}

/// Checks that the column at `place` can have the constant `text`.
pub(super) fn check_constant(
    file: File<'_>,
    at: Range<usize>,
    place: usize,
    text: &str,
) -> Result<(), Error> {
    let problem = match shape(place) {
        Shape::Text | Shape::TextOrNumber | Shape::Json => return Ok(()),
        Shape::Word(vocabulary) if vocabulary.values.contains(&text) => return Ok(()),
        Shape::Word(vocabulary) => format!("is none of {}", vocabulary.values.join(", ")),
        Shape::Int if text.parse::<i64>().is_ok() => return Ok(()),
        Shape::Int => "is no whole number, which the column holds".to_string(),
        Shape::Time | Shape::List | Shape::Closed => "cannot be a constant of this column".to_string(),
    };
    Err(file.error(at, format!("{text:?} {problem}")))
}

/// The conversion `name`, if the column at `place` can have what it gives.
pub(super) fn conversion(
    file: File<'_>,
    at: Range<usize>,
    place: usize,
    name: &str,
) -> Result<Conversion, Error> {
    let Some((_, conversion)) = Conversion::ALL.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = Conversion::ALL.iter().map(|(known, _)| *known).collect();
        return Err(
            file.error(at, format!("there is no conversion {name:?}; there are: {}", known.join(", ")))
        );
    };
    let is_time = matches!(shape(place), Shape::Time);
    let is_text = matches!(shape(place), Shape::Text | Shape::TextOrNumber | Shape::Json);
    let is_duration = column_unit_ns(place).is_some();
    let fits = match conversion {
        Conversion::Plain => true,
        Conversion::Unit(_) => is_time || is_duration,
        Conversion::Duration => is_duration,
        Conversion::Utc => is_time,
        Conversion::Json | Conversion::Address => is_text,
    };
    if !fits {
        return Err(file.error(at, format!("{name:?} gives nothing that this column holds")));
    }
    Ok(*conversion)
}
