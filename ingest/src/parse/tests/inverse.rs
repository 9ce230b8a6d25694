//! A record from its columns and attributes, by the mapping that read it: the inverse that the lossless rule is held against.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;
use crate::mapping::plan::{Conversion, Node, Plan};
use crate::scan::{self, Kind};
use crate::unescape::unescape;

/// Part of a record that is put together again.
#[derive(Debug)]
enum Tree {
    Leaf(String),
    Inner(BTreeMap<String, Tree>),
}

impl Tree {
    fn put(&mut self, path: &[String], json: String) {
        let Some((first, rest)) = path.split_first() else {
            *self = Tree::Leaf(json);
            return;
        };
        let Tree::Inner(inside) = self else { panic!("{path:?} is inside a value") };
        let inner = inside.entry(first.clone()).or_insert_with(|| Tree::Inner(BTreeMap::new()));
        inner.put(rest, json);
    }

    fn json(&self, plan: &Plan, node: Option<&Node>) -> String {
        match self {
            Tree::Leaf(json) => canonical(json),
            Tree::Inner(inside) => {
                let below = |key: &String| {
                    let found = node?.inside.iter().find(|(known, _)| known == key)?;
                    plan.nodes.get(found.1)
                };
                if node.is_some_and(|node| node.is_array) {
                    let mut items: Vec<(usize, String)> = inside
                        .iter()
                        .map(|(key, tree)| (key.parse().unwrap(), tree.json(plan, below(key))))
                        .collect();
                    items.sort();
                    assert!(items.iter().enumerate().all(|(at, (key, _))| at == *key), "a gap: {items:?}");
                    let items: Vec<String> = items.into_iter().map(|(_, json)| json).collect();
                    return format!("[{}]", items.join(","));
                }
                let members: Vec<String> = inside
                    .iter()
                    .map(|(key, tree)| {
                        format!("{}:{}", serde_json::to_string(key).unwrap(), tree.json(plan, below(key)))
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }
}

/// JSON text with keys in order and one spelling of strings; numbers as they stand.
pub(crate) fn canonical(json: &str) -> String {
    let value = scan::value(json).unwrap();
    match value.kind {
        Kind::Object => {
            let mut members = Vec::new();
            scan::members(value.json, |key, _, value| {
                members.push((unescape(key).into_owned(), canonical(value.json)));
                ControlFlow::Continue(())
            });
            members.sort_by(|left, right| left.0.cmp(&right.0));
            let member = |(key, json)| format!("{}:{json}", serde_json::to_string(&key).unwrap());
            let members: Vec<String> = members.into_iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        Kind::Array => {
            let mut items = Vec::new();
            scan::items(value.json, |_, value| {
                items.push(canonical(value.json));
                ControlFlow::Continue(())
            });
            format!("[{}]", items.join(","))
        }
        Kind::String => serde_json::to_string(&unescape(value.inside())).unwrap(),
        _ => value.json.to_string(),
    }
}

fn path(name: &str) -> Vec<String> {
    match name.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![name.to_string()],
    }
}

/// The record of row `row`, put together from its columns and attributes by the mapping that its `source` names.
pub(crate) fn regenerate(rows: &Rows, row: usize) -> String {
    let source = rows.text(row, "source");
    let name = source.splitn(3, '/').nth(2).unwrap();
    let mappings = Mappings::built_in();
    let plan = mappings.plan(mappings.find(name).unwrap()).unwrap();
    let attributes = rows.attributes(row);
    let oversize = rows.cell(row, "oversize");
    let mut tree = Tree::Inner(BTreeMap::new());
    for filling in plan.columns.iter().filter(|filling| filling.takes) {
        let column = schemas::Stream::Events.columns()[filling.place].name;
        let node = &plan.nodes[filling.rules[0].taken_node().unwrap()];
        let is_text = matches!(column, "arguments" | "result");
        let is_json = filling.rules[0].turn.kind == Conversion::Json;
        let kept = attributes.get(&node.name);
        let is_mark = is_text && !is_json && kept.is_some_and(|kept| kept == "\"string\"");
        if kept.is_some() && !is_mark {
            continue;
        }
        let json = match (&oversize[column], rows.cell(row, column)) {
            (_, Value::Null) => continue,
            (Value::String(whole), Value::Array(_)) => whole.clone(),
            (Value::String(whole), _) => serde_json::to_string(whole).unwrap(),
            (_, Value::Number(us)) if column == "time" => {
                let us = us.as_i64().unwrap();
                let digits = [0usize, 3, 6]
                    .into_iter()
                    .find(|digits| us % 10i64.pow(6 - *digits as u32) == 0)
                    .unwrap();
                format!("\"{:.digits$}\"", jiff::Timestamp::from_microsecond(us).unwrap())
            }
            (_, Value::String(text)) if is_text && !is_mark && !is_json && scan::is_json(&text) => text,
            (_, cell) => serde_json::to_string(&cell).unwrap(),
        };
        let pointer = node.prefix.trim_end_matches('/');
        tree.put(&path(pointer), json);
    }
    for (name, json) in &attributes {
        let is_mark = json == "\"string\""
            && plan.columns.iter().any(|filling| {
                let column = schemas::Stream::Events.columns()[filling.place].name;
                filling.takes
                    && matches!(column, "arguments" | "result")
                    && filling.rules[0].turn.kind == Conversion::Plain
                    && plan.nodes[filling.rules[0].taken_node().unwrap()].name == *name
                    && !rows.cell(row, column).is_null()
            });
        if !is_mark {
            tree.put(&path(name), json.clone());
        }
    }
    tree.json(plan, plan.nodes.first())
}
