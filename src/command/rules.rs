//! `tacho rules`. But for a reload it needs no store: rules are files, and so are the events that they are tried on.

use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{findings, print};
use crate::arguments::{OwnRules, Rules as Arguments, Target};
use crate::configuration::Configuration;
use crate::exit;
use crate::rules::Loaded;
use crate::service::Service;

/// Runs the command.
pub async fn run(command: Arguments, configuration: Configuration) -> Result<u8> {
    let configuration = &configuration;
    match &command {
        Arguments::Reload { json, target } => reload(*json, target, configuration).await,
        Arguments::List { own, json } => list(&options(own, configuration), *json),
        Arguments::Test { own, file: None } => {
            // What is switched off is tried as well: it may be switched on again.
            let options = sigma::Options { disabled: Default::default(), ..options(own, configuration) };
            let report = sigma::test(&options)?;
            print(report.text.as_bytes())?;
            Ok(findings(!report.is_clean()))
        }
        Arguments::Test { own, file: Some(file) } => try_events(&options(own, configuration), file),
    }
}

/// What the configuration names, or in its place what the command line does.
fn options(own: &OwnRules, configuration: &Configuration) -> sigma::Options {
    let configured = crate::rules::options(configuration);
    sigma::Options {
        rules: own.rules.clone().or(configured.rules),
        lists: own.lists.clone().or(configured.lists),
        ..configured
    }
}

fn list(options: &sigma::Options, json: bool) -> Result<u8> {
    let rules = sigma::Rules::load(options)?;
    if !json {
        print(sigma::list(&rules).text.as_bytes())?;
        return Ok(exit::CLEAN);
    }
    let each = rules.rules().iter().map(|rule| {
        json!({
            "id": rule.id,
            "name": rule.name,
            "title": rule.title,
            "description": rule.description,
            "level": rule.level.name(),
            "correlation": rule.is_correlation(),
            "alerts": rule.is_active() && rule.alerts,
            "lists": rule.lists,
            "waits_for": rule.waits_for,
            "tags": rule.tags,
            "file": rule.file,
        })
    });
    let object = json!({ "digest": rules.digest(), "rules": each.collect::<Vec<_>>() });
    print(format!("{object}\n").as_bytes())?;
    Ok(exit::CLEAN)
}

async fn reload(json: bool, target: &Target, configuration: &Configuration) -> Result<u8> {
    let service = Service::running(target, configuration)?;
    let answer = service.post("/api/v1/rules/reload", &json!({})).await?;
    service.close().await?;
    let loaded: Loaded = serde_json::from_slice(&answer).context("the answer is not that of a Tachograph")?;
    let text = match json {
        true => format!("{}\n", serde_json::to_string(&loaded)?),
        false => format!("{loaded}\n"),
    };
    print(text.as_bytes())?;
    Ok(exit::CLEAN)
}

fn try_events(options: &sigma::Options, file: &Path) -> Result<u8> {
    let rules = sigma::Rules::load(options)?;
    let report = if file == Path::new("-") {
        sigma::try_events(&rules, "standard input", std::io::stdin().lock())?
    } else {
        let name = file.display().to_string();
        let opened = std::fs::File::open(file).with_context(|| format!("read {name}"))?;
        sigma::try_events(&rules, &name, BufReader::new(opened))?
    };
    print(report.text.as_bytes())?;
    Ok(findings(!report.alerts.is_empty()))
}
