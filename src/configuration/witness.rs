//! The keys of witnesses.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use schemas::limits::{WITNESS_INTERVAL_S, WITNESS_INTERVAL_S_MAX};
use toml::Value;

use super::Configuration;

/// The keys, with defaults and meanings.
pub(super) fn known() -> [(&'static str, Value, &'static str); 3] {
    let text = || Value::String(String::new());
    let interval = Value::Integer(i64::try_from(WITNESS_INTERVAL_S).unwrap_or(i64::MAX));
    [
        (
            "witness.policy",
            text(),
            "file of the witnesses that cosign the root log (C2SP tlog-policy); empty for none",
        ),
        (
            "witness.ca",
            text(),
            "file of certificates that those of witnesses are checked against, PEM; empty for those that the world trusts",
        ),
        (
            "witness.interval_s",
            interval,
            "seconds between two checkpoints that are handed to witnesses, at least",
        ),
    ]
}

impl Configuration {
    /// The policy's file and that of the certificates.
    pub fn witness_files(&self) -> Option<(PathBuf, Option<PathBuf>)> {
        let path = |key: &str| Some(self.text(key)).filter(|text| !text.is_empty()).map(PathBuf::from);
        path("witness.policy").map(|policy| (policy, path("witness.ca")))
    }

    /// How often a checkpoint is handed over at most.
    pub fn witness_interval(&self) -> Result<Duration> {
        match self.number("witness.interval_s")? {
            seconds @ 1..=WITNESS_INTERVAL_S_MAX => Ok(Duration::from_secs(seconds)),
            seconds => bail!("witness.interval_s is {seconds}; give 1 to {WITNESS_INTERVAL_S_MAX}"),
        }
    }
}
