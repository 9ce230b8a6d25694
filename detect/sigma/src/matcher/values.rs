//! The values of a line, gathered so that one look at a text tries them all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ipnet::IpNet;
use regex::{RegexSet, RegexSetBuilder};
use rsigma_parser::{SigmaString, SigmaValue, SpecialChar, StringPart};
use schemas::limits::{SIGMA_PATTERN_BYTES_MAX, SIGMA_REGEX_BYTES_MAX};

use super::{How, Operator, Place};
use crate::cidr::{self, Networks};
use crate::column::{Field, Shape, Value, bounded};
use crate::lists::{List, Lists};

/// Values of which one must fit.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    null: bool,
    /// Whole texts, sorted; in lower case unless `cased`.
    texts: Vec<String>,
    cased: bool,
    patterns: Option<RegexSet>,
    networks: Networks,
    /// Sorted.
    numbers: Vec<i64>,
    /// Inclusive bounds.
    ranges: Vec<(i64, i64)>,
}

/// Values while they are gathered.
#[derive(Debug, Default)]
struct Gathered {
    null: bool,
    texts: BTreeSet<String>,
    patterns: Vec<String>,
    networks: Vec<IpNet>,
    numbers: BTreeSet<i64>,
    ranges: Vec<(i64, i64)>,
}

impl Values {
    pub fn compile(
        field: Field,
        how: How,
        values: &[SigmaValue],
        lists: &Lists,
        used: &mut BTreeSet<String>,
    ) -> Result<Values, String> {
        if values.is_empty() {
            return Err("no value: say what it should be".to_owned());
        }
        let mut gathered = Gathered::default();
        for value in values {
            match value {
                SigmaValue::String(text) if how.expand => gathered.list(field, how, text, lists, used)?,
                _ if how.expand => {
                    return Err("`expand` takes the name of a list: %registered_servers%".to_owned());
                }
                value => gathered.value(field, how, value)?,
            }
        }
        gathered.finish(how)
    }

    /// Whether the value, or an item of a list, is among them.
    pub fn has(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Null => self.null,
            Value::Text(text) => self.has_text(bounded(text)),
            Value::Number(number) => {
                self.numbers.binary_search(number).is_ok()
                    || self.ranges.iter().any(|(least, most)| (*least..=*most).contains(number))
            }
            Value::List(items) => items.iter().any(|item| self.has_text(bounded(item))),
        }
    }

    fn has_text(&self, text: &str) -> bool {
        let is_listed = |text: &str| self.texts.binary_search_by(|listed| listed.as_str().cmp(text)).is_ok();
        let listed =
            !self.texts.is_empty() && if self.cased { is_listed(text) } else { is_listed(&lowered(text)) };
        listed
            || self.patterns.as_ref().is_some_and(|patterns| patterns.is_match(text))
            || (!self.networks.is_empty()
                && cidr::address(text).is_some_and(|address| self.networks.contains(address)))
    }

    /// The whole texts in lower case, if nothing else can fit.
    pub fn only_texts(&self) -> Option<&[String]> {
        let others = self.null
            || self.cased
            || self.patterns.is_some()
            || !self.networks.is_empty()
            || !self.numbers.is_empty()
            || !self.ranges.is_empty();
        (!others).then_some(self.texts.as_slice())
    }
}

impl Gathered {
    fn value(&mut self, field: Field, how: How, value: &SigmaValue) -> Result<(), String> {
        let is_plain = how.operator == Operator::Text(Place::Whole);
        match (value, how.operator) {
            (SigmaValue::Null, _) if is_plain => self.null = true,
            (SigmaValue::Float(_), _) => {
                return Err(format!("`{value}`: columns hold whole numbers and texts"));
            }
            (SigmaValue::Integer(number), Operator::Greater { or_equal }) => {
                let least = if or_equal { Some(*number) } else { number.checked_add(1) };
                // What would be greater than the greatest number is nothing.
                self.ranges.extend(least.map(|least| (least, i64::MAX)));
            }
            (SigmaValue::Integer(number), Operator::Less { or_equal }) => {
                let most = if or_equal { Some(*number) } else { number.checked_sub(1) };
                self.ranges.extend(most.map(|most| (i64::MIN, most)));
            }
            (SigmaValue::Integer(number), _) if is_plain && field.shape() == Shape::Number => {
                self.numbers.insert(*number);
            }
            (SigmaValue::Bool(flag), _) if is_plain && field.shape() == Shape::Flag => {
                self.texts.insert(flag.to_string());
            }
            (SigmaValue::Integer(_) | SigmaValue::Bool(_), Operator::Text(_)) => {
                self.text(how, &SigmaString::from_raw(&value.to_string()))?;
            }
            (SigmaValue::String(text), _) => self.text(how, text)?,
            _ => return Err(format!("`{value}` does not go with this modifier")),
        }
        let shape_fits = match field.shape() {
            Shape::Text | Shape::List => self.ranges.is_empty(),
            Shape::Number => self.texts.is_empty() && self.patterns.is_empty() && self.networks.is_empty(),
            Shape::Flag => is_plain && self.texts.iter().all(|text| text == "true" || text == "false"),
        };
        if shape_fits { Ok(()) } else { Err(format!("`{value}` is not what this column holds")) }
    }

    fn text(&mut self, how: How, text: &SigmaString) -> Result<(), String> {
        if text.original.len() > SIGMA_PATTERN_BYTES_MAX {
            return Err(format!(
                "a value of {} bytes, at most {SIGMA_PATTERN_BYTES_MAX}",
                text.original.len()
            ));
        }
        match how.operator {
            Operator::Network => match cidr::network(&text.original) {
                Some(network) => self.networks.push(network),
                None => {
                    return Err(format!("`{text}` is no network: write one as 10.0.0.0/8 or 2001:db8::/32"));
                }
            },
            Operator::Expression => {
                let flags = [(how.ignore_case, 'i'), (how.multiline, 'm'), (how.dot_all, 's')];
                let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
                let pattern = if flags.is_empty() {
                    text.original.clone()
                } else {
                    format!("(?{flags}){}", text.original)
                };
                self.patterns.push(pattern);
            }
            Operator::Text(place) => match text.as_plain().filter(|_| place == Place::Whole) {
                Some(whole) => {
                    self.texts.insert(if how.cased { whole } else { whole.to_lowercase() });
                }
                None if text.original.is_empty() => {
                    return Err("an empty text is in every value: use `exists: true`".to_owned());
                }
                None => self.patterns.push(expression(text, place, how.cased)),
            },
            _ => return Err(format!("`{text}` is no number")),
        }
        Ok(())
    }

    fn list(
        &mut self,
        field: Field,
        how: How,
        text: &SigmaString,
        lists: &Lists,
        used: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let name = text.original.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
        let Some(name) = name.filter(|name| !name.is_empty() && !name.contains('%')) else {
            return Err(format!(
                "`{text}`: with `expand` a value is the name of a list and nothing else: %registered_servers%"
            ));
        };
        used.insert(name.to_owned());
        match lists.get(name) {
            // The caller tells who is at fault: a rule of one's own, or a shipped one that waits for its list.
            None => Ok(()),
            Some(List::Networks(values)) => {
                if how.operator != Operator::Text(Place::Whole) || how.cased {
                    return Err(format!("list `{name}` holds networks: `expand` alone goes with it"));
                }
                self.networks.extend(values.iter().filter_map(|value| cidr::network(value)));
                Ok(())
            }
            Some(List::Values(values)) => {
                let shape = field.shape();
                let each = values.iter().map(|value| {
                    let number =
                        value.parse().ok().filter(|_| shape == Shape::Number).map(SigmaValue::Integer);
                    number.unwrap_or_else(|| SigmaValue::String(SigmaString::new(value)))
                });
                each.into_iter().try_for_each(|value| {
                    self.value(field, how, &value).map_err(|what| format!("list `{name}`: {what}"))
                })
            }
        }
    }

    fn finish(self, how: How) -> Result<Values, String> {
        let patterns = match self.patterns.as_slice() {
            [] => None,
            patterns => Some(compiled(patterns)?),
        };
        Ok(Values {
            null: self.null,
            texts: self.texts.into_iter().collect(),
            cased: how.cased,
            patterns,
            networks: Networks::new(&self.networks),
            numbers: self.numbers.into_iter().collect(),
            ranges: self.ranges,
        })
    }
}

fn compiled(patterns: &[String]) -> Result<RegexSet, String> {
    let set = RegexSetBuilder::new(patterns).size_limit(SIGMA_REGEX_BYTES_MAX).build();
    set.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the patterns are too large together: use fewer, or smaller repetitions".to_owned()
        }
        other => format!("no regular expression: {other}"),
    })
}

/// The expression of a text with wildcards. `*` and `?` stand for line breaks too: with a line break in a value nobody gets past a
/// pattern.
fn expression(text: &SigmaString, place: Place, cased: bool) -> String {
    let mut pattern = String::from(if cased { "(?s)" } else { "(?si)" });
    if matches!(place, Place::Whole | Place::Start) {
        pattern.push_str(r"\A");
    }
    for part in &text.parts {
        match part {
            StringPart::Plain(plain) => pattern.push_str(&regex::escape(plain)),
            StringPart::Special(SpecialChar::WildcardMulti) => pattern.push_str(".*"),
            StringPart::Special(SpecialChar::WildcardSingle) => pattern.push('.'),
        }
    }
    if matches!(place, Place::Whole | Place::End) {
        pattern.push_str(r"\z");
    }
    pattern
}

/// The text in lower case; most are already, and cost nothing.
pub(crate) fn lowered(text: &str) -> Cow<'_, str> {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}
