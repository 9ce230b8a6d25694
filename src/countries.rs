//! The database of countries that `ingest.country_database` names.

use std::path::Path;

use anyhow::{Context as _, Result};
use ingest::Countries;

use crate::configuration::Configuration;

/// Reads it, if there is one; one that cannot be used is an error.
pub fn load(configuration: &Configuration) -> Result<Option<Countries>> {
    match configuration.text("ingest.country_database") {
        "" => Ok(None),
        file => Ok(Some(Countries::open(Path::new(file)).context("ingest.country_database")?)),
    }
}
