//! `[oidc.login]` of the configuration.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use openidconnect::url::Url;
use schemas::limits;
use serde::{Deserialize, Serialize};

use crate::identity::oidc::check_address;
use crate::tls;

/// The path of this service that a provider sends browsers back to.
pub(super) const CALLBACK: &str = "/auth/callback";
/// The client secret, where it is not in a file.
pub(super) const SECRET_VARIABLE: &str = "TACHO_OIDC_LOGIN_CLIENT_SECRET";

/// How a client says who it is where it exchanges a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// In the header.
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

/// `[oidc.login]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// As what this service is registered with the provider.
    pub client_id: String,
    /// The file with its secret; without it `TACHO_OIDC_LOGIN_CLIENT_SECRET`, and without that it is a public client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// How this service says at the provider who it is; without it, as the discovery document has it, Basic first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<Authentication>,
    /// This service's `/auth/callback` as browsers reach it, and as it is registered.
    pub redirect_url: String,
    /// What the provider is asked for, `openid` or not.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Seconds that a session lasts at most.
    #[serde(default = "session_s")]
    pub session_s: u64,
    /// Seconds without use after which it ends.
    #[serde(default = "session_idle_s")]
    pub session_idle_s: u64,
}

fn scopes() -> Vec<String> {
    vec!["openid".to_string()]
}

fn session_s() -> u64 {
    limits::LOGIN_SESSION_US.unsigned_abs() / 1_000_000
}

fn session_idle_s() -> u64 {
    limits::LOGIN_SESSION_IDLE_US.unsigned_abs() / 1_000_000
}

impl Settings {
    /// Refuses what cannot work or is not safe.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.client_id.is_empty(), "oidc.login.client_id is empty");
        let place = "oidc.login.redirect_url";
        check_address(&self.redirect_url).context(place)?;
        let url = Url::parse(&self.redirect_url).context(place)?;
        ensure!(
            url.path() == CALLBACK && url.query().is_none() && url.fragment().is_none(),
            "{place} is {:?}, and does not end in {CALLBACK}",
            self.redirect_url
        );
        let is_scope = |scope: &String| {
            !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        ensure!(self.scopes.iter().all(is_scope), "oidc.login.scopes: each is one word without quotes");
        for (name, seconds) in [("session_s", self.session_s), ("session_idle_s", self.session_idle_s)] {
            ensure!(
                (1..=limits::LOGIN_SESSION_S_MAX).contains(&seconds),
                "oidc.login.{name} is {seconds}, expected 1 to {}",
                limits::LOGIN_SESSION_S_MAX
            );
        }
        Ok(())
    }

    /// The client secret, from the file or what the environment has.
    pub(super) fn secret(&self, variable: Option<String>) -> Result<Option<String>> {
        let text = match (&self.client_secret_file, variable) {
            (Some(_), Some(_)) => {
                bail!("oidc.login.client_secret_file is set and so is {SECRET_VARIABLE}; give one of them")
            }
            (Some(path), None) => {
                let place = "oidc.login.client_secret_file";
                let bytes = tls::read_secret(place, path, limits::CLIENT_SECRET_BYTES_MAX)?;
                String::from_utf8(bytes)
                    .ok()
                    .with_context(|| format!("{place} {} is no text", path.display()))?
            }
            (None, Some(text)) => text,
            (None, None) => return Ok(None),
        };
        let text = text.trim();
        ensure!(!text.is_empty(), "the client secret of oidc.login is empty");
        Ok(Some(text.to_string()))
    }

    /// Scheme, host and port of the redirect URL, as browsers write them in `Origin`.
    pub(super) fn origin(&self) -> String {
        Url::parse(&self.redirect_url)
            .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }

    pub(super) fn is_secure(&self) -> bool {
        self.origin().starts_with("https://")
    }

    pub(super) fn session_us(&self) -> i64 {
        us(self.session_s)
    }

    pub(super) fn idle_us(&self) -> i64 {
        us(self.session_idle_s)
    }
}

fn us(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(redirect_url: &str) -> Settings {
        Settings {
            client_id: "tacho".to_string(),
            client_secret_file: None,
            client_authentication: None,
            redirect_url: redirect_url.to_string(),
            scopes: scopes(),
            session_s: session_s(),
            session_idle_s: session_idle_s(),
        }
    }

    #[test]
    fn what_cannot_work_or_is_not_safe_is_named() {
        let good = settings("https://tacho.internal:7420/auth/callback");
        good.check().unwrap();
        assert_eq!((good.origin().as_str(), good.is_secure()), ("https://tacho.internal:7420", true));
        let usual = settings("https://tacho.internal:443/auth/callback");
        assert_eq!(usual.origin(), "https://tacho.internal", "a browser does not write the usual port");
        let here = settings("http://127.0.0.1:7420/auth/callback");
        here.check().unwrap();
        assert!(!here.is_secure());
        for bad in [
            "http://tacho.internal/auth/callback",
            "https://tacho.internal/",
            "https://tacho.internal/auth/callback?x=1",
            "https://tacho.internal/auth/callback#x",
            "/auth/callback",
            "tacho",
        ] {
            let error = format!("{:#}", settings(bad).check().unwrap_err());
            assert!(error.contains("redirect_url"), "{bad}: {error}");
        }
        for (bad, named) in [
            (Settings { client_id: String::new(), ..good.clone() }, "client_id"),
            (Settings { scopes: vec!["a b".to_string()], ..good.clone() }, "scopes"),
            (Settings { session_s: 0, ..good.clone() }, "session_s"),
            (Settings { session_idle_s: limits::LOGIN_SESSION_S_MAX + 1, ..good }, "session_idle_s"),
        ] {
            let error = format!("{:#}", bad.check().unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_secret_comes_from_one_place_and_is_open_to_no_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let put = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let none = settings("https://a/auth/callback");
        assert_eq!(none.secret(None).unwrap(), None, "a public client");
        assert_eq!(none.secret(Some("s".to_string())).unwrap().as_deref(), Some("s"));
        let file = Settings { client_secret_file: Some(path.clone()), ..none };
        put("of-a-test\n", 0o600);
        assert_eq!(file.secret(None).unwrap().as_deref(), Some("of-a-test"));
        assert!(file.secret(Some("s".to_string())).is_err(), "two");
        for (text, mode, named) in [
            ("of-a-test", 0o644, "chmod 600"),
            ("\n", 0o600, "empty"),
            (&*"x".repeat(5000), 0o600, "over 4096 bytes"),
        ] {
            put(text, mode);
            let error = format!("{:#}", file.secret(None).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
