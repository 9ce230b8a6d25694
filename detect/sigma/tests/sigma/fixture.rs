//! Rules and events for tests.

use std::path::{Path, PathBuf};

use sigma::{Correlations, Error, JsonEvent, Options, Rules};

pub const SECOND_US: i64 = 1_000_000;
/// An id that differs in its last digits.
pub fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A directory with rules and one with lists.
pub struct Files {
    _root: tempfile::TempDir,
    pub rules: PathBuf,
    pub lists: PathBuf,
}

impl Files {
    pub fn new() -> Files {
        let root = tempfile::tempdir().unwrap();
        let (rules, lists) = (root.path().join("rules"), root.path().join("lists"));
        for directory in [&rules, &lists] {
            std::fs::create_dir(directory).unwrap();
        }
        Files { _root: root, rules, lists }
    }

    pub fn rule(&self, name: &str, text: &str) -> &Files {
        write(&self.rules.join(name), text);
        self
    }

    pub fn list(&self, name: &str, text: &str) -> &Files {
        write(&self.lists.join(name), text);
        self
    }

    pub fn options(&self) -> Options {
        Options {
            without_shipped: true,
            rules: Some(self.rules.clone()),
            lists: Some(self.lists.clone()),
            ..Options::default()
        }
    }

    pub fn load(&self) -> Result<Rules, Error> {
        Rules::load(&self.options())
    }

    /// What the errors of loading say.
    pub fn refusal(&self) -> String {
        self.load().expect_err("these rules are wrong").to_string()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A rule with these selections and this condition; its name is `rule_NUMBER`.
pub fn rule(number: u32, selections: &str, condition: &str) -> String {
    let selections: String = selections.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "title: Rule {number}\nid: {}\nname: rule_{number}\nlogsource:\n    product: tachograph\n    service: events\ndetection:\n{selections}    condition: {condition}\nlevel: medium\n",
        id(number)
    )
}

/// A correlation of these rules; `rest` are further lines of its section.
pub fn correlation(number: u32, kind: &str, rules: &[&str], timespan: &str, rest: &str) -> String {
    let rules: String = rules.iter().map(|rule| format!("        - {rule}\n")).collect();
    let rest: String = rest.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "title: Rule {number}\nid: {}\nname: rule_{number}\ncorrelation:\n    type: {kind}\n    rules:\n{rules}    timespan: {timespan}\n{rest}level: high\n",
        id(number)
    )
}

/// Its name, or its id.
pub fn rule_name(rule: &sigma::Rule) -> String {
    rule.name.clone().unwrap_or_else(|| rule.id.clone())
}

/// One file of these documents.
pub fn set(documents: &[String]) -> Rules {
    let files = Files::new();
    files.rule("set.yml", &documents.join("---\n"));
    files.load().unwrap_or_else(|error| panic!("{error}"))
}

pub fn event(json: &str) -> JsonEvent {
    JsonEvent::parse(json).unwrap()
}

/// Whether the one rule with these selections matches.
pub fn matches(selections: &str, json: &str) -> bool {
    !set(&[rule(1, selections, "1 of them")]).matches(&event(json)).is_empty()
}

/// Folds events at these seconds and gives, for each, the names of the rules that alert.
pub fn fold(rules: &Rules, events: &[(i64, &str)]) -> Vec<Vec<String>> {
    let mut state = Correlations::new(rules);
    let mut clock_us = i64::MIN;
    let each = events.iter().zip(0..).map(|((second, json), index)| {
        let time_us = second * SECOND_US;
        clock_us = clock_us.max(time_us);
        let found = state.observe(rules, &event(json), index, time_us, clock_us);
        found.iter().map(|found| found.rule.name.clone().unwrap()).collect()
    });
    each.collect()
}
