//! Lists, examples, and events that somebody brings.

use std::path::Path;

use sigma::{Options, Rules, list, test, try_events};

use crate::fixture::{Files, rule, set};

#[test]
fn every_shipped_rule_has_an_example_that_alerts_and_one_that_does_not() {
    let report = test(&Options::default()).unwrap();
    assert!(report.is_clean(), "{}", report.text);
    assert!(report.cases > 100, "{}", report.text);
}

#[test]
fn every_shipped_rule_says_what_it_is() {
    let rules = Rules::load(&Options::default()).unwrap();
    for rule in rules.rules() {
        assert!(rule.name.is_some(), "{}", rule.title);
        if rule.alerts {
            assert!(rule.description.is_some() && !rule.falsepositives.is_empty(), "{}", rule.title);
            assert!(rule.framework_ids().iter().any(|id| id.starts_with("AML.T")), "{}", rule.title);
            assert!(rule.framework_ids().iter().any(|id| id.starts_with("MCP")), "{}", rule.title);
        }
    }
    let alerting = rules.rules().iter().filter(|rule| rule.alerts).count();
    assert!(alerting >= 20, "{alerting}");
}

#[test]
fn the_pack_is_what_lies_in_its_directory() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let names = |directory: &Path, ending: &str| -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let fitting = entries.filter(|path| path.extension().is_some_and(|found| found == ending));
        let mut names: Vec<String> =
            fitting.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let rules = Rules::load(&Options::default()).unwrap();
    let files: std::collections::BTreeSet<&str> =
        rules.rules().iter().map(|rule| rule.file.as_str()).collect();
    let shipped: Vec<String> = files
        .iter()
        .map(|file| file.trim_start_matches("shipped/").trim_end_matches(".yml").to_owned())
        .collect();
    assert_eq!(shipped, names(&directory, "yml"));
    assert_eq!(shipped, names(&directory.join("tests"), "ndjson"));
    // The directory loads as anybody's own, with the lists of the examples.
    let options = Options {
        without_shipped: true,
        rules: Some(directory.clone()),
        lists: Some(directory.join("tests/lists")),
        ..Options::default()
    };
    let own = Rules::load(&options).unwrap();
    assert_eq!(own.rules().len(), rules.rules().len());
    assert!(test(&options).unwrap().is_clean());
}

#[test]
fn a_list_says_what_is_in_force() {
    let rules = Rules::load(&Options::default()).unwrap();
    let report = list(&rules);
    assert!(report.waiting > 0 && report.alerting > 15, "{}", report.text);
    for part in [
        "waits for the list registered_servers",
        "alerts nothing by itself",
        rules.digest(),
        "atlas.aml.t0086",
    ] {
        assert!(report.text.contains(part), "{}", report.text);
    }
    assert_eq!(report.text.lines().count(), 2 * rules.rules().len() + 1);
    let odd = set(&[rule(1, "a:\n    server: x", "a").replace("title: Rule 1", "title: \"a\\e[31mb\"")]);
    assert!(!list(&odd).text.contains('\u{1b}'));
}

#[test]
fn own_examples_are_run_and_their_absence_told() {
    let files = Files::new();
    files.rule("a.yml", &rule(1, "a:\n    server: x", "a"));
    let report = test(&files.options()).unwrap();
    assert!(!report.is_clean() && report.untested.len() == 2, "{}", report.text);
    files.rule("tests/a.ndjson", "{\"_case\":\"yes\",\"_expect\":[\"rule_1\"],\"server\":\"x\"}\n{\"_case\":\"no\",\"server\":\"y\"}\n");
    assert!(test(&files.options()).unwrap().is_clean());
    files.rule("tests/a.ndjson", "{\"_case\":\"yes\",\"_expect\":[\"rule_1\"],\"server\":\"y\"}\n{\"_case\":\"no\",\"server\":\"x\"}\n");
    let report = test(&files.options()).unwrap();
    assert_eq!(report.failures.len(), 2, "{}", report.text);
    assert!(
        report.text.contains("line 1, case `yes`: `rule_1` is expected and does not alert"),
        "{}",
        report.text
    );
    assert!(
        report.text.contains("line 2, case `no`: `rule_1` alerts and is not expected"),
        "{}",
        report.text
    );
    let often = "{\"_case\":\"yes\",\"_times\":3,\"_expect\":[\"rule_1\"],\"server\":\"x\"}\n{\"_case\":\"no\",\"server\":\"y\"}\n";
    let report = test(&files.rule("tests/a.ndjson", often).options()).unwrap();
    assert!(report.text.contains("`rule_1` alerts at time 1 of 3"), "{}", report.text);
    for (line, part) in [
        ("{\"server\":\"x\"}", "no `_case`"),
        ("{\"_case\":\"a\",\"servr\":\"x\"}", "did you mean `server`?"),
        ("{\"_case\":\"a\",\"_times\":0}", "whole number"),
        ("{\"_case\":\"a\",\"_expect\":\"x\"}", "list of names"),
        ("[]", "no JSON object"),
        ("{", "no JSON"),
    ] {
        let message = test(&files.rule("tests/a.ndjson", line).options()).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("line 1"), "{message}");
    }
}

#[test]
fn events_are_tried_in_their_order() {
    let rules = Rules::load(&Options::default()).unwrap();
    let mut lines: Vec<String> = (0..10)
        .map(|second| format!(r#"{{"time":"2026-03-01T12:00:0{second}Z","kind":"auth","method":"login","status":"error","user_id":"eve"}}"#))
        .collect();
    lines.push(
        r#"{"time":"2026-03-01T12:01:00","kind":"auth","method":"login","status":"ok","user_id":"eve"}"#
            .to_owned(),
    );
    lines.push(r#"{"time":1,"ingest_time":9,"kind":"output","output_action":"block"}"#.to_owned());
    let report = try_events(&rules, "events.ndjson", lines.join("\n").as_bytes()).unwrap();
    assert_eq!(report.events, 12);
    let of = |name: &str| report.alerts.get(&rules.rule(name).unwrap().id).cloned();
    assert_eq!(of("success_after_failures_of_user"), Some((1, vec![11])));
    assert_eq!(of("output_blocked"), Some((1, vec![12])));
    assert!(report.text.contains("12 events, 2 rules matched"), "{}", report.text);
    for (line, part) in [
        ("{\"kind\":\"call\"}", "no `time`"),
        ("{\"time\":1.5}", "whole number"),
        ("{\"time\":1,\"kind\":7}", "text"),
    ] {
        let error = try_events(&rules, "events.ndjson", line.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("events.ndjson: line 1"), "{error}");
    }
}
