//! Which transports there are, and a table of the configuration made into one.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use store::Clock;

use super::Transport;
use super::bulk::{self, Bulk};
use super::file::{self, File};
use super::hec::{self, Hec};
use super::stdout::{self, Stdout};
use super::syslog::{self, Syslog};
use super::webhook::{self, Webhook};
use crate::error::{Error, Result};

/// The types of sinks, as `type` names them.
pub const TYPES: [&str; 9] =
    ["bulk", "chat", "file", "hec", "kafka", "kill_switch", "stdout", "syslog", "webhook"];

/// The settings of one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportSettings {
    /// Elasticsearch and OpenSearch.
    Bulk(bulk::Settings),
    /// A chat's webhook.
    Chat(webhook::ChatSettings),
    /// Lines of a file.
    File(file::Settings),
    /// Splunk.
    Hec(hec::Settings),
    /// A topic.
    #[cfg(feature = "kafka")]
    Kafka(super::kafka::Settings),
    /// A webhook that stops somebody.
    KillSwitch(webhook::Settings),
    /// Lines of the program's output.
    Stdout(stdout::Settings),
    /// Syslog over TCP and TLS.
    Syslog(syslog::Settings),
    /// A signed webhook.
    Webhook(webhook::Settings),
}

impl TransportSettings {
    /// What the keys of a sink's table say that are its transport's: all but those that every sink has, which the caller has taken out.
    ///
    /// # Errors
    /// [`Error::Settings`] naming the type, or the key that is unknown, wrong or missing.
    pub fn from_table(sink: &str, kind: &str, table: toml::Table) -> Result<TransportSettings> {
        Ok(match kind {
            "bulk" => TransportSettings::Bulk(parse(sink, kind, table)?),
            "chat" => TransportSettings::Chat(parse(sink, kind, table)?),
            "file" => TransportSettings::File(parse(sink, kind, table)?),
            "hec" => TransportSettings::Hec(parse(sink, kind, table)?),
            #[cfg(feature = "kafka")]
            "kafka" => TransportSettings::Kafka(parse(sink, kind, table)?),
            "kill_switch" => TransportSettings::KillSwitch(parse(sink, kind, table)?),
            "stdout" => TransportSettings::Stdout(parse(sink, kind, table)?),
            "syslog" => TransportSettings::Syslog(parse(sink, kind, table)?),
            "webhook" => TransportSettings::Webhook(parse(sink, kind, table)?),
            #[cfg(not(feature = "kafka"))]
            "kafka" => return Err(wrong(sink, "type kafka: this program was built without it".to_string())),
            _ => return Err(wrong(sink, format!("type {kind:?} is none; give one of {}", TYPES.join(", ")))),
        })
    }

    /// The type, as `type` names it.
    pub fn kind(&self) -> &'static str {
        match self {
            TransportSettings::Bulk(_) => "bulk",
            TransportSettings::Chat(_) => "chat",
            TransportSettings::File(_) => "file",
            TransportSettings::Hec(_) => "hec",
            #[cfg(feature = "kafka")]
            TransportSettings::Kafka(_) => "kafka",
            TransportSettings::KillSwitch(_) => "kill_switch",
            TransportSettings::Stdout(_) => "stdout",
            TransportSettings::Syslog(_) => "syslog",
            TransportSettings::Webhook(_) => "webhook",
        }
    }

    /// The table again, with every default: what is in force. It holds no credential, only where each comes from.
    ///
    /// # Errors
    /// [`Error::Settings`] for what TOML cannot say: a number over 2^63.
    pub fn to_table(&self, sink: &str) -> Result<toml::Table> {
        let made = match self {
            TransportSettings::Bulk(settings) => toml::Table::try_from(settings),
            TransportSettings::Chat(settings) => toml::Table::try_from(settings),
            TransportSettings::File(settings) => toml::Table::try_from(settings),
            TransportSettings::Hec(settings) => toml::Table::try_from(settings),
            #[cfg(feature = "kafka")]
            TransportSettings::Kafka(settings) => toml::Table::try_from(settings),
            TransportSettings::KillSwitch(settings) | TransportSettings::Webhook(settings) => {
                toml::Table::try_from(settings)
            }
            TransportSettings::Stdout(settings) => toml::Table::try_from(settings),
            TransportSettings::Syslog(settings) => toml::Table::try_from(settings),
        };
        made.map_err(|error| wrong(sink, format!("{}: {error}", self.kind())))
    }

    /// Whether what is sent has to be a JSON object.
    pub fn needs_json(&self) -> bool {
        matches!(self, TransportSettings::Bulk(_))
    }
}

/// Makes the transport of a sink. Reads the files that it names, and connects to nothing.
///
/// # Errors
/// [`Error::Settings`], [`Error::File`].
pub fn open(sink: &str, settings: &TransportSettings, clock: Arc<dyn Clock>) -> Result<Box<dyn Transport>> {
    Ok(match settings {
        TransportSettings::Bulk(settings) => Box::new(Bulk::open(sink, settings, clock)?),
        TransportSettings::Chat(settings) => Box::new(Webhook::open_chat(sink, settings, clock)?),
        TransportSettings::File(settings) => Box::new(File::open(sink, settings)?),
        TransportSettings::Hec(settings) => Box::new(Hec::open(sink, settings, clock)?),
        #[cfg(feature = "kafka")]
        TransportSettings::Kafka(settings) => Box::new(super::kafka::Kafka::open(sink, settings)?),
        TransportSettings::KillSwitch(settings) => {
            Box::new(Webhook::open_kill_switch(sink, settings, clock)?)
        }
        TransportSettings::Stdout(settings) => Box::new(Stdout::open(sink, settings)?),
        TransportSettings::Syslog(settings) => Box::new(Syslog::open(sink, settings)?),
        TransportSettings::Webhook(settings) => Box::new(Webhook::open(sink, settings, clock)?),
    })
}

fn parse<S: DeserializeOwned>(sink: &str, kind: &str, table: toml::Table) -> Result<S> {
    // What TOML's own error quotes is a key, or the type of a value.
    table
        .try_into()
        .map_err(|error: toml::de::Error| wrong(sink, format!("type {kind}: {}", error.message())))
}

fn wrong(sink: &str, detail: String) -> Error {
    Error::Settings { sink: sink.to_string(), detail }
}
