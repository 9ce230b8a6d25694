//! The program's own logs: text or JSON lines on standard error.

use anyhow::{Context as _, Result, anyhow, bail};
use tracing_subscriber::EnvFilter;

use crate::configuration::Configuration;

/// Starts the subscriber.
pub fn start(configuration: &Configuration) -> Result<()> {
    let level = configuration.text("log.level");
    let filter = EnvFilter::try_new(level).with_context(|| format!("log.level: {level:?} is no filter"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match configuration.text("log.format") {
        "text" => builder.try_init(),
        "json" => builder.json().try_init(),
        other => bail!("log.format: {other:?} is not text or json"),
    };
    started.map_err(|error| anyhow!("logging: {error}"))
}
