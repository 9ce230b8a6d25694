//! The program's own logs: text or JSON lines on standard error.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, anyhow, bail};
use tracing_subscriber::EnvFilter;

use crate::configuration::Configuration;

/// DataFusion warns of every predicate that it cannot prune by, which is no news.
const QUIET: &str = "datafusion_common=error";

/// Starts the subscriber.
pub fn start(configuration: &Configuration, is_service: bool) -> Result<()> {
    let level = match configuration.text("log.level") {
        "" if is_service => format!("info,{QUIET}"),
        "" => format!("warn,{QUIET}"),
        level => level.to_string(),
    };
    let filter = EnvFilter::try_new(&level).with_context(|| format!("log.level: {level:?} is no filter"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match configuration.text("log.format") {
        "text" => builder.try_init(),
        "json" => builder.json().try_init(),
        other => bail!("log.format: {other:?} is not text or json"),
    };
    started.map_err(|error| anyhow!("logging: {error}"))
}
