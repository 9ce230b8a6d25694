//! Where alerts and events go, as the configuration has it.

use anyhow::{Context as _, Result};
use toml::Value;

use super::Configuration;

/// The tables.
pub(super) const SINKS: &str = "sinks";

impl Configuration {
    /// Where alerts and events go.
    pub fn sinks(&self) -> Result<Vec<sinks::Sink>> {
        sinks::Sink::from_tables(&self.sinks).context("in tables sinks of the configuration")
    }

    /// The tables with every default; they name where credentials come from, and hold none.
    pub(super) fn sink_lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for sink in self.sinks()? {
            let tables = Value::Array(vec![Value::Table(sink.to_table()?)]);
            let table =
                toml::to_string(&toml::Table::from_iter([(SINKS.to_string(), tables)])).context(SINKS)?;
            lines.push(format!("\n# where alerts go, file\n{}", table.trim_end()));
        }
        Ok(lines)
    }
}
