//! Rules in Sigma as the configuration names them: the shipped pack, one's own, their lists, and which tell nothing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sigma::{Options, Rules};

use crate::configuration::Configuration;

/// Where they are, as the configuration has it.
pub fn options(configuration: &Configuration) -> Options {
    let directory = |key: &str| match configuration.text(key) {
        "" => None,
        path => Some(PathBuf::from(path)),
    };
    Options {
        without_shipped: false,
        rules: directory("sigma.rules"),
        lists: directory("sigma.lists"),
        disabled: configuration.texts("sigma.disabled"),
    }
}

/// Reads them: all or none, with every error that is found.
pub fn load(configuration: &Configuration) -> Result<Arc<Rules>> {
    let rules = Rules::load(&options(configuration)).context("rules in Sigma")?;
    Ok(Arc::new(rules))
}

/// What the detector folds under.
pub fn setup(configuration: &Configuration) -> Result<engine::Setup> {
    Ok(engine::Setup { settings: configuration.detect_settings()?, rules: Some(load(configuration)?) })
}
