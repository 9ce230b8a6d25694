//! The program's own logs: text or JSON lines on standard error.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, anyhow, bail};
use tracing_subscriber::EnvFilter;

use crate::configuration::Configuration;

/// Crates that the program stands on. What they say below a warning is of their insides, and quotes what they work on: SQL with
/// its constants, requests with their headers; the recorder's own lines alone are written with secrets in mind. Whatever level
/// is asked for, they are not heard below this, unless they are named.
const QUIET: &str = "datafusion=warn,datafusion_common=error,sqlparser=warn,arrow=warn,pgwire=warn,h2=warn,hyper=warn,\
                     reqwest=warn,rustls=warn,tonic=warn,tower=warn,axum=warn,librdkafka=warn,rdkafka=warn";

/// Starts the subscriber.
pub fn start(configuration: &Configuration, is_service: bool) -> Result<()> {
    let level = match configuration.text("log.level") {
        "" if is_service => format!("info,{QUIET}"),
        "" => format!("warn,{QUIET}"),
        // What is named later in a filter counts: who names one of them hears it.
        level => format!("{QUIET},{level}"),
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
