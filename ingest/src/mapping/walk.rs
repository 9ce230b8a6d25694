//! One walk over a record that finds what the paths of a plan name; and looking up one path alone.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::plan::{Node, Plan};
use crate::normalise::key;
use crate::scan::{self, Kind, Member, Value};
use crate::unescape::unescape;

/// Finds what the paths of a plan name.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    /// For each node what stands there.
    pub(super) found: Vec<Option<Value<'a>>>,
    /// Whether it is an attribute, unless a column takes it over.
    pub(super) leaf: Vec<bool>,
    /// Attributes that no path names.
    pub(super) loose: Vec<(Cow<'a, str>, &'a str)>,
    /// A key that stands twice.
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
            Some(slot) if slot.is_none() => *slot = Some(value),
            _ if only_looks => return,
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
                ControlFlow::Continue(())
            });
        } else {
            scan::members(value.json, |key, escaped, value| {
                let key = if escaped { unescape(key) } else { Cow::Borrowed(key) };
                self.member(node, key, value, looks);
                ControlFlow::Continue(())
            });
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

/// What stands at `path` in the record `text`.
pub(crate) fn find<'a>(text: &'a str, members: &[Member], path: &[String]) -> Option<Value<'a>> {
    let (first, rest) = path.split_first()?;
    let member = members.iter().find(|member| key(text, member) == first.as_str())?;
    inside(member.value(text), rest)
}

/// What stands at `path` in `value`.
pub(super) fn inside<'a>(value: Value<'a>, path: &[String]) -> Option<Value<'a>> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let mut found = None;
    match value.kind {
        Kind::Object => scan::members(value.json, |key, escaped, value| {
            let is_it = if escaped { unescape(key) == first.as_str() } else { key == first };
            if is_it {
                found = Some(value);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }),
        Kind::Array => {
            let wanted = first.parse::<usize>().ok()?;
            scan::items(value.json, |at, value| {
                if at == wanted {
                    found = Some(value);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
        }
        _ => {}
    }
    inside(found?, rest)
}
