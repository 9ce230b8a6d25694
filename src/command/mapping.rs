//! `tacho mapping`.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use ingest::{Context, Explained, Mappings, Rejected, Sessions, explain};
use redact::Redactor;
use schemas::principal::{Principal, Role};
use store::Clock as _;
use store::clock::SystemClock;

use super::{findings, print, printable};
use crate::arguments::Mapping;
use crate::configuration::Configuration;
use crate::exit;
use crate::mappings;

/// Runs the command.
pub fn run(command: &Mapping, configuration: &Configuration) -> Result<u8> {
    match command {
        Mapping::List => list(&mappings::load(configuration)?),
        Mapping::Test { file, sample, json } => test(configuration, file, sample, *json),
    }
}

fn list(mappings: &Mappings) -> Result<u8> {
    let mut text = String::new();
    for about in mappings.list() {
        let from = match (about.is_own, about.is_generic) {
            (true, _) => "yours",
            (false, true) => "built in, last",
            (false, false) => "built in",
        };
        text.push_str(&format!("{:<24} {from:<15} {}\n", about.name, about.about));
    }
    print(text.as_bytes())?;
    Ok(exit::CLEAN)
}

fn test(configuration: &Configuration, file: &Path, sample: &Path, json: bool) -> Result<u8> {
    let in_force = mappings::load(configuration)?;
    let named = file.to_str().and_then(|name| in_force.find(name).ok());
    let (mappings, wanted) = match named {
        Some(mapping) if !file.exists() => {
            let name = in_force.name(mapping).to_string();
            (in_force, vec![name])
        }
        _ => {
            let mappings = Mappings::with(&[mappings::file(file)?])?;
            let names =
                mappings.list().filter(|about| about.is_own).map(|about| about.name.to_string()).collect();
            (mappings, names)
        }
    };
    let records = read(sample)?;
    // No store and nobody's key: fingerprints of secrets mean nothing here, and nothing is kept.
    let (redactor, sessions) = (Redactor::new([0; 32]), Sessions::new());
    let countries = crate::countries::load(configuration)?;
    let principal = Principal {
        id: "t-test".to_string(),
        role: Role::Collector,
        tenant: "default".to_string(),
        source_ip: None,
        door: "file",
    };
    let context = Context {
        collector: "file",
        principal: &principal,
        mappings: &mappings,
        mapping: None,
        idempotency_key: None,
        line_first: 1,
        now_us: SystemClock::new().wall_us(),
        seed: [0; 32],
        redactor: &redactor,
        sessions: &sessions,
        countries: countries.as_ref(),
    };
    let (explained, rejected) = explain(&records, &context).with_context(|| sample.display().to_string())?;
    let mut text = String::new();
    let mut found = !rejected.is_empty() || explained.is_empty();
    for (number, record) in explained.iter().enumerate() {
        let is_wanted = wanted.contains(&record.mapping);
        found |= !is_wanted;
        text.push_str(&if json { line(record) } else { shown(number + 1, record, is_wanted) });
    }
    for Rejected { line, code, detail, .. } in &rejected {
        text.push_str(&if json {
            format!("{}\n", serde_json::json!({ "line": line, "refused": code.name(), "detail": detail }))
        } else {
            format!("line {line}: refused, {code}: {detail}\n")
        });
    }
    if explained.is_empty() && rejected.is_empty() {
        text.push_str("there is no record in the sample\n");
    }
    print(text.as_bytes())?;
    Ok(findings(found))
}

fn read(sample: &Path) -> Result<Vec<u8>> {
    if sample != Path::new("-") {
        return std::fs::read(sample).with_context(|| format!("read {}", sample.display()));
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    Ok(bytes)
}

/// One record as a JSON object.
fn line(record: &Explained) -> String {
    let columns = record.columns.iter().map(|(name, value, from)| {
        ((*name).to_string(), serde_json::json!({ "value": value, "from": from }))
    });
    let attributes = record.attributes.iter().map(|(name, json)| (name.clone(), json.clone().into()));
    let object = serde_json::json!({
        "mapping": record.mapping,
        "columns": columns.collect::<serde_json::Map<_, _>>(),
        "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        "redactions": record.redactions,
    });
    format!("{object}\n")
}

/// One record for people.
fn shown(number: usize, record: &Explained, is_wanted: bool) -> String {
    let note = if is_wanted { "" } else { ", which is not the one under test" };
    let mut text = format!("event {number}: {}{note}\n", record.mapping);
    for (name, value, from) in &record.columns {
        text.push_str(&format!("  {name:<20} {:<40} from {from}\n", printable(value)));
    }
    text.push_str("  stays in attributes\n");
    for (name, json) in &record.attributes {
        text.push_str(&format!("    {} = {}\n", printable(name), printable(json)));
    }
    let redactions =
        if record.redactions.is_empty() { "nothing".to_string() } else { record.redactions.join(", ") };
    text.push_str(&format!("  removed as secret: {redactions}\n"));
    text
}
