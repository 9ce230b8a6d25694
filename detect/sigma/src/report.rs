//! What the command line shows of rules: a list, and what examples and events make of them. Plain values with a text each; exit
//! codes are the caller's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::BufRead;
use std::path::Path;

use schemas::limits::{SIGMA_EVENTS_MAX, SIGMA_FILE_BYTES_MAX};

use crate::error::Error;
use crate::examples::{Examples, Failure, Rehearsal};
use crate::json_event::JsonEvent;
use crate::lists::{Lists, files, read_text};
use crate::rule::Rule;
use crate::rules::{Options, Rules};
use crate::shipped;
use crate::state::Correlations;

/// Every rule of a set, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReport {
    pub digest: String,
    /// Rules that can alert now.
    pub alerting: usize,
    /// Rules that wait for a list.
    pub waiting: usize,
    pub text: String,
}

/// What the examples beside rules showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestReport {
    pub cases: usize,
    pub failures: Vec<Failure>,
    /// Files or rules without an example that alerts, or without one that does not.
    pub untested: Vec<String>,
    pub text: String,
}

/// What a file of events made match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriedReport {
    pub events: usize,
    /// Alerts by id of the rule, with the first lines that caused one.
    pub alerts: BTreeMap<String, (u64, Vec<usize>)>,
    pub text: String,
}

impl TestReport {
    /// Whether all examples came right and every rule that alerts has one of each kind.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.untested.is_empty()
    }
}

/// Lists a set: level, title, whether it is in force, what it stands on.
pub fn list(rules: &Rules) -> ListReport {
    let mut text = String::new();
    let (mut alerting, mut waiting) = (0, 0);
    for rule in rules.rules() {
        let kind = if rule.is_correlation() { "correlation" } else { "rule" };
        let force = match (rule.is_active(), rule.alerts) {
            (false, _) => {
                waiting += 1;
                format!("waits for the list {}", printable(&rule.waits_for.join(", ")))
            }
            (true, true) => {
                alerting += 1;
                "alerts".to_owned()
            }
            (true, false) => "alerts nothing by itself".to_owned(),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{}  {:<13}  {:<11}  {}\n    {}; {}; {}",
            rule.id,
            rule.level.name(),
            kind,
            printable(&rule.title),
            force,
            printable(&rule.file),
            if rule.tags.is_empty() { "no tags".to_owned() } else { printable(&rule.tags.join(" ")) },
        );
    }
    let digest = rules.digest().to_owned();
    let _written = writeln!(
        text,
        "{} rules, {alerting} of them alert, {waiting} wait for a list; digest {digest}",
        rules.rules().len()
    );
    ListReport { digest, alerting, waiting, text }
}

/// Runs the examples: the shipped ones with lists of their own, those in `tests/` of the directory of one's own rules with one's own
/// lists.
pub fn test(options: &Options) -> Result<TestReport, Error> {
    let mut report = TestReport::default();
    if !options.without_shipped {
        let (rules, examples) = shipped_examples()?;
        report.run(&rules, &examples);
    }
    if let Some(directory) = &options.rules {
        let rules = Rules::load(options)?;
        report.run(&rules, &own_examples(directory)?);
    }
    for failure in &report.failures {
        let Failure { file, line, case, what } = failure;
        let _written = writeln!(report.text, "{file}: line {line}, case `{case}`: {what}");
    }
    for untested in &report.untested {
        let _written = writeln!(report.text, "{untested}");
    }
    let (cases, failures, untested) = (report.cases, report.failures.len(), report.untested.len());
    let _written = writeln!(report.text, "{cases} cases, {failures} failures, {untested} without examples");
    Ok(report)
}

/// The shipped pack under the lists that its examples are written for, and the examples.
pub(crate) fn shipped_examples() -> Result<(Rules, Vec<Examples>), Error> {
    let mut lists = Lists::default();
    for (name, is_networks, text) in shipped::LISTS {
        lists
            .add(name, is_networks, text)
            .map_err(|what| Error::Rules(vec![format!("shipped list {name}: {what}")]))?;
    }
    let texts = shipped::RULES.iter().map(|(name, text)| (shipped::file(name), (*text).to_owned()));
    let rules = Rules::from_texts(texts.collect(), Vec::new(), &lists, &BTreeSet::new())?;
    let examples = shipped::EXAMPLES.iter().map(|(name, text)| parsed(&shipped::file(name), text));
    Ok((rules, examples.collect::<Result<_, _>>()?))
}

/// For each rule of a set the first example that makes it tell something, of the shipped ones and those beside one's own.
pub fn rehearsals(options: &Options, rules: &Rules) -> Result<Vec<Rehearsal>, Error> {
    let mut examples = Vec::new();
    if let Some(directory) = &options.rules {
        examples.extend(own_examples(directory)?);
    }
    if !options.without_shipped {
        for (name, text) in &shipped::EXAMPLES {
            examples.push(parsed(&shipped::file(name), text)?);
        }
    }
    let of_rule = |rule: &Rule| {
        let beside = examples.iter().filter(|examples| examples.file == rule.file);
        beside.filter_map(|examples| examples.rehearsal(&rule.id, rule.name.as_deref())).next()
    };
    Ok(rules.rules().iter().filter_map(of_rule).collect())
}

fn own_examples(directory: &Path) -> Result<Vec<Examples>, Error> {
    let mut found = Vec::new();
    for path in files(directory, &["yml", "yaml"])? {
        let beside =
            directory.join("tests").join(path.with_extension("ndjson").file_name().unwrap_or_default());
        // Only what is not there is no examples: one that cannot be looked at is an error of reading.
        let is_there = std::fs::symlink_metadata(&beside)
            .map_or_else(|error| error.kind() != std::io::ErrorKind::NotFound, |_| true);
        let text = if is_there { read_text(&beside, SIGMA_FILE_BYTES_MAX)? } else { String::new() };
        found.push(parsed(&path.display().to_string(), &text)?);
    }
    Ok(found)
}

fn parsed(file: &str, text: &str) -> Result<Examples, Error> {
    Examples::parse(file, text).map_err(|what| Error::Rules(vec![what]))
}

impl TestReport {
    fn run(&mut self, rules: &Rules, examples: &[Examples]) {
        for examples in examples {
            let outcome = examples.run(rules);
            self.cases += outcome.cases;
            self.failures.extend(outcome.failures);
            if !outcome.has_negative {
                self.untested.push(format!("{}: no example that nothing alerts on", examples.file));
            }
            let of_file = rules.rules().iter().filter(|rule| rule.file == examples.file && rule.alerts);
            for rule in of_file.filter(|rule| !outcome.shown.contains(&rule.id)) {
                self.untested.push(format!(
                    "{}: no example that `{}` alerts on",
                    examples.file,
                    printable(&rule.title)
                ));
            }
        }
    }
}

/// Tries a file of events, one a line in column names, in their order. Times are the events' own; the clock is the latest of
/// them, or of `ingest_time`s where there are some.
pub fn try_events(rules: &Rules, name: &str, events: impl BufRead) -> Result<TriedReport, Error> {
    let mut report = TriedReport::default();
    let mut state = Correlations::new(rules);
    let mut clock_us = i64::MIN;
    for (at, line) in events.lines().enumerate() {
        let place = || format!("{name}: line {}", at + 1);
        let line = line.map_err(|error| Error::Event { place: place(), what: error.to_string() })?;
        if line.trim().is_empty() {
            continue;
        }
        if report.events >= SIGMA_EVENTS_MAX {
            let what = format!("more than {SIGMA_EVENTS_MAX} events: split the file");
            return Err(Error::Event { place: place(), what });
        }
        let event = JsonEvent::parse(&line).map_err(|what| Error::Event { place: place(), what })?;
        let Some(time_us) = event.number("time") else {
            return Err(Error::Event { place: place(), what: "no `time`: every event has one".to_owned() });
        };
        let placed_us = event.number("ingest_time").map_or(time_us, |receipt_us| receipt_us.min(time_us));
        clock_us = clock_us.max(placed_us);
        let index = i64::try_from(report.events).unwrap_or(i64::MAX);
        for found in state.observe(rules, &event, index, placed_us, clock_us) {
            let (count, lines) = report.alerts.entry(found.rule.id.clone()).or_default();
            *count = count.saturating_add(1);
            if lines.len() < schemas::limits::ENGINE_EVIDENCE_MAX {
                lines.push(at + 1);
            }
        }
        report.events += 1;
    }
    for (id, (count, lines)) in &report.alerts {
        let title = rules.rule(id).map(|rule| printable(&rule.title)).unwrap_or_default();
        let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
        let _written = writeln!(report.text, "{count:>8}  {title} ({id}), lines {}", lines.join(", "));
    }
    let _written = writeln!(report.text, "{} events, {} rules matched", report.events, report.alerts.len());
    Ok(report)
}

/// Text of a rule made fit for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
