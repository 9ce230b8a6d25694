//! `tacho backtest`: the stored past through the detector again, held against the alerts that are on record.
//!
//! It works on the directory itself, with no service on it: what a running detector has not told yet would look like a difference.

use std::collections::VecDeque;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use detect::{Backtest, Counts, Difference, Entry};
use schemas::Stream;

use super::{findings, print, printable};
use crate::arguments::Backtest as Arguments;
use crate::configuration::Configuration;
use crate::node::{Duty, Node};

/// Folds and prints; 1 where the log is not what the fold gives.
pub async fn run(command: &Arguments, configuration: &Configuration) -> Result<u8> {
    let opened = Node::open(configuration, Duty::Command).await;
    let node = opened.map_err(|error| match error.downcast_ref::<store::Error>() {
        Some(store::Error::Locked(_)) => error.context(
            "a backtest needs the directory for itself; stop the service, or give a copy of the directory",
        ),
        _ => error,
    })?;
    let done = act(command, configuration, &node).await;
    node.close().await?;
    done
}

async fn act(command: &Arguments, configuration: &Configuration, node: &Node) -> Result<u8> {
    let setup = crate::rules::setup(configuration)?;
    let alerts = node.store.snapshot(&command.tenant, Stream::Alerts);
    let Some(events) = node.store.snapshot(&command.tenant, Stream::Events) else {
        bail!("there is no tenant {}; --tenant names one", command.tenant);
    };
    let show = command.show;
    let compare = move || {
        let mut shown = VecDeque::new();
        let each = |difference: Difference| {
            if shown.len() < show {
                shown.push_back(difference);
            }
        };
        detect::backtest(alerts, events, setup, each).map(|found| (found, shown))
    };
    let compared = tokio::task::spawn_blocking(compare).await.context("the backtest broke off")?;
    let (found, shown) = compared?;
    let text = if command.json { json(&found, &shown)? } else { text(&found, &shown) };
    print(text.as_bytes())?;
    Ok(findings(!found.is_same()))
}

fn text(found: &Backtest, shown: &VecDeque<Difference>) -> String {
    let mut text = format!("{} entries folded by model {}\n", found.events, engine::MODEL_VERSION);
    let widest = found.rules.keys().map(String::len).max().unwrap_or(0).max("rule".len());
    if !found.rules.is_empty() {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{:<widest$} {:>9} {:>9} {:>16} {:>16}",
            "rule", "same", "changed", "only on record", "only in the fold"
        );
    }
    for (rule, Counts { same, changed, recorded, computed }) in &found.rules {
        let _written = writeln!(text, "{rule:<widest$} {same:>9} {changed:>9} {recorded:>16} {computed:>16}");
    }
    for difference in shown {
        let (what, entry) = told(difference);
        let Entry { position, rule_id, state, entity, explanation, .. } = entry;
        let columns = match difference {
            Difference::Changed(_, columns) => format!(" in {}", columns.join(", ")),
            Difference::Recorded(_) | Difference::Computed(_) => String::new(),
        };
        let _written = writeln!(
            text,
            "{what}{columns}: entry {position}, {rule_id} {state}, {}: {}",
            printable(entity),
            printable(explanation)
        );
    }
    let different = found.rules.values().map(|counts| counts.changed + counts.recorded + counts.computed);
    let different: u64 = different.sum();
    text.push_str(&match different {
        0 => "verdict: the alerts on record are what the fold gives, every one\n".to_owned(),
        _ if different > shown.len() as u64 => {
            format!("verdict: {different} alerts differ, {} of them shown (--show)\n", shown.len())
        }
        _ => format!("verdict: {different} alerts differ\n"),
    });
    text
}

fn told(difference: &Difference) -> (&'static str, &Entry) {
    match difference {
        Difference::Recorded(entry) => ("only on record", entry),
        Difference::Computed(entry) => ("only in the fold", entry),
        Difference::Changed(entry, _) => ("changed", entry),
    }
}

fn json(found: &Backtest, shown: &VecDeque<Difference>) -> Result<String> {
    let rules: serde_json::Map<String, serde_json::Value> = found
        .rules
        .iter()
        .map(|(rule, Counts { same, changed, recorded, computed })| {
            let counts = serde_json::json!({
                "same": same, "changed": changed, "only_recorded": recorded, "only_computed": computed,
            });
            (rule.clone(), counts)
        })
        .collect();
    let differences: Vec<serde_json::Value> = shown
        .iter()
        .map(|difference| {
            let (what, Entry { position, ordinal, rule_id, state, entity, explanation }) = told(difference);
            let columns = match difference {
                Difference::Changed(_, columns) => columns.clone(),
                Difference::Recorded(_) | Difference::Computed(_) => Vec::new(),
            };
            serde_json::json!({
                "difference": what, "columns": columns, "position": position, "ordinal": ordinal, "rule_id": rule_id,
                "state": state, "entity": entity, "explanation": explanation,
            })
        })
        .collect();
    let whole = serde_json::json!({
        "entries": found.events, "model_version": engine::MODEL_VERSION, "same": found.is_same(), "rules": rules,
        "differences": differences,
    });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}
