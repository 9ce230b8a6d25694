//! Syslog: RFC 5424 messages over TCP (RFC 6587, octet counting) or TLS (RFC 5425).
//!
//! The protocol has no acknowledgement. A message is `Taken` when its whole batch was written, the receiver's machine has acknowledged
//! every byte of it (TCP: the kernel's count of unacknowledged bytes of the connection is zero), and the connection is open behind that.
//! Before a batch is written the connection is looked at: one that the receiver has closed meanwhile is made anew first, so that a batch
//! is not written into a dead one. A connection that closes or dies before all of that is so has all of the batch sent again.
//!
//! What remains: bytes that the receiver's machine has acknowledged and its program has not read are lost when that machine, or
//! that program, dies. No sender of this protocol can know of those. And a batch of which only the acknowledgement got lost comes twice; by
//! the id in its structured data that is seen. Where the kernel's count is not to be had, what is left is the look at the connection.
//! And a server of TLS 1.3 that sends no tickets and is slow to refuse our certificate is believed to have let us in.

use std::time::Duration;

use async_trait::async_trait;
use schemas::limits::{
    SINK_BATCH_MAX, SINK_REQUEST_BYTES, SINK_TIMEOUT_MS, SINK_TIMEOUT_MS_MAX, SINK_TIMEOUT_MS_MIN,
    SYSLOG_MESSAGE_BYTES_MAX, SYSLOG_MESSAGE_BYTES_MIN,
};
use serde::{Deserialize, Serialize};

use super::{Fate, Transport, fitting};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::tls::{Loaded, Tls};

mod connection;
mod record;
mod unacknowledged;

use connection::{Connection, Peer};
use record::Header;

/// What carries it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 6587: anyone on the way can read it.
    Tcp,
    /// RFC 5425.
    #[default]
    Tls,
}

/// A receiver of syslog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `host:port`; by custom 6514 for TLS and 514 or 601 for TCP.
    pub address: String,
    /// `tls` or `tcp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Facility, 0 to 23: 13 is `log audit`.
    #[serde(default = "default_facility")]
    pub facility: u8,
    /// HOSTNAME; absent for this machine's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The number behind `tachograph@` in structured data; 32473 is the one kept for examples, where one has none of one's own.
    #[serde(default = "default_enterprise_number")]
    pub enterprise_number: u32,
    /// Says by a byte order mark that the message is UTF-8, as RFC 5424 wants it; some parsers of CEF and LEEF stumble over it.
    #[serde(default = "default_byte_order_mark")]
    pub byte_order_mark: bool,
    /// Bytes of a message with its header; a larger one is refused rather than cut. rsyslog takes 8,192 unless told (`maxMessageSize`).
    #[serde(default = "default_message_bytes_max")]
    pub message_bytes_max: usize,
    /// How long a batch may take, milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Files of TLS.
    #[serde(default)]
    pub tls: Tls,
    /// The name that the receiver's certificate has, where that is not the address's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

fn default_facility() -> u8 {
    13
}

fn default_enterprise_number() -> u32 {
    32_473
}

fn default_byte_order_mark() -> bool {
    true
}

fn default_message_bytes_max() -> usize {
    SYSLOG_MESSAGE_BYTES_MAX
}

fn default_timeout_ms() -> u64 {
    SINK_TIMEOUT_MS
}

/// Sends to one receiver.
#[derive(Debug)]
pub struct Syslog {
    sink: String,
    settings: Settings,
    header: Header,
    peer: Peer,
    held: Option<Loaded>,
    connection: Option<Connection>,
}

impl Syslog {
    /// A sender, which connects when there is something to send.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`].
    pub fn open(name: &str, settings: &Settings) -> Result<Syslog> {
        let wrong = |detail: String| Error::Settings { sink: name.to_string(), detail };
        if settings.facility > 23 {
            return Err(wrong(format!("facility is {}; give 0 to 23", settings.facility)));
        }
        if !(SINK_TIMEOUT_MS_MIN..=SINK_TIMEOUT_MS_MAX).contains(&settings.timeout_ms) {
            return Err(wrong(format!(
                "timeout_ms is {}; give {SINK_TIMEOUT_MS_MIN} to {SINK_TIMEOUT_MS_MAX}",
                settings.timeout_ms
            )));
        }
        if !(SYSLOG_MESSAGE_BYTES_MIN..=SINK_REQUEST_BYTES).contains(&settings.message_bytes_max) {
            return Err(wrong(format!(
                "message_bytes_max is {}; give {SYSLOG_MESSAGE_BYTES_MIN} to {SINK_REQUEST_BYTES}",
                settings.message_bytes_max
            )));
        }
        let (is_tls, has_files) = (settings.protocol == Protocol::Tls, settings.tls != Tls::default());
        if !is_tls && (has_files || settings.server_name.is_some()) {
            return Err(wrong(
                "protocol is tcp, and tls or server_name are given; take them out, or say tls".to_string(),
            ));
        }
        let peer =
            Peer::new(&settings.address, is_tls.then_some(settings.server_name.as_deref())).map_err(wrong)?;
        let held = if is_tls { Some(settings.tls.load(name, None)?) } else { None };
        let header = Header::new(settings, &machine());
        Ok(Syslog {
            sink: name.to_string(),
            settings: settings.clone(),
            header,
            peer,
            held,
            connection: None,
        })
    }

    /// The connection that is held if it is still open, or a new one.
    async fn connected(&mut self) -> Result<Connection, String> {
        if let Some(mut connection) = self.connection.take() {
            match connection.check().await {
                Ok(()) => return Ok(connection),
                Err(why) => tracing::debug!(sink = self.sink, why, "a syslog connection is made anew"),
            }
        }
        if self.settings.protocol == Protocol::Tls {
            let loaded = self.settings.tls.load(&self.sink, self.held.as_ref());
            self.held = Some(loaded.map_err(|error| error.to_string())?);
        }
        let config = self.held.as_ref().map(|held| &held.config);
        Connection::open(&self.peer, config, Duration::from_millis(self.settings.timeout_ms)).await
    }

    /// Writes all of it; when this returns the receiver's machine has it.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut connection = self.connected().await?;
        connection.send(bytes).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

#[async_trait]
impl Transport for Syslog {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        let batch = batch.get(..fitting(batch, SINK_BATCH_MAX, SINK_REQUEST_BYTES)).unwrap_or_default();
        let mut bytes = Vec::with_capacity(batch.iter().map(|message| message.body.len() + 512).sum());
        let mut fates = Vec::with_capacity(batch.len());
        for message in batch {
            let record = self.header.record(message);
            if record.len() > self.settings.message_bytes_max {
                let (has, most) = (record.len(), self.settings.message_bytes_max);
                fates.push(Fate::Refused(format!("it has {has} bytes; message_bytes_max is {most}")));
                continue;
            }
            bytes.extend_from_slice(record.len().to_string().as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(&record);
            fates.push(Fate::Taken);
        }
        if bytes.is_empty() {
            return fates;
        }
        let timeout = Duration::from_millis(self.settings.timeout_ms);
        let why = match tokio::time::timeout(timeout, self.send(&bytes)).await {
            Ok(Ok(())) => return fates,
            Ok(Err(why)) => why,
            Err(_) => format!("it has not taken all of it in {} ms", self.settings.timeout_ms),
        };
        super::file::failed(fates, format!("{}: {why}", self.target()))
    }

    fn batch_max(&self) -> usize {
        SINK_BATCH_MAX
    }

    fn target(&self) -> String {
        let protocol = if self.settings.protocol == Protocol::Tls { "tls" } else { "tcp" };
        format!("syslog+{protocol}://{}", self.settings.address)
    }
}

/// What this machine is called.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
