//! Collectors that read: files that grow, topics. Each runs in a task of its own from the service's start to its end.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ingest::{Mappings, Tail};
use schemas::limits;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use toml::Value;

use crate::node::Node;

/// The tables of the configuration that are theirs.
pub const TABLES: [&str; 2] = ["tail", "kafka"];

/// What is to be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Files that grow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<TailTable>,
    /// Topics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kafka: Vec<KafkaTable>,
}

/// `[[tail]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailTable {
    /// Part of column `source`; the place up to which the files were read is kept under it.
    pub name: String,
    /// A file; `*` and `?` may stand in its name.
    pub path: PathBuf,
    /// Whose events these are.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The mapping; absent to tell it from each record's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Bytes of one line; longer ones are refused.
    #[serde(default = "default_line_bytes_max")]
    pub line_bytes_max: usize,
}

/// `[[kafka]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaTable {
    /// Part of column `source`; the offsets up to which partitions were read are kept under it.
    pub name: String,
    /// `host:port` of brokers to begin with.
    pub brokers: Vec<String>,
    /// What is read.
    pub topics: Vec<String>,
    /// The consumer group.
    #[serde(default = "default_group")]
    pub group: String,
    /// Whose events these are.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The mapping; absent to tell it from each record's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Topic for what cannot be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// Over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// With a login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,
}

/// `[kafka.tls]`: files, PEM.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// Certificates that sign the brokers'; absent for those of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// `[kafka.sasl]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Who.
    pub username: String,
    /// File of the password.
    pub password_file: PathBuf,
}

fn default_group() -> String {
    "tachograph".to_string()
}

fn default_tenant() -> String {
    "default".to_string()
}

fn default_line_bytes_max() -> usize {
    limits::TAIL_LINE_BYTES_MAX
}

impl Settings {
    /// Reads the tables.
    ///
    /// # Errors
    /// Names the key that is unknown or wrong.
    pub fn parse(tables: &toml::Table) -> Result<Settings> {
        let settings: Settings = Value::Table(tables.clone()).try_into().context("in the configuration")?;
        let mut names = BTreeSet::new();
        for table in &settings.tail {
            check_name("tail", &table.tenant, &table.name, &mut names)?;
            if table.line_bytes_max == 0 || table.line_bytes_max > limits::VALUE_BYTES_MAX {
                bail!("tail {}: line_bytes_max is 1 to {}", table.name, limits::VALUE_BYTES_MAX);
            }
        }
        for table in &settings.kafka {
            check_name("kafka", &table.tenant, &table.name, &mut names)?;
            #[cfg(feature = "kafka")]
            table.kafka(None).check()?;
            #[cfg(not(feature = "kafka"))]
            bail!("kafka {}: this program was built without it", table.name);
        }
        Ok(settings)
    }

    /// Whether a table of this collector and tenant has this name.
    pub fn names(&self, tenant: &str, collector: &str, name: &str) -> bool {
        match collector {
            "tail" => self.tail.iter().any(|table| table.tenant == tenant && table.name == name),
            "kafka" => self.kafka.iter().any(|table| table.tenant == tenant && table.name == name),
            _ => false,
        }
    }

    /// Whether a table reads this source.
    pub fn reads(&self, source: &ingest::Source) -> bool {
        self.names(&source.tenant, &source.collector, &source.name)
    }
}

/// A name that can be part of a cursor's and of column `source`, once for its tenant.
fn check_name(
    kind: &'static str,
    tenant: &str,
    name: &str,
    names: &mut BTreeSet<(&'static str, String, String)>,
) -> Result<()> {
    let is_plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
    if name.is_empty() || name.len() > limits::ORIGIN_PART_BYTES_MAX || !name.chars().all(is_plain) {
        bail!("{kind} {name:?}: a name has 1 to 64 of a-z, 0-9, `.`, `_` and `-`");
    }
    if !names.insert((kind, tenant.to_string(), name.to_string())) {
        bail!("{kind} {name} is there twice: what one has read would count as read by the other");
    }
    Ok(())
}

impl TailTable {
    fn tail(&self, mappings: &Mappings) -> Result<Tail> {
        let mapping = self.format.as_deref().map(|format| mappings.find(format)).transpose();
        let mapping = mapping.with_context(|| format!("tail {}", self.name))?;
        Ok(Tail {
            mapping,
            line_bytes_max: self.line_bytes_max,
            ..Tail::new(self.name.as_str(), self.tenant.as_str(), self.path.as_path())
        })
    }
}

#[cfg(feature = "kafka")]
impl KafkaTable {
    fn kafka(&self, mapping: Option<ingest::Mapping>) -> ingest::Kafka {
        let tls =
            |tls: &KafkaTls| ingest::Tls { ca: tls.ca.clone(), cert: tls.cert.clone(), key: tls.key.clone() };
        let sasl = |sasl: &KafkaSasl| ingest::Sasl {
            mechanism: sasl.mechanism.clone(),
            username: sasl.username.clone(),
            password_file: sasl.password_file.clone(),
        };
        ingest::Kafka {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            brokers: self.brokers.clone(),
            topics: self.topics.clone(),
            group: self.group.clone(),
            mapping,
            dead_letter: self.dead_letter.clone(),
            tls: self.tls.as_ref().map(tls),
            sasl: self.sasl.as_ref().map(sasl),
        }
    }
}

/// Starts everything that is to be read, where this process takes events in.
///
/// # Errors
/// Names the table whose format is no mapping.
pub fn start(settings: &Settings, node: &Node, stop: &watch::Receiver<bool>) -> Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    let Some(ingest) = &node.ingest else { return Ok(tasks) };
    tell_unread(settings, ingest);
    for table in &settings.tail {
        let (tail, ingest, mut stop) = (table.tail(ingest.mappings())?, ingest.clone(), stop.clone());
        let name = format!("tail {}", table.name);
        tasks.push(tokio::spawn(async move {
            let stopped = stop.clone();
            keep(&name, &mut stop, || tail.clone().run(ingest.clone(), stopped.clone())).await;
        }));
    }
    #[cfg(feature = "kafka")]
    for table in &settings.kafka {
        let mapping = table.format.as_deref().map(|format| ingest.mappings().find(format)).transpose();
        let mapping = mapping.with_context(|| format!("kafka {}", table.name))?;
        let (kafka, ingest, mut stop) = (table.kafka(mapping), ingest.clone(), stop.clone());
        let name = format!("kafka {}", table.name);
        tasks.push(tokio::spawn(async move {
            let stopped = stop.clone();
            keep(&name, &mut stop, || kafka.clone().run(ingest.clone(), stopped.clone())).await;
        }));
    }
    Ok(tasks)
}

/// Says which sources were read and are in no table any more. Their cursors stay: a table may be missing by mistake, and what
/// it read is not to be recorded again when it comes back.
fn tell_unread(settings: &Settings, ingest: &ingest::Ingest) {
    let unread = ingest.sources().into_iter().filter(|source| !settings.reads(source));
    for ingest::Source { tenant, collector, name, cursors } in unread {
        tracing::warn!(
            tenant,
            collector,
            name,
            cursors,
            "read once and in no table now: its cursors are kept until `tacho cursor forget`"
        );
    }
}

/// Runs a collector until the service ends; one that fails begins again from what the log has of it.
async fn keep<F>(name: &str, stop: &mut watch::Receiver<bool>, run: impl Fn() -> F)
where
    F: Future<Output = Result<(), ingest::Error>>,
{
    loop {
        match run().await {
            Ok(()) => return,
            // What is read now would be read in vain, and held from others who could record it.
            Err(error) if error.is_final() => {
                tracing::error!(collector = name, %error, "a collector ended; it begins again with the service");
                metrics::counter!("tacho_collector_failures_total", "collector" => name.to_string())
                    .increment(1);
                return;
            }
            Err(error) => {
                tracing::error!(collector = name, %error, "a collector stopped; it begins again in a moment");
                metrics::counter!("tacho_collector_failures_total", "collector" => name.to_string())
                    .increment(1);
            }
        }
        let pause = Duration::from_secs(limits::COLLECTOR_RESTART_S);
        if tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_source_is_read_by_the_table_of_its_collector_tenant_and_name() {
        let tables = "[[tail]]\nname = \"agents\"\npath = \"a.jsonl\"\ntenant = \"acme\"\n";
        let settings = Settings::parse(&tables.parse().unwrap()).unwrap();
        for (tenant, collector, name, reads) in [
            ("acme", "tail", "agents", true),
            ("default", "tail", "agents", false),
            ("acme", "kafka", "agents", false),
            ("acme", "tail", "agent", false),
            ("acme", "http", "agents", false),
        ] {
            assert_eq!(settings.names(tenant, collector, name), reads, "{tenant} {collector}/{name}");
        }
    }

    #[tokio::test]
    async fn a_collector_whose_store_takes_nothing_more_ends() {
        let runs = AtomicU32::new(0);
        let (_sender, mut stop) = watch::channel(false);
        let run = || {
            runs.fetch_add(1, Ordering::Relaxed);
            let error = store::Error::Poisoned { reason: "a write failed".to_string() };
            async { Err(ingest::Error::Store(error)) }
        };
        let kept = tokio::time::timeout(Duration::from_secs(20), keep("kafka calls", &mut stop, run)).await;
        assert!(kept.is_ok(), "it goes on");
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
