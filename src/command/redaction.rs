//! `tacho redaction`: what would be removed, and the review of what was missed.

mod review;
mod test;

use anyhow::Result;

use crate::arguments::Redaction;
use crate::configuration::Configuration;

/// Tries, draws, or records.
pub async fn run(command: Redaction, configuration: Configuration) -> Result<u8> {
    match command {
        Redaction::Test { file, text, tenant, json } => {
            test::run(&file, text, configuration.redaction()?.policies(&tenant), json)
        }
        Redaction::Sample { rows, days, json, target } => {
            review::sample(rows, days, json, &target, &configuration).await
        }
        Redaction::Verdict { sample, missed, clean: _, note, target } => {
            review::verdict(&sample, &missed, note.as_deref(), &target, &configuration).await
        }
    }
}
