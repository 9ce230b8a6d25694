//! The program's standard output: one message a line, taken once it is written.

use std::io::{self, Write as _};

use async_trait::async_trait;
use schemas::limits::{SINK_BATCH_MAX, SINK_REQUEST_BYTES};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::file::{failed, lines};
use super::{Fate, Transport, fitting};
use crate::error::Result;
use crate::message::Message;

/// Standard output has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {}

/// Writes to standard output.
#[derive(Debug)]
pub struct Stdout {
    /// As a file's.
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Stdout {
    /// Standard output.
    ///
    /// # Errors
    /// None now.
    pub fn open(_name: &str, _settings: &Settings) -> Result<Stdout> {
        Ok(Stdout { writing: None })
    }
}

#[async_trait]
impl Transport for Stdout {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            tracing::debug!(is_written = matches!(written, Ok(Ok(()))), "what a cancelled call wrote");
            self.writing = None;
        }
        let batch = batch.get(..fitting(batch, SINK_BATCH_MAX, SINK_REQUEST_BYTES)).unwrap_or_default();
        let (bytes, fates) = lines(batch);
        if bytes.is_empty() {
            return fates;
        }
        let write = move || {
            let mut output = io::stdout().lock();
            output.write_all(&bytes)?;
            output.flush()
        };
        let writing = self.writing.insert(tokio::task::spawn_blocking(write));
        let written = writing.await;
        self.writing = None;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => fates,
            Err(error) => failed(fates, format!("standard output: {error}")),
        }
    }

    fn batch_max(&self) -> usize {
        SINK_BATCH_MAX
    }

    fn target(&self) -> String {
        "standard output".to_string()
    }
}
