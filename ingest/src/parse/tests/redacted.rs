//! The lossless rule where secrets were removed: columns and attributes regenerate every key and value of the record, up to what
//! `redactions` names.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redact::Redactor;

use super::inverse::{canonical, regenerate};
use super::mappings::{Fixture, fixtures};
use super::samples::S1_RECORD;
use super::*;
use crate::scan;
use crate::unescape::unescape;

/// What stands for a secret begins so, and goes on to the next `>`.
const MARK: &str = "<redacted:";

/// Holds two values against each other: the same but for texts of `is`, in which marks may stand for what was in `was`.
fn hold(was: &Value, is: &Value, place: &str) {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(was), keys(is), "keys at {place}");
            was.iter().for_each(|(key, value)| hold(value, &is[key], &format!("{place}/{key}")));
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            was.iter().zip(is).for_each(|(was, is)| hold(was, is, &format!("{place}/[]")));
        }
        // A mark stands for a number, or for all of a list, too.
        (was, Value::String(is)) if is.contains(MARK) => {
            let was = was.as_str().map_or_else(|| was.to_string(), str::to_string);
            let mut rest = was.as_str();
            for (at, piece) in is.split(MARK).enumerate() {
                let kept = if at == 0 { piece } else { piece.split_once('>').expect("a mark ends").1 };
                let found =
                    rest.find(kept).unwrap_or_else(|| panic!("{kept:?} at {place} was not in {was:?}"));
                assert!(at > 0 || found == 0, "{place}: {is:?} does not begin as {was:?}");
                rest = &rest[found + kept.len()..];
            }
            assert!(rest.is_empty() || is.ends_with('>'), "{place}: {is:?} does not end as {was:?}");
        }
        _ => assert_eq!(was, is, "{place}"),
    }
}

/// How many marks of which class stand in which member, as column `redactions` says it.
fn marks(record: &str) -> Vec<String> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    scan::members(record, |key, _, value| {
        for mark in value.json.split(MARK).skip(1) {
            let class = mark.split([':', '>']).next().unwrap().to_string();
            *counts.entry((class, unescape(key).into_owned())).or_default() += 1;
        }
        ControlFlow::Continue(())
    });
    counts.into_iter().map(|((class, member), count)| format!("{class}:{count}:{member}")).collect()
}

/// Row `row` is all of `record` but what its `redactions` name.
pub(super) fn check(record: &str, rows: &Rows, row: usize) {
    let found = regenerate(rows, row);
    let (was, is): (Value, Value) =
        (serde_json::from_str(record).unwrap(), serde_json::from_str(&found).unwrap());
    hold(&was, &is, "");
    let named = rows.cell(row, "redactions");
    let mut named: Vec<String> =
        named.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_string()).collect();
    named.sort();
    let mut marked = marks(&found);
    marked.sort();
    assert_eq!(named, marked, "named and found in {found}");
    // Byte for byte what the rules make of the record: nothing else was changed on the way.
    let removed = Redactor::new([7; 32]).redact_json(record).unwrap().text.into_owned();
    assert_eq!(found, canonical(&removed));
}

/// Written so that this file holds none.
fn secrets() -> [(&'static str, String); 4] {
    let token = ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    [
        ("password", "\"Tr0ub4dor\"".to_string()),
        ("note", format!("\"use {token} for the deploy, \\\"quoted\\\" \\u00e9\"")),
        (
            "nested",
            format!("{{\"deep\":[1.50,{{\"body\":\"{{\\\"api_key\\\":\\\"{token}\\\",\\\"n\\\":1}}\"}}]}}"),
        ),
        ("pin", "{\"pin_code\":[\"a\",2],\"secret\":12345678,\"left\":null}".to_string()),
    ]
}

#[test]
fn records_of_all_formats_come_back_but_for_what_is_named() {
    let mut seen = std::collections::BTreeSet::new();
    for Fixture { mapping, record, .. } in fixtures() {
        for (key, secret) in secrets() {
            for at in 0..4 {
                let changed = mappings::changed(&record, &mut { at }, key, &secret, &mut -1, "");
                if changed == record {
                    continue;
                }
                let asked = Mappings::built_in().find(&mapping).unwrap();
                let rows = read_with(&changed, |context| context.mapping = Some(asked));
                assert_eq!(rows.count(), 1, "{mapping}: {:?} {changed}", rows.rejected);
                if !rows.cell(0, "redactions").is_null() {
                    check(&changed, &rows, 0);
                    seen.insert(mapping.clone());
                }
            }
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn the_published_record_comes_back() {
    let rows = read(S1_RECORD);
    lossless::check(S1_RECORD, &rows, 0);
    // And with a secret in it, but for that.
    let token = ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    let line = S1_RECORD.replace("queue://sev1", &format!("queue://sev1?as={token}"));
    let rows = read(&line);
    assert_eq!(rows.cell(0, "redactions"), serde_json::json!(["github_token:1:target"]));
    let removed = Redactor::new([7; 32]).redact_json(&line).unwrap().text.into_owned();
    lossless::check(&removed, &rows, 0);
    if let Some(published) = shared("samples/s1-record.json") {
        let published = String::from_utf8(published).unwrap();
        lossless::check(&published, &read(&published), 0);
    } else {
        eprintln!("SKIPPED: the sample folder is not beside the project");
    }
}

/// The page of Cursor's has kinds of values and no record; with the name of the hook in its place a line of it is one.
#[test]
fn the_sample_of_cursor_s_hooks_comes_back() {
    let Some(sample) = shared("samples/cursor-hooks.jsonl") else {
        eprintln!("SKIPPED: the sample folder is not beside the project");
        return;
    };
    let sample = String::from_utf8(sample).unwrap();
    let mut hooks = Vec::new();
    for line in sample.lines().filter(|line| !line.is_empty()) {
        let fields: Value = serde_json::from_str(line).unwrap();
        let hook = fields["_hook"].as_str().unwrap();
        let record =
            line.replace("\"hook_event_name\":\"string\"", &format!("\"hook_event_name\":\"{hook}\""));
        assert_ne!(record, line);
        // As it is listed, and with values of the kinds that it lists.
        let lively = record
            .replace("\"<json params>\"", "\"{\\\"city\\\": \\\"Rome\\\", \\\"n\\\": 1.50}\"")
            .replace("\"<tool result json>\"", "\"{\\\"content\\\":[]}\"")
            .replace("\"string | null\"", "null");
        for record in [record, lively] {
            let rows = read(&record);
            assert_eq!((rows.count(), rows.rejected_count), (1, 0), "{:?}", rows.rejected);
            assert!(rows.text(0, "source").ends_with("/cursor-hook/1"), "{}", rows.text(0, "source"));
            assert_eq!(regenerate(&rows, 0), canonical(&record));
            let token = ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat();
            let secret = record.replace("\"model\":\"string\"", &format!("\"model\":\"m {token} end\""));
            check(&secret, &read(&secret), 0);
        }
        hooks.push(hook.to_string());
    }
    assert_eq!(hooks, ["beforeMCPExecution", "afterMCPExecution"]);
}
