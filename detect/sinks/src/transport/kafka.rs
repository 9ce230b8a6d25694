//! A topic of Kafka: a message is taken when the cluster's delivery report says so, from all replicas that are in step (`acks=all`).
//!
//! The producer is idempotent: what the client itself sends again is there once, and in order within a key's partition. What the outbox
//! sends again, after a report that did not come, may be there twice, with the same `id` in its headers. A login and TLS files are read
//! when a producer is made: at the first batch, and anew after any failure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use schemas::limits::{
    SINK_BATCH_MAX, SINK_LINE_BYTES_MAX, SINK_REQUEST_BYTES, SINK_TIMEOUT_MS, SINK_TIMEOUT_MS_MAX,
    SINK_TIMEOUT_MS_MIN,
};
use serde::{Deserialize, Serialize};

use super::{Fate, Transport, fitting};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::secret::Credential;
use crate::tls::Tls;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `host:port` of brokers to begin with.
    pub brokers: Vec<String>,
    /// Where it goes.
    pub topic: String,
    /// How long a batch may take, milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// With a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

fn default_timeout_ms() -> u64 {
    SINK_TIMEOUT_MS
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Who.
    pub username: String,
    /// File of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The same in a variable of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
}

/// Mechanisms that a password is enough for.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// Longest name of a topic.
const TOPIC_CHARACTERS: usize = 249;

/// What the client has to say.
struct Context(String);

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(sink = self.0, facility, message, "client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(sink = self.0, %error, reason, "the cluster");
    }
}

/// A producer. Its end drops what has not been sent and waits for the client's threads, which no task is to wait for.
struct Held(Option<FutureProducer<Context>>);

impl Held {
    /// Returns once it has ended: what is in flight would come behind what is sent again.
    async fn end(mut self) {
        let Some(producer) = self.0.take() else { return };
        if let Err(error) = tokio::task::spawn_blocking(move || drop(producer)).await {
            tracing::debug!(%error, "a producer did not end well");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (producer, runtime) = (self.0.take(), tokio::runtime::Handle::try_current());
        if let (Some(producer), Ok(runtime)) = (producer, runtime) {
            runtime.spawn_blocking(move || drop(producer));
        }
    }
}

/// Sends to one topic.
pub struct Kafka {
    sink: String,
    settings: Settings,
    password: Option<Credential>,
    producer: Option<Held>,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kafka { sink, settings, .. } = self;
        formatter
            .debug_struct("Kafka")
            .field("sink", sink)
            .field("settings", settings)
            .finish_non_exhaustive()
    }
}

impl Kafka {
    /// A producer, which is made when there is something to send.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub fn open(name: &str, settings: &Settings) -> Result<Kafka> {
        let wrong = |detail: String| Err(Error::Settings { sink: name.to_string(), detail });
        let Settings { brokers, topic, timeout_ms, tls, sasl } = settings;
        if brokers.is_empty() {
            return wrong("brokers is empty; give host:port of one at least".to_string());
        }
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if topic.is_empty() || topic.len() > TOPIC_CHARACTERS || !topic.chars().all(is_plain) {
            return wrong(format!(
                "topic {topic:?}: 1 to {TOPIC_CHARACTERS} letters, digits, `.`, `_` and `-`"
            ));
        }
        if !(SINK_TIMEOUT_MS_MIN..=SINK_TIMEOUT_MS_MAX).contains(timeout_ms) {
            return wrong(format!(
                "timeout_ms is {timeout_ms}; give {SINK_TIMEOUT_MS_MIN} to {SINK_TIMEOUT_MS_MAX}"
            ));
        }
        let mut password = None;
        if let Some(sasl) = sasl {
            if !MECHANISMS.contains(&sasl.mechanism.as_str()) {
                return wrong(format!(
                    "sasl.mechanism {:?} is not {}",
                    sasl.mechanism,
                    MECHANISMS.join(", ")
                ));
            }
            if tls.is_none() && !brokers.iter().all(|broker| is_loopback(broker)) {
                return wrong("a login without TLS could be read on the way: add tls".to_string());
            }
            let file = sasl.password_file.as_deref();
            password = Credential::new(name, "sasl.password", file, sasl.password_env.as_deref())?;
            if password.is_none() {
                return wrong("give sasl.password_file or sasl.password_env".to_string());
            }
        }
        let kafka = Kafka { sink: name.to_string(), settings: settings.clone(), password, producer: None };
        kafka.config()?;
        Ok(kafka)
    }

    /// The client's settings, with what the files say now.
    fn config(&self) -> Result<ClientConfig> {
        let Settings { brokers, timeout_ms, tls, sasl, .. } = &self.settings;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers.join(","))
            .set("client.id", "tachograph")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "none")
            // One that does not fit is the outbox's to know, not this client's to cut off before it.
            .set("message.max.bytes", (2 * SINK_LINE_BYTES_MAX).to_string())
            .set("message.timeout.ms", timeout_ms.to_string())
            .set(
                "security.protocol",
                match (tls, sasl) {
                    (None, None) => "plaintext",
                    (Some(_), None) => "ssl",
                    (None, Some(_)) => "sasl_plaintext",
                    (Some(_), Some(_)) => "sasl_ssl",
                },
            );
        config.set_log_level(RDKafkaLogLevel::Warning);
        if let Some(tls) = tls {
            // Read as every transport reads them: what is wrong with them is told, which the client does not do.
            tls.load(&self.sink, None)?;
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.cert),
                ("ssl.key.location", &tls.key),
            ];
            for (key, file) in files {
                if let Some(file) = file {
                    config.set(key, self.text(file)?);
                }
            }
        }
        if let (Some(sasl), Some(password)) = (sasl, &self.password) {
            let secret = password.read_line()?;
            let text = std::str::from_utf8(secret.reveal()).map_err(|_| password.wrong("is not text"))?;
            config.set("sasl.mechanism", &sasl.mechanism).set("sasl.username", &sasl.username);
            config.set("sasl.password", text);
        }
        Ok(config)
    }

    fn text(&self, file: &Path) -> Result<String> {
        let text = file.to_str().map(str::to_string);
        text.ok_or_else(|| Error::Settings {
            sink: self.sink.clone(),
            detail: format!("{}: its path is not UTF-8", file.display()),
        })
    }

    /// The producer that is held, or a new one.
    fn producer(&mut self) -> Result<Held, String> {
        if let Some(producer) = self.producer.take() {
            return Ok(producer);
        }
        let config = self.config().map_err(|error| error.to_string())?;
        let made = config.create_with_context(Context(self.sink.clone()));
        made.map(|producer| Held(Some(producer))).map_err(|error| match error {
            // The error would quote the value.
            KafkaError::ClientConfig(_, _, key, _) => format!("the client refuses its setting {key}"),
            other => other.to_string(),
        })
    }

    /// Sends one message, with none beside it.
    async fn send(&self, producer: &FutureProducer<Context>, message: &Message) -> Fate {
        let log_index = message.log_index.to_string();
        let record = record(&self.settings.topic, message, &log_index);
        let patience = Duration::from_millis(self.settings.timeout_ms);
        match producer.send(record, Timeout::After(patience)).await {
            Ok(_) => Fate::Taken,
            Err((error, _)) => fate(&self.target(), &error),
        }
    }
}

fn is_loopback(broker: &str) -> bool {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn record<'a>(topic: &'a str, message: &'a Message, log_index: &'a str) -> FutureRecord<'a, str, [u8]> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in [
        ("id", message.id.as_str()),
        ("tenant", &message.tenant),
        ("log", &message.log),
        ("log_index", log_index),
        ("kind", message.kind),
        ("content-type", message.content_type),
    ] {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    FutureRecord::to(topic)
        .key(message.key.as_str())
        .payload(&*message.body)
        .headers(headers)
        .timestamp(message.time_us.div_euclid(1000).max(0))
}

fn fate(target: &str, error: &KafkaError) -> Fate {
    use RDKafkaErrorCode::{InvalidMessageSize, InvalidRecord, MessageSizeTooLarge};
    match error.rdkafka_error_code() {
        Some(MessageSizeTooLarge | InvalidMessageSize | InvalidRecord) => {
            Fate::Refused(format!("{target}: {error}; look at max.message.bytes of the topic"))
        }
        // Whatever else is wrong with the topic, our rights or the cluster is not the message's fault.
        _ => Fate::away(format!("{target}: {error}")),
    }
}

#[async_trait]
impl Transport for Kafka {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        let batch = batch.get(..fitting(batch, SINK_BATCH_MAX, SINK_REQUEST_BYTES)).unwrap_or_default();
        if batch.is_empty() {
            return Vec::new();
        }
        let target = self.target();
        // Taken out for as long as this lasts: a call that is cancelled leaves none behind, and with it what it has in flight.
        let held = match self.producer() {
            Ok(held) => held,
            Err(why) => return vec![Fate::away(format!("{target}: {why}"))],
        };
        let Some(producer) = &held.0 else { return vec![Fate::away(format!("{target}: no producer"))] };
        let mut reports = Vec::with_capacity(batch.len());
        let mut fates = Vec::with_capacity(batch.len());
        for message in batch {
            let log_index = message.log_index.to_string();
            match producer.send_result(record(&self.settings.topic, message, &log_index)) {
                Ok(report) => reports.push(Ok(report)),
                Err((error, _)) => {
                    let fate = fate(&target, &error);
                    let is_later = matches!(fate, Fate::Later { .. });
                    reports.push(Err(fate));
                    if is_later {
                        break;
                    }
                }
            }
        }
        // The client gives a message up by itself after `timeout_ms`; this is for a client that does not.
        let patience = Duration::from_millis(self.settings.timeout_ms.saturating_mul(2));
        let waited = tokio::time::timeout(patience, async {
            for report in reports {
                fates.push(match report {
                    Err(fate) => fate,
                    Ok(report) => match report.await {
                        Ok(Ok(_)) => Fate::Taken,
                        Ok(Err((error, _))) => fate(&target, &error),
                        Err(_) => Fate::away(format!("{target}: no delivery report")),
                    },
                });
            }
        });
        if waited.await.is_err() {
            fates.push(Fate::away(format!("{target}: no delivery report in time")));
        }
        if batch.len() > 1 {
            // The cluster refuses what the client had packed together for the one that is too large: each of those alone.
            for (message, fate) in batch.iter().zip(&mut fates) {
                if matches!(fate, Fate::Refused(_)) {
                    *fate = self.send(producer, message).await;
                }
                if matches!(fate, Fate::Later { .. }) {
                    break;
                }
            }
        }
        if fates.iter().any(|fate| matches!(fate, Fate::Later { .. })) {
            held.end().await;
        } else {
            self.producer = Some(held);
        }
        fates
    }

    fn batch_max(&self) -> usize {
        SINK_BATCH_MAX
    }

    fn target(&self) -> String {
        format!("kafka://{}/{}", self.settings.brokers.join(","), self.settings.topic)
    }
}
