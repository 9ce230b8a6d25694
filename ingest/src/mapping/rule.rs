//! The rules of one column, and the tree of all paths of a mapping, from its file.

use std::ops::Range;

use schemas::vocabulary::UNKNOWN;
use toml::de::{DeTable, DeValue};

use super::file::{At, File, check_constant, conversion};
use super::plan::{Condition, Conversion, Node, Path, Piece, Rule, Source, Test, Turn};
use crate::columns::place;
use crate::error::Error;
use crate::normalise::{Shape, shape};

/// Reads rules and collects their paths.
#[derive(Debug)]
pub(super) struct Rules<'t> {
    file: File<'t>,
    nodes: Vec<Node>,
}

const KEYS: &str = "from, join, with, between, value, arrival, as, split, of, part, words, when";

impl Rule {
    /// The node whose value the rule gives unchanged.
    pub(crate) fn taken_node(&self) -> Option<usize> {
        let Source::Path(Path { node, inside: None }) = &self.from else { return None };
        let Turn { split: None, words, kind: Conversion::Plain | Conversion::Json } = &self.turn else {
            return None;
        };
        (words.is_empty() && self.when.is_empty()).then_some(*node)
    }
}

impl<'t> Rules<'t> {
    pub(super) fn new(file: File<'t>) -> Rules<'t> {
        Rules { file, nodes: vec![Node { prefix: "/".to_string(), ..Node::default() }] }
    }

    /// The rules of the column at `place`.
    pub(super) fn of(&mut self, place: usize, value: &At<'_>) -> Result<Vec<Rule>, Error> {
        match value.get_ref() {
            DeValue::Array(rules) => rules.iter().map(|rule| self.rule(place, rule)).collect(),
            _ => Ok(vec![self.rule(place, value)?]),
        }
    }

    /// The tree.
    pub(super) fn finish(mut self) -> Vec<Node> {
        for node in &mut self.nodes {
            let is_number = |key: &String| key.parse::<u32>().is_ok();
            node.is_array = !node.inside.is_empty() && node.inside.iter().all(|(key, _)| is_number(key));
        }
        self.nodes
    }

    fn rule(&mut self, place: usize, value: &At<'_>) -> Result<Rule, Error> {
        let (from, turn, when) = match value.get_ref() {
            DeValue::String(text) if text.starts_with('/') => {
                (Source::Path(self.path(value.span(), text, true)?), Turn::default(), Vec::new())
            }
            DeValue::Table(table) => self.table(place, value, table)?,
            _ => (Source::Constant(self.constant(place, value)?), Turn::default(), Vec::new()),
        };
        if matches!(from, Source::Arrival) && place != place::TIME {
            return Err(self.file.error(value.span(), "arrival is a time: only the column time can have it"));
        }
        let text = self.file.source(value.span());
        Ok(Rule { text, from, turn, when })
    }

    fn table(
        &mut self,
        place: usize,
        value: &At<'_>,
        table: &DeTable<'_>,
    ) -> Result<(Source, Turn, Vec<Condition>), Error> {
        let file = self.file;
        let (mut from, mut with, mut turn, mut when) =
            (Vec::new(), String::new(), Turn::default(), Vec::new());
        let (mut separator, mut pieces, mut part) = (None, 0, None);
        for (key, value) in table.iter() {
            match &**key.get_ref() {
                "from" => {
                    from.push(Source::Path(self.path(value.span(), file.string(value, "from")?, true)?));
                }
                "join" => from.push(Source::Join(self.pieces(value)?, String::new())),
                "between" => match <[Path; 2]>::try_from(self.paths(value)?) {
                    Ok([start, end]) => from.push(Source::Between(start, end)),
                    Err(_) => return Err(file.error(value.span(), "between takes two paths: from, to")),
                },
                "value" => from.push(Source::Constant(self.constant(place, value)?)),
                "arrival" if file.bool(value, "arrival")? => from.push(Source::Arrival),
                "arrival" => {}
                "with" => with = file.string(value, "with")?.to_string(),
                "as" => turn.kind = conversion(file, value.span(), place, file.string(value, "as")?)?,
                "split" => separator = Some(file.string(value, "split")?.to_string()),
                "of" => pieces = count(file, value, "of")?,
                "part" => part = Some(count(file, value, "part")?),
                "words" => turn.words = words(file, place, value)?,
                "when" => when = self.conditions(value)?,
                other => return Err(file.unknown(key.span(), other, KEYS)),
            }
        }
        turn.split = match (separator, part) {
            (Some(separator), Some(part)) if !separator.is_empty() => Some((separator, pieces, part)),
            (None, None) => None,
            _ => {
                return Err(
                    file.error(value.span(), "split and part belong together, and split is not empty")
                );
            }
        };
        let mut from = from.into_iter();
        let (Some(mut only), None) = (from.next(), from.next()) else {
            return Err(file.error(value.span(), "say one of from, join, between, value, arrival"));
        };
        if let Source::Join(_, between) = &mut only {
            *between = with;
        }
        if matches!(only, Source::Between(..)) && super::plan::column_unit_ns(place).is_none() {
            return Err(file.error(value.span(), "between gives a duration, which this column does not hold"));
        }
        Ok((only, turn, when))
    }

    fn constant(&self, place: usize, value: &At<'_>) -> Result<String, Error> {
        let text = match value.get_ref() {
            DeValue::Integer(_) => self.file.integer(value, "a constant")?.to_string(),
            _ => self.file.string(value, "a path or a constant")?.to_string(),
        };
        check_constant(self.file, value.span(), place, &text)?;
        Ok(text)
    }

    fn conditions(&mut self, value: &At<'_>) -> Result<Vec<Condition>, Error> {
        let file = self.file;
        let mut conditions = Vec::new();
        for (key, value) in file.table(value, "when")?.iter() {
            let path = self.path(key.span(), key.get_ref(), false)?;
            let other = value
                .get_ref()
                .as_table()
                .and_then(|table| table.iter().find(|(key, _)| key.get_ref() == "same"));
            let test = match other {
                Some((_, other)) => {
                    Test::Same(self.path(other.span(), file.string(other, "same")?, false)?)
                }
                None => file.test(value)?,
            };
            conditions.push(Condition { path, test });
        }
        Ok(conditions)
    }

    fn pieces(&mut self, value: &At<'_>) -> Result<Vec<Piece>, Error> {
        let file = self.file;
        let texts = file.strings(value, "join")?;
        let piece = |text: &String| match text.strip_prefix('/') {
            Some(_) => self.path(value.span(), text, true).map(Piece::Path),
            None => Ok(Piece::Literal(text.clone())),
        };
        texts.iter().map(piece).collect()
    }

    fn paths(&mut self, value: &At<'_>) -> Result<Vec<Path>, Error> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.file.error(value.span(), "a list of paths, in brackets, belongs here"));
        };
        let file = self.file;
        items.iter().map(|item| self.path(item.span(), file.string(item, "a path")?, true)).collect()
    }

    /// The path `text`; `is_value` for one whose value is used and not only looked at.
    fn path(&mut self, at: Range<usize>, text: &str, is_value: bool) -> Result<Path, Error> {
        let (keys, inside) = self.file.pointer(at, text)?;
        let mut node = 0;
        for key in keys {
            node = self.inside(node, key);
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.is_whole |= is_value || inside.is_some();
        }
        Ok(Path { node, inside })
    }

    /// The node of `key` inside the node at `outer`, made if it is new.
    fn inside(&mut self, outer: usize, key: String) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(outer) else { return 0 };
        match node.inside.binary_search_by(|(known, _)| known.as_str().cmp(&key)) {
            Ok(at) => node.inside.get(at).map_or(0, |(_, node)| *node),
            Err(at) => {
                let name = super::walk::name_in(&node.prefix, &key);
                let prefix = format!("{}{}/", node.prefix, super::walk::escaped(&key));
                node.inside.insert(at, (key, new));
                self.nodes.push(Node { name, prefix, ..Node::default() });
                new
            }
        }
    }
}

fn count(file: File<'_>, value: &At<'_>, what: &str) -> Result<usize, Error> {
    let number = usize::try_from(file.integer(value, what)?).ok();
    number.ok_or_else(|| file.error(value.span(), format!("{what} counts from 0")))
}

/// Whether the column says how a call went, or whether it was let through.
fn is_verdict(place: usize) -> bool {
    [place::STATUS, place::DECISION].contains(&place)
}

fn words(file: File<'_>, place: usize, value: &At<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut words = Vec::new();
    for (word, value) in file.table(value, "words")?.iter() {
        let text = file.string(value, "a word's meaning")?;
        if !matches!(shape(place), Shape::Time) {
            check_constant(file, value.span(), place, text)?;
        }
        if word.get_ref() == "*" && is_verdict(place) && text != UNKNOWN {
            let what =
                "whatever nobody has seen yet would be read as this; say \"unknown\", or name the words";
            return Err(file.error(value.span(), format!("\"*\" = {text:?}: {what}")));
        }
        words.push((word.get_ref().to_string(), text.to_string()));
    }
    Ok(words)
}
