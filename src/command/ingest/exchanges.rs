//! Recorded HTTP exchanges, made into events on the way.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use schemas::limits::TAP_BATCH_BYTES;
use serde_json::value::RawValue;
use tap::exchange::Exchanges;

use super::Totals;

/// Name of the format.
pub(super) const FORMAT: &str = "http-exchange";

/// The exchanges of one file.
#[derive(Debug)]
pub(super) struct Recorded {
    file: PathBuf,
    exchanges: Exchanges,
}

impl Recorded {
    pub(super) fn new(file: &Path) -> Recorded {
        Recorded { file: file.to_path_buf(), exchanges: Exchanges::new() }
    }

    /// Bodies of the events that the exchanges in `bytes` complete. What is no exchange is said and counted as refused.
    pub(super) fn read(&mut self, bytes: &[u8], first_line: u64, totals: &mut Totals) -> Vec<Bytes> {
        let mut events = Vec::new();
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
        let (mut line, mut counted) = (first_line, 0);
        while let Some(value) = values.next() {
            let length = value.as_ref().map_or(0, |value| value.get().len());
            let begin = values.byte_offset().saturating_sub(length);
            line += newlines(bytes.get(counted..begin).unwrap_or_default());
            counted = begin;
            let problem = match value {
                Ok(value) => match self.exchanges.value(value.get(), line, &mut events) {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                },
                Err(error) => format!("line {line}: {error}: what follows it in this part is not read"),
            };
            totals.rejected += 1;
            eprintln!("{}: {problem}", self.file.display());
        }
        bodies(events)
    }

    /// Bodies of the events that only the end completes.
    pub(super) fn end(mut self) -> Vec<Bytes> {
        let mut events = Vec::new();
        self.exchanges.end(&mut events);
        let unparsed = self.exchanges.unparsed();
        if unparsed > 0 {
            eprintln!("{}: {unparsed} bodies, or parts of them, are no JSON-RPC", self.file.display());
        }
        bodies(events)
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn bodies(events: Vec<String>) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    let mut body = Vec::new();
    for event in events {
        body.extend_from_slice(event.as_bytes());
        body.push(b'\n');
        if body.len() >= TAP_BATCH_BYTES {
            bodies.push(Bytes::from(std::mem::take(&mut body)));
        }
    }
    if !body.is_empty() {
        bodies.push(Bytes::from(body));
    }
    bodies
}
