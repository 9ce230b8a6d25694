//! Webhooks: a request a message, signed as Standard Webhooks 1.0.0 has it, or unsigned to a chat.
//!
//! What an answer means follows that document's "Delivery success and failure" and HTTP. 409 is no success there: it is tried
//! again, like what the receiver answers with a status from 500. A status from 400 is a
//! refusal, since the same request would be answered the same. A redirect, 404, and what says that our credential is not good are about the
//! sink and not about the message: then everything waits until it is mended, and nothing becomes a dead letter.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemas::limits::SINK_BATCH_SINGLE_MAX;
use serde::{Deserialize, Serialize};
use store::Clock;

use super::http::{self, Answer, Client, Endpoint, Http, Request};
use super::{Fate, Transport};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::secret::Credential;
use crate::tls::Tls;

mod signature;

use signature::Keys;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// A signed webhook, or a kill switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where it goes, if everybody may know that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file with the address, where it is itself what lets one in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The same in a variable of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// A file of keys: `whsec_…` (a shared secret) or `whsk_…` (Ed25519), one a line. Each signs, so that keys can be changed one
    /// after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The same in a variable of the environment, with spaces between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Files of TLS.
    pub tls: Tls,
    /// How it is spoken to.
    pub http: Http,
}

/// A chat's webhook: its address is what lets one in, and it knows of no signature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatSettings {
    /// A file with the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The same in a variable of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// Files of TLS.
    pub tls: Tls,
    /// How it is spoken to.
    pub http: Http,
}

/// Sends requests to one address.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    /// None for a chat.
    keys: Option<Credential>,
    batch_max: usize,
}

impl Webhook {
    /// A signed one.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub fn open(name: &str, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Webhook> {
        let wrong = |detail: &str| Error::Settings { sink: name.to_string(), detail: detail.to_string() };
        let secret = http::secret(name, settings.url_file.as_deref(), settings.url_env.as_deref())?;
        let endpoint = match (&settings.url, secret) {
            (Some(url), None) => http::known(name, "url", url, &settings.http)?,
            (None, Some(endpoint)) => endpoint,
            _ => return Err(wrong("give one of url, url_file and url_env")),
        };
        let keys = Credential::new(name, "key", settings.key_file.as_deref(), settings.key_env.as_deref())?;
        let keys = keys.ok_or_else(|| {
            wrong("give key_file or key_env, for what it is signed with; type = \"chat\" is for what is not signed")
        })?;
        Keys::read(&keys)?;
        Webhook::new(name, endpoint, Some(keys), (&settings.tls, &settings.http), clock)
    }

    /// One that stops somebody: as [`Webhook::open`], and one request at a time.
    ///
    /// # Errors
    /// The same.
    pub fn open_kill_switch(name: &str, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Webhook> {
        Ok(Webhook { batch_max: 1, ..Webhook::open(name, settings, clock)? })
    }

    /// One of a chat.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub fn open_chat(name: &str, settings: &ChatSettings, clock: Arc<dyn Clock>) -> Result<Webhook> {
        let endpoint = http::secret(name, settings.url_file.as_deref(), settings.url_env.as_deref())?;
        let endpoint = endpoint.ok_or_else(|| Error::Settings {
            sink: name.to_string(),
            detail: "give url_file or url_env: the address of a chat's webhook is what lets one in"
                .to_string(),
        })?;
        Webhook::new(name, endpoint, None, (&settings.tls, &settings.http), clock)
    }

    fn new(
        name: &str,
        endpoint: Endpoint,
        keys: Option<Credential>,
        with: (&Tls, &Http),
        clock: Arc<dyn Clock>,
    ) -> Result<Webhook> {
        let client = Client::new(name, endpoint, with, &[ID, TIMESTAMP, SIGNATURE], clock)?;
        Ok(Webhook { client, keys, batch_max: SINK_BATCH_SINGLE_MAX })
    }

    fn headers(&self, message: &Message) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some(keys) = &self.keys else { return Ok(headers) };
        // Receivers take an id that they know for a message that they have.
        let id = if message.kind == "event" { message.unique_id() } else { message.id.clone() };
        let id = signature::id(&id);
        let timestamp_s = self.client.clock().wall_us().div_euclid(1_000_000);
        let signatures = Keys::read(keys)?.sign(&id, timestamp_s, &message.body);
        let signatures = signatures.map_err(|error| keys.wrong(&error.to_string()))?;
        for (name, value) in [(ID, id), (TIMESTAMP, timestamp_s.to_string()), (SIGNATURE, signatures)] {
            let value =
                HeaderValue::try_from(value).map_err(|_| keys.wrong("signs what fits in no header"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    async fn send(&mut self, message: &Message) -> Fate {
        let headers = match self.headers(message) {
            Ok(headers) => headers,
            Err(error) => return Fate::away(error.to_string()),
        };
        let request = Request {
            below: &[],
            query: None,
            headers,
            content_type: message.content_type,
            body: message.body.clone(),
            answer_bytes_max: None,
        };
        match self.client.post(request).await {
            Ok(answer) => fate(&answer),
            Err(fate) => fate,
        }
    }
}

fn fate(answer: &Answer) -> Fate {
    if let Some(fate) = answer.trouble() {
        return fate;
    }
    match answer.status {
        status if status.is_success() => Fate::Taken,
        StatusCode::GONE => {
            answer.refused(": it wants no more of these; remove the sink, or give it another address")
        }
        StatusCode::CONFLICT => answer.failed(""),
        _ if answer.is_redirect() => {
            answer.away(": a redirect, which is not followed; give the sink the address that it leads to")
        }
        StatusCode::NOT_FOUND => answer.away(": nothing takes messages at this address; look at it"),
        _ => answer.refused(""),
    }
}

#[async_trait]
impl Transport for Webhook {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        // No request begins after this, so that what was answered is known soon.
        let until_us = self.client.clock().monotonic_us().saturating_add(super::us(self.client.timeout()));
        let mut fates = Vec::with_capacity(batch.len());
        for message in batch.iter().take(self.batch_max) {
            let fate = self.send(message).await;
            let is_later = matches!(fate, Fate::Later { .. });
            fates.push(fate);
            if is_later || self.client.clock().monotonic_us() >= until_us {
                break;
            }
        }
        fates
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn target(&self) -> String {
        self.client.target()
    }
}
