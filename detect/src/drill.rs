//! Drills: what each rule is there for, made to happen to a scratch engine, to see that the rule tells of it.
//!
//! Nothing here touches a store: an engine of its own folds a made past (for rules that need one, weeks of it) and then the scenario, under
//! the settings and rules that the detector has. What does not fire here does not fire there.

mod chance;
mod exact;
mod examples;
mod past;
mod scene;
mod unusual;

use std::collections::BTreeMap;

use engine::{Alert, Engine, RULE_IDS, Settings, Setup};
use sigma::Rehearsal;

use crate::error::Result;
use past::Past;
use scene::Scene;

/// What came of one drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The rule told of it.
    Fired {
        /// With which event of the scenario, from 1; the passing of time that a rule waits for counts as one.
        after: usize,
        /// What it told.
        alert: Box<Alert>,
    },
    /// It did not.
    NotFired {
        /// Events of the scenario.
        events: usize,
    },
    /// It is switched off.
    Disabled,
    /// There is no scenario that says anything about it, and why.
    NotDrilled(String),
}

/// One rule and what came of its drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Of the rule.
    pub rule_id: String,
    /// What was made to happen, in words.
    pub scenario: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is made to happen for one rule of the engine, and on which past.
struct Scenario {
    rule_id: &'static str,
    words: &'static str,
    past: Past,
    play: fn(&mut Scene, &Settings),
}

/// Drills every rule of the engine in the order of [`RULE_IDS`], then those in Sigma that have an example. Takes a core for some
/// seconds: not for an async thread.
///
/// # Errors
/// [`crate::Error::Engine`] for settings out of range.
pub fn drill(setup: &Setup, rehearsals: &[Rehearsal]) -> Result<Vec<Drill>> {
    setup.validate()?;
    let mut pasts: BTreeMap<Past, Engine> = BTreeMap::new();
    let mut drills = Vec::new();
    for rule_id in RULE_IDS {
        let found = exact::SCENARIOS.iter().chain(&unusual::SCENARIOS).find(|one| one.rule_id == rule_id);
        let Some(scenario) = found else {
            let why = "it has no scenario yet".to_owned();
            drills.push(Drill {
                rule_id: rule_id.to_owned(),
                scenario: String::new(),
                outcome: Outcome::NotDrilled(why),
            });
            continue;
        };
        let outcome = match setup.settings.disabled.contains(rule_id) {
            true => Outcome::Disabled,
            false => play(scenario, setup, &mut pasts)?,
        };
        drills.push(Drill { rule_id: rule_id.to_owned(), scenario: scenario.words.to_owned(), outcome });
    }
    drills.extend(examples::drills(setup, rehearsals)?);
    Ok(drills)
}

fn play(scenario: &Scenario, setup: &Setup, pasts: &mut BTreeMap<Past, Engine>) -> Result<Outcome> {
    let engine = match pasts.get(&scenario.past) {
        Some(engine) => engine.clone(),
        None => {
            // What is of the past is the same with the rules in Sigma and without, and they are no part of these drills.
            let mut scene = Scene::new(Engine::new(scene::TENANT, setup.settings.clone()));
            scenario.past.play(&mut scene);
            let engine = scene.engine()?;
            pasts.insert(scenario.past, engine.clone());
            engine
        }
    };
    let mut scene = Scene::at(engine, scenario.past.end_us());
    (scenario.play)(&mut scene, &setup.settings);
    scene.outcome(scenario.rule_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_engine_has_one_scenario() {
        let scenarios = exact::SCENARIOS.iter().chain(&unusual::SCENARIOS).map(|one| one.rule_id);
        let mut scenarios: Vec<&str> = scenarios.collect();
        let mut rules = RULE_IDS.to_vec();
        scenarios.sort_unstable();
        rules.sort_unstable();
        assert_eq!(scenarios, rules);
    }
}
