//! HTTP towards witnesses: no redirects, no proxy, bounded time and memory; unencrypted only to this machine.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use reqwest::Url;
use reqwest::header::RETRY_AFTER;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use schemas::limits::{
    WITNESS_ANSWER_BYTES_MAX, WITNESS_CONNECT_TIMEOUT_MS, WITNESS_IDLE_MS, WITNESS_REASON_CHARS_MAX,
    WITNESS_TIMEOUT_MS,
};
use schemas::witness::ADD_CHECKPOINT;

use crate::error::{Error, Result};

/// How witnesses are spoken to.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// Certificates, PEM, that those of witnesses are checked against; absent for those that the world trusts.
    pub ca: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The beginning of what it says, for people.
    pub(super) fn told(&self) -> String {
        shown(&String::from_utf8_lossy(&self.body))
    }
}

/// The beginning of somebody else's text on one line.
pub(super) fn shown(text: &str) -> String {
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(WITNESS_REASON_CHARS_MAX).collect()
}

/// The place of one witness.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    client: reqwest::Client,
    url: Url,
}

impl Transport {
    /// A client for all witnesses.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub(super) fn client(&self) -> Result<reqwest::Client> {
        let wrong = |detail: String| Error::settings("witness certificates", detail);
        let mut roots = RootCertStore::empty();
        match &self.ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("there is none in the file; give PEM".to_string()));
                }
            }
        }
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| wrong(error.to_string()))?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        reqwest::Client::builder()
            .use_preconfigured_tls(config)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_millis(WITNESS_TIMEOUT_MS))
            .connect_timeout(Duration::from_millis(WITNESS_CONNECT_TIMEOUT_MS))
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_millis(WITNESS_IDLE_MS))
            .user_agent(concat!("tachograph/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .map_err(|error| wrong(because(&error)))
    }

    /// Where a witness of this submission prefix is.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub(super) fn endpoint(&self, client: &reqwest::Client, name: &str, prefix: &str) -> Result<Endpoint> {
        let wrong = |detail: String| Error::settings("witness policy", format!("URL of {name}: {detail}"));
        let mut url = Url::parse(prefix).map_err(|error| wrong(format!("{error}; give https://…")))?;
        let is_loopback = url.host_str().is_some_and(is_loopback);
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => {
                // Whoever is in between could make the log stop signing.
                return Err(wrong("is not encrypted; give https://…".to_string()));
            }
            other => return Err(wrong(format!("{other} is not https"))),
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(wrong("has a login, or a part behind ? or #".to_string()));
        }
        match url.path_segments_mut() {
            Ok(mut path) => drop(path.pop_if_empty().push(ADD_CHECKPOINT)),
            Err(()) => return Err(wrong("has no path".to_string())),
        }
        Ok(Endpoint { client: client.clone(), url })
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Endpoint {
    /// Sends a request.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<Answer, String> {
        let sent = self.client.post(self.url.clone()).body(body).send().await;
        let mut response = sent.map_err(|error| because(&error.without_url()))?;
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut answer = Answer {
            status: response.status(),
            retry_after: retry_after.map(Duration::from_secs),
            body: Vec::new(),
        };
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(answer),
                Ok(Some(chunk)) if answer.body.len() + chunk.len() <= WITNESS_ANSWER_BYTES_MAX => {
                    answer.body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => {
                    return Err(format!("an answer of more than {WITNESS_ANSWER_BYTES_MAX} bytes"));
                }
                Err(error) => return Err(because(&error.without_url())),
            }
        }
    }
}

/// What an error is about, and what that comes from; reqwest's own text alone says next to nothing.
fn because(error: &reqwest::Error) -> String {
    let kind = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        error if error.is_body() || error.is_decode() => "broken answer",
        _ => "no answer",
    };
    let mut last = None;
    let mut source = error.source();
    while let Some(error) = source {
        last = Some(error.to_string());
        source = error.source();
    }
    last.map_or_else(|| kind.to_string(), |last| format!("{kind}: {}", shown(&last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_or_local_prefixes_are_taken() {
        let transport = Transport::default();
        let client = transport.client().unwrap();
        let url =
            |prefix: &str| transport.endpoint(&client, "w", prefix).map(|endpoint| endpoint.url.to_string());
        assert_eq!(url("https://w.example").unwrap(), "https://w.example/add-checkpoint");
        assert_eq!(url("https://w.example/a/b/").unwrap(), "https://w.example/a/b/add-checkpoint");
        assert_eq!(url("http://127.0.0.1:1/x").unwrap(), "http://127.0.0.1:1/x/add-checkpoint");
        assert_eq!(url("http://[::1]:1").unwrap(), "http://[::1]:1/add-checkpoint");
        for bad in [
            "http://w.example",
            "ftp://w.example",
            "https://a:b@w.example",
            "https://w.example/?x",
            "x",
            "data:x",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert!(Transport { ca: Some(b"none".to_vec()) }.client().is_err());
    }
}
