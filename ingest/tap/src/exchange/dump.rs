//! The forms of a dump: one object for each exchange, or the HAR of a browser or a proxy.
//!
//! An exchange has `ts` (seconds since the epoch), `dur_ms`, `client` (`[address, port]`), `method`, `path`, `req_headers`,
//! `req_body`, `status`, `resp_headers`, `resp_body`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::identity::Identity;

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// When it was sent, microseconds since the epoch.
    pub time_us: i64,
    /// Until its response was whole.
    pub duration_us: i64,
    /// Where it went: host and path, as far as known.
    pub server: String,
    /// The request's body.
    pub request: String,
    /// Status of the response.
    pub status: u16,
    /// The response's body.
    pub response: String,
    /// Whether that is a stream of events.
    pub is_stream: bool,
    /// Hash of the whole, for ids.
    pub digest: [u8; 32],
    client_address: Option<String>,
    headers: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Plain {
    ts: f64,
    #[serde(default)]
    dur_ms: f64,
    client: Option<(String, u32)>,
    #[serde(default)]
    path: String,
    #[serde(default)]
    req_headers: HashMap<String, String>,
    #[serde(default)]
    req_body: Option<String>,
    status: u16,
    #[serde(default)]
    resp_headers: HashMap<String, String>,
    #[serde(default)]
    resp_body: Option<String>,
}

#[derive(Deserialize)]
struct Har<'a> {
    #[serde(borrow)]
    log: HarLog<'a>,
}

#[derive(Deserialize)]
struct HarLog<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarEntry {
    started_date_time: String,
    #[serde(default)]
    time: f64,
    request: HarRequest,
    response: HarResponse,
    #[serde(rename = "clientIPAddress")]
    client_address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest {
    url: String,
    #[serde(default)]
    headers: Vec<HarHeader>,
    post_data: Option<HarContent>,
}

#[derive(Deserialize)]
struct HarResponse {
    status: u16,
    #[serde(default)]
    headers: Vec<HarHeader>,
    content: Option<HarContent>,
}

#[derive(Deserialize)]
struct HarHeader {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct HarContent {
    text: Option<String>,
    encoding: Option<String>,
}

/// The exchanges in one value of a dump; why it holds none.
pub fn read(json: &str) -> Result<Vec<Exchange>, String> {
    let plain = match serde_json::from_str::<Plain>(json) {
        Ok(plain) => return Ok(vec![plain.exchange(json)?]),
        Err(error) => error,
    };
    let Ok(har) = serde_json::from_str::<Har<'_>>(json) else {
        return Err(format!(
            "expected an object with ts, req_headers, req_body, status, resp_headers and resp_body, or a HAR: {plain}"
        ));
    };
    let entry = |(at, entry): (usize, &&RawValue)| {
        let place = |error: String| format!("entry {at} of the HAR: {error}");
        let read: HarEntry = serde_json::from_str(entry.get()).map_err(|error| place(error.to_string()))?;
        read.exchange(entry.get()).map_err(place)
    };
    har.log.entries.iter().enumerate().map(entry).collect()
}

impl Plain {
    fn exchange(self, json: &str) -> Result<Exchange, String> {
        let headers = lower(self.req_headers);
        let host = headers.get("host").cloned().unwrap_or_default();
        Ok(Exchange {
            time_us: us(self.ts * 1e6).ok_or("ts is no time")?,
            duration_us: us(self.dur_ms * 1e3).ok_or("dur_ms is no duration")?,
            server: format!("{host}{}", self.path.split(['?', '#']).next().unwrap_or_default()),
            request: self.req_body.unwrap_or_default(),
            status: self.status,
            response: self.resp_body.unwrap_or_default(),
            is_stream: is_stream(&lower(self.resp_headers)),
            digest: *blake3::hash(json.as_bytes()).as_bytes(),
            client_address: self.client.map(|(address, _)| address),
            headers,
        })
    }
}

impl HarEntry {
    fn exchange(self, json: &str) -> Result<Exchange, String> {
        let map = |headers: Vec<HarHeader>| {
            lower(headers.into_iter().map(|HarHeader { name, value }| (name, value)).collect())
        };
        let address = self.request.url.split(['?', '#']).next().unwrap_or_default();
        let address = address.split_once("://").map_or(address, |(_, rest)| rest);
        // Credentials in the address are no part of a server's name; they end before its path begins.
        let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, rest)| rest);
        let server = format!("{host}{path}");
        let time: jiff::Timestamp =
            self.started_date_time.parse().map_err(|error| format!("startedDateTime: {error}"))?;
        Ok(Exchange {
            time_us: time.as_microsecond(),
            duration_us: us(self.time * 1e3).ok_or("time is no duration")?,
            server,
            request: body(self.request.post_data)?,
            status: self.response.status,
            response: body(self.response.content)?,
            is_stream: is_stream(&map(self.response.headers)),
            digest: *blake3::hash(json.as_bytes()).as_bytes(),
            client_address: self.client_address,
            headers: map(self.request.headers),
        })
    }
}

fn body(content: Option<HarContent>) -> Result<String, String> {
    let Some(HarContent { text: Some(text), encoding }) = content else { return Ok(String::new()) };
    match encoding.as_deref() {
        None | Some("") => Ok(text),
        Some("base64") => {
            let bytes = STANDARD.decode(&text).map_err(|error| format!("a body: {error}"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(other) => Err(format!("a body in the encoding {other:?}; base64 is known")),
    }
}

fn lower(headers: HashMap<String, String>) -> HashMap<String, String> {
    headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

fn is_stream(headers: &HashMap<String, String>) -> bool {
    headers.get("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

/// A number of microseconds, if 64 bits hold it.
fn us(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "in range, and the fraction is no matter")]
    (value.is_finite() && value.abs() < 9e15).then_some(value.round() as i64)
}

/// The scheme of an `authorization`, if it is one that is known and a credential follows it: what stands alone may be a
/// credential itself.
fn scheme(value: &str) -> Option<String> {
    let (scheme, credential) = value.trim().split_once(' ')?;
    let scheme = scheme.to_ascii_lowercase();
    let known = ["basic", "bearer", "digest", "dpop", "hoba", "mutual", "negotiate", "ntlm"];
    (known.contains(&scheme.as_str()) && !credential.trim().is_empty()).then_some(scheme)
}

impl Exchange {
    /// A header of the request.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Tells `identity` what the headers say.
    pub fn describe(&self, identity: &mut Identity, session: Option<&str>) {
        if let Some(session) = session {
            identity.in_session(session);
        }
        if let Some(version) = self.header("mcp-protocol-version") {
            identity.in_version(&version);
        }
        let scheme = self.header("authorization").and_then(|value| scheme(&value));
        let mut seen = vec![("http_status", self.status.to_string())];
        for (name, value) in [
            ("source_ip", self.client_address.clone()),
            ("user_agent", self.header("user-agent")),
            ("auth_method", scheme),
            ("mcp_method_header", self.header("mcp-method")),
            ("mcp_name_header", self.header("mcp-name")),
        ] {
            seen.extend(value.map(|value| (name, value)));
        }
        identity.seen_with(seen);
    }
}
