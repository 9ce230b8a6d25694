//! The client of all transports over HTTP: one host, no redirects, bounded time and memory.
//!
//! - A redirect is never followed: it would take a credential, and what an alert says, to where nobody configured.
//! - No proxy unless the sink names one: what the environment of a service says is for other programs.
//! - Unencrypted only to this machine, unless the sink says so.
//! - Certificates, keys and credentials are read anew for each request; a client is made anew when TLS files changed.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use schemas::limits::{
    SINK_CONNECT_TIMEOUT_MS, SINK_DRAIN_MS, SINK_HEADERS_MAX, SINK_IDLE_MS, SINK_RETRY_AFTER_S_MAX,
    SINK_TIMEOUT_MS, SINK_TIMEOUT_MS_MAX, SINK_TIMEOUT_MS_MIN,
};
use serde::{Deserialize, Serialize};
use store::Clock;

use super::Fate;
use crate::error::{Error, Result};
use crate::secret::{Credential, Secret};
use crate::tls::{Loaded, Tls};

/// How the other side is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// How long one answer is waited for, milliseconds.
    pub timeout_ms: u64,
    /// Lets what is sent be read on its way to another machine.
    pub allow_plaintext: bool,
    /// `http://host:port` of a proxy; absent for none, whatever the environment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Headers to add: a name, and where its value comes from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderSource>,
}

impl Default for Http {
    fn default() -> Http {
        Http { timeout_ms: SINK_TIMEOUT_MS, allow_plaintext: false, proxy: None, headers: BTreeMap::new() }
    }
}

/// Where the value of a header comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderSource {
    /// A file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A variable of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
}

/// Headers that are never a setting's.
const RESERVED: [&str; 9] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "host",
    "te",
    "trailer",
    "upgrade",
];

/// Where requests go.
#[derive(Debug)]
pub(super) enum Endpoint {
    Known(Url),
    /// The address is itself what lets one in.
    Secret(Credential),
}

/// A client of one host.
#[derive(Debug)]
pub(super) struct Client {
    sink: String,
    endpoint: Endpoint,
    tls: Tls,
    http: Http,
    headers: Vec<(HeaderName, Credential)>,
    clock: Arc<dyn Clock>,
    held: Option<(Loaded, reqwest::Client)>,
}

/// What is to be sent.
pub(super) struct Request {
    /// Parts of a path below the endpoint.
    pub(super) below: &'static [&'static str],
    pub(super) query: Option<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// How much of the answer is of interest; `None` where its status says everything.
    pub(super) answer_bytes_max: Option<usize>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// Host and port, for people.
    target: String,
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// A client that sends to `endpoint`; `reserved` are the headers that the transport sets.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub(super) fn new(
        sink: &str,
        endpoint: Endpoint,
        (tls, http): (&Tls, &Http),
        reserved: &[&str],
        clock: Arc<dyn Clock>,
    ) -> Result<Client> {
        let wrong = |detail: String| Error::Settings { sink: sink.to_string(), detail };
        if !(SINK_TIMEOUT_MS_MIN..=SINK_TIMEOUT_MS_MAX).contains(&http.timeout_ms) {
            return Err(wrong(format!(
                "http.timeout_ms is {}; give {SINK_TIMEOUT_MS_MIN} to {SINK_TIMEOUT_MS_MAX}",
                http.timeout_ms
            )));
        }
        if http.headers.len() > SINK_HEADERS_MAX {
            return Err(wrong(format!(
                "http.headers has {}, {SINK_HEADERS_MAX} at most",
                http.headers.len()
            )));
        }
        let mut headers = Vec::with_capacity(http.headers.len());
        for (name, source) in &http.headers {
            let header: HeaderName = name
                .parse()
                .map_err(|_| wrong(format!("http.headers: {name:?} is no name that a header can have")))?;
            if RESERVED.contains(&header.as_str()) || reserved.contains(&header.as_str()) {
                return Err(wrong(format!("http.headers: {name} is set by the transport; leave it out")));
            }
            let setting = format!("http.headers.{name}.");
            let credential = Credential::new(sink, &setting, source.file.as_deref(), source.env.as_deref())?;
            let credential = credential
                .ok_or_else(|| wrong(format!("http.headers.{name}: give file or env, for its value")))?;
            value(&credential, "")?;
            headers.push((header, credential));
        }
        let (tls, http, sink) = (tls.clone(), http.clone(), sink.to_string());
        let mut client = Client { sink, endpoint, tls, http, headers, clock, held: None };
        client.url()?;
        client.held = Some(client.load()?);
        Ok(client)
    }

    /// Host and port of where it leads; nothing else of the address, since that may be what lets one in.
    pub(super) fn target(&self) -> String {
        match &self.endpoint {
            Endpoint::Known(url) => place(url),
            Endpoint::Secret(_) => {
                self.url().map_or_else(|_| "an address that cannot be read".to_string(), |url| place(&url))
            }
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.http.timeout_ms)
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn url(&self) -> Result<Url> {
        let credential = match &self.endpoint {
            Endpoint::Known(url) => return Ok(url.clone()),
            Endpoint::Secret(credential) => credential,
        };
        let secret = credential.read_line()?;
        let text = std::str::from_utf8(secret.reveal()).map_err(|_| credential.wrong("is no address"))?;
        let url = Url::parse(text).map_err(|_| credential.wrong("is no address; give https://…"))?;
        let what = check(&url, self.http.allow_plaintext);
        what.map_or(Ok(url), |what| Err(credential.wrong(&what)))
    }

    /// TLS as the files are now, and a client for it. Blocking.
    fn load(&self) -> Result<(Loaded, reqwest::Client)> {
        let held = self.held.as_ref();
        let loaded = self.tls.load(&self.sink, held.map(|(loaded, _)| loaded))?;
        if let Some((known, client)) = held
            && known.digest == loaded.digest
        {
            return Ok((loaded, client.clone()));
        }
        let wrong = |detail: String| Error::Settings { sink: self.sink.clone(), detail };
        let mut config = (*loaded.config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(config)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(self.timeout())
            .connect_timeout(Duration::from_millis(SINK_CONNECT_TIMEOUT_MS))
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_millis(SINK_IDLE_MS))
            .user_agent(concat!("tachograph/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &self.http.proxy {
            let url = Url::parse(proxy).map_err(|error| wrong(format!("http.proxy: {error}")))?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err(wrong("http.proxy has a login in it; give one that needs none".to_string()));
            }
            let proxy = reqwest::Proxy::all(url)
                .map_err(|_| wrong("http.proxy: give http://host:port".to_string()))?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| wrong(format!("http client: {}", because(&error))))?;
        Ok((loaded, client))
    }

    /// Sends, and returns what was answered.
    ///
    /// # Errors
    /// Why there is no answer, as the fate of what was sent.
    pub(super) async fn post(&mut self, request: Request) -> Result<Answer, Fate> {
        let read = |this: &Client| {
            let mut headers = request.headers.clone();
            for (name, credential) in &this.headers {
                headers.insert(name.clone(), value(credential, "")?);
            }
            Ok::<_, Error>((this.url()?, this.load()?, headers))
        };
        // Small files of this machine: as everywhere that settings are read.
        let (mut url, (loaded, client), mut headers) = match read(self) {
            Ok(read) => read,
            Err(error) => return Err(Fate::away(error.to_string())),
        };
        self.held = Some((loaded, client.clone()));
        let target = place(&url);
        if !request.below.is_empty() {
            match url.path_segments_mut() {
                Ok(mut path) => drop(path.pop_if_empty().extend(request.below)),
                Err(()) => return Err(Fate::away(format!("{target} has no path"))),
            }
        }
        if let Some((name, value)) = &request.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        let sent = client.post(url).headers(headers).body(request.body).send().await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Err(Fate::away(format!("{target}: {}", because(&error.without_url())))),
        };
        let (status, now_us) = (response.status(), self.clock.wall_us());
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, now_us));
        let mut answer = Answer { target, status, retry_after, body: Vec::new() };
        match request.answer_bytes_max {
            Some(bytes_max) => body(&mut response, &mut answer, bytes_max).await?,
            None => {
                // Whatever becomes of the rest, and however long that takes: the status was the answer.
                let rest = body(&mut response, &mut answer, schemas::limits::SINK_ANSWER_BYTES_MAX);
                let rest = tokio::time::timeout(Duration::from_millis(SINK_DRAIN_MS), rest).await;
                tracing::trace!(is_read = matches!(rest, Ok(Ok(()))), "the rest of an answer");
                answer.body.clear();
            }
        }
        Ok(answer)
    }
}

async fn body(response: &mut reqwest::Response, answer: &mut Answer, bytes_max: usize) -> Result<(), Fate> {
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(()),
            Ok(Some(chunk)) if answer.body.len() + chunk.len() <= bytes_max => {
                answer.body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(answer.away(&format!("with more than {bytes_max} bytes")));
            }
            Err(error) => {
                let why = because(&error.without_url());
                return Err(answer.away(&format!("and broke off: {why}")));
            }
        }
    }
}

impl Answer {
    /// Answered, in a way that says nothing of what was sent.
    pub(super) fn away(&self, how: &str) -> Fate {
        Fate::Later { reason: self.told(how), answered: false, wait: self.retry_after }
    }

    /// Answered to what was sent, and not for good.
    pub(super) fn failed(&self, how: &str) -> Fate {
        Fate::Later { reason: self.told(how), answered: true, wait: self.retry_after }
    }

    /// Not what was sent is wrong, but what this sink is told, or the other side is away or overloaded, or broken.
    pub(super) fn trouble(&self) -> Option<Fate> {
        match self.status.as_u16() {
            401 => Some(self.away(": it does not know our credential; look at its file")),
            403 => Some(self.away(": our credential may not do this there; look at its rights")),
            407 => Some(self.away(": the proxy wants a login; name one that needs none")),
            408 | 425 | 429 | 502 | 503 | 504 => Some(self.away("")),
            500.. => Some(self.failed("")),
            _ => None,
        }
    }

    /// A redirect, which is not followed.
    pub(super) fn is_redirect(&self) -> bool {
        self.status.is_redirection()
    }

    /// Refused for good.
    pub(super) fn refused(&self, how: &str) -> Fate {
        Fate::Refused(self.told(how))
    }

    /// Who answered what, and `how`: a text of its own behind a colon, or the rest of the sentence.
    fn told(&self, how: &str) -> String {
        let space = if how.is_empty() || how.starts_with(':') { "" } else { " " };
        format!("{} answered {}{space}{how}", self.target, self.status.as_u16())
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
    let mut text = kind.to_string();
    let mut source = error.source();
    let mut last = String::new();
    while let Some(error) = source {
        last = error.to_string();
        source = error.source();
    }
    if !last.is_empty() {
        text.push_str(": ");
        text.push_str(&last);
    }
    text
}

/// Scheme, host and port.
fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What is wrong with an address, if anything is.
fn check(url: &Url, allow_plaintext: bool) -> Option<String> {
    let is_loopback = url.host_str().is_some_and(is_loopback);
    match url.scheme() {
        "https" => {}
        "http" if allow_plaintext || is_loopback => {}
        "http" => {
            return Some("is not encrypted; give https://…, or http.allow_plaintext = true".to_string());
        }
        _ => return Some("is no address; give https://…".to_string()),
    }
    let has_login = !url.username().is_empty() || url.password().is_some();
    has_login.then(|| "has a login in it; give that by file".to_string())
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An address from the configuration: one that everybody may see.
///
/// # Errors
/// [`Error::Settings`].
pub(super) fn known(sink: &str, setting: &str, text: &str, http: &Http) -> Result<Endpoint> {
    let wrong = |what: &str| Error::Settings { sink: sink.to_string(), detail: format!("{setting} {what}") };
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address ({error}); give https://…")))?;
    if let Some(what) = check(&url, http.allow_plaintext) {
        return Err(wrong(&what));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a part behind ? or #; such an address is given by file"));
    }
    Ok(Endpoint::Known(url))
}

/// An address that is a credential itself.
///
/// # Errors
/// [`Error::Settings`].
pub(super) fn secret(sink: &str, file: Option<&Path>, variable: Option<&str>) -> Result<Option<Endpoint>> {
    Ok(Credential::new(sink, "url", file, variable)?.map(Endpoint::Secret))
}

/// The value of a header: `prefix` and a credential. Never shown.
///
/// # Errors
/// As [`Credential::read_line`].
pub(super) fn value(credential: &Credential, prefix: &str) -> Result<HeaderValue> {
    let secret = credential.read_line()?;
    sensitive(&[prefix.as_bytes(), secret.reveal()].concat())
        .map_err(|()| credential.wrong("fits in no header"))
}

/// A header that is not shown.
pub(super) fn sensitive(bytes: &[u8]) -> Result<HeaderValue, ()> {
    let bytes = Secret::new(bytes.to_vec());
    let mut value = HeaderValue::from_bytes(bytes.reveal()).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}

/// How long `Retry-After` asks to wait: seconds, or a date.
fn retry_after(value: &HeaderValue, now_us: i64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            u64::try_from(date.as_second() - now_us.div_euclid(1_000_000)).unwrap_or_default()
        }
    };
    Some(Duration::from_secs(seconds.min(SINK_RETRY_AFTER_S_MAX)))
}
