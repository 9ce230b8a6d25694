//! The tables of the configuration that say who may come in but by token: `[[mtls]]` and `[oidc]`.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use toml::Value;

use super::certificates::{Certificates, Mapping};
use super::oidc::Provider;

/// Keys of the configuration that are tables of this module.
pub const TABLES: [&str; 2] = ["mtls", "oidc"];

/// Who may come in but by token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Client certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mtls: Vec<Mapping>,
    /// An OpenID provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Provider>,
}

impl Settings {
    /// Reads the tables.
    ///
    /// # Errors
    /// Names the key that is unknown or wrong.
    pub fn parse(tables: &toml::Table) -> Result<Settings> {
        let settings: Settings = Value::Table(tables.clone()).try_into().context("in the configuration")?;
        Certificates::new(&settings.mtls)?;
        settings.oidc.as_ref().map_or(Ok(()), Provider::check)?;
        Ok(settings)
    }
}
