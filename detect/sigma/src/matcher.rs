//! One line of a selection: a column, how it is compared, with what.

mod values;

use std::collections::BTreeSet;

use rsigma_parser::{DetectionItem, Modifier, SigmaValue};

use crate::column::{Field, Fields, Shape, Value, bounded};
use crate::lists::Lists;
use values::Values;
pub(crate) use values::lowered;

/// A line, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub field: Field,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Exists(bool),
    /// One of the values.
    Any(Values),
    /// None of them; a null is none of them.
    None(Values),
    /// Every one of the values, in a list perhaps each in another item.
    All(Vec<Values>),
    /// The same as another column of the event; null is the same as nothing.
    Same {
        other: Field,
        cased: bool,
        negated: bool,
    },
}

/// Where in a text a pattern must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Whole,
    Anywhere,
    Start,
    End,
}

/// What a pattern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Text(Place),
    Expression,
    Network,
    Greater { or_equal: bool },
    Less { or_equal: bool },
    Exists,
    Other,
}

/// The modifiers of a line, read once.
#[derive(Debug, Clone, Copy)]
struct How {
    operator: Operator,
    all: bool,
    cased: bool,
    negated: bool,
    expand: bool,
    ignore_case: bool,
    multiline: bool,
    dot_all: bool,
}

impl How {
    fn of(modifiers: &[Modifier]) -> Result<How, String> {
        let mut how = How {
            operator: Operator::Text(Place::Whole),
            all: false,
            cased: false,
            negated: false,
            expand: false,
            ignore_case: false,
            multiline: false,
            dot_all: false,
        };
        let mut operators = 0;
        for modifier in modifiers {
            let operator = match modifier {
                Modifier::Contains => Operator::Text(Place::Anywhere),
                Modifier::StartsWith => Operator::Text(Place::Start),
                Modifier::EndsWith => Operator::Text(Place::End),
                Modifier::Re => Operator::Expression,
                Modifier::Cidr => Operator::Network,
                Modifier::Gt => Operator::Greater { or_equal: false },
                Modifier::Gte => Operator::Greater { or_equal: true },
                Modifier::Lt => Operator::Less { or_equal: false },
                Modifier::Lte => Operator::Less { or_equal: true },
                Modifier::Exists => Operator::Exists,
                Modifier::FieldRef => Operator::Other,
                Modifier::All => {
                    how.all = true;
                    continue;
                }
                Modifier::Cased => {
                    how.cased = true;
                    continue;
                }
                Modifier::Neq => {
                    how.negated = true;
                    continue;
                }
                Modifier::Expand => {
                    how.expand = true;
                    continue;
                }
                Modifier::IgnoreCase => {
                    how.ignore_case = true;
                    continue;
                }
                Modifier::Multiline => {
                    how.multiline = true;
                    continue;
                }
                Modifier::DotAll => {
                    how.dot_all = true;
                    continue;
                }
                Modifier::Base64
                | Modifier::Base64Offset
                | Modifier::Wide
                | Modifier::Utf16be
                | Modifier::Utf16
                | Modifier::WindAsh
                | Modifier::Minute
                | Modifier::Hour
                | Modifier::Day
                | Modifier::Week
                | Modifier::Month
                | Modifier::Year => {
                    return Err(format!(
                        "modifier {modifier:?} is not supported on event columns: leave it out"
                    ));
                }
            };
            how.operator = operator;
            operators += 1;
        }
        how.check(operators)
    }

    /// Refuses what contradicts itself: one of two modifiers would win in silence.
    fn check(self, operators: usize) -> Result<How, String> {
        let is_text = matches!(self.operator, Operator::Text(_));
        let flags = self.ignore_case || self.multiline || self.dot_all;
        let wrong = if operators > 1 {
            "two modifiers that each say how to compare: keep one"
        } else if flags && self.operator != Operator::Expression {
            "`i`, `m` and `s` belong to `re`: add it, or leave them out"
        } else if self.expand && !is_text {
            "`expand` goes with texts alone: a list of networks is a file NAME.cidr and needs no other modifier"
        } else if self.cased && !is_text && self.operator != Operator::Other {
            "`cased` goes with texts alone: leave it out"
        } else if self.all
            && (self.negated || !matches!(self.operator, Operator::Text(_) | Operator::Expression))
        {
            "`all` goes with texts and expressions alone: leave it out"
        } else {
            return Ok(self);
        };
        Err(wrong.to_owned())
    }
}

impl Item {
    /// Compiles a line; names of lists that it stands on are added to `used`.
    pub fn compile(item: &DetectionItem, lists: &Lists, used: &mut BTreeSet<String>) -> Result<Item, String> {
        let Some(name) = &item.field.name else {
            return Err("a keyword without a column: say which, such as `target|contains`".to_owned());
        };
        let field = Field::of(name)?;
        let how = How::of(&item.field.modifiers).map_err(|what| format!("`{name}`: {what}"))?;
        let test = Test::compile(field, how, &item.values, lists, used)
            .map_err(|what| format!("`{name}`: {what}"))?;
        Ok(Item { field, test })
    }

    pub fn matches(&self, event: &dyn Fields) -> bool {
        let value = self.field.read(event);
        match &self.test {
            Test::Same { other, cased, negated } => same(&value, &other.read(event), *cased) != *negated,
            test => test.has(&value),
        }
    }

    /// Whether it holds by that column alone, if it is about no other.
    pub fn answer(&self, column: &str, value: &Value<'_>) -> Option<bool> {
        let is_about = self.field.name() == column && !matches!(self.test, Test::Same { .. });
        is_about.then(|| self.test.has(value))
    }

    /// The fields that it reads.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        let other = match &self.test {
            Test::Same { other, .. } => Some(*other),
            _ => None,
        };
        [Some(self.field), other].into_iter().flatten()
    }

    /// The texts of which the column must be one for this line to hold, in lower case; none where it can hold otherwise.
    pub fn only_texts(&self) -> Option<&[String]> {
        match &self.test {
            Test::Any(values) => values.only_texts(),
            _ => None,
        }
    }
}

impl Test {
    /// Whether it holds for that value; one that takes another column too does not.
    fn has(&self, value: &Value<'_>) -> bool {
        match self {
            Test::Exists(expected) => (*value != Value::Null) == *expected,
            Test::Any(values) => values.has(value),
            Test::None(values) => !values.has(value),
            Test::All(all) => all.iter().all(|values| values.has(value)),
            Test::Same { .. } => false,
        }
    }

    fn compile(
        field: Field,
        how: How,
        values: &[SigmaValue],
        lists: &Lists,
        used: &mut BTreeSet<String>,
    ) -> Result<Test, String> {
        match how.operator {
            Operator::Exists => match values {
                [SigmaValue::Bool(expected)] => Ok(Test::Exists(*expected != how.negated)),
                _ => Err("`exists` takes true or false".to_owned()),
            },
            Operator::Other => {
                let [SigmaValue::String(name)] = values else {
                    return Err("`fieldref` takes the name of one column".to_owned());
                };
                let other = Field::of(&name.original)?;
                if field.shape() != other.shape() || field.shape() == Shape::List {
                    return Err(format!(
                        "cannot be compared with `{}`: its values are of another kind",
                        name.original
                    ));
                }
                Ok(Test::Same { other, cased: how.cased, negated: how.negated })
            }
            _ if how.all => {
                if values.len() < 2 {
                    return Err("`all` needs more than one value".to_owned());
                }
                let each = values
                    .iter()
                    .map(|value| Values::compile(field, how, std::slice::from_ref(value), lists, used));
                Ok(Test::All(each.collect::<Result<_, _>>()?))
            }
            _ => {
                let values = Values::compile(field, how, values, lists, used)?;
                Ok(if how.negated { Test::None(values) } else { Test::Any(values) })
            }
        }
    }
}

fn same(one: &Value<'_>, other: &Value<'_>, cased: bool) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => {
            one == other || (!cased && lowered(bounded(one)) == lowered(bounded(other)))
        }
        _ => false,
    }
}
