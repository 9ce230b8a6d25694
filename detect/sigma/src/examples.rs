//! Examples beside a file of rules: events, and which rules each makes match.
//!
//! `tests/NAME.ndjson` beside `NAME.yml` has one event a line, in column names, with keys of its own that begin with `_`:
//! `_case` (lines of one name in a row are one sequence, each with an empty state), `_expect` (ids or names of rules of that file
//! that alert at this line; without it none may), `_after_s` (seconds since the line before, 1 by default), `_times` (the line comes
//! so often; `_expect` is for the last, and none before it may alert).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::json_event::JsonEvent;
use crate::rules::Rules;
use crate::state::Correlations;

/// Time of the first line of a case that has no `time`: 2026-01-01 in microseconds.
const EPOCH_US: i64 = 1_767_225_600_000_000;
const SECOND_US: i64 = 1_000_000;
/// Keys that are not columns.
const KEYS: [&str; 4] = ["_case", "_expect", "_after_s", "_times"];

/// One line of a file of examples.
#[derive(Debug)]
struct Line {
    number: usize,
    case: String,
    expect: BTreeSet<String>,
    after_us: i64,
    times: i64,
    event: JsonEvent,
}

/// The examples of one file of rules.
#[derive(Debug)]
pub struct Examples {
    /// Of the file with the rules.
    pub file: String,
    lines: Vec<Line>,
}

/// A line that matched otherwise than it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub file: String,
    pub line: usize,
    pub case: String,
    pub what: String,
}

/// The first case of an example that makes a rule tell something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    pub rule_id: String,
    pub steps: Vec<Step>,
}

/// An event of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Seconds since the one before.
    pub after_s: i64,
    /// It comes so often.
    pub times: i64,
    pub event: JsonEvent,
}

/// What a file of examples showed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub cases: usize,
    pub failures: Vec<Failure>,
    /// Ids of rules that alerted where they should.
    pub shown: BTreeSet<String>,
    /// Whether a line without alerts came right.
    pub has_negative: bool,
}

impl Examples {
    /// Reads the text of a file of examples.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Examples, String> {
        let mut lines = Vec::new();
        for (at, text) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            lines.push(
                line(at + 1, text).map_err(|what| format!("examples of {file}: line {}: {what}", at + 1))?,
            );
        }
        Ok(Examples { file: file.to_owned(), lines })
    }

    /// The events up to the first line that the rule of that id (or name) is expected to alert at.
    pub(crate) fn rehearsal(&self, id: &str, name: Option<&str>) -> Option<Rehearsal> {
        let is_of_rule =
            |line: &Line| line.expect.contains(id) || name.is_some_and(|name| line.expect.contains(name));
        self.lines.chunk_by(|one, other| one.case == other.case).find_map(|lines| {
            let last = lines.iter().position(is_of_rule)?;
            let step = |line: &Line| {
                let after_s = line.after_us / SECOND_US;
                Step { after_s, times: line.times, event: line.event.clone() }
            };
            let steps = lines.iter().take(last + 1).map(step).collect();
            Some(Rehearsal { rule_id: id.to_owned(), steps })
        })
    }

    /// Tries the examples against the rules of their file in `rules`.
    pub(crate) fn run(&self, rules: &Rules) -> Outcome {
        let of_file: BTreeMap<&str, &str> = rules
            .rules()
            .iter()
            .filter(|rule| rule.file == self.file)
            .map(|rule| (rule.id.as_str(), rule.name.as_deref().unwrap_or(&rule.id)))
            .collect();
        let mut outcome = Outcome::default();
        for lines in self.lines.chunk_by(|one, other| one.case == other.case) {
            outcome.cases += 1;
            let mut state = Correlations::new(rules);
            let (mut clock_us, mut index) = (EPOCH_US, 0);
            for line in lines {
                let mut alerted = BTreeSet::new();
                for time in 1..=line.times {
                    clock_us = clock_us.saturating_add(line.after_us);
                    let mut event = line.event.clone();
                    event.set_missing_number("time", clock_us);
                    let time_us = event.number("time").unwrap_or(clock_us);
                    let found = state.observe(rules, &event, index, time_us, clock_us.max(time_us));
                    alerted = found
                        .iter()
                        .map(|found| found.rule.id.as_str())
                        .filter(|id| of_file.contains_key(id))
                        .collect();
                    index += 1;
                    // A rule that alerts at the fifth of ten has another threshold than its example shows.
                    if time < line.times && !alerted.is_empty() {
                        let names =
                            alerted.iter().filter_map(|id| of_file.get(id)).copied().collect::<Vec<_>>();
                        outcome.failures.push(Failure {
                            file: self.file.clone(),
                            line: line.number,
                            case: line.case.clone(),
                            what: format!("`{}` alerts at time {time} of {}", names.join("`, `"), line.times),
                        });
                        break;
                    }
                }
                outcome.judge(self, line, &alerted, &of_file);
            }
        }
        outcome
    }
}

impl Outcome {
    fn judge(
        &mut self,
        examples: &Examples,
        line: &Line,
        alerted: &BTreeSet<&str>,
        of_file: &BTreeMap<&str, &str>,
    ) {
        let is_expected = |id: &str| {
            line.expect.contains(id) || of_file.get(id).is_some_and(|name| line.expect.contains(*name))
        };
        let mut fail = |what: String| {
            let (file, case) = (examples.file.clone(), line.case.clone());
            self.failures.push(Failure { file, line: line.number, case, what });
        };
        for id in alerted.iter().filter(|id| !is_expected(id)) {
            fail(format!("`{}` alerts and is not expected", of_file.get(id).copied().unwrap_or(id)));
        }
        for expected in &line.expect {
            let id =
                of_file.iter().find(|(id, name)| *id == expected || *name == expected).map(|(id, _)| *id);
            match id {
                None => fail(format!("`{expected}` is no rule of this file")),
                Some(id) if !alerted.contains(id) => {
                    fail(format!("`{expected}` is expected and does not alert"));
                }
                Some(id) => drop(self.shown.insert(id.to_owned())),
            }
        }
        self.has_negative |= line.expect.is_empty() && alerted.is_empty();
    }
}

fn line(number: usize, text: &str) -> Result<Line, String> {
    let value: Json = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let Json::Object(mut object) = value else { return Err("no JSON object".to_owned()) };
    let own: Map<String, Json> = KEYS.iter().filter_map(|key| object.remove_entry(*key)).collect();
    let whole = |key: &str, least: i64| match own.get(key).map(Json::as_i64) {
        None => Ok(1),
        Some(Some(number)) if (least..=i64::from(u16::MAX)).contains(&number) => Ok(number),
        Some(_) => Err(format!("`{key}` is a whole number from {least} to {}", u16::MAX)),
    };
    let expect = match own.get("_expect") {
        None => BTreeSet::new(),
        Some(Json::Array(names)) => {
            let names = names
                .iter()
                .map(|name| name.as_str().map(str::to_owned).ok_or("`_expect` is a list of names"));
            names.collect::<Result<_, _>>()?
        }
        Some(_) => return Err("`_expect` is a list of names".to_owned()),
    };
    let case = match own.get("_case") {
        Some(Json::String(case)) => case.clone(),
        _ => return Err("no `_case`: name the sequence that the line belongs to".to_owned()),
    };
    let after_us = whole("_after_s", 0)?.saturating_mul(SECOND_US);
    Ok(Line { number, case, expect, after_us, times: whole("_times", 1)?, event: JsonEvent::of(&object)? })
}
