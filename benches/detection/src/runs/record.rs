//! Recorded agent runs as sessions: tools, and where their calls sent things by ingest's own typing.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use redact::Redactor;
use serde::Deserialize;

/// What a run counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user's task without an attack.
    Benign,
    /// A prompt injection that reached its goal.
    Positive,
    /// Any other attacked run: it failed, or it was after denial of service.
    Attacked,
}

/// One call: the tool, and the items of the column `destinations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub tool: String,
    pub destinations: Vec<String>,
}

/// One session of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The model with what guards it.
    pub pipeline: String,
    /// The world with its tools: the role.
    pub suite: String,
    /// The user's task within the suite: the workflow.
    pub task: String,
    pub kind: Kind,
    pub calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Line {
    model: String,
    suite: String,
    user_task: String,
    attack: Option<String>,
    security: Option<bool>,
    run_error: Option<String>,
    calls: Vec<LineCall>,
}

#[derive(Deserialize)]
struct LineCall {
    tool: String,
    args: Box<serde_json::value::RawValue>,
}

/// The runs of a gzipped file, one JSON object a line, in its order; those that broke off and injection goals run as
/// user tasks are left out.
///
/// # Errors
/// The file is not there or not of this form: a sentence that says so.
pub fn load(file: &Path) -> Result<Vec<Run>, String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(|error| at(&error))?;
    let mut text = String::new();
    GzDecoder::new(opened).read_to_string(&mut text).map_err(|error| at(&error))?;
    parse(&text).map_err(|error| at(&error))
}

fn parse(text: &str) -> Result<Vec<Run>, String> {
    // Any key will do: fingerprints are only compared.
    let redactor = Redactor::new([7; 32]);
    let mut runs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))?;
        if let Some(kind) = kind(&line) {
            let calls = line.calls.iter().map(|call| typed(call, &redactor)).collect();
            let (pipeline, suite, task) = (line.model, line.suite, line.user_task);
            runs.push(Run { pipeline, suite, task, kind, calls });
        }
    }
    Ok(runs)
}

fn kind(line: &Line) -> Option<Kind> {
    if line.run_error.is_some() || line.user_task.starts_with("injection_task_") {
        return None;
    }
    let Some(attack) = &line.attack else { return Some(Kind::Benign) };
    let succeeded = line.security == Some(true) && !attack.contains("dos");
    Some(if succeeded { Kind::Positive } else { Kind::Attacked })
}

/// Redacted first, as in ingest: what a rule takes for a secret is its marker by then.
fn typed(call: &LineCall, redactor: &Redactor) -> Call {
    let arguments = call.args.get();
    let destinations = match redactor.redact_json(arguments) {
        Ok(redacted) => ingest::destinations_of(&call.tool, &redacted.text, redactor),
        Err(_) => Vec::new(),
    };
    Call { tool: call.tool.clone(), destinations }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(task: &str, attack: &str, security: &str, error: &str) -> String {
        format!(
            r#"{{"model":"m","suite":"s","user_task":"{task}","attack":{attack},"security":{security},"run_error":{error},"calls":[{{"tool":"send","args":{{"recipient":"a"}}}}]}}"#
        )
    }

    #[test]
    fn runs_are_sorted_into_kinds() {
        let lines = [
            (line("user_task_1", "null", "true", "null"), Some(Kind::Benign)),
            (line("injection_task_1", "null", "true", "null"), None),
            (line("user_task_1", "null", "true", "\"broke\""), None),
            (line("user_task_1", "\"direct\"", "true", "null"), Some(Kind::Positive)),
            (line("user_task_1", "\"direct\"", "false", "null"), Some(Kind::Attacked)),
            (line("user_task_1", "\"direct\"", "null", "null"), Some(Kind::Attacked)),
            (line("user_task_1", "\"captcha_dos\"", "true", "null"), Some(Kind::Attacked)),
        ];
        for (line, kind) in lines {
            let runs = parse(&line).unwrap();
            assert_eq!(runs.first().map(|run| run.kind), kind, "{line}");
            assert!(runs.iter().all(|run| run.calls[0].destinations.len() == 1));
        }
        assert!(parse("{}").unwrap_err().starts_with("line 1:"));
    }
}
