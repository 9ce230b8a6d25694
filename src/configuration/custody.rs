//! Where data and keys are, and what opens the seeds.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use toml::Value;

use super::{Configuration, Place};
use crate::arguments::Keys;
use crate::custody::Configured;

/// Keys with default and meaning.
pub(super) fn known() -> Vec<(&'static str, Value, &'static str)> {
    let none = || Value::Array(Vec::new());
    vec![
        (
            "keys_passphrase_file",
            Value::String(String::new()),
            "file with the passphrase of the seeds, if they are encrypted; TACHO_KEYS_PASSPHRASE does as well",
        ),
        (
            "keys_unwrap",
            none(),
            "program and arguments that read a wrapped seed and print the seed, if they are wrapped",
        ),
        ("keys_wrap", none(), "program and arguments that read a seed and print it wrapped"),
        ("keys_command_timeout_s", Value::Integer(30), "seconds that such a program may take"),
    ]
}

/// The place that a command of `tacho keys` is about.
pub(super) fn place(command: &Keys) -> Place {
    match command {
        Keys::Show { place, .. }
        | Keys::Encrypt { place }
        | Keys::Decrypt { place }
        | Keys::Wrap { place }
        | Keys::Rotate { place, .. } => place.clone(),
    }
}

impl Configuration {
    /// The data directory.
    pub fn data(&self) -> PathBuf {
        PathBuf::from(self.text("data"))
    }

    /// The directory of the keys.
    pub fn keys(&self) -> PathBuf {
        match self.text("keys") {
            "" => PathBuf::from(format!("{}-keys", self.text("data").trim_end_matches('/'))),
            keys => PathBuf::from(keys),
        }
    }

    /// What opens and closes the seeds.
    ///
    /// # Errors
    /// When the time is no whole number.
    pub fn custody(&self) -> Result<Configured> {
        let program = |key: &str| match self.values.get(key) {
            Some((Value::Array(words), _)) => {
                words.iter().filter_map(Value::as_str).map(str::to_string).collect()
            }
            _ => Vec::new(),
        };
        let file = self.text("keys_passphrase_file");
        Ok(Configured {
            passphrase_file: (!file.is_empty()).then(|| PathBuf::from(file)),
            unwrap: program("keys_unwrap"),
            wrap: program("keys_wrap"),
            timeout: Duration::from_secs(self.number("keys_command_timeout_s")?),
        })
    }
}
