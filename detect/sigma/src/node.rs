//! A condition over selections, ready to be asked.

use std::collections::BTreeSet;

use rsigma_parser::{ConditionExpr, Detection, Detections, Quantifier};

use crate::asked::{Asked, Questions};
use crate::column::Field;
use crate::lists::Lists;
use crate::matcher::Item;

/// Conditions nest at most 64 deep (the parser refuses more), selections no deeper than their file.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    AtLeast(u64, Vec<Node>),
    Not(Box<Node>),
    Item(Item),
    /// The same by its number among the questions of a set.
    Asked(usize),
    /// A selection by its place in [`Body::selections`].
    Selection(usize),
}

/// What a rule on single events says.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    selections: Vec<Node>,
    condition: Node,
    columns: BTreeSet<&'static str>,
}

/// How deep selections may nest.
const DEPTH_MAX: usize = schemas::limits::SIGMA_NESTING_MAX;

impl Body {
    pub fn compile(
        detections: &Detections,
        lists: &Lists,
        used: &mut BTreeSet<String>,
    ) -> Result<Body, String> {
        if detections.timeframe.is_some() {
            return Err("`timeframe` is of an older Sigma: write a correlation".to_owned());
        }
        let mut named: Vec<(&String, &Detection)> = detections.named.iter().collect();
        named.sort_by_key(|(name, _)| *name);
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        let selections = named.iter().map(|(name, detection)| {
            Node::of(detection, lists, used, 0).map_err(|what| format!("selection `{name}`: {what}"))
        });
        let selections = selections.collect::<Result<Vec<Node>, String>>()?;
        let mut asked = BTreeSet::new();
        let conditions =
            detections.conditions.iter().map(|condition| Node::condition(condition, &names, &mut asked));
        let condition = Node::Any(conditions.collect::<Result<Vec<Node>, String>>()?);
        if let Some((_, unasked)) = names.iter().enumerate().find(|(at, _)| !asked.contains(at)) {
            return Err(format!("selection `{unasked}` is in no condition: name it there, or remove it"));
        }
        let mut columns = BTreeSet::new();
        selections.iter().for_each(|selection| selection.columns(&mut columns));
        Ok(Body { selections, condition, columns })
    }

    /// Puts its questions among those of a set.
    pub fn ask(&mut self, questions: &mut Questions) {
        self.selections.iter_mut().for_each(|selection| selection.ask(questions));
    }

    pub fn matches(&self, event: &Asked<'_>) -> bool {
        self.condition.holds(event, &self.selections)
    }

    /// The columns that it reads.
    pub fn columns(&self) -> &BTreeSet<&'static str> {
        &self.columns
    }

    /// The kinds of event, in lower case, that alone can match; none where any can. To be asked before its questions are put among others.
    pub fn kinds(&self) -> Option<BTreeSet<String>> {
        self.condition.kinds(&self.selections)
    }
}

impl Node {
    fn of(
        detection: &Detection,
        lists: &Lists,
        used: &mut BTreeSet<String>,
        depth: usize,
    ) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}: use more selections"));
        }
        match detection {
            Detection::AllOf(items) if items.is_empty() => {
                Err("it is empty, and would hold for everything".to_owned())
            }
            Detection::AllOf(items) => {
                let items = items.iter().map(|item| Item::compile(item, lists, used).map(Node::Item));
                items.collect::<Result<_, _>>().map(Node::All)
            }
            Detection::AnyOf(any) if any.is_empty() => {
                Err("it is empty, and would hold for nothing".to_owned())
            }
            Detection::AnyOf(any) => {
                let any = any.iter().map(|one| Node::of(one, lists, used, depth + 1));
                any.collect::<Result<_, _>>().map(Node::Any)
            }
            Detection::And(all) => {
                let all = all.iter().map(|one| Node::of(one, lists, used, depth + 1));
                all.collect::<Result<_, _>>().map(Node::All)
            }
            Detection::Keywords(_) => {
                Err("keywords without a column: say which, such as `target|contains`".to_owned())
            }
            Detection::ArrayMatch { field, .. } => {
                Err(format!("`{field}`: a plain list of values already means any item, `all` every value"))
            }
            Detection::Conditional { .. } => {
                Err("a condition inside a selection: use more selections".to_owned())
            }
        }
    }

    fn condition(
        condition: &ConditionExpr,
        names: &[&str],
        asked: &mut BTreeSet<usize>,
    ) -> Result<Node, String> {
        let mut each = |parts: &[ConditionExpr]| {
            let parts = parts.iter().map(|part| Node::condition(part, names, asked));
            parts.collect::<Result<Vec<Node>, String>>()
        };
        match condition {
            ConditionExpr::And(parts) => each(parts).map(Node::All),
            ConditionExpr::Or(parts) => each(parts).map(Node::Any),
            ConditionExpr::Not(part) => Ok(Node::Not(Box::new(Node::condition(part, names, asked)?))),
            ConditionExpr::Identifier(name) => match names.binary_search(&name.as_str()) {
                Ok(at) => {
                    asked.insert(at);
                    Ok(Node::Selection(at))
                }
                Err(_) => Err(format!("the condition names `{name}`, and no selection is called so")),
            },
            ConditionExpr::Selector { quantifier, pattern } => {
                let fits = names.iter().enumerate().filter(|(_, name)| pattern.matches_detection_name(name));
                let places: Vec<usize> = fits.map(|(at, _)| at).collect();
                if places.is_empty() {
                    return Err(format!("`{quantifier} of {pattern}`: no selection is called so"));
                }
                asked.extend(&places);
                let nodes = places.into_iter().map(Node::Selection).collect::<Vec<_>>();
                Ok(match quantifier {
                    Quantifier::Any => Node::Any(nodes),
                    Quantifier::All => Node::All(nodes),
                    Quantifier::Count(count) if *count == 0 || *count > nodes.len() as u64 => {
                        return Err(format!("`{quantifier} of {pattern}`: there are {}", nodes.len()));
                    }
                    Quantifier::Count(count) => Node::AtLeast(*count, nodes),
                })
            }
        }
    }

    fn ask(&mut self, questions: &mut Questions) {
        match self {
            Node::All(nodes) | Node::Any(nodes) | Node::AtLeast(_, nodes) => {
                nodes.iter_mut().for_each(|node| node.ask(questions));
            }
            Node::Not(node) => node.ask(questions),
            Node::Item(item) => *self = Node::Asked(questions.number(item.clone())),
            Node::Asked(_) | Node::Selection(_) => {}
        }
    }

    fn holds(&self, event: &Asked<'_>, selections: &[Node]) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.holds(event, selections)),
            Node::Any(nodes) => nodes.iter().any(|node| node.holds(event, selections)),
            Node::AtLeast(count, nodes) => {
                let held = nodes.iter().filter(|node| node.holds(event, selections));
                held.take(usize::try_from(*count).unwrap_or(usize::MAX)).count() as u64 == *count
            }
            Node::Not(node) => !node.holds(event, selections),
            Node::Asked(number) => event.holds(*number),
            // Every rule of a set has put its questions among those of the set.
            Node::Item(_) => false,
            Node::Selection(at) => selections.get(*at).is_some_and(|node| node.holds(event, selections)),
        }
    }

    fn columns(&self, columns: &mut BTreeSet<&'static str>) {
        match self {
            Node::All(nodes) | Node::Any(nodes) | Node::AtLeast(_, nodes) => {
                nodes.iter().for_each(|node| node.columns(columns));
            }
            Node::Not(node) => node.columns(columns),
            Node::Item(item) => columns.extend(item.fields().flat_map(Field::columns)),
            // Its own place is among the selections.
            Node::Selection(_) | Node::Asked(_) => {}
        }
    }

    fn kinds(&self, selections: &[Node]) -> Option<BTreeSet<String>> {
        match self {
            Node::Item(item) if item.field.name() == "kind" => {
                item.only_texts().map(|texts| texts.iter().cloned().collect())
            }
            Node::Selection(at) => selections.get(*at).and_then(|node| node.kinds(selections)),
            Node::All(nodes) => {
                let known = nodes.iter().filter_map(|node| node.kinds(selections));
                known.reduce(|one, other| one.intersection(&other).cloned().collect())
            }
            Node::Any(nodes) => {
                let each = nodes.iter().map(|node| node.kinds(selections));
                each.collect::<Option<Vec<_>>>().map(|sets| sets.into_iter().flatten().collect())
            }
            Node::AtLeast(..) | Node::Not(_) | Node::Item(_) | Node::Asked(_) => None,
        }
    }
}
