//! What is to be consumed, and how its cluster is reached. Secrets come from files and go nowhere but to the client.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use schemas::limits::{
    KAFKA_AHEAD_KB, KAFKA_LAG_INTERVAL_MS, KAFKA_SESSION_TIMEOUT_MS, KAFKA_TOPICS_MAX, VALUE_BYTES_MAX,
};

use crate::error::Error;
use crate::mapping::Mapping;

/// A consumer of topics.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// Its name: part of column `source` and of its cursors.
    pub name: String,
    /// Whose events these are.
    pub tenant: String,
    /// `host:port` of brokers to begin with.
    pub brokers: Vec<String>,
    /// What is read.
    pub topics: Vec<String>,
    /// The consumer group by which partitions are shared out. Its offsets are committed for monitoring; the log's cursors
    /// say where reading goes on.
    pub group: String,
    /// The mapping; none to tell it from each record's keys.
    pub mapping: Option<Mapping>,
    /// Where records go that cannot be taken; none for the notice alone.
    pub dead_letter: Option<String>,
    /// Over TLS.
    pub tls: Option<Tls>,
    /// With a login.
    pub sasl: Option<Sasl>,
}

/// Files of a TLS connection, PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that sign the brokers'; none for those of the machine.
    pub ca: Option<PathBuf>,
    /// Our certificate and its chain.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Who.
    pub username: String,
    /// File of the password.
    pub password_file: PathBuf,
}

/// Mechanisms that a password is enough for.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

impl Kafka {
    /// Checks what can be checked without the cluster.
    ///
    /// # Errors
    /// [`Error::Source`] naming what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |detail: String| Err(Error::Source { detail: format!("kafka {}: {detail}", self.name) });
        if self.brokers.is_empty() || self.topics.is_empty() || self.group.is_empty() {
            return wrong("brokers, topics and group are needed".to_string());
        }
        if self.topics.len() > KAFKA_TOPICS_MAX {
            return wrong(format!("{} topics, {KAFKA_TOPICS_MAX} at most", self.topics.len()));
        }
        for topic in self.topics.iter().chain(&self.dead_letter) {
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            if topic.is_empty() || topic.len() > 249 || !topic.chars().all(is_plain) {
                return wrong(format!(
                    "topic {topic:?}: 1 to 249 letters, digits, `.`, `_` and `-`; no patterns"
                ));
            }
        }
        if self.dead_letter.as_ref().is_some_and(|dead_letter| self.topics.contains(dead_letter)) {
            return wrong("what is dead would be read again: dead_letter is one of topics".to_string());
        }
        let Some(sasl) = &self.sasl else { return Ok(()) };
        if !MECHANISMS.contains(&sasl.mechanism.as_str()) {
            return wrong(format!("sasl mechanism {:?} is not {}", sasl.mechanism, MECHANISMS.join(", ")));
        }
        if self.tls.is_none() && !self.brokers.iter().all(|broker| is_loopback(broker)) {
            return wrong("a login without TLS could be read on the way: add tls".to_string());
        }
        Ok(())
    }

    /// What consumer and producer have in common.
    fn client(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.join(",")).set("client.id", "tachograph");
        config.set(
            "security.protocol",
            match (&self.tls, &self.sasl) {
                (None, None) => "plaintext",
                (Some(_), None) => "ssl",
                (None, Some(_)) => "sasl_plaintext",
                (Some(_), Some(_)) => "sasl_ssl",
            },
        );
        // What the library itself would print; it goes through `Context::log`.
        config.set_log_level(RDKafkaLogLevel::Warning);
        if let Some(tls) = &self.tls {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.cert),
                ("ssl.key.location", &tls.key),
            ];
            for (key, file) in files {
                if let Some(file) = file {
                    config.set(key, self.readable(file)?);
                }
            }
        }
        if let Some(sasl) = &self.sasl {
            let password = std::fs::read_to_string(&sasl.password_file).map_err(|error| Error::Source {
                detail: format!("kafka {}: password {}: {error}", self.name, sasl.password_file.display()),
            })?;
            config.set("sasl.mechanism", &sasl.mechanism).set("sasl.username", &sasl.username);
            config.set("sasl.password", password.trim_end_matches(['\r', '\n']));
        }
        Ok(config)
    }

    fn readable(&self, file: &Path) -> Result<String, Error> {
        let wrong = |detail: String| Error::Source {
            detail: format!("kafka {}: {}: {detail}", self.name, file.display()),
        };
        std::fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
        file.to_str().map(str::to_string).ok_or_else(|| wrong("its path is not UTF-8".to_string()))
    }

    /// For the consumer.
    ///
    /// `member` is its own for good: a recorder that was killed takes its partitions again at once, without waiting until the
    /// group has given it up.
    pub(super) fn consumer(&self, member: &str) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        config
            .set("group.id", &self.group)
            .set("group.instance.id", member)
            .set("session.timeout.ms", KAFKA_SESSION_TIMEOUT_MS.to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Where an offset is gone the client is not to say where reading goes on.
            .set("auto.offset.reset", "error")
            .set("partition.assignment.strategy", "range,roundrobin")
            .set("isolation.level", "read_committed")
            .set("statistics.interval.ms", KAFKA_LAG_INTERVAL_MS.to_string())
            .set("queued.max.messages.kbytes", KAFKA_AHEAD_KB.to_string());
        Ok(config)
    }

    /// For looking at single records, beside the group.
    pub(super) fn probe(&self) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            // One record of each is asked for, but whole batches come.
            .set("queued.min.messages", "1")
            .set("fetch.message.max.bytes", "16384");
        Ok(config)
    }

    /// For dead letters.
    pub(super) fn producer(&self) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        config.set("enable.idempotence", "true").set("compression.type", "none");
        // A record that was taken from a topic fits into one.
        config.set("message.max.bytes", (VALUE_BYTES_MAX * 2).to_string());
        Ok(config)
    }

    /// What the library says of a configuration, without the value that it was given.
    pub(super) fn refused(&self, error: &KafkaError) -> Error {
        let detail = match error {
            KafkaError::ClientConfig(_, _, key, _) => format!("the client refuses its setting {key}"),
            other => other.to_string(),
        };
        Error::Source { detail: format!("kafka {}: {detail}", self.name) }
    }
}

fn is_loopback(broker: &str) -> bool {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka() -> Kafka {
        Kafka {
            name: "k".to_string(),
            tenant: "default".to_string(),
            brokers: vec!["kafka.example:9092".to_string()],
            topics: vec!["tool-calls".to_string()],
            group: "tachograph".to_string(),
            mapping: None,
            dead_letter: Some("dead".to_string()),
            tls: None,
            sasl: None,
        }
    }

    #[test]
    fn mistakes_are_named() {
        kafka().check().unwrap();
        let login = |mechanism: &str| {
            let password_file = PathBuf::from("p");
            Some(Sasl { mechanism: mechanism.to_string(), username: "u".to_string(), password_file })
        };
        for (wrong, says) in [
            (Kafka { topics: vec![], ..kafka() }, "are needed"),
            (Kafka { topics: vec!["^a.*".to_string()], ..kafka() }, "no patterns"),
            (Kafka { topics: vec!["a".to_string(); KAFKA_TOPICS_MAX + 1], ..kafka() }, "at most"),
            (Kafka { dead_letter: Some("tool-calls".to_string()), ..kafka() }, "read again"),
            (Kafka { sasl: login("GSSAPI"), ..kafka() }, "GSSAPI"),
            (Kafka { sasl: login("PLAIN"), ..kafka() }, "without TLS"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        Kafka { sasl: login("PLAIN"), brokers: vec!["127.0.0.1:1".into(), "[::1]:2".into()], ..kafka() }
            .check()
            .unwrap();
        Kafka { sasl: login("PLAIN"), tls: Some(Tls::default()), ..kafka() }.check().unwrap();
    }

    #[test]
    fn secrets_come_from_files_and_show_in_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let password_file = dir.path().join("password");
        let sasl = Sasl {
            mechanism: "PLAIN".to_string(),
            username: "u".to_string(),
            password_file: password_file.clone(),
        };
        let kafka = Kafka { sasl: Some(sasl), tls: Some(Tls::default()), ..kafka() };
        let missing = kafka.consumer("m").unwrap_err().to_string();
        assert!(missing.contains("password"), "{missing}");
        std::fs::write(&password_file, "hunter2\n").unwrap();
        let config = kafka.consumer("m").unwrap();
        assert_eq!(
            (config.get("sasl.password"), config.get("security.protocol")),
            (Some("hunter2"), Some("sasl_ssl"))
        );
        assert!(!format!("{kafka:?}").contains("hunter2"));
        for config in [config, kafka.probe().unwrap()] {
            assert_eq!(config.get("auto.offset.reset"), Some("error"), "the client begins nothing anew");
        }
        let tls = Tls { ca: Some(dir.path().join("none.pem")), ..Tls::default() };
        let missing = Kafka { tls: Some(tls), ..kafka }.consumer("m").unwrap_err().to_string();
        assert!(missing.contains("none.pem"), "{missing}");
    }
}
