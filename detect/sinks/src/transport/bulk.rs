//! Elasticsearch and OpenSearch: `_bulk` with `create` and the message's id, so that what is sent again is there once.
//!
//! Each item has a status of its own (REST API, "Bulk index or delete documents"): created, there already (409), overloaded (429),
//! not to be indexed (400: on the list of dead letters, with the type of the error and nothing of the document). Answers are in the order of
//! the request; that each is of the item that it stands for is checked, or nothing of it counts. An item that lacks a right, or an
//! index, says that the sink is set up wrongly: it waits.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue};
use schemas::limits::{
    BULK_ANSWER_BYTES_MAX, BULK_ERROR_TYPE_BYTES_MAX, BULK_INDEX_BYTES_MAX, SINK_BATCH_MAX,
    SINK_REQUEST_BYTES,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Clock;

use super::http::{self, Answer, Client, Http, Request};
use super::{Fate, Transport, fitting};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::secret::{Credential, Secret};
use crate::tls::Tls;

const NDJSON: &str = "application/x-ndjson";
/// What of the answer is wanted: it is as long as the request otherwise.
const WANTED: &str = "items.create._id,items.create.status,items.create.error.type";

/// An index or data stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `https://host:9200`.
    pub url: String,
    /// Name of the data stream or index.
    pub index: String,
    /// File of an API key, as `POST /_security/api_key` gives it under `encoded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// The same in a variable of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Who, where there is no API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The same in a variable of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// Compresses requests.
    #[serde(default)]
    pub gzip: bool,
    /// Files of TLS.
    #[serde(default)]
    pub tls: Tls,
    /// How it is spoken to.
    #[serde(default)]
    pub http: Http,
}

#[derive(Debug)]
enum Login {
    None,
    ApiKey(Credential),
    Password(String, Credential),
}

/// Sends to one index.
#[derive(Debug)]
pub struct Bulk {
    client: Client,
    login: Login,
    index: String,
    gzip: bool,
}

#[derive(Serialize)]
struct Action<'a> {
    create: Create<'a>,
}

#[derive(Serialize)]
struct Create<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "_id")]
    id: String,
    status: u16,
    error: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(rename = "type")]
    kind: String,
}

impl Bulk {
    /// A client of an index.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub fn open(name: &str, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Bulk> {
        let wrong = |detail: String| Error::Settings { sink: name.to_string(), detail };
        if !is_index(&settings.index) {
            return Err(wrong(format!(
                "index {:?} is no name of an index: up to {BULK_INDEX_BYTES_MAX} lower-case letters, digits, `.`, `_` and `-`, \
                 no `.`, `_` or `-` in front",
                settings.index
            )));
        }
        let file = settings.api_key_file.as_deref();
        let api_key = Credential::new(name, "api_key", file, settings.api_key_env.as_deref())?;
        let file = settings.password_file.as_deref();
        let password = Credential::new(name, "password", file, settings.password_env.as_deref())?;
        let login = match (api_key, &settings.username, password) {
            (None, None, None) => Login::None,
            (Some(key), None, None) => Login::ApiKey(key),
            (None, Some(who), Some(_)) if who.contains(':') => {
                return Err(wrong("username has a colon in it, which no login can have".to_string()));
            }
            (None, Some(who), Some(password)) => Login::Password(who.clone(), password),
            _ => {
                return Err(wrong(
                    "give api_key_file or api_key_env, or username with password_file or password_env, or none of them"
                        .to_string(),
                ));
            }
        };
        let endpoint = http::known(name, "url", &settings.url, &settings.http)?;
        let reserved: &[&str] = if matches!(login, Login::None) { &[] } else { &["authorization"] };
        let client = Client::new(name, endpoint, (&settings.tls, &settings.http), reserved, clock)?;
        let bulk = Bulk { client, login, index: settings.index.clone(), gzip: settings.gzip };
        bulk.headers()?;
        Ok(bulk)
    }

    fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        match &self.login {
            Login::None => {}
            Login::ApiKey(key) => drop(headers.insert(AUTHORIZATION, http::value(key, "ApiKey ")?)),
            Login::Password(who, password) => {
                let secret = password.read_line()?;
                let pair = Secret::new([who.as_bytes(), b":", secret.reveal()].concat());
                let text = Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())).into_bytes());
                let value =
                    http::sensitive(text.reveal()).map_err(|()| password.wrong("fits in no header"))?;
                headers.insert(AUTHORIZATION, value);
            }
        }
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(headers)
    }

    fn body(&self, batch: &[Message]) -> std::io::Result<Vec<u8>> {
        let mut lines = Vec::with_capacity(batch.iter().map(|message| message.body.len() + 256).sum());
        for message in batch {
            let id = message.unique_id();
            let action = Action { create: Create { index: &self.index, id: &id } };
            serde_json::to_writer(&mut lines, &action)?;
            lines.push(b'\n');
            lines.extend_from_slice(&message.body);
            lines.push(b'\n');
        }
        if !self.gzip {
            return Ok(lines);
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
        encoder.write_all(&lines)?;
        encoder.finish()
    }

    async fn post(&mut self, batch: &[Message]) -> Result<Answer, Fate> {
        let headers = self.headers().map_err(|error| Fate::away(error.to_string()))?;
        let body =
            self.body(batch).map_err(|error| Fate::away(format!("a request could not be made: {error}")))?;
        let request = Request {
            below: &["_bulk"],
            query: Some(("filter_path", WANTED.to_string())),
            headers,
            content_type: NDJSON,
            body: Bytes::from(body),
            answer_bytes_max: Some(BULK_ANSWER_BYTES_MAX),
        };
        self.client.post(request).await
    }

    /// Sends documents; a request that is too large, or wrong as a whole, as smaller ones.
    async fn send(&mut self, batch: &[Message]) -> Vec<Fate> {
        let mut batch = batch;
        loop {
            let answer = match self.post(batch).await {
                Ok(answer) => answer,
                Err(fate) => return vec![fate],
            };
            if let Some(fate) = answer.trouble() {
                return vec![fate];
            }
            let status = answer.status.as_u16();
            match status {
                200 => return fates(&answer, batch),
                400 | 413 if batch.len() > 1 => batch = batch.get(..batch.len() / 2).unwrap_or_default(),
                413 => return vec![answer.refused(": it is too large; raise http.max_content_length there")],
                // Of a document alone an item would tell: what is wrong may be the request.
                400 => return vec![answer.failed(": it does not understand the request")],
                _ if answer.is_redirect() => {
                    return vec![answer.away(": a redirect, which is not followed; look at url")];
                }
                _ => return vec![answer.away(": it has no _bulk; look at url")],
            }
        }
    }
}

fn fates(answer: &Answer, batch: &[Message]) -> Vec<Fate> {
    let Ok(reply) = serde_json::from_slice::<Reply>(&answer.body) else {
        return vec![answer.away("in another way than _bulk does; look at url")];
    };
    let are_these =
        reply.items.iter().map(|item| item.create.id.clone()).eq(batch.iter().map(Message::unique_id));
    if !are_these {
        return vec![answer.away("with items that are not those of the request")];
    }
    reply.items.iter().map(|item| fate(answer, &item.create)).collect()
}

fn fate(answer: &Answer, created: &Created) -> Fate {
    let kind = created.error.as_ref().map_or("no error", |error| error.kind.as_str());
    // It is the other side's text, and has no need to be one.
    let is_type = kind.len() <= BULK_ERROR_TYPE_BYTES_MAX
        && kind.chars().all(|letter| letter.is_ascii_alphanumeric() || "._ -".contains(letter));
    let kind = if is_type { kind } else { "an error of no known type" };
    let how = format!("for the item: {} {kind}", created.status);
    match created.status {
        // There already: it was sent before.
        200 | 201 | 409 => Fate::Taken,
        // What this sink may do, which index it has, whether that takes anything: nothing of this document.
        401 | 403 | 404 | 408 | 429 | 502..=504 => answer.away(&how),
        400..500 => answer.refused(&how),
        _ => answer.failed(&how),
    }
}

fn is_index(name: &str) -> bool {
    let is_plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
    !name.is_empty()
        && name.len() <= BULK_INDEX_BYTES_MAX
        && name.chars().all(is_plain)
        && !name.starts_with(['.', '_', '-'])
}

/// Whether a line of a bulk request can hold it.
fn is_document(message: &Message) -> bool {
    let json = serde_json::from_slice::<&RawValue>(&message.body);
    json.is_ok_and(|json| json.get().starts_with('{')) && !message.body.contains(&b'\n')
}

#[async_trait]
impl Transport for Bulk {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        let batch = batch.get(..fitting(batch, SINK_BATCH_MAX, SINK_REQUEST_BYTES)).unwrap_or_default();
        let documents = batch.iter().take_while(|message| is_document(message)).count();
        match batch.get(..documents) {
            None | Some([]) if batch.is_empty() => Vec::new(),
            None | Some([]) => {
                vec![Fate::Refused(
                    "an index takes JSON objects alone; give the sink a format of those".to_string(),
                )]
            }
            Some(batch) => self.send(batch).await,
        }
    }

    fn batch_max(&self) -> usize {
        SINK_BATCH_MAX
    }

    fn target(&self) -> String {
        format!("{}/{}", self.client.target(), self.index)
    }
}
