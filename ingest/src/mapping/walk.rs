//! One walk over a record that finds what the paths of a plan name; and looking up one path alone.

use std::borrow::Cow;
use std::ops::ControlFlow;

use schemas::limits::EVENT_KEYS_MAX;

use super::plan::{Node, Plan};
use crate::normalise::key;
use crate::scan::{self, Kind, Member, Value};
use crate::unescape::unescape;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found<'a> {
    Nothing,
    One(Value<'a>),
    /// A key on the way stands twice, inside what is kept whole.
    Twice,
}

/// Finds what the paths of a plan name.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    /// For each node what stands there.
    pub(super) found: Vec<Found<'a>>,
    /// Whether it is an attribute, unless a column takes it over.
    pub(super) leaf: Vec<bool>,
    /// Attributes that no path names; ends where there are more than a record may have.
    pub(super) loose: Vec<(Cow<'a, str>, &'a str)>,
    /// A key that stands twice where the record is taken apart: what is kept by its name could be kept once only.
    pub(super) twice: Option<String>,
}

impl<'a> Walk<'a> {
    /// Takes the member `key` of what stands at `outer`; only looks where `outer` is kept whole.
    pub(super) fn member(&mut self, outer: &'a Node, key: Cow<'a, str>, value: Value<'a>, only_looks: bool) {
        let known = outer.inside.binary_search_by(|(known, _)| known.as_str().cmp(&key)).ok();
        let at = known.and_then(|at| outer.inside.get(at)).map(|(_, at)| *at);
        let plan = self.plan;
        let Some((at, node)) = at.and_then(|at| Some((at, plan.nodes.get(at)?))) else {
            if !only_looks {
                let name = if outer.prefix == "/" && !key.starts_with('/') {
                    key
                } else {
                    name_in(&outer.prefix, &key).into()
                };
                self.loose.push((name, value.json));
            }
            return;
        };
        match self.found.get_mut(at) {
            Some(slot) if *slot == Found::Nothing => *slot = Found::One(value),
            _ if only_looks => return self.twice(at),
            _ => {
                self.twice.get_or_insert(key.into_owned());
                return;
            }
        }
        let is_empty =
            value.json.get(1..).is_none_or(|rest| rest.trim_start_matches([' ', '\n', '\r', '\t']).len() < 2);
        let opens = match value.kind {
            Kind::Object => !node.is_array,
            Kind::Array => node.is_array,
            _ => false,
        } && !node.inside.is_empty()
            && !is_empty;
        let looks = only_looks || node.is_whole;
        if !only_looks
            && (node.is_whole || !opens)
            && let Some(leaf) = self.leaf.get_mut(at)
        {
            *leaf = true;
        }
        if !opens {
            return;
        }
        if node.is_array {
            scan::items(value.json, |at, item| {
                self.member(node, at.to_string().into(), item, looks);
                self.goes_on()
            });
        } else {
            scan::members(value.json, |key, escaped, value| {
                let key = if escaped { unescape(key) } else { Cow::Borrowed(key) };
                self.member(node, key, value, looks);
                self.goes_on()
            });
        }
    }

    /// Whether the record can still be kept: one with too many keys is refused, and is not worth the memory before.
    pub(super) fn goes_on(&self) -> ControlFlow<()> {
        if self.loose.len() > EVENT_KEYS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Leaves open what stands at the node `at` and inside it. No deeper than a path is long.
    fn twice(&mut self, at: usize) {
        if let Some(slot) = self.found.get_mut(at) {
            *slot = Found::Twice;
        }
        let plan = self.plan;
        for (_, inner) in plan.nodes.get(at).map(|node| node.inside.as_slice()).unwrap_or_default() {
            self.twice(*inner);
        }
    }
}

/// The name in `attributes` of `key` inside what has the pointer `prefix`.
pub(super) fn name_in(prefix: &str, key: &str) -> String {
    if prefix == "/" && !key.starts_with('/') { key.to_string() } else { format!("{prefix}{}", escaped(key)) }
}

/// A key as part of a JSON pointer.
pub(super) fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

/// What stands at `path` in the record `text`; of keys that stand twice, the first.
pub(crate) fn find<'a>(text: &'a str, members: &[Member], path: &[String]) -> Option<Value<'a>> {
    let (first, rest) = path.split_first()?;
    let member = members.iter().find(|member| key(text, member) == first.as_str())?;
    rest.iter().try_fold(member.value(text), |value, key| step(value, key).0)
}

/// What stands at `path` in `value`.
pub(super) fn inside<'a>(mut value: Value<'a>, path: &[String]) -> Found<'a> {
    for key in path {
        value = match step(value, key) {
            (_, true) => return Found::Twice,
            (Some(inner), false) => inner,
            (None, false) => return Found::Nothing,
        };
    }
    Found::One(value)
}

/// What stands first at `key` in `value`, and whether something stands there again.
fn step<'a>(value: Value<'a>, wanted: &str) -> (Option<Value<'a>>, bool) {
    let (mut found, mut is_twice) = (None, false);
    match value.kind {
        Kind::Object => scan::members(value.json, |key, escaped, value| {
            let is_it = if escaped { unescape(key) == wanted } else { key == wanted };
            is_twice |= is_it && found.is_some();
            if is_it {
                found.get_or_insert(value);
            }
            ControlFlow::Continue(())
        }),
        Kind::Array => scan::items(value.json, |at, value| {
            if wanted.parse() == Ok(at) {
                found = Some(value);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }),
        _ => {}
    }
    (found, is_twice)
}
