//! `tacho cursor`: sources of which a log knows how far they were read, and the end of that.
//!
//! Both work on the directory itself, with no service on it: what a running collector reads must not be forgotten under it.

use anyhow::{Context as _, Result, bail};

use super::{findings, print};
use crate::arguments::Cursor;
use crate::collectors::Settings;
use crate::configuration::Configuration;
use crate::exit;
use crate::node::{Duty, Node};

/// Lists, or forgets.
pub async fn run(command: &Cursor, configuration: &Configuration) -> Result<u8> {
    let settings = configuration.collector_settings()?;
    let opened = Node::open(configuration, Duty::Command).await;
    let node = opened.map_err(|error| match error.downcast_ref::<store::Error>() {
        Some(store::Error::Locked(_)) => {
            error.context("cursors are looked at while nothing reads; stop the service first")
        }
        _ => error,
    })?;
    let done = act(command, &settings, &node).await;
    node.close().await?;
    done
}

async fn act(command: &Cursor, settings: &Settings, node: &Node) -> Result<u8> {
    let ingest = node.ingest.as_ref().context("cursors are kept where the role is ingest; see roles")?;
    match command {
        Cursor::List { .. } => {
            let mut text = String::new();
            for source in ingest.sources() {
                let read = if settings.reads(&source) { "read" } else { "in no table" };
                let ingest::Source { tenant, collector, name, cursors } = &source;
                text.push_str(&format!(
                    "{:<40} {tenant:<20} {cursors:>5} {read}\n",
                    format!("{collector}/{name}")
                ));
            }
            print(text.as_bytes())?;
            Ok(findings(ingest.sources().iter().any(|source| !settings.reads(source))))
        }
        Cursor::Forget { source, tenant, .. } => {
            let Some((collector, name)) = source.split_once('/') else {
                bail!("{source} is no COLLECTOR/NAME; `tacho cursor list` shows them");
            };
            if settings.names(tenant, collector, name) {
                bail!("{source} of {tenant} is in the configuration: take its table out first");
            }
            let cursors = ingest.forget(tenant, collector, name).await?;
            if cursors == 0 {
                eprintln!("no log of {tenant} has cursors of {source}");
                return Ok(exit::FINDINGS);
            }
            let then =
                "a table of this name would read its source from the start, or from where its group is";
            print(format!("forgot {cursors} cursors of {source}: {then}\n").as_bytes())?;
            Ok(exit::CLEAN)
        }
    }
}
