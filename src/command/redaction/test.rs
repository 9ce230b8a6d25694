//! `tacho redaction test`: an event or a text as it would be recorded, and why.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use redact::{Finding, Policies, Redactor};
use schemas::limits;

use crate::command::{findings, print};

/// What is shown as JSON.
#[derive(Debug, serde::Serialize)]
struct Shown {
    findings: Vec<Line>,
    redacted: String,
}

#[derive(Debug, serde::Serialize)]
struct Line {
    class: &'static str,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    line: usize,
    column: usize,
    bytes: usize,
}

/// Reads and shows.
pub(super) fn run(file: &Path, as_text: bool, policies: Policies, json: bool) -> Result<u8> {
    let input = read(file)?;
    // A key that is thrown away: fingerprints of what is tried here are nobody's.
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let redactor = Redactor::new(key).with_policies(policies);
    let shown = if as_text { shown_text(&redactor, &input) } else { shown(&redactor, &input)? };
    let any = !shown.findings.is_empty();
    if json {
        print(format!("{}\n", serde_json::to_string(&shown)?).as_bytes())?;
        return Ok(findings(any));
    }
    let mut out = String::new();
    for Line { class, why, place, line, column, bytes } in &shown.findings {
        let place = place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
        out.push_str(&format!("{line}:{column}: {class}{place}, {bytes} bytes: {why}\n"));
    }
    out.push_str(shown.redacted.trim_end_matches('\n'));
    out.push('\n');
    print(out.as_bytes())?;
    Ok(findings(any))
}

fn read(file: &Path) -> Result<String> {
    let place = || format!("read {}", file.display());
    let mut bytes = Vec::new();
    let limit = limits::REDACT_TEST_BYTES_MAX;
    if file == Path::new("-") {
        std::io::stdin().take(limit + 1).read_to_end(&mut bytes).with_context(place)?;
    } else {
        File::open(file).with_context(place)?.take(limit + 1).read_to_end(&mut bytes).with_context(place)?;
    }
    if bytes.len() as u64 > limit {
        bail!("{} is over {limit} bytes; try a part of it", file.display());
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))
}

/// Lines of JSON one by one, as a collector takes them; one JSON value over several lines; else text.
fn shown(redactor: &Redactor, input: &str) -> Result<Shown> {
    let is_json = |text: &str| {
        text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    };
    if is_json(input) {
        return shown_json(redactor, input);
    }
    let filled = || input.lines().filter(|line| !line.trim().is_empty());
    if filled().next().is_none() || !filled().all(is_json) {
        return Ok(shown_text(redactor, input));
    }
    let mut all = Shown { findings: Vec::new(), redacted: String::new() };
    for (index, line) in input.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let one = shown_json(redactor, line)?;
        all.findings.extend(one.findings.into_iter().map(|found| Line { line: index + 1, ..found }));
        all.redacted.push_str(&one.redacted);
        all.redacted.push('\n');
    }
    Ok(all)
}

fn shown_json(redactor: &Redactor, json: &str) -> Result<Shown> {
    let found = redactor.findings_in_json(json)?;
    let redacted = redactor.redact_json(json)?.text.into_owned();
    Ok(Shown { findings: lines(json, found), redacted })
}

fn shown_text(redactor: &Redactor, text: &str) -> Shown {
    let found = redactor.findings_in_text(text);
    Shown { findings: lines(text, found), redacted: redactor.redact_text(text).text.into_owned() }
}

fn lines(text: &str, findings: Vec<Finding>) -> Vec<Line> {
    let line = |Finding { class, why, place, start, end }: Finding| {
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Line {
            class,
            why: why.to_string(),
            place,
            line: before.matches('\n').count() + 1,
            column: start - line_start + 1,
            bytes: end - start,
        }
    };
    findings.into_iter().map(line).collect()
}
