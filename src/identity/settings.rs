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

#[cfg(test)]
mod tests {
    use super::*;

    const OIDC: &str = "[oidc]\nissuer = \"https://a\"\naudience = \"t\"\ntenant = \"a\"\nrole_claim = \"g\"\n\
         roles = {a = \"admin\"}\n[oidc.login]\n";

    fn parsed(login: &str) -> Result<Settings> {
        Settings::parse(&format!("{OIDC}{login}").parse().unwrap())
    }

    #[test]
    fn login_by_browser_is_read_shown_and_its_mistakes_are_named() {
        let whole = "client_id = \"t-login\"\nredirect_url = \"https://b/auth/callback\"";
        let settings = parsed(whole).unwrap();
        let shown = toml::to_string(&settings).unwrap();
        assert!(shown.contains("[oidc.login]") && shown.contains("session_s = 43200"), "{shown}");
        assert_eq!(Settings::parse(&shown.parse().unwrap()).unwrap(), settings, "what is shown can be read");
        for (login, named) in [
            ("client_id = \"t\"", "missing field `redirect_url`"),
            ("client_secret = \"s\"", "unknown field `client_secret`"),
            (
                "client_id = \"t\"\nredirect_url = \"http://b.example/auth/callback\"",
                "oidc.login.redirect_url",
            ),
            (&format!("{whole}\nsession_s = 0"), "oidc.login.session_s"),
            (&format!("{whole}\nscopes = [\"a b\"]"), "oidc.login.scopes"),
        ] {
            let error = format!("{:#}", parsed(login).unwrap_err());
            assert!(error.contains(named), "{login:?}: {error}");
        }
    }
}
