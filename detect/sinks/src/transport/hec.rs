//! Splunk's HTTP Event Collector: objects one behind the other to `/services/collector/event`, and where indexers acknowledge, a
//! message is taken when they have.
//!
//! Splunk's answers (Splunk Enterprise, "Troubleshoot HTTP Event Collector", table of status codes) have a code, and
//! `invalid-event-number` where one event is at fault. What became of the others of that request is not documented, so the ones before it
//! are sent again without it, and it alone is refused. A code that says that the sink is set up wrongly throws nothing away.
//!
//! An acknowledgement that is late is waited for in the next call too, for as long as the same messages come: what was sent is not
//! sent again because an indexer is slow. Only when `ack_timeout_ms` is over, which is what an indexer that was restarted looks like, are
//! they. Acknowledgements are of one indexer: a load balancer has to keep to one for a channel, or an address.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use schemas::limits::{
    HEC_ACK_POLL_FIRST_MS, HEC_ACK_POLL_LONGEST_MS, HEC_ACK_TIMEOUT_MS, HEC_ACK_TIMEOUT_MS_MAX,
    SINK_ANSWER_BYTES_MAX, SINK_BATCH_MAX, SINK_REQUEST_BYTES,
};
use serde::{Deserialize, Serialize};
use store::Clock;

use super::http::{self, Answer, Client, Http, Request};
use super::{Fate, Transport, fitting, us};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::secret::Credential;
use crate::tls::Tls;

mod answer;
mod event;

use answer::Said;

const CHANNEL: &str = "x-splunk-request-channel";
const JSON: &str = "application/json";

/// Splunk's collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `https://host:8088`.
    pub url: String,
    /// File of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The same in a variable of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// Where it is indexed; absent for where the token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Which machine it is said to be of; absent for what Splunk sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Splunk's `source`.
    #[serde(default = "default_source")]
    pub source: String,
    /// Splunk's `sourcetype`; absent for where the token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sourcetype: Option<String>,
    /// Waits until indexers have it; the token must have acknowledgement switched on.
    #[serde(default)]
    pub use_ack: bool,
    /// How long that is waited for before it is sent again, milliseconds.
    #[serde(default = "default_ack_timeout_ms")]
    pub ack_timeout_ms: u64,
    /// Files of TLS.
    #[serde(default)]
    pub tls: Tls,
    /// How it is spoken to.
    #[serde(default)]
    pub http: Http,
}

fn default_source() -> String {
    "tachograph".to_string()
}

fn default_ack_timeout_ms() -> u64 {
    HEC_ACK_TIMEOUT_MS
}

/// What was taken in and not acknowledged yet.
#[derive(Debug)]
struct Pending {
    /// Of the messages, in order.
    ids: Vec<String>,
    number: u64,
    since_us: i64,
}

/// Sends to one collector.
#[derive(Debug)]
pub struct Hec {
    settings: Settings,
    client: Client,
    token: Credential,
    channel: HeaderValue,
    pending: Option<Pending>,
}

impl Hec {
    /// A client of a collector.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub fn open(name: &str, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Hec> {
        let wrong = |detail: String| Error::Settings { sink: name.to_string(), detail };
        let file = settings.token_file.as_deref();
        let token = Credential::new(name, "token", file, settings.token_env.as_deref())?;
        let token = token.ok_or_else(|| wrong("give token_file or token_env".to_string()))?;
        http::value(&token, "Splunk ")?;
        if settings.ack_timeout_ms > HEC_ACK_TIMEOUT_MS_MAX {
            return Err(wrong(format!("ack_timeout_ms is over {HEC_ACK_TIMEOUT_MS_MAX}")));
        }
        let endpoint = http::known(name, "url", &settings.url, &settings.http)?;
        let reserved = [CHANNEL, "authorization"];
        let client = Client::new(name, endpoint, (&settings.tls, &settings.http), &reserved, clock)?;
        let channel = channel().map_err(|error| wrong(format!("no randomness for a channel: {error}")))?;
        Ok(Hec { settings: settings.clone(), client, token, channel, pending: None })
    }

    async fn post(&mut self, below: &'static [&'static str], body: Vec<u8>) -> Result<Answer, Fate> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(CHANNEL), self.channel.clone());
        match http::value(&self.token, "Splunk ") {
            Ok(value) => headers.insert(AUTHORIZATION, value),
            Err(error) => return Err(Fate::away(error.to_string())),
        };
        let request = Request {
            below,
            query: None,
            headers,
            content_type: JSON,
            body: Bytes::from(body),
            answer_bytes_max: Some(SINK_ANSWER_BYTES_MAX),
        };
        self.client.post(request).await
    }

    /// Sends messages as one request; the number of its acknowledgement, if it has one.
    async fn send(&mut self, batch: &[Message]) -> Result<Option<u64>, Said> {
        let mut body = Vec::with_capacity(batch.iter().map(|message| message.body.len() + 512).sum());
        for message in batch {
            event::write(&self.settings, message, &mut body);
        }
        let answer = match self.post(&["services", "collector", "event"], body).await {
            Ok(answer) => answer,
            Err(fate) => return Err(Said::Fate(fate)),
        };
        answer::taken(&answer, self.settings.use_ack)
    }

    /// Sends messages; where one is at fault, those before it without it.
    async fn send_around(&mut self, batch: &[Message]) -> (Vec<Fate>, Option<u64>) {
        let mut batch = batch;
        let mut fault = None;
        loop {
            match self.send(batch).await {
                Ok(number) => {
                    let mut fates = vec![Fate::Taken; batch.len()];
                    fates.extend(fault);
                    return (fates, number);
                }
                Err(Said::Fate(fate)) => return (vec![fate], None),
                Err(Said::Event(at, refused)) if at == 0 || batch.len() == 1 => return (vec![refused], None),
                Err(Said::Event(at, refused)) => match batch.get(..at) {
                    Some(before) if at < batch.len() => (batch, fault) = (before, Some(refused)),
                    _ => {
                        return (
                            vec![Fate::away("the collector faults an event that it was not sent")],
                            None,
                        );
                    }
                },
                // Of one of them, and not said of which: one after the other.
                Err(Said::Some(refused)) if batch.len() == 1 => return (vec![refused], None),
                Err(Said::Some(_)) => {
                    (batch, fault) = (batch.get(..batch.len() / 2).unwrap_or_default(), None);
                }
            }
        }
    }

    /// Waits for what was taken in; the messages are those of `batch`.
    async fn acknowledged(&mut self) -> Fate {
        let Some(pending) = &self.pending else { return Fate::Taken };
        let (number, since_us) = (pending.number, pending.since_us);
        let now_us = self.client.clock().monotonic_us();
        let lost_us = since_us.saturating_add(us(Duration::from_millis(self.settings.ack_timeout_ms)));
        let until_us = now_us.saturating_add(us(self.client.timeout())).min(lost_us);
        let mut pause_ms = HEC_ACK_POLL_FIRST_MS;
        loop {
            let body = format!("{{\"acks\":[{number}]}}");
            match self.post(&["services", "collector", "ack"], body.into_bytes()).await {
                Ok(answer) => match answer::acknowledged(&answer, number) {
                    Ok(true) => {
                        self.pending = None;
                        return Fate::Taken;
                    }
                    Ok(false) => {}
                    Err(fate) => return self.late(lost_us, fate),
                },
                Err(fate) => return self.late(lost_us, fate),
            }
            if self.client.clock().monotonic_us() >= until_us {
                let reason = format!("{} has not acknowledged yet", self.client.target());
                return self.late(lost_us, Fate::away(reason));
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(HEC_ACK_POLL_LONGEST_MS);
        }
    }

    /// Not acknowledged: `fate`, and forgotten when its time is over.
    fn late(&mut self, lost_us: i64, fate: Fate) -> Fate {
        if self.client.clock().monotonic_us() >= lost_us {
            self.pending = None;
            let reason = format!("{} has not acknowledged in time: it is sent again", self.client.target());
            return Fate::away(reason);
        }
        fate
    }
}

#[async_trait]
impl Transport for Hec {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        if batch.is_empty() {
            return Vec::new();
        }
        let is_of = |pending: &Pending| {
            let sent = batch.get(..pending.ids.len());
            sent.is_some_and(|sent| sent.iter().map(|message| &message.id).eq(&pending.ids))
        };
        if let Some(pending) = self.pending.take_if(|pending| !is_of(pending)) {
            tracing::debug!(messages = pending.ids.len(), "an acknowledgement is of no interest any more");
        }
        let mut fates = match &self.pending {
            Some(pending) => vec![Fate::Taken; pending.ids.len()],
            None => {
                let sent =
                    batch.get(..fitting(batch, SINK_BATCH_MAX, SINK_REQUEST_BYTES)).unwrap_or_default();
                let (fates, number) = self.send_around(sent).await;
                if let Some(number) = number {
                    let ids = sent.iter().zip(&fates).take_while(|(_, fate)| **fate == Fate::Taken);
                    let ids = ids.map(|(message, _)| message.id.clone()).collect();
                    let since_us = self.client.clock().monotonic_us();
                    self.pending = Some(Pending { ids, number, since_us });
                }
                fates
            }
        };
        if self.pending.is_some() {
            let fate = self.acknowledged().await;
            if fate != Fate::Taken {
                return vec![fate];
            }
        }
        fates.truncate(batch.len());
        fates
    }

    fn batch_max(&self) -> usize {
        SINK_BATCH_MAX
    }

    fn target(&self) -> String {
        self.client.target()
    }
}

/// A random UUID: acknowledgements are numbered within a channel, and a number is told of once.
fn channel() -> Result<HeaderValue, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    let [.., seventh, _, ninth, _, _, _, _, _, _, _] = &mut bytes;
    *seventh = (*seventh & 0x0f) | 0x40;
    *ninth = (*ninth & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").map_err(|error| error.to_string())?;
    }
    HeaderValue::try_from(text).map_err(|error| error.to_string())
}
