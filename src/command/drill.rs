//! `tacho drill`: every rule made to fire, on a scratch detector.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use detect::{Drill, Outcome};
use serde_json::{Value, json};

use super::{findings, print, printable};
use crate::arguments::Drill as Arguments;
use crate::configuration::Configuration;

/// Plays every scenario and prints; 1 where a rule was drilled and did not fire. Those that could not be drilled are named and counted.
pub fn run(command: &Arguments, configuration: &Configuration) -> Result<u8> {
    let setup = crate::rules::setup(configuration)?;
    let rules = setup.rules.as_deref().context("there are no rules in Sigma")?;
    let rehearsals = sigma::rehearsals(&crate::rules::options(configuration), rules)?;
    let digest = rules.digest().to_owned();
    let drills = detect::drill(&setup, &rehearsals)?;
    let text = if command.json { json(&drills, &digest)? } else { text(&drills) };
    print(text.as_bytes())?;
    Ok(findings(drills.iter().any(is_failure)))
}

fn is_failure(drill: &Drill) -> bool {
    matches!(drill.outcome, Outcome::NotFired { .. })
}

/// The word for an outcome.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Fired { .. } => "fired",
        Outcome::NotFired { .. } => "not fired",
        Outcome::Disabled => "disabled",
        Outcome::NotDrilled(_) => "not drilled",
    }
}

fn text(drills: &[Drill]) -> String {
    let mut text = String::new();
    let widest = drills.iter().map(|drill| drill.rule_id.len()).max().unwrap_or(0);
    for Drill { rule_id, scenario, outcome } in drills {
        let told = match outcome {
            Outcome::Fired { after, alert } => format!("after {after} events: {}", alert.explanation),
            Outcome::NotFired { events } => format!("after {events} events: {scenario}"),
            Outcome::Disabled => "it is switched off".to_owned(),
            Outcome::NotDrilled(why) => format!("{why}: {scenario}"),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{:<11} {rule_id:<widest$} {}", word(outcome), printable(&told));
    }
    let count = |which: &str| drills.iter().filter(|drill| word(&drill.outcome) == which).count();
    let _written = writeln!(
        text,
        "{} fired, {} did not, {} are switched off, {} were not drilled",
        count("fired"),
        count("not fired"),
        count("disabled"),
        count("not drilled")
    );
    text
}

fn json(drills: &[Drill], rules_digest: &str) -> Result<String> {
    let each: Result<Vec<Value>> = drills.iter().map(one).collect();
    let whole = json!({
        "model_version": engine::MODEL_VERSION,
        "rules_digest": rules_digest,
        "none_silent": !drills.iter().any(is_failure),
        "not_drilled": drills.iter().filter(|drill| matches!(drill.outcome, Outcome::NotDrilled(_))).count(),
        "drills": each?,
    });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

/// What a drill told is marked as such, wherever it is carried.
fn one(drill: &Drill) -> Result<Value> {
    let Drill { rule_id, scenario, outcome } = drill;
    let mut value = json!({ "rule_id": rule_id, "scenario": scenario, "outcome": word(outcome) });
    let Some(object) = value.as_object_mut() else { return Ok(value) };
    match outcome {
        Outcome::Fired { after, alert } => {
            let mut alert = serde_json::to_value(alert)?;
            if let Some(alert) = alert.as_object_mut() {
                alert.insert("test".to_owned(), true.into());
            }
            object.insert("events".to_owned(), (*after).into());
            object.insert("alert".to_owned(), alert);
        }
        Outcome::NotFired { events } => drop(object.insert("events".to_owned(), (*events).into())),
        Outcome::NotDrilled(why) => drop(object.insert("why".to_owned(), why.as_str().into())),
        Outcome::Disabled => {}
    }
    Ok(value)
}
